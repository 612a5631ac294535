//! Garbage: what no log claims any more (D-14 of the design is in the specification as and K-12).

use std::collections::HashSet;

use super::{AssetError, Assets, claims::Released};
use crate::{
    asset::AssetId,
    assets::{CollectReport, Thresholds},
    bytes::Timestamp,
    log::AppendError,
    workspace::Frontier,
};

/// What a collection may remove. The defaults remove what was released, where that frees a quarter of a pack or a file
/// of its own.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is handed to a collection"]
pub struct CollectOptions {
    keep_released_since: Option<Timestamp>,
    keep_released_behind: Option<Frontier>,
    waste_percent_min: u64,
    small_len: u64,
    dry_run: bool,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            keep_released_since: None,
            keep_released_behind: None,
            waste_percent_min: 25,
            small_len: 16 << 20,
            dry_run: false,
        }
    }
}

impl CollectOptions {
    /// The undo horizon as a time: keeps what was released at this time or later, or without a time.
    pub fn keep_released_since(mut self, time: Timestamp) -> Self {
        self.keep_released_since = Some(time);
        self
    }

    /// The undo horizon as a frontier: keeps what was released by entries that it does not cover.
    pub fn keep_released_behind(mut self, frontier: Frontier) -> Self {
        self.keep_released_behind = Some(frontier);
        self
    }

    /// Writes a shared pack anew if at least this part of it, in percent, is not needed (default: 25). 0 takes back
    /// everything, at the price of writing all that shares a pack with it.
    pub fn waste_percent_min(mut self, percent: u8) -> Self {
        self.waste_percent_min = percent.into();
        self
    }

    /// Removes nothing, and says what would be removed.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Whether a release counts.
    fn counts(&self, released: &Released) -> bool {
        let before = |since: Timestamp| released.at.is_some_and(|at| at < since);
        let covered = |frontier: &Frontier| {
            frontier
                .rows()
                .iter()
                .any(|row| row.log == released.by.log && released.by.index < row.size)
        };
        self.keep_released_since.is_none_or(before)
            && self.keep_released_behind.as_ref().is_none_or(covered)
    }

    fn thresholds(&self, all_are_here: bool) -> Thresholds {
        let Self { waste_percent_min, small_len, .. } = *self;
        Thresholds { waste_percent_min, small_len, all_are_here }
    }
}

impl Assets {
    /// Removes the bytes of assets that nobody needs: those without a live claim that are not pinned and not
    /// leased. What is left of additions that were never finished goes too.
    ///
    /// What was released is committed first, so that bytes go only after it is durable. Files of single assets and packs in
    /// which nothing is needed go first and need no room; then packs that are worth it are written anew. Others go on
    /// adding and reading meanwhile. `progress` is told bytes done and bytes in all of the packs that are written anew,
    /// and ends it by answering `false`.
    ///
    /// # Errors
    ///
    /// [`AssetError::Doubtful`] if a log is damaged or holds an asset entry that this version does not understand;
    /// [`AssetError::Pins`]; [`AssetError::Cancelled`]; those of the operating system. A full disk is no error, but in the
    /// report.
    pub fn collect(
        &self,
        options: &CollectOptions,
        mut progress: impl FnMut(u64, u64) -> bool,
    ) -> Result<CollectReport, AssetError> {
        let store = self.store()?;
        let collection = store.begin_collection()?;
        let needed = self.needed(options)?;
        let mut all_are_here = true;
        for id in &needed {
            all_are_here = all_are_here && store.has(id)?;
        }
        let needs = |id: &AssetId| needed.contains(id);
        let thresholds = options.thresholds(all_are_here);
        Ok(collection.run(&needs, thresholds, options.dry_run, &mut progress)?)
    }

    /// What is needed, from what the logs say now; only releases that are durable count.
    /// Entries among the first `size` of `log` that still count once those are pruned.
    pub(crate) fn kept(
        &self,
        log: crate::LogId,
        size: u64,
    ) -> Result<std::collections::BTreeSet<u64>, AssetError> {
        Ok(self.claims()?.kept(log, size))
    }

    fn needed(&self, options: &CollectOptions) -> Result<HashSet<AssetId>, AssetError> {
        if !options.dry_run {
            match self.workspace.commit() {
                // Then what is durable is what was before.
                Ok(_) | Err(AppendError::DiskFull { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let durable = self.workspace.durable().entries;
        let own = self.workspace.own_log().id();
        self.workspace.with_unreadable_logs(|logs| match logs.first() {
            Some(log) => {
                Err(AssetError::Doubtful(format!("{}: {}", log.path.display(), log.error)))
            }
            None => Ok(()),
        })?;
        for log in self.workspace.logs() {
            if let Some(damage) = log.damage() {
                return Err(AssetError::Doubtful(damage.to_string()));
            }
        }
        let claims = self.claims()?;
        if let Some(doubt) = claims.doubt() {
            return Err(AssetError::Doubtful(doubt.to_owned()));
        }
        let counts = |released: &Released| {
            let is_durable = released.by.log != own || released.by.index < durable;
            is_durable && options.counts(released)
        };
        let is_needed =
            |id: &AssetId| claims.said(id).is_some_and(|said| !said.live(counts).is_empty());
        Ok(claims.ids().into_iter().filter(is_needed).collect())
    }
}
