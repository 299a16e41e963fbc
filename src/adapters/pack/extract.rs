//! Extracts the files of a pack.
//!
//! Each free worker inflates the next block, writes it, and reads it back from the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::blocks::Blocks;
use super::read::{DueBlock, Pack};
use super::unpack::{Parts, Sums, Unpacker};
use crate::adapters::bytes::direct::DirectFile;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system::{self, DIRECT_UNIT};
use crate::domain::manifest::{Manifest, RelPath};
use crate::failure::Failure;
use crate::ui::Progress;

impl Pack {
    /// Extracts every file to the path that `place` returns for it, and makes it durable.
    ///
    /// Then it reads the file back from the disk and compares it with the manifest.
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
            Unpacker::start,
            |block, unpacker| {
                if self.extract_block(block, unpacker)? {
                    judged.fetch_add(1, Ordering::Relaxed);
                }
                progress.add(block.size);
                Ok(())
            },
        )?;
        let (judged, files) = (judged.into_inner(), self.manifest.files.len());
        if judged != files {
            bail!("only {judged} of {files} files were read back");
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
        let path = path.with_context(|| format!("the entry {} does not belong in a home", entry.path))?;
        if let Some(folder) = path.parent() {
            system::private_dir(folder)?;
        }
        let target = Target::at(&path, entry.size)?;
        if entry.blocks.is_empty() {
            target.file.sync_all().map_err(|error| cannot_write(&path, error))?;
            self.judge(file, &Sums::of_nothing())?;
            judged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Arc::new(target))
    }

    /// Writes a block and reads it back. Returns whether the file is now complete and correct.
    fn extract_block(&self, block: &DueBlock<Arc<Target>>, unpacker: &mut Unpacker) -> Result<bool> {
        let (target, entry) = (&block.target, &self.manifest.files[block.file]);
        let plain = self.inflate(block, unpacker)?;
        let checksum = crc32fast::hash(plain);
        let path = target.file.path();
        target.write(plain, block.index, entry.blocks.len()).map_err(|error| cannot_write(path, error))?;

        let start = block.index as u64 * Manifest::BLOCK;
        let bytes = start..start + block.size;
        system::forget_cached_part(&target.file, bytes.clone());
        let path = path.display();
        let read = target.disk.read(bytes, &mut unpacker.plain);
        let read = read.with_context(|| format!("cannot read {path} back"))?;
        if crc32fast::hash(read) != checksum {
            bail!("{path} reads back differently from what was written: check the disk");
        }
        let Some(sums) = target.parts.add(block.index, checksum, read, entry.blocks.len()) else {
            return Ok(false);
        };
        self.judge(block.file, &sums)?;
        Ok(true)
    }
}

fn cannot_write(path: &Path, error: std::io::Error) -> anyhow::Error {
    let is_full = error.kind() == std::io::ErrorKind::StorageFull;
    let error = anyhow::Error::from(error).context(format!("cannot write {}", path.display()));
    if is_full {
        Failure::from_error(error).hint("Free space on its filesystem, then try again.").into()
    } else {
        error
    }
}

/// A file that is being extracted.
struct Target {
    file: fs::File,
    /// The same, past the cache.
    disk: DirectFile,
    /// How many blocks were written.
    written: AtomicUsize,
    /// What came back.
    parts: Parts,
}

impl Target {
    fn at(path: &Path, size: u64) -> Result<Self> {
        let file = system::private_file(path)?;
        system::allocate(&file, size).map_err(|error| cannot_write(path, error))?;
        let disk = DirectFile::open_to_write(path)?;
        Ok(Self { file, disk, written: AtomicUsize::new(0), parts: Parts::default() })
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
