//! HAPack.zip: written from its manifest and checked against it. The only module that knows ZIP and
//! deflate.
//!
//! The pack may be signed and sealed, or unpacked in the home.
//!
//! It reads only what the manifest lists, and trusts nothing before its hash is right.

mod blocks;
mod deflate;
mod extract;
mod in_order;
mod layout;
pub mod offer;
mod read;
pub mod seal;
#[cfg(feature = "sealed")]
pub mod sealed;
#[cfg(not(feature = "sealed"))]
#[path = "not_sealed.rs"]
pub mod sealed;
pub mod signature;
mod splice;
mod unpack;
pub mod unpacked;
mod verify;
mod workers;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use deflate::{Deflater, Effort, Inflater, MARK, ROOM};
pub use read::{Opening, Pack};
pub use write::{Making, WrittenPack, write};

use crate::domain::manifest::{DATA, RelPath};

/// The files for a pack: the path of each in the pack, and on the disk.
#[must_use]
pub fn sources(data: &Path, files: &[RelPath], more: BTreeMap<RelPath, PathBuf>) -> Vec<(RelPath, PathBuf)> {
    let of_data = files.iter().filter_map(|path| {
        let place = RelPath::new(format!("{DATA}/{path}")).ok()?;
        Some((place, data.join(path.as_str())))
    });
    of_data.chain(more).collect()
}
