//! The BLAKE3 of a file from its parts, which can be hashed in any order.
//!
//! BLAKE3 is a tree, and each part of this size is one of its branches.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::domain::digest::Blake3Hex;
use crate::domain::manifest::Manifest;

const _: () = assert!(Manifest::BLOCK.is_power_of_two(), "a part is a branch");

/// The contribution of one part to the hash of a whole file.
#[derive(Clone, Copy)]
pub struct Part(ChainingValue);

impl Part {
    /// Hashes part `index` of a file that has so many parts.
    ///
    /// Each part has [`Manifest::BLOCK`] bytes; the last may be shorter.
    #[must_use]
    pub fn of(bytes: &[u8], index: usize, parts: usize) -> Self {
        if parts <= 1 {
            return Self(*blake3::hash(bytes).as_bytes());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(index as u64 * Manifest::BLOCK);
        Self(hasher.update(bytes).finalize_non_root())
    }
}

/// Returns the BLAKE3 of the file with these parts, complete and in order.
#[must_use]
pub fn whole(parts: &[Part]) -> Blake3Hex {
    let bytes = match parts {
        [] => *blake3::hash(&[]).as_bytes(),
        [only] => only.0,
        _ => {
            let (left, right) = branches(parts);
            *merge_subtrees_root(&branch(left), &branch(right), Mode::Hash).as_bytes()
        }
    };
    Blake3Hex::from_bytes(bytes)
}

fn branch(parts: &[Part]) -> ChainingValue {
    if let [only] = parts {
        return only.0;
    }
    let (left, right) = branches(parts);
    merge_subtrees_non_root(&branch(left), &branch(right), Mode::Hash)
}

/// The left branch has the largest power of two of parts that leaves some to the right one.
fn branches(parts: &[Part]) -> (&[Part], &[Part]) {
    parts.split_at(parts.len().div_ceil(2).next_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_the_hash_that_the_whole_has() {
        let block = usize::try_from(Manifest::BLOCK).expect("small");
        let content: Vec<u8> = (0..251).cycle().take(9 * block).collect();
        for blocks in 0..9 {
            for size in
                [blocks * block, blocks * block + 1, blocks * block + block / 2 + 77, (blocks + 1) * block]
            {
                let content = &content[..size];
                let count = content.chunks(block).count();
                let parts: Vec<Part> = content
                    .chunks(block)
                    .enumerate()
                    .map(|(index, bytes)| Part::of(bytes, index, count))
                    .collect();
                assert_eq!(whole(&parts).to_string(), blake3::hash(content).to_hex().as_str(), "{size}");
            }
        }
    }
}
