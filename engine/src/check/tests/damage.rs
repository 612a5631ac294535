//! Damage of every kind to a small segment.

use super::*;

#[test]
fn sound_workspaces_are_clean() {
    for end in [End::Closed, End::Crashed] {
        let sample = sample(end);
        let memory = sample.memory();
        for depth in DEPTHS {
            let report = memory.check(depth);
            assert_eq!(report.findings, [], "{report:#?}");
            let log = &report.logs[0];
            assert_eq!((report.exit_code(), log.frames), (0, sample.frames.len() as u64));
            assert_eq!(log.entries, sample.frames.last().unwrap().entries.end);
            let verdict = match end {
                End::Closed => Verdict::Clean,
                // What was written ahead is left.
                End::Crashed | End::PowerLoss => Verdict::Preallocated,
            };
            assert_eq!(log.verdict, Some(verdict));
        }
        let workspace =
            Workspace::open_read_only_on(memory.disk.clone(), Path::new("w"), Options::default());
        let root = workspace.unwrap().own_log().root().unwrap();
        assert_eq!(memory.check(Depth::Payloads).logs[0].root, Some(root));
        assert_eq!(memory.check(Depth::Structure).logs[0].root, Some(root));
    }
}

#[test]
fn every_flipped_bit_of_a_frame_is_found_and_costs_that_frame_alone() {
    let sample = sample(End::Closed);
    let memory = sample.memory();
    assert!(sample.frames.len() >= 4, "{} frames", sample.frames.len());
    for frame in &sample.frames {
        for at in frame.bytes.clone() {
            for bit in 0..8 {
                memory.flip(at, bit);
                for depth in DEPTHS {
                    let report = memory.check(depth);
                    assert!(damaged(&report), "byte {at} bit {bit}: {report:#?}");
                    let mut errors = report.errors();
                    let (first, more) = (errors.next().unwrap(), errors.next());
                    assert_eq!(more, None, "byte {at} bit {bit}");
                    assert_eq!(first.offset, Some(frame.bytes.start as u64));
                    assert_eq!(first.lost, Some(frame.entries.clone().into()), "byte {at}");
                }
            }
            assert_eq!(memory.read(), sample.payloads_without(&(at..at + 1)), "byte {at}");
            memory.restore(at);
        }
    }
}

#[test]
fn a_flipped_bit_of_the_head_is_found_and_costs_nothing() {
    let sample = sample(End::Closed);
    let memory = sample.memory();
    let all = memory.read();
    for at in 0..usize::try_from(HEAD_LEN).unwrap() {
        memory.flip(at, u8::try_from(at % 8).unwrap());
        for depth in DEPTHS {
            let report = memory.check(depth);
            let expected = if at < 8192 { Code::BadHeaderUnit } else { Code::BadCheckpoint };
            assert_eq!(codes(&report), [expected], "byte {at}: {report:#?}");
            assert_eq!(report.findings[0].offset, Some(at as u64 & !4095));
            assert_eq!(report.exit_code(), 4);
        }
        if at % 61 == 0 {
            assert_eq!(memory.read(), all, "byte {at}");
        }
        memory.restore(at);
    }
}

#[test]
fn a_closed_log_that_is_cut_anywhere_is_damaged() {
    let sample = sample(End::Closed);
    let memory = sample.memory();
    let entries = sample.frames.last().unwrap().entries.end;
    for len in (0..16_384).step_by(97).chain(16_384..sample.end()) {
        memory.set(&sample.bytes()[..len]);
        for depth in DEPTHS {
            let report = memory.check(depth);
            assert_eq!(report.exit_code(), 4, "cut at {len}");
            let error = report.errors().next().unwrap();
            if len < 16_384 {
                assert_eq!(error.code, Code::BadHead, "cut at {len}: {error}");
                continue;
            }
            let kept = sample.frames.iter().rev().find(|frame| frame.bytes.end <= len);
            let kept = kept.map_or(0, |frame| frame.entries.end);
            assert_eq!(error.code, Code::MissingEnd, "cut at {len}: {error}");
            assert_eq!(error.lost, Some((kept..entries).into()), "cut at {len}");
        }
        if len >= 16_384 {
            let lost = len..sample.end();
            assert_eq!(memory.read(), sample.payloads_without(&lost), "cut at {len}");
        }
    }
}

