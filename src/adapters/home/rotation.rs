//! The files of a change of the pair's secrets, in `conf/pmp-ha`.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::saved::remove;
use super::{Credentials, Home};
use crate::adapters::system;
use crate::domain::rotation::Rotation;
use crate::domain::settings::TlsPaths;

/// The file for the secondary, in the folder `replication` of the primary.
pub const OFFER: &str = "HASecrets.toml";

/// New secrets that are not in use yet.
pub struct NextSecrets {
    folder: PathBuf,
}

impl NextSecrets {
    /// Their place in a home.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self { folder: home.node_files().join("next") }
    }

    /// Their folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Whether there are any.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.file("credentials.toml").is_file()
    }

    /// One of their files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes files. The credentials come last: with them they are whole.
    pub fn write(&self, files: &[(&str, &str)]) -> Result<()> {
        remove(&self.folder)?;
        system::private_dir(&self.folder)?;
        for (name, text) in files {
            system::write_atomic(&self.file(name), text.as_bytes(), 0o600, None)?;
        }
        Ok(())
    }

    /// Their accounts.
    pub fn credentials(&self) -> Result<Credentials> {
        Credentials::read(&self.file("credentials.toml"))
    }

    /// The paths of their TLS files.
    #[must_use]
    pub fn tls_paths(&self) -> TlsPaths {
        let path = |name: &str| self.file(name).to_string_lossy().into_owned();
        TlsPaths { ca: path("ca.pem"), cert: path("node.pem"), key: path("node-key.pem") }
    }

    /// Removes them.
    pub fn remove(&self) -> Result<()> {
        remove(&self.folder)
    }
}

impl Home {
    /// The change of the pair's secrets that is under way here, if one is.
    pub fn rotation(&self) -> Result<Option<Rotation>> {
        in_folder(&self.node_files())
    }

    /// Notes how far it is, or that there is none any more.
    pub fn note_rotation(&self, rotation: Option<&Rotation>) -> Result<()> {
        let path = self.node_files().join(ROTATION);
        match rotation {
            None => remove(&path),
            Some(rotation) => system::write_atomic(&path, toml::to_string(rotation)?.as_bytes(), 0o600, None),
        }
    }

    /// The possible paths of the file for the secondary, plain or encrypted.
    #[must_use]
    pub fn offers(&self) -> Vec<PathBuf> {
        let names = [OFFER.to_owned(), format!("{OFFER}.age")];
        let folders = [self.replication(), self.root().to_path_buf()];
        folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).collect()
    }
}

const ROTATION: &str = "rotation.toml";

/// The change of the pair's secrets that was under way when these node files were written, if one was.
pub fn in_folder(node_files: &Path) -> Result<Option<Rotation>> {
    let path = node_files.join(ROTATION);
    match system::read_text(&path, system::SMALL) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
        Ok(text) => {
            let read = toml::from_str(&text);
            Ok(Some(read.map_err(|error| anyhow!("{} cannot be read: {error}", path.display()))?))
        }
    }
}
