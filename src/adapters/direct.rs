//! Files past what the system keeps of them in memory: quicker for what is read or written once, and
//! what is read is what the disk has.

use std::io;
use std::ops::Range;
use std::path::Path;

use fs_err as fs;

use crate::adapters::system::{self, DIRECT_UNIT};

/// A file that is read from the disk, where its filesystem lets us.
pub struct DirectFile(fs::File);

impl DirectFile {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        system::open_direct(path).map(Self)
    }

    /// Opens a file that is there, to be written and read back.
    pub fn open_to_write(path: &Path) -> io::Result<Self> {
        system::open_direct_for_writing(path).map(Self)
    }

    /// Writes whole units, at a multiple of one.
    pub fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        system::write_direct_at(&self.0, bytes, at)
    }

    /// The file, for whatever is not reading.
    #[must_use]
    pub fn file(&self) -> &fs::File {
        &self.0
    }

    /// Reads these bytes of the file; fewer where it ends.
    pub fn read<'a>(&self, bytes: Range<u64>, buffer: &'a mut DirectBuffer) -> io::Result<&'a [u8]> {
        let unit = DIRECT_UNIT as u64;
        let start = bytes.start / unit * unit;
        let whole = buffer.of(length(start..bytes.end.next_multiple_of(unit)));
        let read = system::read_direct_at(&self.0, whole, start)?;
        let end = read.min(length(start..bytes.end));
        Ok(&whole[length(start..bytes.start).min(end)..end])
    }
}

fn length(bytes: Range<u64>) -> usize {
    usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX)
}

/// Memory that a disk can write into.
#[derive(Default)]
pub struct DirectBuffer(Vec<u8>);

impl DirectBuffer {
    /// So much of it.
    pub fn of(&mut self, length: usize) -> &mut [u8] {
        if self.0.len() < length + DIRECT_UNIT {
            self.0.resize(length + DIRECT_UNIT, 0);
        }
        let start = self.0.as_ptr().align_offset(DIRECT_UNIT);
        &mut self.0[start..start + length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_file_can_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..251).cycle().take(3 * DIRECT_UNIT + 5).collect();
        fs::write(&path, &content).expect("written");
        let file = DirectFile::open(&path).expect("opened");
        let mut buffer = DirectBuffer::default();
        for start in [0, 1, DIRECT_UNIT - 1, DIRECT_UNIT, 2 * DIRECT_UNIT + 7, 3 * DIRECT_UNIT + 1] {
            for end in [start, start + 1, start + DIRECT_UNIT, content.len(), content.len() + DIRECT_UNIT] {
                let wanted = &content[start..end.min(content.len())];
                let read = file.read(start as u64..end.max(start) as u64, &mut buffer).expect("read");
                assert!(read == wanted, "{start}..{end}");
            }
        }
        let behind = content.len() as u64 + 1;
        assert!(file.read(behind..behind + 10, &mut buffer).expect("read").is_empty());
    }
}
