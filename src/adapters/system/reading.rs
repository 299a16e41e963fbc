//! The door for reading files: only regular ones, and never more than a bound.
//!
//! A pipe would be waited for, a device has no end, and a file that somebody let grow takes the memory.

use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// The largest size of a file of settings, keys or notes, in bytes. Real ones have a few thousand.
pub const SMALL: u64 = 1 << 20;

/// The largest size of a file that grows with the home's life or with the data, in bytes.
pub const LARGE: u64 = 256 << 20;

/// Opens a regular file for reading. It never waits for a pipe or opens a device.
///
/// # Errors
/// What is not there, cannot be opened, or is not a regular file.
pub fn open_regular(path: &Path) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true).options_mut(), nix::libc::O_NONBLOCK);
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular(path)) }
}

/// As [`open_regular`], but not one that a link names.
///
/// # Errors
/// As [`open_regular`], and a link.
pub fn open_itself(path: &Path) -> Result<fs::File> {
    open_as(path, |options| options.read(true))
}

/// Opens a file to cut it off, not one that a link names.
///
/// # Errors
/// What is not there, cannot be opened, is a link, or is not a regular file.
pub fn open_for_a_cut(path: &Path) -> Result<fs::File> {
    open_as(path, |options| options.write(true))
}

fn open_as(path: &Path, how: impl Fn(&mut fs::OpenOptions) -> &mut fs::OpenOptions) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW;
    std::os::unix::fs::OpenOptionsExt::custom_flags(how(&mut options).options_mut(), flags);
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular(path)) }
}

pub(super) fn not_regular(path: &Path) -> Error {
    // Not `InvalidInput`, which a filesystem says that cannot bypass the cache.
    Error::other(format!("{} is not a regular file", path.display()))
}

/// Reads a whole file of at most so many bytes.
///
/// # Errors
/// As [`open_regular`], and a larger file, named with the bound.
pub fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_whole(open_regular(path)?, path, most)
}

fn read_whole(file: fs::File, path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let why = format!("{} is larger than {most} bytes, the most that pmp-ha reads of it", path.display());
        return Err(Error::new(ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// As [`read_bytes`], for a path in whatever encoding: on Linux, a path is bytes. `None` if the file is empty.
///
/// # Errors
/// As those of [`read_bytes`].
pub fn read_path(path: &Path, most: u64) -> Result<Option<PathBuf>> {
    let bytes = read_bytes(path, most)?;
    let named = bytes.trim_ascii();
    Ok((!named.is_empty()).then(|| PathBuf::from(std::ffi::OsStr::from_bytes(named))))
}

/// As [`read_bytes`], for text.
///
/// # Errors
/// As [`read_bytes`], and what is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    text_of(read_bytes(path, most)?, path)
}

/// As [`read_text`], but not what a link names: for folders that the account of the server can change.
///
/// # Errors
/// As [`read_text`], and a link.
pub fn read_text_itself(path: &Path, most: u64) -> Result<String> {
    text_of(read_whole(open_itself(path)?, path, most)?, path)
}

fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::InvalidData, format!("{} is not UTF-8", path.display())))
}

/// Reads what a file has from `from` on: its last `most` bytes, if there are more.
///
/// # Errors
/// As [`open_regular`].
pub fn read_end(path: &Path, from: u64, most: u64) -> Result<Vec<u8>> {
    let mut file = open_regular(path)?;
    let start = from.max(file.metadata()?.len().saturating_sub(most));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the first `most` bytes of a file, or all of them.
///
/// # Errors
/// As [`open_regular`].
pub fn read_head(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_up_to_their_bound_are_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "0123456789").expect("written");
        assert_eq!(read_text(&file, 10).expect("read"), "0123456789");
        let error = read_text(&file, 9).expect_err("too large").to_string();
        assert!(error.contains("file is larger than 9 bytes"), "{error}");
        assert_eq!(read_end(&file, 4, 100).expect("read"), b"456789");
        assert_eq!(read_end(&file, 0, 3).expect("read"), b"789");
        assert_eq!(read_end(&file, 100, 3).expect("read"), b"");

        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        for odd in [pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
            let error = read_bytes(odd, 10).expect_err("refused").to_string();
            assert!(error.contains("is not a regular file"), "{error}");
            assert!(read_end(odd, 0, 10).is_err());
        }
        assert!(read_bytes(&socket, 10).is_err());
        assert_eq!(read_bytes(&dir.path().join("none"), 1).expect_err("missing").kind(), ErrorKind::NotFound);
    }
}
