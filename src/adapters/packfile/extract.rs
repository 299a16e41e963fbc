//! Puts the files of a pack in their places: inflated and written by all cores, made durable, and read
//! back from the disk and hashed while the cores go on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::blocks::{Blocks, Due};
use super::deflate::{Inflater, MARK};
use super::in_order::InOrder;
use super::read::Pack;
use crate::adapters::digest::{Sha256, WriteError};
use crate::adapters::direct::{DirectBuffer, DirectFile};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system::{self, DIRECT_UNIT};
use crate::domain::manifest::{Entry, Manifest, RelPath};
use crate::ui::Progress;

/// So many blocks of a file are sent to the disk and read back at a time.
const WINDOW: usize = 32;

impl Pack {
    /// Extracts every file to the place that `place` names for it, makes it durable, and reads it
    /// back from the disk, where it has to be what the manifest says.
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
        // More threads than cores: each waits for the disk every now and then.
        Blocks::of(self, order).work_off(
            3,
            interrupt,
            |file| self.begin(file, &place),
            Worker::default,
            |block, worker| {
                let whole = self.extract_block(block, worker)?;
                progress.add(block.size / 2);
                let settled = whole.map(|window| self.settle(block, window)).transpose()?;
                // Two come back for one that is written, so that none is left behind.
                let most = if settled == Some(true) { usize::MAX } else { 2 };
                self.come_back(block, most, &mut worker.plain, progress, interrupt)
            },
        )
    }

    /// Creates a file.
    fn begin(&self, file: usize, place: impl Fn(&RelPath) -> Option<PathBuf>) -> Result<Arc<Target>> {
        let entry = &self.manifest.files[file];
        let path = place(&entry.path);
        let path = path.with_context(|| format!("the entry {} has no place in a home", entry.path))?;
        if let Some(folder) = path.parent() {
            system::private_dir(folder)?;
        }
        let target = Target::at(&path, entry.size)?;
        if entry.blocks.is_empty() {
            target.file.sync_all().map_err(WriteError)?;
            self.judge(file, &target, Sha256::default())?;
        }
        Ok(Arc::new(target))
    }

    /// Writes a block, and returns the window that is whole with it.
    fn extract_block(&self, block: &Due<Arc<Target>>, worker: &mut Worker) -> Result<Option<usize>> {
        self.read_block(block, &mut worker.packed)?;
        let out = worker.plain.of(usize::try_from(block.size)? + MARK);
        let inflated = worker.inflater.block(&mut worker.packed, out);
        let plain =
            inflated.map_err(|error| self.wrong(block.file, format!("block {}: {error}", block.index)))?;
        block.target.write(plain, block.index).map_err(WriteError)?;
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(plain);
        let mut written = lock(&block.target.written);
        written.insert(block.index, checksum);
        let window = block.index / WINDOW;
        let blocks = blocks_of(&self.manifest.files[block.file], window);
        Ok((written.range(blocks.clone()).count() == blocks.len()).then_some(window))
    }

    /// Makes a window durable, and says whether nothing of the file is left to be written.
    fn settle(&self, block: &Due<Arc<Target>>, window: usize) -> Result<bool> {
        let (target, entry) = (&block.target, &self.manifest.files[block.file]);
        let is_whole = || lock(&target.written).len() == entry.blocks.len();
        // With the last window of all, the file's size and mode as well.
        let synced = if is_whole() { target.file.sync_all() } else { target.file.sync_data() };
        synced.map_err(WriteError)?;
        let blocks = blocks_of(entry, window);
        system::forget_cached_part(
            &target.file,
            bytes_of(entry, blocks.start).start..bytes_of(entry, blocks.end - 1).end,
        );
        lock(&target.turns).durable.insert(window);
        // Another worker may have written the last one meanwhile.
        Ok(is_whole())
    }

    /// Reads back what is due of the file, `most` blocks of it: by all workers, and hashed in order.
    fn come_back(
        &self,
        block: &Due<Arc<Target>>,
        most: usize,
        buffer: &mut DirectBuffer,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let (target, entry) = (&block.target, &self.manifest.files[block.file]);
        for _ in 0..most {
            let Some(index) = lock(&target.turns).take(entry.blocks.len()) else { break };
            let turn = target.hashed.turn(index);
            interrupt.check()?;
            let bytes = bytes_of(entry, index);
            let size = bytes.end - bytes.start;
            let read = target.disk.read(bytes, buffer);
            let path = target.file.path().display();
            let read = read.with_context(|| format!("cannot read {path} back"))?;
            let written = lock(&target.written).get(&index).cloned().unwrap_or_default();
            if crc32fast::hash(read) != written.finalize() {
                bail!("{path} reads back differently from what was written: look at the disk");
            }
            progress.add(size.div_ceil(2));
            let hash = turn.hash(read);
            if index + 1 == entry.blocks.len()
                && let Some(hash) = hash
            {
                self.judge(block.file, target, hash)?;
            }
        }
        Ok(())
    }

    /// Compares a whole file, as it was written and came back, with the manifest.
    fn judge(&self, file: usize, target: &Target, hash: Sha256) -> Result<()> {
        let entry = &self.manifest.files[file];
        let written = lock(&target.written).values().fold(crc32fast::Hasher::new(), |mut whole, part| {
            whole.combine(part);
            whole
        });
        if written.finalize() != entry.crc32 {
            return Err(self.wrong(file, "its CRC-32 is not the one in the manifest"));
        }
        if hash.finish() != entry.sha256 {
            return Err(self.wrong(file, "its SHA-256 is not the one in the manifest"));
        }
        Ok(())
    }
}

