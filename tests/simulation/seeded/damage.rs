//! Damage to what is at rest and was acknowledged: it is told exactly, all else is served, a replica heals it.

use std::path::{Path, PathBuf};

use annals::{
    Workspace,
    check::{Depth, RepairOptions, check_on, repair_on},
    io::Disk,
};

use super::{
    Stop,
    acts::drafts,
    ledger::Ledger,
    world::World,
    wound::{Harm, Wound, frames_of},
};
use crate::simulation::{OWN, Random};

impl World {
    fn ledger_of(&self, is_own: bool) -> &Ledger {
        if is_own { &self.ledger } else { &self.peer.ledger }
    }

    /// Damages a segment, an index run or the metadata; looks at what is left; heals it.
    pub(super) fn damage(&mut self, random: &mut Random) -> Result<(), Stop> {
        let is_own = random.below(3) > 0;
        if !is_own {
            // Only what was acknowledged is known to be gone.
            self.import(random)?;
        }
        self.export()?;
        self.close()?;
        self.reader = None;
        if self.is_lenient() {
            return Ok(());
        }
        // A crash that was to come does so while it is healed.
        self.disk.power_off_after(u64::MAX);
        match random.below(8) {
            0 => return self.damage_index(random),
            1 => return self.damage_metadata(),
            2 if is_own => return self.damage_after_crash(random),
            _ => {}
        }
        let wound = Wound::draw(self, is_own, random)?;
        if is_own && random.below(4) == 0 {
            self.keep_older();
        }
        let Some(wound) = wound else { return Ok(()) };
        self.tally.damages += 1;
        self.note(&format!("{:?} of {}: lost {:?}", wound.harm, wound.path.display(), wound.lost));
        self.disk.set_content(&wound.path, &wound.bytes);
        let seen = if wound.is_own { self.ledger.end() } else { self.copy_len(&wound) };
        if wound.harm == Harm::Older && !self.is_noticed(&wound)? {
            // Nothing but the lock record says that there was more.
            self.tally.unnoticed += 1;
            self.disk.set_content(&wound.path, &wound.truth);
            return self.compare_all();
        }
        let depth = if random.below(2) == 0 { Depth::Structure } else { Depth::Payloads };
        let report = check_on(&self.through(), Path::new(OWN), depth, |_, _| ());
        wound.check_report(&report.map_err(Stop::broken)?, seen)?;
        self.is_served(&wound)?;
        if wound.is_own && matches!(wound.harm, Harm::Cut | Harm::Older) {
            self.is_refused()?;
        } else if wound.is_own && random.below(3) == 0 {
            self.go_on(random)?;
        }
        self.heal(random)?;
        self.compare_all()?;
        self.tally.healed += 1;
        if random.below(4) == 0 { self.check() } else { Ok(()) }
    }

    fn keep_older(&mut self) {
        let Some(log) = self.own_log() else { return };
        let path = Path::new(OWN).join("logs").join(format!("{log}.seg"));
        self.older = self.disk.content(path).map(|bytes| (bytes, self.ledger.end()));
    }

    /// Entries of the copy of the peer's log before it was damaged.
    fn copy_len(&self, wound: &Wound) -> u64 {
        let frames = frames_of(&wound.truth).unwrap_or_default();
        frames.last().map_or(self.peer.copied, |(_, entries)| entries.end)
    }

    /// Whether there is evidence that a segment is an older one; what it has is right in any case.
    fn is_noticed(&mut self, wound: &Wound) -> Result<bool, Stop> {
        let report = check_on(&self.through(), Path::new(OWN), Depth::Structure, |_, _| ());
        let report = report.map_err(Stop::broken)?;
        let told = report.errors().any(|finding| finding.lost.is_some());
        if !told {
            self.is_served(wound)?;
        }
        Ok(told)
    }

    /// All that is not lost is served, and nothing else is.
    fn is_served(&self, wound: &Wound) -> Result<(), Stop> {
        let path = Path::new(OWN);
        let opened = Workspace::open_read_only_on(self.through(), path, self.options.clone());
        if wound.is_beheaded() && wound.is_own {
            return match opened {
                Ok(_) => Err(Stop::Broken("a segment without a head is read".to_owned())),
                Err(_) => Ok(()),
            };
        }
        let reader = opened.map_err(|error| Stop::Broken(format!("reading the rest: {error}")))?;
        let view = if wound.is_own {
            reader.own_log()
        } else {
            match reader.log(self.peer.log) {
                Ok(view) => view,
                Err(_) if wound.is_beheaded() => return Ok(()),
                Err(error) => return Err(Stop::broken(error)),
            }
        };
        // The peer may have gone on behind what was imported of it.
        let upto = if wound.is_own { u64::MAX } else { self.copy_len(wound) };
        self.ledger_of(wound.is_own).compare_damaged(&view, &wound.lost, upto)
    }

    /// Nobody goes on in a log that has lost its end.
    fn is_refused(&self) -> Result<(), Stop> {
        match Workspace::open_on(self.through(), Path::new(OWN), self.options.clone()) {
            Ok(_) => Err(Stop::Broken("a log is written that has lost its end".to_owned())),
            Err(_) => Ok(()),
        }
    }

