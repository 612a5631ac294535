//! Crash experiments on a simulated machine: a workload, what may be found after it, and what goes wrong.
//!
//! A [`Workload`] is a list of [`Operation`]s. A [`Session`] does them, one after another, on a
//! [`SimDisk`](annals::io::sim::SimDisk) that records, and notes in a [`Model`] what was submitted and what was
//! acknowledged, each with the number of changes that the disk had seen by then. An [`Oracle`] takes the
//! machine that is found after a crash at one such number, opens it, and says what is not as promised.
//!
//! A [`Case`] is a workload with what went wrong. It has a form as text, which every message names, and from
//! which the same thing is done again.
//!
//! # Example
//!
//! ```
//! use annals_tests::simulation::{Case, Effort};
//!
//! let case: Case = "append,commit@5:allbut(1)".parse()?;
//! case.replay(Effort::ALL)?;
//! # Ok::<(), String>(())
//! ```

mod case;
mod compare;
mod exchange;
mod fault;
mod guard;
mod model;
mod operation;
mod oracle;
mod past;
mod random;
mod rules;
pub mod seeded;
mod session;

pub use self::{
    case::{Case, Crash, LossText, Point},
    fault::{Failure, FaultText},
    guard::guarded,
    model::{Acknowledged, Backup, Group, LogModel, Model, Pruned, TakenBack},
    operation::{Operation, Workload},
    oracle::{Broken, Effort, Oracle, RecoveryCrashes},
    random::Random,
    rules::Rules,
    session::{OWN, Prepared, REPLICA, Session, Step},
};
