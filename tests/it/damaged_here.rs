//! What is exchanged of logs that are damaged here: what is sound, and all of the others.

use annals::{Change, Clock, Corruption, Frontier, Hindrance, Options, Workspace};

use crate::support::{Random, put, segment_path};

fn options() -> Options {
    Options::default().clock(Clock::None)
}

fn bundle_of(workspace: &Workspace, since: &Frontier) -> Vec<u8> {
    let mut bundle = Vec::new();
    assert!(workspace.export(since, &mut bundle).unwrap().cut.is_empty());
    bundle
}

fn frontier(workspace: &Workspace) -> Frontier {
    workspace.frontier().unwrap()
}

/// Somebody who has two logs of others, of 40 entries each in groups of two; closed.
struct Held {
    folder: tempfile::TempDir,
    writers: Vec<Workspace>,
}

impl Held {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let first = Workspace::create(folder.path().join("w0"), options()).unwrap();
        let join = |name| Workspace::join(folder.path().join(name), first.id(), options()).unwrap();
        let (second, holder) = (join("w1"), join("holder"));
        let writers = vec![first, second];
        for writer in &writers {
            // In two imports: what the second one wrote says that the first one's part was durable.
            for number in 0..20_u8 {
                writer.append_all(&[Change::new(&[number]); 2]).unwrap().wait_durable().unwrap();
                if number % 10 == 9 {
                    holder.import(&bundle_of(writer, &Frontier::empty())[..]).unwrap();
                }
            }
        }
        put(&holder, b"own");
        holder.close().unwrap();
        Self { folder, writers }
    }

    /// Flips a bit of a frame of the first log, in its payload or, as C-4 finds it, in its trailer; without a
    /// checkpoint if `tail` says so, behind which the damage lies then.
    fn damaged(&self, frame: usize, trailer: bool, tail: bool) -> Workspace {
        let path = segment_path(&self.folder.path().join("holder"), self.writers[0].own_log().id());
        let frame = &crate::support::decode_file(&path).frames[frame];
        let at = if trailer { frame.end() - 2 } else { frame.frame_offset + 100 };
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[usize::try_from(at).unwrap()] ^= 1;
        if tail {
            bytes[8192..16384].fill(0);
        }
        std::fs::write(&path, bytes).unwrap();
        self.open()
    }

    fn open(&self) -> Workspace {
        Workspace::open(self.folder.path().join("holder"), options()).unwrap()
    }

    fn join(&self, name: &str) -> Workspace {
        Workspace::join(self.folder.path().join(name), self.writers[0].id(), options()).unwrap()
    }
}

