//! The report for programs: the verdict, where, when, and the measures. See `docs/health.md`.
//!
//! A field may be added at any time; one that goes or changes its meaning raises [`SCHEMA`].

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::health::{Health, Status};
use super::lag;
use super::pair::{Membership, Node, Pair, Role};
use super::snapshot::{BlindReason, Observed, RoundTrip, Snapshot};
use super::web::Services;

/// The number of the schema.
pub const SCHEMA: u32 = 1;

/// The report of one check of a pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When, RFC 3339 UTC.
    pub at: String,
    /// The version of the tool.
    pub tool: String,
    /// The node that was checked from; `None` for a home without a pair.
    pub node: Option<PairNode>,
    /// The other node.
    pub peer: Option<PairNode>,
    /// The previous verdict of a watcher, if it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_from: Option<Verdict>,
    /// The previous services of a watcher, if Password Manager Pro has begun or stopped answering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services_changed_from: Option<NodeServices>,
    /// The verdict with its reasons.
    #[serde(flatten)]
    pub health: Health,
    /// Server and database of each node apart; absent for a home without a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<NodeServices>,
    /// What was measured.
    pub measures: Measures,
}

/// What runs on each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NodeServices {
    /// On the primary.
    pub primary: Services,
    /// On the secondary.
    pub secondary: Services,
}

/// A node of the pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairNode {
    /// The name under which the other node reaches it.
    pub host: String,
    /// The port of its database.
    pub port: u16,
    /// What it is in the pair.
    pub role: Role,
}

impl PairNode {
    /// This node and the other one, as this node knows them.
    #[must_use]
    pub fn of(membership: &Membership) -> [Self; 2] {
        let place = |node: &Node, role| Self { host: node.host.clone(), port: node.db_port, role };
        let own = membership.role;
        [place(membership.this(), own), place(membership.peer(), Pair::peer_of(own))]
    }
}

/// `HOST:PORT`, the host in brackets if it is an IPv6 address.
impl fmt::Display for PairNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The measures. An absent one is unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Measures {
    /// How far the secondary is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// How far the primary is behind with the audit rows of the secondary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_lag_seconds: Option<f64>,
    /// With `--prove`: until the heartbeat was seen on the other node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there_seconds: Option<f64>,
    /// With `--prove`: until its echo was back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_seconds: Option<f64>,
}

/// The two statuses of the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Of the connection.
    pub high_availability: Status,
    /// Of the applying.
    pub replication: Status,
}

impl Report {
    /// The report on a home, at the time `at`, by the version `tool`.
    #[must_use]
    pub fn new(health: Health, at: String, tool: &str) -> Self {
        Self {
            schema: SCHEMA,
            at,
            tool: tool.to_owned(),
            node: None,
            peer: None,
            changed_from: None,
            services_changed_from: None,
            health,
            services: None,
            measures: Measures::default(),
        }
    }

    /// Adds information from the snapshot to the verdict.
    #[must_use]
    pub fn about(self, snapshot: &Snapshot) -> Self {
        let [node, peer] = PairNode::of(&snapshot.membership);
        Self {
            node: Some(node),
            peer: Some(peer),
            measures: Measures::of(snapshot),
            services: Some(NodeServices::of(snapshot)),
            ..self
        }
    }

    /// Whether something is not as it was in the report before.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed_from.is_some() || self.services_changed_from.is_some()
    }

    /// The nodes on which Password Manager Pro itself answers otherwise than in the report before.
    #[must_use]
    pub fn products_turned(&self) -> Vec<(Role, Status, Status)> {
        let Some((before, now)) = self.services_changed_from.zip(self.services) else { return Vec::new() };
        let turned = [
            (Role::Primary, before.primary.pmp, now.primary.pmp),
            (Role::Secondary, before.secondary.pmp, now.secondary.pmp),
        ];
        turned.into_iter().filter(|(_, from, to)| from != to).collect()
    }

    /// Its two words.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict { high_availability: self.health.high_availability, replication: self.health.replication }
    }
}

impl NodeServices {
    /// What a snapshot contains about both nodes.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let own = snapshot.membership.role;
        let on = |role| Services {
            pmp: snapshot.web.of(role, own).status(role == own),
            database: match snapshot.observed(role) {
                Observed::Seen(_) => Status::Alive,
                Observed::NotSeen(blind) => match blind.why {
                    BlindReason::TooManyConnections | BlindReason::Slow => Status::Alive,
                    BlindReason::NotBuiltIn(_) | BlindReason::TurnedAway | BlindReason::Certificate(_) => {
                        Status::Unknown
                    }
                    BlindReason::NotRunning | BlindReason::Unreachable | BlindReason::Silent => {
                        Status::Failed
                    }
                },
            },
        };
        Self { primary: on(Role::Primary), secondary: on(Role::Secondary) }
    }
}

/// For people only the verdict.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.health.fmt(f)?;
        write!(f, "{}", self.health.more())
    }
}

