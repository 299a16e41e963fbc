//! The rule of alarms: from what was remembered and what was seen to what is announced.
//!
//! Each of the two statuses has a course of its own. A failure is announced when it has lasted for
//! the hold-down, and ends when Alive has. Unknown is not Failed: it neither begins nor ends anything,
//! unless nothing is seen for long. A status that fails again and again is one incident until it has
//! been calm.

use serde::{Deserialize, Serialize};

use super::event::{AlarmEvent, AlarmKind, Reason};
use super::{UnixSeconds, in_format};
use crate::domain::health::{About, Status};
use crate::domain::pair::Role;
use crate::domain::report::{PairNode, Report};

/// The times of the rule, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A failure shorter than this is not announced.
    pub hold_down: u64,
    /// A recovery is announced when it has lasted so long.
    pub hold_up: u64,
    /// Between two reminders of a failure; 0 for none.
    pub remind_every: u64,
    /// Nothing seen for so long is announced; 0 for never.
    pub blind_after: u64,
    /// With so many failures within [`FLAP_WINDOW`] a status flaps.
    pub flaps: usize,
    /// A status that flaps has recovered when it was Alive for so long.
    pub calm: u64,
}

impl Rules {
    /// The defaults.
    pub const DEFAULT: Self =
        Self { hold_down: 20, hold_up: 20, remind_every: 14_400, blind_after: 900, flaps: 4, calm: 900 };
}

/// The time within which failures are counted.
pub const FLAP_WINDOW: u64 = 3600;

/// So many failures are remembered at most.
const MOST_FAILURES: usize = 200;

/// How long the primary's monitor must be gone before the secondary's announces instead.
pub const ALONE_FOR: u64 = 60;

/// Everything that is remembered between two looks, and over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlarmState {
    /// When the last look was.
    at: UnixSeconds,
    /// Since when no other monitor of the pair is known to watch.
    alone_since: Option<UnixSeconds>,
    /// Of the connection.
    high_availability: Course,
    /// Of the applying.
    replication: Course,
}

/// What is remembered of one status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Course {
    /// The last word that was not Unknown, and since when.
    known: Option<(Word, UnixSeconds)>,
    /// Since when the hold-down is counted: a restart of the monitor begins it anew.
    held_from: UnixSeconds,
    /// Since when nothing was seen.
    unknown_since: Option<UnixSeconds>,
    /// When the last failures began, the newest last.
    failures: Vec<UnixSeconds>,
    /// The incident that is open.
    incident: Option<Incident>,
}

/// A word that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Word {
    Alive,
    Failed,
}

/// A failure that is announced, or kept for the other monitor to announce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Incident {
    /// Names it in every message.
    id: String,
    /// When it began.
    since: UnixSeconds,
    /// What it was told as; `None` while it was not told by this monitor.
    told: Option<AlarmKind>,
    /// What it is.
    kind: AlarmKind,
    /// When it was told, or reminded of, last.
    last: UnixSeconds,
    /// How many messages were sent.
    messages: u32,
    /// The reasons, as they were last seen.
    reasons: Vec<Reason>,
}

/// What one look adds.
#[derive(Debug, Clone, Copy)]
pub struct AlarmLook<'a> {
    /// What was seen.
    pub report: &'a Report,
    /// When.
    pub now: UnixSeconds,
    /// Whether the other node's monitor runs and can announce; `None` if unknown.
    pub other_watches: Option<bool>,
}

impl AlarmState {
    /// Returns whether there is something to decide, for which the other monitor matters.
    #[must_use]
    pub fn is_quiet(&self, report: &Report) -> bool {
        let alive = |status| status == Status::Alive;
        alive(report.health.high_availability)
            && alive(report.health.replication)
            && self.high_availability.incident.is_none()
            && self.replication.incident.is_none()
    }

