//! Inflates blocks, and checks whole files.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::deflate::{Inflater, MARK, ROOM};
use super::read::{DueBlock, Pack};
use crate::adapters::bytes::direct::DirectBuffer;
use crate::adapters::bytes::tree_hash::{self, Part};
use crate::domain::digest::Blake3Hex;
use crate::domain::manifest::{Block, Manifest};

/// The state of one worker.
pub(super) struct Unpacker {
    inflater: Inflater,
    packed: DirectBuffer,
    /// Has room for a block as it comes out.
    pub plain: DirectBuffer,
}

impl Unpacker {
    pub fn start() -> Result<Self> {
        let room =
            |bytes: u64, more| anyhow::Ok(DirectBuffer::with_room_for(usize::try_from(bytes)? + more)?);
        Ok(Self {
            inflater: Inflater::default(),
            packed: room(Block::MOST_PACKED, ROOM)?,
            plain: room(Manifest::BLOCK, MARK)?,
        })
    }
}

/// The checksums of a whole file.
pub(super) struct Sums {
    crc32: u32,
    blake3: Blake3Hex,
}

impl Sums {
    /// Of a file that has these parts, all of them and in order.
    fn of<'a>(parts: impl Iterator<Item = &'a (crc32fast::Hasher, Part)>) -> Self {
        let mut crc32 = crc32fast::Hasher::new();
        let parts: Vec<Part> = parts
            .map(|(of_part, part)| {
                crc32.combine(of_part);
                *part
            })
            .collect();
        Self { crc32: crc32.finalize(), blake3: tree_hash::whole(&parts) }
    }

    /// Of an empty file.
    pub fn of_nothing() -> Self {
        Self::of(std::iter::empty())
    }
}

/// The parts of a file, which come in any order.
#[derive(Default)]
pub(super) struct Parts(Mutex<BTreeMap<usize, (crc32fast::Hasher, Part)>>);

impl Parts {
    /// Adds part `index` of a file that has so many parts and a known CRC-32.
    ///
    /// Returns the sums of the whole file with the last part.
    pub fn add(&self, index: usize, crc32: u32, bytes: &[u8], parts: usize) -> Option<Sums> {
        let part = Part::of(bytes, index, parts);
        let crc32 = crc32fast::Hasher::new_with_initial_len(crc32, bytes.len() as u64);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(index, (crc32, part));
        (seen.len() == parts).then(|| Sums::of(seen.values()))
    }
}

impl Pack {
    /// Reads a block and inflates it.
    ///
    /// # Errors
    /// Refuses one that is not the one in the manifest, or whose content has another size.
    pub(super) fn inflate<'a, T>(&self, block: &DueBlock<T>, unpacker: &'a mut Unpacker) -> Result<&'a [u8]> {
        let packed = self.read_block(block, &mut unpacker.packed)?;
        let out = unpacker.plain.of(usize::try_from(block.size)? + MARK)?;
        unpacker
            .inflater
            .block(packed, out)
            .map_err(|error| self.wrong(block.file, format!("block {}: {error}", block.index)))
    }

    /// Compares a whole file with the manifest.
    pub(super) fn judge(&self, file: usize, sums: &Sums) -> Result<()> {
        let entry = &self.manifest.files[file];
        if sums.crc32 != entry.crc32 {
            return Err(self.wrong(file, "its CRC-32 differs from the manifest"));
        }
        if sums.blake3 != entry.blake3 {
            return Err(self.wrong(file, "its BLAKE3 differs from the manifest"));
        }
        Ok(())
    }
}
