//! What is in the folder of a workspace (W-1 to W-3).

use std::{io::ErrorKind, path::Path, sync::Arc};

use super::{
    CheckError, Code, Depth, Finding, Report, assets, log,
    seen::{self, Claim},
};
use crate::{
    bytes::LogId,
    error::{IoContext as _, IoError},
    io::{DirEntry, Disk},
    log::{Published, Writer, last_published},
    workspace::{Metadata, MetadataError, segment_path},
};

/// A check that is under way.
pub(super) struct Run<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) folder: &'a Path,
    pub(super) depth: Depth,
    pub(super) writer: Writer,
    /// What the writer, or the last one, has published.
    pub(super) published: Option<Published>,
    /// `None` if it is damaged.
    pub(super) metadata: Option<Metadata>,
    pub(super) report: Report,
    /// What sound logs say of others.
    pub(super) claims: Vec<Claim>,
}

impl Run<'_> {
    pub(super) fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    pub(super) fn find_file(&mut self, folder: &Path, entry: &DirEntry) {
        let path = folder.join(&entry.name);
        let finding = if is_unfinished(entry) {
            // A writer is just writing it.
            if self.writer != Writer::None {
                return;
            }
            Finding::new(Code::UnfinishedFile, &path, "a file that was never finished")
        } else if is_saved_cut(entry) {
            let what =
                format!("{} bytes that a repair has saved before it gave them up", entry.len);
            Finding::new(Code::SavedCut, &path, what)
        } else if is_stray_segment(entry) {
            let what = "a segment, or a copy of one, under a name that no log has";
            Finding::new(Code::StraySegment, &path, what)
        } else {
            Finding::new(Code::ForeignFile, &path, "not a part of a workspace")
        };
        self.find(finding);
    }
}

/// Refuses a folder that is no workspace, nor was one.
pub(super) fn look(disk: &Arc<dyn Disk>, folder: &Path) -> Result<(), CheckError> {
    match Metadata::load(&**disk, folder) {
        Err(error @ MetadataError::Missing(_)) if !has_segments(&**disk, folder)? => {
            Err(CheckError::NotAWorkspace(error))
        }
        _ => Ok(()),
    }
}