    /// Returns whether another state is equal, apart from the time of the last look.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        self.alone_since == other.alone_since
            && self.high_availability == other.high_availability
            && self.replication == other.replication
    }

    /// Takes up the work after a restart. What was not announced yet must last for the whole
    /// hold-down again: the servers may be starting as well.
    #[must_use]
    pub fn resumed(mut self, now: UnixSeconds) -> Self {
        self.alone_since = None;
        for course in [&mut self.high_availability, &mut self.replication] {
            course.held_from = now;
            if course.unknown_since.is_some() {
                course.unknown_since = Some(now);
            }
        }
        self
    }

    /// Returns the message that the monitor stops the database of this node, which was replaced. It belongs to the
    /// failure of the connection, which begins now unless it is open. Nothing if that was told before.
    pub fn replaced(&mut self, now: UnixSeconds, why: Reason, nodes: [PairNode; 2]) -> Option<AlarmEvent> {
        let course = &mut self.high_availability;
        let is_told = course.incident.as_ref().is_some_and(|open| {
            open.told == Some(AlarmKind::Failed) && open.reasons.iter().any(|reason| reason.what == why.what)
        });
        if is_told {
            return None;
        }
        course.open(About::HighAvailability, AlarmKind::Failed, now, now);
        let incident = course.incident.as_mut()?;
        incident.reasons = vec![why];
        incident.told = Some(AlarmKind::Failed);
        incident.last = now;
        incident.messages += 1;
        let [node, peer] = nodes;
        let summary = format!("The monitor of {} stops the database.", node.host);
        Some(AlarmEvent {
            node: Some(node),
            peer: Some(peer),
            summary,
            ..incident.event(AlarmKind::Failed, About::HighAvailability, now)
        })
    }

    /// A clock that was set back makes nothing last longer.
    fn set_back(&mut self, now: UnixSeconds) {
        self.alone_since = self.alone_since.map(|at| at.min(now));
        for course in [&mut self.high_availability, &mut self.replication] {
            course.held_from = course.held_from.min(now);
            course.unknown_since = course.unknown_since.map(|at| at.min(now));
            course.known = course.known.map(|(word, at)| (word, at.min(now)));
            for at in &mut course.failures {
                *at = (*at).min(now);
            }
            if let Some(incident) = &mut course.incident {
                incident.since = incident.since.min(now);
                incident.last = incident.last.min(now);
            }
        }
    }
}

/// Whether a dead man's switch is asked after a look: the connection was seen, Alive or Failed, and alarms get out.
/// `mute`: no channel gets a message out.
#[must_use]
pub fn is_good_look(report: &Report, mute: bool) -> bool {
    report.health.high_availability != Status::Unknown && !mute
}

/// Returns the new state after a look, and what to announce.
#[must_use]
pub fn step(mut state: AlarmState, rules: &Rules, look: AlarmLook<'_>) -> (AlarmState, Vec<AlarmEvent>) {
    let AlarmLook { report, now, other_watches } = look;
    if now < state.at {
        state.set_back(now);
    }
    state.at = now;
    match other_watches {
        // What nobody asked is not known.
        Some(true) | None => state.alone_since = None,
        Some(false) => {
            state.alone_since.get_or_insert(now);
        }
    }
    let alone = state.alone_since.is_some_and(|since| now - since >= ALONE_FOR);
    let is_secondary = report.node.as_ref().is_some_and(|node| node.role == Role::Secondary);
    let speaks = !is_secondary || alone;
    let mut events = Vec::new();
    let connection = report.health.high_availability;
    let courses = [
        (About::HighAvailability, connection, &mut state.high_availability),
        (About::Replication, report.health.replication, &mut state.replication),
    ];
    for (about, status, course) in courses {
        // Without a connection nobody sees the applying: one alarm says it.
        let may_be_blind = about == About::HighAvailability || connection == Status::Alive;
        let told = course.next(about, status, rules, &look, speaks, may_be_blind);
        events.extend(told);
    }
    (state, events)
}

