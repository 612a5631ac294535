//! The appender in the hands of somebody who is no leader: an import of the own log, or a switch to another file.

use std::sync::Arc;

use super::{AppendError, Core, Hooks, Job, Lease};
use crate::{error::IoError, log::appender::Appender, sync::MutexGuard};

/// Why the appender did not go on in another file.
pub(crate) enum SwitchError<E> {
    /// It goes on in the old one.
    Kept(E),
    /// What the disk holds is unknown.
    Unsure(IoError),
}

/// What became of a loan.
struct Loan<R, E> {
    outcome: Result<R, E>,
    /// Poisons the log.
    fatal: Option<Arc<IoError>>,
    /// Those of another file that the appender writes to now.
    hooks: Option<Hooks>,
}

impl Core {
    /// Runs `work` with the appender and nothing staged, while nobody else writes.
    ///
    /// If `work` fails, the log is taken back to where it was before.
    pub(crate) fn with_appender<R, E: From<AppendError>>(
        &self,
        work: impl FnOnce(&mut Appender) -> Result<R, E>,
    ) -> Result<R, E> {
        self.lend(|appender, hooks| {
            let mark = appender.state().clone();
            let outcome = work(appender);
            let undone = if outcome.is_err() { appender.roll_back(mark) } else { Ok(()) };
            (hooks.written)(appender);
            Loan { outcome, fatal: undone.err().map(Arc::new), hooks: None }
        })
    }

    /// Lets `work` exchange what the appender writes to, and give the hooks of the new file. Whoever appends or commits
    /// waits meanwhile.
    ///
    /// After [`SwitchError::Unsure`] the log is poisoned, after [`SwitchError::Kept`] everything is as before.
    pub(crate) fn switch<E: From<AppendError>>(
        &self,
        work: impl FnOnce(&mut Appender) -> Result<Hooks, SwitchError<E>>,
    ) -> Result<(), E> {
        self.lend(|appender, _| match work(appender) {
            Ok(hooks) => Loan { outcome: Ok(()), fatal: None, hooks: Some(hooks) },
            Err(SwitchError::Kept(error)) => Loan { outcome: Err(error), fatal: None, hooks: None },
            Err(SwitchError::Unsure(error)) => {
                let error = Arc::new(error);
                let poisoned = AppendError::Poisoned(Arc::clone(&error));
                Loan { outcome: Err(poisoned.into()), fatal: Some(error), hooks: None }
            }
        })
    }

    fn lend<R, E: From<AppendError>>(
        &self,
        work: impl FnOnce(&mut Appender, &Hooks) -> Loan<R, E>,
    ) -> Result<R, E> {
        let mut state = self.state.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.error().into());
            }
            if state.exclusive.is_some() || state.appender.is_none() {
                self.changed.wait(&mut state);
            } else if !state.staged.is_empty() {
                self.lead(&mut state, Job::Write)?;
            } else {
                break;
            }
        }
        // Nobody stages while the index of the next entry may change.
        state.exclusive = Some(state.staged.end_index());
        let appender = state.appender.take().expect("seen above");
        let hooks = Arc::clone(&state.hooks);
        let (appender, loan) = MutexGuard::unlocked(&mut state, || {
            let mut lease = Lease { core: self, appender: Some(appender), hooks };
            let hooks = Arc::clone(&lease.hooks);
            let loan = work(lease.appender.as_mut().expect("just lent"), &hooks);
            (lease.take(), loan)
        });
        state.exclusive = None;
        let end = appender.state().entry_count();
        state.staged.reset(end);
        state.written = end;
        state.lamport = appender.state().lamport;
        state.streams = appender.state().stream_count;
        state.durable = appender.acknowledged();
        state.appender = Some(appender);
        if let Some(hooks) = loan.hooks {
            state.hooks = Arc::new(hooks);
        }
        if let Some(error) = loan.fatal {
            state.poison(error);
        }
        self.changed.notify_all();
        loan.outcome
    }
}
