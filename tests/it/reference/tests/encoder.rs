//! A small writer of segments and bundles: tables of the text, field by field. It knows plain
//! columns and stored sections only, and hashes by other code than the decoder.

use crate::reference::entry::{Entry, KIND_CHANGE};

pub(super) const LOG: [u8; 16] = [0x11; 16];
pub(super) const CLIENT: [u8; 16] = [0x22; 16];
pub(super) const WORKSPACE: [u8; 16] = [0x33; 16];
pub(super) const SALT: [u8; 16] = [0x44; 16];
pub(super) const SALT_ROOT: [u8; 32] = [0x55; 32];
pub(super) const INCARNATION: u64 = 0x0102_0304_0506_0708;

pub(super) fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    bytes[offset..offset + field.len()].copy_from_slice(field);
}

pub(super) fn salted_crc(salt: &[u8; 16], x: &[u8]) -> u32 {
    crc32fast::hash(&[salt.as_slice(), x].concat())
}

fn keyed(key: &[u8; 32], x: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key, x).as_bytes()
}

fn xof<const N: usize>(key: &[u8; 32], x: &[u8]) -> [u8; N] {
    let mut output = [0; N];
    blake3::Hasher::new_keyed(key).update(x).finalize_xof().fill(&mut output);
    output
}

/// P-1: the children of a node.
fn children_of(node: &[u8; 32]) -> [[u8; 32]; 2] {
    let both: [u8; 64] = xof(node, b"annals v1 salt node");
    [both[..32].try_into().unwrap(), both[32..].try_into().unwrap()]
}

/// P-1 and P-2 by recursion from the root.
pub(super) fn salt_of(index: u64) -> [u8; 16] {
    fn descend(node: [u8; 32], bits_left: u32, group: u64) -> [u8; 32] {
        if bits_left == 0 {
            return node;
        }
        let is_right = (group >> (bits_left - 1)) & 1 == 1;
        descend(children_of(&node)[usize::from(is_right)], bits_left - 1, group)
    }
    let salts: [u8; 1024] = xof(&descend(SALT_ROOT, 42, index / 64), b"annals v1 salt group");
    let at = usize::try_from(index % 64).unwrap() * 16;
    salts[at..at + 16].try_into().unwrap()
}

/// M-2, also of an entry whose salt is erased: the hash is what it was before.
pub(super) fn payload_hash_of(entry: &Entry) -> [u8; 32] {
    let salted = [salt_of(entry.index).as_slice(), &entry.payload].concat();
    keyed(&blake3::derive_key("annals v1 payload", &LOG), &salted)
}

/// M-3.
pub(super) fn leaf_of(entry: &Entry) -> [u8; 32] {
    let mut header = [0; 32];
    put(&mut header, 0, &entry.lamport.to_le_bytes());
    put(&mut header, 8, &entry.timestamp.unwrap_or(i64::MIN).to_le_bytes());
    put(&mut header, 16, &u32::try_from(entry.payload.len()).unwrap().to_le_bytes());
    put(&mut header, 20, &entry.stream.to_le_bytes());
    put(&mut header, 24, &[entry.kind, entry.flags]);
    let leaf_key = blake3::derive_key("annals v1 leaf", &LOG);
    keyed(&leaf_key, &[header, payload_hash_of(entry)].concat())
}

/// Level by level: a node without a sibling moves up as it is, which gives the shape of M-4.
pub(super) fn mth_of(leaves: &[[u8; 32]]) -> [u8; 32] {
    let node_key = blake3::derive_key("annals v1 node", &LOG);
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| if pair.len() == 2 { keyed(&node_key, &pair.concat()) } else { pair[0] })
            .collect();
    }
    level.first().copied().unwrap_or([0; 32])
}

/// M-5.
pub(super) fn root_of(leaves: &[[u8; 32]]) -> [u8; 32] {
    let mth = mth_of(leaves);
    let size = u64::try_from(leaves.len()).unwrap().to_le_bytes();
    keyed(&blake3::derive_key("annals v1 root", &LOG), &[size.as_slice(), &mth].concat())
}

/// M-4: the roots of the perfect subtrees, by cutting the leaves at the one bits.
pub(super) fn peaks_of(mut leaves: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let node_key = blake3::derive_key("annals v1 node", &LOG);
    let mut peaks = Vec::new();
    while !leaves.is_empty() {
        let (perfect, rest) = leaves.split_at(1 << leaves.len().ilog2());
        let mut level = perfect.to_vec();
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| keyed(&node_key, &pair.concat())).collect();
        }
        peaks.push(level[0]);
        leaves = rest;
    }
    peaks
}

