//! The file that a comparison remembers itself by.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use fs_err as fs;

use crate::adapters::home::Home;
use crate::adapters::system;
use crate::domain::deep::state::State;

/// Each writing waits for the disk; what a kill in between costs is compared once more.
const NOW_AND_THEN: Duration = Duration::from_secs(1);

/// `replication/pmp-ha-deep.json`
pub(super) struct Notebook {
    path: PathBuf,
    written: Option<Instant>,
}

impl Notebook {
    pub(super) fn of(home: &Home) -> Self {
        Self { path: home.replication().join("pmp-ha-deep.json"), written: None }
    }

    /// What is remembered. A file that cannot be read is of another version, and nothing is lost
    /// with it but time.
    pub(super) fn read(&self) -> Result<Option<State>> {
        match system::read_bytes(&self.path, system::LARGE) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn write(&mut self, state: &State) -> Result<()> {
        system::write_atomic(&self.path, &serde_json::to_vec(state)?, 0o600, None)?;
        self.written = Some(Instant::now());
        Ok(())
    }

    pub(super) fn write_now_and_then(&mut self, state: &State) -> Result<()> {
        if self.written.is_none_or(|written| written.elapsed() >= NOW_AND_THEN) {
            self.write(state)?;
        }
        Ok(())
    }

    pub(super) fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
