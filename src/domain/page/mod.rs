//! The monitor's page, its charts and its metrics: from what was seen to what is shown.

pub mod chart;
pub mod handbook;
pub mod html;
mod lists;
pub mod markup;
pub mod metrics;
pub mod serving;

use std::sync::Arc;

use super::alarm::UnixSeconds;
use super::alarm::outbox::AlarmFigures;
use super::chronicle::availability::Availability;
use super::chronicle::occurrence::Occurrence;
use super::chronicle::{Sample, beat_age};
use super::health::Status;
use super::lag;
use super::pair::{Node, Pair, Role};
use super::report::Report;
use super::snapshot::{ChannelTls, Observed, Receiver, Snapshot};

/// Everything that the page shows of one look.
#[derive(Debug, Clone, PartialEq)]
pub struct PageView {
    /// The verdict.
    pub report: Report,
    /// When the look was over.
    pub at: UnixSeconds,
    /// Seconds between two looks.
    pub every: u64,
    /// Both nodes, the primary first.
    pub nodes: [NodeView; 2],
    /// The channel to the secondary, and the return channel.
    pub channels: [ChannelView; 2],
    /// What is known of this home besides.
    pub upkeep: Upkeep,
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageAnswer {
    /// The status of HTTP.
    pub status: u16,
    /// The type of the content.
    pub kind: &'static str,
    /// The content.
    pub body: Arc<str>,
}

impl PageAnswer {
    /// A good answer.
    #[must_use]
    pub fn ok(kind: &'static str, body: impl Into<Arc<str>>) -> Self {
        Self { status: 200, kind, body: body.into() }
    }
}

/// A node as the page shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// The name under which the other node reaches it.
    pub host: String,
    /// The port of its database.
    pub port: u16,
    /// What it is in the pair.
    pub role: Role,
    /// Whether the monitor runs on it.
    pub is_here: bool,
    /// Whether Password Manager Pro itself answers there.
    pub product: Status,
    /// Its database: the version of the server that answers, or why it was not seen.
    pub database: Result<String, String>,
    /// How old its newest heartbeat is, in seconds.
    pub beat: Option<f64>,
}

/// One direction of replication as the page shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelView {
    /// Who receives.
    pub at: Role,
    /// What is known of it; `None` if its replica was not seen.
    pub state: Option<ChannelState>,
    /// How far it is behind, in seconds.
    pub lag: Option<f64>,
}

/// What is known of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelState {
    /// Whether something arrives.
    pub receives: bool,
    /// Whether it is applied.
    pub applies: bool,
    /// How it is encrypted.
    pub tls: ChannelTls,
}

/// What is known of this home in addition to the look. An absent figure is unknown or never was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// When the last pack was made or installed.
    pub packed: Option<UnixSeconds>,
    /// When the data were last compared, and whether they were equal.
    pub compared: Option<(UnixSeconds, bool)>,
    /// When a recovery was last rehearsed, and whether it found no defect.
    pub rehearsed: Option<(UnixSeconds, bool)>,
    /// Certificates of the pair: whose each is, and when it ends.
    pub certificates: Vec<(String, UnixSeconds)>,
    /// Bytes of binlogs beside the data.
    pub binlogs: Option<u64>,
    /// Bytes free on the disk with the data.
    pub free: Option<u64>,
    /// Whether alarms get out.
    pub alarms: Option<AlarmFigures>,
}

/// What the monitor remembers, for the charts and lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    /// The samples of the last month, the oldest first.
    pub samples: Vec<Sample>,
    /// What happened, the newest last.
    pub occurrences: Vec<Occurrence>,
    /// How long each status lasted.
    pub availability: Option<Availability>,
}

impl PageView {
    /// The view of one look.
    #[must_use]
    pub fn of(report: Report, snapshot: &Snapshot, at: UnixSeconds, every: u64, upkeep: Upkeep) -> Self {
        let nodes = [Role::Primary, Role::Secondary].map(|role| NodeView::of(snapshot, role));
        let channels = [Role::Secondary, Role::Primary].map(|at| ChannelView::of(snapshot, at));
        let ends = |ends: i64| UnixSeconds::try_from(ends).unwrap_or(0);
        let certificates = snapshot.certificates.iter().map(|each| (each.whose.clone(), ends(each.ends)));
        let mut upkeep = upkeep;
        upkeep.free = snapshot.disk;
        upkeep.certificates = certificates.collect();
        Self { report, at, every, nodes, channels, upkeep }
    }

