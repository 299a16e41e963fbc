//! Files past what the system keeps of them in memory: quicker for what is read or written once, and
//! what is read is what the disk has.

use std::io;
use std::ops::Range;
use std::path::Path;

use fs_err as fs;
use memmap2::MmapMut;

use crate::adapters::system::{self, DIRECT_UNIT};

/// A file that is read from the disk and written to it, where its filesystem lets us.
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

    /// Whether it still passes the cache: its filesystem may have turned out not to know how.
    pub fn is_direct(&self) -> io::Result<bool> {
        system::is_direct(&self.0)
    }

    /// The file, for whatever else there is to do with it.
    #[must_use]
    pub fn file(&self) -> &fs::File {
        &self.0
    }

    /// Reads these bytes of the file; fewer where it ends.
    pub fn read<'a>(&self, bytes: Range<u64>, buffer: &'a mut DirectBuffer) -> io::Result<&'a mut [u8]> {
        let unit = DIRECT_UNIT as u64;
        let start = bytes.start / unit * unit;
        let whole = buffer.of(length(start..bytes.end.next_multiple_of(unit)))?;
        let read = system::read_direct_at(&self.0, whole, start)?;
        let end = read.min(length(start..bytes.end));
        Ok(&mut whole[length(start..bytes.start).min(end)..end])
    }
}

fn length(bytes: Range<u64>) -> usize {
    usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX)
}

/// Memory that a disk can write into: whole pages, which are given back as soon as they are dropped.
#[derive(Default)]
pub struct DirectBuffer(Option<MmapMut>);

impl DirectBuffer {
    /// Memory for any part of so many bytes of a file.
    pub fn with_room_for(length: usize) -> io::Result<Self> {
        MmapMut::map_anon(length + 2 * DIRECT_UNIT).map(Some).map(Self)
    }

    /// So much of it; more than there is takes new memory.
    pub fn of(&mut self, length: usize) -> io::Result<&mut [u8]> {
        if self.0.as_ref().is_none_or(|memory| memory.len() < length) {
            *self = Self::with_room_for(length)?;
        }
        Ok(self.0.as_mut().map_or(&mut [], |memory| &mut memory[..length]))
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
                let read = file.read(start as u64..end as u64, &mut buffer).expect("read");
                assert!(read == wanted, "{start}..{end}");
            }
        }
        let behind = content.len() as u64 + 1;
        assert!(file.read(behind..behind + 10, &mut buffer).expect("read").is_empty());
    }
}
