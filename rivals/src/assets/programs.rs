//! Programs that copy, hash and back up files.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{archive::Archive, content::files};

/// What is reported of each program: how its version is asked for, and its set-up.
const SET_UPS: [(&[&str], &str); 4] = [
    (
        &["cp", "--version"],
        "`cp -r`, then `sync FILE FOLDER`, which is an fsync of each; of many files `sync --file-system`, a syncfs.",
    ),
    (
        &["b3sum", "--version"],
        "hashes the files, which it maps into memory, and stores nothing: a limit. With `--num-threads 1`, and with the \
         threads that it takes by itself.",
    ),
    (
        &["restic", "version"],
        "`--no-cache`, and what it always does: chunks by content, encryption. It syncs each file that it writes into \
         its repository, and the folder of it. Reading is `dump` of everything as tar to /dev/null.",
    ),
    (
        &["borg", "--version"],
        "`--encryption none` and its default lz4; its cache of chunks lies aside and is not counted as disk use. It syncs \
         each segment and index that it writes, and the folders. Reading is `extract --stdout` to /dev/null.",
    ),
];

/// A line for each program: its version, or that it is not installed, and its set-up.
pub(super) fn set_ups() -> Vec<String> {
    let line = |(command, set_up): (&[&str], &str)| {
        let [name, arguments @ ..] = command else { return String::new() };
        let output = Command::new(name).args(arguments).output();
        let version = output.ok().filter(|output| output.status.success()).map_or_else(
            || "not installed".to_owned(),
            |output| {
                let text = String::from_utf8_lossy(&output.stdout);
                text.lines().next().unwrap_or_default().to_owned()
            },
        );
        format!("**{name}** ({version}): {set_up}")
    };
    SET_UPS.into_iter().map(line).collect()
}

/// Runs a program to its end in a folder; what it prints is thrown away.
fn run(command: &mut Command, folder: &Path) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let command = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(Stdio::piped()).spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!("not installed"),
        _ => anyhow!(error).context(program.clone()),
    })?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}: {}", output.status, said.trim());
    Ok(())
}

/// Copies.
pub(super) struct Cp {
    pub(super) store: PathBuf,
}

impl Archive for Cp {
    fn ingest(&self, source: &Path, name: &str) -> Result<()> {
        let copy = self.store.join(name);
        run(Command::new("cp").arg("-r").arg(source).arg(&copy), &self.store)?;
        let (copies, _) = files(&copy)?;
        let mut sync = Command::new("sync");
        if let [file] = &copies[..] {
            sync.arg(file);
        } else {
            sync.arg("--file-system");
        }
        run(sync.arg(&copy), &self.store)
    }

    fn read(&self, _source: &Path, _name: &str) -> Result<()> {
        Err(anyhow!("cp verifies nothing"))
    }

    fn verify(&self, source: &Path, name: &str) -> Result<()> {
        run(Command::new("diff").arg("-r").arg(source).arg(name), &self.store)
    }
}

/// Hashes.
pub(super) struct B3sum {
    pub(super) one_thread: bool,
}

impl B3sum {
    fn hash(&self, source: &Path) -> Result<()> {
        let (paths, _) = files(source)?;
        let mut command = Command::new("b3sum");
        command.args(self.one_thread.then_some("--num-threads=1"));
        run(command.args(paths.iter().filter_map(|path| path.file_name())), source)
    }
}

impl Archive for B3sum {
    fn ingest(&self, source: &Path, _name: &str) -> Result<()> {
        self.hash(source)
    }

    fn read(&self, source: &Path, _name: &str) -> Result<()> {
        self.hash(source)
    }

    fn verify(&self, _source: &Path, _name: &str) -> Result<()> {
        Ok(())
    }

    fn stores(&self) -> bool {
        false
    }
}

/// Backs up in chunks by content, compressed or not, encrypted.
pub(super) struct Restic {
    pub(super) store: PathBuf,
    pub(super) aside: PathBuf,
    pub(super) compression: &'static str,
}

impl Restic {
    fn run(&self, arguments: &[&str], folder: &Path) -> Result<()> {
        let mut command = Command::new("restic");
        command.arg("--repo").arg(&self.store).args(["--no-cache", "--quiet"]);
        command.arg("--password-file").arg(self.aside.join("password"));
        run(command.args(["--compression", self.compression]).args(arguments), folder)
    }
}

impl Archive for Restic {
    fn create(&self) -> Result<()> {
        fs::write(self.aside.join("password"), "a password").context("cannot write a password")?;
        self.run(&["init"], &self.aside)
    }

    fn ingest(&self, source: &Path, name: &str) -> Result<()> {
        self.run(&["backup", "--tag", name, "."], source)
    }

    fn read(&self, _source: &Path, name: &str) -> Result<()> {
        self.run(&["dump", "--archive", "tar", "--tag", name, "latest", "/"], &self.aside)
    }

    fn verify(&self, _source: &Path, _name: &str) -> Result<()> {
        self.run(&["check", "--read-data"], &self.aside)
    }
}

/// Backs up in chunks by content.
pub(super) struct Borg {
    pub(super) store: PathBuf,
    pub(super) aside: PathBuf,
}

impl Borg {
    fn run(&self, arguments: &[&str], folder: &Path) -> Result<()> {
        let mut command = Command::new("borg");
        command.env("BORG_BASE_DIR", &self.aside).env("BORG_REPO", &self.store);
        command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        run(command.args(arguments), folder)
    }
}

impl Archive for Borg {
    fn create(&self) -> Result<()> {
        self.run(&["init", "--encryption", "none"], &self.aside)
    }

    fn ingest(&self, source: &Path, name: &str) -> Result<()> {
        self.run(&["create", &format!("::{name}"), "."], source)
    }

    fn read(&self, _source: &Path, name: &str) -> Result<()> {
        self.run(&["extract", "--stdout", &format!("::{name}")], &self.aside)
    }

    fn verify(&self, _source: &Path, _name: &str) -> Result<()> {
        self.run(&["check", "--verify-data"], &self.aside)
    }
}
