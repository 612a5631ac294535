//! Journals of commonware-storage on commonware's tokio runtime: the contiguous journal of items of any length
//! (`commonware`), the same with zstd level 1 for each item (`commonware-zstd`), and the authenticated one, a Merkle
//! mountain range with BLAKE3 over the first (`commonware-mmr`). 100,000 items in a blob and buffers of 1 MiB as in
//! commonware's own benchmarks, 16 MiB of page cache, 64 KiB where there should be none. `commit` for each durable
//! commit and at the end of the bulk, behind a mutex; `sync` before closing.

use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Mutex, mpsc},
    thread::JoinHandle,
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use commonware_cryptography::blake3::Blake3;
use commonware_parallel::Sequential;
use commonware_runtime::{
    BLOB_PAGE_SIZE, ReadOptions, Runner as _, Supervisor as _,
    buffer::paged::{CacheRef, page_size},
    tokio::{Config as RuntimeConfig, Context, Runner},
};
use commonware_storage::{
    journal::{
        authenticated,
        contiguous::{Many, Mutable, variable},
    },
    merkle::{Bagging, full, mmr},
};
use commonware_utils::{NZU64, NZUsize};
use futures::StreamExt as _;
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    data::Entries,
    engine::{Cache, Engine, Look, Role, Subject},
};

const BUFFER_LEN: NonZeroUsize = NZUsize!(1 << 20);
/// Items that are appended at once in bulk.
const BATCH_COUNT: usize = 1000;
/// Bytes of the longest item.
const ITEM_LEN_MAX: usize = 1 << 24;

type Plain = variable::Journal<Context, Bytes>;
type Authenticated = authenticated::Journal<mmr::Family, Context, Plain, Blake3, Sequential>;

pub(super) fn subjects() -> Vec<Subject> {
    let subject = |name, open| Subject {
        name,
        role: Role::Log,
        packages: &["commonware-storage", "commonware-runtime"],
        source: include_str!("commonware.rs"),
        open,
    };
    vec![
        subject("commonware", |folder, cache| {
            let runtime = Runtime::start(folder)?;
            let journal = runtime.block_on(plain(&runtime.context, cache, None))?;
            Ok(Box::new(Commonware::new(journal, runtime)))
        }),
        subject("commonware-zstd", |folder, cache| {
            let runtime = Runtime::start(folder)?;
            let journal = runtime.block_on(plain(&runtime.context, cache, Some(1)))?;
            Ok(Box::new(Commonware::new(journal, runtime)))
        }),
        subject("commonware-mmr", |folder, cache| {
            let runtime = Runtime::start(folder)?;
            let journal = runtime.block_on(authenticated(&runtime.context, cache))?;
            Ok(Box::new(Commonware::new(journal, runtime)))
        }),
    ]
}

fn page_cache(cache: Cache) -> CacheRef {
    let page_len = page_size(BLOB_PAGE_SIZE);
    let pages = cache.bytes(16 << 20, 64 << 10) / usize::from(page_len.get());
    CacheRef::new(page_len, NonZeroUsize::new(pages).expect("some pages"))
}

fn config(
    cache: Cache,
    compression: Option<u8>,
) -> variable::Config<<Bytes as commonware_codec::Read>::Cfg> {
    variable::Config {
        partition: "log".to_owned(),
        items_per_section: NZU64!(100_000),
        compression,
        codec_config: (0..=ITEM_LEN_MAX).into(),
        page_cache: page_cache(cache),
        write_buffer: BUFFER_LEN,
        replay_buffer: BUFFER_LEN,
    }
}

async fn plain(context: &Context, cache: Cache, compression: Option<u8>) -> Result<Plain> {
    Ok(Plain::init(context.child("log"), config(cache, compression)).await?)
}

