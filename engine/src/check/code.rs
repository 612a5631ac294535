//! The kinds of findings: their names, how bad they are, and what to do.

use std::fmt;

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing, nothing wrong.
    Note,
    /// Something is wrong.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Error => "error",
        })
    }
}

/// What kind of thing was found. The names ([`Code::name`]) are stable.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Code {
    /// The head of a segment cannot be used at all.
    BadHead,
    /// One of the two copies of the segment header is damaged; the other serves.
    BadHeaderUnit,
    /// A checkpoint slot is damaged, or was torn by a crash while it was written.
    BadCheckpoint,
    /// A sound checkpoint says something else than the frames before it.
    WrongCheckpoint,
    /// No sound frame header stands where a frame should start.
    BadFrameHeader,
    /// The payload of a frame fails its checksum.
    BadPayload,
    /// The bytes behind the payload of a frame are wrong.
    BadTrailer,
    /// A frame is sound, its batch is not.
    BadBatch,
    /// A frame does not link to the one before it.
    BrokenLink,
    /// The entries of a frame do not continue those before it.
    IndexGap,
    /// A frame is of an earlier opening than what stands before it.
    WrongOpening,
    /// A frame stands at another offset than it was written to.
    WrongOffset,
    /// The entries do not lead to the root that their batch names.
    WrongRoot,
    /// A frame claims durable bytes up to a place where no group of frames ends.
    WrongWatermark,
    /// A frame of another log or generation.
    ForeignFrame,
    /// Two copies of this log were written to.
    ForkedLog,
    /// An atomic group was acknowledged, and its last frame is missing.
    IncompleteGroup,
    /// The file ends before what is known to have been durable.
    MissingEnd,
    /// A log has fewer entries than this client has had, or others have had of its own log.
    ShorterThanKnown,
    /// A log is of another history than another log has seen of it.
    RootContradicts,
    /// Sound frames stand behind bad bytes; none of it is recorded as durable.
    UnsyncedHole,
    /// Unacknowledged bytes at the end, as a crash leaves them.
    TornTail,
    /// Written by a later version of the format.
    Unsupported,
    /// A segment of another log, client or workspace than its name or the metadata says.
    SegmentMismatch,
    /// The segment of this client's own log is missing.
    MissingSegment,
    /// `index.json` is missing or cannot be used.
    BadMetadata,
    /// An index run is torn, damaged, or of another file.
    DamagedIndex,
    /// An index run says something else than the segment.
    StaleIndex,
    /// An index run that is not used: a larger one covers the same, or one before it is missing.
    LeftoverIndex,
    /// A file that was never finished.
    UnfinishedFile,
    /// Bytes that were saved before they were cut off a segment.
    SavedCut,
    /// A segment under a name that is not the one of a log, as programs that synchronize folders leave it.
    StraySegment,
    /// A file that is none of a workspace.
    ForeignFile,
    /// The workspace is being written: its logs were checked as far as they are durable.
    LiveWriter,
    /// There is more damage of this log than is listed.
    MoreDamage,
    /// A log could not be healed from the replicas given.
    NotHealed,
    /// The head of a pack cannot be used: no asset in it can be read.
    BadPackHead,
    /// One of the two copies of a pack's header is damaged; the other serves.
    BadPackUnit,
    /// A pack of another workspace, or under another name than its own.
    PackMismatch,
    /// A record of a pack is damaged.
    BadRecord,
    /// A chunk of an asset is damaged; the others can be read.
    BadChunk,
    /// Bytes at the end of a shared pack, as a crash leaves them.
    PackTornTail,
    /// What is pinned cannot be read.
    BadPins,
    /// An asset of which not all is here: what is here is damaged, or nothing says what it is.
    BadPartial,
    /// This client claims assets that are not on this device.
    AssetNotHere,
    /// Assets that no log claims.
    OrphanAsset,
}

