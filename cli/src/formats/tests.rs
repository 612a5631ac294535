use annals::{Change, Options, Timestamp, Workspace};

use super::{Format, RecordReader, write_entry};

/// All payloads, and the message of the error that ended them, if one did.
fn payloads(format: Format, input: &[u8]) -> (Vec<Vec<u8>>, Option<String>) {
    let mut reader = RecordReader::new(input, format);
    let mut payloads = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(record)) => payloads.push(record.payload.to_vec()),
            Ok(None) => return (payloads, None),
            Err(error) => return (payloads, Some(crate::exit::chain(&error))),
        }
    }
}

#[test]
fn lines_keep_every_byte_but_the_newline() {
    let (lines, error) = payloads(Format::Lines, b"a\n\nb\r\n\xff\0\nlast");
    assert_eq!(lines, [&b"a"[..], b"", b"b\r", b"\xff\0", b"last"]);
    assert_eq!(error, None);
}

#[test]
fn no_input_is_no_change() {
    for format in [Format::Lines, Format::JsonLines, Format::Framed] {
        assert_eq!(payloads(format, b""), (vec![], None));
    }
    assert_eq!(payloads(Format::Lines, b"\n"), (vec![vec![]], None));
}

#[test]
fn frames_are_read_to_the_byte() {
    let (frames, error) = payloads(Format::Framed, b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0\n");
    assert_eq!(frames, [&b"ab"[..], b"", b"\n"]);
    assert_eq!(error, None);
}

#[test]
fn a_frame_that_is_cut_off_is_named_by_its_offset() {
    let (frames, error) = payloads(Format::Framed, b"\x02\0\0\0ab\xff\xff\xff\xffshort");
    assert_eq!(frames, [b"ab"]);
    let expected =
        "stdin, byte 6: the input ends inside of a change, after 5 of its 4294967295 bytes";
    assert_eq!(error.as_deref(), Some(expected));
    let (_, error) = payloads(Format::Framed, b"\0\0\0\0\x02\0");
    let expected = "stdin, byte 4: the input ends inside of a length, after 2 of its 4 bytes";
    assert_eq!(error.as_deref(), Some(expected));
}

#[test]
fn json_lines_carry_time_and_stream() {
    let input = br#"{"text": "a\n", "timestamp": "2026-01-01T00:00:00Z", "stream": "s\u0041"}
{"data": "/wA=", "timestamp": null, "stream": null, "index": 7, "client": "x"}
{"text": ""}"#;
    let mut reader = RecordReader::new(&input[..], Format::JsonLines);
    let first = reader.next().unwrap().unwrap();
    assert_eq!(first.payload, b"a\n");
    assert_eq!(first.timestamp, Some(Some(Timestamp::parse("2026-01-01").unwrap())));
    assert_eq!(first.stream, Some(Some("sA")));
    let second = reader.next().unwrap().unwrap();
    assert_eq!(
        (second.payload, second.timestamp, second.stream),
        (&b"\xff\0"[..], Some(None), Some(None))
    );
    let third = reader.next().unwrap().unwrap();
    assert_eq!((third.payload, third.timestamp, third.stream), (&b""[..], None, None));
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn bad_json_lines_are_named_by_their_number() {
    for (line, what) in [
        ("{\"text\": \"a\", \"colour\": 1}", "unknown field `colour`"),
        ("{\"text\": \"a\", \"data\": \"\"}", "has both \"data\" and \"text\""),
        ("{}", "has neither \"data\" nor \"text\""),
        ("{\"data\": \"*\"}", "\"data\": Invalid symbol"),
        ("{\"text\": \"a\", \"timestamp\": \"yesterday\"}", "column"),
        ("[1]", "column"),
        ("", "EOF while parsing"),
        ("{\"text\": \"a\"} x", "column 15: trailing characters"),
    ] {
        let input = format!("{{\"text\": \"good\"}}\n{line}\n{{\"text\": \"never read\"}}\n");
        let (good, error) = payloads(Format::JsonLines, input.as_bytes());
        assert_eq!(good, [b"good"], "{line}");
        let error = error.expect(line);
        assert!(error.starts_with("stdin, line 2: "), "{line}: {error}");
        assert!(error.contains(what), "{line}: {error}");
        assert!(!error.contains("at line 1"), "{line}: {error}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(folder.path().join("w"), Options::default()).unwrap();
    let stream = workspace.stream("notes \"x\"").unwrap().id();
    let time = Timestamp::parse("2026-01-01T00:00:00.000001Z").unwrap();
    let inputs: [&[u8]; 4] = [b"text \"quoted\"\n", b"", b"\xff\xfe", "ü".as_bytes()];
    for input in inputs {
        let _ =
            workspace.append_change(Change::new(input).in_stream(stream).at(Some(time))).unwrap();
    }
    for format in [Format::JsonLines, Format::Framed] {
        let mut out = Vec::new();
        for entry in workspace.own_log().scan(1..).unwrap() {
            write_entry(&mut out, format, &entry.unwrap(), Some("notes \"x\"")).unwrap();
        }
        let mut reader = RecordReader::new(&out[..], format);
        for input in inputs {
            let record = reader.next().unwrap().unwrap();
            assert_eq!(record.payload, input);
            if format == Format::JsonLines {
                assert_eq!(record.timestamp, Some(Some(time)));
                assert_eq!(record.stream, Some(Some("notes \"x\"")));
            }
        }
        assert_eq!(reader.next().unwrap(), None);
    }
}
