//! What a program does with its own log.

use std::sync::Arc;

use annals::{AppendError, Change, Progress, StreamError, StreamId, Workspace, workspace::Ticket};

use super::{Sizes, Stop, ledger::Draft, world::World};
use crate::simulation::Random;

/// The payload of a change: mostly small, seldom large.
fn payload(random: &mut Random, sizes: Sizes) -> Arc<[u8]> {
    let len = match (random.below(1000), sizes) {
        (0..=869, _) => random.below(40),
        (870..=979, _) => random.below(1 << 10),
        (980..=994, _) | (_, Sizes::Small) => random.below(10 << 10),
        (995..=997, _) | (_, Sizes::Usual) => random.below(150 << 10),
        (998, Sizes::Large) => random.below(400 << 10),
        _ => (1 << 20) + random.below(200 << 10),
    };
    let len = usize::try_from(len).expect("small");
    let mut bytes = random.number().to_le_bytes().to_vec();
    bytes.truncate(len);
    if random.below(3) == 0 {
        // Compresses to nothing.
        bytes.resize(len, b' ');
    } else {
        bytes.extend_from_slice(&random.bytes(len - bytes.len()));
    }
    Arc::from(bytes)
}

/// Changes in the default stream.
pub(super) fn drafts(random: &mut Random, count: u64, sizes: Sizes) -> Vec<Draft> {
    let draft = |_| Draft { payload: payload(random, sizes), stream: StreamId::DEFAULT };
    (0..count).map(draft).collect()
}

/// A ticket with what is known of it: where its changes end, and how often the disk had been full before.
struct Held<'a> {
    ticket: Ticket<'a>,
    end: u64,
    epoch: usize,
}

