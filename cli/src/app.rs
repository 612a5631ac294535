//! The command line of `annals`.

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        append, asset, backup, cat, compact, demo, export, frontier, gc, import, init, log, prove,
        prune, redact, reindex, root, salvage, snapshot, stats, verify_proof,
    },
    exit::{Outcome, finish},
};

/// Bytes of stdout that are written at once.
const WRITE_LEN: usize = 1 << 20;

/// Keep append-only, Merkle-linked, compressed logs of changes, one for each client of a workspace.
///
/// A workspace is a folder. In it each client (a device, an installation) has one log, which only it appends to; logs
/// of other clients come in bundles. Entries are numbered from 0. Nothing is ever changed in place, everything that is
/// read is verified, and what was acknowledged survives a crash.
#[derive(Debug, Parser)]
#[command(
    name = "annals",
    version,
    after_help = "Data goes to stdout, all else to stderr. Lengths are in bytes, times are RFC 3339.
Exit codes: 0 done, 1 failed or incomplete, 2 wrong usage.

Begin with:
  annals init notes
  printf 'a\\nb\\n' | annals append notes --sync each --ack
  annals cat notes
  annals demo"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    Append(append::AppendArgs),
    Cat(cat::CatArgs),
    Log(log::LogArgs),
    Stats(stats::StatsArgs),
    Root(root::RootArgs),
    Prove(prove::ProveArgs),
    VerifyProof(verify_proof::VerifyProofArgs),
    Frontier(frontier::FrontierArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Asset(asset::AssetArgs),
    Compact(compact::CompactArgs),
    Redact(redact::RedactArgs),
    Snapshot(snapshot::SnapshotArgs),
    Prune(prune::PruneArgs),
    Gc(gc::GcArgs),
    Backup(backup::BackupArgs),
    Reindex(reindex::ReindexArgs),
    Salvage(salvage::SalvageArgs),
    Demo(demo::DemoArgs),
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Append(_) => "append",
            Self::Cat(_) => "cat",
            Self::Log(_) => "log",
            Self::Stats(_) => "stats",
            Self::Root(_) => "root",
            Self::Prove(_) => "prove",
            Self::VerifyProof(_) => "verify-proof",
            Self::Frontier(_) => "frontier",
            Self::Export(_) => "export",
            Self::Import(_) => "import",
            Self::Asset(_) => "asset",
            Self::Compact(_) => "compact",
            Self::Redact(_) => "redact",
            Self::Snapshot(_) => "snapshot",
            Self::Prune(_) => "prune",
            Self::Gc(_) => "gc",
            Self::Backup(_) => "backup",
            Self::Reindex(_) => "reindex",
            Self::Salvage(_) => "salvage",
            Self::Demo(_) => "demo",
        }
    }

    fn run(&self) -> anyhow::Result<Outcome> {
        if let Self::Append(args) = self {
            // Acknowledgements are written one by one, perhaps by the thread that handles a signal.
            return append::run(args, io::stdin().lock(), io::stdout());
        }
        let mut out = BufWriter::with_capacity(WRITE_LEN, io::stdout());
        let outcome = self.run_with(&mut out);
        // What was written before a failure is data all the same.
        let flushed = out.flush();
        let outcome = outcome?;
        flushed?;
        Ok(outcome)
    }

    fn run_with(&self, out: &mut (impl Write + Send)) -> anyhow::Result<Outcome> {
        match self {
            Self::Append(args) => append::run(args, io::stdin().lock(), io::stdout()),
            Self::Init(args) => init::run(args, out),
            Self::Cat(args) => cat::run(args, out),
            Self::Log(args) => log::run(args, out),
            Self::Stats(args) => stats::run(args, out),
            Self::Root(args) => root::run(args, out),
            Self::Prove(args) => prove::run(args, out),
            Self::VerifyProof(args) => verify_proof::run(args, io::stdin().lock(), out),
            Self::Frontier(args) => frontier::run(args, out),
            Self::Export(args) => export::run(args, out, &mut io::stderr()),
            Self::Import(args) => import::run(args, io::stdin().lock(), out),
            Self::Asset(args) => asset::run(args, out),
            Self::Compact(args) => compact::run(args, out),
            Self::Redact(args) => redact::run(args, out),
            Self::Snapshot(args) => snapshot::run(args, io::stdin().lock(), out),
            Self::Prune(args) => prune::run(args, out),
            Self::Gc(args) => gc::run(args, out),
            Self::Backup(args) => backup::run(args),
            Self::Reindex(args) => reindex::run(args),
            Self::Salvage(args) => salvage::run(args, out),
            Self::Demo(args) => demo::run(args, out),
        }
    }
}

/// The program `annals`: reads the command line, runs the command, and gives the exit code.
pub fn annals() -> ExitCode {
    let Cli { command } = Cli::parse();
    finish("annals", command.name(), command.run())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_declared_without_contradictions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_described_and_called_by_its_name() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
        let cli =
            Cli::try_parse_from(["annals", "verify-proof", "--root", &"0".repeat(64)]).unwrap();
        assert_eq!(cli.command.name(), "verify-proof");
    }
}