pub(super) fn salt_record() -> Vec<u8> {
    let mut record = vec![0; 64];
    put(&mut record, 0, &[1]);
    put(&mut record, 8, &1_u32.to_le_bytes());
    put(&mut record, 32, &SALT_ROOT);
    record
}

/// The salt record in which those of the `erased` entries, each a first one and the one behind the
/// last, are erased (P-4).
pub(super) fn salt_record_without(erased: &[(u64, u64)]) -> Vec<u8> {
    /// Appends what is left of the subtree of `node` to nodes and groups.
    fn prune(
        node: [u8; 32],
        depth: u32,
        position: u64,
        erased: &[(u64, u64)],
        out: &mut [Vec<Vec<u8>>; 2],
    ) {
        let entries = 64 << (42 - depth);
        let (first, end) = (position * entries, (position + 1) * entries);
        if erased.iter().all(|&(from, to)| to <= first || from >= end) {
            let mut bytes = vec![0; 48];
            put(&mut bytes, 0, &[u8::try_from(depth).unwrap()]);
            put(&mut bytes, 8, &position.to_le_bytes());
            put(&mut bytes, 16, &node);
            out[0].push(bytes);
        } else if erased.iter().any(|&(from, to)| from <= first && to >= end) {
            // Nothing is left.
        } else if depth < 42 {
            for (child, side) in children_of(&node).into_iter().zip(0..) {
                prune(child, depth + 1, 2 * position + side, erased, out);
            }
        } else {
            let kept: Vec<u64> = (first..end)
                .filter(|i| !erased.iter().any(|&(from, to)| (from..to).contains(i)))
                .collect();
            let bits: u64 = kept.iter().map(|index| 1 << (index - first)).sum();
            let mut bytes = [position.to_le_bytes(), bits.to_le_bytes()].concat();
            bytes.extend(kept.into_iter().flat_map(salt_of));
            out[1].push(bytes);
        }
    }
    let mut out = [Vec::new(), Vec::new()];
    prune(SALT_ROOT, 0, 0, erased, &mut out);
    let mut record = vec![0; 16];
    put(&mut record, 0, &[1]);
    for (at, items) in [(8, &out[0]), (12, &out[1])] {
        put(&mut record, at, &u32::try_from(items.len()).unwrap().to_le_bytes());
    }
    [record, out.concat().concat()].concat()
}

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7F).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

fn plain_column(values: impl Iterator<Item = u64>) -> Vec<u8> {
    std::iter::once(2).chain(values.flat_map(varint)).collect()
}

/// The meta and payload sections of B-4 and B-7, uncompressed.
pub(super) fn sections(entries: &[Entry]) -> (Vec<u8>, Vec<u8>) {
    let time = |entry: &Entry| entry.timestamp.unwrap_or(i64::MIN).cast_unsigned();
    let meta = [
        plain_column(entries.iter().map(|entry| entry.kind.into())),
        plain_column(entries.iter().map(|entry| entry.flags.into())),
        plain_column(entries.iter().map(|entry| entry.stream.into())),
        plain_column(entries.iter().map(|entry| entry.payload.len().try_into().unwrap())),
        plain_column(entries.iter().map(|entry| entry.lamport)),
        plain_column(entries.iter().map(time)),
    ];
    (meta.concat(), entries.iter().flat_map(|entry| entry.payload.clone()).collect())
}

/// A batch of the raw sections in codec 0 (B-1).
pub(super) fn batch(entries: &[Entry], root: &[u8; 32]) -> Vec<u8> {
    let (meta, payloads) = sections(entries);
    let mut header = vec![0; 96];
    put(&mut header, 0, b"ANB1");
    put(&mut header, 16, &LOG);
    put(&mut header, 32, &entries[0].index.to_le_bytes());
    put(&mut header, 40, &u32::try_from(entries.len()).unwrap().to_le_bytes());
    let meta_len = u32::try_from(meta.len()).unwrap().to_le_bytes();
    put(&mut header, 48, &[meta_len, meta_len].concat());
    let payload_len = u32::try_from(payloads.len()).unwrap().to_le_bytes();
    put(&mut header, 56, &[payload_len, payload_len].concat());
    put(&mut header, 64, root);
    [header, meta, payloads].concat()
}

