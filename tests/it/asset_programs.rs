//! `annals asset` and `annals gc`, as a shell sees them.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use crate::{
    programs::{annals, done, program, run_program, workspace},
    support::{Random, files_of},
};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Files of many lengths in a folder; paths and contents.
fn some_files(folder: &Path, count: usize) -> BTreeMap<String, Vec<u8>> {
    let mut random = Random::new(5);
    fs::create_dir_all(folder.join("inner")).unwrap();
    let mut files = BTreeMap::new();
    for number in 0..count {
        let len = match number % 10 {
            0 => 0,
            9 => 200_000,
            _ => random.place(6_000),
        };
        let place = if number % 2 == 0 { folder.to_owned() } else { folder.join("inner") };
        let path = place.join(format!("file-{number}.bin"));
        let content = random.bytes(len);
        fs::write(&path, &content).unwrap();
        files.insert(path.to_str().unwrap().to_owned(), content);
    }
    files
}

#[test]
fn files_go_in_and_come_out_by_id_url_and_range() {
    let (folder, workspace) = workspace();
    let files = some_files(&folder.path().join("files"), 30);
    let added = text(done(
        &["asset", "add", &workspace, folder.path().join("files").to_str().unwrap()],
        b"",
    ));
    let mut ids = BTreeMap::new();
    for line in added.lines() {
        let (id, path) = line.split_once("  ").unwrap();
        assert_eq!(id, blake3::hash(&files[path]).to_hex().as_str(), "what b3sum prints");
        ids.insert(path.to_owned(), id.to_owned());
    }
    assert_eq!(ids.len(), files.len());
    let (path, id) = ids.iter().find(|(path, _)| files[*path].len() == 200_000).unwrap();
    let content = &files[path];
    assert_eq!(done(&["asset", "cat", &workspace, id], b""), *content);
    assert_eq!(
        done(&["asset", "cat", &workspace, id, "--range", "70000..70010"], b""),
        content[70_000..70_010]
    );
    let url = text(done(&["asset", "url", &workspace, id, "--positional"], b""));
    assert_eq!(
        done(&["asset", "cat", &workspace, url.trim(), "--range", "..5"], b""),
        content[..5]
    );
    let wrong = url.trim().replace("s=200000", "s=200001");
    let refused = annals(&["asset", "cat", &workspace, &wrong], b"");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(refused.stderr).contains("200001"));
    let out = folder.path().join("out");
    done(&["asset", "get", &workspace, id, "-o", out.to_str().unwrap()], b"");
    assert_eq!(fs::read(&out).unwrap(), *content);
    let info = text(done(&["asset", "info", &workspace, id, "--json"], b""));
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!((&info["size"], &info["state"]), (&200_000.into(), &"present".into()));
    assert_eq!(done(&["asset", "ls", &workspace], b"").split(|&b| b == b'\n').count(), 31);
    let stdin = text(done(&["asset", "add", &workspace, "-", "--name", "piped"], b"from a pipe"));
    assert_eq!(stdin.split(' ').next().unwrap(), blake3::hash(b"from a pipe").to_hex().as_str());
    done(&["asset", "verify", &workspace], b"");
    let checked = run_program("annals-fsck", &["--deep", &workspace], b"");
    assert_eq!(checked.status.code(), Some(0), "{}", text(checked.stdout));
}

#[test]
fn what_is_released_goes_and_what_is_pinned_or_the_last_copy_stays() {
    let (_folder, workspace) = workspace();
    let added = text(done(&["asset", "add", &workspace, "-"], b"some content"));
    let id = added.split(' ').next().unwrap();
    assert_eq!(annals(&["asset", "evict", &workspace, id], b"").status.code(), Some(1));
    done(&["asset", "pin", &workspace, id], b"");
    done(&["asset", "rm", &workspace, id], b"");
    done(&["gc", &workspace], b"");
    assert_eq!(done(&["asset", "cat", &workspace, id], b""), b"some content");
    done(&["asset", "unpin", &workspace, id], b"");
    let dry = text(done(&["gc", &workspace, "--dry-run", "--json"], b""));
    assert!(dry.contains("\"removed_assets\":1"), "{dry}");
    assert_eq!(done(&["asset", "cat", &workspace, id], b""), b"some content");
    let kept = text(done(&["gc", &workspace, "--keep-released-since", "2020-01-01"], b""));
    assert!(kept.contains("removed 0 assets"), "{kept}");
    done(&["gc", &workspace], b"");
    assert_eq!(annals(&["asset", "cat", &workspace, id], b"").status.code(), Some(1));
    for wrong in
        [&["asset", "cat", &workspace, "xyz"][..], &["asset", "add", &workspace, "/nowhere"]]
    {
        assert_eq!(annals(wrong, b"").status.code(), Some(1), "{wrong:?}");
    }
}

/// What was named on stdout is whole after a kill at any moment, and the next collection leaves nothing else.
#[test]
fn a_killed_addition_keeps_what_it_has_named_and_leaves_nothing_after_a_collection() {
    let (folder, workspace) = workspace();
    let files = some_files(&folder.path().join("files"), 400);
    let source = folder.path().join("files");
    let mut random = Random::new(9);
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..6 {
        let mut child = program("annals")
            .args(["asset", "add", &workspace, source.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::sleep(std::time::Duration::from_millis(2 + 4 * random.below(10)));
        child.kill().unwrap();
        for line in lines.by_ref().map_while(Result::ok) {
            // The last line may be cut.
            if let Some((id, path)) =
                line.split_once("  ").filter(|(_, path)| files.contains_key(*path))
            {
                named.insert(path.to_owned(), id.to_owned());
            }
        }
        child.wait().unwrap();
        for (path, id) in &named {
            let read = done(&["asset", "cat", &workspace, id], b"");
            assert!(read == files[path], "round {round}: {path}");
            if named.len() > 40 {
                // The checker reads the rest.
                break;
            }
        }
        let checked = run_program("annals-fsck", &["--deep", &workspace], b"");
        assert_eq!(checked.status.code(), Some(0), "round {round}: {}", text(checked.stdout));
    }
    done(&["gc", &workspace, "--waste", "0"], b"");
    let listed = text(done(&["asset", "ls", &workspace], b""));
    assert!(named.values().all(|id| listed.contains(id.as_str())), "what was named is claimed");
    let claimed: std::collections::BTreeSet<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let content: usize = files
        .values()
        .map(|content| (blake3::hash(content).to_hex(), content.len()))
        .collect::<BTreeMap<_, _>>()
        .iter()
        .filter(|(id, _)| claimed.contains(id.as_str()))
        .map(|(_, len)| len)
        .sum();
    let stored: usize =
        files_of(&Path::new(&workspace).join("assets")).iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(stored < content + 20_000 + claimed.len() * 300, "{stored} bytes for {content}");
}