/// Checks the folder and all logs in it.
pub(super) fn check(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    depth: Depth,
    writer: Writer,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, CheckError> {
    let published = match writer {
        Writer::Active(published) => published,
        Writer::None => last_published(&**disk, &folder.join("LOCK"))?,
    };
    let report = Report::default();
    let mut run =
        Run { disk, folder, depth, writer, published, metadata: None, report, claims: Vec::new() };
    load_metadata(&mut run)?;
    if let Writer::Active(published) = writer {
        let process = published.map_or(String::new(), |by| format!(" by process {}", by.process));
        let what = format!("the workspace is being written{process}");
        run.find(Finding::new(Code::LiveWriter, folder, what));
    }
    let logs = look_around(&mut run)?;
    let own = run.metadata.as_ref().map(|metadata| metadata.log);
    if let Some(own) = own.filter(|own| logs.iter().all(|(log, _)| log != own)) {
        let what = "the segment of this client's own log is missing";
        run.find(Finding::new(Code::MissingSegment, &segment_path(folder, own), what));
    }
    let total = logs.iter().map(|(_, len)| len).sum::<u64>() + assets::total_len(&run)?;
    let mut before = 0;
    for (log, len) in logs {
        log::check(&mut run, log, &mut |offset| progress(before + offset.min(len), total))?;
        before += len;
        progress(before, total);
    }
    seen::check(&mut run)?;
    assets::check(&mut run, &mut |done| progress(before + done, total))?;
    progress(total, total);
    Ok(run.report)
}

fn load_metadata(run: &mut Run<'_>) -> Result<(), CheckError> {
    let path = Metadata::path(run.folder);
    let what = match Metadata::load(&**run.disk, run.folder) {
        Ok(metadata) => {
            run.report.workspace = Some(metadata.workspace);
            run.metadata = Some(metadata);
            return Ok(());
        }
        Err(MetadataError::Io(error)) => return Err(error.into()),
        Err(MetadataError::Invalid { reason, .. }) => reason,
        Err(error @ MetadataError::Unsupported { .. }) => {
            run.find(Finding::new(Code::Unsupported, &path, error.to_string()));
            return Ok(());
        }
        // With segments beside it, it was one.
        Err(MetadataError::Missing(_)) if has_segments(&**run.disk, run.folder)? => {
            "the file is missing".to_owned()
        }
        Err(error @ MetadataError::Missing(_)) => return Err(CheckError::NotAWorkspace(error)),
    };
    run.find(Finding::new(Code::BadMetadata, &path, what));
    Ok(())
}

fn has_segments(disk: &dyn Disk, folder: &Path) -> Result<bool, IoError> {
    let logs = list(disk, &folder.join("logs"))?;
    Ok(logs.iter().any(|entry| segment_name(entry).is_some()))
}

/// The logs in the folder, by the names of their segments.
pub(super) fn logs_in(disk: &dyn Disk, folder: &Path) -> Result<Vec<LogId>, IoError> {
    let logs = list(disk, &folder.join("logs"))?;
    Ok(logs.iter().filter_map(segment_name).collect())
}

/// Reports what does not belong there, and returns the logs with the lengths of their files.
fn look_around(run: &mut Run<'_>) -> Result<Vec<(LogId, u64)>, CheckError> {
    let folder = run.folder;
    for entry in list(&**run.disk, folder)? {
        let known = match entry.name.as_str() {
            "index.json" | "LOCK" => !entry.is_dir,
            "logs" | "cache" | "assets" => entry.is_dir,
            _ => false,
        };
        if !known {
            run.find_file(folder, &entry);
        }
    }
    let mut logs = Vec::new();
    let logs_folder = folder.join("logs");
    for entry in list(&**run.disk, &logs_folder)? {
        match segment_name(&entry) {
            Some(log) => logs.push((log, entry.len)),
            None => run.find_file(&logs_folder, &entry),
        }
    }
    let cache = folder.join("cache");
    for entry in list(&**run.disk, &cache)? {
        let is_log = |name: &str| logs.iter().any(|(log, _)| log.to_string() == name);
        let known = entry.is_dir && (entry.name == "assets" || is_log(&entry.name));
        if !known {
            run.find_file(&cache, &entry);
        }
    }
    Ok(logs)
}

/// The entries of a folder, which may be missing.
fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<DirEntry>, IoError> {
    match disk.list(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result.context(folder, "list"),
    }
}

/// The log whose segment this is by its name, which is written in one way only (W-1).
fn segment_name(entry: &DirEntry) -> Option<LogId> {
    let name = entry.name.strip_suffix(".seg").filter(|_| !entry.is_dir)?;
    name.parse().ok().filter(|log: &LogId| log.to_string() == name)
}

/// Whether the file was never finished (W-3).
pub(super) fn is_unfinished(entry: &DirEntry) -> bool {
    !entry.is_dir && Path::new(&entry.name).extension().is_some_and(|end| end == "tmp")
}

/// Whether it looks like a segment beside the one that a log's name leads to: the name begins with the id of a log.
fn is_stray_segment(entry: &DirEntry) -> bool {
    const ID_LEN: usize = 36;
    let name = entry.name.strip_suffix(".seg").filter(|_| !entry.is_dir);
    let id = name.and_then(|name| name.get(..ID_LEN));
    id.is_some_and(|id| id.parse::<LogId>().is_ok())
}

fn is_saved_cut(entry: &DirEntry) -> bool {
    let parts = entry.name.split_once(".cut-").filter(|_| !entry.is_dir);
    parts.is_some_and(|(of, incarnation)| {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_segment = |name: &str| name.parse::<LogId>().is_ok();
        (matches!(of, "index.json" | "pins") || of.strip_suffix(".seg").is_some_and(is_segment))
            && incarnation.len() == 16
            && incarnation.bytes().all(lower_hex)
    })
}
