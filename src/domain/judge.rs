//! The health rule: from what was seen to the verdict. What could not be seen is never Alive.

use super::health::{About, Finding, Health, Limits, Severity, Status};
use super::pair::{Pair, Role};
use super::settings::replicated;
use super::snapshot::{BlindReason, ChannelTls, Observed, Receiver, ReplicaView, ServerView, Snapshot};

/// The verdict on a home that belongs to no pair.
#[must_use]
pub fn no_pair(evidence: &str) -> Health {
    let finding = |about| Finding {
        code: "no-pair",
        about,
        severity: Severity::Unknown,
        what: "this home does not belong to a pair yet".into(),
        evidence: evidence.to_owned(),
        hint: "Set the pair up: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.".into(),
    };
    Health {
        high_availability: Status::Unknown,
        replication: Status::Unknown,
        findings: vec![finding(About::HighAvailability), finding(About::Replication)],
        summary: "no pair".into(),
    }
}

struct Judge<'a> {
    snapshot: &'a Snapshot,
    findings: Vec<Finding>,
}

/// Judges what was seen.
#[must_use]
pub fn judge(snapshot: &Snapshot, limits: Limits) -> Health {
    let mut judge = Judge { snapshot, findings: Vec::new() };
    judge.ports();
    judge.settings();
    judge.connection();
    judge.replication(limits);
    let status = |about| {
        let worst = judge.findings.iter().filter(|f| f.about == about).map(|f| match f.severity {
            Severity::Failed => Status::Failed,
            Severity::Unknown => Status::Unknown,
            Severity::Note => Status::Alive,
        });
        worst.max().unwrap_or(Status::Alive)
    };
    Health {
        high_availability: status(About::HighAvailability),
        replication: status(About::Replication),
        summary: summary(snapshot),
        findings: judge.findings,
    }
}