/// The blocks of a window.
fn blocks_of(entry: &Entry, window: usize) -> Range<usize> {
    window * WINDOW..((window + 1) * WINDOW).min(entry.blocks.len())
}

/// The bytes of a block.
fn bytes_of(entry: &Entry, index: usize) -> Range<u64> {
    let start = index as u64 * Manifest::BLOCK;
    start..start + entry.block_size(index)
}

/// A file that is being extracted.
struct Target {
    file: fs::File,
    /// The same, past the cache.
    disk: DirectFile,
    /// The CRC-32 of each block that was written.
    written: Mutex<BTreeMap<usize, crc32fast::Hasher>>,
    turns: Mutex<Turns>,
    hashed: InOrder,
}

impl Target {
    fn at(path: &Path, size: u64) -> Result<Self> {
        let file = system::private_file(path)?;
        system::allocate(&file, size).map_err(WriteError)?;
        let disk = DirectFile::open_to_write(path)?;
        Ok(Self {
            file,
            disk,
            written: Mutex::default(),
            turns: Mutex::default(),
            hashed: InOrder::default(),
        })
    }

    fn write(&self, plain: &[u8], index: usize) -> std::io::Result<()> {
        let at = index as u64 * Manifest::BLOCK;
        // The end of a file is seldom a whole unit of the disk.
        if plain.len().is_multiple_of(DIRECT_UNIT) {
            self.disk.write(plain, at)
        } else {
            system::write_all_at(&self.file, plain, at)
        }
    }
}

/// Which block is read back next.
#[derive(Default)]
struct Turns {
    /// The windows that are on the disk.
    durable: BTreeSet<usize>,
    next: usize,
}

impl Turns {
    /// The next block of so many, if it can be read.
    fn take(&mut self, blocks: usize) -> Option<usize> {
        let index = self.next;
        let is_due = index < blocks && self.durable.contains(&(index / WINDOW));
        is_due.then(|| {
            self.next += 1;
            index
        })
    }
}

#[derive(Default)]
struct Worker {
    inflater: Inflater,
    packed: Vec<u8>,
    plain: DirectBuffer,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_in_their_order_once_their_window_is_durable() {
        let mut turns = Turns::default();
        turns.durable.insert(1);
        assert!(turns.take(WINDOW + 1).is_none(), "the first window is not durable");
        turns.durable.insert(0);
        let taken: Vec<usize> = std::iter::from_fn(|| turns.take(WINDOW + 1)).collect();
        assert_eq!(taken, (0..=WINDOW).collect::<Vec<_>>());
    }
}
