//! Puts the files of a pack in their places: inflated, written, hashed by all cores; then made
//! durable; then read back from the disk by all cores.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use fs_err as fs;
use sha2::{Digest, Sha256};

use super::blocks::{Blocks, Due};
use super::deflate::Inflater;
use super::read::Pack;
use crate::adapters::digest::WriteError;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::domain::manifest::{Manifest, RelPath, Sha256Hex};
use crate::ui::Progress;

/// After how many blocks of a file its data are sent to the disk, while the cores go on.
const BLOCKS_AT_ONCE: usize = 64;

/// Blocks of a file that may wait to be hashed: each is kept in memory.
const MOST_WAITING: usize = 2;

/// How long a failure of another worker may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Pack {
    /// Extracts every file to the place that `place` names for it, makes it durable, and reads it
    /// back from the disk.
    ///
    /// # Errors
    /// Refuses a pack whose content is not what its manifest says, and names the entry.
    pub fn extract(
        &self,
        place: impl Fn(&RelPath) -> Option<PathBuf> + Sync,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        // The largest first, so that no core is left alone with it at the end.
        let mut order: Vec<usize> = (0..self.manifest.files.len()).collect();
        order.sort_by_key(|file| std::cmp::Reverse(self.manifest.files[*file].size));
        let written = Mutex::new(BTreeMap::new());
        let start = || Worker { inflater: Inflater::default(), packed: Vec::new(), plain: Vec::new() };
        // One thread more than cores: now and then each waits for the disk.
        Blocks::of(self, order.clone()).work_off(
            1,
            interrupt,
            |file| self.begin(file, &place, &written),
            start,
            |block, worker, failed| {
                self.extract_block(block, worker, &written, failed)?;
                progress.add(block.size / 2);
                Ok(())
            },
        )?;
        let written = written.into_inner().unwrap_or_else(PoisonError::into_inner);
        Blocks::of(self, order).work_off(
            0,
            interrupt,
            |file| self.reopened(file, &place),
            Vec::new,
            |block, buffer, _| {
                read_back(block, &written[&block.file], buffer)?;
                progress.add(block.size - block.size / 2);
                Ok(())
            },
        )
    }

    /// Creates a file.
    fn begin(
        &self,
        file: usize,
        place: impl Fn(&RelPath) -> Option<PathBuf>,
        written: &Checksums,
    ) -> Result<Arc<Target>> {
        let entry = &self.manifest.files[file];
        let Some(path) = place(&entry.path) else { bail!("the entry {} has no place in a home", entry.path) };
        if let Some(folder) = path.parent() {
            system::private_dir(folder)?;
        }
        let target = Target {
            file: system::private_file(&path)?,
            content: Mutex::new(Content {
                hash: Some(Sha256::new()),
                next: 0,
                waiting: BTreeMap::new(),
                checksums: Vec::new(),
                spare: Vec::new(),
            }),
            moved: Condvar::new(),
        };
        if entry.blocks.is_empty() {
            self.finish(file, &target.file, &Sha256::new(), &[], written)?;
        }
        Ok(Arc::new(target))
    }

    fn extract_block(
        &self,
        block: &Due<Arc<Target>>,
        worker: &mut Worker,
        written: &Checksums,
        failed: &AtomicBool,
    ) -> Result<()> {
        self.read_block(block, &mut worker.packed)?;
        worker.plain.resize(usize::try_from(block.size)?, 0);
        let inflated = worker.inflater.block(&worker.packed, &mut worker.plain);
        inflated.map_err(|error| self.wrong(block.file, format!("block {}: {error}", block.index)))?;
        let offset = block.index as u64 * Manifest::BLOCK;
        system::write_all_at(&block.target.file, &worker.plain, offset).map_err(WriteError)?;
        self.hash_in_order(block, std::mem::take(&mut worker.plain), written, failed)?;
        worker.plain = lock(&block.target.content).spare.pop().unwrap_or_default();
        if block.index % BLOCKS_AT_ONCE == BLOCKS_AT_ONCE - 1 {
            block.target.file.sync_data().map_err(WriteError)?;
        }
        Ok(())
    }

    /// Hashes a block as soon as all before it are hashed. A worker whose block comes too early goes
    /// on with the next one; the one whose turn it is hashes what waits.
    fn hash_in_order(
        &self,
        block: &Due<Arc<Target>>,
        plain: Vec<u8>,
        written: &Checksums,
        failed: &AtomicBool,
    ) -> Result<()> {
        let mut content = lock(&block.target.content);
        while content.next != block.index && content.waiting.len() >= MOST_WAITING {
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let waited = block.target.moved.wait_timeout(content, LOOK_AGAIN);
            (content, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        content.waiting.insert(block.index, plain);
        while let Some(mut hash) = content.hash.take() {
            let next = content.next;
            let Some(plain) = content.waiting.remove(&next) else {
                content.hash = Some(hash);
                break;
            };
            drop(content);
            hash.update(&plain);
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&plain);
            content = lock(&block.target.content);
            content.checksums.push(checksum);
            content.spare.push(plain);
            content.next += 1;
            if content.next == self.manifest.files[block.file].blocks.len() {
                let checksums = std::mem::take(&mut content.checksums);
                drop(content);
                return self.finish(block.file, &block.target.file, &hash, &checksums, written);
            }
            content.hash = Some(hash);
            block.target.moved.notify_all();
        }
        Ok(())
    }

    /// Checks what was written of a whole file, makes it durable, and remembers it for reading it back.
    fn finish(
        &self,
        file: usize,
        target: &fs::File,
        hash: &Sha256,
        checksums: &[crc32fast::Hasher],
        written: &Checksums,
    ) -> Result<()> {
        let entry = &self.manifest.files[file];
        let whole = checksums.iter().fold(crc32fast::Hasher::new(), |mut whole, part| {
            whole.combine(part);
            whole
        });
        if whole.finalize() != entry.crc32 {
            return Err(self.wrong(file, "its CRC-32 is not the one in the manifest"));
        }
        if Sha256Hex::from_bytes(&hash.clone().finalize()) != entry.sha256 {
            return Err(self.wrong(file, "its SHA-256 is not the one in the manifest"));
        }
        target.sync_all().map_err(WriteError)?;
        lock(written).insert(file, checksums.iter().map(|part| part.clone().finalize()).collect());
        Ok(())
    }

    /// Opens a file that was written, such that its content comes from the disk.
    fn reopened(&self, file: usize, place: impl Fn(&RelPath) -> Option<PathBuf>) -> Result<Arc<fs::File>> {
        let entry = &self.manifest.files[file];
        let Some(path) = place(&entry.path) else { bail!("the entry {} has no place in a home", entry.path) };
        let opened = fs::File::open(path)?;
        let size = opened.metadata()?.len();
        if size != entry.size {
            bail!("{} has {size} bytes and not {}: look at the disk", opened.path().display(), entry.size);
        }
        system::forget_cached(&opened);
        system::will_read_through(&opened);
        Ok(Arc::new(opened))
    }
}

/// The CRC-32 of every block of every file whose content was right when it was written.
type Checksums = Mutex<BTreeMap<usize, Vec<u32>>>;

struct Worker {
    inflater: Inflater,
    packed: Vec<u8>,
    plain: Vec<u8>,
}

/// A file that is being extracted.
struct Target {
    file: fs::File,
    content: Mutex<Content>,
    /// Another block was hashed.
    moved: Condvar,
}

/// What was written of a file so far, in order.
struct Content {
    /// Of all blocks before `next`; with one worker while it hashes.
    hash: Option<Sha256>,
    next: usize,
    waiting: BTreeMap<usize, Vec<u8>>,
    /// Of each block before `next`.
    checksums: Vec<crc32fast::Hasher>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_back(block: &Due<Arc<fs::File>>, written: &[u32], buffer: &mut Vec<u8>) -> Result<()> {
    buffer.resize(usize::try_from(block.size)?, 0);
    system::read_exact_at(&block.target, buffer, block.index as u64 * Manifest::BLOCK)?;
    if crc32fast::hash(buffer) != written[block.index] {
        bail!(
            "{} reads back differently from what was written: look at the disk",
            block.target.path().display()
        );
    }
    Ok(())
}
