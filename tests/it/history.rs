//! Any sequence of appending, compacting, redacting, pruning, exchanging and reopening keeps all roots and all proofs
//! that were ever handed out (H-1 to H-12).

use std::{collections::BTreeSet, path::PathBuf};

use annals::{
    Absent, CompactOptions, ConsistencyProof, Hash, InclusionProof, Kind, Options, PruneError,
    PruneOptions, ReadError, Workspace,
};
use proptest::{collection::vec, prelude::*};

/// What is done to a workspace.
#[derive(Clone, Debug)]
enum Act {
    /// Appends a change of this many bytes; more than an entry holds are parts.
    Append(usize),
    /// Appends several at once.
    Group(u8),
    Commit,
    Compact(bool),
    /// Redacts a change, somewhere.
    Redact(u16),
    Snapshot,
    /// Prunes up to the last snapshot, or before.
    Prune(u16),
    Reopen,
    /// Another workspace imports what is new.
    Exchange,
    /// And compacts what it has.
    CompactThere,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..400_usize).prop_map(Act::Append),
        1 => (1_000_000..2_300_000_usize).prop_map(Act::Append),
        2 => (2..30_u8).prop_map(Act::Group),
        4 => Just(Act::Commit),
        4 => any::<bool>().prop_map(Act::Compact),
        4 => any::<u16>().prop_map(Act::Redact),
        2 => Just(Act::Snapshot),
        2 => any::<u16>().prop_map(Act::Prune),
        2 => Just(Act::Reopen),
        2 => Just(Act::Exchange),
        1 => Just(Act::CompactThere),
    ];
    vec(act, 1..40)
}

