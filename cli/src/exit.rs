//! How a command ends: its exit code, and what it says on stderr.

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

/// Ended by SIGINT or SIGTERM, as a shell reports it.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;
/// The reader of stdout went away: as a shell reports a process that SIGPIPE ended.
const EXIT_PIPE_CLOSED: u8 = 141;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Outcome {
    /// All of it was done.
    Done,
    /// Something was left out, and has been named on stderr.
    Incomplete,
}

impl Outcome {
    /// [`Outcome::Incomplete`] if one of the two is.
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Done { other } else { self }
    }
}

/// The arguments do not fit together in a way that only the input shows.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) &'static str);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Usage {}

/// Writing acknowledgements failed. Not taken for a reader that has seen enough, even if the pipe was closed: what
/// is left on stdin is lost to whoever sent it.
#[derive(Debug)]
pub(crate) struct AckFailed(pub(crate) io::ErrorKind);

impl fmt::Display for AckFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stdout: cannot write the acknowledgement: {}", self.0)
    }
}

impl std::error::Error for AckFailed {}

/// Says `message` on stderr, as one line after the name of the program.
pub(crate) fn say(program: &str, message: impl fmt::Display) {
    // If stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{program}: {}", one_line(&message.to_string()));
}

/// Reports how `command` of `program` ended, and gives the exit code.
pub(crate) fn finish(program: &str, command: &str, result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::FAILURE,
        Err(error) if is_closed_pipe(&error) => ExitCode::from(EXIT_PIPE_CLOSED),
        Err(error) => {
            say(program, format_args!("{command}: {}", chain(&error)));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// All causes, joined by colons; one that its effect quotes already is left out.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_that_is_quoted_already_is_not_repeated() {
        let io = io::Error::other("no space");
        let quoting = anyhow::Error::new(io).context("w.seg: cannot write: no space");
        assert_eq!(
            chain(&quoting.context("cannot append")),
            "cannot append: w.seg: cannot write: no space"
        );
    }

    #[test]
    fn a_cause_that_is_new_is_joined() {
        let error = Err::<(), _>(io::Error::other("why")).context("what").unwrap_err();
        assert_eq!(chain(&error), "what: why");
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("a\nb\r"), "a b ");
    }
}
