//! Writing entries.

use std::io::Write;

use annals::{ClientId, Entry, Timestamp};
use anyhow::Context as _;
use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};

use super::Format;

/// One line of `json-lines`. `null` is said, not left out: it is what the change has, whatever the defaults of whoever
/// reads it.
#[derive(Serialize)]
struct JsonEntry<'a> {
    index: u64,
    client: ClientId,
    timestamp: Option<Timestamp>,
    stream: Option<&'a str>,
    #[serde(flatten)]
    payload: JsonPayload<'a>,
}

#[derive(Serialize)]
enum JsonPayload<'a> {
    #[serde(rename = "text")]
    Text(&'a str),
    #[serde(rename = "data", serialize_with = "base64")]
    Data(&'a [u8]),
}

fn base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&Base64Display::new(bytes, &STANDARD))
}

/// Writes one change. `stream` is the name of its stream, `None` for the default one.
///
/// # Errors
///
/// What writing says; a payload that is not there; and a change that is longer than 4 GiB has no `framed` form.
pub(crate) fn write_entry(
    out: &mut impl Write,
    format: Format,
    entry: &Entry,
    stream: Option<&str>,
) -> anyhow::Result<()> {
    let payload = entry.payload()?;
    match format {
        Format::Lines => {
            out.write_all(payload)?;
            out.write_all(b"\n")?;
        }
        Format::JsonLines => {
            let payload =
                std::str::from_utf8(payload).map_or(JsonPayload::Data(payload), JsonPayload::Text);
            let line = JsonEntry {
                index: entry.index(),
                client: entry.client(),
                timestamp: entry.timestamp(),
                stream,
                payload,
            };
            serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Format::Framed => {
            let len = u32::try_from(payload.len()).with_context(|| {
                format!(
                    "log {}: the change at entry {} has {} bytes, too many for a length of 32 bits",
                    entry.log(),
                    entry.index(),
                    payload.len()
                )
            })?;
            out.write_all(&len.to_le_bytes())?;
            out.write_all(payload)?;
        }
    }
    Ok(())
}
