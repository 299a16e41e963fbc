//! The watch: announces what the monitor sees.
//!
//! Each look goes through [`Announcer::see`]: the rule decides, and every event of it goes to [`post`],
//! which sends it through the channels while the monitor looks on. [`Witness`] keeps each look in the
//! chronicle, and shows it on the page.

#[cfg_attr(not(feature = "page"), allow(dead_code, reason = "without the page nobody asks"))]
mod board;
mod keeper;
mod post;
mod transition;
mod witness;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::adapters::alert::{self, DeadMan};
use crate::adapters::clock;
use crate::adapters::home::Home;
use crate::adapters::look::watcher::{self, Presence};
use crate::adapters::system::{self, DirLock};
use crate::config::{Config, ConfigFile};
use crate::domain::alarm::outbox::AlarmFigures;
use crate::domain::alarm::{AlarmEvent, AlarmLook, AlarmState, Reason, Rules, is_good_look, step};
use crate::domain::pair::Role;
use crate::domain::report::{PairNode, Report};
use crate::failure::{Failure, Kind};

use self::post::Post;
pub use self::transition::TransitionHook;
pub use self::witness::{Glance, Witness};

/// The file with the state of the rule.
const STATE: &str = "state.json";

/// How long the end of a monitor may wait for messages that are under way.
const GOOD_BYE: Duration = Duration::from_secs(5);

/// What the monitor announces, and through what.
pub struct Announcer {
    home: Home,
    rules: Rules,
    state: AlarmState,
    saved: AlarmState,
    post: Arc<Post>,
    dead_man: Option<Arc<DeadMan>>,
    presence: Option<tokio::task::JoinHandle<()>>,
    asking: Option<tokio::task::JoinHandle<()>>,
    // Another monitor of this home would announce everything twice.
    _lock: DirLock,
}

impl Announcer {
    /// Makes the channels ready. Returns nothing if none is configured.
    pub fn open(home: &Home, config: &Config, source: &ConfigFile, goes_on: bool) -> Result<Option<Self>> {
        let folder = home.alarms();
        let channels = alert::open(&config.alarm, source, &folder)?;
        let dead_man = alert::dead_man(&config.alarm, source)?.map(Arc::new);
        if channels.is_empty() && dead_man.is_none() {
            return Ok(None);
        }
        system::private_dir(&folder)?;
        let lock = system::lock_dir(&folder).map_err(|error| match Failure::from_error(error) {
            held if held.kind == Kind::Refused => {
                Failure { what: "another monitor of this home is already running".into(), ..held }
                    .hint("Use `pmp-ha verify --watch`, or end the other monitor first.")
            }
            other => other,
        })?;
        let state = read_state(&folder.join(STATE))?;
        let state = if goes_on { state.resumed(clock::seconds()) } else { state };
        let post = Post::open(channels, folder.join("queue.json"))?;
        if goes_on {
            post.try_receivers(source);
        }
        let is_heard = goes_on && !post.is_silent();
        let presence = is_heard.then(|| tokio::spawn(be_present(home.clone(), Arc::clone(&post))));
        Ok(Some(Self {
            home: home.clone(),
            rules: config.alarm.rules(),
            saved: state.clone(),
            state,
            post,
            dead_man,
            presence,
            asking: None,
            _lock: lock,
        }))
    }

    /// Processes a look, and announces its changes.
    ///
    /// All events of the pair go through here. It returns them after they are on the disk.
    pub async fn see(&mut self, report: &Report) -> Vec<AlarmEvent> {
        let other_watches = self.ask_for_the_other(report).await;
        let look = AlarmLook { report, now: clock::seconds(), other_watches };
        let (state, mut events) = step(std::mem::take(&mut self.state), &self.rules, look);
        self.state = state;
        self.post.speaks_for(report.node.clone());
        for event in &events {
            self.post.put(event.clone());
        }
        // After the queue: an event that is told twice is better than one that is lost.
        self.keep_state();
        self.ask_dead_man(report);
        events.extend(self.post.news());
        events
    }

    /// Which channels work, and how much waits.
    #[must_use]
    pub fn figures(&self) -> AlarmFigures {
        self.post.figures()
    }

    /// Announces that the monitor stops the database of this node, which was replaced.
    pub fn replaced(&mut self, why: Reason, nodes: [PairNode; 2]) -> Option<AlarmEvent> {
        self.post.speaks_for(nodes.first().cloned());
        let event = self.state.replaced(clock::seconds(), why, nodes)?;
        self.post.put(event.clone());
        self.keep_state();
        Some(event)
    }

    /// Returns what was announced of channels since the last look.
    #[must_use]
    pub fn news(&self) -> Vec<AlarmEvent> {
        self.post.news()
    }

    /// What the operator should know: failures of channels.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.post.warnings()
    }

    /// Waits for messages that are under way, for a moment. What is not sent stays in the queue.
    pub async fn end(self) -> Vec<String> {
        if let Some(presence) = &self.presence {
            presence.abort();
        }
        // ignored: what waits stays in the queue
        let _ = tokio::time::timeout(GOOD_BYE, self.post.settled()).await;
        self.post.warnings()
    }

    /// Waits until every message was tried once, and the dead man's switch has answered.
    pub async fn settled(&mut self) {
        if let Some(asking) = self.asking.take() {
            // ignored: it warns by itself
            let _ = asking.await;
        }
        self.post.settled().await;
    }

    /// Whether the other monitor watches; asked only if that matters.
    async fn ask_for_the_other(&self, report: &Report) -> Option<bool> {
        let is_secondary = report.node.as_ref().is_some_and(|node| node.role == Role::Secondary);
        if !is_secondary || self.post.is_silent() || self.state.is_quiet(report) {
            return None;
        }
        let membership = self.home.membership().ok().flatten()?;
        Some(watcher::primary_watches(&self.home, &membership).await)
    }

    /// Asks the dead man's switch after a good look.
    fn ask_dead_man(&mut self, report: &Report) {
        let Some(dead_man) = self.dead_man.clone() else { return };
        if !is_good_look(report, self.post.is_mute()) {
            return;
        }
        let post = Arc::clone(&self.post);
        self.asking = Some(tokio::spawn(async move {
            if let Err(error) = dead_man.ask().await {
                post.warn(format!("the dead man's switch cannot be reached: {error:#}"));
            }
        }));
    }

    fn keep_state(&mut self) {
        if self.state.is_as(&self.saved) {
            return;
        }
        match self.save() {
            Ok(()) => self.saved = self.state.clone(),
            Err(error) => self.post.warn(format!("cannot store the state of the alarms: {error:#}")),
        }
    }

    fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.state)?;
        system::write_atomic(&self.home.alarms().join(STATE), text.as_bytes(), 0o600, None)
    }
}

/// Reads the state. A file that is damaged is set aside: a failure is announced again, not missed.
fn read_state(path: &Path) -> Result<AlarmState> {
    let text = match system::read_text(path, system::SMALL) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(AlarmState::default()),
        Err(error) => return Err(error.into()),
    };
    if let Ok(state) = serde_json::from_str(&text) {
        return Ok(state);
    }
    fs::rename(path, path.with_extension("damaged")).context("cannot set the state aside")?;
    Ok(AlarmState::default())
}

/// Lets the other monitor know that this one watches, while this node is the primary and its alarms
/// get out.
async fn be_present(home: Home, post: Arc<Post>) {
    let mut presence = Presence::default();
    loop {
        match home.membership() {
            Ok(Some(membership)) if !post.is_mute() => presence.announce(&home, &membership).await,
            _ => presence.withdraw().await,
        }
        tokio::time::sleep(watcher::PACE).await;
    }
}
