//! Processes each look for the chronicle, the page, and the metrics file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::board::Board;
use super::keeper::Keeper;
use crate::adapters::home::Home;
use crate::adapters::{clock, look, system};
use crate::config::{Config, ConfigFile};
use crate::domain::alarm::AlarmEvent;
use crate::domain::alarm::outbox::AlarmFigures;
use crate::domain::chronicle::Sample;
use crate::domain::chronicle::occurrence::{Happening, Occurrence};
use crate::domain::page::PageView;
use crate::domain::page::metrics::{WatchFigures, metrics};
use crate::domain::report::Report;
use crate::domain::snapshot::Snapshot;

/// Seconds between two looks of a monitor that looks once, and is started again and again.
const BY_CRON: u64 = 900;

/// A look, and what it found.
#[derive(Debug, Clone, Copy)]
pub struct Glance<'a> {
    /// The verdict.
    pub report: &'a Report,
    /// What it was made from.
    pub snapshot: &'a Snapshot,
    /// How long it took.
    pub took: Duration,
    /// Whether alarms get out; `None` where another monitor sends them.
    pub alarms: Option<&'a AlarmFigures>,
}

/// Takes each look.
pub struct Witness {
    home: Home,
    keeper: Keeper,
    board: Arc<Board>,
    page: Option<tokio::task::JoinHandle<()>>,
    every: u64,
    looks: u64,
}

impl Witness {
    /// Begins to take looks. `every`: the seconds between two of them; `None` for one only.
    #[must_use]
    pub fn open(home: &Home, every: Option<Duration>) -> Self {
        let seconds = every.map(|every| every.as_secs());
        let patience = seconds.map_or(BY_CRON, |every| (3 * every + 15).max(60));
        let mut keeper = Keeper::open(home, patience);
        if seconds.is_some() {
            keeper.begin();
        }
        let every = seconds.unwrap_or(BY_CRON);
        Self { home: home.clone(), keeper, board: Arc::default(), page: None, every, looks: 0 }
    }

    /// Serves the page. Returns where.
    #[cfg(feature = "page")]
    pub async fn serve(
        &mut self,
        address: std::net::SocketAddr,
        config: &Config,
        source: &ConfigFile,
    ) -> Result<String> {
        use crate::adapters::page::PageServer;
        use crate::domain::page::html::POLICY;

        let server = PageServer::open(address, &config.page, source, POLICY).await?;
        let url = server.url()?;
        let board = Arc::clone(&self.board);
        self.page = Some(tokio::spawn(server.serve(Arc::new(move |path: &str| board.answer(path)))));
        Ok(url)
    }

    /// Reports that this program cannot.
    #[cfg(not(feature = "page"))]
    #[expect(clippy::unused_async, reason = "the other build waits for the system here")]
    pub async fn serve(
        &mut self,
        _address: std::net::SocketAddr,
        _config: &Config,
        _source: &ConfigFile,
    ) -> Result<String> {
        use crate::domain::built_in::Feature;
        use crate::failure::{Failure, Kind};
        let failure = Failure::new(Kind::Refused, "cannot serve the page").code("not-built-in");
        Err(failure.because(Feature::Page.absent()).hint(Feature::Page.hint()).into())
    }

    /// Processes a look, and what was announced.
    pub async fn see(&mut self, look: Glance<'_>, announced: &[AlarmEvent]) {
        let now = clock::seconds();
        self.looks += 1;
        self.keeper.see(Sample::of(now, look.report, look.snapshot), look.report, announced).await;
        if self.page.is_some() {
            let figures = WatchFigures { looks: Some(self.looks), took_ms: millis(look.took) };
            self.board.show(self.view(look, now), self.keeper.remembered(), figures);
        }
    }

    /// Stores occurrences that no look finds.
    pub fn note(&mut self, what: Happening) {
        self.keeper.note(what);
    }

    /// Stores what was announced without a look.
    pub fn announced(&mut self, event: &AlarmEvent) {
        self.keeper.note(Occurrence::alarm(event).what);
    }

    /// Stores an occurrence before something that can take minutes.
    pub async fn note_at_once(&mut self, what: Happening) {
        self.keeper.note(what);
        self.keeper.store().await;
    }

    fn view(&self, look: Glance<'_>, now: u64) -> PageView {
        let mut upkeep = look::upkeep::look(&self.home, self.keeper.occurrences());
        upkeep.alarms = look.alarms.cloned();
        PageView::of(look.report.clone(), look.snapshot, now, self.every, upkeep)
    }

    /// Writes the metrics of a look for `node_exporter`, which runs with another account.
    pub fn write_metrics(&self, look: Glance<'_>, file: &Path) -> Result<()> {
        let figures = WatchFigures { looks: None, took_ms: millis(look.took) };
        let text = metrics(&self.view(look, clock::seconds()), figures);
        system::write_atomic(file, text.as_bytes(), 0o644, None)
    }

    /// Returns what the operator should know, once.
    pub fn warnings(&mut self) -> Vec<String> {
        self.keeper.warnings()
    }

    /// Ends: what waits is written, and nobody is served any more.
    pub async fn end(self, is_over: bool) -> Vec<String> {
        if let Some(page) = self.page {
            page.abort();
        }
        self.keeper.end(is_over).await
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