/// The same batch without the payloads at these positions (B-8).
pub(super) fn batch_without(entries: &[Entry], positions: &[usize], root: &[u8; 32]) -> Vec<u8> {
    let (meta, _) = sections(entries);
    let there = (0..entries.len()).filter(|position| !positions.contains(position));
    let payloads: Vec<u8> = there.flat_map(|position| entries[position].payload.clone()).collect();
    let rows = positions.iter().map(|&position| {
        let number = u32::try_from(position).unwrap().to_le_bytes();
        [number.as_slice(), &payload_hash_of(&entries[position])].concat()
    });
    let extension = extension(1, 1, &rows.collect::<Vec<_>>().concat());
    let mut header = batch(entries, root)[..96].to_vec();
    put(&mut header, 44, &u32::try_from(extension.len()).unwrap().to_le_bytes());
    let payload_len = u32::try_from(payloads.len()).unwrap().to_le_bytes();
    put(&mut header, 56, &[payload_len, payload_len].concat());
    [header, extension, meta, payloads].concat()
}

/// An extension section (B-3).
pub(super) fn extension(kind: u16, flags: u16, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap().to_le_bytes();
    [[kind.to_le_bytes(), flags.to_le_bytes()].as_flattened(), &len, content].concat()
}

/// The prune record of the first entries of a log (H-10). It keeps the entries of kind asset.
pub(super) fn prune_record(entries: &[Entry]) -> Vec<u8> {
    let leaves: Vec<[u8; 32]> = entries.iter().map(leaf_of).collect();
    let number = |count: usize| u32::try_from(count).unwrap().to_le_bytes();
    let of_kind = |kind: u8| entries.iter().filter(move |entry| entry.kind == kind);
    let peaks = peaks_of(&leaves);
    let mut record = vec![0; 96];
    put(&mut record, 0, &[1]);
    put(&mut record, 4, &number(peaks.len()));
    put(&mut record, 8, &u64::try_from(entries.len()).unwrap().to_le_bytes());
    put(&mut record, 16, &root_of(&leaves));
    put(&mut record, 48, &counts_of(entries));
    put(&mut record, 80, &1_800_000_000_000_000_i64.to_le_bytes());
    put(&mut record, 88, &number(of_kind(1).count()));
    put(&mut record, 92, &number(of_kind(4).count()));
    record.extend(peaks.concat());
    for entry in of_kind(1) {
        let (form, name) = entry.payload.split_first().unwrap();
        record.extend(entry.stream.to_le_bytes());
        record.extend([*form, u8::try_from(name.len()).unwrap(), 0, 0]);
        record.extend(entry.index.to_le_bytes());
        record.extend(name);
    }
    for entry in of_kind(4) {
        record.extend(entry.index.to_le_bytes());
        record.extend(entry.timestamp.unwrap_or(i64::MIN).to_le_bytes());
        record.extend(entry.stream.to_le_bytes());
        record.extend(number(entry.payload.len()));
        record.extend([entry.kind, 0, 0, 0, 0, 0, 0, 0]);
        record.extend(&entry.payload);
    }
    record
}

/// Changes, payload bytes, clock and latest time of the first entries of a log, as they stand side
/// by side in a prune record (H-10).
fn counts_of(entries: &[Entry]) -> Vec<u8> {
    let changes = entries.iter().filter(|e| e.kind == 0 && e.flags & 1 == 0).count();
    let payload_bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
    let lamport = entries.last().map_or(0, |entry| entry.lamport);
    let time_max = entries.iter().filter_map(|e| e.timestamp).max().unwrap_or(i64::MIN);
    [
        u64::try_from(changes).unwrap().to_le_bytes(),
        u64::try_from(payload_bytes).unwrap().to_le_bytes(),
        lamport.to_le_bytes(),
        time_max.to_le_bytes(),
    ]
    .concat()
}

/// What a test may choose for a frame.
#[derive(Clone, Copy)]
pub(super) struct FrameOptions {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) generation: u64,
    pub(super) synced_upto: u64,
    pub(super) opening: u32,
    pub(super) incarnation: u64,
}

impl Default for FrameOptions {
    fn default() -> Self {
        Self {
            kind: 1,
            flags: 3,
            generation: 0,
            synced_upto: 16_384,
            opening: 1,
            incarnation: INCARNATION,
        }
    }
}

