//! What a sealed file is, for every build: with `sealed` it can be made and opened, too.

use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::adapters::system;
use crate::domain::digest::Sha256Hex;

/// What every sealed file begins with.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// A pair of new keys, as text.
pub struct NewIdentity {
    /// Opens.
    pub private: String,
    /// Seals.
    pub public: String,
}

/// What reads the plain bytes of a sealed file, from any place. Every byte that it gives was checked.
pub trait Unsealed: Read + Seek + Send {}

impl<T: Read + Seek + Send> Unsealed for T {}

/// Takes plain bytes and writes them sealed.
pub trait Sealing: Write + Send {
    /// Writes the end. Returns the hash of the sealed file.
    ///
    /// # Errors
    /// What cannot be written.
    fn finish(self: Box<Self>) -> std::io::Result<Sha256Hex>;
}

/// Tells whether a file is sealed.
#[must_use]
pub fn is_sealed(path: &Path) -> bool {
    let mut found = [0; MAGIC.len()];
    system::open_regular(path).and_then(|mut file| file.read_exact(&mut found)).is_ok() && found == MAGIC
}
