//! Streams of one log: declared once, by a control entry (E-3, E-4).

use std::collections::HashMap;

use crate::{
    bytes::{Put as _, StreamId},
    entry::STREAM_NAME_LEN_MAX,
    index::{Declaration, DeclarationForm},
};

const FORM_NAME: u8 = 0;
const FORM_UUID: u8 = 1;

impl Declaration {
    /// Decodes the payload of the entry `index`, which declares `stream`; `None` if it is malformed.
    pub(crate) fn decode(stream: StreamId, index: u64, payload: &[u8]) -> Option<Self> {
        let (&form, name) = payload.split_first()?;
        let form = match form {
            FORM_NAME if (1..=STREAM_NAME_LEN_MAX).contains(&name.len()) && std::str::from_utf8(name).is_ok() => {
                DeclarationForm::Name
            }
            FORM_UUID if name.len() == 16 => DeclarationForm::Uuid,
            _ => return None,
        };
        Some(Self { stream, form, name: name.into(), index })
    }
}

/// The payload of an entry that declares a stream with this name.
pub(crate) fn declaration_payload(name: &str) -> Vec<u8> {
    let mut payload = Vec::with_capacity(1 + name.len());
    payload.put_u8(FORM_NAME);
    payload.put(name.as_bytes());
    payload
}

/// The streams of a log by name.
#[derive(Debug, Default)]
pub(crate) struct StreamTable {
    by_name: HashMap<Box<[u8]>, StreamId>,
    names: Vec<Box<[u8]>>,
    /// Entries below were looked at.
    pub(crate) upto: u64,
}

impl StreamTable {
    /// Adds a stream; of two with one name the first counts.
    pub(crate) fn insert(&mut self, declaration: &Declaration) {
        self.names.push(declaration.name.clone());
        self.by_name.entry(declaration.name.clone()).or_insert(declaration.stream);
    }

    pub(crate) fn find(&self, name: &str) -> Option<StreamId> {
        self.by_name.get(name.as_bytes()).copied()
    }

    /// The name of a declared stream; a UUID is printed as such.
    pub(crate) fn name(&self, stream: StreamId) -> Option<String> {
        let position = usize::try_from(stream.0).ok()?.checked_sub(1)?;
        let name = self.names.get(position)?;
        Some(String::from_utf8(name.to_vec()).unwrap_or_else(|_| format!("{name:02x?}")))
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.names.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (StreamId, &[u8])> {
        (1..).map(StreamId).zip(self.names.iter().map(|name| &**name))
    }
}
