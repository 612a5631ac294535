//! A consistent copy of a workspace while others append.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{AssetError, LogSlot, Metadata, Workspace, segment_path};
use crate::{
    error::{Corruption, IoContext as _, IoError},
    io::{Access, DiskFile, temporary_name},
    log::{
        AppendError, Checkpoint, HEAD_LEN, Log, LogState, Place, READ_AHEAD_LONG, ReadError, Step,
        checkpoint_context, slot_offset,
    },
};

/// Why a backup was not made. What was written of it has no `index.json` and is no workspace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The folder is not empty.
    #[error("{}: the folder is not empty; a backup needs an empty one", .0.display())]
    NotEmpty(PathBuf),
    /// What was appended could not be made durable.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A log is damaged: heal it first, or copy the files as they are.
    #[error(transparent)]
    Damaged(#[from] Corruption),
    /// A log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The packs cannot be copied: an asset is damaged, or the disk is full.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl Workspace {
    /// Copies the workspace into the folder `to`, which must be missing or empty, while others go on appending.
    ///
    /// The copy is what was durable when it was called, assets that are here included, each verified in the copy. It is a copy of this very client: use it in the place of this
    /// workspace, never beside it, or the log forks. `progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    ///
    /// See [`BackupError`].
    pub fn backup(
        &self,
        to: impl AsRef<Path>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(), BackupError> {
        let to = to.as_ref();
        let disk = &*self.inner.disk;
        disk.create_dir(to).context(to, "create")?;
        if !disk.list(to).context(to, "list")?.is_empty() {
            return Err(BackupError::NotEmpty(to.to_owned()));
        }
        let logs_folder = to.join("logs");
        disk.create_dir(&logs_folder).context(&logs_folder, "create")?;
        disk.sync_dir(to).context(to, "sync")?;

        // Before the logs, so that nothing goes which they claim.
        let store = self.assets().store().map_err(AssetError::from)?;
        let mut packs = store.begin_copy();
        let slots: Vec<_> = self.inner.logs.read().values().cloned().collect();
        let logs = slots.iter().map(|slot| durable(slot)).collect::<Result<Vec<_>, _>>()?;
        let logs_len: u64 = logs.iter().map(|(_, state)| state.end_offset).sum();
        let total = logs_len + packs.look().map_err(AssetError::from)?;
        let mut done = 0;
        for (log, state) in logs {
            let len = state.end_offset;
            self.copy_log(&log, state, &segment_path(to, log.id()))?;
            done += len;
            progress(done, total);
        }
        disk.sync_dir(&logs_folder).context(&logs_folder, "sync")?;
        packs
            .copy(&to.join("assets"), &mut |copied| progress(done + copied, total))
            .map_err(AssetError::from)?;
        Metadata::load(disk, &self.inner.path).map_or_else(
            |_| self.inner.metadata.store(disk, to),
            |metadata| metadata.store(disk, to),
        )?;
        let parent =
            to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk.sync_dir(parent).context(parent, "sync")?;
        Ok(())
    }

    /// A head of its own, with one checkpoint at `state`, and the frames below as they are.
    fn copy_log(&self, log: &Log, state: LogState, to: &Path) -> Result<(), BackupError> {
        let disk = &*self.inner.disk;
        let temporary = temporary_name(to);
        let file = disk.open(&temporary, Access::CreateNew).context(&temporary, "create")?;
        let end = state.end_offset;
        let mut head = log.header.encode();
        head.resize(usize::try_from(HEAD_LEN).expect("16 KiB"), 0);
        file.write_all_at(&head, 0).context(&temporary, "write")?;
        copy_frames(log, end, &*file, &temporary)?;
        file.sync().context(&temporary, "sync")?;
        if end > HEAD_LEN {
            let (opening, incarnation) = log.last_frame_writer(end)?;
            let checkpoint = Checkpoint { sequence: 1, incarnation, opening, clean: true, state };
            let bytes = checkpoint.encode(&checkpoint_context(&log.header, &log.keys));
            file.write_all_at(&bytes, slot_offset(checkpoint.slot()))
                .context(&temporary, "write")?;
            file.sync().context(&temporary, "sync")?;
        }
        disk.rename(&temporary, to).context(to, "rename")?;
        Ok(())
    }
}

/// Copies all frames below `end`, each checked: a backup of rot would be found when it is needed.
fn copy_frames(log: &Log, end: u64, to: &dyn DiskFile, path: &Path) -> Result<(), BackupError> {
    let mut reader = log.frame_reader(end, READ_AHEAD_LONG);
    let mut at = Place { offset: HEAD_LEN, index: log.header.first_index };
    while at.offset < end {
        let frame = match log.next_frame(&mut reader, at)? {
            Step::Frame(frame) => frame,
            Step::Damage(error, _) => return Err(error.into()),
            Step::End => break,
        };
        let len = usize::try_from(frame.len(log.header.align_log2)).expect("a frame is short");
        let checked = reader.payload(&frame).context(&log.path, "read")?.map(|_| ());
        let lost = (frame.first_index..frame.end_index()).into();
        checked.map_err(|fault| log.corruption(frame.offset, lost, fault))?;
        let bytes = reader.bytes(frame.offset, len).context(&log.path, "read")?;
        to.write_all_at(bytes, frame.offset).context(path, "write")?;
        at = log.behind(&frame);
    }
    Ok(())
}

/// A generation of a log, and its state up to which everything is durable.
fn durable(slot: &LogSlot) -> Result<(Arc<Log>, LogState), BackupError> {
    loop {
        let log = slot.now();
        let state = durable_state(&log)?;
        // Replaced meanwhile, the state may be that of the file that came after it.
        if log.next.get().is_none() {
            return Ok((log, state));
        }
    }
}

fn durable_state(log: &Log) -> Result<LogState, BackupError> {
    if let Some(core) = log.core.get() {
        return core.with_appender(|appender| {
            appender.checkpoint(false)?;
            Ok(appender.boundary().clone())
        });
    }
    let view = log.view.read();
    view.damage.clone().map_or(Ok(view.state.clone()), |damage| Err(damage.into()))
}
