//! The index against vectors.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use proptest::prelude::*;

use super::{
    super::Direction, Index, Model, NODE_LEVEL_MAX, NODE_LEVEL_MIN, Random, SpanRef, StreamId,
    Timestamp, cache_folder, collect, fake_hash, feed, files, open, persisted_log,
};

/// Compares the answers to random questions, and to those at the edges.
fn compare(index: &Index, model: &Model, random: &mut Random) {
    assert_eq!(index.position(), model.end);
    let spans = model.spans();
    let all: Vec<SpanRef> = spans.iter().map(|(span, _)| *span).collect();
    let end = model.end.end_index;
    let mut indexes = vec![0, end.saturating_sub(1), end, end + 1, u64::MAX];
    indexes.extend((0..24).map(|_| random.below(end + 1)));
    for at in indexes {
        let holding = all.iter().find(|span| span.first_index <= at && at < span.end_index);
        assert_eq!(index.locate(at).unwrap(), holding.copied(), "entry {at}");
        compare_walks(index, &spans, at, random);
    }

    let mut times = vec![i64::MIN, i64::MAX];
    times.extend((0..8).map(|_| i64::try_from(random.below(1 << 40)).unwrap()));
    // Exactly the times at which an answer changes.
    let known = all.iter().filter_map(|span| span.time_max).map(Timestamp::as_micros);
    times.extend(known.clone().take(4).chain(known.take(4).map(|time| time - 1)));
    for time in times.into_iter().map(Timestamp::from_micros) {
        let later = all.iter().find(|span| span.time_max > Some(time));
        assert_eq!(index.locate_time(time).unwrap(), later.copied(), "{time}");
    }

    for level in [0, 5, 6, 7, 8, 9, 12, NODE_LEVEL_MAX, NODE_LEVEL_MAX + 1, 63, 64, u32::MAX] {
        let count = end.checked_shr(level).unwrap_or(0);
        let mut positions = vec![0, count.saturating_sub(1), count, u64::MAX];
        positions.extend((0..8).map(|_| random.below(count + 1)));
        for position in positions {
            let kept = (NODE_LEVEL_MIN..=NODE_LEVEL_MAX).contains(&level) && position < count;
            let hash = kept.then(|| fake_hash(level, position));
            assert_eq!(index.node(level, position).unwrap(), hash, "node {level} {position}");
        }
    }

    let declared: Vec<_> =
        model.frames.iter().flat_map(|frame| frame.declarations.clone()).collect();
    assert_eq!(collect(index.declarations()), declared);
    index.check().unwrap();
}

fn compare_walks(
    index: &Index,
    spans: &[(SpanRef, Vec<StreamId>)],
    from: u64,
    random: &mut Random,
) {
    let forward = |holds: &dyn Fn(&[StreamId]) -> bool| -> Vec<SpanRef> {
        let chosen = spans.iter().filter(|(span, streams)| span.end_index > from && holds(streams));
        chosen.map(|(span, _)| *span).collect()
    };
    let backward = |holds: &dyn Fn(&[StreamId]) -> bool| -> Vec<SpanRef> {
        let chosen = spans.iter().rev();
        let chosen = chosen.filter(|(span, streams)| span.first_index <= from && holds(streams));
        chosen.map(|(span, _)| *span).collect()
    };
    // Whole walks cost as much as the log is long: a few of them are enough.
    if random.below(8) == 0 {
        assert_eq!(collect(index.spans(from, Direction::Forward)), forward(&|_| true));
        assert_eq!(collect(index.spans(from, Direction::Backward)), backward(&|_| true));
    }
    for stream in [0, 1, random.below(300), u64::from(u32::MAX)] {
        let stream = StreamId(u32::try_from(stream).unwrap());
        let holds = |streams: &[StreamId]| streams.contains(&stream);
        let found = collect(index.spans_of_stream(stream, from, Direction::Forward));
        assert_eq!(found, forward(&holds), "stream {stream} from {from}");
        let found = collect(index.spans_of_stream(stream, from, Direction::Backward));
        assert_eq!(found, backward(&holds), "stream {stream} back from {from}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever was persisted when, and however often the index was opened again: it answers as
    /// vectors would.
    #[test]
    fn answers_are_those_of_vectors(seed: u64) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = cache_folder(&temporary);
        let mut random = Random(!seed);
        let mut index = open(&folder);
        let mut model = Model::new(seed, index.position());
        compare(&index, &model, &mut random);
        let stretch_count = 1 + random.below(80);
        for step in 0..6 {
            model.grow(stretch_count * step / 4);
            feed(&index, &model);
            compare(&index, &model, &mut random);
            if random.below(3) > 0 {
                let durable = &model.frames[usize::try_from(
                    random.below(model.frames.len().max(1) as u64)).unwrap()..];
                let durable_len = durable.first().map_or(0, |frame| frame.end_offset);
                let before = index.persisted().end_offset;
                index.persist(durable_len).unwrap();
                prop_assert!(index.persisted().end_offset <= durable_len.max(before));
                compare(&index, &model, &mut random);
            }
            match random.below(3) {
                0 => {
                    index.truncate_tail();
                    prop_assert_eq!(index.position(), index.persisted());
                }
                1 => index = open(&folder),
                _ => {}
            }
            let persisted = index.persisted();
            prop_assert!(persisted == index.position() || index.unpersisted_len() > 0);
            feed(&index, &model);
            compare(&index, &model, &mut random);
        }
    }
}

#[test]
fn a_log_of_many_stretches_is_answered_from_large_runs() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let (model, index) = persisted_log(&folder, 1, 600);
    let mut random = Random(2);
    compare(&index, &model, &mut random);
    compare(&open_and_feed(&folder, &model), &model, &mut random);
    let names = files(&folder).into_keys().filter(|name| name.starts_with("3-"));
    assert_eq!(names.collect::<Vec<_>>(), ["3-0.run"]);
}

fn open_and_feed(folder: &Path, model: &Model) -> Index {
    let index = open(folder);
    assert!(index.persisted().end_offset > 0);
    feed(&index, model);
    index
}

#[test]
fn readers_see_one_log_while_it_is_fed_and_folded() {
    let temporary = tempfile::tempdir().unwrap();
    let index = open(&cache_folder(&temporary));
    let mut model = Model::new(3, index.position());
    model.grow(70);
    let spans: Vec<SpanRef> = model.spans().into_iter().map(|(span, _)| span).collect();
    let done = AtomicBool::new(false);
    let (done, index, spans) = (&done, &index, &spans);
    std::thread::scope(|scope| {
        for seed in 0..2 {
            scope.spawn(move || {
                let mut random = Random(seed);
                while !done.load(Ordering::Relaxed) {
                    let walk = collect(index.spans(0, Direction::Forward));
                    // The last span may have grown since.
                    let sure = walk.len().saturating_sub(1);
                    assert_eq!(walk[..sure], spans[..sure]);
                    let end = index.position().end_index;
                    if end > 0 {
                        let at = random.below(end);
                        let span = index.locate(at).unwrap().unwrap();
                        assert!(span.first_index <= at && at < span.end_index);
                    }
                }
            });
        }
        for frame in &model.frames {
            index.push(&frame.summary());
            index.persist(frame.end_offset).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}