impl Code {
    /// The name for programs, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadHead => "bad-head",
            Self::BadHeaderUnit => "bad-header-unit",
            Self::BadCheckpoint => "bad-checkpoint",
            Self::WrongCheckpoint => "wrong-checkpoint",
            Self::BadFrameHeader => "bad-frame-header",
            Self::BadPayload => "bad-payload",
            Self::BadTrailer => "bad-trailer",
            Self::BadBatch => "bad-batch",
            Self::BrokenLink => "broken-link",
            Self::IndexGap => "index-gap",
            Self::WrongOpening => "wrong-opening",
            Self::WrongOffset => "wrong-offset",
            Self::WrongRoot => "wrong-root",
            Self::WrongWatermark => "wrong-watermark",
            Self::ForeignFrame => "foreign-frame",
            Self::ForkedLog => "forked-log",
            Self::IncompleteGroup => "incomplete-group",
            Self::MissingEnd => "missing-end",
            Self::ShorterThanKnown => "shorter-than-known",
            Self::RootContradicts => "root-contradicts",
            Self::UnsyncedHole => "unsynced-hole",
            Self::TornTail => "torn-tail",
            Self::Unsupported => "unsupported",
            Self::SegmentMismatch => "segment-mismatch",
            Self::MissingSegment => "missing-segment",
            Self::BadMetadata => "bad-metadata",
            Self::DamagedIndex => "damaged-index",
            Self::StaleIndex => "stale-index",
            Self::LeftoverIndex => "leftover-index",
            Self::UnfinishedFile => "unfinished-file",
            Self::SavedCut => "saved-cut",
            Self::StraySegment => "stray-segment",
            Self::ForeignFile => "foreign-file",
            Self::LiveWriter => "live-writer",
            Self::MoreDamage => "more-damage",
            Self::NotHealed => "not-healed",
            Self::BadPackHead => "bad-pack-head",
            Self::BadPackUnit => "bad-pack-unit",
            Self::PackMismatch => "pack-mismatch",
            Self::BadRecord => "bad-record",
            Self::BadChunk => "bad-chunk",
            Self::PackTornTail => "pack-torn-tail",
            Self::BadPins => "bad-pins",
            Self::BadPartial => "bad-partial",
            Self::AssetNotHere => "asset-not-here",
            Self::OrphanAsset => "orphan-asset",
        }
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::TornTail
            | Self::LeftoverIndex
            | Self::UnfinishedFile
            | Self::SavedCut
            | Self::StraySegment
            | Self::ForeignFile
            | Self::PackTornTail
            | Self::AssetNotHere
            | Self::OrphanAsset
            | Self::LiveWriter => Severity::Note,
            _ => Severity::Error,
        }
    }

    /// What to do about it, as a sentence.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::BadHead => {
                "Nothing of the log can be read without it; annals-fsck --repair --from PATH fetches it from a backup, a bundle or another client's replica; annals salvage takes over what still verifies."
            }
            Self::BadFrameHeader
            | Self::BadPayload
            | Self::BadTrailer
            | Self::BadBatch
            | Self::BrokenLink
            | Self::IndexGap
            | Self::WrongOpening
            | Self::WrongOffset
            | Self::WrongRoot
            | Self::ForeignFrame
            | Self::IncompleteGroup
            | Self::MissingEnd
            | Self::ShorterThanKnown
            | Self::MoreDamage => {
                "All other entries can still be read; annals-fsck --repair --from PATH fetches the lost ones from a backup, a bundle or another client's replica."
            }
            Self::BadHeaderUnit
            | Self::BadCheckpoint
            | Self::DamagedIndex
            | Self::StaleIndex
            | Self::BadPackUnit => "annals-fsck --repair mends it without loss.",
            Self::WrongCheckpoint | Self::WrongWatermark => {
                "No entries are lost by it; compare with a backup or another client before writing to this log again."
            }
            Self::ForkedLog | Self::RootContradicts => {
                "Both histories stay; annals-fsck --repair --successor --from OTHER lets this client go on in a new log."
            }
            Self::UnsyncedHole => {
                "It may hold entries that were acknowledged; annals-fsck --repair saves it beside the segment before it is cut."
            }
            Self::TornTail => {
                "Nothing that was acknowledged is in it; the next opening for writing cuts it."
            }
            Self::Unsupported => "Use a version of Annals that knows it.",
            Self::SegmentMismatch => "Move the file to where it belongs, or restore the right one.",
            Self::MissingSegment => {
                "Restore it from a backup, or with annals-fsck --repair --from PATH from a bundle or another client's replica."
            }
            Self::BadMetadata => {
                "annals-fsck --repair writes it again where one log is clearly this client's; else write it by hand: the ids stand in the segments' headers, and the format in the specification."
            }
            Self::NotHealed => {
                "Try another replica, or let this client go on in a new log with annals-fsck --repair --successor."
            }
            Self::LeftoverIndex | Self::UnfinishedFile => {
                "It may be removed; annals-fsck --repair does."
            }
            Self::SavedCut => "Look whether something in it is missed; then it may be removed.",
            Self::StraySegment => {
                "It is never read; if it holds more than the log's own segment, put it into a folder of its own and fetch from there with annals-fsck --repair --from."
            }
            Self::ForeignFile => "It is never touched.",
            Self::BadPackHead | Self::BadRecord | Self::BadChunk => {
                "All other assets, and all other chunks of this one, can still be read; annals asset fetch --from OTHER brings it from another device, and annals asset add --verify from the same file."
            }
            Self::PackMismatch => "Move the file to where it belongs.",
            Self::PackTornTail => {
                "Nothing that was acknowledged is in it; annals gc takes the room back."
            }
            Self::BadPins => {
                "Nothing is evicted or collected until annals-fsck --repair has put it aside; then pin again what is to stay."
            }
            Self::BadPartial => {
                "annals asset evict --force gives up what is here of it; then fetch it anew."
            }
            Self::AssetNotHere => {
                "They were evicted, or are lost; annals asset fetch --from OTHER brings them back."
            }
            Self::OrphanAsset => "annals gc removes them.",
            Self::LiveWriter => {
                "Check again when the writer is closed to judge the ends of the logs as well."
            }
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
