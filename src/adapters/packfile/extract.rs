//! Puts the files of a pack in their places: each block is inflated and written by any of the workers,
//! read back from the disk by any of them, and hashed in its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::blocks::{Blocks, Due};
use super::deflate::{Inflater, MARK, ROOM};
use super::in_order::InOrder;
use super::read::Pack;
use crate::adapters::digest::{Sha256, WriteError};
use crate::adapters::direct::{DirectBuffer, DirectFile};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system::{self, DIRECT_UNIT};
use crate::domain::manifest::{Block, Entry, Manifest, RelPath};
use crate::ui::Progress;

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
        let judged = AtomicUsize::new(0);
        // The largest first, so that no core is left alone with it at the end.
        let mut order: Vec<usize> = (0..self.manifest.files.len()).collect();
        order.sort_by_key(|file| std::cmp::Reverse(self.manifest.files[*file].size));
        // More threads than cores: each waits for the disk every now and then.
        Blocks::of(self, order).work_off(
            4,
            interrupt,
            |file| self.begin(file, &place, &judged),
            Worker::start,
            |block, worker| {
                let is_whole = self.extract_block(block, worker)?;
                progress.add(block.size / 2);
                // Two come back for one that is written, so that none is left behind.
                let most = if is_whole { usize::MAX } else { 2 };
                if self.come_back(block, most, &mut worker.plain, progress, interrupt)? {
                    judged.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            },
        )?;
        let (judged, files) = (judged.into_inner(), self.manifest.files.len());
        if judged != files {
            bail!("{judged} of {files} files were read back");
        }
        Ok(())
    }

    /// Creates a file.
    fn begin(
        &self,
        file: usize,
        place: impl Fn(&RelPath) -> Option<PathBuf>,
        judged: &AtomicUsize,
    ) -> Result<Arc<Target>> {
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
            judged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Arc::new(target))
    }

    /// Writes a block to the disk, and returns whether with it all of the file can be read back.
    fn extract_block(&self, block: &Due<Arc<Target>>, worker: &mut Worker) -> Result<bool> {
        let packed = self.read_block(block, &mut worker.packed)?;
        let out = worker.plain.of(usize::try_from(block.size)? + MARK)?;
        let inflated = worker.inflater.block(packed, out);
        let plain =
            inflated.map_err(|error| self.wrong(block.file, format!("block {}: {error}", block.index)))?;
        let (target, entry) = (&block.target, &self.manifest.files[block.file]);
        let is_on_disk = target.write(plain, block.index).map_err(WriteError)?;
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(plain);
        let is_last = {
            let mut written = lock(&target.written);
            written.insert(block.index, checksum);
            written.len() == entry.blocks.len()
        };
        if is_last {
            // The file's size and mode as well.
            target.file.sync_all().map_err(WriteError)?;
        } else if !is_on_disk {
            target.file.sync_data().map_err(WriteError)?;
        }
        system::forget_cached_part(&target.file, bytes_of(entry, block.index));
        // Another worker may be the last to come here.
        Ok(lock(&target.turns).add(block.index) == entry.blocks.len())
    }

    /// Reads back what is due of the file, `most` blocks of it, and returns whether the file ended with
    /// them, and is what it should be.
    fn come_back(
        &self,
        block: &Due<Arc<Target>>,
        most: usize,
        buffer: &mut DirectBuffer,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<bool> {
        let (target, entry) = (&block.target, &self.manifest.files[block.file]);
        for _ in 0..most {
            let Some(index) = lock(&target.turns).take() else { break };
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
                return Ok(true);
            }
        }
        Ok(false)
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

    /// Writes a block, and returns whether it went past the cache.
    fn write(&self, plain: &[u8], index: usize) -> std::io::Result<bool> {
        let at = index as u64 * Manifest::BLOCK;
        // The end of a file is seldom a whole unit of the disk.
        if plain.len().is_multiple_of(DIRECT_UNIT) {
            self.disk.write(plain, at)?;
            self.disk.is_direct()
        } else {
            system::write_all_at(&self.file, plain, at)?;
            Ok(false)
        }
    }
}

/// Which block is read back next.
#[derive(Default)]
struct Turns {
    /// The blocks that are on the disk and were not taken yet.
    waiting: BTreeSet<usize>,
    next: usize,
}

impl Turns {
    /// Adds a block that is on the disk, and returns how many have come.
    fn add(&mut self, index: usize) -> usize {
        self.waiting.insert(index);
        self.next + self.waiting.len()
    }

    /// The next block, if it can be read.
    fn take(&mut self) -> Option<usize> {
        let index = self.next;
        self.waiting.remove(&index).then(|| {
            self.next += 1;
            index
        })
    }
}

struct Worker {
    inflater: Inflater,
    packed: DirectBuffer,
    plain: DirectBuffer,
}

impl Worker {
    fn start() -> Result<Self> {
        let room =
            |bytes: u64, more| anyhow::Ok(DirectBuffer::with_room_for(usize::try_from(bytes)? + more)?);
        Ok(Self {
            inflater: Inflater::default(),
            packed: room(Block::MOST_PACKED, ROOM)?,
            plain: room(Manifest::BLOCK, MARK)?,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_in_their_order_once_they_are_written() {
        let mut turns = Turns::default();
        assert_eq!((turns.add(1), turns.add(3)), (1, 2));
        assert!(turns.take().is_none(), "the first is not written");
        assert_eq!(turns.add(0), 3);
        assert_eq!(std::iter::from_fn(|| turns.take()).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(turns.add(2), 4, "those that were taken count");
        assert_eq!(std::iter::from_fn(|| turns.take()).collect::<Vec<_>>(), [2, 3]);
    }
}
