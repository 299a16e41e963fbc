//! Sends what waits in the queue, with a separate task for each channel.
//!
//! It stores the queue on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use fs_err as fs;

use crate::adapters::alert::AlarmChannel;
use crate::adapters::{clock, system};
use crate::config::ConfigFile;
use crate::domain::alarm::AlarmEvent;
use crate::domain::alarm::outbox::{AlarmFigures, DueLetter, Outbox};
use crate::domain::report::PairNode;

/// How often the queue is looked at while something waits.
const TICK: Duration = Duration::from_millis(500);

/// So many warnings are kept for the operator.
const WARNINGS: usize = 20;

/// The channels and their queue.
pub struct Post {
    channels: BTreeMap<String, AlarmChannel>,
    names: BTreeSet<String>,
    path: PathBuf,
    inside: Mutex<Inside>,
    wake: tokio::sync::Notify,
}

struct Inside {
    outbox: Outbox,
    busy: BTreeSet<String>,
    node: Option<PairNode>,
    warnings: Vec<String>,
    news: Vec<AlarmEvent>,
    dropped: u64,
}

impl Post {
    /// Reads the queue, and begins to send. Needs a tokio runtime.
    pub fn open(channels: Vec<AlarmChannel>, path: PathBuf) -> Result<Arc<Self>> {
        let mut warnings = Vec::new();
        let mut outbox: Outbox = match system::read_text(&path, system::LARGE) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Outbox::default(),
            Err(error) => return Err(error.into()),
            Ok(text) => match serde_json::from_str(&text) {
                Ok(outbox) => outbox,
                Err(error) => {
                    let aside = path.with_extension("damaged");
                    warnings.push(format!("the queue of alarms is damaged ({error}), and was set aside"));
                    fs::rename(&path, aside)?;
                    Outbox::default()
                }
            },
        };
        let channels: BTreeMap<String, AlarmChannel> =
            channels.into_iter().map(|channel| (channel.name.clone(), channel)).collect();
        let names: BTreeSet<String> = channels.keys().cloned().collect();
        outbox.keep_only(&names);
        warnings.extend(outbox.complaints());
        let dropped = outbox.dropped();
        let inside =
            Inside { outbox, busy: BTreeSet::new(), node: None, warnings, news: Vec::new(), dropped };
        let wake = tokio::sync::Notify::new();
        let post = Arc::new(Self { channels, names, path, inside: Mutex::new(inside), wake });
        tokio::spawn(Arc::clone(&post).send_on());
        Ok(post)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // A panic of another task leaves nothing half done in here.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets which node announces.
    pub fn speaks_for(&self, node: Option<PairNode>) {
        self.inside().node = node;
    }

    /// Puts an event into the queue of every channel.
    pub fn put(&self, event: AlarmEvent) {
        let mut inside = self.inside();
        inside.outbox.put(event, &self.names);
        self.save(&mut inside);
        drop(inside);
        self.wake.notify_one();
    }

    /// Which channels work, and how much waits.
    pub fn figures(&self) -> AlarmFigures {
        self.inside().outbox.figures(&self.names)
    }

    /// Whether there is no channel at all.
    pub fn is_silent(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether no channel gets a message out.
    pub fn is_mute(&self) -> bool {
        self.inside().outbox.is_mute(&self.names)
    }

    /// Keeps a warning for the operator.
    pub fn warn(&self, warning: String) {
        let warnings = &mut self.inside().warnings;
        if warnings.len() < WARNINGS && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// Returns the warnings since the last call.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.inside().warnings)
    }

    /// Returns what was announced of the channels themselves since the last call.
    pub fn news(&self) -> Vec<AlarmEvent> {
        std::mem::take(&mut self.inside().news)
    }

    /// Tries every receiver, and warns of those that cannot be reached now. Nobody waits for it.
    pub fn try_receivers(self: &Arc<Self>, source: &ConfigFile) {
        for (name, channel) in &self.channels {
            let (post, name, place) = (Arc::clone(self), name.clone(), source.place_of(&channel.receiver));
            tokio::spawn(async move {
                let Some(channel) = post.channels.get(&name) else { return };
                if let Err(error) = channel.reach().await {
                    post.warn(format!(
                        "the alarm channel {name} cannot be reached now, and its messages wait in the queue: {place}: {error:#}"
                    ));
                }
            });
        }
    }

    /// Waits until nothing is under way, and nothing can be sent now.
    pub async fn settled(&self) {
        loop {
            {
                let inside = self.inside();
                if inside.busy.is_empty() && inside.outbox.due(clock::seconds(), &inside.busy).is_empty() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn send_on(self: Arc<Self>) {
        loop {
            let (due, waits) = {
                let mut inside = self.inside();
                let due = inside.outbox.due(clock::seconds(), &inside.busy);
                inside.busy.extend(due.iter().map(|due| due.channel.clone()));
                (due, !inside.outbox.is_empty())
            };
            for due in due {
                tokio::spawn(Arc::clone(&self).send(due));
            }
            if waits {
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(TICK) => {}
                }
            } else {
                self.wake.notified().await;
            }
        }
    }

    async fn send(self: Arc<Self>, DueLetter { number, channel, event }: DueLetter) {
        let sent = match self.channels.get(&channel) {
            Some(known) => known.send(&event).await,
            None => Ok("it is not configured any more".into()),
        };
        let now = clock::seconds();
        let mut inside = self.inside();
        let node = inside.node.clone();
        let news = match &sent {
            Ok(_) => inside.outbox.sent(number, &channel, now, node),
            Err(error) => {
                let error = format!("{error:#}");
                let news = inside.outbox.failed(number, &channel, &error, now, node);
                if news.is_some() {
                    inside.warnings.push(format!("the alarm channel {channel} fails: {error}"));
                }
                news
            }
        };
        if let Some(news) = news {
            inside.outbox.put(news.clone(), &self.names);
            inside.news.push(news);
        }
        inside.busy.remove(&channel);
        self.save(&mut inside);
        drop(inside);
        self.wake.notify_one();
    }

    fn save(&self, inside: &mut Inside) {
        let dropped = inside.outbox.dropped();
        if dropped > inside.dropped && inside.warnings.len() < WARNINGS {
            let more = dropped - std::mem::replace(&mut inside.dropped, dropped);
            inside
                .warnings
                .push(format!("the queue of alarms is full or too old: {more} messages were dropped"));
        }
        let written = serde_json::to_string(&inside.outbox)
            .map_err(Into::into)
            .and_then(|text| system::write_atomic(&self.path, text.as_bytes(), 0o600, None));
        if let Err(error) = written
            && inside.warnings.len() < WARNINGS
        {
            inside.warnings.push(format!("the queue of alarms cannot be stored: {error:#}"));
        }
    }
}
