//! The context of a step: the home and its lock, the configuration, the secrets, and measurements.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::adapters::home::journal_file::JournalFile;
use crate::adapters::home::saved::Saved;
use crate::adapters::home::{Home, entry};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::other_node::Watched;
use crate::adapters::pack::Opening;
use crate::adapters::server::process::Database;
use crate::adapters::system;
use crate::config::Config;
use crate::domain::digest::Sha256Hex;
use crate::domain::flavor::Flavor;
use crate::ui::Ui;

/// The secrets that steps need and a plan must not contain.
#[derive(Default)]
pub struct Secrets {
    /// The application's database password, where the product keeps it encrypted.
    pub db_password: Option<String>,
    /// The keys that open the pack and check its signature.
    pub opening: Opening,
}

/// The downtime of the primary's users, as far as it was measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// From the first step until the database accepted connections again.
    pub downtime: Option<Duration>,
    /// For how long writes had to wait.
    pub writes_blocked: Option<Duration>,
    /// For how long writes were refused, until the other node accepted them.
    pub writes_refused: Option<Duration>,
    /// For how long the database was down for a restart.
    pub restarted_in: Option<Duration>,
}

/// A pack that is in its place.
pub struct NewPack {
    /// Size of the file in bytes.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Sha256Hex,
    /// From the first byte read to the last one read back.
    pub seconds: f64,
}

/// The switchover that a run takes part in.
#[derive(Debug, Clone, Default)]
pub struct Taking {
    pub(super) run: Option<String>,
    pub(super) mark: i64,
    /// Since when writes are refused, as far as this process has seen it.
    pub(super) refused: Option<(Instant, Duration)>,
    /// How the other node's part ended, if this process had it begun there.
    pub(super) other_part: Option<OtherPart>,
}

/// The end of the other node's part: nothing yet, or what it said when it failed.
pub type OtherPart = tokio::sync::watch::Receiver<Option<Result<(), String>>>;

impl Taking {
    /// For how long writes were refused until then.
    pub(super) fn refused_until(&self, then: Instant) -> Option<Duration> {
        self.refused.map(|(at, before)| then.saturating_duration_since(at) + before)
    }
}

/// Runs plans on one home. It holds the home's lock for as long as it lives.
pub struct Runner<'a> {
    pub(super) home: &'a Home,
    pub(super) ui: &'a Ui,
    pub(super) config: &'a Config,
    pub(super) interrupt: &'a Interrupt,
    pub(super) secrets: Secrets,
    pub(super) written: Option<NewPack>,
    pub(super) extracted_in: f64,
    pub(super) undo_file: Option<PathBuf>,
    pub(super) left_out: Vec<(String, String)>,
    pub(super) begun: Option<Instant>,
    pub(super) cost: Cost,
    pub(super) taking: Taking,
    /// The other node, while nothing talks to it.
    other: Mutex<Option<Watched>>,
    flavor: OnceLock<&'static Flavor>,
    _lock: system::DirLock,
}

impl<'a> Runner<'a> {
    /// Takes the home's lock. Refuses if its owner could not do every step.
    pub fn lock(home: &'a Home, ui: &'a Ui, config: &'a Config, interrupt: &'a Interrupt) -> Result<Self> {
        entry::require_usable(home)?;
        Ok(Self::holding(system::lock_home(home.root())?, home, ui, config, interrupt))
    }

    /// Works on a home whose lock is held already.
    pub(super) fn holding(
        lock: system::DirLock,
        home: &'a Home,
        ui: &'a Ui,
        config: &'a Config,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            home,
            ui,
            config,
            interrupt,
            secrets: Secrets::default(),
            written: None,
            extracted_in: 0.0,
            undo_file: None,
            left_out: Vec::new(),
            begun: None,
            cost: Cost::default(),
            taking: Taking::default(),
            other: Mutex::default(),
            flavor: OnceLock::new(),
            _lock: lock,
        }
    }

    /// The home that it runs plans on.
    #[must_use]
    pub fn home(&self) -> &Home {
        self.home
    }

    /// Gives up waiting for the other node when its part fails.
    pub fn listens_to(&mut self, other: OtherPart) {
        self.taking.other_part = Some(other);
    }

    /// Takes the secrets that steps need and a plan must not contain.
    pub fn with_secrets(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    /// How many seconds the last plan extracted a pack for, or copied what was unpacked by hand.
    #[must_use]
    pub fn extracted_in(&self) -> f64 {
        self.extracted_in
    }

    /// The pack that the last plan wrote.
    pub fn written(&mut self) -> Option<NewPack> {
        self.written.take()
    }

    /// What the last repair could not do, and why.
    #[must_use]
    pub fn left_out(&self) -> &[(String, String)] {
        &self.left_out
    }

    /// What the last plan cost the users of the primary.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    pub(super) fn journal(&self) -> JournalFile {
        JournalFile::at(self.home.journal())
    }

    pub(super) fn saved(&self) -> Saved {
        Saved::of(self.home.root(), &self.home.work())
    }

    pub(super) fn database(&self) -> Database<'a> {
        Database::of(self.home, self.interrupt)
    }

    /// Returns this home's kind of server. Its program is asked only once: writes may be waiting.
    pub(super) async fn flavor(&self) -> Result<&'static Flavor> {
        if let Some(flavor) = self.flavor.get() {
            return Ok(flavor);
        }
        let version = self.database().version().await?;
        let flavor = Flavor::of(&version).with_context(|| format!("{version} is not known"))?;
        Ok(self.flavor.get_or_init(|| flavor))
    }

    /// Takes the other node, with its open connection if there is one.
    pub(super) fn take_other(&self) -> Result<Watched> {
        let kept = self.other.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept {
            Some(watched) => Ok(watched),
            None => Ok(Watched::of(self.home, &self.home.require_membership()?)),
        }
    }

    /// Keeps the connection to the other node for the next use.
    pub(super) fn keep_other(&self, watched: Watched) {
        *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }

    pub(super) fn undo_file(&self) -> Result<&std::path::Path> {
        self.undo_file.as_deref().context("no file for the old rows was opened")
    }
}

/// Creates the folder `replication` if the home has none.
pub(super) fn make_replication(home: &Home) -> Result<()> {
    if home.replication().is_dir() {
        return Ok(());
    }
    // The server reads its boot files below it, under whatever account it runs.
    system::private_dir(&home.replication())?;
    system::set_mode(&home.replication(), 0o711)?;
    system::give_to(&home.replication(), system::owner(home.root())?)
}
