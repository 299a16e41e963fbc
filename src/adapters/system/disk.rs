//! Reads and writes files at any offset, and bypasses the system's cache.

use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use fs_err as fs;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, PosixFadviseAdvice, fallocate};

use super::reading::not_regular;

/// Reads exactly `buffer` from an offset, whatever others do with the file.
pub fn read_exact_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    file.file().read_exact_at(buffer, offset)
}

/// Writes all of `bytes` to an offset, whatever others do with the file.
pub fn write_all_at(file: &fs::File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    file.file().write_all_at(bytes, offset)
}

/// The unit of direct reads and writes: offsets, lengths and memory are multiples of it.
pub const DIRECT_UNIT: usize = 4096;

/// Opens a file for reading that bypasses the system's cache, if the filesystem can.
pub fn open_direct(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    direct_if_possible(&options, 0, path)
}

/// The same for an existing file, to write it and read it back.
pub fn open_direct_for_writing(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true);
    direct_if_possible(&options, nix::libc::O_NOFOLLOW, path)
}

fn direct_if_possible(options: &fs::OpenOptions, flags: i32, path: &Path) -> std::io::Result<fs::File> {
    let open = |flags| {
        let mut options = options.clone();
        options.options_mut().custom_flags(flags);
        options.open(path)
    };
    // A pipe would be waited for.
    let flags = flags | nix::libc::O_NONBLOCK;
    let file = open(flags | nix::libc::O_DIRECT).or_else(|error| match error.kind() {
        ErrorKind::InvalidInput => open(flags),
        _ => Err(error),
    })?;
    if !file.metadata()?.is_file() {
        return Err(not_regular(path));
    }
    advise(&file, 0..0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
    Ok(file)
}

/// Returns whether reads and writes of a file bypass the cache.
pub fn is_direct(file: &fs::File) -> std::io::Result<bool> {
    let flags = nix::fcntl::fcntl(file.file(), FcntlArg::F_GETFL)?;
    Ok(OFlag::from_bits_retain(flags).contains(OFlag::O_DIRECT))
}

/// Makes reads and writes of the file use the cache from now on.
fn use_cache(file: &fs::File) -> std::io::Result<()> {
    nix::fcntl::fcntl(file.file(), FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(())
}

/// Reads into `buffer` from an offset until it is full or the file ends. Returns the length.
///
/// If a read cannot bypass the cache, this and all later reads use it.
pub fn read_direct_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut length = 0;
    let mut is_refused = false;
    while length < buffer.len() {
        match file.file().read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The file has ended, and not at a whole unit.
            Err(error) if error.kind() == ErrorKind::InvalidInput && length % DIRECT_UNIT != 0 => break,
            Err(error) if error.kind() == ErrorKind::InvalidInput && !is_refused => {
                use_cache(file)?;
                is_refused = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Writes whole units. If a write cannot bypass the cache, this and all later writes use it.
pub fn write_direct_at(file: &fs::File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    match write_all_at(file, bytes, offset) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            use_cache(file)?;
            write_all_at(file, bytes, offset)
        }
        done => done,
    }
}

/// Reserves the space for a file of this size, if the filesystem can.
pub fn allocate(file: &fs::File, size: u64) -> std::io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    match fallocate(file.file(), FallocateFlags::empty(), 0, size) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        done => Ok(done?),
    }
}

/// Drops a durable file from the system's cache, so that the next read comes from the disk.
pub fn forget_cached(file: &fs::File) {
    forget_cached_part(file, 0..0);
}

/// The same for some bytes of a file; `0..0` means all of it.
pub fn forget_cached_part(file: &fs::File, part: Range<u64>) {
    advise(file, part, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

fn advise(file: &fs::File, part: Range<u64>, advice: PosixFadviseAdvice) {
    let offset = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    // ignored: advice is all it is
    let _ = nix::fcntl::posix_fadvise(file.file(), offset(part.start), offset(part.end - part.start), advice);
}
