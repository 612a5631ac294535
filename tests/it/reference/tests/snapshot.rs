//! Snapshots.

use super::assert_cites;
use super::encoder::{FrameOptions, LOG, Writer, put};
use crate::reference::entry::{self, KIND_ASSET, KIND_SNAPSHOT};
use crate::reference::segment::{decode as decode_segment, dump};
use crate::reference::snapshot::{State, decode};

/// A row of E-7.
fn row(log: [u8; 16], size: u64) -> Vec<u8> {
    let mut row = vec![0; 80];
    put(&mut row, 16, &log);
    put(&mut row, 32, &[size.to_le_bytes(), size.to_le_bytes()].concat());
    row
}

fn snapshot(form: u8, rows: &[Vec<u8>], state: &[u8]) -> Vec<u8> {
    let count = u32::try_from(rows.len()).unwrap().to_le_bytes();
    [&[form, 0, 0, 0], count.as_slice(), &rows.concat(), state].concat()
}

/// A claim of the asset `[7; 32]` of 5 bytes.
pub(super) fn claim() -> Vec<u8> {
    let mut claim = vec![0; 48];
    put(&mut claim, 1, &[10, 5, 0, 1]);
    put(&mut claim, 8, &[5]);
    put(&mut claim, 16, &[7; 32]);
    [claim.as_slice(), b"text/plain", b"a.txt", b"p"].concat()
}

#[test]
fn a_state_is_inline_or_an_asset() {
    let inline = decode(&snapshot(0, &[row([1; 16], 2), row([2; 16], 3)], b"state")).unwrap();
    assert_eq!(inline.frontier.iter().map(|row| row.size).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(inline.state, State::Inline(b"state".to_vec()));
    assert_eq!(decode(&snapshot(0, &[], b"")).unwrap().state, State::Inline(Vec::new()));
    let named = [5_u64.to_le_bytes().as_slice(), &[7; 32]].concat();
    let asset = decode(&snapshot(1, &[], &named)).unwrap();
    assert_eq!(asset.state, State::Asset { size: 5, id: [7; 32] });

    assert_cites(decode(&snapshot(2, &[], b"")), "H-8: snapshot form 2");
    assert_cites(decode(&snapshot(1, &[], &named[1..])), "H-8: 39 bytes name an asset");
    assert_cites(decode(&[0; 7]), "H-8: a snapshot of 7 bytes");
    let mut sound = snapshot(0, &[row([1; 16], 2)], b"");
    assert_cites(decode(&sound[..87]), "H-8: 80 bytes of rows in 87");
    sound[3] = 1;
    assert_cites(decode(&sound), "H-8, G-3");
    let descending = snapshot(0, &[row([2; 16], 1), row([1; 16], 1)], b"");
    assert_cites(decode(&descending), "E-7");
}

/// A change, then a group of a snapshot and, if there is one, an entry of kind asset; the notes.
fn notes(snapshot: &[u8], claim: Option<&[u8]>) -> Vec<String> {
    let mut writer = Writer::new();
    writer.commit_change(b"a", FrameOptions::default());
    let mut entry = writer.change(snapshot);
    entry.kind = KIND_SNAPSHOT;
    let flags = if claim.is_some() { 7 } else { 3 };
    writer.commit(&[entry], FrameOptions { flags, ..FrameOptions::default() });
    if let Some(claim) = claim {
        let mut entry = writer.change(claim);
        entry.kind = KIND_ASSET;
        writer.commit(&[entry], FrameOptions::default());
    }
    let segment = decode_segment(&writer.file).unwrap();
    assert_eq!(dump(&segment).contains("    state "), decode(snapshot).is_ok());
    segment.notes
}

#[test]
fn a_snapshot_covers_what_comes_before_it() {
    let covers = |size| notes(&snapshot(0, &[row(LOG, size)], b""), None);
    assert_eq!(covers(1), [""; 0]);
    assert_eq!(covers(2), ["H-8: the frontier covers the snapshot itself, in the snapshot 1"]);
    assert_eq!(notes(b"", None), ["H-8: a snapshot of 0 bytes, in the snapshot 1"]);
}

#[test]
fn the_asset_of_a_snapshot_is_claimed_in_its_group() {
    let named = |size: u64| [size.to_le_bytes().as_slice(), &[7; 32]].concat();
    let state = |size| snapshot(1, &[], &named(size));
    let unclaimed = ["H-8: no entry of the group claims the asset, in the snapshot 1"];
    assert_eq!(notes(&state(5), Some(&claim())), [""; 0]);
    assert_eq!(notes(&state(5), None), unclaimed);
    assert_eq!(notes(&state(6), Some(&claim())), unclaimed);
    assert_eq!(notes(&state(5), Some(b"broken")), unclaimed);
}

#[test]
fn claims_are_as_the_table_says() {
    let sound = claim();
    assert_eq!(entry::claim(&sound).unwrap(), entry::Claim { size: 5, id: [7; 32] });
    for (offset, value, rule) in [
        (0, 1, "A-2: claim form 1"),
        (1, 128, "L-1: a media type"),
        (2, 4, "A-2: a claim of"),
        (3, 1, "A-2, G-3"),
        (5, 5, "L-1: a preview"),
        (6, 1, "A-2, G-3"),
        (14, 1, "L-1: an asset of"),
        (48, b' ', "A-2: media type"),
        (58, b'/', "A-2: name"),
        (58, 0x7F, "A-2: name"),
        (58, 0xFF, "A-2: name"),
    ] {
        let mut changed = sound.clone();
        changed[offset] = value;
        assert_cites(entry::claim(&changed), rule);
    }
    assert_cites(entry::claim(&sound[..47]), "A-2: a claim of 47 bytes");
}
