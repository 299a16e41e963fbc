//! The floor under packing and installing: the same reads, writes and reads back with no work between
//! them, and the work by itself. `scripts/bench` puts pmp-ha beside it.
//!
//! `floor install PACK BYTES FOLDER` reads PACK, writes BYTES into a file in FOLDER and reads them back.
//! `floor pack DATA PACKED FOLDER` reads every file below DATA, writes PACKED bytes and reads them back;
//! then it deflates and hashes the data in memory. Both print seconds as JSON.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use pmp_ha::adapters::bytes::digest::{Sha256, blake3_of};
use pmp_ha::adapters::bytes::direct::{DirectBuffer, DirectFile};
use pmp_ha::adapters::bytes::tree_hash::Part;
use pmp_ha::adapters::pack::{Deflater, Effort};
use pmp_ha::adapters::system;
use pmp_ha::domain::manifest::Manifest;

/// The block that packs are made of, in bytes.
const BLOCK: u64 = Manifest::BLOCK;

/// What the disk writes whole, in bytes.
const UNIT: u64 = system::DIRECT_UNIT as u64;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["install", pack, bytes, folder] => {
            let seconds = install(Path::new(pack), bytes.parse()?, Path::new(folder))?;
            say(&serde_json::json!({ "disk_seconds": seconds }))
        }
        ["pack", data, packed, folder] => {
            let files = files_below(Path::new(data))?;
            let disk = pack(&files, packed.parse()?, Path::new(folder))?;
            say(&serde_json::json!({ "disk_seconds": disk, "cores_seconds": deflate_and_hash(&files)? }))
        }
        // `cargo bench` runs every bench without arguments.
        [] => Ok(()),
        _ => bail!("usage: floor install PACK BYTES FOLDER | floor pack DATA PACKED FOLDER"),
    }
}

fn say(figures: &serde_json::Value) -> Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{figures}")?)
}

/// Runs `work` for each number below `count`, in `more` threads than there are cores.
fn in_threads(more: usize, count: u64, work: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) + more;
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let one = || -> Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                work(number)?;
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a thread panicked")))
    })
}

/// The part of `total` that belongs to one of `count` numbers, as a beginning and an end.
fn share(total: u64, number: u64, count: u64) -> (u64, u64) {
    (total * number / count, total * (number + 1) / count)
}

thread_local! {
    static BUFFERS: std::cell::RefCell<(DirectBuffer, DirectBuffer)> = std::cell::RefCell::default();
}

/// A file for as much as is written, removed when it is dropped.
struct Scratch {
    path: PathBuf,
    file: fs::File,
    disk: DirectFile,
}

impl Scratch {
    fn of(folder: &Path, bytes: u64) -> Result<Self> {
        let path = folder.join("pmp-ha-floor");
        let file = system::private_file(&path)?;
        system::allocate(&file, bytes)?;
        let disk = DirectFile::open_to_write(&path)?;
        Ok(Self { path, file, disk })
    }

    /// Writes so many whole units of whatever a buffer holds, and reads them back.
    fn write_and_read_back(&self, at: u64, bytes: u64, buffer: &mut DirectBuffer) -> Result<()> {
        let length = usize::try_from(bytes)?;
        self.disk.write(buffer.of(length)?, at)?;
        let read = self.disk.read(at..at + bytes, buffer)?.len();
        if read != length {
            bail!("{read} bytes came back and not {length}");
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // ignored: the bench removes the whole folder
        let _ = fs::remove_file(&self.path);
    }
}

fn install(pack: &Path, bytes: u64, folder: &Path) -> Result<f64> {
    let source = DirectFile::open(pack)?;
    let size = source.file().metadata()?.len();
    let count = bytes.div_ceil(BLOCK).max(1);
    let begun = Instant::now();
    let scratch = Scratch::of(folder, count * BLOCK)?;
    in_threads(3, count, |number| {
        BUFFERS.with_borrow_mut(|(packed, plain)| {
            let (start, end) = share(size, number, count);
            source.read(start..end, packed)?;
            scratch.write_and_read_back(number * BLOCK, BLOCK, plain)
        })
    })?;
    scratch.file.sync_all()?;
    Ok(begun.elapsed().as_secs_f64())
}

fn pack(files: &[(PathBuf, u64)], packed: u64, folder: &Path) -> Result<f64> {
    let blocks: Vec<(usize, u64)> = files
        .iter()
        .enumerate()
        .flat_map(|(file, (_, size))| (0..size.div_ceil(BLOCK)).map(move |index| (file, index * BLOCK)))
        .collect();
    let count = blocks.len() as u64;
    let opened = files.iter().map(|(path, _)| DirectFile::open(path)).collect::<std::io::Result<Vec<_>>>()?;
    let begun = Instant::now();
    let scratch = Scratch::of(folder, packed.next_multiple_of(UNIT) + UNIT)?;
    in_threads(4, count, |number| {
        BUFFERS.with_borrow_mut(|(plain, out)| {
            let (file, at) = blocks[usize::try_from(number)?];
            opened[file].read(at..at + BLOCK, plain)?;
            let (start, end) = share(packed / UNIT, number, count);
            if end > start {
                scratch.write_and_read_back(start * UNIT, (end - start) * UNIT, out)
            } else {
                Ok(())
            }
        })
    })?;
    scratch.file.sync_all()?;
    Ok(begun.elapsed().as_secs_f64())
}

/// The work of packing on data that are in memory already: deflate, and every hash.
fn deflate_and_hash(files: &[(PathBuf, u64)]) -> Result<f64> {
    let mut blocks = Vec::new();
    for (path, size) in files {
        let content = fs::read(path)?;
        let parts = usize::try_from(size.div_ceil(BLOCK))?;
        blocks.extend(
            content
                .chunks(usize::try_from(BLOCK)?)
                .enumerate()
                .map(|(index, block)| (index, parts, block.to_vec())),
        );
    }
    let begun = Instant::now();
    in_threads(0, blocks.len() as u64, |number| {
        let (index, parts, plain) = &blocks[usize::try_from(number)?];
        let mut packed = Vec::with_capacity(plain.len() + plain.len() / 8);
        Deflater::new(Effort::default()).block(plain, &mut packed).context("cannot deflate")?;
        let hashes = (
            Sha256::of(plain),
            Sha256::of(&packed),
            blake3_of(&packed),
            Part::of(plain, *index, *parts),
            crc32fast::hash(plain),
            crc32fast::hash(&packed),
        );
        std::hint::black_box(hashes);
        Ok(())
    })?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Every file below a folder that is not empty, with its size in bytes.
fn files_below(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            out.extend(files_below(&entry.path())?);
        } else if meta.is_file() && meta.len() > 0 {
            out.push((entry.path(), meta.len()));
        }
    }
    Ok(out)
}
