//! What is done to a segment at rest, and what must be told of it.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use annals::{
    check::Report,
    frame::{FRAME_HEADER_LEN, FrameHeader},
    log::SegmentHeader,
};

use super::{Stop, world::World};
use crate::simulation::{OWN, Random};

/// Length of the head of a segment, and of each of its four parts.
const HEAD_LEN: usize = 16_384;
const PART_LEN: usize = 4096;
const SECTOR_LEN: usize = 512;

/// What is done to a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Harm {
    /// Some bits are others.
    Bits,
    /// Sectors hold zeros.
    Zeros,
    /// Two sectors hold each other's content.
    Swapped,
    /// The file is shorter.
    Cut,
    /// A bit of one of the four parts of the head is another.
    Head,
    /// The whole file is as it was earlier.
    Older,
}

/// What is harmed, and what it was.
pub(super) struct Wound {
    pub(super) harm: Harm,
    pub(super) path: PathBuf,
    pub(super) is_own: bool,
    pub(super) truth: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    /// Entries that are gone.
    pub(super) lost: Vec<Range<u64>>,
}

/// Where a frame is, and its entries.
type Place = (Range<usize>, Range<u64>);

/// The entries of the frames of a segment up to the first bad one, with the bytes that hold them.
pub(super) fn frames_of(segment: &[u8]) -> Result<Vec<Place>, Stop> {
    let (header, _) = SegmentHeader::decode(segment).map_err(Stop::broken)?;
    let context = header.frames();
    let mut frames = Vec::new();
    let mut at = HEAD_LEN;
    while let Some(bytes) =
        segment.get(at..).and_then(|rest| rest.first_chunk::<FRAME_HEADER_LEN>())
    {
        let Ok(header) = FrameHeader::decode(bytes, at as u64, &context) else { break };
        let end = at + usize::try_from(header.len(context.align_log2)).expect("in memory");
        let frame = segment.get(at..end);
        if frame.is_none_or(|frame| header.payload(frame, &context).is_err()) {
            break;
        }
        frames.push((at..end, header.first_index..header.end_index()));
        at = end;
    }
    Ok(frames)
}

/// The ranges joined where they touch.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

impl Wound {
    /// The segment as it is after some damage; `None` if it is not damaged.
    pub(super) fn draw(
        world: &World,
        is_own: bool,
        random: &mut Random,
    ) -> Result<Option<Self>, Stop> {
        let log = if is_own { world.own_log() } else { Some(world.peer.log) };
        let Some(log) = log else { return Ok(None) };
        let path = Path::new(OWN).join("logs").join(format!("{log}.seg"));
        let Some(truth) = world.disk.content(&path) else { return Ok(None) };
        let mut bytes = truth.clone();
        let mut below = |end: usize| usize::try_from(random.below(end as u64)).expect("in memory");
        let body = truth.len() - HEAD_LEN;
        let harm = match below(12) {
            0..=3 => Harm::Bits,
            4 | 5 => Harm::Zeros,
            6 | 7 => Harm::Swapped,
            8 => Harm::Cut,
            9 => Harm::Head,
            _ => Harm::Older,
        };
        if body == 0 && harm != Harm::Head {
            return Ok(None);
        }
        match harm {
            Harm::Bits => {
                let at = HEAD_LEN + below(body);
                for _ in 0..=below(3) {
                    let at = (at + below(64)).min(truth.len() - 1);
                    bytes[at] ^= 1 << below(8);
                }
            }
            Harm::Zeros => {
                let at = HEAD_LEN + below(body) / SECTOR_LEN * SECTOR_LEN;
                let end = truth.len().min(at + SECTOR_LEN * (1 + below(8)));
                bytes[at..end].fill(0);
            }
            Harm::Swapped => {
                let sectors = body / SECTOR_LEN;
                if sectors < 2 {
                    return Ok(None);
                }
                let (one, other) = (below(sectors), below(sectors));
                for at in 0..SECTOR_LEN {
                    let place = |sector: usize| HEAD_LEN + sector * SECTOR_LEN + at;
                    bytes.swap(place(one), place(other));
                }
            }
            Harm::Cut => {
                // Mostly near the end.
                let len =
                    if below(4) == 0 { below(truth.len()) } else { truth.len() - 1 - below(body) };
                bytes.truncate(len);
            }
            Harm::Head => {
                let at = PART_LEN * below(4) + below(PART_LEN);
                bytes[at] ^= 1 << below(8);
            }
            Harm::Older => match &world.older {
                Some((older, _)) if is_own && older.len() < truth.len() => bytes.clone_from(older),
                _ => return Ok(None),
            },
        }
        if bytes == truth {
            return Ok(None);
        }
        let is_lost = |at: &Range<usize>| bytes.get(at.clone()) != Some(&truth[at.clone()]);
        let lost = if harm == Harm::Older {
            let from = world.older.as_ref().map_or(0, |(_, size)| *size);
            joined(std::iter::once(from..world.ledger.end()).collect())
        } else {
            let frames = frames_of(&truth)?;
            let gone = frames.into_iter().filter(|(at, _)| is_lost(at));
            joined(gone.map(|(_, entries)| entries).collect())
        };
        Ok(Some(Self { harm, path, is_own, truth, bytes, lost }))
    }

    /// Whether the head cannot be read, so that nothing is known of the log.
    pub(super) fn is_beheaded(&self) -> bool {
        self.bytes.len() < HEAD_LEN
    }

    /// What the checker must say.
    pub(super) fn check_report(&self, report: &Report, end: u64) -> Result<(), Stop> {
        let here = || report.errors().filter(|finding| finding.path == self.path);
        if here().next().is_none() {
            return Err(Stop::Broken("the checker finds nothing".to_owned()));
        }
        if self.is_beheaded() {
            return Ok(());
        }
        let ranges = here().filter_map(|finding| finding.lost);
        let told = joined(ranges.map(|lost| lost.first..lost.end.unwrap_or(end)).collect());
        let lost = &self.lost;
        let is_told = match (self.harm, &told[..], &lost[..]) {
            // The index knows what there was up to its own end.
            (Harm::Older, [told], [lost]) => told.start == lost.start && told.end <= lost.end,
            _ => told == *lost,
        };
        if is_told {
            return Ok(());
        }
        let found: Vec<String> = here().map(ToString::to_string).collect();
        Err(Stop::Broken(format!(
            "{lost:?} are lost, told are {told:?}:\n  {}",
            found.join("\n  ")
        )))
    }
}

impl World {
    /// The own log, as the metadata say.
    pub(super) fn own_log(&self) -> Option<annals::LogId> {
        let path = Path::new(OWN).join("index.json");
        let bytes = self.disk.content(path)?;
        let text = String::from_utf8(bytes).ok()?;
        // `"log": "<uuid>"`: the members have no other of that name.
        let (_, rest) = text.split_once("\"log\"")?;
        rest.split('"').nth(1)?.parse().ok()
    }
}
