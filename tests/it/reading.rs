//! Whatever is asked for, it is what a plain list of entries would give.

use annals::{
    Change, Clock, Direction, Durability, Entry, Frontier, FrontierRow, LogView, Options,
    ReadError, StreamId, Timestamp, Workspace,
};
use proptest::prelude::*;

use crate::support::{Random, entries_of, files_of, put};

fn options() -> Options {
    // Nothing here is about durability.
    Options::default().clock(Clock::None).durability(Durability::ProcessCrash)
}

fn create(options: Options) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(folder.path().join("w"), options).unwrap();
    (folder, workspace)
}

/// A change as it was appended: whole.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Item {
    index: u64,
    end_index: u64,
    stream: u32,
    timestamp: Option<i64>,
    payload: Vec<u8>,
}

impl Item {
    fn of(entry: &Entry) -> Self {
        Self {
            index: entry.index(),
            end_index: entry.end_index(),
            stream: entry.stream().0,
            timestamp: entry.timestamp().map(Timestamp::as_micros),
            payload: entry.payload().unwrap().to_vec(),
        }
    }
}

/// A log of `count` changes in three streams, some of them large, and the list of them. The first three
/// entries declare the streams.
fn build(workspace: &Workspace, count: usize, random: &mut Random) -> Vec<Item> {
    let streams: Vec<u32> =
        ["a", "b", "c"].map(|name| workspace.stream(name).unwrap().id().0).to_vec();
    let declarations = workspace.own_log().scan(..).unwrap();
    let mut items: Vec<Item> = declarations.map(|entry| Item::of(&entry.unwrap())).collect();
    for _ in 0..count {
        let len = if random.below(60) == 0 { 1_100_000 } else { random.place(300) };
        let payload = match random.below(3) {
            0 => vec![b' '; len],
            _ => random.bytes(len.min(300)).into_iter().cycle().take(len).collect(),
        };
        let stream = [0, streams[0], streams[1], streams[2]][random.place(4)];
        let timestamp = (random.below(5) != 0).then(|| i64::try_from(random.below(1_000)).unwrap());
        let change = Change::new(&payload)
            .in_stream(StreamId(stream))
            .at(timestamp.map(Timestamp::from_micros));
        let indices = workspace.append_change(change).unwrap().indices();
        let (index, end_index) = (indices.start, indices.end);
        items.push(Item { index, end_index, stream, timestamp, payload });
        if random.below(20) == 0 {
            workspace.commit().unwrap();
        }
    }
    items
}

fn items(scan: impl Iterator<Item = Result<Entry, ReadError>>) -> Vec<Item> {
    scan.map(|entry| Item::of(&entry.unwrap())).collect()
}