    /// The node on which the monitor runs.
    #[must_use]
    pub fn here(&self) -> &NodeView {
        self.nodes.iter().find(|node| node.is_here).unwrap_or(&self.nodes[0])
    }

    /// Whether the look is too old to use.
    #[must_use]
    pub fn is_stale(&self, now: UnixSeconds) -> bool {
        now.saturating_sub(self.at) > stale_after(self.every)
    }
}

/// After this many seconds without a look, the monitor counts as stopped.
#[must_use]
pub fn stale_after(every: u64) -> u64 {
    // A look may take five seconds, and one may be late.
    2 * every + 10
}

impl NodeView {
    fn of(snapshot: &Snapshot, role: Role) -> Self {
        let Node { host, db_port, .. } = snapshot.membership.pair.node(role);
        let database = match snapshot.observed(role) {
            Observed::Seen(server) => Ok(server.version.to_string()),
            Observed::NotSeen(blind) => Err(blind.evidence.clone()),
        };
        let is_here = role == snapshot.membership.role;
        Self {
            host: host.clone(),
            port: *db_port,
            role,
            is_here,
            product: snapshot.web.of(role, snapshot.membership.role).status(is_here),
            database,
            beat: beat_age(snapshot, role),
        }
    }
}

impl ChannelView {
    fn of(snapshot: &Snapshot, at: Role) -> Self {
        let replica = snapshot.server(at).and_then(|server| server.replica.as_ref());
        let state = replica.map(|replica| ChannelState {
            receives: replica.receiver == Receiver::Connected && lag::link_lives(replica),
            applies: replica.applier_runs,
            tls: replica.channel_tls,
        });
        Self { at, state, lag: lag::while_it_lives(snapshot, at) }
    }

    /// Who sends.
    #[must_use]
    pub fn from(&self) -> Role {
        Pair::peer_of(self.at)
    }
}

/// The class of a status in the style sheet.
fn class(status: Status) -> &'static str {
    match status {
        Status::Alive => "alive",
        Status::Failed => "failed",
        Status::Unknown => "unknown",
    }
}

/// A number of bytes for people.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (number as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::{About, Finding, Health, Severity};
    use crate::domain::report::PairNode;

    /// A pair as a monitor on its primary sees it; the secondary's name and server are hostile.
    pub fn hostile() -> PageView {
        let evil = "<script>alert(1)</script>";
        let node = |host: &str, role, database| NodeView {
            host: host.into(),
            port: 2345,
            role,
            is_here: role == Role::Primary,
            product: Status::Unknown,
            database,
            beat: Some(1.2),
        };
        let finding = Finding {
            code: "peer-unreachable",
            about: About::HighAvailability,
            severity: Severity::Failed,
            what: format!("the secondary {evil} cannot be reached"),
            evidence: "\"><img src=x onerror=alert(1)>".into(),
            hint: "See whether its machine runs.".into(),
        };
        let health = Health {
            high_availability: Status::Failed,
            replication: Status::Unknown,
            summary: evil.into(),
            findings: vec![finding],
        };
        let mut report = Report::new(health, "2026-02-03T04:05:06Z".into(), "0.1.0");
        let place = |host: &str, role| Some(PairNode { host: host.into(), port: 2345, role });
        report.node = place("pmp-1.example.com", Role::Primary);
        report.peer = place(evil, Role::Secondary);
        report.measures.lag_seconds = Some(0.4);
        let state = ChannelState { receives: true, applies: true, tls: ChannelTls::Verified };
        PageView {
            report,
            at: 1_770_091_506,
            every: 5,
            nodes: [
                node("pmp-1.example.com", Role::Primary, Ok("MariaDB 11.8.2".into())),
                node(evil, Role::Secondary, Err(format!("{evil} says no"))),
            ],
            channels: [
                ChannelView { at: Role::Secondary, state: Some(state), lag: Some(0.4) },
                ChannelView { at: Role::Primary, state: None, lag: None },
            ],
            upkeep: Upkeep {
                packed: Some(1_770_000_000),
                rehearsed: Some((1_770_050_000, false)),
                free: Some(12_345_678_901),
                certificates: vec![(format!("the certificate of {evil}"), 1_770_950_000)],
                alarms: Some(AlarmFigures { channels: vec![(evil.into(), false)], waiting: 3 }),
                ..Upkeep::default()
            },
        }
    }

    #[test]
    fn bytes_are_told_with_three_digits() {
        let told = [0, 999, 1000, 99_949, 99_950, 12_345_678_901].map(bytes);
        assert_eq!(told, ["0 B", "999 B", "1.0 kB", "99.9 kB", "100 kB", "12.3 GB"]);
    }
}
