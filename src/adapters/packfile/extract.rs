//! Puts the files of a pack in their places: whichever worker is free inflates the next block, writes it,
//! and reads it back from the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::blocks::{Blocks, Due};
use super::deflate::{Inflater, MARK, ROOM};
use super::read::Pack;
use crate::adapters::digest::WriteError;
use crate::adapters::direct::{DirectBuffer, DirectFile};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system::{self, DIRECT_UNIT};
use crate::adapters::tree_hash::{self, Part};
use crate::domain::manifest::{Block, Manifest, RelPath};
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
            3,
            interrupt,
            |file| self.begin(file, &place, &judged),
            Worker::start,
            |block, worker| {
                if self.extract_block(block, worker)? {
                    judged.fetch_add(1, Ordering::Relaxed);
                }
                progress.add(block.size);
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
            self.judge(file, std::iter::empty())?;
            judged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Arc::new(target))
    }

    /// Writes a block and reads it back, and returns whether the whole file is what it should be with it.
    fn extract_block(&self, block: &Due<Arc<Target>>, worker: &mut Worker) -> Result<bool> {
        let (target, entry) = (&block.target, &self.manifest.files[block.file]);
        let packed = self.read_block(block, &mut worker.packed)?;
        let out = worker.plain.of(usize::try_from(block.size)? + MARK)?;
        let inflated = worker.inflater.block(packed, out);
        let plain =
            inflated.map_err(|error| self.wrong(block.file, format!("block {}: {error}", block.index)))?;
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(plain);
        target.write(plain, block.index, entry.blocks.len()).map_err(WriteError)?;

        let start = block.index as u64 * Manifest::BLOCK;
        let bytes = start..start + block.size;
        system::forget_cached_part(&target.file, bytes.clone());
        let path = target.file.path().display();
        let read = target.disk.read(bytes, &mut worker.plain);
        let read = read.with_context(|| format!("cannot read {path} back"))?;
        if crc32fast::hash(read) != checksum.clone().finalize() {
            bail!("{path} reads back differently from what was written: look at the disk");
        }
        let part = Part::of(read, block.index, entry.blocks.len());
        let mut parts = lock(&target.parts);
        parts.insert(block.index, (checksum, part));
        let is_whole = parts.len() == entry.blocks.len();
        if is_whole {
            self.judge(block.file, parts.values())?;
        }
        Ok(is_whole)
    }

    /// Compares a whole file, as it was written and came back, with the manifest.
    fn judge<'a>(
        &self,
        file: usize,
        parts: impl Iterator<Item = &'a (crc32fast::Hasher, Part)>,
    ) -> Result<()> {
        let entry = &self.manifest.files[file];
        let mut checksum = crc32fast::Hasher::new();
        let parts: Vec<Part> = parts
            .map(|(of_part, part)| {
                checksum.combine(of_part);
                *part
            })
            .collect();
        if checksum.finalize() != entry.crc32 {
            return Err(self.wrong(file, "its CRC-32 is not the one in the manifest"));
        }
        if tree_hash::whole(&parts) != entry.blake3 {
            return Err(self.wrong(file, "its BLAKE3 is not the one in the manifest"));
        }
        Ok(())
    }
}

/// A file that is being extracted.
struct Target {
    file: fs::File,
    /// The same, past the cache.
    disk: DirectFile,
    /// How many blocks were written.
    written: AtomicUsize,
    /// Of each block that came back.
    parts: Mutex<BTreeMap<usize, (crc32fast::Hasher, Part)>>,
}

impl Target {
    fn at(path: &Path, size: u64) -> Result<Self> {
        let file = system::private_file(path)?;
        system::allocate(&file, size).map_err(WriteError)?;
        let disk = DirectFile::open_to_write(path)?;
        Ok(Self { file, disk, written: AtomicUsize::new(0), parts: Mutex::default() })
    }

    /// Writes one of so many blocks to the disk; with the last one the whole file is durable.
    fn write(&self, plain: &[u8], index: usize, blocks: usize) -> std::io::Result<()> {
        let at = index as u64 * Manifest::BLOCK;
        // The end of a file is seldom a whole unit of the disk.
        let passes_the_cache = plain.len().is_multiple_of(DIRECT_UNIT);
        if passes_the_cache {
            self.disk.write(plain, at)?;
        } else {
            system::write_all_at(&self.file, plain, at)?;
        }
        if self.written.fetch_add(1, Ordering::AcqRel) + 1 == blocks {
            self.file.sync_all()
        } else if passes_the_cache && self.disk.is_direct()? {
            Ok(())
        } else {
            self.file.sync_data()
        }
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