impl Judge<'_> {
    fn find(
        &mut self,
        code: &'static str,
        about: About,
        severity: Severity,
        what: &str,
        evidence: String,
        hint: &str,
    ) {
        self.findings.push(Finding { code, about, severity, what: what.into(), evidence, hint: hint.into() });
    }

    fn ports(&mut self) {
        let this = self.snapshot.membership.this().clone();
        let now = self.snapshot.ports;
        let hint = "Put the port back, or set the pair up anew with `pmp-ha pack` on the primary.";
        if now.db != this.db_port {
            self.find(
                "port-changed",
                About::HighAvailability,
                Severity::Failed,
                "the database port is not the one that the pair was set up with",
                format!("it was {}, and conf/database_params.conf now says {}", this.db_port, now.db),
                hint,
            );
        }
        if let (Some(was), Some(is)) = (this.web_port, now.web)
            && was != is
            && self.snapshot.membership.role == Role::Primary
        {
            self.find(
                "web-port-changed",
                About::HighAvailability,
                Severity::Failed,
                "the web port of the primary is not the one that the pair was set up with",
                format!("it was {was}, and conf/server.xml now says {is}"),
                hint,
            );
        }
    }

    fn settings(&mut self) {
        for deviation in &self.snapshot.deviations.clone() {
            let found = deviation.found.as_deref().unwrap_or("unknown to the server");
            self.find(
                "setting-not-in-effect",
                About::Replication,
                Severity::Failed,
                &format!("the server of {} runs without the setting {}", deviation.node, deviation.variable),
                format!("{} is {found}, wanted is {}", deviation.variable, deviation.wanted),
                "Run `pmp-ha stop` and `pmp-ha start` there. If that does not help, the start script may have been replaced by an upgrade, or overrides the setting: a new pack wires it again.",
            );
        }
        if self.snapshot.local.seen().is_some_and(|server| !server.tls) {
            self.find(
                "tls-off",
                About::HighAvailability,
                Severity::Failed,
                "the server here runs without TLS",
                "it started, and says that TLS is disabled".into(),
                "Look into its error log: the files ca.pem, node.pem and node-key.pem in conf/pmp-ha must be readable for it.",
            );
        }
    }

    fn connection(&mut self) {
        if let Observed::NotSeen(blind) = &self.snapshot.local {
            let (code, severity, what, hint) = match blind.why {
                BlindReason::NotRunning => (
                    "local-down",
                    Severity::Failed,
                    "the database here is not running",
                    "Start it: `pmp-ha start`.",
                ),
                BlindReason::TooManyConnections => (
                    "local-full",
                    Severity::Unknown,
                    "the database here runs, and has no connection left",
                    "Find out who uses up its connections.",
                ),
                BlindReason::Silent => (
                    "local-frozen",
                    Severity::Failed,
                    "the database here does not answer",
                    "Look at its process and its disk.",
                ),
                _ => (
                    "local-refused",
                    Severity::Failed,
                    "the database here does not let the monitor account in",
                    "Look at conf/pmp-ha/credentials.toml; `pmp-ha pack` and `pmp-ha install-pack` make the account anew.",
                ),
            };
            let evidence = blind.evidence.clone();
            self.find(code, About::HighAvailability, severity, what, evidence, hint);
        }
        self.peer_answers();
        match self.snapshot.membership.role {
            Role::Secondary => {
                if let Some(server) = self.snapshot.local.seen().cloned() {
                    self.receiver(&server, true);
                }
            }
            Role::Primary => {
                if let Some(server) = self.snapshot.peer.seen().cloned() {
                    self.receiver(&server, false);
                }
                if self.snapshot.local.seen().is_some_and(|server| server.replicas_connected.is_empty()) {
                    let peer = self.snapshot.membership.peer().clone();
                    self.find(
                        "secondary-not-connected",
                        About::HighAvailability,
                        Severity::Failed,
                        "no secondary is connected to the database here",
                        format!("no connection of {} reads the binlog", peer.host),
                        "See whether the secondary runs, and run `pmp-ha verify` there. It connects again by itself.",
                    );
                }
            }
        }
    }

    fn peer_answers(&mut self) {
        let Observed::NotSeen(blind) = &self.snapshot.peer else {
            return;
        };
        let peer = self.snapshot.membership.peer().to_string();
        let role = Pair::peer_of(self.snapshot.membership.role);
        let evidence = blind.evidence.clone();
        let (code, severity, what, hint) = match blind.why {
            BlindReason::TlsTooOld => (
                "peer-speaks-old-tls",
                Severity::Note,
                format!("the {role} {peer} answers, and cannot be asked from here"),
                "This server knows TLS 1.0 only. What it thinks of itself, `pmp-ha verify` says there.",
            ),
            BlindReason::TooManyConnections => (
                "peer-full",
                Severity::Note,
                format!("the {role} {peer} is alive and has no connection left"),
                "Find out who uses up its connections.",
            ),
            BlindReason::Silent => (
                "peer-frozen",
                Severity::Failed,
                format!("the {role} {peer} accepts connections and does not answer"),
                "Its machine is up and its server is frozen or overloaded: look at the process and the disk there.",
            ),
            BlindReason::TurnedAway => (
                "peer-refused",
                Severity::Failed,
                format!("the {role} {peer} does not let this node in"),
                "The certificates or the accounts of the two nodes do not fit together: were both set up by the same pack?",
            ),
            BlindReason::Unreachable | BlindReason::NotRunning => (
                "peer-unreachable",
                Severity::Failed,
                format!("the {role} {peer} cannot be reached"),
                "See whether its machine and its database run and the network between lets the port through. The pair heals by itself.",
            ),
        };
        self.find(code, About::HighAvailability, severity, &what, evidence, hint);
    }

    /// The link as the secondary's own server sees it.
    fn receiver(&mut self, server: &ServerView, here: bool) {
        let place = if here { "here" } else { "on the secondary" };
        let Some(replica) = &server.replica else {
            self.find(
                "not-a-replica",
                About::HighAvailability,
                Severity::Failed,
                &format!("the database {place} has no source to replicate from"),
                "its replica status is empty".into(),
                "Set it up: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.",
            );
            return;
        };
        let source = self.snapshot.membership.pair.node(Role::Primary).clone();
        if replica.source_host != source.host || replica.source_port != source.db_port {
            self.find(
                "wrong-source",
                About::HighAvailability,
                Severity::Failed,
                &format!("the database {place} replicates from somebody else"),
                format!(
                    "its source is {}:{}, and the primary is {source}",
                    replica.source_host, replica.source_port
                ),
                "Somebody changed it by hand. Set the pair up anew.",
            );
        }
        if replica.source_server_id.is_some_and(|id| id != 0 && id != source.number) {
            self.find(
                "wrong-source-identity",
                About::HighAvailability,
                Severity::Failed,
                &format!("the source of the database {place} is another server"),
                format!(
                    "it has the server id {:?}, and the primary has {}",
                    replica.source_server_id, source.number
                ),
                "See what answers at the address of the primary.",
            );
        }
        if replica.channel_tls != ChannelTls::Verified {
            self.find(
                "channel-not-verified",
                About::HighAvailability,
                Severity::Failed,
                "the replication link is not protected as it should be",
                format!("the channel's TLS is {:?}", replica.channel_tls),
                "Set the pair up anew: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.",
            );
        }
        self.link(replica, &source.to_string());
    }

    fn link(&mut self, replica: &ReplicaView, source: &str) {
        let (number, message) = &replica.receiver_error;
        let explained =
            explain(*number).unwrap_or("It connects again by itself as soon as the primary is reachable.");
        let said =
            if *number == 0 { "no error yet".to_owned() } else { format!("error {number}: {message}") };
        match replica.receiver {
            Receiver::Connected => {
                if let Some(pulse) = replica.pulse.as_ref().filter(|pulse| !pulse.moved) {
                    self.find(
                        "link-silent",
                        About::HighAvailability,
                        Severity::Failed,
                        "the replication link stands and nothing comes through",
                        format!("no heartbeat and no event within {:.1} s", pulse.watched.as_secs_f64()),
                        "The primary is frozen, or the network swallows packets. If the primary is well: `STOP SLAVE IO_THREAD; START SLAVE IO_THREAD`, or restart the secondary.",
                    );
                }
            }
            Receiver::Connecting => self.find(
                "receiver-connecting",
                About::HighAvailability,
                Severity::Failed,
                &format!("the secondary is not connected to {source}"),
                format!("the receiver is connecting; {said}"),
                explained,
            ),
            Receiver::Stopped => self.find(
                "receiver-stopped",
                About::HighAvailability,
                Severity::Failed,
                "the secondary has stopped to receive",
                format!("the receiver does not run; {said}"),
                explained,
            ),
        }
    }

    fn replication(&mut self, limits: Limits) {
        let observed = match self.snapshot.membership.role {
            Role::Secondary => &self.snapshot.local,
            Role::Primary => &self.snapshot.peer,
        };
        let server = match observed {
            Observed::Seen(server) => server.clone(),
            Observed::NotSeen(blind) => {
                let evidence = blind.evidence.clone();
                self.find(
                    "replica-not-seen",
                    About::Replication,
                    Severity::Unknown,
                    "whether the secondary applies what it receives cannot be seen from here",
                    evidence,
                    "Run `pmp-ha verify` on the secondary.",
                );
                return;
            }
        };
        let Some(replica) = server.replica else {
            self.find(
                "no-replication",
                About::Replication,
                Severity::Failed,
                "the secondary does not replicate",
                "its replica status is empty".into(),
                "Set it up: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.",
            );
            return;
        };
        self.applier(&replica);
        self.lag(&replica, limits);
        let wanted = replicated(&self.snapshot.membership.pair.schema);
        let mut found = replica.wild_do_tables.clone();
        found.sort_unstable();
        let mut sorted = wanted.to_vec();
        sorted.sort_unstable();
        if found != sorted {
            self.find(
                "wrong-filter",
                About::Replication,
                Severity::Failed,
                "the secondary does not replicate the tables it should",
                format!("its filter is [{}], wanted is [{}]", found.join(", "), sorted.join(", ")),
                "Restart the database of the secondary with `pmp-ha stop` and `pmp-ha start`.",
            );
        }
    }

    fn applier(&mut self, replica: &ReplicaView) {
        let (number, message) = &replica.applier_error;
        if *number != 0 || !replica.applier_runs {
            let said = if *number == 0 {
                "no error is recorded".into()
            } else {
                format!("error {number}: {message}")
            };
            self.find(
                "applier-stopped",
                About::Replication,
                Severity::Failed,
                "the secondary has stopped to apply what it receives",
                said,
                explain(*number).unwrap_or(
                    "Read the error log of the secondary; if the rows differ, set the pair up anew.",
                ),
            );
        }
        // MySQL 8 and later have a number of their own for the source's 1236.
        if matches!(replica.receiver_error.0, 1236 | 13114) {
            self.find(
                "binlog-gone",
                About::Replication,
                Severity::Failed,
                "the primary no longer has the binlog that the secondary needs",
                replica.receiver_error.1.clone(),
                explain(1236).unwrap_or_default(),
            );
        }
    }

    fn lag(&mut self, replica: &ReplicaView, limits: Limits) {
        let link_lives =
            replica.receiver == Receiver::Connected && replica.pulse.as_ref().is_none_or(|p| p.moved);
        match replica.lag.filter(|_| link_lives) {
            Some(lag) if lag > limits.lag => self.find(
                "lagging",
                About::Replication,
                Severity::Failed,
                "the secondary is behind",
                format!("by {lag} s; the limit is {} s", limits.lag),
                "It catches up by itself if the primary writes less than it can apply; look at its disk and load.",
            ),
            None if replica.applier_runs => self.find(
                "lag-unknown",
                About::Replication,
                Severity::Unknown,
                "how far the secondary is behind is not known",
                "while the link is down nobody can tell; what it has received it applies".into(),
                "It is known again when the link is back.",
            ),
            Some(_) | None => {}
        }
    }
}

