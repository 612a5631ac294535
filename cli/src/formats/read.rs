//! Reading changes one after the other, into buffers that are used again.
#![allow(clippy::option_option, reason = "a member that is absent is not one that is null")]

use std::{
    borrow::Cow,
    io::{BufRead, Read},
};

use annals::Timestamp;
use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{CHANGE_LEN_MAX, Format};

/// A buffer that grew beyond this for one large change is given back, in bytes.
const BUFFER_KEPT_LEN: usize = 16 << 20;

/// A change as it was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Record<'a> {
    pub(crate) payload: &'a [u8],
    /// The time that the change brings: `Some(None)` if it says that it has none.
    pub(crate) timestamp: Option<Option<Timestamp>>,
    /// The stream that the change names: `Some(None)` for the default stream.
    pub(crate) stream: Option<Option<&'a str>>,
}

/// Reads changes in one of the formats. Memory: the longest change that was read.
#[derive(Debug)]
pub(crate) struct RecordReader<R> {
    input: R,
    format: Format,
    /// Bytes as they came: a line, or a payload.
    raw: Vec<u8>,
    /// What is encoded inside of `raw`, decoded.
    payload: Vec<u8>,
    stream: String,
    /// Lines read, for messages.
    line_number: u64,
    /// Bytes read, for messages.
    offset: u64,
}

/// One line of `json-lines`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRecord<'a> {
    #[serde(borrow, default)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    timestamp: Option<Option<Timestamp>>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream: Option<Option<Cow<'a, str>>>,
    /// Written by `cat`; the new entry gets its own.
    #[serde(default, rename = "index")]
    _index: IgnoredAny,
    #[serde(default, rename = "client")]
    _client: IgnoredAny,
}

/// Tells a member that is `null` from one that is not there.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl<R: BufRead> RecordReader<R> {
    pub(crate) fn new(input: R, format: Format) -> Self {
        Self {
            input,
            format,
            raw: Vec::new(),
            payload: Vec::new(),
            stream: String::new(),
            line_number: 0,
            offset: 0,
        }
    }

    /// Where the last record that was read ended or failed, for messages.
    pub(crate) fn place(&self) -> String {
        match self.format {
            Format::Lines | Format::JsonLines => format!("stdin, line {}", self.line_number),
            Format::Framed => format!("stdin, byte {}", self.offset),
        }
    }

    /// The next change; `None` at the end of the input.
    ///
    /// # Errors
    ///
    /// Names the line, or the byte where the record begins, and what is wrong with it.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Record<'_>>> {
        if self.raw.capacity().max(self.payload.capacity()) > BUFFER_KEPT_LEN {
            (self.raw, self.payload) = (Vec::new(), Vec::new());
        }
        self.raw.clear();
        match self.format {
            Format::Lines => {
                let more = self.next_line()?;
                Ok(more.then_some(Record { payload: &self.raw, timestamp: None, stream: None }))
            }
            Format::JsonLines => {
                if !self.next_line()? {
                    return Ok(None);
                }
                let line_number = self.line_number;
                self.parse_json().with_context(|| format!("stdin, line {line_number}"))
            }
            Format::Framed => {
                let more = self.next_frame().with_context(|| self.place())?;
                self.offset += if more { 4 + as_u64(self.raw.len()) } else { 0 };
                Ok(more.then_some(Record { payload: &self.raw, timestamp: None, stream: None }))
            }
        }
    }

    /// Reads a line into `raw`, without its newline; `false` at the end.
    fn next_line(&mut self) -> anyhow::Result<bool> {
        self.line_number += 1;
        // One byte more than a change can have, for the newline.
        let mut input = (&mut self.input).take(CHANGE_LEN_MAX + 1);
        let read = input.read_until(b'\n', &mut self.raw).with_context(|| self.place())?;
        if self.raw.last() == Some(&b'\n') {
            self.raw.pop();
        } else if as_u64(self.raw.len()) > CHANGE_LEN_MAX {
            bail!("{}: longer than {CHANGE_LEN_MAX} bytes", self.place());
        }
        Ok(read > 0)
    }

    /// Reads a length and as many bytes into `raw`; `false` at the end.
    fn next_frame(&mut self) -> anyhow::Result<bool> {
        (&mut self.input).take(4).read_to_end(&mut self.raw)?;
        if self.raw.is_empty() {
            return Ok(false);
        }
        let Ok(len) = <[u8; 4]>::try_from(&self.raw[..]).map(u32::from_le_bytes) else {
            bail!("the input ends inside of a length, after {} of its 4 bytes", self.raw.len());
        };
        self.raw.clear();
        // Memory is taken as bytes arrive: the length is not believed.
        let read = (&mut self.input).take(u64::from(len)).read_to_end(&mut self.raw)?;
        if as_u64(read) < u64::from(len) {
            bail!("the input ends inside of a change, after {read} of its {len} bytes");
        }
        Ok(true)
    }

    fn parse_json(&mut self) -> anyhow::Result<Option<Record<'_>>> {
        let text = std::str::from_utf8(&self.raw).context("not UTF-8")?;
        let record: JsonRecord<'_> = serde_json::from_str(text).map_err(json_error)?;
        self.payload.clear();
        match (&record.data, &record.text) {
            (Some(data), None) => {
                STANDARD.decode_vec(data.as_bytes(), &mut self.payload).context("\"data\"")?;
            }
            (None, Some(text)) => self.payload.extend_from_slice(text.as_bytes()),
            (Some(_), Some(_)) => bail!("has both \"data\" and \"text\""),
            (None, None) => bail!("has neither \"data\" nor \"text\""),
        }
        self.stream.clear();
        let stream = record.stream.map(|name| {
            name.map(|name| {
                self.stream.push_str(&name);
                &*self.stream
            })
        });
        Ok(Some(Record { payload: &self.payload, timestamp: record.timestamp, stream }))
    }
}

/// Each line is parsed on its own, so that the parser's line number would always be 1.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn json_error(error: serde_json::Error) -> anyhow::Error {
    let text = error.to_string();
    let column = error.column();
    match text.split_once(" at line 1 column") {
        Some((what, _)) if column > 0 => anyhow::anyhow!("column {column}: {what}"),
        Some((what, _)) => anyhow::anyhow!("{what}"),
        None => anyhow::anyhow!("{text}"),
    }
}

fn as_u64(n: usize) -> u64 {
    u64::try_from(n).expect("no address is longer than 64 bits")
}
