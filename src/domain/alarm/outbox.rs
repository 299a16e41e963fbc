//! The queue of messages: which channel still has to send what, and when it tries again.
//!
//! A channel sends its messages in order, so that no end arrives before its beginning. One that fails
//! tries again, with longer and longer pauses, and is reported through the others.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::event::{AlarmEvent, AlarmKind};
use super::{UnixSeconds, text_of};
use crate::domain::report::PairNode;
use crate::domain::words::one_line;

/// So many messages wait at most. Then the oldest is dropped.
pub const MOST: usize = 200;

/// A message that no attempt could send in this time is dropped: three days.
pub const GIVE_UP_AFTER: u64 = 259_200;

/// With so many failed attempts in a row a channel is reported.
const REPORT_AFTER: u32 = 3;

/// The pauses between attempts, in seconds. The last one repeats.
const PAUSES: [u64; 5] = [5, 15, 45, 120, 300];

/// Whether alarms get out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlarmFigures {
    /// Each channel, and whether its last attempt succeeded, or none was made.
    pub channels: Vec<(String, bool)>,
    /// The messages that wait.
    pub waiting: usize,
}

/// The queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outbox {
    /// The number of the next message.
    next: u64,
    /// The messages, the oldest first.
    letters: Vec<Letter>,
    /// The channels that failed last.
    failing: BTreeMap<String, Failing>,
    /// How many messages were dropped, ever.
    dropped: u64,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Letter {
    number: u64,
    event: AlarmEvent,
    /// The channels that have not sent it yet.
    to: BTreeSet<String>,
}

/// A channel that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Failing {
    since: UnixSeconds,
    attempts: u32,
    next_at: UnixSeconds,
    error: String,
    reported: bool,
}

/// One message for one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueLetter {
    /// The number of the message in the queue.
    pub number: u64,
    /// The channel.
    pub channel: String,
    /// The message.
    pub event: AlarmEvent,
}

impl Outbox {
    /// Adds a message for each of the channels, except the one that it is about.
    pub fn put(&mut self, event: AlarmEvent, channels: &BTreeSet<String>) {
        let to: BTreeSet<String> =
            channels.iter().filter(|name| event.channel.as_ref() != Some(*name)).cloned().collect();
        if to.is_empty() {
            return;
        }
        if event.kind == AlarmKind::Reminder {
            // A reminder that is still waiting says nothing that this one does not say.
            self.letters.retain(|letter| {
                letter.event.kind != AlarmKind::Reminder || letter.event.incident != event.incident
            });
        }
        self.letters.push(Letter { number: self.next, event, to });
        self.next += 1;
        while self.letters.len() > MOST {
            self.letters.remove(0);
            self.dropped += 1;
        }
    }

    /// Forgets channels that are not configured any more.
    pub fn keep_only(&mut self, channels: &BTreeSet<String>) {
        for letter in &mut self.letters {
            letter.to.retain(|name| channels.contains(name));
        }
        self.letters.retain(|letter| !letter.to.is_empty());
        self.failing.retain(|name, _| channels.contains(name));
    }

    /// Returns what can be sent now: for each channel that is not busy its oldest message.
    #[must_use]
    pub fn due(&self, now: UnixSeconds, busy: &BTreeSet<String>) -> Vec<DueLetter> {
        let mut asked = busy.clone();
        let mut out = Vec::new();
        for letter in &self.letters {
            for channel in &letter.to {
                if !asked.insert(channel.clone()) {
                    continue;
                }
                let waits = self.failing.get(channel).is_some_and(|failing| now < failing.next_at);
                if !waits {
                    out.push(DueLetter {
                        number: letter.number,
                        channel: channel.clone(),
                        event: letter.event.clone(),
                    });
                }
            }
        }
        out
    }

    /// Notes that a channel has sent a message. Returns the news that it works again.
    pub fn sent(
        &mut self,
        number: u64,
        channel: &str,
        now: UnixSeconds,
        node: Option<PairNode>,
    ) -> Option<AlarmEvent> {
        self.done(number, channel);
        let failing = self.failing.remove(channel).filter(|failing| failing.reported)?;
        Some(AlarmEvent::of_channel(channel, now, failing.since, None, node))
    }

    /// Notes that an attempt failed. Returns the news that the channel fails, once.
    pub fn failed(
        &mut self,
        number: u64,
        channel: &str,
        error: &str,
        now: UnixSeconds,
        node: Option<PairNode>,
    ) -> Option<AlarmEvent> {
        let failing = self.failing.entry(channel.to_owned()).or_insert_with(|| Failing {
            since: now,
            attempts: 0,
            next_at: now,
            error: String::new(),
            reported: false,
        });
        let last = PAUSES.len() - 1;
        let pause = PAUSES[usize::try_from(failing.attempts).unwrap_or(last).min(last)];
        failing.attempts = failing.attempts.saturating_add(1);
        failing.next_at = now + pause;
        failing.error = one_line(error);
        let news = (failing.attempts >= REPORT_AFTER && !failing.reported).then(|| {
            failing.reported = true;
            AlarmEvent::of_channel(channel, now, failing.since, Some(error), node)
        });
        let is_old =
            |letter: &Letter| letter.number == number && now.saturating_sub(letter.event.at) > GIVE_UP_AFTER;
        if self.letters.iter().any(is_old) {
            self.done(number, channel);
            self.dropped += 1;
        }
        news
    }

