//! The input: text files of a folder, and its git history.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    time::UNIX_EPOCH,
};

use annals::Timestamp;
use anyhow::Context as _;

use crate::human;

/// Files longer than this are left out, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;
/// Most files, and most bytes of them in all.
const FILE_COUNT_MAX: usize = 5_000;
const FILES_LEN_MAX: u64 = 32 << 20;
/// Most commits, and most bytes of their patches in all.
const COMMIT_COUNT_MAX: &str = "2000";
const HISTORY_LEN_MAX: u64 = 32 << 20;
/// Entries of folders that are looked at at most: a home directory is not walked to its end.
const LOOKED_AT_MAX: usize = 100_000;
/// Longest name of a stream, in bytes.
const NAME_LEN_MAX: usize = 255;

/// What becomes the changes.
#[derive(Debug)]
pub(super) struct Input {
    /// Name and content of each file, in the order of the names; at least one.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Time and text of each event of the history, oldest first; at least one.
    pub(super) events: Vec<(Timestamp, Vec<u8>)>,
    /// What an event is.
    pub(super) event: &'static str,
}

/// A text file that was found.
#[derive(Debug)]
struct TextFile {
    name: String,
    modified: Timestamp,
    content: Vec<u8>,
}

impl Input {
    /// Reads files and history of `folder`; changes nothing there. A folder without text files gives the help of this
    /// program instead; one without a git history the names of its files, by the times of their last modification.
    ///
    /// # Errors
    ///
    /// If the folder cannot be listed. What in it cannot be read is left out, as is the history if git cannot be run.
    pub(super) fn gather(folder: &Path) -> anyhow::Result<Self> {
        fs::read_dir(folder).with_context(|| format!("{}: cannot list", folder.display()))?;
        let mut files = text_files(folder);
        if files.iter().all(|file| file.content.is_empty()) {
            let help = <crate::app::Cli as clap::CommandFactory>::command().render_long_help();
            let content = help.to_string().into_bytes();
            let modified = Timestamp::from_micros(0);
            files = vec![TextFile { name: "annals --help".into(), modified, content }];
        }
        let (mut events, mut event) = (history(folder), "commit");
        if events.is_empty() {
            let modification = |file: &TextFile| (file.modified, file.name.clone().into_bytes());
            (events, event) = (files.iter().map(modification).collect(), "file date");
            events.sort();
        }
        let files = files.into_iter().map(|file| (file.name, file.content)).collect();
        Ok(Self { files, events, event })
    }

    pub(super) fn describe(&self, folder: &Path) -> String {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
        format!(
            "{name:.10}: {}, {}, {}; {}, {}",
            human::counted(as_u64(self.files.len()), "file"),
            human::counted(self.line_count(), "line"),
            human::bytes(self.files.iter().map(|(_, content)| as_u64(content.len())).sum()),
            human::counted(as_u64(self.events.len()), self.event),
            human::bytes(self.events.iter().map(|(_, text)| as_u64(text.len())).sum()),
        )
    }

    /// The lines of all files, without their newlines.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.files.iter().flat_map(|(_, content)| lines(content))
    }

    pub(super) fn line_count(&self) -> u64 {
        as_u64(self.lines().count())
    }
}

/// The lines of a file, without their newlines; as many as it has newlines, and one more if it does not end with one.
pub(super) fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let content =
        content.strip_suffix(b"\n").map_or((content, content.is_empty()), |rest| (rest, false));
    let (content, is_empty) = content;
    content.split(|&byte| byte == b'\n').take(if is_empty { 0 } else { usize::MAX })
}