/// A segment that is being written.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) file: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    pub(super) leaves: Vec<[u8; 32]>,
    pub(super) align: usize,
    pub(super) frame_count: u64,
    pub(super) link: u32,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self::with_align_log2(3)
    }

    pub(super) fn with_align_log2(align_log2: u8) -> Self {
        let mut writer = Self {
            file: vec![0; 16_384],
            entries: Vec::new(),
            leaves: Vec::new(),
            align: 1 << align_log2,
            frame_count: 0,
            link: salted_crc(&SALT, &LOG),
        };
        for (at, unit) in [(0, 0), (4096, 1)] {
            let file = &mut writer.file;
            put(file, at, b"\x89ANLS\x0D\x0A\x1A");
            put(file, at + 8, &[1, 0, 0, 0, unit, 1, align_log2, 0]);
            put(file, at + 48, &[WORKSPACE, CLIENT, LOG, SALT].concat());
            put(file, at + 112, &1_700_000_000_000_000_i64.to_le_bytes());
            put(file, at + 184, b"hand 1.0");
            put(file, at + 216, &64_u32.to_le_bytes());
            put(file, at + 256, &salt_record());
        }
        writer.seal_units();
        writer
    }

    /// An empty file of the same log, in its next generation: what is written to it goes on behind
    /// the entries that this one has.
    pub(super) fn rewritten(&self) -> Self {
        let mut writer =
            Self { entries: self.entries.clone(), leaves: self.leaves.clone(), ..Self::new() };
        writer.put_header(32, &[1]);
        writer
    }

    /// The same without the entries: only the first two frames tell of them (H-10).
    pub(super) fn pruned(&self) -> Self {
        let mut writer = self.rewritten();
        let count = u64::try_from(self.entries.len()).unwrap();
        writer.put_header(120, &count.to_le_bytes());
        writer.put_salts(&salt_record_without(&[(0, count)]));
        writer.record(3, &prune_record(&self.entries));
        writer
    }

    /// The entries that are to be written again to a file that has none yet.
    pub(super) fn take_entries(&mut self) -> Vec<Entry> {
        self.leaves.clear();
        std::mem::take(&mut self.entries)
    }

    /// Appends the two frames of a record (P-5, H-10).
    pub(super) fn record(&mut self, kind: u8, payload: &[u8]) {
        let options = FrameOptions { kind, flags: 1, generation: 1, ..FrameOptions::default() };
        let first_index = self.entries.len().try_into().unwrap();
        self.frame(payload, first_index, 0, options);
        self.frame(payload, first_index, 0, options);
    }

    /// Puts a salt record in the header (S-2).
    pub(super) fn put_salts(&mut self, record: &[u8]) {
        let mut padded = record.to_vec();
        padded.resize(3836, 0);
        self.put_header(256, &padded);
        self.put_header(216, &u32::try_from(record.len()).unwrap().to_le_bytes());
    }

    /// Says that all frames so far were written by a compaction (H-2).
    pub(super) fn put_compacted(&mut self) {
        let upto = self.len().to_le_bytes();
        self.put_header(232, &upto);
    }

    /// Changes both header units at `offset`.
    pub(super) fn put_header(&mut self, offset: usize, field: &[u8]) {
        put(&mut self.file, offset, field);
        put(&mut self.file, 4096 + offset, field);
        self.seal_units();
    }

    fn seal_units(&mut self) {
        for at in [0, 4096] {
            let crc = crc32fast::hash(&self.file[at..at + 4092]);
            put(&mut self.file, at + 4092, &crc.to_le_bytes());
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.file.len().try_into().unwrap()
    }

    /// Appends a frame (F-1).
    pub(super) fn frame(&mut self, payload: &[u8], first_index: u64, count: u32, o: FrameOptions) {
        let frame_len = (72 + payload.len() + 8).next_multiple_of(self.align);
        let mut frame = vec![0; frame_len];
        put(&mut frame, 0, b"ANF1");
        put(&mut frame, 4, &[o.kind, o.flags]);
        put(&mut frame, 8, &u32::try_from(payload.len()).unwrap().to_le_bytes());
        put(&mut frame, 12, &salted_crc(&SALT, payload).to_le_bytes());
        put(&mut frame, 16, &self.len().to_le_bytes());
        put(&mut frame, 24, &o.generation.to_le_bytes());
        put(&mut frame, 32, &o.incarnation.to_le_bytes());
        put(&mut frame, 40, &o.synced_upto.to_le_bytes());
        put(&mut frame, 48, &first_index.to_le_bytes());
        put(&mut frame, 56, &count.to_le_bytes());
        put(&mut frame, 60, &self.link.to_le_bytes());
        put(&mut frame, 64, &o.opening.to_le_bytes());
        self.link = salted_crc(&SALT, &frame[..68]);
        put(&mut frame, 68, &self.link.to_le_bytes());
        put(&mut frame, 72, payload);
        put(&mut frame, frame_len - 8, &u32::try_from(frame_len).unwrap().to_le_bytes());
        put(&mut frame, frame_len - 4, &self.link.to_le_bytes());
        self.file.extend(frame);
        self.frame_count += 1;
    }

    /// The next entry: a change in stream 0 without a time.
    pub(super) fn change(&self, payload: &[u8]) -> Entry {
        Entry {
            index: self.entries.len().try_into().unwrap(),
            lamport: self.entries.last().map_or(1, |entry| entry.lamport + 1),
            timestamp: None,
            kind: KIND_CHANGE,
            flags: 0,
            stream: 0,
            payload: payload.to_vec(),
            absent: None,
        }
    }

    /// Appends a frame with one batch.
    pub(super) fn commit(&mut self, entries: &[Entry], options: FrameOptions) {
        let mut batch = self.batch(entries);
        batch[12] = (options.flags >> 2) & 1;
        let count = u32::try_from(entries.len()).unwrap();
        self.frame(&batch, entries[0].index, count, options);
    }

    /// A batch of the next entries; they count as written from now on.
    pub(super) fn batch(&mut self, entries: &[Entry]) -> Vec<u8> {
        self.leaves.extend(entries.iter().map(leaf_of));
        self.entries.extend_from_slice(entries);
        batch(entries, &root_of(&self.leaves))
    }

    /// Appends a frame with one batch that lacks the payloads at these positions.
    pub(super) fn commit_without(
        &mut self,
        entries: &[Entry],
        positions: &[usize],
        o: FrameOptions,
    ) {
        self.batch(entries);
        let batch = batch_without(entries, positions, &root_of(&self.leaves));
        let count = u32::try_from(entries.len()).unwrap();
        self.frame(&batch, entries[0].index, count, o);
    }

    /// Appends a frame with one change.
    pub(super) fn commit_change(&mut self, payload: &[u8], options: FrameOptions) {
        self.commit(&[self.change(payload)], options);
    }

    /// Writes a checkpoint of everything so far (C-1).
    pub(super) fn checkpoint(&mut self, sequence: u64, opening: u32) {
        let streams = self.entries.iter().filter(|entry| entry.kind == 1).count();
        let counts = counts_of(&self.entries);
        let peaks = peaks_of(&self.leaves);
        let at = if sequence.is_multiple_of(2) { 8192 } else { 12_288 };
        let mut slot = vec![0; 4092];
        put(&mut slot, 0, b"\x89ANLC\x0D\x0A\x1A");
        put(&mut slot, 8, &sequence.to_le_bytes());
        put(&mut slot, 16, &self.file[32..40]);
        put(&mut slot, 24, &INCARNATION.to_le_bytes());
        put(&mut slot, 32, &opening.to_le_bytes());
        put(&mut slot, 40, &self.len().to_le_bytes());
        put(&mut slot, 48, &u64::try_from(self.entries.len()).unwrap().to_le_bytes());
        put(&mut slot, 56, &counts[..16]);
        put(&mut slot, 72, &self.frame_count.to_le_bytes());
        put(&mut slot, 80, &counts[16..]);
        put(&mut slot, 96, &u32::try_from(streams).unwrap().to_le_bytes());
        put(&mut slot, 100, &self.link.to_le_bytes());
        put(&mut slot, 104, &root_of(&self.leaves));
        put(&mut slot, 136, &u32::try_from(peaks.len()).unwrap().to_le_bytes());
        put(&mut slot, 140, &peaks.concat());
        put(&mut self.file, at, &slot);
        self.seal_slot(at);
    }

    /// Changes a checkpoint slot at `offset` of the file.
    pub(super) fn put_slot(&mut self, offset: usize, field: &[u8]) {
        put(&mut self.file, offset, field);
        self.seal_slot(offset / 4096 * 4096);
    }

    fn seal_slot(&mut self, at: usize) {
        let crc = salted_crc(&SALT, &self.file[at..at + 4092]);
        put(&mut self.file, at + 4092, &crc.to_le_bytes());
    }
}
