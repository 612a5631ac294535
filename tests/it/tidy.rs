//! Rules of the house that a compiler does not know.

use std::path::{Path, PathBuf};

/// The modules of the engine, low to high: each imports only what stands before it. `error` is shared: it
/// names what the layers below report.
const LAYERS: [&str; 17] = [
    "sync",
    "bytes",
    "io",
    "entry",
    "asset",
    "frame",
    "batch",
    "merkle",
    "pack",
    "index",
    "log",
    "assets",
    "bundle",
    "compact",
    "workspace",
    "check",
    "salvage",
];
const SHARED: [&str; 1] = ["error"];

/// Longest file, in lines.
const LINES_MAX: usize = 600;
/// Files that are longer, and how long they may be until somebody finds the seam.
const LONGER: [(&str, usize); 0] = [];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All Rust files below `folder` with their paths in it.
fn sources(folder: &Path) -> Vec<(String, String)> {
    fn collect(top: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(top, &path, files);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(top).unwrap().to_string_lossy().replace('\\', "/");
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut files = Vec::new();
    collect(folder, folder, &mut files);
    files.sort();
    assert!(!files.is_empty());
    files
}

fn is_test(name: &str) -> bool {
    name.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// The engine without its tests and comments.
fn engine() -> Vec<(String, String)> {
    let files = sources(&root().join("engine/src")).into_iter().filter(|(name, _)| !is_test(name));
    let without_comments = |text: String| -> String {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.flat_map(|line| [line, "\n"]).collect()
    };
    files.map(|(name, text)| (name, without_comments(text))).collect()
}

/// The modules behind each `crate::` in `text`, those in braces too.
fn imported(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with('$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push(rest);
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    found.push(&group[start..at]);
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.push(&group[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
    }
    let name = |text: &str| {
        let is_part = |character: char| character.is_alphanumeric() || character == '_';
        text.trim_start().chars().take_while(|&character| is_part(character)).collect::<String>()
    };
    found.into_iter().map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn imports_are_found() {
    let text =
        "use crate::bytes::Id;\nuse crate::{\n  Top, entry::{A, B}, log::C,\n};\ncrate::io::x()";
    assert_eq!(imported(text), ["bytes", "Top", "entry", "log", "io"]);
}

#[test]
fn layers_import_only_what_stands_below() {
    let rank = |module: &str| LAYERS.iter().position(|layer| *layer == module);
    for (name, text) in engine() {
        let module = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" || SHARED.contains(&module.as_str()) {
            continue;
        }
        let own = rank(&module).unwrap_or_else(|| panic!("{name}: no layer is known for it"));
        for other in imported(&text) {
            // What `lib.rs` re-exports has no layer of its own.
            if SHARED.contains(&other.as_str()) || other.starts_with(char::is_uppercase) {
                continue;
            }
            let other_rank = rank(&other).unwrap_or_else(|| panic!("{name}: what is {other}?"));
            assert!(other_rank <= own, "{name} imports {other}, which stands above {module}");
        }
    }
}

#[test]
fn files_are_about_one_thing() {
    for folder in ["engine/src", "cli/src", "tests/it", "tests/schedules", "tests/simulation"] {
        for (name, text) in sources(&root().join(folder)) {
            let known = LONGER.iter().find(|(file, _)| *file == name);
            let max = known.map_or(LINES_MAX, |(_, lines)| *lines);
            let lines = text.lines().count();
            assert!(lines <= max, "{folder}/{name} has {lines} lines: look for the seam");
        }
    }
}

#[test]
fn whatever_cannot_fail_says_why() {
    for (name, text) in engine() {
        for bare in
            [".unwrap()", ".unwrap_err()", ".expect(\"\")", "panic!()", "unreachable!()", "todo!("]
        {
            assert!(!text.contains(bare), "{name}: {bare} without a reason");
        }
    }
}

#[test]
fn files_clocks_and_randomness_are_touched_in_one_place() {
    for (name, text) in engine().iter().filter(|(name, _)| name != "io/os.rs") {
        for call in ["std::fs::", "File::open", "SystemTime::now", "Instant::now", "getrandom::"] {
            assert!(!text.contains(call), "{name}: {call} belongs into io/os.rs");
        }
    }
}

/// What `sync` does not know of cannot be put under a scheduler.
#[test]
fn locks_and_atomics_come_from_one_place() {
    let elsewhere = ["parking_lot", "shuttle", "atomic::", "mpsc::", "LazyLock", "thread_local!"];
    let std = ["std::sync::Mutex", "std::sync::RwLock", "std::sync::Condvar", "std::sync::Once"];
    for (name, text) in engine().iter().filter(|(name, _)| name != "sync.rs") {
        for path in elsewhere.iter().chain(&std) {
            assert!(!text.contains(path), "{name}: {path} belongs into sync.rs");
        }
        let pauses = name == "io/os.rs";
        assert!(pauses || !text.contains("std::thread"), "{name}: a thread of our own");
    }
}

#[test]
fn every_test_file_is_declared() {
    for folder in ["tests/it", "tests/schedules"] {
        let folder = root().join(folder);
        let files = sources(&folder);
        let main = std::fs::read_to_string(folder.join("main.rs")).unwrap();
        for (name, _) in files.iter().filter(|(name, _)| !name.contains('/') && name != "main.rs") {
            let module = name.trim_end_matches(".rs");
            assert!(main.contains(&format!("mod {module};")), "{name} is not declared in main.rs");
        }
    }
}