pub(super) fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn text_files(folder: &Path) -> Vec<TextFile> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    let mut looked_at = 0;
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries.flatten() {
            looked_at += 1;
            if looked_at > LOOKED_AT_MAX {
                folders.clear();
                break;
            }
            // Of the entry itself: links are not followed, so that there are no circles.
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            if kind.is_dir() && name != ".git" && name != "target" && name != "node_modules" {
                folders.push(entry.path());
            } else if kind.is_file()
                && entry.metadata().is_ok_and(|file| file.len() <= FILE_LEN_MAX)
            {
                paths.push(entry.path());
            }
        }
    }
    paths.sort();
    let mut left = FILES_LEN_MAX;
    let mut files: Vec<TextFile> = Vec::new();
    for path in paths {
        if files.len() == FILE_COUNT_MAX {
            break;
        }
        let Some(content) = text(&path) else { continue };
        let Some(rest) = left.checked_sub(as_u64(content.len())) else { break };
        left = rest;
        let (name, modified) = (stream_name(folder, &path), modified(&path));
        files.push(TextFile { name, modified, content });
    }
    // Names that had to be cut may be the same; streams must not be.
    files.dedup_by(|a, b| a.name == b.name);
    files
}

/// When a file was modified; the epoch if nobody knows.
fn modified(path: &Path) -> Timestamp {
    let time = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since_epoch = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let micros = since_epoch.and_then(|time| i64::try_from(time.as_micros()).ok());
    Timestamp::from_micros(micros.unwrap_or(0))
}

/// The content of a file, if it is text.
fn text(path: &Path) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(FILE_LEN_MAX).read_to_end(&mut content).ok()?;
    let is_text = !content.contains(&0) && std::str::from_utf8(&content).is_ok();
    (is_text && !content.is_empty()).then_some(content)
}

fn stream_name(folder: &Path, path: &Path) -> String {
    let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
    let end = name.floor_char_boundary(NAME_LEN_MAX);
    name[..end].to_owned()
}

/// The commits of the folder, with their patches: none if it is no checkout or there is no git.
fn history(folder: &Path) -> Vec<(Timestamp, Vec<u8>)> {
    let child = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["--no-pager", "log", "-p", "--reverse", "--max-count", COMMIT_COUNT_MAX])
        .args(["--no-color", "--no-ext-diff", "--no-textconv"])
        // A patch of text has no zero bytes: they separate commits.
        .args(["--format=%x00%ct %H %an%n%B", "--", "."])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return Vec::new() };
    let mut log = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // Whatever could be read of it is history enough.
        let _ = stdout.take(HISTORY_LEN_MAX).read_to_end(&mut log);
    }
    let _ = child.kill();
    let _ = child.wait();
    let mut latest = Timestamp::from_micros(0);
    let commits = log.split(|&byte| byte == 0).skip(1).map(|commit| {
        let digits = commit.split(|&byte| byte == b' ').next().unwrap_or_default();
        let seconds =
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok());
        let time = Timestamp::from_micros(seconds.unwrap_or(0).saturating_mul(1_000_000));
        // In the order of history, the clocks of those who committed may go back. A log's time should not.
        latest = latest.max(time);
        (latest, commit.to_vec())
    });
    commits.collect()
}

/// Writes lines, each with its newline.
pub(super) fn write_lines<'a>(
    mut to: impl Write,
    lines: impl Iterator<Item = &'a [u8]>,
) -> std::io::Result<()> {
    for line in lines {
        to.write_all(line)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(content: &[u8]) -> Vec<&[u8]> {
        lines(content).collect()
    }

    #[test]
    fn lines_are_those_that_append_reads() {
        assert_eq!(collect(b""), Vec::<&[u8]>::new());
        assert_eq!(collect(b"\n"), [b""]);
        assert_eq!(collect(b"a\n\nb"), [&b"a"[..], b"", b"b"]);
        assert_eq!(collect(b"a\n"), [b"a"]);
    }

    #[test]
    fn an_empty_folder_without_history_gives_input_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("binary"), [0, 1, 2]).unwrap();
        let input = Input::gather(folder.path()).unwrap();
        assert!(input.line_count() > 5 && input.events.len() == 1);
    }

    #[test]
    fn text_is_taken_and_binaries_are_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/target")).unwrap();
        fs::write(folder.path().join("a/x.txt"), "one\ntwo\n").unwrap();
        fs::write(folder.path().join("a/target/y.txt"), "no").unwrap();
        fs::write(folder.path().join("z"), [0xff]).unwrap();
        let files = text_files(folder.path());
        assert_eq!(files.len(), 1);
        assert!(files[0].name.ends_with("x.txt") && files[0].content == b"one\ntwo\n");
    }
}
