//! What a file holds: pages that are shared until they are written to.
//!
//! A machine is copied for every loss that a test tries, and a file is copied at every sync; so a
//! copy costs a count, and the first write after it costs the table of pages and one page.

use std::{io, sync::Arc, sync::OnceLock};

/// Size of a page in bytes. Chosen for cheap copies; nothing is lost or torn by pages.
const PAGE_LEN: usize = 4096;
/// Writes end below this: the table of pages in front of them is held in memory. 64 GiB.
const WRITE_END_MAX: u64 = 1 << 36;

#[derive(Clone)]
struct Page {
    bytes: [u8; PAGE_LEN],
    /// BLAKE3 of the bytes, once somebody asked.
    digest: OnceLock<[u8; 32]>,
}

/// The bytes of a file and its length. Bytes that were never written are zeros, and so are those at
/// and above the length, except between the steps of a loss (`loss`).
#[derive(Clone, Default)]
pub(super) struct Content {
    /// `None`: zeros.
    pages: Arc<Vec<Option<Arc<Page>>>>,
    len: u64,
}

impl Content {
    pub(super) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let mut content = Self::default();
        content.put(bytes, 0)?;
        content.len = bytes.len() as u64;
        Ok(content)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).expect("the file fits into memory")];
        let read = self.read(&mut bytes, 0);
        debug_assert_eq!(read, bytes.len(), "all of it is there");
        bytes
    }

    /// Reads what there is below the length.
    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> usize {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = rest.min(bytes.len());
        let mut done = 0;
        while done < len {
            let (page, start) = place(offset + done as u64);
            let part = (PAGE_LEN - start).min(len - done);
            let target = &mut bytes[done..done + part];
            match self.pages.get(page).and_then(Option::as_ref) {
                Some(page) => target.copy_from_slice(&page.bytes[start..start + part]),
                None => target.fill(0),
            }
            done += part;
        }
        len
    }

    /// Stores bytes wherever that is; the length stays as it is.
    pub(super) fn put(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        check_end(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let pages = Arc::make_mut(&mut self.pages);
        let mut done = 0;
        while done < bytes.len() {
            let (page, start) = place(offset + done as u64);
            let part = (PAGE_LEN - start).min(bytes.len() - done);
            if pages.len() <= page {
                pages.resize(page + 1, None);
            }
            let page = pages[page].get_or_insert_with(|| {
                Arc::new(Page { bytes: [0; PAGE_LEN], digest: OnceLock::new() })
            });
            let page = Arc::make_mut(page);
            page.bytes[start..start + part].copy_from_slice(&bytes[done..done + part]);
            page.digest = OnceLock::new();
            done += part;
        }
        Ok(())
    }

    /// Writes as a program does: the length grows with it.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.put(bytes, offset)?;
        if !bytes.is_empty() {
            self.len = self.len.max(offset + bytes.len() as u64);
        }
        Ok(())
    }

    /// Sets the length; bytes above it stay where they are, unseen.
    pub(super) fn set_len_only(&mut self, len: u64) {
        self.len = len;
    }

    /// Makes everything from `offset` on zeros; the length stays as it is.
    pub(super) fn discard_from(&mut self, offset: u64) {
        let (page, start) = place(offset);
        if page >= self.pages.len() {
            return;
        }
        let pages = Arc::make_mut(&mut self.pages);
        pages.truncate(page + usize::from(start > 0));
        if let Some(Some(last)) = pages.get_mut(page) {
            let last = Arc::make_mut(last);
            last.bytes[start..].fill(0);
            last.digest = OnceLock::new();
        }
    }

    /// Cuts or extends as a program does.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.discard_from(len);
        }
        self.len = len;
    }

    /// Adds what the file holds to `hasher`. Files with the same bytes add the same.
    pub(super) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&self.len.to_le_bytes());
        for (number, page) in self.pages.iter().enumerate() {
            let Some(page) = page else { continue };
            let digest = page.digest.get_or_init(|| *blake3::hash(&page.bytes).as_bytes());
            if page.bytes != [0; PAGE_LEN] {
                hasher.update(&(number as u64).to_le_bytes());
                hasher.update(digest);
            }
        }
        // No page has this number.
        hasher.update(&u64::MAX.to_le_bytes());
    }
}

/// Number of the page that holds `offset`, and where in it.
fn place(offset: u64) -> (usize, usize) {
    let page = usize::try_from(offset / PAGE_LEN as u64).unwrap_or(usize::MAX);
    let start = usize::try_from(offset % PAGE_LEN as u64).expect("it is below the page length");
    (page, start)
}

/// Whether a write may go there.
pub(super) fn check_end(offset: u64, len: usize) -> io::Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= WRITE_END_MAX => Ok(()),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}
