//! How a file that leaves this node is protected.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::absolute;
use crate::adapters::pack::sealed;
use crate::adapters::pack::signature::Signer;
use crate::config::PackConfig;

/// How a pack, or a file with secrets, is protected: full paths of readable key files.
pub(super) struct Protection {
    pub sign_with: Option<String>,
    pub encrypt_to: Option<String>,
}

impl Protection {
    pub fn of(
        sign_with: Option<&PathBuf>,
        encrypt_to: Option<&PathBuf>,
        config: &PackConfig,
    ) -> Result<Self> {
        let full = |path: &PathBuf| absolute(path).to_string_lossy().into_owned();
        let sign_with = sign_with.or(config.sign_with.as_ref()).map(full);
        let encrypt_to = encrypt_to.or(config.encrypt_to.as_ref()).map(full);
        if let Some(key) = &sign_with {
            Signer::read(key.as_ref())?;
        }
        if let Some(key) = &encrypt_to {
            sealed::recipient(key.as_ref())?;
        }
        Ok(Self { sign_with, encrypt_to })
    }

    /// Returns the name of what may be encrypted, so that nobody mistakes it for a plain file.
    pub fn named(&self, plain: &Path) -> String {
        let plain = plain.to_string_lossy().into_owned();
        if self.encrypt_to.is_some() { format!("{plain}.age") } else { plain }
    }
}