    /// Damage below the checkpoint keeps nobody from going on.
    fn go_on(&mut self, random: &mut Random) -> Result<(), Stop> {
        let opened = Workspace::open_on(self.through(), Path::new(OWN), self.options.clone());
        let workspace =
            opened.map_err(|error| Stop::Broken(format!("going on beside damage: {error}")))?;
        let drafts = drafts(random, 2, self.sizes);
        let changes = drafts.iter().map(|draft| annals::Change::new(&draft.payload));
        let changes: Vec<_> = changes.collect();
        let ticket = workspace.append_all(&changes).map_err(Stop::broken)?;
        self.ledger.appended(&workspace.own_log(), ticket.indices(), drafts)?;
        let progress = workspace.commit().map_err(Stop::broken)?;
        self.acknowledge(progress.entries);
        workspace.close().map_err(Stop::broken)
    }

    /// Heals from the peer, and again if the power goes off meanwhile.
    fn heal(&mut self, random: &mut Random) -> Result<(), Stop> {
        let replica = self.put_replica(random)?;
        let options = RepairOptions {
            depth: Depth::Payloads,
            replicas: vec![replica.to_owned()],
            ..RepairOptions::default()
        };
        self.rewriting = true;
        let mut crashes = random.below(3);
        loop {
            if crashes > 0 {
                self.disk.power_off_after(random.below(24));
            }
            let result = repair_on(&self.through(), Path::new(OWN), options.clone(), |_, _| ());
            if self.disk.is_off() {
                self.restart(random);
                crashes = crashes.saturating_sub(1);
                continue;
            }
            self.disk.power_off_after(u64::MAX);
            let report = result.map_err(|error| Stop::Broken(format!("healing: {error}")))?;
            return match report.errors().next() {
                Some(finding) => Err(Stop::Broken(format!("healing leaves: {finding}"))),
                None => Ok(()),
            };
        }
    }

    /// A frame that was acknowledged, and is not the last one of those, is known to have been there although nobody
    /// closed the log.
    fn damage_after_crash(&mut self, random: &mut Random) -> Result<(), Stop> {
        for _ in 0..=random.below(4) {
            self.append_group(random)?;
            if random.below(3) > 0 {
                self.append(random)?;
                self.commit(random)?;
            }
        }
        self.restart(random);
        let Some(log) = self.own_log() else { return Ok(()) };
        let path = Path::new(OWN).join("logs").join(format!("{log}.seg"));
        let truth = self.disk.content(&path).expect("it was closed before");
        let (frames, acknowledged) = (frames_of(&truth)?, self.ledger.acknowledged);
        let sure = frames.partition_point(|(_, entries)| entries.end <= acknowledged);
        if sure < 2 {
            return Ok(());
        }
        // Mostly one of the last.
        let most = if random.below(4) == 0 { sure as u64 - 1 } else { 4 };
        let back = 1 + random.below(most);
        let at = (sure - 1).saturating_sub(usize::try_from(back).expect("in memory"));
        let (place, entries) = frames[at].clone();
        let place =
            place.start + usize::try_from(random.below(place.len() as u64)).expect("in memory");
        let mut bytes = truth.clone();
        bytes[place] ^= 1 << random.below(8);
        self.tally.damages += 1;
        self.note(&format!(
            "byte {place} of {}, with {entries:?} of {acknowledged}",
            path.display()
        ));
        self.disk.set_content(&path, &bytes);
        let lost = vec![entries];
        let wound = Wound { harm: Harm::Bits, path, is_own: true, truth, bytes, lost };
        let report = check_on(&self.through(), Path::new(OWN), Depth::Structure, |_, _| ());
        wound.check_report(&report.map_err(Stop::broken)?, acknowledged)?;
        let reader =
            Workspace::open_read_only_on(self.through(), Path::new(OWN), self.options.clone());
        let reader = reader.map_err(Stop::broken)?;
        self.ledger.compare_damaged(&reader.own_log(), &wound.lost, acknowledged)?;
        drop(reader);
        self.disk.set_content(&wound.path, &wound.truth);
        self.open().map(|_| ())
    }

    /// An index run is a cache: nothing is lost by it.
    fn damage_index(&mut self, random: &mut Random) -> Result<(), Stop> {
        let cache = Path::new(OWN).join("cache");
        let runs = self.disk.paths().into_iter().filter(|path| path.starts_with(&cache));
        let runs: Vec<PathBuf> = runs.collect();
        if runs.is_empty() {
            return Ok(());
        }
        self.tally.damages += 1;
        let path = random.pick(&runs);
        if random.below(4) == 0 {
            self.disk.remove(path).map_err(Stop::refused)?;
            return self.compare_all();
        }
        let mut bytes = self.disk.content(path).expect("it is listed");
        let at = usize::try_from(random.below(bytes.len() as u64)).expect("in memory");
        bytes[at] ^= 1 << random.below(8);
        self.disk.set_content(path, bytes);
        let report = check_on(&self.through(), Path::new(OWN), Depth::Structure, |_, _| ());
        let report = report.map_err(Stop::broken)?;
        if report.errors().next().is_none() {
            return Err(Stop::Broken("a damaged index run is not told".to_owned()));
        }
        if let Some(lost) = report.errors().find_map(|finding| finding.lost) {
            return Err(Stop::Broken(format!("{lost} are lost with an index run")));
        }
        self.compare_all()?;
        self.repair()?;
        self.check()
    }

    /// The metadata are written again from what else says it.
    fn damage_metadata(&mut self) -> Result<(), Stop> {
        self.tally.damages += 1;
        let path = Path::new(OWN).join("index.json");
        self.disk.set_content(path, b"{");
        self.repair()?;
        self.compare_all()
    }
}