#[test]
fn a_crashed_log_that_is_cut_above_its_watermark_has_a_torn_tail() {
    let sample = sample(End::PowerLoss);
    let memory = sample.memory();
    for len in 16_384..sample.end() {
        memory.set(&sample.bytes()[..len]);
        // Without a checkpoint only the frames, and the header of the torn one, tell what was durable.
        let told = sample.frames.iter().filter(|frame| frame.bytes.start + 72 <= len);
        let watermark = told.map(|frame| frame.synced_upto).max().unwrap_or(0);
        assert!(watermark <= len as u64, "a watermark above the cut");
        let boundary = sample.frames.iter().any(|frame| frame.bytes.start == len);
        for depth in DEPTHS {
            let report = memory.check(depth);
            assert_eq!(report.exit_code(), 0, "cut at {len}: {report:#?}");
            let expected: &[Code] = if boundary { &[] } else { &[Code::TornTail] };
            assert_eq!(codes(&report), expected, "cut at {len}");
        }
        assert_eq!(memory.read(), sample.payloads_without(&(len..sample.end())), "cut at {len}");
    }
}

#[test]
fn a_crashed_log_with_a_flipped_bit_is_damaged_below_its_last_frame() {
    for end in [End::Crashed, End::PowerLoss] {
        let sample = sample(end);
        let memory = sample.memory();
        let last = sample.frames.last().unwrap();
        for frame in &sample.frames {
            for at in frame.bytes.clone().step_by(3) {
                memory.flip(at, 0);
                let report = memory.check(Depth::Structure);
                if frame.bytes == last.bytes && end == End::PowerLoss {
                    // The limit that R-8 names.
                    assert_eq!(codes(&report), [Code::TornTail], "byte {at}: {report:#?}");
                } else {
                    assert!(damaged(&report), "byte {at}: {report:#?}");
                    let lost: Vec<_> = report.errors().filter_map(|error| error.lost).collect();
                    assert_eq!(lost, [frame.entries.clone().into()], "byte {at}");
                }
                memory.restore(at);
            }
        }
    }
}

/// The process died, so the lock file tells what was acknowledged: no cut is taken for a torn tail.
#[test]
fn a_killed_writers_log_that_is_cut_anywhere_is_damaged() {
    let sample = sample(End::Crashed);
    let memory = sample.memory();
    let entries = sample.frames.last().unwrap().entries.end;
    for len in 16_384..sample.end() {
        memory.set(&sample.bytes()[..len]);
        let kept = sample.frames.iter().rev().find(|frame| frame.bytes.end <= len);
        let kept = kept.map_or(0, |frame| frame.entries.end);
        for depth in DEPTHS {
            let report = memory.check(depth);
            assert!(damaged(&report), "cut at {len}: {report:#?}");
            let error = report.errors().next().unwrap();
            assert_eq!(error.code, Code::MissingEnd, "cut at {len}: {error}");
            assert_eq!(error.lost, Some((kept..entries).into()), "cut at {len}");
            assert_eq!(report.logs[0].entries, entries);
        }
        assert_eq!(memory.read(), sample.payloads_without(&(len..sample.end())), "cut at {len}");
    }
}

#[test]
fn frames_in_wrong_places_are_found() {
    let sample = sample(End::Closed);
    let memory = sample.memory();
    let parts: Vec<&[u8]> =
        sample.frames.iter().map(|frame| &sample.bytes()[frame.bytes.clone()]).collect();
    let head = &sample.bytes()[..16_384];
    let count = parts.len();
    for a in 0..count {
        for b in 0..count {
            // Swapped, if they are not the same.
            let mut order: Vec<usize> = (0..count).collect();
            order.swap(a, b);
            let swapped = order.iter().flat_map(|&part| parts[part].to_vec());
            let swapped: Vec<u8> = head.iter().copied().chain(swapped).collect();
            // One copied over the other as far as it goes.
            let mut copied = sample.bytes().to_vec();
            let len = parts[a].len().min(parts[b].len());
            let start = sample.frames[b].bytes.start;
            copied[start..start + len].copy_from_slice(&parts[a][..len]);
            for bytes in [swapped, copied] {
                if bytes == sample.bytes() {
                    continue;
                }
                memory.set(&bytes);
                for depth in DEPTHS {
                    let report = memory.check(depth);
                    assert!(damaged(&report), "{a} and {b}: {report:#?}");
                    let found = codes(&report);
                    assert!(found.contains(&Code::WrongOffset), "{a} and {b}: {found:?}");
                }
            }
        }
    }
    // A frame twice: the second one is behind the checkpoint, so that it is no damage.
    let doubled = [sample.bytes(), parts[count - 1]].concat();
    memory.set(&doubled);
    assert_eq!(codes(&memory.check(Depth::Structure)), [Code::TornTail]);
}

