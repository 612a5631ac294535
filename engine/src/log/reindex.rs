//! The upkeep of a log's index: asked, read again, made anew, and read up to the end of the log.

use crate::{
    error::{IoContext as _, IoError},
    frame::FrameKind,
    index::{Index, IndexError, Position},
    log::{
        checkpoint::LogState,
        frames::READ_AHEAD_LONG,
        read::{Log, ReadError, Step, UNINDEXED_LEN_MAX, place_of},
        replay::Replay,
    },
    sync::Ordering,
};

impl Log {
    /// Asks the index. Where another process has changed its files they are read again; where one of them is
    /// damaged, all are dropped and made anew.
    pub(crate) fn with_index<R>(
        &self,
        ask: impl Fn(&Index) -> Result<R, IndexError>,
    ) -> Result<R, ReadError> {
        let mut result = ask(&self.index);
        if let Err(error @ IndexError::Gone { .. }) = &result {
            self.renew_index(error)?;
            result = ask(&self.index);
        }
        if matches!(result, Err(IndexError::Damaged { .. } | IndexError::Gone { .. })) {
            let _feeding = self.feed.lock();
            self.index.clear(self.keeps_index).map_err(|error| self.index_error(error))?;
            self.read_up_index()?;
            result = ask(&self.index);
        }
        result.map_err(|error| self.index_error(error))
    }

    /// After an error of the index: reads its files again where they have changed, drops them where they are
    /// damaged. Says whether to ask again.
    pub(crate) fn renew_index(&self, error: &IndexError) -> Result<bool, ReadError> {
        let _feeding = self.feed.lock();
        match error {
            IndexError::Gone { .. } => self.index.reload(),
            IndexError::Damaged { .. } => self.index.clear(self.keeps_index),
            IndexError::Io { .. } => return Ok(false),
        }
        .map_err(|error| self.index_error(error))?;
        Ok(true)
    }

    pub(crate) fn index_error(&self, error: IndexError) -> ReadError {
        let source = match error {
            IndexError::Io { source, .. } => source,
            damaged => std::io::Error::other(damaged),
        };
        ReadError::Io(IoError::new(&self.path, "read the index of", source))
    }

    /// Feeds the index with what it does not cover yet, up to the end of the log or to the first damage.
    ///
    /// Cost: decodes and hashes that part of the log.
    pub(crate) fn read_up_index(&self) -> Result<(), ReadError> {
        self.read_up_index_with(&mut |_, _| true)
    }

    /// The same, telling how many bytes of how many are done; stops when told `false`.
    pub(crate) fn read_up_index_with(
        &self,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(), ReadError> {
        let _feeding = self.feed.lock();
        let limit = self.view.read().end_offset;
        if self.index.position().end_offset >= limit {
            // Whoever writes has fed it, perhaps with what cannot be read yet: a group or an import under way.
            return Ok(());
        }
        let state = self.state_at_index_end()?;
        let mut reader = self.frame_reader(limit, READ_AHEAD_LONG);
        let mut replay = Replay::new(self.id(), self.salts.clone(), self.header.align_log2, state);
        while let Step::Frame(frame) = self.next_frame(&mut reader, place_of(replay.state()))? {
            if frame.kind == FrameKind::BATCH {
                let Ok(payload) = reader.payload(&frame).context(&self.path, "read")? else {
                    break;
                };
                let Ok(summary) = replay.apply(&frame, payload) else { break };
                self.index.push(&summary);
            } else {
                self.index.push(&replay.skip(&frame));
            }
            if self.keeps_index && self.index.unpersisted_len() as u64 > UNINDEXED_LEN_MAX {
                // A cache that cannot be written is left as it is.
                let _ = self.index.persist(self.durable_len.load(Ordering::Acquire));
            }
            if !progress(replay.state().end_offset, limit) {
                break;
            }
        }
        if self.keeps_index {
            let _ = self.index.persist(self.durable_len.load(Ordering::Acquire));
        }
        Ok(())
    }

    /// The state of the log where the index ends, as far as replaying needs it.
    fn state_at_index_end(&self) -> Result<LogState, ReadError> {
        loop {
            let position = self.index.position();
            let state = self.state_at(&position)?;
            // Reading the tree may have found the index damaged, and made it anew.
            if self.index.position() == position {
                return Ok(state);
            }
        }
    }

    fn state_at(&self, position: &Position) -> Result<LogState, ReadError> {
        let mut state = match &self.pruned {
            Some(record) => record.state.clone(),
            None => LogState::empty(self.header.link_seed()),
        };
        let before = state.stream_count;
        state.end_offset = position.end_offset;
        state.change_count = position.change_count;
        state.time_max = position.time_max;
        state.stream_count = self.with_index(Index::declaration_count)?.max(before);
        if position.end_index > self.header.first_index {
            let last = position.end_index - 1;
            state.lamport = self.entry_header(last)?.lamport;
            state.peaks = self.peaks_at(position.end_index)?;
        }
        Ok(state)
    }
}