    fn done(&mut self, number: u64, channel: &str) {
        for letter in self.letters.iter_mut().filter(|letter| letter.number == number) {
            letter.to.remove(channel);
        }
        self.letters.retain(|letter| !letter.to.is_empty());
    }

    /// How many messages were dropped, ever: too many waited, or one waited for too long.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Whether every one of the channels fails: nobody would hear of an alarm.
    #[must_use]
    pub fn is_mute(&self, channels: &BTreeSet<String>) -> bool {
        !channels.is_empty() && channels.iter().all(|name| self.failing.contains_key(name))
    }

    /// Which of the channels work, and how much waits.
    #[must_use]
    pub fn figures(&self, channels: &BTreeSet<String>) -> AlarmFigures {
        let works = |name: &String| (name.clone(), !self.failing.contains_key(name));
        AlarmFigures { channels: channels.iter().map(works).collect(), waiting: self.letters.len() }
    }

    /// What waits, one line a channel that fails.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let one = |(name, failing): (&String, &Failing)| {
            let waiting = self.letters.iter().filter(|letter| letter.to.contains(name)).count();
            format!(
                "the channel {name} has failed since {}, and {waiting} of its messages wait: {}",
                text_of(failing.since),
                failing.error
            )
        };
        self.failing.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alarm::tests::example;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn numbered(message: u32) -> AlarmEvent {
        AlarmEvent { message, ..example() }
    }

    #[test]
    fn each_channel_sends_in_order_and_one_waits_for_no_other() {
        let (all, mut outbox) = (names(&["mail", "trap"]), Outbox::default());
        outbox.put(numbered(1), &all);
        outbox.put(numbered(2), &all);
        let due = |outbox: &Outbox, now, busy: &[&str]| -> Vec<(String, u32)> {
            outbox.due(now, &names(busy)).into_iter().map(|due| (due.channel, due.event.message)).collect()
        };
        assert_eq!(due(&outbox, 0, &[]), [("mail".into(), 1), ("trap".into(), 1)]);
        assert_eq!(due(&outbox, 0, &["mail"]), [("trap".into(), 1)]);
        assert_eq!(outbox.failed(0, "mail", "refused", 0, None), None);
        assert_eq!(outbox.sent(0, "trap", 0, None), None);
        assert_eq!(due(&outbox, 1, &[]), [("trap".into(), 2)]);
        assert_eq!(due(&outbox, 5, &[]), [("mail".into(), 1), ("trap".into(), 2)]);
    }

    #[test]
    fn a_channel_that_fails_is_reported_through_the_others_once_and_so_is_its_recovery() {
        let (all, mut outbox) = (names(&["mail", "trap"]), Outbox::default());
        outbox.put(numbered(1), &all);
        let mut news = Vec::new();
        for now in 0..50 {
            news.extend(outbox.failed(0, "mail", "no\nroute", now * 400, None));
        }
        let [told] = news.try_into().expect("one");
        assert_eq!((told.kind, told.channel.as_deref()), (AlarmKind::ChannelFailed, Some("mail")));
        assert_eq!(told.reasons[0].evidence, "no route");
        outbox.put(told, &all);
        assert_eq!(outbox.letters.last().expect("it").to, names(&["trap"]));
        assert!(
            outbox.complaints()[0].contains("1 of its messages wait: no route"),
            "{:?}",
            outbox.complaints()
        );
        let of = |mail| vec![("mail".to_owned(), mail), ("trap".to_owned(), true)];
        assert_eq!(outbox.figures(&all), AlarmFigures { channels: of(false), waiting: 2 });
        let works = outbox.sent(0, "mail", 20_000, None).expect("news");
        assert_eq!(outbox.figures(&all), AlarmFigures { channels: of(true), waiting: 2 });
        assert_eq!((works.kind, works.lasted), (AlarmKind::ChannelWorks, Some(20_000)));
        assert!(outbox.complaints().is_empty());
    }

    #[test]
    fn the_queue_is_bounded_in_length_and_time() {
        let (all, mut outbox) = (names(&["mail"]), Outbox::default());
        for message in 0..1000 {
            outbox.put(numbered(message), &all);
        }
        assert_eq!((outbox.letters.len(), outbox.dropped), (MOST, 800));
        assert_eq!(outbox.due(0, &names(&[]))[0].event.message, 800);
        let number = outbox.letters[0].number;
        let late = example().at + GIVE_UP_AFTER + 1;
        outbox.failed(number, "mail", "refused", late, None);
        assert_eq!(outbox.letters.len(), MOST - 1);
    }

    #[test]
    fn of_reminders_only_the_newest_waits() {
        let (all, mut outbox) = (names(&["mail"]), Outbox::default());
        for message in 1..5 {
            outbox.put(AlarmEvent { kind: AlarmKind::Reminder, ..numbered(message) }, &all);
        }
        assert_eq!(outbox.letters.iter().map(|letter| letter.event.message).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_channel_that_was_removed_is_forgotten() {
        let mut outbox = Outbox::default();
        outbox.put(numbered(1), &names(&["mail", "trap"]));
        outbox.failed(0, "mail", "refused", 0, None);
        assert!(outbox.is_mute(&names(&["mail"])) && !outbox.is_mute(&names(&["mail", "trap"])));
        outbox.keep_only(&names(&["other"]));
        assert!(outbox.is_empty() && outbox.complaints().is_empty());
    }
}
