//! Verifies every byte of a pack and writes nothing.

use std::sync::Arc;

use anyhow::Result;

use super::blocks::Blocks;
use super::in_order::InOrder;
use super::read::Pack;
use super::unpack::{Parts, Sums, Unpacker};
use crate::adapters::bytes::digest::Sha256;
use crate::adapters::interrupt::Interrupt;
use crate::domain::digest::Sha256Hex;
use crate::ui::Progress;

/// A file that is being verified.
#[derive(Default)]
struct BeingVerified {
    parts: Parts,
    order: InOrder,
}

impl Pack {
    /// Inflates every file and compares it with each of its hashes.
    ///
    /// # Errors
    /// Refuses a pack whose content is not what its manifest says, and names the entry.
    pub fn verify(&self, progress: &Progress, interrupt: &Interrupt) -> Result<()> {
        let blocks = Blocks::of(self, (0..self.manifest.files.len()).collect());
        blocks.work_off(
            1,
            interrupt,
            |file| {
                if self.manifest.files[file].blocks.is_empty() {
                    self.judge(file, &Sums::of_nothing())?;
                    self.judge_sha256(file, Sha256::of(&[]))?;
                }
                Ok(Arc::<BeingVerified>::default())
            },
            Unpacker::start,
            |block, unpacker| {
                let (seen, parts) = (&block.target, self.manifest.files[block.file].blocks.len());
                let turn = seen.order.turn(block.index);
                let plain = self.inflate(block, unpacker)?;
                // Without a hash another worker has failed, and says why.
                let Some(sha256) = turn.hash(plain) else { return Ok(()) };
                if let Some(sums) = seen.parts.add(block.index, crc32fast::hash(plain), plain, parts) {
                    self.judge(block.file, &sums)?;
                }
                if block.index + 1 == parts {
                    self.judge_sha256(block.file, sha256.finish())?;
                }
                progress.add(block.size);
                Ok(())
            },
        )
    }

    fn judge_sha256(&self, file: usize, sha256: Sha256Hex) -> Result<()> {
        if sha256 == self.manifest.files[file].sha256 {
            Ok(())
        } else {
            Err(self.wrong(file, "its SHA-256 differs from the manifest"))
        }
    }
}
