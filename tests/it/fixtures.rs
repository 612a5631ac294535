//! What fuzzers start from, and what they found once.

use std::{collections::BTreeSet, fs, path::Path};

use annals_tests::fuzzing::TARGETS;

fn fuzz() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz")
}

#[test]
fn nothing_that_a_fuzzer_has_found_comes_back() {
    for (name, target) in TARGETS {
        for folder in ["seeds", "fixtures"] {
            let Ok(files) = fs::read_dir(fuzz().join(folder).join(name)) else { continue };
            for file in files {
                let path = file.unwrap().path();
                println!("{}", path.display());
                target(&fs::read(&path).unwrap());
            }
        }
    }
}

/// Each target is a program of the fuzzer, has seeds, and is run by the gate.
#[test]
fn every_target_is_fuzzed() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let targets = fs::read_dir(fuzz().join("fuzz_targets")).unwrap();
    let targets = targets.map(|file| file.unwrap().path().file_stem().unwrap().to_owned());
    let targets: BTreeSet<String> = targets.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(targets, names);
    let gate = fs::read_to_string(fuzz().parent().unwrap().join(".ci/run")).unwrap();
    let run = gate.lines().find_map(|line| line.strip_prefix("for target in ")).unwrap();
    let run = run.trim_end_matches("; do").split(' ').map(str::to_owned).collect();
    assert_eq!(names, run);
    for name in names {
        assert!(fuzz().join("seeds").join(&name).is_dir(), "{name} has seeds");
    }
}