#[test]
fn zeroed_sectors_are_found() {
    let sample = sample(End::Closed);
    let memory = sample.memory();
    for start in (16_384..sample.end()).step_by(512) {
        let range = start..sample.end().min(start + 512);
        let mut bytes = sample.bytes().to_vec();
        bytes[range.clone()].fill(0);
        memory.set(&bytes);
        for depth in DEPTHS {
            let report = memory.check(depth);
            assert!(damaged(&report), "zeros from {start}: {report:#?}");
            let lost: u64 = report
                .errors()
                .filter_map(|error| error.lost)
                .map(|lost| lost.end.unwrap() - lost.first)
                .sum();
            let hit = sample
                .frames
                .iter()
                .filter(|frame| frame.bytes.start < range.end && range.start < frame.bytes.end);
            let expected: u64 = hit.map(|frame| frame.entries.end - frame.entries.start).sum();
            assert_eq!(lost, expected, "zeros from {start}: {report:#?}");
        }
        assert_eq!(memory.read(), sample.payloads_without(&range), "zeros from {start}");
    }
}

#[test]
fn a_hole_before_sound_frames_that_nothing_vouches_for_is_named() {
    // One commit of several frames, stopped before its checkpoint: none of them tells of the others.
    let options = Options::default().batch_len(1 << 10);
    let sample = sample_with(End::PowerLoss, options, |workspace| {
        for _ in 0..8 {
            append(workspace, &[1; 900]);
        }
        workspace.commit().unwrap();
    });
    let memory = sample.memory();
    let mut bytes = sample.bytes().to_vec();
    bytes[8192..16_384].fill(0);
    let second = sample.frames[1].bytes.clone();
    bytes[second.start + 100] ^= 1;
    memory.set(&bytes);
    for depth in DEPTHS {
        let report = memory.check(depth);
        assert_eq!(codes(&report), [Code::UnsyncedHole], "{report:#?}");
        assert_eq!(report.findings[0].offset, Some(second.start as u64));
        assert_eq!(report.findings[0].lost, Some(sample.frames[1].entries.clone().into()));
        assert_eq!(report.exit_code(), 4);
    }
}

#[test]
fn a_group_without_its_end_is_a_torn_tail_from_its_start() {
    let options = Options::default().batch_len(1 << 10);
    let sample = sample_with(End::PowerLoss, options, |workspace| {
        append(workspace, b"alone");
        workspace.commit().unwrap();
        let parts: Vec<Vec<u8>> = (0..6_u8).map(|part| vec![part; 900]).collect();
        let changes: Vec<Change> = parts.iter().map(|part| Change::new(part)).collect();
        workspace.append_all(&changes).unwrap().wait_durable().unwrap();
    });
    assert!(sample.frames.len() > 3, "{} frames", sample.frames.len());
    let memory = sample.memory();
    // As if the checkpoint behind the group had not been written.
    let mut bytes = sample.bytes().to_vec();
    bytes[8192..16_384].fill(0);
    let group = sample.frames[1].bytes.start;
    for len in group + 1..sample.end() {
        memory.set(&bytes[..len]);
        let report = memory.check(Depth::Structure);
        assert_eq!(codes(&report), [Code::TornTail], "cut at {len}: {report:#?}");
        assert_eq!(report.findings[0].offset, Some(group as u64), "cut at {len}");
        assert_eq!(report.logs[0].entries, 1);
    }
}

#[test]
fn a_checkpoint_that_contradicts_the_frames_is_found() {
    use crate::log::{checkpoint_context, slot_offset};
    type Twist = fn(&mut crate::log::LogState);
    let sample = sample(End::Closed);
    let memory = sample.memory();
    let segment =
        Segment::load(&*memory.disk, &Path::new("w").join(&sample.segment), Access::Read).unwrap();
    let sound = segment.checkpoint().unwrap();
    let context = checkpoint_context(&segment.header, &segment.keys);
    let twists: [(&str, Depth, Twist); 6] = [
        ("frame_count", Depth::Structure, |state| state.frame_count += 1),
        ("payload_bytes", Depth::Structure, |state| state.payload_bytes += 1),
        ("last_header_crc", Depth::Structure, |state| state.link ^= 1),
        ("change_count", Depth::Payloads, |state| state.change_count += 1),
        ("lamport", Depth::Payloads, |state| state.lamport += 1),
        ("stream_count", Depth::Payloads, |state| state.stream_count += 1),
    ];
    for (field, depth, twist) in twists {
        let mut wrong = sound.clone();
        twist(&mut wrong.state);
        let bytes = wrong.encode(&context);
        memory.segment.write_all_at(&bytes, slot_offset(wrong.slot())).unwrap();
        let report = memory.check(depth);
        assert_eq!(codes(&report), [Code::WrongCheckpoint], "{field}: {report:#?}");
        assert!(report.findings[0].what.contains(field), "{}", report.findings[0]);
    }
}
