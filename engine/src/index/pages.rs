//! Pages in a file: written in order, read in any, each checked when it comes from the disk.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    IndexError,
    layout::{CONTENT_LEN, HEADER_LEN, PAGE_LEN},
};
use crate::{
    bytes::SaltedCrc,
    io::{Access, Disk, DiskFile, temporary_name},
    sync::{Mutex, OnceLock},
};

/// Pages that a run keeps in memory at most. The first steps of all binary searches meet in few.
const CACHED_PAGE_COUNT_MAX: usize = 16;
/// Pages that are written at once.
const WRITTEN_PAGE_COUNT: usize = 16;

type Page = [u8; PAGE_LEN];

/// The pages of a run file.
///
/// No handle is kept: with a handle for each run, a workspace of some hundred logs would need more
/// than a process may have.
#[derive(Debug)]
pub(super) struct PagedFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    crc: SaltedCrc,
    /// For a file that is about to be removed while readers may still need it.
    kept: OnceLock<Arc<dyn DiskFile>>,
    /// The pages used last, the latest at the end.
    cache: Mutex<Vec<(u64, Box<Page>)>>,
}

impl PagedFile {
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf, crc: SaltedCrc) -> Self {
        Self { disk, path, crc, kept: OnceLock::new(), cache: Mutex::default() }
    }

    /// Opens the file for good, so that it can be read even after it was removed.
    ///
    /// # Errors
    ///
    /// [`IndexError::Gone`] or [`IndexError::Io`].
    pub(super) fn keep_open(&self) -> Result<(), IndexError> {
        let file = self.open()?;
        // Another thread may have been faster: then its handle does as well.
        self.kept.get_or_init(|| file);
        Ok(())
    }

    /// Copies content from `offset`, which is counted without the CRCs.
    ///
    /// # Errors
    ///
    /// All of [`IndexError`]; so it is for everything that reads pages.
    pub(super) fn read(&self, offset: u64, mut out: &mut [u8]) -> Result<(), IndexError> {
        let (mut number, mut start) = page_at(offset);
        while !out.is_empty() {
            let len = out.len().min(CONTENT_LEN - start);
            let (now, rest) = out.split_at_mut(len);
            self.with_page(number, |page| now.copy_from_slice(&page[start..start + len]))?;
            (out, number, start) = (rest, number + 1, 0);
        }
        Ok(())
    }

    /// Reads and checks pages past the cache, and appends their content to `out`.
    pub(super) fn read_through(
        &self,
        numbers: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), IndexError> {
        let file = self.open()?;
        let mut page = [0; PAGE_LEN];
        for number in numbers {
            let read = file
                .read_full_at(&mut page, number * PAGE_LEN as u64)
                .map_err(IndexError::io(&self.path))?;
            out.extend_from_slice(self.check(number, &page[..read])?);
        }
        Ok(())
    }

    /// The error for a page that is wrong.
    pub(super) fn damaged(&self, page: u64) -> IndexError {
        IndexError::Damaged { path: self.path.clone(), page }
    }

    fn with_page(&self, number: u64, found: impl FnOnce(&Page)) -> Result<(), IndexError> {
        {
            let mut cache = self.cache.lock();
            if let Some(at) = cache.iter().rposition(|&(cached, _)| cached == number) {
                cache[at..].rotate_left(1);
                if let Some((_, page)) = cache.last() {
                    found(page);
                }
                return Ok(());
            }
        }
        // Without the lock: other readers shall not wait for this one's disk.
        let mut page = Box::new([0; PAGE_LEN]);
        let read = self
            .open()?
            .read_full_at(page.as_mut_slice(), number * PAGE_LEN as u64)
            .map_err(IndexError::io(&self.path))?;
        self.check(number, &page[..read])?;
        found(&page);
        let mut cache = self.cache.lock();
        if !cache.iter().any(|&(cached, _)| cached == number) {
            if cache.len() == CACHED_PAGE_COUNT_MAX {
                cache.remove(0);
            }
            cache.push((number, page));
        }
        Ok(())
    }

    /// The content of a page that is whole and right.
    fn check<'p>(&self, number: u64, page: &'p [u8]) -> Result<&'p [u8], IndexError> {
        check_page(self.crc, number, page).ok_or_else(|| self.damaged(number))
    }

    fn open(&self) -> Result<Arc<dyn DiskFile>, IndexError> {
        if let Some(file) = self.kept.get() {
            return Ok(Arc::clone(file));
        }
        self.disk.open(&self.path, Access::Read).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => IndexError::Gone { path: self.path.clone() },
            _ => IndexError::Io { path: self.path.clone(), source },
        })
    }
}

