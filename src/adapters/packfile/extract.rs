//! Puts the files of a pack in their places: inflated and written by all cores, made durable, and read
//! back from the disk and hashed while the cores go on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow};
use fs_err as fs;

use super::blocks::{Blocks, Due};
use super::deflate::Inflater;
use super::read::Pack;
use crate::adapters::digest::{Sha256, WriteError};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::domain::manifest::{Entry, Manifest, RelPath};
use crate::ui::Progress;

/// So many blocks of a file are sent to the disk and read back at a time.
const WINDOW: usize = 64;

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
        // One thread more than cores: now and then each waits for the disk.
        Blocks::of(self, order).work_off(
            1,
            interrupt,
            |file| self.begin(file, &place),
            Worker::default,
            |block, worker| {
                let whole = self.extract_block(block, worker)?;
                progress.add(block.size / 2);
                let Some(window) = whole else { return Ok(()) };
                self.settle(block, window, &mut worker.plain, progress, interrupt)
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
        let target = Target::of(system::private_file(&path)?);
        if entry.blocks.is_empty() {
            target.file.sync_all().map_err(WriteError)?;
            self.judge(file, &Back::default(), &target)?;
        }
        Ok(Arc::new(target))
    }

    /// Writes a block, and returns the window that is whole with it.
    fn extract_block(&self, block: &Due<Arc<Target>>, worker: &mut Worker) -> Result<Option<usize>> {
        self.read_block(block, &mut worker.packed)?;
        worker.plain.resize(usize::try_from(block.size)?, 0);
        let inflated = worker.inflater.block(&worker.packed, &mut worker.plain);
        inflated.map_err(|error| self.wrong(block.file, format!("block {}: {error}", block.index)))?;
        let offset = block.index as u64 * Manifest::BLOCK;
        system::write_all_at(&block.target.file, &worker.plain, offset).map_err(WriteError)?;
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&worker.plain);
        let mut written = lock(&block.target.written);
        written.insert(block.index, checksum);
        let window = block.index / WINDOW;
        let blocks = blocks_of(&self.manifest.files[block.file], window);
        Ok((written.range(blocks.clone()).count() == blocks.len()).then_some(window))
    }

    /// Makes a window durable, and reads back what is due of the file: hashed in its order, by one
    /// worker at a time.
    fn settle(
        &self,
        block: &Due<Arc<Target>>,
        window: usize,
        buffer: &mut Vec<u8>,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let (target, entry) = (&block.target, &self.manifest.files[block.file]);
        let is_whole = lock(&target.written).len() == entry.blocks.len();
        // With the last window of all, the file's size and mode as well.
        let synced = if is_whole { target.file.sync_all() } else { target.file.sync_data() };
        synced.map_err(WriteError)?;
        lock(&target.turns).durable.insert(window);
        loop {
            let turn = lock(&target.turns).take();
            let Some((window, mut back)) = turn else { return Ok(()) };
            let bytes = bytes_of(entry, window);
            system::forget_cached_part(&target.file, bytes.clone());
            back.read(&target.file, bytes, buffer, progress, interrupt)?;
            if blocks_of(entry, window).end == entry.blocks.len() {
                return self.judge(block.file, &back, target);
            }
            lock(&target.turns).back = Some(back);
        }
    }

    /// Compares what was written of a whole file, and what came back from the disk, with the manifest.
    fn judge(&self, file: usize, back: &Back, target: &Target) -> Result<()> {
        let entry = &self.manifest.files[file];
        let written = lock(&target.written).values().fold(crc32fast::Hasher::new(), |mut whole, part| {
            whole.combine(part);
            whole
        });
        if written.finalize() != entry.crc32 {
            return Err(self.wrong(file, "its CRC-32 is not the one in the manifest"));
        }
        if back.checksum.clone().finalize() != entry.crc32 {
            return Err(reads_back_differently(&target.file));
        }
        if back.hash.clone().finish() != entry.sha256 {
            return Err(self.wrong(file, "its SHA-256 is not the one in the manifest"));
        }
        Ok(())
    }
}

/// The blocks of a window.
fn blocks_of(entry: &Entry, window: usize) -> Range<usize> {
    window * WINDOW..((window + 1) * WINDOW).min(entry.blocks.len())
}

/// The bytes of a window.
fn bytes_of(entry: &Entry, window: usize) -> Range<u64> {
    let blocks = blocks_of(entry, window);
    blocks.start as u64 * Manifest::BLOCK..(blocks.end as u64 * Manifest::BLOCK).min(entry.size)
}

fn reads_back_differently(file: &fs::File) -> anyhow::Error {
    anyhow!("{} reads back differently from what was written: look at the disk", file.path().display())
}

/// A file that is being extracted.
struct Target {
    file: fs::File,
    /// The CRC-32 of each block that was written.
    written: Mutex<BTreeMap<usize, crc32fast::Hasher>>,
    turns: Mutex<Turns>,
}

impl Target {
    fn of(file: fs::File) -> Self {
        Self { file, written: Mutex::default(), turns: Mutex::default() }
    }
}

/// Whose turn it is to be read back.
struct Turns {
    /// The windows that are on the disk and were not read yet.
    durable: BTreeSet<usize>,
    /// The one that is read next.
    next: usize,
    /// What was read before it; none while a worker reads.
    back: Option<Back>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { durable: BTreeSet::new(), next: 0, back: Some(Back::default()) }
    }
}

impl Turns {
    /// The next window, if it can be read.
    fn take(&mut self) -> Option<(usize, Back)> {
        let window = self.next;
        if self.back.is_none() || !self.durable.remove(&window) {
            return None;
        }
        self.next += 1;
        Some((window, self.back.take()?))
    }
}

/// What came back of a file from the disk.
#[derive(Default)]
struct Back {
    hash: Sha256,
    checksum: crc32fast::Hasher,
}

impl Back {
    fn read(
        &mut self,
        file: &fs::File,
        bytes: Range<u64>,
        buffer: &mut Vec<u8>,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let mut at = bytes.start;
        while at < bytes.end {
            interrupt.check()?;
            let length = (bytes.end - at).min(Manifest::BLOCK);
            buffer.resize(usize::try_from(length)?, 0);
            system::read_exact_at(file, buffer, at)
                .with_context(|| format!("cannot read {} back", file.path().display()))?;
            self.hash.update(buffer);
            self.checksum.update(buffer);
            progress.add(length.div_ceil(2));
            at += length;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Worker {
    inflater: Inflater,
    packed: Vec<u8>,
    plain: Vec<u8>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_back_in_their_order_by_one_worker_at_a_time() {
        let mut turns = Turns::default();
        turns.durable.insert(1);
        assert!(turns.take().is_none(), "the first is not durable");
        turns.durable.insert(0);
        let (window, back) = turns.take().expect("the first");
        assert_eq!(window, 0);
        assert!(turns.take().is_none(), "somebody reads");
        turns.back = Some(back);
        let (window, back) = turns.take().expect("the second");
        assert_eq!(window, 1);
        turns.back = Some(back);
        assert!(turns.take().is_none(), "the third is not durable");
    }
}
