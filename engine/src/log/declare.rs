//! Streams of one log: declared once, by a control entry (E-3, E-4).

use std::collections::HashMap;

use crate::{
    bytes::{Put as _, StreamId},
    entry::{Kind, STREAM_COUNT_MAX, STREAM_NAME_LEN_MAX},
    index::{Declaration, DeclarationForm},
    log::{
        change::Change,
        commit::{AppendError, Assigned, Core},
        read::{Log, ReadError},
    },
};

const FORM_NAME: u8 = 0;
const FORM_UUID: u8 = 1;

impl Declaration {
    /// Decodes the payload of the entry `index`, which declares `stream`; `None` if it is malformed.
    pub(crate) fn decode(stream: StreamId, index: u64, payload: &[u8]) -> Option<Self> {
        let (&form, name) = payload.split_first()?;
        let form = match form {
            FORM_NAME
                if (1..=STREAM_NAME_LEN_MAX).contains(&name.len())
                    && std::str::from_utf8(name).is_ok() =>
            {
                DeclarationForm::Name
            }
            FORM_UUID if name.len() == 16 => DeclarationForm::Uuid,
            _ => return None,
        };
        Some(Self { stream, form, name: name.into(), index })
    }
}

/// The streams of a log by name.
#[derive(Debug, Default)]
pub(crate) struct StreamTable {
    by_name: HashMap<Box<[u8]>, StreamId>,
    declared: Vec<Declaration>,
    /// Entries below were looked at.
    upto: u64,
}

impl StreamTable {
    /// Adds a stream; of two with one name the first counts.
    fn insert(&mut self, declaration: Declaration) {
        self.by_name.entry(declaration.name.clone()).or_insert(declaration.stream);
        self.declared.push(declaration);
    }
}

impl Log {
    /// The stream of this name, if the log has declared it.
    ///
    /// Cost: the first time, what the index holds of all streams; then one lookup.
    pub(crate) fn find_stream(&self, name: &str) -> Result<Option<StreamId>, ReadError> {
        let mut table = self.streams.lock();
        self.load_streams(&mut table)?;
        Ok(table.by_name.get(name.as_bytes()).copied())
    }

    /// All streams in the order of their declarations: stream 1 first.
    pub(crate) fn declared_streams(&self) -> Result<Vec<Declaration>, ReadError> {
        let mut table = self.streams.lock();
        self.load_streams(&mut table)?;
        Ok(table.declared.clone())
    }

    /// The stream of this name, declared now if it is new, and the entry that declares it.
    ///
    /// The declaration has no time: it is no change, and history does not begin with it.
    pub(crate) fn declare_stream(
        &self,
        core: &Core,
        name: &str,
    ) -> Result<(StreamId, Assigned), DeclareError> {
        if !(1..=STREAM_NAME_LEN_MAX).contains(&name.len()) {
            return Err(DeclareError::Name { len: name.len() });
        }
        let mut table = self.streams.lock();
        loop {
            match self.latest().declare_in(&mut table, core, name) {
                // An import has brought declarations of this log between, or one has been taken back.
                Err(DeclareError::Append(AppendError::UnknownStream(_))) => {
                    core.flush()?;
                    *table = StreamTable::default();
                }
                result => return result,
            }
        }
    }

    fn declare_in(
        &self,
        table: &mut StreamTable,
        core: &Core,
        name: &str,
    ) -> Result<(StreamId, Assigned), DeclareError> {
        self.load_streams(table)?;
        if let Some(&stream) = table.by_name.get(name.as_bytes()) {
            let position = usize::try_from(stream.0).unwrap_or(usize::MAX).wrapping_sub(1);
            let index = table.declared.get(position).map_or(0, |declaration| declaration.index);
            return Ok((stream, core.standing(index)?));
        }
        let count = u32::try_from(table.declared.len()).unwrap_or(u32::MAX);
        if count >= STREAM_COUNT_MAX {
            return Err(DeclareError::TooMany);
        }
        let stream = StreamId(count + 1);
        let mut payload = Vec::with_capacity(1 + name.len());
        payload.put_u8(FORM_NAME);
        payload.put(name.as_bytes());
        let change = Change { kind: Kind::STREAM, ..Change::new(&payload).in_stream(stream) };
        let assigned = core.append(&[change], None, None, None)?;
        table.insert(Declaration {
            stream,
            form: DeclarationForm::Name,
            name: name.as_bytes().into(),
            index: assigned.first,
        });
        table.upto = assigned.end;
        Ok((stream, assigned))
    }

    /// Goes on after the disk was full. What was declared by entries that are void is forgotten before anybody can
    /// declare again.
    pub(crate) fn resume(&self, core: &Core) -> Result<(), AppendError> {
        let mut table = self.streams.lock();
        *table = StreamTable::default();
        core.resume()
    }

    fn load_streams(&self, table: &mut StreamTable) -> Result<(), ReadError> {
        let written = self.view.read().entry_count;
        if table.upto >= written {
            return Ok(());
        }
        if self.index.position().end_index < written {
            self.read_up_index()?;
        }
        let declared =
            self.with_index(|index| index.declarations().collect::<Result<Vec<_>, _>>())?;
        let pruned = self.pruned.as_ref().map_or(&[][..], |record| &record.declarations);
        for declaration in pruned.iter().cloned().chain(declared).skip(table.declared.len()) {
            table.insert(declaration);
        }
        table.upto = written;
        Ok(())
    }
}

/// Why a stream was not declared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeclareError {
    #[error("a stream's name has 1 to {STREAM_NAME_LEN_MAX} bytes, this one has {len}")]
    Name { len: usize },
    #[error("a log has at most {STREAM_COUNT_MAX} streams")]
    TooMany,
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
}
