//! Encryption to one reader, in the format of age. The tool `age` can open it.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
pub use age::x25519::Recipient;
use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::adapters::bytes::digest::Hashing;
use crate::adapters::pack::seal::{NewIdentity, Sealing, Unsealed};
use crate::adapters::system;
use crate::domain::digest::Sha256Hex;
use crate::failure::{Failure, Kind};

/// Creates a key pair.
///
/// # Errors
/// Only in a build without this part.
pub fn generate() -> Result<NewIdentity> {
    let identity = Identity::generate();
    Ok(NewIdentity {
        private: format!("{}\n", identity.to_string().expose_secret()),
        public: format!("{}\n", identity.to_public()),
    })
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> anyhow::Error {
    Failure::new(Kind::Refused, format!("cannot use the key {}", path.display())).code("key-file")
        .because(why.to_string())
        .hint("Name a file from `pmp-ha keygen encryption`: the public key to encrypt, the private key to decrypt.")
        .into()
}

/// The first line that is neither empty nor a comment.
fn line_of(path: &Path) -> Result<String> {
    let text = system::read_text(path, system::SMALL).map_err(|error| unusable(path, error))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    line.map(str::to_owned).ok_or_else(|| unusable(path, "it is empty"))
}

/// Reads the public key of the reader of a file.
pub fn recipient(path: &Path) -> Result<Recipient> {
    Recipient::from_str(&line_of(path)?)
        .map_err(|_| unusable(path, "it contains no public key (a line that begins with age1)"))
}

/// Reads a private key from a file that only its owner may read.
fn identity(path: &Path) -> Result<Identity> {
    let identity =
        Identity::from_str(&line_of(path)?).map_err(|_| unusable(path, "it contains no private key"))?;
    if system::mode(path)? & 0o077 != 0 {
        bail!(unusable(path, "other users than its owner can read it; run chmod 600"));
    }
    Ok(identity)
}

/// Returns a writer that encrypts everything for `to` into this file, and writes nothing else.
pub fn sealing(file: fs::File, to: &Recipient) -> Result<Box<dyn Sealing>> {
    let recipients = std::iter::once(to as &dyn age::Recipient);
    let sealer = age::Encryptor::with_recipients(recipients).context("cannot encrypt")?;
    Ok(Box::new(sealer.wrap_output(Hashing::new(file))?))
}

impl Sealing for age::stream::StreamWriter<Hashing<fs::File>> {
    fn finish(self: Box<Self>) -> std::io::Result<Sha256Hex> {
        Ok((*self).finish()?.finish().1)
    }
}

/// Opens a sealed file.
///
/// # Errors
/// Says that a key is needed, or that this one does not open it.
pub fn open(path: &Path, key: Option<&Path>) -> Result<Box<dyn Unsealed>> {
    let refused = |why: String| {
        Failure::new(Kind::Refused, format!("{} is encrypted", path.display())).code("pack-encrypted").because(why).hint(
            "Pass the private key of the node for which it was encrypted: --identity FILE. `age --decrypt` also opens it.",
        )
    };
    let Some(key) = key else {
        bail!(refused("no key was given".into()));
    };
    let identity = identity(key)?;
    let decryptor =
        age::Decryptor::new(system::open_regular(path)?).map_err(|error| refused(error.to_string()))?;
    let opened = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let opened =
        opened.map_err(|error| refused(format!("{} does not decrypt it: {error}", key.display())))?;
    let bounded = Bounded::around(opened).map_err(|error| {
        Failure::new(Kind::Refused, format!("cannot use the pack {}", path.display())).code("pack-damaged")
            .because(format!("it is damaged: {error}"))
            .hint("Copy HAPack.zip.age from the primary again, and compare its SHA-256 with the one that `pmp-ha pack` printed.")
    })?;
    Ok(Box::new(bounded))
}

/// Refuses to go behind the end, where the stream of age does not look.
struct Bounded<R> {
    inner: R,
    size: u64,
}

impl<R: Seek> Bounded<R> {
    fn around(mut inner: R) -> std::io::Result<Self> {
        let size = inner.seek(SeekFrom::End(0))?;
        inner.rewind()?;
        Ok(Self { inner, size })
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.inner.stream_position()?.checked_add_signed(by),
        };
        match target.filter(|at| *at <= self.size) {
            Some(at) => self.inner.seek(SeekFrom::Start(at)),
            None => Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "a position behind the end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_goes_behind_the_end() {
        let mut file = Bounded::around(std::io::Cursor::new(b"0123456789")).expect("it has a size");
        let mut read = |to| -> std::io::Result<String> {
            file.seek(to)?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(text)
        };
        assert_eq!(read(SeekFrom::Start(7)).expect("inside"), "789");
        assert_eq!(read(SeekFrom::Current(-1)).expect("inside"), "9");
        assert_eq!(read(SeekFrom::End(0)).expect("the end"), "");
        for behind in [SeekFrom::Start(11), SeekFrom::Current(1), SeekFrom::End(1), SeekFrom::End(-11)] {
            assert!(read(behind).is_err(), "{behind:?}");
        }
    }
}
