//! Which logs claim which assets, and which claims were released.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::AssetError;
use crate::{
    asset::{AssetClaim, AssetId, ClaimRef, Release},
    bytes::{LogId, Timestamp},
    entry::Kind,
    log::{Direction, ReadError},
    workspace::{LogView, Workspace},
};

/// A release, as far as it matters for a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Released {
    /// The claim.
    pub(super) claim: ClaimRef,
    /// The entry that releases it.
    pub(super) by: ClaimRef,
    /// When.
    pub(super) at: Option<Timestamp>,
}

/// What the logs say of one asset.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) size: u64,
    pub(super) claims: Vec<ClaimRef>,
    pub(super) released: Vec<Released>,
}

/// What some stretch of the logs says.
#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<AssetId, Said>,
    /// Why it is not known what is needed.
    doubts: BTreeMap<(LogId, u64), String>,
}

impl Table {
    /// Reads the entries of a log from `from` on; says how far it came.
    fn read(&mut self, log: &LogView, range: std::ops::Range<u64>) -> Result<(), ReadError> {
        if range.is_empty() {
            return Ok(());
        }
        for entry in log.scan_assets(range, Direction::Forward)? {
            match entry {
                Ok(entry) => {
                    let payload = entry.stored_payload().unwrap_or_default();
                    self.take(log.id(), entry.index(), entry.kind(), entry.timestamp(), payload);
                }
                Err(ReadError::Corrupt(damage)) => {
                    self.doubts.insert((log.id(), damage.lost.first), damage.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        log: LogId,
        index: u64,
        kind: Kind,
        time: Option<Timestamp>,
        payload: &[u8],
    ) {
        let at = ClaimRef { log, index };
        let doubt = |error: &dyn std::fmt::Display| format!("log {log}: entry {index}: {error}");
        match kind {
            Kind::ASSET => match AssetClaim::decode(payload) {
                Ok(claim) => {
                    let said = self.by_id.entry(claim.id).or_default();
                    said.size = claim.size;
                    said.claims.push(at);
                }
                Err(error) => drop(self.doubts.insert((log, index), doubt(&error))),
            },
            Kind::RELEASE => match Release::decode(payload) {
                Ok(release) => {
                    let said = self.by_id.entry(release.id).or_default();
                    let released = |claim| Released { claim, by: at, at: time };
                    said.released.extend(release.claims.into_iter().map(released));
                }
                Err(error) => drop(self.doubts.insert((log, index), doubt(&error))),
            },
            _ => {}
        }
    }
}

/// What the logs of a workspace say of assets. About 150 bytes for each claim.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// How far each log was read: what is durable, and can never be another entry.
    upto: HashMap<LogId, u64>,
    settled: Table,
    /// What stands behind that in the own log. Made anew each time.
    recent: Table,
}

impl Claims {
    /// Reads what is new in the logs. Cost: what the index finds of such entries since the last time.
    pub(super) fn refresh(&mut self, workspace: &Workspace) -> Result<(), AssetError> {
        let own = workspace.own_log().id();
        let durable = workspace.durable().entries;
        self.recent = Table::default();
        for log in workspace.logs() {
            let upto = self.upto.entry(log.id()).or_default();
            let end = log.entry_count();
            if let Some(record) = &log.log().pruned
                && *upto < record.size()
            {
                for entry in record.kept.iter().filter(|entry| entry.index >= *upto) {
                    let (index, kind, time) = (entry.index, entry.kind, entry.timestamp);
                    self.settled.take(log.id(), index, kind, time, &entry.payload);
                }
                *upto = record.size();
            }
            // Entries that are not durable yet may become void, and others get their numbers.
            let settled = if log.id() == own { durable.min(end) } else { end };
            if settled > *upto {
                self.settled.read(&log, *upto..settled)?;
                *upto = settled;
            }
            self.recent.read(&log, (*upto).min(end)..end)?;
        }
        Ok(())
    }

    /// All that is said of an asset; `None` if nothing is.
    /// Those of the first `size` entries of `log` that still count once they are pruned: claims that are live, and releases
    /// of claims that are not pruned with them (H-10). Ascending.
    pub(crate) fn kept(&self, log: LogId, size: u64) -> BTreeSet<u64> {
        let is_pruned = |at: &ClaimRef| at.log == log && at.index < size;
        let mut kept = BTreeSet::new();
        for id in self.ids() {
            let Some(said) = self.said(&id) else { continue };
            kept.extend(
                said.live(|_| true).iter().filter(|claim| is_pruned(claim)).map(|at| at.index),
            );
            let released = said.released.iter();
            let still =
                released.filter(|released| is_pruned(&released.by) && !is_pruned(&released.claim));
            kept.extend(still.map(|released| released.by.index));
        }
        // What cannot be understood keeps collections from removing anything, pruned or not.
        let doubts = self.settled.doubts.keys().chain(self.recent.doubts.keys());
        kept.extend(doubts.filter(|(of, index)| *of == log && *index < size).map(|(_, at)| *at));
        kept
    }

    pub(super) fn said(&self, id: &AssetId) -> Option<Said> {
        match (self.settled.by_id.get(id), self.recent.by_id.get(id)) {
            (None, None) => None,
            (Some(said), None) | (None, Some(said)) => Some(said.clone()),
            (Some(settled), Some(recent)) => {
                let mut said = settled.clone();
                said.claims.extend_from_slice(&recent.claims);
                said.released.extend_from_slice(&recent.released);
                Some(said)
            }
        }
    }

    /// All assets of which something is said, ascending.
    pub(super) fn ids(&self) -> BTreeSet<AssetId> {
        self.settled.by_id.keys().chain(self.recent.by_id.keys()).copied().collect()
    }

    /// Whether one of these logs claims it, released or not.
    pub(super) fn is_claimed_by(&self, id: &AssetId, logs: &[LogId]) -> bool {
        let claims = |table: &Table| {
            let said = table.by_id.get(id);
            said.is_some_and(|said| said.claims.iter().any(|claim| logs.contains(&claim.log)))
        };
        claims(&self.settled) || claims(&self.recent)
    }

    /// Whether some asset of this size is claimed.
    pub(super) fn has_size(&self, size: u64) -> bool {
        let has = |table: &Table| table.by_id.values().any(|said| said.size == size);
        has(&self.settled) || has(&self.recent)
    }

    /// Why it is not known what is needed, if there is a reason.
    pub(super) fn doubt(&self) -> Option<&str> {
        self.settled.doubts.values().chain(self.recent.doubts.values()).next().map(String::as_str)
    }
}

impl Said {
    /// The claims that no release names for which `counts` is true.
    pub(super) fn live(&self, counts: impl Fn(&Released) -> bool) -> Vec<ClaimRef> {
        let is_released = |claim: &ClaimRef| {
            self.released.iter().any(|released| released.claim == *claim && counts(released))
        };
        self.claims.iter().copied().filter(|claim| !is_released(claim)).collect()
    }
}
