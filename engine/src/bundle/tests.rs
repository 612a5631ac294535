use super::*;
use crate::bytes::WorkspaceId;

fn rows() -> Vec<BundleRow> {
    let row = |log: u8, from, size: u64| BundleRow {
        row: FrontierRow {
            client: ClientId::from_bytes([9; 16]),
            log: LogId::from_bytes([log; 16]),
            size,
            lamport: size,
            root: Hash::from_bytes([3; 32]),
        },
        from,
    };
    vec![row(1, 0, 2), row(2, 5, 5), row(3, 0, 1)]
}

fn log(id: u8) -> BundledLog {
    BundledLog {
        client: ClientId::from_bytes([9; 16]),
        log: LogId::from_bytes([id; 16]),
        created: Some(Timestamp::from_micros(7)),
        predecessor: None,
        peaks: Peaks::new(),
        salt_record: vec![5; 64],
        prune_record: None,
    }
}

fn bundle() -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer =
        BundleWriter::new(&mut out, WorkspaceId::from_bytes([1; 16]), [2; 16], "test").unwrap();
    writer.frontier(&rows()).unwrap();
    writer.log(&log(1)).unwrap();
    writer.batch(b"one").unwrap();
    writer.batch(b"two").unwrap();
    writer.log(&log(3)).unwrap();
    writer.batch(b"three").unwrap();
    writer.finish().unwrap();
    out
}

fn read(bytes: &[u8]) -> Result<Vec<String>, BundleError> {
    let mut reader = BundleReader::new(bytes)?;
    let mut records = Vec::new();
    loop {
        match reader.next_record()? {
            Record::Log(log) => records.push(format!("log {}", log.log.as_bytes()[0])),
            Record::Batch(batch) => records.push(String::from_utf8(batch).unwrap()),
            Record::End => return Ok(records),
        }
    }
}

#[test]
fn what_was_written_is_read() {
    let bundle = bundle();
    let reader = BundleReader::new(&bundle[..]).unwrap();
    assert_eq!(reader.rows(), rows());
    assert_eq!(read(&bundle).unwrap(), ["log 1", "one", "two", "log 3", "three"]);
}

#[test]
fn every_flipped_bit_is_refused() {
    let bundle = bundle();
    for bit in 0..bundle.len() * 8 {
        let mut damaged = bundle.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn every_cut_is_told_from_damage() {
    let bundle = bundle();
    for len in 0..bundle.len() {
        assert!(matches!(read(&bundle[..len]), Err(BundleError::Truncated { .. })), "length {len}");
    }
    assert!(matches!(read(b"other"), Err(BundleError::Foreign)));
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let mut bundle = bundle();
    bundle.push(0);
    assert!(matches!(read(&bundle), Err(BundleError::Damaged { .. })));
}
