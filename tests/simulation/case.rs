//! A workload with what went wrong, and its form as text.

use std::{fmt, str::FromStr};

use annals::io::sim::{Loss, SimDisk};

use super::{
    fault::FaultText,
    guard::guarded,
    operation::Workload,
    oracle::{Broken, Effort, Oracle},
    rules::Rules,
    session::{Prepared, Session},
};

/// When a machine stops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Point {
    /// After so many changes of the disk.
    After(u64),
    /// When the workload is through.
    End,
}

/// What a crash leaves, as text: `everything`, `nothing` (what is lost), `only(2)`, `allbut(2)`, `from(2)`,
/// `random(7)`, `garbage(7)`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LossText(pub Loss);

/// A crash.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Crash {
    /// When.
    pub point: Point,
    /// What it takes; `None`: the process alone is killed.
    pub loss: Option<Loss>,
}

/// A workload, the faults of the disk while it runs, and crashes: of it, and of what opens it after that.
///
/// As text `append,commit!once(9,io)@17:only(3)@2:everything`: the workload, then a fault behind `!`, then a crash
/// behind each `@`: a number of changes or `end`, and what is lost, or `kill`. All but the workload may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// What is done.
    pub workload: Workload,
    /// What goes wrong meanwhile.
    pub fault: Option<FaultText>,
    /// The crashes, each in what the one before has left.
    pub crashes: Vec<Crash>,
}

impl Case {
    /// What is wrong, and how to see it again.
    pub fn message(&self, broken: &Broken) -> String {
        let mut case = self.clone();
        case.crashes.extend(broken.crash.clone());
        let what = &broken.what;
        format!(
            "{what}\nagain: ANNALS_REPLAY='{case}' cargo test -p annals-tests -- replay --nocapture"
        )
    }

    /// Runs it, and judges what is found. Without a fault and a crash the rules of durable writing are watched.
    ///
    /// # Errors
    ///
    /// What is not as promised, with the text of the case.
    pub fn replay(&self, effort: Effort) -> Result<(), String> {
        let case = self.clone();
        let told = guarded(move || case.run(effort)).unwrap_or_else(|what| Err(what.into()));
        told.map_err(|broken| self.message(&broken))
    }

    /// The session that a case begins with.
    pub fn session(&self, prepared: &Prepared) -> Session {
        let mut session = prepared.session();
        if let Some(fault) = &self.fault {
            session.faulty = true;
            session.lied_to = fault.lies();
            fault.inject(&session.disk);
        }
        session
    }

    fn run(&self, effort: Effort) -> Result<(), Broken> {
        let mut session = self.session(&Prepared::new(&self.workload));
        if self.fault.is_none() && self.crashes.is_empty() {
            let (mut session, rules) = Rules::watch(session);
            session.run(&self.workload)?;
            let violations = rules.violations();
            return if violations.is_empty() { Ok(()) } else { Err(violations.join("\n").into()) };
        }
        session.run(&self.workload)?;
        let mut position = session.disk.mutation_count();
        let mut found = session.disk.clone();
        for (number, crash) in self.crashes.iter().enumerate() {
            if number > 0 {
                found = found.after_power_loss(&Loss::Nothing);
                found.record();
                Oracle::new(&session.model, position).reopen(&found)?;
            }
            let at = match crash.point {
                Point::End => found.mutation_count(),
                Point::After(at) => at,
            };
            if number == 0 {
                position = at;
            }
            found = crashed(&found, at, crash.loss.as_ref())?;
        }
        let oracle = Oracle { model: &session.model, position, lied_to: session.lied_to };
        match self.crashes.last() {
            Some(Crash { loss: None, .. }) => oracle.check_killed(&found).map(|_| ()),
            _ => oracle.check(&found, &effort).map(|_| ()),
        }
    }
}

/// The machine that is found.
fn crashed(disk: &SimDisk, at: u64, loss: Option<&Loss>) -> Result<SimDisk, String> {
    let mut history = disk.history();
    while history.position() < at {
        if !history.step() {
            return Err(format!("there are only {} changes", history.len()));
        }
    }
    let machine = if at == disk.mutation_count() { disk } else { history.machine() };
    Ok(match loss {
        Some(loss) => machine.after_power_loss(loss),
        None => machine.after_kill(),
    })
}

impl fmt::Display for LossText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Loss::Everything => f.write_str("everything"),
            Loss::Nothing => f.write_str("nothing"),
            Loss::Only(at) => write!(f, "only({at})"),
            Loss::AllBut(at) => write!(f, "allbut({at})"),
            Loss::From(at) => write!(f, "from({at})"),
            Loss::Random { seed, garbage: false } => write!(f, "random({seed})"),
            Loss::Random { seed, garbage: true } => write!(f, "garbage({seed})"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// A name and the numbers in parentheses behind it.
pub(super) fn call(text: &str) -> Result<(&str, Vec<&str>), String> {
    let Some((name, rest)) = text.split_once('(') else { return Ok((text, Vec::new())) };
    let inner = rest.strip_suffix(')').ok_or_else(|| format!("{text:?} lacks a parenthesis"))?;
    Ok((name, inner.split(',').map(str::trim).collect()))
}

pub(super) fn number<T: FromStr>(texts: &[&str], at: usize) -> Result<T, String> {
    let text = texts.get(at).ok_or_else(|| "a number is missing".to_owned())?;
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

impl FromStr for LossText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, numbers) = call(text)?;
        Ok(Self(match name {
            "everything" => Loss::Everything,
            "nothing" => Loss::Nothing,
            "only" => Loss::Only(number(&numbers, 0)?),
            "allbut" => Loss::AllBut(number(&numbers, 0)?),
            "from" => Loss::From(number(&numbers, 0)?),
            "random" => Loss::Random { seed: number(&numbers, 0)?, garbage: false },
            "garbage" => Loss::Random { seed: number(&numbers, 0)?, garbage: true },
            other => return Err(format!("{other:?} is no loss")),
        }))
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.point {
            Point::After(at) => write!(f, "{at}:")?,
            Point::End => f.write_str("end:")?,
        }
        match &self.loss {
            Some(loss) => write!(f, "{}", LossText(loss.clone())),
            None => f.write_str("kill"),
        }
    }
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (point, loss) =
            text.split_once(':').ok_or_else(|| format!("{text:?}: a crash is POINT:LOSS"))?;
        let point = if point == "end" { Point::End } else { Point::After(number(&[point], 0)?) };
        let loss = match loss {
            "kill" => None,
            loss => Some(loss.parse::<LossText>()?.0),
        };
        Ok(Self { point, loss })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.workload)?;
        if let Some(fault) = &self.fault {
            write!(f, "!{fault}")?;
        }
        self.crashes.iter().try_for_each(|crash| write!(f, "@{crash}"))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('@');
        let first = parts.next().unwrap_or_default();
        let (workload, fault) = match first.split_once('!') {
            Some((workload, fault)) => (workload, Some(fault.parse()?)),
            None => (first, None),
        };
        let crashes = parts.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { workload: workload.parse()?, fault, crashes })
    }
}
