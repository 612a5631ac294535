//! `annals verify-proof`.

use std::io::{Read, Write};

use annals::{ConsistencyProof, Hash, InclusionProof, LogId, Timestamp};
use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::write_json;
use crate::exit::{Outcome, Usage};

/// Longest proof that is read, in bytes: the largest payload in base64, and room for the rest.
const PROOF_LEN_MAX: u64 = 2 << 20;

/// Verify a proof from stdin against a root that you trust. Needs no workspace.
///
/// Prints what is proven. No root but the one given is trusted, least of all one inside the proof. Exit code 1 if the
/// proof does not hold.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals verify-proof --root 7b0c.. < proof.json
  annals verify-proof --from-root 51aa.. --root 7b0c.. < consistency.json")]
pub(crate) struct VerifyProofArgs {
    /// The root that you trust, of as many entries as the proof says (64 hex digits)
    #[arg(long, value_name = "HEX")]
    root: Hash,
    /// For a consistency proof: the old root that you trust
    #[arg(long, value_name = "HEX")]
    from_root: Option<Hash>,
    /// Print {"proven": true, "what": "inclusion" or "consistency", ..}
    #[arg(long)]
    json: bool,
}

/// What a proof has proven.
#[derive(serde::Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Proven {
    Inclusion {
        proven: bool,
        log: LogId,
        index: u64,
        size: u64,
        lamport: u64,
        timestamp: Option<Timestamp>,
        stream: u32,
        kind: u8,
        payload_len: u32,
        payload_hash: Hash,
        /// In base64; `null` if the proof does not disclose it.
        payload: Option<String>,
    },
    Consistency {
        proven: bool,
        log: LogId,
        from_size: u64,
        size: u64,
    },
}

/// Only looked at to see what kind of proof it is.
#[derive(serde::Deserialize)]
struct Kind {
    format: String,
}

pub(crate) fn run(
    args: &VerifyProofArgs,
    input: impl Read,
    out: &mut impl Write,
) -> anyhow::Result<Outcome> {
    let mut json = Vec::new();
    input.take(PROOF_LEN_MAX + 1).read_to_end(&mut json).context("stdin")?;
    if json.len() as u64 > PROOF_LEN_MAX {
        bail!("stdin: longer than {PROOF_LEN_MAX} bytes, which no proof is");
    }
    let kind: Kind = serde_json::from_slice(&json).context("stdin: not a proof")?;
    if kind.format.starts_with("annals-inclusion-") {
        let proof: InclusionProof = serde_json::from_slice(&json).context("stdin: not a proof")?;
        if args.from_root.is_some() {
            return Err(
                Usage("--from-root is for consistency proofs, this is an inclusion proof").into()
            );
        }
        proof.verify(&args.root).context("stdin: not proven")?;
        inclusion(args, proof, out)?;
    } else {
        let proof: ConsistencyProof =
            serde_json::from_slice(&json).context("stdin: not a proof")?;
        let Some(from_root) = args.from_root else {
            return Err(Usage(
                "a consistency proof needs --from-root, the old root that you trust",
            )
            .into());
        };
        proof.verify(&from_root, &args.root).context("stdin: not proven")?;
        consistency(args, &proof, out)?;
    }
    Ok(Outcome::Done)
}

fn inclusion(
    args: &VerifyProofArgs,
    proof: InclusionProof,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let InclusionProof { log, index, size, header, payload_hash, .. } = proof;
    if args.json {
        let proven = Proven::Inclusion {
            proven: true,
            log,
            index,
            size,
            lamport: header.lamport,
            timestamp: header.timestamp,
            stream: header.stream.0,
            kind: header.kind.0,
            payload_len: header.payload_len,
            payload_hash,
            payload: proof.payload.map(|payload| STANDARD.encode(payload)),
        };
        return write_json(out, &proven);
    }
    writeln!(out, "proven: entry {index} of the first {size} of log {log}")?;
    let time = header.timestamp.map_or_else(|| "none".to_owned(), |time| time.to_string());
    writeln!(
        out,
        "  kind {}, stream {}",
        header.kind.name().unwrap_or("unknown"),
        header.stream.0
    )?;
    writeln!(out, "  time {time}, Lamport clock {}", header.lamport)?;
    match proof.payload.as_deref().map(std::str::from_utf8) {
        None => writeln!(out, "  payload of {} bytes, not disclosed", header.payload_len),
        Some(Ok(text)) if text.len() <= 60 => writeln!(out, "  payload {text:?}"),
        Some(_) => writeln!(out, "  payload of {} bytes, disclosed", header.payload_len),
    }
}

fn consistency(
    args: &VerifyProofArgs,
    proof: &ConsistencyProof,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let ConsistencyProof { log, from_size, size, .. } = *proof;
    if args.json {
        return write_json(out, &Proven::Consistency { proven: true, log, from_size, size });
    }
    writeln!(
        out,
        "proven: the first {from_size} of the first {size} entries of log {log} are as they were"
    )
}
