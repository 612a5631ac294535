//! Taking back changes (H-3 to H-7).

use std::ops::Range;

use crate::{
    bytes::ClientId,
    entry::{EntryHeader, Kind, REDACTION_REASON_LEN_MAX, Redaction},
    log::{AppendError, Change, ReadError},
    workspace::{Ticket, Workspace},
};

/// Why a change was not redacted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactError {
    /// Somebody else has written it: only the client itself can take back what it has written, in the same log.
    #[error(
        "only the client that wrote a change can redact it: {client} did, and this is {own}; redact it on that device"
    )]
    OtherClient {
        /// The client that wrote it.
        client: ClientId,
        /// The client of this workspace.
        own: ClientId,
    },
    /// The entry is no change: what the engine itself needs cannot be redacted.
    #[error("entry {index} is a control entry ({kind}), which cannot be redacted")]
    Control {
        /// The entry.
        index: u64,
        /// Its kind.
        kind: String,
    },
    /// The reason is too long.
    #[error(
        "the reason of a redaction has at most {REDACTION_REASON_LEN_MAX} bytes, this one has {len}"
    )]
    Reason {
        /// Its length in bytes.
        len: usize,
    },
    /// The entry cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The redaction cannot be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Workspace {
    /// Takes back the change at entry `index` of this client's log; if it was split into parts, all of it.
    ///
    /// Appends a redaction with `reason`, which stays readable for ever. From the next compaction on the payload and its
    /// salt are on no disk that has the redaction, and reading the entry gives
    /// [`Absent::Redacted`](crate::Absent::Redacted); until then it is still read. Other devices learn of it with the next
    /// bundle, and forget when they compact. All roots and proofs stay valid. What remains: that there was a change, its time,
    /// clock, stream and length, and a salted hash of it, which confirms no guess.
    ///
    /// # Errors
    ///
    /// See [`RedactError`].
    ///
    /// ```
    /// # use annals::{Absent, CompactOptions, Options, Workspace};
    /// # let folder = tempfile::tempdir()?;
    /// # let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
    /// let index = workspace.append(b"555-0100 is her number")?.index();
    /// let proof = workspace.own_log().prove_inclusion(index, None)?;
    /// let root = workspace.own_log().root()?;
    ///
    /// workspace.redact(workspace.client(), index, "not mine to tell")?.wait_durable()?;
    /// workspace.compact(&CompactOptions::default(), |_, _| true)?;
    ///
    /// let entry = workspace.own_log().entry(index)?;
    /// assert!(matches!(entry.payload(), Err(Absent::Redacted { .. })));
    /// assert!(proof.verify(&root).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redact(
        &self,
        client: ClientId,
        index: u64,
        reason: &str,
    ) -> Result<Ticket<'_>, RedactError> {
        let entries = self.redactable(client, index)?;
        if reason.len() > REDACTION_REASON_LEN_MAX {
            return Err(RedactError::Reason { len: reason.len() });
        }
        self.inner.upkeep.redacted(self.payload_len(&entries)?);
        let payload = Redaction { entries, reason: reason.to_owned() }.encode();
        Ok(self.append_all(&[Change::new(&payload).of_kind(Kind::REDACTION)])?)
    }

    fn payload_len(&self, entries: &Range<u64>) -> Result<u64, ReadError> {
        let log = self.inner.own.now();
        entries.clone().map(|index| Ok(u64::from(log.entry_header(index)?.payload_len))).sum()
    }

    /// The entries that redacting `index` would be about: the change that it is a part of.
    ///
    /// # Errors
    ///
    /// As for [`Workspace::redact`].
    pub fn redactable(&self, client: ClientId, index: u64) -> Result<Range<u64>, RedactError> {
        if client != self.client() {
            return Err(RedactError::OtherClient { client, own: self.client() });
        }
        let log = self.inner.own.now();
        let header = |index: u64| -> Result<EntryHeader, RedactError> {
            let header = log.entry_header(index)?;
            if header.kind.is_control() {
                let kind = header.kind;
                let name = kind.name().map_or_else(|| format!("kind {}", kind.0), str::to_owned);
                return Err(RedactError::Control { index, kind: name });
            }
            Ok(header)
        };
        let (mut first, mut last) = (index, index);
        while !header(first)?.part.is_first() {
            first -= 1;
        }
        while !header(last)?.part.is_last() {
            last += 1;
        }
        Ok(first..last + 1)
    }
}
