//! Stands in for signatures with SHA-1 in a build without `old-tls`: the same door, and behind it the word
//! which part is missing.

use anyhow::{Result, bail};

use crate::domain::built_in::Feature;

/// Says why there is none.
pub fn with_sha1(_key: &str, _bytes: &[u8]) -> Result<Vec<u8>> {
    bail!("{}", Feature::OldTls.absent())
}