/// The page that holds the content at `offset`, and where in the page it is.
pub(super) fn page_at(offset: u64) -> (u64, usize) {
    const LEN: u64 = CONTENT_LEN as u64;
    // A remainder of 4092 fits everywhere.
    (offset / LEN, usize::try_from(offset % LEN).unwrap_or(0))
}

/// The content of a page that is whole and right.
pub(super) fn check_page(crc: SaltedCrc, number: u64, page: &[u8]) -> Option<&[u8]> {
    let (content, stored) = page.split_last_chunk::<4>()?;
    let right = content.len() == CONTENT_LEN
        && crc.bound_to(&number.to_le_bytes()).crc(content) == u32::from_le_bytes(*stored);
    right.then_some(content)
}

/// Writes a run file in order, in constant memory, under a temporary name (W-3).
#[derive(Debug)]
pub(super) struct PageWriter {
    file: Arc<dyn DiskFile>,
    temporary: PathBuf,
    crc: SaltedCrc,
    /// Content of page 0, which is written last, when the header is known.
    head: Vec<u8>,
    /// Content behind page 0 and behind what was written.
    rest: Vec<u8>,
    /// Page number of the start of `rest`.
    next: u64,
    /// Kept for its memory.
    pages: Vec<u8>,
}

impl PageWriter {
    /// Starts the file that will be `path`.
    ///
    /// # Errors
    ///
    /// [`IndexError::Io`]; so it is for all methods.
    pub(super) fn create(disk: &dyn Disk, path: &Path, crc: SaltedCrc) -> Result<Self, IndexError> {
        let temporary = temporary_name(path);
        let created = match disk.open(&temporary, Access::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left behind by a crash.
                disk.remove(&temporary).and_then(|()| disk.open(&temporary, Access::CreateNew))
            }
            result => result,
        };
        let file = created.map_err(IndexError::io(&temporary))?;
        let (head, rest, pages) = (Vec::with_capacity(CONTENT_LEN), Vec::new(), Vec::new());
        Ok(Self { file, temporary, crc, head, rest, next: 1, pages })
    }

    /// Appends content.
    pub(super) fn put(&mut self, content: &[u8]) -> Result<(), IndexError> {
        let in_head = content.len().min(CONTENT_LEN - self.head.len());
        let (head, rest) = content.split_at(in_head);
        self.head.extend_from_slice(head);
        self.rest.extend_from_slice(rest);
        if self.rest.len() >= WRITTEN_PAGE_COUNT * CONTENT_LEN {
            self.flush(self.rest.len() / CONTENT_LEN * CONTENT_LEN)?;
        }
        Ok(())
    }

    /// Puts `header` over the first bytes and gives the file its name.
    pub(super) fn finish(
        mut self,
        disk: &dyn Disk,
        path: &Path,
        header: &[u8],
    ) -> Result<(), IndexError> {
        self.flush(self.rest.len())?;
        debug_assert_eq!(header.len(), HEADER_LEN);
        self.head[..HEADER_LEN].copy_from_slice(header);
        self.pages.clear();
        push_page(&mut self.pages, self.crc, 0, &self.head);
        self.file.write_all_at(&self.pages, 0).map_err(IndexError::io(&self.temporary))?;
        drop(self.file);
        disk.rename(&self.temporary, path).map_err(IndexError::io(path))
    }

    /// Writes the first `len` bytes of `rest` as pages; only the last may be short.
    fn flush(&mut self, len: usize) -> Result<(), IndexError> {
        self.pages.clear();
        let first = self.next;
        for content in self.rest[..len].chunks(CONTENT_LEN) {
            push_page(&mut self.pages, self.crc, self.next, content);
            self.next += 1;
        }
        self.file
            .write_all_at(&self.pages, first * PAGE_LEN as u64)
            .map_err(IndexError::io(&self.temporary))?;
        self.rest.drain(..len);
        Ok(())
    }
}

fn push_page(pages: &mut Vec<u8>, crc: SaltedCrc, number: u64, content: &[u8]) {
    let start = pages.len();
    pages.extend_from_slice(content);
    pages.resize(start + CONTENT_LEN, 0);
    let crc = crc.bound_to(&number.to_le_bytes()).crc(&pages[start..]);
    pages.extend_from_slice(&crc.to_le_bytes());
}