impl Course {
    fn next(
        &mut self,
        about: About,
        status: Status,
        rules: &Rules,
        look: &AlarmLook<'_>,
        speaks: bool,
        may_be_blind: bool,
    ) -> Option<AlarmEvent> {
        let now = look.now;
        self.see(status, rules, now, may_be_blind);
        let flaps = self.flaps(rules, now);
        let held = now.saturating_sub(self.held_from);
        let open = self.incident.as_ref().map(|incident| incident.kind);
        let failed_since = self.known.filter(|(word, _)| *word == Word::Failed).map(|(_, since)| since);
        match status {
            Status::Failed if open != Some(AlarmKind::Failed) && (held >= rules.hold_down || flaps) => {
                self.open(about, AlarmKind::Failed, failed_since.unwrap_or(now), now);
            }
            Status::Unknown if open.is_none() && self.is_blind(rules, now) => {
                self.open(about, AlarmKind::Unknown, self.unknown_since.unwrap_or(now), now);
            }
            Status::Alive if open.is_some() => {
                let wanted = if flaps { rules.calm.max(rules.hold_up) } else { rules.hold_up };
                if held >= wanted {
                    return self.end(about, look);
                }
            }
            Status::Alive | Status::Failed | Status::Unknown => {}
        }
        let repeats = if flaps { self.failures.len() } else { 0 };
        let incident = self.incident.as_mut()?;
        let reasons = Reason::of(look.report, about);
        if !reasons.is_empty() && status != Status::Alive {
            incident.reasons = reasons;
        }
        let is_told = incident.told == Some(incident.kind);
        let is_due = rules.remind_every > 0 && now.saturating_sub(incident.last) >= rules.remind_every;
        let kind = match (is_told, speaks) {
            (false, true) => incident.kind,
            (true, true) if is_due && status != Status::Alive => AlarmKind::Reminder,
            _ => return None,
        };
        if kind != AlarmKind::Reminder {
            incident.told = Some(kind);
        }
        incident.last = now;
        incident.messages += 1;
        Some(AlarmEvent { failures: repeats, ..incident.event(kind, about, look.now).seen_in(look.report) })
    }

    /// Notes what was seen.
    fn see(&mut self, status: Status, rules: &Rules, now: UnixSeconds, may_be_blind: bool) {
        let word = match status {
            Status::Alive => Word::Alive,
            Status::Failed => Word::Failed,
            Status::Unknown => {
                // Alive is earned: a time that was not seen does not count.
                if self.known.is_some_and(|(word, _)| word == Word::Alive) {
                    self.held_from = now;
                }
                if may_be_blind {
                    self.unknown_since.get_or_insert(now);
                } else {
                    self.unknown_since = None;
                }
                return;
            }
        };
        self.unknown_since = None;
        if self.known.is_some_and(|(known, _)| known == word) {
            return;
        }
        self.known = Some((word, now));
        self.held_from = now;
        if word == Word::Failed {
            self.failures.retain(|at| now.saturating_sub(*at) <= FLAP_WINDOW);
            self.failures.push(now);
            let surplus = self.failures.len().saturating_sub(MOST_FAILURES.max(rules.flaps));
            self.failures.drain(..surplus);
        }
    }

    fn flaps(&self, rules: &Rules, now: UnixSeconds) -> bool {
        let counted = self.failures.iter().filter(|at| now.saturating_sub(**at) <= FLAP_WINDOW).count();
        rules.flaps > 1 && counted >= rules.flaps
    }

    fn is_blind(&self, rules: &Rules, now: UnixSeconds) -> bool {
        let since = self.unknown_since.map_or(0, |since| now.saturating_sub(since));
        rules.blind_after > 0 && since >= rules.blind_after
    }

    /// Opens an incident, or makes one that nobody saw through a failure.
    fn open(&mut self, about: About, kind: AlarmKind, since: UnixSeconds, now: UnixSeconds) {
        if let Some(incident) = &mut self.incident {
            incident.kind = kind;
            return;
        }
        let is_connection = about == About::HighAvailability;
        let prefix = if is_connection { "ha" } else { "replication" };
        let id = format!("{prefix}-{}", in_format(since, "%Y%m%d-%H%M%S"));
        self.incident =
            Some(Incident { id, since, told: None, kind, last: now, messages: 0, reasons: Vec::new() });
    }

    /// Ends an incident. Whoever announced it announces its end.
    fn end(&mut self, about: About, look: &AlarmLook<'_>) -> Option<AlarmEvent> {
        let ended = self.known.map_or(look.now, |(_, since)| since.max(self.held_from));
        let mut incident = self.incident.take().filter(|incident| incident.told.is_some())?;
        incident.messages += 1;
        let lasted = Some(ended.saturating_sub(incident.since));
        Some(AlarmEvent { lasted, ..incident.event(AlarmKind::Alive, about, look.now).seen_in(look.report) })
    }
}

impl Incident {
    fn event(&self, kind: AlarmKind, about: About, at: UnixSeconds) -> AlarmEvent {
        AlarmEvent {
            schema: super::event::SCHEMA,
            kind,
            about: Some(about),
            incident: self.id.clone(),
            message: self.messages,
            at,
            since: self.since,
            lasted: None,
            failures: 0,
            node: None,
            peer: None,
            summary: String::new(),
            reasons: self.reasons.clone(),
            channel: None,
        }
    }
}

#[cfg(test)]
mod tests;
