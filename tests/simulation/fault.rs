//! Faults of a disk, and their form as text.

use std::{fmt, io::ErrorKind, str::FromStr};

use annals::io::sim::{AfterFailedSync, Call, Fault, SimDisk};

use super::case::{call, number};

/// What goes wrong with the disk while a workload runs. Calls are counted from 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FaultText {
    /// `once(9,io)`: the call fails, of whatever kind it is.
    Once(u64, Failure),
    /// `always(9,io)`: it fails, and all after it.
    Always(u64, Failure),
    /// `interrupted(9)`: the write is interrupted.
    Interrupted(u64),
    /// `short(9)`: the write stores a part and says so.
    Short(u64),
    /// `shorts`: all writes do, from the first on, and all reads give a part.
    Shorts,
    /// `sync(3,clean)`: the sync fails, and what it was to write is never written.
    SyncClean(u64),
    /// `sync(3,reverted)`: the sync fails, and what it was to write is forgotten.
    SyncReverted(u64),
    /// `sync(3,kept)`: the sync fails, and what it was to write can be synced later.
    SyncKept(u64),
    /// `lie(3)`: the sync does nothing and says that it did.
    Lie(u64),
    /// `lies(3)`: so do all after it, those of folders too.
    Lies(u64),
    /// `space(500)`: the files may grow by so many bytes together.
    Space(u64),
}

/// What the operating system says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// `io`: an error of the device.
    Io,
    /// `full`: the disk is full.
    Full,
}

impl Failure {
    fn kind(self) -> ErrorKind {
        match self {
            Self::Io => ErrorKind::Other,
            Self::Full => ErrorKind::StorageFull,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Full => "full",
        }
    }

    fn parse(text: Option<&&str>) -> Result<Self, String> {
        match text.copied() {
            Some("io") => Ok(Self::Io),
            Some("full") => Ok(Self::Full),
            other => Err(format!("{other:?} is neither io nor full")),
        }
    }
}

impl FaultText {
    /// Whether nothing is durable because of it that is said to be.
    pub fn lies(self) -> bool {
        matches!(self, Self::Lie(_) | Self::Lies(_))
    }

    /// Lets it happen to this machine.
    pub fn inject(self, disk: &SimDisk) {
        match self {
            Self::Once(at, failure) => disk.fail_nth_call(at, true, failure.kind()),
            Self::Always(at, failure) => disk.fail_nth_call(at, false, failure.kind()),
            Self::Interrupted(at) => {
                disk.inject(Fault::error(Call::Write, ErrorKind::Interrupted).after(at));
            }
            Self::Short(at) => disk.inject(Fault::short_write().after(at)),
            Self::Shorts => {
                disk.inject(Fault::short_write().for_good());
                disk.inject(Fault::short_read().for_good());
            }
            Self::SyncClean(at) => {
                disk.inject(Fault::failed_sync(AfterFailedSync::Clean).after(at));
            }
            Self::SyncReverted(at) => {
                disk.inject(Fault::failed_sync(AfterFailedSync::Reverted).after(at));
            }
            Self::SyncKept(at) => {
                disk.inject(Fault::error(Call::Sync, ErrorKind::Other).after(at));
            }
            Self::Lie(at) => disk.inject(Fault::lying_sync().after(at)),
            Self::Lies(at) => {
                disk.inject(Fault::lying_sync().after(at).for_good());
                disk.inject(Fault::lying_sync_dir().after(at).for_good());
            }
            Self::Space(bytes) => disk.limit_space(disk.used_space() + bytes),
        }
    }
}

impl fmt::Display for FaultText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(at, failure) => write!(f, "once({at},{})", failure.name()),
            Self::Always(at, failure) => write!(f, "always({at},{})", failure.name()),
            Self::Interrupted(at) => write!(f, "interrupted({at})"),
            Self::Short(at) => write!(f, "short({at})"),
            Self::Shorts => f.write_str("shorts"),
            Self::SyncClean(at) => write!(f, "sync({at},clean)"),
            Self::SyncReverted(at) => write!(f, "sync({at},reverted)"),
            Self::SyncKept(at) => write!(f, "sync({at},kept)"),
            Self::Lie(at) => write!(f, "lie({at})"),
            Self::Lies(at) => write!(f, "lies({at})"),
            Self::Space(bytes) => write!(f, "space({bytes})"),
        }
    }
}

impl FromStr for FaultText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, parts) = call(text)?;
        let at = || number(&parts, 0);
        Ok(match (name, parts.get(1).copied()) {
            ("once", _) => Self::Once(at()?, Failure::parse(parts.get(1))?),
            ("always", _) => Self::Always(at()?, Failure::parse(parts.get(1))?),
            ("interrupted", _) => Self::Interrupted(at()?),
            ("short", _) => Self::Short(at()?),
            ("shorts", _) => Self::Shorts,
            ("sync", Some("clean")) => Self::SyncClean(at()?),
            ("sync", Some("reverted")) => Self::SyncReverted(at()?),
            ("sync", Some("kept")) => Self::SyncKept(at()?),
            ("lie", _) => Self::Lie(at()?),
            ("lies", _) => Self::Lies(at()?),
            ("space", _) => Self::Space(at()?),
            _ => return Err(format!("{text:?} is no fault")),
        })
    }
}