/// Compares all ways of reading with the list.
fn assert_reads_as(log: &LogView, model: &[Item], random: &mut Random) {
    let count = log.entry_count();
    assert_eq!(count, model.last().map_or(0, |item| item.end_index));
    for round in 0..12 {
        let (mut start, mut end) = (random.below(count + 2), random.below(count + 2));
        if start > end {
            (start, end) = (end, start);
        }
        if round == 0 {
            (start, end) = (0, u64::MAX);
        }
        let within = |item: &&Item| item.index >= start && item.index < end;
        let mut expected: Vec<Item> = model.iter().filter(within).cloned().collect();
        assert_eq!(items(log.scan(start..end).unwrap()), expected, "{start}..{end}");
        for stream in 0..5 {
            let of_stream = |item: &&Item| item.stream == stream;
            let mut expected: Vec<Item> = expected.iter().filter(of_stream).cloned().collect();
            let scan =
                |direction| log.scan_stream(StreamId(stream), start..end, direction).unwrap();
            assert_eq!(items(scan(Direction::Forward)), expected, "stream {stream}");
            expected.reverse();
            assert_eq!(items(scan(Direction::Backward)), expected, "stream {stream}");
        }
        expected.reverse();
        assert_eq!(items(log.scan_backward(start..end).unwrap()), expected, "back {start}..{end}");
    }
    for time in
        [-1, 0, 1, 500, 998, 999, 2_000].map(|time| time + i64::try_from(random.below(2)).unwrap())
    {
        let later = model.iter().find(|item| item.timestamp > Some(time));
        let size = later.map_or(count, |item| item.index);
        assert_eq!(log.size_at(Timestamp::from_micros(time)).unwrap(), size, "at {time}");
    }
    for _ in 0..30 {
        let item = &model[random.place(model.len())];
        let parts = (item.index..item.end_index).map(|index| log.entry(index).unwrap());
        let joined: Vec<u8> = parts.flat_map(|entry| entry.payload().unwrap().to_vec()).collect();
        assert_eq!(joined, item.payload);
    }
    assert!(matches!(log.entry(count), Err(ReadError::OutOfRange { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 32, ..ProptestConfig::default() })]

    /// What is staged, what is in the file, what the index covers: it makes no difference.
    #[test]
    fn every_way_of_reading_agrees_with_a_list(
        count in 0..300_usize,
        batch_len in 1_000..60_000_usize,
        cache_len in prop_oneof![Just(0), Just(16 << 20)],
        seed in any::<u64>(),
    ) {
        let (_folder, workspace) = create(options().batch_len(batch_len).cache_len(cache_len));
        let mut random = Random::new(seed);
        let model = build(&workspace, count, &mut random);
        assert_reads_as(&workspace.own_log(), &model, &mut random);
        workspace.commit().unwrap();
        assert_reads_as(&workspace.own_log(), &model, &mut random);
        let path = workspace.path().to_owned();
        workspace.close().unwrap();
        let read = Workspace::open_read_only(&path, options()).unwrap();
        assert_reads_as(&read.own_log(), &model, &mut random);
        std::fs::remove_dir_all(path.join("cache")).ok();
        let read = Workspace::open_read_only(&path, options()).unwrap();
        assert_reads_as(&read.own_log(), &model, &mut random);
    }
}

/// Also while the end of the change would fit into the buffer.
#[test]
fn a_large_change_can_be_read_at_once() {
    for len in [(1 << 20) + 1, 2_100_000, (3 << 20) + 5] {
        let (_folder, workspace) = create(options());
        put(&workspace, b"before");
        let large = Random::new(14).bytes(len);
        put(&workspace, &large);
        let log = workspace.own_log();
        assert_eq!(entries_of(&log).len() as u64, log.entry_count());
        assert!(items(log.scan(..).unwrap()).last().unwrap().payload == large);
        assert!(items(log.scan_backward(..).unwrap())[0].payload == large);
    }
}

#[test]
fn an_empty_log_gives_nothing() {
    let (_folder, workspace) = create(options());
    let log = workspace.own_log();
    assert!(log.is_empty());
    assert_eq!(items(log.scan(..).unwrap()), []);
    assert_eq!(items(log.scan_backward(..).unwrap()), []);
    assert_eq!(items(log.scan(5..5).unwrap()), []);
    assert_eq!(items(log.scan_stream(StreamId(7), .., Direction::Forward).unwrap()), []);
    assert_eq!(log.size_at(Timestamp::from_micros(0)).unwrap(), 0);
    assert_eq!(log.root().unwrap(), log.root_at(0).unwrap());
    assert_eq!(items(workspace.merged().unwrap()), []);
}

#[test]
fn since_a_frontier_is_what_came_after_it() {
    let (_folder, workspace) = create(options());
    let log = workspace.own_log();
    let mut marks = vec![Frontier::empty()];
    for number in 0..50_u8 {
        put(&workspace, &[number]);
        marks.push(workspace.frontier().unwrap());
    }
    let all = items(log.scan(..).unwrap());
    for (size, mark) in marks.iter().enumerate() {
        assert_eq!(items(workspace.since(mark).unwrap()), all[size..]);
        let before = workspace.merged_between(&Frontier::empty(), Some(mark)).unwrap();
        assert_eq!(items(before), all[..size]);
        let root = log.root_at(size as u64).unwrap();
        assert!(size == 0 || mark.rows()[0].root == root);
    }
    assert_eq!(workspace.frontier().unwrap(), marks[50]);
}

#[test]
fn the_frontier_at_a_time_is_the_state_then() {
    let (_folder, workspace) = create(options());
    for time in [10, 20, 30] {
        let change = Change::new(b"x").at(Some(Timestamp::from_micros(time)));
        workspace.append_change(change).unwrap().index();
    }
    let log = workspace.own_log();
    for (time, size) in [(9, 0), (10, 1), (19, 1), (20, 2), (30, 3), (99, 3)] {
        let then = workspace.at(Timestamp::from_micros(time)).unwrap();
        assert_eq!(then.size(log.id()), size);
        let row: Option<&FrontierRow> = then.row(log.id());
        let expected = (size > 0).then(|| (log.root_at(size).unwrap(), size));
        assert_eq!(row.map(|row| (row.root, row.lamport)), expected);
    }
}

#[test]
fn ten_thousand_streams_are_found_by_name() {
    let (_folder, workspace) = create(options());
    let names: Vec<String> = (0..10_000).map(|number| format!("note/{number}")).collect();
    for round in 0..2_u8 {
        for name in &names {
            let stream = workspace.stream(name).unwrap();
            stream.append(&[round]).unwrap().index();
        }
    }
    let path = workspace.path().to_owned();
    workspace.close().unwrap();
    for read in [true, false] {
        if !read {
            std::fs::remove_dir_all(path.join("cache")).ok();
        }
        let workspace = Workspace::open_read_only(&path, options()).unwrap();
        let log = workspace.own_log();
        assert_eq!(log.streams().unwrap().len(), 10_000);
        assert_eq!(log.find_stream("note/10000").unwrap(), None);
        for number in (0..10_000).step_by(997) {
            let stream = log.find_stream(&names[number]).unwrap().unwrap();
            assert_eq!(stream.0 as usize, number + 1);
            let found = items(log.scan_stream(stream, .., Direction::Forward).unwrap());
            let payloads: Vec<&[u8]> = found.iter().map(|item| item.payload.as_slice()).collect();
            // The declaration, then the changes.
            assert_eq!(payloads[1..], [[0], [1]]);
            let merged = items(workspace.merged_stream(&names[number]).unwrap());
            assert_eq!(merged, found);
        }
    }
}

#[test]
fn names_of_streams_have_limits_and_are_declared_once() {
    let (_folder, workspace) = create(options());
    let long = "x".repeat(255);
    let first = workspace.stream(&long).unwrap().id();
    assert_eq!(workspace.stream(&long).unwrap().id(), first);
    assert!(workspace.stream("").is_err());
    assert!(workspace.stream(&"x".repeat(256)).is_err());
    assert_eq!(workspace.own_log().entry_count(), 1);
}

/// Several MiB that do not compress: a dozen stretches of the index, one run of eight of them.
fn several_stretches() -> (tempfile::TempDir, Workspace) {
    let (folder, workspace) = create(options());
    let mut random = Random::new(11);
    let streams = ["a", "b"].map(|name| workspace.stream(name).unwrap());
    for number in 0..3_000_usize {
        let payload = random.bytes(1_000);
        streams[number / 7 % 2].append(&payload).unwrap().index();
        if number % 400 == 0 {
            workspace.checkpoint().unwrap();
        }
    }
    workspace.checkpoint().unwrap();
    (folder, workspace)
}

#[test]
fn an_index_made_anew_equals_the_one_that_grew() {
    let (_folder, workspace) = several_stretches();
    let cache = workspace.path().join("cache");
    let grown = files_of(&cache);
    assert!(
        grown.iter().any(|(path, _)| path.to_string_lossy().contains("1-")),
        "{:?}",
        grown.len()
    );
    workspace.reindex(true, |_, _| true).unwrap();
    assert!(files_of(&cache) == grown, "the index of the open workspace differs");
    let path = workspace.path().to_owned();
    workspace.close().unwrap();
    std::fs::remove_dir_all(&cache).unwrap();
    let workspace = Workspace::open(&path, options()).unwrap();
    let mut told = 0;
    workspace
        .reindex(false, |done, total| {
            assert!(done <= total);
            told += 1;
            true
        })
        .unwrap();
    assert!(told > 0);
    assert!(files_of(&cache) == grown, "the index that was built anew differs");
}

#[test]
fn an_index_may_be_deleted_or_damaged_while_it_is_used() {
    let (_folder, workspace) = several_stretches();
    let path = workspace.path().to_owned();
    let log = workspace.own_log();
    let expected = items(log.scan(..).unwrap());
    let of_stream: Vec<Item> = expected.iter().filter(|item| item.stream == 2).cloned().collect();
    let check = |log: &LogView| {
        let mut backward = items(log.scan_backward(..).unwrap());
        backward.reverse();
        assert!(backward == expected);
        let scan = log.scan_stream(StreamId(2), .., Direction::Forward).unwrap();
        assert!(items(scan) == of_stream);
        assert_eq!(log.entry(1_500).unwrap().payload().unwrap(), expected[1_500].payload);
        log.prove_inclusion(7, None).unwrap().verify(&log.root().unwrap()).unwrap();
    };
    check(&log);
    let read = Workspace::open_read_only(&path, options()).unwrap();
    check(&read.own_log());
    std::fs::remove_dir_all(path.join("cache")).unwrap();
    check(&log);
    check(&read.own_log());
    workspace.reindex(true, |_, _| true).unwrap();
    for (name, bytes) in files_of(&path.join("cache")) {
        let mut bytes = bytes;
        for at in (0..bytes.len()).step_by(4_096) {
            bytes[at + 100] ^= 0x40;
        }
        std::fs::write(path.join("cache").join(name), bytes).unwrap();
    }
    drop((log, read));
    workspace.close().unwrap();
    check(&Workspace::open_read_only(&path, options()).unwrap().own_log());
    check(&Workspace::open(&path, options()).unwrap().own_log());
}

#[test]
fn proofs_hold_for_any_entry_at_any_size_and_for_nothing_else() {
    let (_folder, workspace) = create(options().batch_len(1 << 10));
    (0..1_000_u32).for_each(|number| {
        put(&workspace, &number.to_le_bytes());
    });
    let log = workspace.own_log();
    let mut random = Random::new(12);
    for _ in 0..100 {
        let size = 1 + random.below(1_000);
        let index = random.below(size);
        let root = log.root_at(size).unwrap();
        let proof = log.prove_inclusion(index, Some(size)).unwrap();
        assert_eq!(
            proof.payload.as_deref(),
            Some(&u32::try_from(index).unwrap().to_le_bytes()[..])
        );
        proof.verify(&root).unwrap();
        let mut tampered = vec![proof.clone(); 6];
        tampered[0].payload = Some(b"else".to_vec());
        tampered[1].index = (index + 1) % 1_000;
        tampered[2].size += 1;
        tampered[3].header.lamport += 1;
        tampered[4].salt = Some([0; 16]);
        tampered[5].path.push(root);
        for tampered in tampered {
            assert!(tampered.verify(&root).is_err(), "{tampered:?}");
        }
        assert!(proof.verify(&log.root_at(size % 1_000 + 1).unwrap()).is_err());

        let from = random.below(size + 1);
        let from_root = log.root_at(from).unwrap();
        let proof = log.prove_consistency(from, Some(size)).unwrap();
        proof.verify(&from_root, &root).unwrap();
        if from != size {
            assert!(proof.verify(&root, &root).is_err());
            assert!(proof.verify(&from_root, &from_root).is_err());
        }
    }
    assert!(log.prove_inclusion(1_000, None).is_err());
    assert!(log.prove_inclusion(5, Some(5)).is_err());
    assert!(log.prove_consistency(6, Some(5)).is_err());
}

#[test]
fn entries_are_the_same_by_index_and_by_scan() {
    let (_folder, workspace) = create(options());
    let mut random = Random::new(13);
    build(&workspace, 200, &mut random);
    let log = workspace.own_log();
    let by_index = entries_of(&log);
    let scanned: usize = items(log.scan(..).unwrap()).iter().map(|item| item.payload.len()).sum();
    assert_eq!(by_index.iter().map(|entry| entry.payload.len()).sum::<usize>(), scanned);
}

#[test]
fn a_stream_that_was_not_declared_takes_nothing() {
    let (_folder, workspace) = create(options());
    let refused = workspace.append_change(Change::new(b"x").in_stream(StreamId(1)));
    assert!(matches!(refused, Err(annals::AppendError::UnknownStream(StreamId(1)))));
    assert_eq!(workspace.own_log().entry_count(), 0);
}