fn summary(snapshot: &Snapshot) -> String {
    let secondary = snapshot.membership.pair.node(Role::Secondary);
    let server = match snapshot.membership.role {
        Role::Secondary => snapshot.local.seen(),
        Role::Primary => snapshot.peer.seen(),
    };
    match server.and_then(|server| server.replica.as_ref()) {
        Some(replica) => {
            let lag = replica.lag.map_or("lag unknown".to_owned(), |lag| format!("lag {lag} s"));
            let tls =
                if replica.channel_tls == ChannelTls::Verified { "TLS verified" } else { "TLS not verified" };
            format!(
                "{secondary} replicates from {}:{}, {lag}, {tls}",
                replica.source_host, replica.source_port
            )
        }
        None => format!("seen from the {} {}", snapshot.membership.role, snapshot.membership.this()),
    }
}

/// What an error number means for the operator, for the numbers that are met.
fn explain(number: u32) -> Option<&'static str> {
    Some(match number {
        1062 | 1032 | 1146 | 1054 => {
            "The rows of the two nodes differ. Set the pair up anew: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary."
        }
        1236 | 13114 => {
            "A new pack is due: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary."
        }
        1045 => "The primary turned the replication account away: were both nodes set up by the same pack?",
        1593 | 13117 => {
            "Both servers have the same identity. Remove auto.cnf from the data of the secondary and restart it."
        }
        2003 | 2002 | 2013 | 2005 => "The primary cannot be reached. It connects again by itself.",
        2026 => {
            "The TLS handshake failed: the certificates must come from the same pack and carry the hosts' names."
        }
        2061 => "The server wants TLS for this account: set the pair up anew.",
        1227 | 1290 => "A right is missing or the server is read-only: was it changed by hand?",
        1040 => "The primary has no connection left; it is alive.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::domain::flavor::ServerVersion;
    use crate::domain::pair::{Membership, Node};
    use crate::domain::snapshot::{Blind, CurrentPorts, Pulse};

    fn replica() -> ReplicaView {
        ReplicaView {
            receiver: Receiver::Connected,
            applier_runs: true,
            source_host: "n1".into(),
            source_port: 2345,
            source_server_id: Some(1),
            channel_tls: ChannelTls::Verified,
            receiver_error: (0, String::new()),
            applier_error: (0, String::new()),
            lag: Some(0),
            wild_do_tables: vec!["pmp\\_ha.%".into(), "passtrix.%".into()],
            pulse: Some(Pulse { moved: true, watched: Duration::from_millis(400) }),
        }
    }

    fn server(replica: Option<ReplicaView>) -> ServerView {
        ServerView {
            version: ServerVersion::parse("9.7.4").expect("a version"),
            variables: BTreeMap::new(),
            tls: true,
            replica,
            replicas_connected: vec!["n2".into()],
        }
    }

    fn seen_from(role: Role) -> Snapshot {
        let node = |number| Node { number, host: format!("n{number}"), db_port: 2345, web_port: Some(7272) };
        let pair = Pair { id: "x".into(), schema: "passtrix".into(), primary: 1, nodes: [node(1), node(2)] };
        let (local, peer) = match role {
            Role::Secondary => (server(Some(replica())), server(None)),
            Role::Primary => (server(None), server(Some(replica()))),
        };
        Snapshot {
            membership: Membership { format: 1, role, key_fingerprint: None, pair },
            ports: CurrentPorts { db: 2345, web: Some(7272) },
            local: Observed::Seen(local),
            peer: Observed::Seen(peer),
            deviations: vec![],
        }
    }

    fn with_replica(change: impl FnOnce(&mut ReplicaView)) -> Snapshot {
        let mut snapshot = seen_from(Role::Secondary);
        let mut view = replica();
        change(&mut view);
        snapshot.local = Observed::Seen(server(Some(view)));
        snapshot
    }

    fn blind(why: BlindReason) -> Observed<ServerView> {
        Observed::NotSeen(Blind { why, evidence: "seen".into() })
    }

    fn verdict(snapshot: &Snapshot) -> (Status, Status, Vec<&'static str>) {
        let health = judge(snapshot, Limits { lag: 30 });
        (health.high_availability, health.replication, health.findings.iter().map(|f| f.code).collect())
    }

    #[test]
    fn a_healthy_pair_is_alive_from_both_sides_and_says_so_in_the_manuals_words() {
        assert_eq!(verdict(&seen_from(Role::Secondary)), (Status::Alive, Status::Alive, vec![]));
        assert_eq!(verdict(&seen_from(Role::Primary)), (Status::Alive, Status::Alive, vec![]));
        let text = judge(&seen_from(Role::Secondary), Limits { lag: 30 }).to_string();
        assert!(text.starts_with("High Availability Status: Alive\nReplication Status: Alive\n"), "{text}");
    }

    #[test]
    fn connecting_is_not_alive_and_a_lag_of_zero_then_means_nothing() {
        let snapshot = with_replica(|view| {
            view.receiver = Receiver::Connecting;
            view.receiver_error = (2003, "cannot connect".into());
        });
        assert_eq!(
            verdict(&snapshot),
            (Status::Failed, Status::Unknown, vec!["receiver-connecting", "lag-unknown"])
        );
    }

    #[test]
    fn a_link_that_stands_and_is_silent_is_failed() {
        let snapshot =
            with_replica(|view| view.pulse = Some(Pulse { moved: false, watched: Duration::from_secs(3) }));
        assert_eq!(verdict(&snapshot), (Status::Failed, Status::Unknown, vec!["link-silent", "lag-unknown"]));
    }

    #[test]
    fn an_applier_error_fails_replication_and_leaves_the_connection_alive() {
        let snapshot = with_replica(|view| {
            view.applier_runs = false;
            view.applier_error = (1062, "duplicate".into());
            view.lag = None;
        });
        assert_eq!(verdict(&snapshot), (Status::Alive, Status::Failed, vec!["applier-stopped"]));
    }

    #[test]
    fn a_place_that_is_gone_is_told_under_the_number_of_every_server() {
        for number in [1236, 13114] {
            let snapshot = with_replica(|view| {
                view.receiver = Receiver::Stopped;
                view.receiver_error = (number, "Could not find first log file".into());
            });
            assert!(verdict(&snapshot).2.contains(&"binlog-gone"), "{number}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_never_alive() {
        let mut snapshot = seen_from(Role::Primary);
        snapshot.peer = blind(BlindReason::TlsTooOld);
        assert_eq!(
            verdict(&snapshot),
            (Status::Alive, Status::Unknown, vec!["peer-speaks-old-tls", "replica-not-seen"])
        );
        snapshot.peer = blind(BlindReason::Unreachable);
        assert_eq!(
            verdict(&snapshot),
            (Status::Failed, Status::Unknown, vec!["peer-unreachable", "replica-not-seen"])
        );
        snapshot.local = blind(BlindReason::NotRunning);
        assert_eq!(verdict(&snapshot).0, Status::Failed);
    }

    #[test]
    fn each_wrong_thing_has_its_own_code() {
        let code = |snapshot: &Snapshot| verdict(snapshot).2.join(",");
        assert_eq!(code(&with_replica(|v| v.source_host = "x".into())), "wrong-source");
        assert_eq!(code(&with_replica(|v| v.source_server_id = Some(9))), "wrong-source-identity");
        assert_eq!(code(&with_replica(|v| v.channel_tls = ChannelTls::Unverified)), "channel-not-verified");
        assert_eq!(code(&with_replica(|v| v.lag = Some(31))), "lagging");
        assert_eq!(code(&with_replica(|v| v.wild_do_tables.clear())), "wrong-filter");
        let mut moved = seen_from(Role::Primary);
        moved.ports = CurrentPorts { db: 1, web: Some(2) };
        assert_eq!(code(&moved), "port-changed,web-port-changed");
    }
}