/// A workspace, and all that it has ever said.
struct World {
    _folder: tempfile::TempDir,
    path: PathBuf,
    workspace: Option<Workspace>,
    there: Workspace,
    /// Each entry as it was written.
    payloads: Vec<Vec<u8>>,
    redacted: BTreeSet<u64>,
    roots: Vec<(u64, Hash)>,
    inclusions: Vec<(InclusionProof, Hash)>,
    consistencies: Vec<(ConsistencyProof, Hash, Hash)>,
    covered: u64,
    pruned: u64,
    number: u64,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        let workspace = Workspace::create(&path, Options::default()).unwrap();
        let there =
            Workspace::join(folder.path().join("there"), workspace.id(), Options::default());
        Self {
            path,
            there: there.unwrap(),
            _folder: folder,
            workspace: Some(workspace),
            payloads: Vec::new(),
            redacted: BTreeSet::new(),
            roots: Vec::new(),
            inclusions: Vec::new(),
            consistencies: Vec::new(),
            covered: 0,
            pruned: 0,
            number: 0,
        }
    }

    fn workspace(&self) -> &Workspace {
        self.workspace.as_ref().unwrap()
    }

    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.number += 1;
        self.number.to_le_bytes().iter().copied().cycle().take(len).collect()
    }

    /// Notes what was appended, as the log has it.
    fn note(&mut self) {
        let log = self.workspace().own_log();
        for index in self.payloads.len() as u64..log.entry_count() {
            self.payloads.push(log.entry(index).unwrap().payload().unwrap().to_vec());
        }
    }

    /// Asks for a root and for proofs, to be kept.
    fn prove(&mut self, at: u64) {
        let log = self.workspace().own_log();
        let (first, count) = (log.first_index(), log.entry_count());
        if count == first {
            return;
        }
        let root = log.root().unwrap();
        self.roots.push((count, root));
        let index = first + at % (count - first);
        self.inclusions.push((log.prove_inclusion(index, Some(count)).unwrap(), root));
        let size = index.max(first);
        if size > 0 {
            let from = log.root_at(size).unwrap();
            let proof = log.prove_consistency(size, Some(count)).unwrap();
            self.consistencies.push((proof, from, root));
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Append(len) => {
                let payload = self.payload(*len);
                self.workspace().append(&payload).unwrap();
            }
            Act::Group(count) => {
                let payloads: Vec<_> =
                    (0..*count).map(|len| self.payload(usize::from(len) * 3)).collect();
                let changes: Vec<_> =
                    payloads.iter().map(|payload| annals::Change::new(payload)).collect();
                self.workspace().append_all(&changes).unwrap();
            }
            Act::Commit => drop(self.workspace().commit().unwrap()),
            Act::Compact(archive) => {
                let options =
                    if *archive { CompactOptions::archive() } else { CompactOptions::default() };
                let options = options.level(1);
                self.workspace().compact(&options, |_, _| true).unwrap();
            }
            Act::Redact(at) => self.redact((*at).into()),
            Act::Snapshot => {
                let frontier = self.workspace().frontier().unwrap();
                let own = self.workspace().own_log().id();
                self.covered = frontier.size(own).max(self.covered);
                if !frontier.rows().is_empty() {
                    self.workspace().snapshot(&frontier, b"state").unwrap();
                }
            }
            Act::Prune(at) => self.prune((*at).into()),
            Act::Reopen => {
                self.workspace.take().unwrap().close().unwrap();
                self.workspace = Some(Workspace::open(&self.path, Options::default()).unwrap());
            }
            Act::Exchange => {
                let known = self.there.frontier().unwrap();
                let mut bundle = Vec::new();
                let report = self.workspace().export(&known, &mut bundle).unwrap();
                if report.cut.is_empty() {
                    self.there.import(&bundle[..]).unwrap();
                }
            }
            Act::CompactThere => {
                let options = CompactOptions::default().level(1);
                self.there.compact(&options, |_, _| true).unwrap();
            }
        }
        self.note();
    }

    fn redact(&mut self, at: u64) {
        let log = self.workspace().own_log();
        let (first, count) = (log.first_index(), log.entry_count());
        if count == first {
            return;
        }
        let index = first + at % (count - first);
        let client = self.workspace().client();
        let control = log.entry(index).unwrap().kind().is_control();
        let result =
            self.workspace().redact(client, index, "taken back").map(|ticket| ticket.index());
        assert_eq!(result.is_err(), control);
        if !control {
            let is = |index: u64, of: fn(annals::entry::Part) -> bool| {
                of(log.entry(index).unwrap().header().part)
            };
            let (mut start, mut end) = (index, index);
            while !is(start, annals::entry::Part::is_first) {
                start -= 1;
            }
            while !is(end, annals::entry::Part::is_last) {
                end += 1;
            }
            self.redacted.extend(start..=end);
        }
    }

    fn prune(&mut self, at: u64) {
        let client = self.workspace().client();
        let log = self.workspace().own_log();
        let beyond = self.covered + 1;
        let options = PruneOptions::default();
        if self.covered == 0 && log.entry_count() > 0 {
            let result = self.workspace().prune(client, 1, &options, |_, _| true);
            assert!(matches!(result, Err(PruneError::NoSnapshot { .. })), "{result:?}");
        } else if beyond <= log.entry_count() {
            let result =
                self.workspace().prune(client, beyond, &options.clone().force(), |_, _| true);
            assert!(matches!(result, Err(PruneError::BeyondSnapshot { .. })), "{result:?}");
        }
        if self.covered <= self.pruned {
            return;
        }
        let size = self.pruned + 1 + at % (self.covered - self.pruned);
        match self.workspace().prune(client, size, &options.force(), |_, _| true) {
            Ok(done) => {
                assert_eq!(done.pruned_entries, size - self.pruned);
                self.pruned = size;
            }
            Err(PruneError::InsideChange { first, .. }) => assert!(first < size),
            Err(error) => panic!("{error}"),
        }
    }

    fn check(&self) {
        let log = self.workspace().own_log();
        assert_eq!(log.first_index(), self.pruned);
        for (size, root) in &self.roots {
            match log.root_at(*size) {
                Ok(now) => assert_eq!(now, *root, "{size}"),
                Err(ReadError::Pruned { .. }) => assert!(*size < self.pruned),
                Err(error) => panic!("{error}"),
            }
        }
        for (proof, root) in &self.inclusions {
            proof.verify(root).unwrap();
            let known = self.roots.iter().find(|(size, _)| *size == proof.size).unwrap();
            assert_eq!(known.1, *root);
            if proof.index >= self.pruned {
                let now = log.prove_inclusion(proof.index, Some(proof.size)).unwrap();
                now.verify(root).unwrap();
                assert_eq!((&now.path, now.payload_hash), (&proof.path, proof.payload_hash));
            }
        }
        for (proof, from, root) in &self.consistencies {
            proof.verify(from, root).unwrap();
        }
        self.check_entries(self.workspace(), log.id());
        self.check_entries(&self.there, log.id());
    }

    fn check_entries(&self, workspace: &Workspace, log: annals::LogId) {
        let Ok(log) = workspace.log(log) else { return };
        for index in 0..log.entry_count() {
            let payload = &self.payloads[usize::try_from(index).unwrap()];
            match log.entry(index) {
                Ok(entry) => match entry.payload() {
                    Ok(found) => assert_eq!(found, payload, "{index}"),
                    Err(Absent::Redacted { reason, .. }) => {
                        assert_eq!(&*reason, "taken back");
                        assert!(self.redacted.contains(&index) && entry.kind() == Kind::CHANGE);
                    }
                    // Of a bundle that ended before its redaction.
                    Err(Absent::Withheld) => panic!("entry {index} is withheld"),
                },
                Err(ReadError::Pruned { first_index, .. }) => {
                    assert!(index < first_index && first_index <= self.pruned);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_order_of_things_changes_a_root_or_a_proof(acts in acts()) {
        let mut world = World::new();
        for (number, act) in (0..).zip(&acts) {
            world.act(act);
            world.prove(number * 31);
            world.check();
        }
        let path = world.path.clone();
        world.workspace.take().unwrap().close().unwrap();
        world.workspace = Some(Workspace::open(&path, Options::default()).unwrap());
        world.check();
        world.workspace = None;
        let report = annals::check::check(&path, annals::check::Depth::Payloads, |_, _| {}).unwrap();
        let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        prop_assert!(findings.is_empty(), "{findings:#?}");
    }
}
