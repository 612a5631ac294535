//! What a run does: drawn from a seed, or read from bytes that a fuzzer made up.

use std::fmt;

use super::super::random::Random;

/// What may go wrong in a run, beside crashes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weather {
    /// Nothing.
    Calm,
    /// Calls fail, honestly: errors, failing syncs, short and interrupted calls, a full disk.
    Faults,
    /// What is at rest is damaged, and healed from a replica.
    Rot,
    /// The disk lies: about syncs, about where it writes, about what it reads.
    Lies,
}

/// How large changes are in a run, beside many small ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sizes {
    /// At most some KiB: for a fuzzer, which has little memory.
    Small,
    /// Seldom some hundred KiB.
    Usual,
    /// Now and then some hundred KiB, and more than an entry can hold.
    Large,
}

/// One thing to do. Whatever needs an open workspace opens it first, so every sequence makes sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    /// Appends one change, mostly a small one.
    Append,
    /// Appends several changes as one group.
    Group,
    /// Declares a stream, or takes the one of that name, and appends to it.
    Stream,
    /// Two to four appenders take turns, and wait for what they appended in any order.
    Race,
    /// Commits.
    Commit,
    /// Commits and records it.
    Checkpoint,
    /// Closes the workspace.
    Close,
    /// Drops the workspace without looking at errors.
    Drop,
    /// Reads something, in one way or another.
    Read,
    /// Opens it once more to read only, beside the writer if there is one.
    ReadBeside,
    /// Lets the reader beside look again.
    Refresh,
    /// Imports what the peer has done meanwhile.
    Import,
    /// Imports a bundle that was damaged on its way.
    ImportDamaged,
    /// Exports to the peer what it lacks.
    Export,
    /// Makes the index anew.
    Reindex,
    /// Copies the workspace, and looks into the copy.
    Backup,
    /// Checks all that there is.
    Check,
    /// Closes the workspace, checks and mends.
    Repair,
    /// Kills the process, or the power fails.
    Crash,
    /// Lets calls go wrong from now on, or ends that.
    Trouble,
    /// Limits the space of the disk, or lifts that.
    Space,
    /// Damages what is at rest, looks at what is left, and heals it.
    Damage,
}

/// Acts with their weights in each weather.
const WEIGHTS: [(Act, [u64; 4]); 22] = [
    (Act::Append, [150, 150, 150, 150]),
    (Act::Group, [25, 25, 25, 25]),
    (Act::Stream, [25, 25, 25, 25]),
    (Act::Race, [60, 60, 60, 30]),
    (Act::Commit, [60, 60, 60, 60]),
    (Act::Checkpoint, [6, 6, 6, 6]),
    (Act::Close, [6, 6, 6, 6]),
    (Act::Drop, [2, 2, 2, 2]),
    (Act::Read, [80, 80, 80, 80]),
    (Act::ReadBeside, [4, 4, 4, 4]),
    (Act::Refresh, [4, 4, 4, 4]),
    (Act::Import, [5, 5, 5, 5]),
    (Act::ImportDamaged, [2, 2, 2, 2]),
    (Act::Export, [5, 5, 5, 0]),
    (Act::Reindex, [1, 1, 1, 1]),
    (Act::Backup, [1, 1, 1, 0]),
    (Act::Check, [1, 1, 1, 1]),
    (Act::Repair, [1, 1, 1, 1]),
    (Act::Crash, [2, 2, 2, 2]),
    (Act::Trouble, [0, 16, 0, 16]),
    (Act::Space, [0, 3, 0, 0]),
    (Act::Damage, [0, 0, 8, 0]),
];

const WEATHERS: [Weather; 4] = [Weather::Calm, Weather::Faults, Weather::Rot, Weather::Lies];

/// One step of a run: what is done, and all that is drawn for it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its place in the plan from which none was taken out.
    pub number: u32,
    /// What is done.
    pub act: Act,
    /// From which everything about it is drawn.
    pub seed: u64,
    /// After so many changes of the disk the power goes off.
    pub crash: Option<u64>,
}

/// All that a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From which it was drawn.
    pub seed: u64,
    /// What may go wrong.
    pub weather: Weather,
    /// Frames start at multiples of 4096 bytes.
    pub aligned: bool,
    /// Syncs do nothing and say that they did, and nobody is told: to see that this would be noticed.
    pub lies_in_secret: bool,
    /// How large changes are.
    pub sizes: Sizes,
    /// What is done.
    pub steps: Vec<Step>,
}

fn act_of(weather: Weather, mut drawn: u64) -> Act {
    let column = WEATHERS.iter().position(|other| *other == weather).unwrap_or(0);
    let total: u64 = WEIGHTS.iter().map(|(_, weights)| weights[column]).sum();
    drawn %= total;
    for (act, weights) in WEIGHTS {
        match drawn.checked_sub(weights[column]) {
            Some(rest) => drawn = rest,
            None => return act,
        }
    }
    Act::Append
}

impl Plan {
    /// The plan of a seed: some hundred to some thousand steps.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let weather = match random.below(10) {
            0..=4 => Weather::Calm,
            5 | 6 => Weather::Faults,
            7 | 8 => Weather::Rot,
            _ => Weather::Lies,
        };
        let aligned = random.below(8) == 0;
        let sizes = if random.below(6) == 0 { Sizes::Large } else { Sizes::Usual };
        let most = if weather == Weather::Lies { 500 } else { 2500 };
        let count = 150 + random.below(most);
        let rarity = *random.pick(&[15, 40, 80, 200]);
        let reach = *random.pick(&[4, 12, 40]);
        let steps = (0..count).map(|number| Step {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            act: act_of(weather, random.number()),
            seed: random.number(),
            crash: (random.below(rarity) == 0).then(|| random.below(reach)),
        });
        let steps = steps.collect();
        Self { seed, weather, aligned, lies_in_secret: false, sizes, steps }
    }

    /// The plan that these bytes stand for: a byte for the weather, then three for each step. Any bytes do.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        const STEP_COUNT_MAX: usize = 120;
        let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
        let seed = u64::from(first >> 3);
        let weather = WEATHERS[usize::from(first & 3)];
        let steps = rest.chunks_exact(3).take(STEP_COUNT_MAX).enumerate().map(|(number, step)| {
            let column = WEIGHTS[usize::from(step[0] & 31) % WEIGHTS.len()];
            let crash = match step[2] {
                0..=191 => None,
                after => Some(u64::from(after - 192)),
            };
            Step {
                number: u32::try_from(number).unwrap_or(u32::MAX),
                act: if column.0 == Act::Damage && weather != Weather::Rot {
                    Act::Read
                } else {
                    column.0
                },
                seed: u64::from(step[0] >> 5) << 16 | u64::from(step[1]) << 8 | seed,
                crash,
            }
        });
        let steps = steps.collect();
        Self {
            seed,
            weather,
            aligned: first & 4 != 0,
            lies_in_secret: false,
            sizes: Sizes::Small,
            steps,
        }
    }

    /// The steps with these numbers alone.
    #[must_use]
    pub fn keeping(&self, keeps: impl Fn(u32) -> bool) -> Self {
        let steps = self.steps.iter().filter(|step| keeps(step.number)).copied().collect();
        Self { steps, ..self.clone() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} {:?}", self.number, self.act)?;
        self.crash.map_or(Ok(()), |after| write!(f, ", power off after {after} changes"))
    }
}