impl World {
    fn submit<'a>(
        &mut self,
        workspace: &'a Workspace,
        drafts: Vec<Draft>,
    ) -> Result<Ticket<'a>, Stop> {
        let changes = drafts.iter().map(|d| Change::new(&d.payload).in_stream(d.stream));
        let changes: Vec<_> = changes.collect();
        match workspace.append_all(&changes) {
            Ok(ticket) => {
                self.ledger.appended(&workspace.own_log(), ticket.indices(), drafts)?;
                Ok(ticket)
            }
            Err(error) => Err(self.append_failed(&error, drafts)),
        }
    }

    pub(super) fn append(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let drafts = drafts(random, 1, self.sizes);
        self.submit(&workspace, drafts).map(|_| ())
    }

    pub(super) fn append_group(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let mut drafts = drafts(random, 2, self.sizes);
        let more = random.below(4);
        drafts.extend(self::drafts(random, more, Sizes::Small));
        if random.below(6) == 0 {
            // Larger than a batch, and now and then than the buffer.
            let len = if self.sizes == Sizes::Small { 9 << 10 } else { 90 << 10 };
            drafts.push(Draft { payload: Arc::from(random.bytes(len)), stream: StreamId::DEFAULT });
            drafts.extend(self::drafts(random, 1, Sizes::Small));
        }
        self.submit(&workspace, drafts).map(|_| ())
    }

    pub(super) fn append_to_stream(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let name = format!("stream {}", random.below(7));
        let known = self.ledger.declared(&name);
        let stream = match workspace.stream(&name) {
            Ok(stream) => stream,
            Err(StreamError::Append(error)) => return Err(self.append_failed(&error, Vec::new())),
            Err(StreamError::Read(error)) => return Err(Stop::unreadable(error)),
            Err(error) => return Err(Stop::refused(error)),
        };
        let view = workspace.own_log();
        self.ledger.catch_up(&view, view.entry_count())?;
        if known.is_some_and(|known| known != stream.id()) {
            return Err(Stop::Broken(format!("{name} is declared a second time")));
        }
        let draft = Draft { payload: payload(random, Sizes::Small), stream: stream.id() };
        self.submit(&workspace, vec![draft]).map(|_| ())
    }

    /// Appenders that wait for each other's changes: as threads would, but always in the same order.
    pub(super) fn race(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let appenders = 2 + random.below(3);
        let streams: Vec<StreamId> = self.ledger.streams().map(|(_, stream)| stream).collect();
        let mut held: Vec<Held<'_>> = Vec::new();
        let rounds = 6 + random.below(24);
        for _ in 0..rounds {
            self.tally.operations += 1;
            let who = random.below(appenders);
            match random.below(10) {
                0..=6 => {
                    let mut drafts = drafts(random, 1, Sizes::Small);
                    if who > 0 && !streams.is_empty() {
                        drafts[0].stream = *random.pick(&streams);
                    }
                    let ticket = self.submit(&workspace, drafts)?;
                    let end = ticket.indices().end;
                    held.push(Held { ticket, end, epoch: self.voids.len() });
                }
                7 | 8 if !held.is_empty() => {
                    let at = usize::try_from(random.below(held.len() as u64)).expect("a place");
                    let one = held.swap_remove(at);
                    self.wait(&one)?;
                }
                _ => {
                    let progress = workspace.commit();
                    let progress = progress.map_err(|e| self.append_failed(&e, Vec::new()))?;
                    self.promised(progress)?;
                }
            }
        }
        // The others do not wait.
        let waits = random.below(3);
        for one in held.iter().take(usize::try_from(waits).expect("few")) {
            self.wait(one)?;
        }
        Ok(())
    }

    fn wait(&mut self, held: &Held<'_>) -> Result<(), Stop> {
        let is_void = self.voids[held.epoch..].iter().any(|from| *from < held.end);
        match held.ticket.wait_durable() {
            Ok(_) if is_void => {
                Err(Stop::Broken(format!("entry {} was void, and is durable", held.end - 1)))
            }
            Ok(progress) if progress.entries < held.end => Err(Stop::Broken(format!(
                "entry {} was waited for, and {} are durable",
                held.end - 1,
                progress.entries
            ))),
            Ok(progress) => self.promised(progress),
            Err(AppendError::Void) if is_void => Ok(()),
            Err(error) => Err(self.append_failed(&error, Vec::new())),
        }
    }

    /// A promise was given.
    fn promised(&mut self, progress: Progress) -> Result<(), Stop> {
        if progress.entries > self.ledger.end() {
            let Some(workspace) = self.workspace.clone() else { return Ok(()) };
            self.ledger.catch_up(&workspace.own_log(), progress.entries)?;
        }
        self.acknowledge(progress.entries);
        Ok(())
    }

    pub(super) fn promised_all(&mut self, workspace: &Workspace) -> Result<(), Stop> {
        let durable = workspace.durable();
        if durable.entries < self.ledger.end() {
            let (durable, end) = (durable.entries, self.ledger.end());
            return Err(Stop::Broken(format!("{durable} of {end} entries were made durable")));
        }
        self.promised(durable)
    }

    pub(super) fn commit(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let progress = workspace.commit().map_err(|e| self.append_failed(&e, Vec::new()))?;
        if progress.entries < self.ledger.end() {
            let end = self.ledger.end();
            return Err(Stop::Broken(format!("a commit says {} of {end}", progress.entries)));
        }
        self.promised(progress)?;
        if random.below(8) == 0 && !self.lies() {
            let root = workspace.own_log().root().map_err(Stop::unreadable)?;
            self.ledger.remember(progress.entries, root);
        }
        Ok(())
    }

    pub(super) fn checkpoint(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        workspace.checkpoint().map_err(|error| self.append_failed(&error, Vec::new()))?;
        self.promised_all(&workspace)
    }

    pub(super) fn close(&mut self) -> Result<(), Stop> {
        let Some(workspace) = self.workspace.take() else { return Ok(()) };
        match workspace.clone().close() {
            Ok(()) => self.promised_all(&workspace),
            Err(error) => Err(self.append_failed(&error, Vec::new())),
        }
    }
}