#[test]
fn a_damaged_replica_goes_as_far_as_it_is_sound_and_holds_up_no_other() {
    // In the middle, in the last frame below the checkpoint, known from the opening on, behind the checkpoint.
    let cases = [(7, false, false), (19, false, false), (19, true, false), (7, false, true)];
    for (frame, trailer, tail) in cases {
        let held = Held::new();
        let holder = held.damaged(frame, trailer, tail);
        assert_eq!(holder.logs().iter().any(|log| log.damage().is_some()), trailer || tail);
        let [first, second] = [0, 1].map(|n| held.writers[n].own_log());
        let sound = 2 * frame as u64;
        let mut bundle = Vec::new();
        let report = holder.export(&Frontier::empty(), &mut bundle).unwrap();
        assert_eq!(report.cut.len(), 1, "{frame} {tail}");
        assert_eq!((report.cut[0].log, report.cut[0].size), (first.id(), sound));
        assert!(matches!(report.cut[0].reason, Hindrance::Damaged(Corruption { .. })));
        let there = held.join("there");
        there.import(&bundle[..]).unwrap();
        let row = frontier(&there);
        assert_eq!(row.size(first.id()), sound);
        assert_eq!(row.row(first.id()).unwrap().root, first.root_at(sound).unwrap());
        assert_eq!(row.size(second.id()), 40);
        // As far as it is known without reading everything, the frontier says the same.
        let own_view = frontier(&holder);
        assert_eq!(own_view.size(second.id()), 40);
        if tail || frame == 19 {
            assert_eq!(own_view.row(first.id()), row.row(first.id()));
        }
        // What continues the log comes in all the same, unless the damage is behind the checkpoint.
        for writer in &held.writers {
            put(writer, b"later");
        }
        let late = bundle_of(&held.writers[0], &Frontier::empty());
        let taken = holder.import(&late[..]).unwrap();
        assert_eq!(taken.refused.len(), usize::from(tail), "{frame} {tail}");
        if tail {
            assert_eq!((taken.refused[0].log, taken.refused[0].size), (first.id(), sound));
            assert_eq!(frontier(&holder).size(first.id()), sound);
        } else {
            let kept = holder.log(first.id()).unwrap();
            assert_eq!(kept.root().unwrap(), first.root().unwrap());
            assert_eq!(kept.entry(40).unwrap().payload().unwrap(), b"later");
        }
        // A bundle of both: the sound one is taken.
        let carrier = held.join("carrier");
        for writer in &held.writers {
            carrier.import(&bundle_of(writer, &Frontier::empty())[..]).unwrap();
        }
        let both = bundle_of(&carrier, &Frontier::empty());
        let report = holder.import(&both[..]).unwrap();
        assert_eq!(report.refused.len(), usize::from(tail));
        assert_eq!(frontier(&holder).size(second.id()), 41);
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_not_written_over() {
    let held = Held::new();
    let [first, second] = [0, 1].map(|n| held.writers[n].own_log().id());
    let path = segment_path(&held.folder.path().join("holder"), first);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..8192].fill(0xFF);
    std::fs::write(&path, &bytes).unwrap();
    let holder = held.open();
    let mut bundle = Vec::new();
    let report = holder.export(&Frontier::empty(), &mut bundle).unwrap();
    assert!(matches!(report.cut[0].reason, Hindrance::Unreadable { .. }));
    assert_eq!((report.cut[0].log, report.logs), (first, 2));
    put(&held.writers[1], b"later");
    let carrier = held.join("carrier");
    for writer in &held.writers {
        carrier.import(&bundle_of(writer, &Frontier::empty())[..]).unwrap();
    }
    let report = holder.import(&bundle_of(&carrier, &Frontier::empty())[..]).unwrap();
    assert_eq!((report.refused.len(), report.refused[0].log, report.entries), (1, first, 1));
    assert_eq!(frontier(&holder).size(second), 41);
    assert!(std::fs::read(&path).unwrap() == bytes);
}

#[test]
fn who_is_ahead_of_damage_gets_what_comes_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = Workspace::create(folder.path().join("first"), options()).unwrap();
    let join =
        |name: &str| Workspace::join(folder.path().join(name), first.id(), options()).unwrap();
    let (holder, ahead, behind) = (join("holder"), join("ahead"), join("behind"));
    let mut random = Random::new(8);
    for number in 0..600 {
        put(&first, &random.bytes(1000));
        first.commit().unwrap();
        if number == 589 {
            ahead.import(&bundle_of(&first, &Frontier::empty())[..]).unwrap();
        }
    }
    holder.import(&bundle_of(&first, &Frontier::empty())[..]).unwrap();
    holder.close().unwrap();
    let log = first.own_log().id();
    let path = segment_path(&folder.path().join("holder"), log);
    let offset = crate::support::decode_file(&path).frames[7].frame_offset;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(offset).unwrap() + 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let holder = Workspace::open(folder.path().join("holder"), options()).unwrap();
    let report = ahead.import(&bundle_of(&holder, &frontier(&ahead))[..]).unwrap();
    assert_eq!((report.entries, frontier(&ahead).size(log)), (10, 600));
    let mut bundle = Vec::new();
    let report = holder.export(&frontier(&behind), &mut bundle).unwrap();
    assert_eq!((report.entries, report.cut.len()), (7, 1));
    behind.import(&bundle[..]).unwrap();
    assert_eq!(frontier(&behind).size(log), 7);
}
