//! Stands in for encryption in a build without `sealed`.
//!
//! It has the same functions, which report the missing part.

use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use crate::adapters::pack::seal::{NewIdentity, Sealing, Unsealed};
use crate::domain::built_in::Feature;
use crate::failure::{Failure, Kind};

/// There is none.
pub enum Recipient {}

fn refused(what: impl Into<String>) -> anyhow::Error {
    Failure::new(Kind::Refused, what)
        .code("not-built-in")
        .because(Feature::Sealed.absent())
        .hint(Feature::Sealed.hint())
        .into()
}

/// Refuses.
pub fn generate() -> Result<NewIdentity> {
    Err(refused("cannot make keys for encryption"))
}

/// Refuses.
pub fn recipient(_path: &Path) -> Result<Recipient> {
    Err(refused("cannot encrypt a pack"))
}

/// Is never asked.
pub fn sealing(_file: fs::File, to: &Recipient) -> Result<Box<dyn Sealing>> {
    match *to {}
}

/// Refuses.
pub fn open(path: &Path, _key: Option<&Path>) -> Result<Box<dyn Unsealed>> {
    Err(refused(format!("cannot open {}, which is encrypted", path.display())))
}