async fn authenticated(context: &Context, cache: Cache) -> Result<Authenticated> {
    let merkle = full::Config {
        journal_partition: "merkle".to_owned(),
        // Not "merkle-metadata": the journal has a partition of that name.
        metadata_partition: "pruned".to_owned(),
        items_per_blob: NZU64!(100_000),
        write_buffer: BUFFER_LEN,
        replay_buffer: BUFFER_LEN,
        strategy: Sequential,
        page_cache: page_cache(cache),
    };
    let (context, config) = (context.child("log"), config(cache, None));
    Ok(Authenticated::new(context, merkle, config, |_| true, Bagging::ForwardFold).await?)
}

/// The runtime that journals need; it lives in a thread of its own until it is told to end.
struct Runtime {
    context: Context,
    handle: Handle,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Runtime {
    fn start(folder: &Path) -> Result<Self> {
        let config = RuntimeConfig::default().with_storage_directory(folder.join("journals"));
        let (sender, receiver) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            Runner::new(config).start(|context| async move {
                // Fails only if nobody waits any more.
                let _ = sender.send((context, Handle::current()));
                let _ = ended.await;
            });
        });
        let (context, handle) = receiver.recv().context("the runtime did not start")?;
        Ok(Self { context, handle, end, thread })
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    fn end(self) {
        drop((self.context, self.end));
        self.thread.join().expect("the runtime ends without a panic");
    }
}

struct Commonware<J> {
    /// Calls that write take it, and give it back.
    journal: Mutex<Option<J>>,
    runtime: Runtime,
}

impl<J: Mutable<Item = Bytes>> Commonware<J> {
    fn new(journal: J, runtime: Runtime) -> Self {
        Self { journal: Mutex::new(Some(journal)), runtime }
    }

    /// Lets a call have the journal. If it fails, the journal is gone, as its authors want it.
    fn write<F: Future<Output = Result<J>>>(&self, call: impl FnOnce(J) -> F) -> Result<()> {
        let mut journal = self.journal.lock().expect("nobody panicked");
        let taken = journal.take().context("an earlier call failed")?;
        *journal = Some(self.runtime.block_on(call(taken))?);
        Ok(())
    }

    fn read<T>(&self, call: impl FnOnce(&J) -> Result<T>) -> Result<T> {
        let journal = self.journal.lock().expect("nobody panicked");
        call(journal.as_ref().context("an earlier call failed")?)
    }
}

impl<J: Mutable<Item = Bytes>> Engine for Commonware<J> {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        self.write(|mut journal| async {
            let mut batch = Vec::with_capacity(BATCH_COUNT);
            for (n, payload) in entries.iter().enumerate() {
                batch.push(Bytes::copy_from_slice(payload));
                if batch.len() == BATCH_COUNT || n + 1 == entries.len() {
                    journal = journal.append_many(Many::Flat(&batch)).await?.0;
                    batch.clear();
                }
            }
            Ok(journal.commit().await?)
        })
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        let items: Vec<_> =
            payloads.iter().map(|payload| Bytes::copy_from_slice(payload)).collect();
        self.write(|journal| async move {
            let (journal, _) = journal.append_many(Many::Flat(&items)).await?;
            Ok(journal.commit().await?)
        })
    }

    fn count(&self) -> Result<u64> {
        self.read(|journal| Ok(journal.bounds().end))
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        self.read(|journal| {
            if let Some(payload) = journal.try_read_sync(index) {
                look(&payload);
            } else {
                look(&self.runtime.block_on(journal.read(index))?);
            }
            Ok(())
        })
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        self.read(|journal| {
            self.runtime.block_on(async {
                let options = ReadOptions::default();
                let stream = journal.replay(journal.bounds(), BUFFER_LEN, options).await?;
                let mut stream = std::pin::pin!(stream);
                while let Some(batch) = stream.next().await {
                    batch?.items.iter().for_each(|payload| look(payload));
                }
                Ok(())
            })
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.write(|journal| async { Ok(journal.sync().await?) })?;
        let Self { journal, runtime } = *self;
        drop(journal);
        runtime.end();
        Ok(())
    }
}
