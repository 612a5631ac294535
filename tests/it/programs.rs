//! The programs `annals` and `annals-fsck`, as a shell sees them.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use crate::support::{Random, decode_file, within};

/// The folder of the programs: `ANNALS_BIN_DIR`, or where cargo puts them, built once.
fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("ANNALS_BIN_DIR") {
            return folder.into();
        }
        // The test stands in `<target>/<profile>/deps`.
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap().to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "annals-cli", "--target-dir"]);
        build.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the programs do not build");
        profile
    })
}

pub(crate) fn program(name: &str) -> Command {
    Command::new(programs().join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Runs a program with `input` on stdin.
pub(crate) fn run_program(name: &str, arguments: &[&str], input: &[u8]) -> Output {
    let (name, input) = (name.to_owned(), input.to_vec());
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    // Built before the time is taken.
    programs();
    within(move || {
        let mut command = program(&name);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that fails early does not read what it is given.
        let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        output
    })
}

pub(crate) fn annals(arguments: &[&str], input: &[u8]) -> Output {
    run_program("annals", arguments, input)
}

/// The same, when it must succeed: what it wrote to stdout.
pub(crate) fn done(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let output = annals(arguments, input);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {message}");
    output.stdout
}

/// A new workspace, as text for arguments.
pub(crate) fn workspace() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w").to_str().unwrap().to_owned();
    done(&["init", &path], b"");
    (folder, path)
}

/// The only segment of a workspace.
pub(crate) fn segment(workspace: &str) -> PathBuf {
    let logs = std::fs::read_dir(Path::new(workspace).join("logs")).unwrap();
    let mut paths = logs.map(|entry| entry.unwrap().path());
    paths.find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap()
}

#[test]
fn lines_are_appended_acknowledged_and_given_back() {
    let (_folder, w) = workspace();
    let acks = done(&["append", &w, "--sync", "each", "--ack"], b"a\nb\nc\n");
    assert_eq!(acks, b"acked 1\nacked 2\nacked 3\n");
    assert_eq!(done(&["cat", &w], b""), b"a\nb\nc\n");
    assert_eq!(decode_file(&segment(&w)).frames.len(), 3);
    let acks = done(&["append", &w, "--sync", "2", "--ack"], b"d\ne\nf\n");
    assert_eq!(acks, b"acked 5\nacked 6\n");
    let acks = done(&["append", &w, "--ack"], b"g\n\nlast line without its end");
    assert_eq!(acks, b"acked 9\n");
    let all = done(&["cat", &w], b"");
    assert_eq!(all, b"a\nb\nc\nd\ne\nf\ng\n\nlast line without its end\n");
    assert_eq!(done(&["cat", &w, "--from", "1", "--to", "3"], b""), b"b\nc\n");
    assert_eq!(done(&["append", &w], b""), b"");
}

#[test]
fn framed_changes_come_back_byte_for_byte() {
    let (_folder, w) = workspace();
    let mut random = Random::new(21);
    let mut input = Vec::new();
    for len in [0, 1, 0, 255, 256, 70_000, 0] {
        input.extend(u32::try_from(len).unwrap().to_le_bytes());
        input.extend(random.bytes(len));
    }
    // More than one entry holds.
    input.extend(2_000_000_u32.to_le_bytes());
    input.extend(vec![b'\n'; 2_000_000]);
    done(&["append", &w, "--format", "framed"], &input);
    assert!(done(&["cat", &w, "--format", "framed"], b"") == input);
    let truncated = annals(&["append", &w, "--format", "framed"], &[5, 0, 0, 0, b'x']);
    assert_eq!(truncated.status.code(), Some(1));
    assert!(done(&["cat", &w, "--format", "framed"], b"") == input);
}

#[test]
fn json_lines_carry_text_bytes_times_and_streams() {
    let (_folder, w) = workspace();
    let input = concat!(
        r#"{"text":"hello","timestamp":"2026-01-02T03:04:05Z"}"#,
        "\n",
        r#"{"data":"AP8=","stream":"note"}"#,
        "\n",
    );
    done(&["append", &w, "--format", "json-lines", "--timestamps", "none"], input.as_bytes());
    let output = done(&["cat", &w, "--format", "json-lines"], b"");
    let lines: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!(lines[0]["text"], "hello");
    assert_eq!(lines[0]["timestamp"], "2026-01-02T03:04:05Z");
    assert_eq!((&lines[1]["data"], &lines[1]["stream"]), (&"AP8=".into(), &"note".into()));
    let (_other, v) = workspace();
    done(&["append", &v, "--format", "json-lines", "--timestamps", "none"], &output);
    let again = done(&["cat", &v, "--format", "json-lines"], b"");
    for (line, before) in again.lines().zip(&lines) {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        for member in ["index", "text", "data", "timestamp", "stream"] {
            assert_eq!(line[member], before[member], "{member}");
        }
    }
    assert_eq!(done(&["cat", &v, "--stream", "note"], b""), [0, 0xFF, b'\n']);
    let wrong = annals(&["append", &w, "--format", "json-lines"], b"{\"text\":\n");
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn figures_and_roots_are_those_of_the_reference_decoder() {
    let (_folder, w) = workspace();
    done(&["append", &w], b"a\nb\n\xFF\n");
    let stats: serde_json::Value =
        serde_json::from_slice(&done(&["stats", &w, "--json"], b"")).unwrap();
    let own = &stats["clients"][0];
    let decoded = decode_file(&segment(&w));
    let root = crate::reference::bytes::hex(&decoded.root.unwrap());
    assert_eq!(own["root"], root);
    assert_eq!((&own["entries"], &own["changes"]), (&3.into(), &3.into()));
    assert_eq!(own["file_bytes"], decoded.e);
    assert_eq!(String::from_utf8(done(&["root", &w], b"")).unwrap().trim(), root);
}

#[test]
fn proofs_are_verified_without_a_workspace() {
    let (_folder, w) = workspace();
    done(&["append", &w], b"a\nb\nc\n");
    let stats: serde_json::Value =
        serde_json::from_slice(&done(&["stats", &w, "--json"], b"")).unwrap();
    let client = stats["clients"][0]["client"].as_str().unwrap();
    let root = stats["clients"][0]["root"].as_str().unwrap();
    let proof = done(&["prove", &w, "--client", client, "--index", "1"], b"");
    done(&["verify-proof", "--root", root], &proof);
    let other = "0".repeat(64);
    assert_eq!(annals(&["verify-proof", "--root", &other], &proof).status.code(), Some(1));
    let changed = String::from_utf8(proof).unwrap().replace("\"size\":3", "\"size\":4");
    let changed = annals(&["verify-proof", "--root", root], changed.as_bytes());
    assert_eq!(changed.status.code(), Some(1));
}

#[test]
fn bundles_are_taken_in_once() {
    let (_folder, w) = workspace();
    done(&["append", &w], b"a\nb\n");
    let bundle = done(&["export", &w], b"");
    crate::reference::bundle::decode(&bundle).unwrap();
    let before = done(&["root", &w], b"");
    done(&["import", &w], &bundle);
    assert_eq!(done(&["root", &w], b""), before);
    let (_other, v) = workspace();
    assert_eq!(annals(&["import", &v], &bundle).status.code(), Some(1), "another workspace");
    let mut changed = bundle.clone();
    changed[200] ^= 1;
    assert_eq!(annals(&["import", &w], &changed).status.code(), Some(1));
}

#[test]
fn an_import_says_what_it_restores_and_what_is_damaged_here() {
    let (folder, w) = workspace();
    done(&["append", &w], b"a\n");
    let old = folder.path().join("old").to_str().unwrap().to_owned();
    done(&["backup", &w, &old], b"");
    done(&["append", &w], b"b\nc\n");
    let bundle = done(&["export", &w], b"");
    let restored = annals(&["import", "--json", &old], &bundle);
    let (out, err) =
        [restored.stdout, restored.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).into();
    assert!(err.contains("restored 2 entries that this device had lost"), "{err}");
    assert!(out.contains("\"restored\":2") && out.contains("\"refused\":[]"), "{out}");
    assert!(restored.status.success());
}

#[test]
fn failures_exit_with_1_and_wrong_usage_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("nothing").to_str().unwrap().to_owned();
    for arguments in [["cat", &nothing], ["append", &nothing], ["stats", &nothing]] {
        let output = annals(&arguments, b"x\n");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(output.stdout, b"");
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
    }
    assert!(!Path::new(&nothing).exists());
    let (_folder, w) = workspace();
    assert_eq!(annals(&["init", &w], b"").status.code(), Some(1));
    for arguments in
        [&[] as &[&str], &["no-such-command"], &["cat"], &["append", &w, "--format", "other"]]
    {
        assert_eq!(annals(arguments, b"").status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_second_writer_is_told_so() {
    let (_folder, w) = workspace();
    let mut first = append(&w);
    let mut stdin = first.stdin.take().unwrap();
    let mut acks = BufReader::new(first.stdout.take().unwrap()).lines();
    stdin.write_all(b"a\n").unwrap();
    assert_eq!(acks.next().unwrap().unwrap(), "acked 1");
    assert_eq!(annals(&["append", &w], b"x\n").status.code(), Some(1));
    // Reading goes on beside it.
    assert_eq!(done(&["cat", &w], b""), b"a\n");
    drop(stdin);
    assert!(first.wait().unwrap().success());
}

pub(crate) fn append(workspace: &str) -> Child {
    let mut command = program("annals");
    command.args(["append", workspace, "--sync", "each", "--ack"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Killed at any moment: what was acknowledged is a prefix of what is recovered, and that is a prefix of
/// what was submitted.
#[test]
fn a_killed_writer_keeps_its_word() {
    let (_folder, w) = workspace();
    let mut random = Random::new(22);
    let mut recovered = Vec::new();
    for round in 0..8_u32 {
        let start = recovered.len();
        let submitted: Vec<String> = (0..400)
            .map(|number| format!("{round} {number} {}", "x".repeat(random.place(60))))
            .collect();
        let wanted = 1 + random.place(60);
        let (path, lines) = (w.clone(), submitted.join("\n") + "\n");
        let acked = within(move || {
            let mut child = append(&path);
            let mut stdin = child.stdin.take().unwrap();
            let writing = std::thread::spawn(move || drop(stdin.write_all(lines.as_bytes())));
            let acks = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut last = 0;
            for (count, line) in acks.enumerate() {
                let Ok(line) = line else { break };
                last = line.strip_prefix("acked ").unwrap().parse().unwrap();
                if count + 1 == wanted {
                    // The acknowledgements that are still in the pipe count as well.
                    child.kill().unwrap();
                }
            }
            child.wait().unwrap();
            writing.join().unwrap();
            last
        });
        let output = done(&["cat", &w], b"");
        let now: Vec<String> = output.lines().map(Result::unwrap).collect();
        assert!(now.len() >= acked, "{acked} were acknowledged, {} are there", now.len());
        assert!(acked > start, "nothing was acknowledged");
        assert_eq!(now[..start], recovered);
        assert_eq!(now[start..], submitted[..now.len() - start]);
        recovered = now;
    }
    done(&["append", &w], b"the end\n");
    let decoded = decode_file(&segment(&w));
    assert_eq!(decoded.end_index, recovered.len() as u64 + 1);
    assert_eq!(decoded.verdict, crate::reference::recovery::Verdict::Clean);
    assert_eq!(run_program("annals-fsck", &[&w], b"").status.code(), Some(0));
}

#[test]
fn fsck_tells_clean_from_torn_from_damaged() {
    let (folder, w) = workspace();
    done(&["append", &w, "--sync", "each"], b"a\nb\nc\n");
    let code = |arguments: &[&str]| run_program("annals-fsck", arguments, b"").status.code();
    assert_eq!(code(&[&w]), Some(0));
    assert_eq!(code(&[&w, "--deep"]), Some(0));
    let path = segment(&w);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"ANF1 torn"].concat()).unwrap();
    assert_eq!(code(&[&w]), Some(0), "a torn tail is clean");
    assert_eq!(std::fs::read(&path).unwrap().len(), whole.len() + 9, "it reads only");
    let mut rotten = whole.clone();
    rotten[16_384 + 80] ^= 1;
    std::fs::write(&path, &rotten).unwrap();
    assert_eq!(code(&[&w]), Some(4));
    let output = run_program("annals-fsck", &[&w, "--json"], b"");
    assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).is_ok());
    std::fs::write(&path, &whole[..whole.len() - 8]).unwrap();
    assert_eq!(code(&[&w]), Some(4), "the file ends below its checkpoint");
    let nothing = folder.path().join("nothing").to_str().unwrap().to_owned();
    assert_eq!(code(&[&nothing]), Some(8));
    // Damaged entries are left out, and named.
    std::fs::write(&path, &rotten).unwrap();
    let output = annals(&["cat", &w], b"");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"b\nc\n".as_slice()));
    assert!(!output.stderr.is_empty());
}

#[test]
fn salvage_says_what_is_missing_and_exits_with_1() {
    let (folder, w) = workspace();
    done(&["append", &w, "--sync", "each"], b"a\nb\nc\n");
    let into = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let output = annals(&["salvage", &w, "--into", &into("whole")], b"");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    assert_eq!(done(&["root", &w], b"").len(), 65);
    let path = segment(&w);
    let mut rotten = std::fs::read(&path).unwrap();
    let second = decode_file(&path).frames[1].frame_offset;
    rotten[usize::try_from(second).unwrap() + 80] ^= 1;
    std::fs::write(&path, &rotten).unwrap();
    std::fs::remove_file(Path::new(&w).join("index.json")).unwrap();
    let output = annals(&["salvage", &w, "--into", &into("new"), "--json"], b"");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("1 entry lost in 1 gap"), "{message}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["complete"], false);
    assert_eq!(
        (&report["totals"]["carried"], &report["totals"]["appended"]),
        (&1.into(), &1.into())
    );
    let gap = &report["logs"][0]["gaps"][0];
    assert_eq!(
        (&gap["first"], &gap["end"], &gap["offset"]),
        (&1.into(), &2.into(), &second.into())
    );
    assert_eq!(report["check"]["clean"], true);
    assert_eq!(run_program("annals-fsck", &["--deep", &into("new")], b"").status.code(), Some(0));
    // Again into the same folder; into itself; from nothing.
    for arguments in [
        ["salvage", &w, "--into", &into("new")],
        ["salvage", &w, "--into", &into("w/new")],
        ["salvage", &into("nothing"), "--into", &into("other")],
    ] {
        let output = annals(&arguments, b"");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
        assert_eq!(output.stdout, b"");
    }
    assert_eq!(annals(&["salvage", &w], b"").status.code(), Some(2));
}
