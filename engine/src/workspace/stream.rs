//! Streams by name: one document out of many.

use super::{Ticket, Workspace};
use crate::{
    bytes::StreamId,
    log::{AppendError, Assigned, Change, DeclareError, Entry, ReadError},
};

/// Why a stream was not declared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The name is empty or too long.
    #[error("a stream's name has 1 to 255 bytes, this one has {len}")]
    Name {
        /// Its length in bytes.
        len: usize,
    },
    /// The log has as many streams as a log can have.
    #[error("the log has the most streams that a log can have")]
    TooMany,
    /// The declaration was not appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The streams of the log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<DeclareError> for StreamError {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::Name { len } => Self::Name { len },
            DeclareError::TooMany => Self::TooMany,
            DeclareError::Append(error) => Self::Append(error),
            DeclareError::Read(error) => Self::Read(error),
        }
    }
}

/// A stream of the own log.
#[derive(Clone, Debug)]
pub struct Stream {
    workspace: Workspace,
    id: StreamId,
    declared: Assigned,
    name: String,
}

impl Workspace {
    /// The stream of this name in the own log, declared now if it is new.
    ///
    /// # Errors
    ///
    /// See [`StreamError`].
    pub fn stream(&self, name: &str) -> Result<Stream, StreamError> {
        let core = self.core()?;
        self.record_seen(core)?;
        let (id, declared) = self.inner.own.now().declare_stream(core, name)?;
        Ok(Stream { workspace: self.clone(), id, declared, name: name.to_owned() })
    }
}

impl Stream {
    /// Its number in the own log.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The entry that declares it.
    pub(super) fn declared(&self) -> Assigned {
        self.declared
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends a change to the stream; see [`Workspace::append`].
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. [`AppendError::Void`] if the declaration of the stream was lost to a full disk: ask
    /// for the stream again.
    pub fn append(&self, payload: &[u8]) -> Result<Ticket<'_>, AppendError> {
        let change = Change::new(payload).in_stream(self.id);
        self.workspace.append_resting_on(Some(self.declared), &[change])
    }

    /// The changes of the streams of this name in all logs, in canonical order: one document out of many.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn scan(
        &self,
    ) -> Result<impl Iterator<Item = Result<Entry, ReadError>> + use<>, ReadError> {
        Ok(self.workspace.merged_stream(&self.name)?.changes())
    }
}
