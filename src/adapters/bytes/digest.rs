//! Hashes, and moving bytes while hashing them.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::Result;
use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::domain::digest::{Blake3Hex, Sha256Hex};
use crate::ui::Progress;

/// The number of bytes that are read and written at a time.
pub const CHUNK: usize = 1 << 20;

/// SHA-256 (FIPS 180-4) of what comes piece by piece.
#[derive(Clone)]
pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Sha256 {
    /// Of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Sha256Hex {
        hex(&digest(&SHA256, bytes))
    }

    /// Adds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the hash of all bytes.
    #[must_use]
    pub fn finish(self) -> Sha256Hex {
        hex(&self.0.finish())
    }
}

fn hex(sha256: &Digest) -> Sha256Hex {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(sha256.as_ref());
    Sha256Hex::from_bytes(bytes)
}

/// Returns bytes as lower-case hex.
#[must_use]
pub fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // ignored: writing into a string cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the HMAC-SHA256 (RFC 2104) of some bytes, in lower-case hex.
#[must_use]
pub fn hmac_sha256(secret: &[u8], bytes: &[u8]) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, bytes);
    hex_of(tag.as_ref())
}

/// Returns the BLAKE3 of some bytes, for what only this tool compares.
///
/// It is several times faster than SHA-256.
#[must_use]
pub fn blake3_of(bytes: &[u8]) -> Blake3Hex {
    Blake3Hex::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// Hashes a file.
pub fn hash_file(path: &Path) -> Result<Sha256Hex> {
    hash_file_until(path, &Interrupt::default())
}

/// Hashes a file. Fails if the operator interrupts.
pub fn hash_file_until(path: &Path, interrupt: &Interrupt) -> Result<Sha256Hex> {
    let mut file = system::open_regular(path)?;
    Ok(pump(&mut file, &mut std::io::sink(), u64::MAX, &Progress::none(), interrupt)?.1)
}

/// A failed write. A failed read is the pack's fault, a failed write is the disk's.
#[derive(Debug, thiserror::Error)]
#[error("cannot write: {0}")]
pub struct WriteError(pub std::io::Error);

/// Copies at most `limit` bytes and one more, and hashes them.
pub fn pump(
    from: &mut impl Read,
    to: &mut impl Write,
    limit: u64,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<(u64, Sha256Hex)> {
    let mut buffer = vec![0; CHUNK];
    let mut hash = Sha256::default();
    let mut total = 0;
    loop {
        interrupt.check()?;
        let n = from.read(&mut buffer)?;
        total += n as u64;
        if n == 0 || total > limit {
            return Ok((total, hash.finish()));
        }
        hash.update(&buffer[..n]);
        to.write_all(&buffer[..n]).map_err(WriteError)?;
        progress.add(n as u64);
    }
}

/// Hashes what passes through it.
pub struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    /// Passes everything on to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::default() }
    }

    /// What it passed everything on to, and the hash of it all.
    pub fn finish(self) -> (W, Sha256Hex) {
        (self.inner, self.hash.finish())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
