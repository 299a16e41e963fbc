//! Stands in for the bridge to TLS 1.0 in a build without `old-tls`.
//!
//! It has the same functions, which report the missing part.

use std::path::Path;

use crate::domain::built_in::Feature;
use crate::domain::settings::TlsPaths;
use crate::domain::snapshot::{Blind, BlindReason};

/// There is none.
pub enum Bridge {}

#[expect(clippy::unused_async, reason = "as the real one")]
impl Bridge {
    /// Returns why there is none.
    pub async fn to(_host: &str, _port: u16, _tls: &TlsPaths) -> Result<Self, Blind> {
        Err(Blind {
            why: BlindReason::NotBuiltIn(Feature::OldTls),
            evidence: Feature::OldTls.absent().into(),
        })
    }

    /// Is never asked.
    #[must_use]
    pub fn socket(&self) -> &Path {
        match *self {}
    }

    /// Is never asked.
    pub async fn ended(&mut self) -> Result<(), Blind> {
        match *self {}
    }
}
