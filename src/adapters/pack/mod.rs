//! HAPack.zip: written and read against its manifest. The only place that knows ZIP and deflate.
//! It may be signed and sealed, or lie unpacked in the home.
//!
//! Only what the manifest lists is ever read, and nothing is believed before its hash is right.

mod blocks;
mod deflate;
mod extract;
mod in_order;
mod layout;
mod read;
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
pub use write::{Making, Written, write};

use crate::domain::manifest::{DATA, RelPath};

/// The files that go into a pack: where each belongs, and where it is.
#[must_use]
pub fn sources(data: &Path, files: &[RelPath], more: BTreeMap<RelPath, PathBuf>) -> Vec<(RelPath, PathBuf)> {
    let of_data = files.iter().filter_map(|path| {
        let place = RelPath::new(format!("{DATA}/{path}")).ok()?;
        Some((place, data.join(path.as_str())))
    });
    of_data.chain(more).collect()
}
