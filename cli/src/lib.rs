//! What the programs `annals` and `annals-fsck` are made of.
//!
//! - `app`: the command line of `annals`; `commands`: one file for each subcommand;
//! - `formats`: changes on stdin and stdout; `select`: which entries a command is about;
//! - `open`: workspaces to read, to write, to publish;
//! - `exit`, `human`, `progress`: exit codes and messages, figures for people, progress bars.
//!
//! Data goes to stdout, all else to stderr. Exit codes: 0 done, 1 failed or incomplete, 2 usage.

mod app;
mod commands;
mod exit;
mod formats;
pub mod fsck;
mod human;
mod open;
mod progress;
mod select;

pub use app::annals;
