//! The notes of a pack in the primary's work folder: coordinates, and the earlier binlogs.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::adapters::home::saved::remove;
use crate::adapters::home::{Home, datadir};
use crate::adapters::system;
use crate::domain::coordinates::Coordinates;
use crate::domain::datafiles::{FileClass, classify};
use crate::domain::manifest::RelPath;
use crate::domain::settings::{BINLOG, history_of_index};

/// What the offline boot of the primary leaves for the pack.
#[derive(Serialize, Deserialize)]
pub struct SourceState {
    /// The pack that is being made.
    pub pack_id: String,
    /// The coordinates from which the secondary replicates.
    pub coordinates: Coordinates,
    /// Whether the return channel goes on until the pack is installed.
    #[serde(default)]
    pub return_channel_goes_on: bool,
}

impl SourceState {
    fn path(home: &Home) -> PathBuf {
        home.work().join("source-state.json")
    }

    pub fn store(&self, home: &Home) -> Result<()> {
        system::write_atomic(&Self::path(home), &serde_json::to_vec(self)?, 0o600, None)
    }

    pub fn load(home: &Home) -> Result<Self> {
        Ok(serde_json::from_slice(&system::read_bytes(&Self::path(home), system::SMALL)?)?)
    }
}

/// The binlogs of a primary before a pack boots it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binlogs {
    /// None.
    None,
    /// Those of the product's own settings.
    OfTheProduct,
    /// Those of an earlier pack.
    Ours,
}

/// Returns which binlogs there are, and records if none of them is ours.
pub fn note_binlogs(home: &Home) -> Result<Binlogs> {
    let note = home.work().join("had-no-binlogs");
    let files = datadir::list(&home.data())?.files;
    if files.iter().any(|(path, _)| history_of_index(path.as_str()).is_some()) {
        return Ok(Binlogs::Ours);
    }
    system::write_atomic(&note, b"", 0o600, None)?;
    let is_index = |path: &RelPath| {
        path.as_str().rsplit_once('.').is_some_and(|(_, suffix)| suffix == "index")
            && classify(path.as_str()) == FileClass::Binlog
    };
    let product = files.iter().any(|(path, _)| is_index(path));
    Ok(if product { Binlogs::OfTheProduct } else { Binlogs::None })
}

/// Removes the binlogs of a run that is undone.
pub fn drop_new_binlogs(home: &Home) -> Result<()> {
    if home.work().join("had-no-binlogs").exists() {
        drop_binlogs(home)?;
    }
    Ok(())
}

/// Removes every binlog and relay log of the tool's own name.
pub fn drop_binlogs(home: &Home) -> Result<()> {
    for (path, _) in datadir::list(&home.data())?.files {
        let ours =
            [BINLOG, crate::domain::settings::RELAY_LOG].iter().any(|base| path.as_str().starts_with(base));
        if ours && classify(path.as_str()) != FileClass::Data {
            remove(&home.data().join(path.as_str()))?;
        }
    }
    system::sync_dir(&home.data())
}
