//! A child process that is killed in the middle of appending.

use std::{
    io::{BufRead as _, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use annals::{Options, Verdict, Workspace};
use anyhow::{Context as _, ensure};

use super::{
    Screen,
    input::{Input, as_u64, write_lines},
    timed,
};
use crate::human;

/// How often, and after how many acknowledgements or how long.
const KILL_COUNT: u64 = 3;
const ACKED_MAX: u64 = 150;
const TIME_MAX: Duration = Duration::from_secs(1);

/// Kills what it holds when dropped, so that no failure leaves a child behind.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This very program appends the lines of the files with a durable commit each, and is killed; what it acknowledged must
/// be there, and be what was sent, in order. Several times over, on one log.
pub(super) fn kill_and_recover(
    screen: &mut Screen<impl Write>,
    folder: &Path,
    input: &Input,
) -> anyhow::Result<()> {
    let lines: Vec<&[u8]> = input.lines().take(10_000).collect();
    Workspace::create(folder, Options::default())?.close()?;
    let (mut acked, mut recovered) = (0, 0);
    let mut slowest = Duration::ZERO;
    let mut torn = 0;
    for round in 1..=KILL_COUNT {
        let sent = lines.iter().copied().cycle().skip(remainder(recovered, lines.len()));
        acked = append_until_killed(folder, sent, ACKED_MAX * round)?.max(acked);

        let (workspace, time) = timed(|| Workspace::open(folder, Options::default()));
        let workspace = workspace?;
        slowest = slowest.max(time);
        torn += u64::from(*workspace.recovered() == Verdict::TornTail);
        recovered = workspace.durable().changes;
        ensure!(
            recovered >= acked,
            "{}: {acked} changes were acknowledged, {recovered} are there after SIGKILL",
            folder.display()
        );
        for (entry, line) in workspace.own_log().scan(..)?.zip(lines.iter().cycle()) {
            let entry = entry?;
            let index = entry.index();
            ensure!(entry.payload()? == *line, "{}: entry {index} differs", folder.display());
        }
        workspace.close()?;
    }
    let text = format!(
        "{KILL_COUNT} times SIGKILL while appending: {} acked, {} there, in order",
        human::count(acked),
        human::count(recovered),
    );
    screen.line("crash", &text)?;
    let text = format!(
        "{} cut; opened again in {} at most",
        human::counted(torn, "torn tail"),
        human::duration(slowest)
    );
    screen.line("", &text)
}

/// Feeds lines to a child until it has acknowledged `enough` changes; kills it; gives the last acknowledgement.
fn append_until_killed<'a>(
    folder: &Path,
    lines: impl Iterator<Item = &'a [u8]> + Send,
    enough: u64,
) -> anyhow::Result<u64> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let child = Command::new(program)
        .args(["append", "--sync", "each", "--ack"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut victim = Victim(child.context("cannot start the child process")?);
    let stdin = victim.0.stdin.take().context("the child has no stdin")?;
    let stdout = victim.0.stdout.take().context("the child has no stdout")?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        // Ends with an error when the child is killed: the lines have no end.
        scope.spawn(move || write_lines(stdin, lines));
        let mut acked = 0;
        let mut killed = false;
        for line in BufReader::new(stdout).lines() {
            let line = line.context("cannot read the child's acknowledgements")?;
            let number = line.strip_prefix("acked ").and_then(|number| number.parse().ok());
            acked = number.with_context(|| format!("the child said {line:?}"))?;
            if !killed && (acked >= enough || began.elapsed() > TIME_MAX) {
                victim.0.kill().context("cannot kill the child process")?;
                killed = true;
                // What it said before is still read: all of it was promised.
            }
        }
        victim.0.wait().context("cannot wait for the child process")?;
        ensure!(killed, "the child process ended by itself after {acked} changes");
        Ok(acked)
    })
}

fn remainder(n: u64, len: usize) -> usize {
    usize::try_from(n % as_u64(len.max(1))).expect("less than a length")
}