impl Measures {
    /// The measures of a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let proof = snapshot.proof.as_ref().and_then(|proof| proof.as_ref().ok());
        let took =
            |time: fn(&RoundTrip) -> Option<Duration>| proof.and_then(time).map(|time| time.as_secs_f64());
        Self {
            lag_seconds: lag::while_it_lives(snapshot, Role::Secondary),
            back_lag_seconds: lag::while_it_lives(snapshot, Role::Primary),
            there_seconds: took(|proof| proof.there),
            round_trip_seconds: took(|proof| proof.back),
        }
    }
}

impl Verdict {
    /// Both words are Alive.
    pub const ALIVE: Self = Self { high_availability: Status::Alive, replication: Status::Alive };
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "High Availability {}, Replication {}", self.high_availability, self.replication)
    }
}

/// A verdict, or an answer of Password Manager Pro, that is not the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    at: String,
    /// Each word that has changed: of what, from, to.
    words: Vec<(&'static str, Status, Status)>,
}

impl Change {
    /// What of a report has changed; `None` if nothing has.
    fn of(report: &Report) -> Option<Self> {
        let to = report.verdict();
        let from = report.changed_from.unwrap_or(to);
        let mut words = vec![
            ("High Availability", from.high_availability, to.high_availability),
            ("Replication", from.replication, to.replication),
        ];
        if let (Some(from), Some(to)) = (report.services_changed_from, report.services) {
            words.push(("Password Manager Pro on the primary", from.primary.pmp, to.primary.pmp));
            words.push(("Password Manager Pro on the secondary", from.secondary.pmp, to.secondary.pmp));
        }
        words.retain(|(_, from, to)| from != to);
        (!words.is_empty()).then(|| Self { at: report.at.clone(), words })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        write!(f, "changed at {}: ", self.at)?;
        for (name, from, to) in &self.words {
            write!(f, "{separator}{name} {from} -> {to}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// What a watcher remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    verdict: Option<Verdict>,
    services: Option<NodeServices>,
    change: Option<Change>,
}

impl Watch {
    /// Takes the next report, and marks it if its verdict, or the product, has changed.
    pub fn next(&mut self, report: &mut Report) {
        let to = report.verdict();
        report.changed_from = self.verdict.replace(to).filter(|from| *from != to);
        let answers = |services: NodeServices| (services.primary.pmp, services.secondary.pmp);
        if let Some(now) = report.services {
            let before = self.services.replace(now);
            report.services_changed_from = before.filter(|before| answers(*before) != answers(now));
        }
        if let Some(change) = Change::of(report) {
            self.change = Some(change);
        }
    }

    /// The last report, for a full screen: the last change stays visible.
    #[must_use]
    pub fn screen(&self, report: &Report) -> String {
        // The two words first: they stay in sight in the smallest window.
        let text = report.to_string();
        let words: usize = text.split_inclusive('\n').take(2).map(str::len).sum();
        let change = self.change.as_ref().map(|change| format!("{change}\n")).unwrap_or_default();
        format!("{}{}\n{change}{}", &text[..words], report.at, &text[words..])
    }

    /// The same for a terminal that scrolls: it prints a change once.
    #[must_use]
    pub fn entry(&self, report: &Report) -> String {
        frame(report, self.change.as_ref().filter(|_| report.has_changed()))
    }
}

fn frame(report: &Report, change: Option<&Change>) -> String {
    let change = change.map(|change| format!("{change}\n")).unwrap_or_default();
    format!("{}\n{change}{report}", report.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::{About, Finding, Severity};

    fn place(number: u8, role: Role) -> PairNode {
        PairNode { host: format!("pmp-{number}.example.com"), port: 2345, role }
    }

    fn report(verdict: Verdict, at: &str) -> Report {
        let Verdict { high_availability, replication } = verdict;
        let summary = "pmp-2.example.com:2345 replicates from pmp-1.example.com:2345".into();
        let health = Health { high_availability, replication, summary, findings: vec![] };
        Report::new(health, at.into(), "0.1.0")
    }

    const FAILED: Verdict = Verdict { high_availability: Status::Failed, replication: Status::Unknown };

    #[test]
    fn the_json_is_the_one_of_the_handbook() {
        let mut report = report(FAILED, "2026-02-03T04:05:06Z");
        report.node = Some(place(2, Role::Secondary));
        report.peer = Some(place(1, Role::Primary));
        report.health.summary = "pmp-2.example.com:2345 is set up to replicate from pmp-1.example.com:2345, and is not connected to it".into();
        report.measures.lag_seconds = Some(0.4);
        report.services = Some(NodeServices {
            primary: Services { pmp: Status::Unknown, database: Status::Failed },
            secondary: Services { pmp: Status::Alive, database: Status::Alive },
        });
        report.health.findings.push(Finding {
            code: "peer-unreachable",
            about: About::HighAvailability,
            severity: Severity::Failed,
            what: "the primary pmp-1.example.com:2345 cannot be reached".into(),
            evidence: "Connection refused (os error 111)".into(),
            hint: "Check that its machine and database run, and that the network lets the port through. The pair then recovers by itself. If its port has changed, run `pmp-ha reconfigure --peer-port PORT`.".into(),
        });
        let json = serde_json::to_string_pretty(&report).expect("JSON");
        let handbook = include_str!("../../docs/health.md");
        assert!(handbook.contains(&format!("```json\n{json}\n```")), "not in docs/health.md:\n{json}");
        assert_eq!(
            json,
            r#"{
  "schema": 1,
  "at": "2026-02-03T04:05:06Z",
  "tool": "0.1.0",
  "node": {
    "host": "pmp-2.example.com",
    "port": 2345,
    "role": "secondary"
  },
  "peer": {
    "host": "pmp-1.example.com",
    "port": 2345,
    "role": "primary"
  },
  "high_availability": "Failed",
  "replication": "Unknown",
  "summary": "pmp-2.example.com:2345 is set up to replicate from pmp-1.example.com:2345, and is not connected to it",
  "findings": [
    {
      "code": "peer-unreachable",
      "about": "high_availability",
      "severity": "failed",
      "what": "the primary pmp-1.example.com:2345 cannot be reached",
      "evidence": "Connection refused (os error 111)",
      "hint": "Check that its machine and database run, and that the network lets the port through. The pair then recovers by itself. If its port has changed, run `pmp-ha reconfigure --peer-port PORT`."
    }
  ],
  "services": {
    "primary": {
      "pmp": "Unknown",
      "database": "Failed"
    },
    "secondary": {
      "pmp": "Alive",
      "database": "Alive"
    }
  },
  "measures": {
    "lag_seconds": 0.4
  }
}"#
        );
    }

    #[test]
    fn what_is_unknown_is_absent_and_a_home_without_a_pair_has_no_nodes() {
        let json = serde_json::to_value(report(FAILED, "t")).expect("JSON");
        assert_eq!(json["measures"], serde_json::json!({}));
        assert!(json["node"].is_null() && json["peer"].is_null());
        assert!(json.get("changed_from").is_none());
    }

    #[test]
    fn a_change_is_told_once_and_stays_on_a_screen() {
        let mut watch = Watch::default();
        let mut look = |verdict, at: &str| {
            let mut report = report(verdict, at);
            watch.next(&mut report);
            let changed_from = serde_json::to_value(&report).expect("JSON").get("changed_from").cloned();
            (watch.entry(&report), watch.screen(&report), changed_from)
        };
        let alive = "High Availability Status: Alive\nReplication Status: Alive\n  pmp-2.example.com:2345 replicates from pmp-1.example.com:2345\n";
        let failed = alive.replacen("Alive", "Failed", 1).replacen("Alive", "Unknown", 1);
        let change = "changed at t3: High Availability Alive -> Failed, Replication Alive -> Unknown\n";
        // On a screen the two words come first.
        let screen = |text: &str, between: &str| {
            let words: usize = text.split_inclusive('\n').take(2).map(str::len).sum();
            format!("{}{between}{}", &text[..words], &text[words..])
        };
        for at in ["t1", "t2"] {
            let shown = screen(alive, &format!("{at}\n"));
            assert_eq!(look(Verdict::ALIVE, at), (format!("{at}\n{alive}"), shown, None));
        }
        let was = serde_json::json!({"high_availability": "Alive", "replication": "Alive"});
        let shown = |at: &str| screen(&failed, &format!("{at}\n{change}"));
        assert_eq!(look(FAILED, "t3"), (format!("t3\n{change}{failed}"), shown("t3"), Some(was)));
        assert_eq!(look(FAILED, "t4"), (format!("t4\n{failed}"), shown("t4"), None));
        let half = Verdict { high_availability: Status::Alive, ..FAILED };
        assert!(look(half, "t5").0.starts_with("t5\nchanged at t5: High Availability Failed -> Alive\n"));
    }

    #[test]
    fn the_product_that_ceases_to_answer_is_a_change() {
        let mut watch = Watch::default();
        let mut look = |pmp| {
            let mut report = report(Verdict::ALIVE, "t");
            let services = |pmp| Services { pmp, database: Status::Alive };
            report.services =
                Some(NodeServices { primary: services(pmp), secondary: services(Status::Alive) });
            watch.next(&mut report);
            (
                report.has_changed(),
                report.services_changed_from.map(|from| from.primary.pmp),
                watch.entry(&report),
            )
        };
        assert_eq!(look(Status::Alive).1, None);
        let (changed, from, text) = look(Status::Failed);
        assert_eq!((changed, from), (true, Some(Status::Alive)));
        assert!(
            text.starts_with("t\nchanged at t: Password Manager Pro on the primary Alive -> Failed\nHigh")
        );
        assert!(!look(Status::Failed).0);
    }
}
