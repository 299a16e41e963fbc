//! Stands in for signatures with SHA-1 in a build without `old-tls`.
//!
//! It has the same functions, which report the missing part.

use anyhow::{Result, bail};

use crate::domain::built_in::Feature;

/// Returns why there is none.
pub fn with_sha1(_key: &str, _bytes: &[u8]) -> Result<Vec<u8>> {
    bail!("{}", Feature::OldTls.absent())
}
