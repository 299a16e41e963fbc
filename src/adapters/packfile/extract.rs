//! Puts the files of a pack in their places: inflated and written by all cores, and made durable; then
//! read back from the disk and hashed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::blocks::{Blocks, Due};
use super::deflate::Inflater;
use super::read::Pack;
use super::workers;
use crate::adapters::digest::{WriteError, pump};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::domain::manifest::{Manifest, RelPath};
use crate::ui::Progress;

/// After how many blocks of a file its data are sent to the disk, while the cores go on.
const BLOCKS_AT_ONCE: usize = 64;

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
        Blocks::of(self, order.clone()).work_off(
            1,
            interrupt,
            |file| self.begin(file, &place),
            Worker::default,
            |block, worker| {
                self.extract_block(block, worker)?;
                progress.add(block.size / 2);
                Ok(())
            },
        )?;
        let order = Mutex::new(order.into_iter());
        workers::run(workers::MOST_UNPACKING, 0, |_| {
            loop {
                let Some(file) = lock(&order).next() else { return Ok(()) };
                // After an error nothing is left to do for the other workers.
                let nothing = |_: &_| *lock(&order) = Vec::new().into_iter();
                self.read_back(file, &place, progress, interrupt).inspect_err(nothing)?;
            }
        })
    }

    /// Creates a file.
    fn begin(&self, file: usize, place: impl Fn(&RelPath) -> Option<PathBuf>) -> Result<Arc<Target>> {
        let path = self.place_of(file, place)?;
        if let Some(folder) = path.parent() {
            system::private_dir(folder)?;
        }
        let target = Target { file: system::private_file(&path)?, written: Mutex::default() };
        if self.manifest.files[file].blocks.is_empty() {
            self.finish(file, &target.file, &BTreeMap::new())?;
        }
        Ok(Arc::new(target))
    }

    fn place_of(&self, file: usize, place: impl Fn(&RelPath) -> Option<PathBuf>) -> Result<PathBuf> {
        let path = &self.manifest.files[file].path;
        place(path).with_context(|| format!("the entry {path} has no place in a home"))
    }

    fn extract_block(&self, block: &Due<Arc<Target>>, worker: &mut Worker) -> Result<()> {
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
        if written.len() == self.manifest.files[block.file].blocks.len() {
            return self.finish(block.file, &block.target.file, &written);
        }
        drop(written);
        if block.index % BLOCKS_AT_ONCE == BLOCKS_AT_ONCE - 1 {
            block.target.file.sync_data().map_err(WriteError)?;
        }
        Ok(())
    }

    /// Checks what was written of a whole file, and makes it durable.
    fn finish(&self, file: usize, target: &fs::File, written: &Written) -> Result<()> {
        let whole = written.values().fold(crc32fast::Hasher::new(), |mut whole, part| {
            whole.combine(part);
            whole
        });
        if whole.finalize() != self.manifest.files[file].crc32 {
            return Err(self.wrong(file, "its CRC-32 is not the one in the manifest"));
        }
        target.sync_all().map_err(|error| WriteError(error).into())
    }

    /// Reads a file that is durable from the disk, and compares it with the manifest.
    fn read_back(
        &self,
        file: usize,
        place: impl Fn(&RelPath) -> Option<PathBuf>,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let entry = &self.manifest.files[file];
        let mut opened = fs::File::open(self.place_of(file, place)?)?;
        system::forget_cached(&opened);
        system::will_read_through(&opened);
        let mut back = Back { checksum: crc32fast::Hasher::new(), progress };
        let (size, sha256) = pump(&mut opened, &mut back, u64::MAX, &Progress::none(), interrupt)?;
        if size != entry.size || back.checksum.finalize() != entry.crc32 {
            bail!(
                "{} reads back differently from what was written: look at the disk",
                opened.path().display()
            );
        }
        if sha256 != entry.sha256 {
            return Err(self.wrong(file, "its SHA-256 is not the one in the manifest"));
        }
        Ok(())
    }
}

/// A file that is being extracted.
struct Target {
    file: fs::File,
    written: Mutex<Written>,
}

/// The CRC-32 of each block that was written.
type Written = BTreeMap<usize, crc32fast::Hasher>;

#[derive(Default)]
struct Worker {
    inflater: Inflater,
    packed: Vec<u8>,
    plain: Vec<u8>,
}

/// What is read back: the second half of the work on a file.
struct Back<'a> {
    checksum: crc32fast::Hasher,
    progress: &'a Progress,
}

impl Write for Back<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.checksum.update(bytes);
        self.progress.add(bytes.len().div_ceil(2) as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
