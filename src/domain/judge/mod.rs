//! The health rule: from what was seen to the verdict. What could not be seen is never Alive.

mod channel;
mod explain;
mod semi_sync;

use super::health::{About, Finding, Health, Limits, Severity, Status};
use super::lag;
use super::pair::{Pair, Role};
use super::plan::Bytes;
use super::snapshot::{
    Blind, BlindReason, ChannelTls, Deviation, Observed, Proof, SemiSyncView, ServerView, Snapshot, Tfa,
};
use super::standing::{Standing, standing};

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

/// Below this a server that has to write waits or fails.
const DISK_FULL: u64 = 32 << 20;

/// Below this somebody should look after it.
const DISK_LOW: u64 = 1 << 30;

struct Judge<'a> {
    snapshot: &'a Snapshot,
    findings: Vec<Finding>,
}

/// Judges what was seen.
#[must_use]
pub fn judge(snapshot: &Snapshot, limits: Limits) -> Health {
    let mut judge = Judge { snapshot, findings: Vec::new() };
    judge.roles();
    judge.ports();
    judge.settings();
    judge.connection();
    judge.channel(&channel::FORTH, limits);
    judge.channel(&channel::BACK, limits);
    judge.semi_sync();
    judge.heartbeats(limits);
    judge.guard();
    judge.errant_writes();
    judge.tfa();
    judge.proof();
    judge.disk();
    let status = |about| {
        let worst = judge.findings.iter().filter(|f| f.about == about).map(|f| match f.severity {
            Severity::Failed => Status::Failed,
            Severity::Unknown => Status::Unknown,
            Severity::Warning | Severity::Note => Status::Alive,
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
    /// The server of the node that plays `role`, or why it was not seen.
    fn seen(&self, role: Role) -> Result<&ServerView, &Blind> {
        match self.snapshot.observed(role) {
            Observed::Seen(server) => Ok(server),
            Observed::NotSeen(blind) => Err(blind),
        }
    }

    fn find(
        &mut self,
        code: &'static str,
        about: About,
        severity: Severity,
        what: &str,
        evidence: String,
        hint: &str,
    ) {
        // A reason is a line, and some servers answer in several.
        let evidence = if evidence.contains('\n') {
            evidence.lines().map(str::trim).collect::<Vec<_>>().join(" ")
        } else {
            evidence
        };
        self.findings.push(Finding { code, about, severity, what: what.into(), evidence, hint: hint.into() });
    }

    /// Two nodes that both work as the primary, or would.
    fn roles(&mut self) {
        let own = &self.snapshot.membership;
        let Some(said) = self.snapshot.peer.seen().and_then(|server| server.says.clone()) else { return };
        let (epoch, peer) = (own.pair.epoch, own.peer().to_string());
        let evidence = format!(
            "{peer} is the {} in epoch {}, and this node is the {} in epoch {epoch}",
            said.role, said.epoch, own.role
        );
        let older = said.epoch < epoch && said.role == Role::Primary && own.role == Role::Primary;
        match standing(own, &said) {
            Standing::Superseded { .. } => self.find(
                "superseded",
                About::HighAvailability,
                Severity::Failed,
                "this node is not the primary any more",
                evidence,
                "Stop Password Manager Pro here, then run `pmp-ha rejoin`: it becomes the secondary. Nobody must write here.",
            ),
            Standing::Disputed { .. } if said.candidate => {}
            Standing::Disputed { .. } => self.find(
                "two-primaries",
                About::HighAvailability,
                Severity::Failed,
                "both nodes are primaries, and neither knew of the other one",
                evidence,
                "Decide which data count. Stop Password Manager Pro and the database of the other node, then run `pmp-ha rejoin` there: what only it has is saved to a file first.",
            ),
            Standing::Holds if older => self.find(
                "old-primary-serves",
                About::HighAvailability,
                Severity::Failed,
                "the old primary works, and accepts writes",
                evidence,
                "Stop it at once, and run `pmp-ha rejoin` there: what is written on it is not in this vault.",
            ),
            Standing::Holds if self.nobody_is_primary() => {
                let who = if said.epoch > epoch { "here".to_owned() } else { format!("on {peer}") };
                self.find(
                    "no-primary",
                    About::HighAvailability,
                    Severity::Failed,
                    "neither node is the primary",
                    evidence,
                    &format!("The role was handed over, and nobody has taken it. If a switchover is under way, let it end. Else run `pmp-ha switchover` {who}."),
                );
            }
            Standing::Holds => {}
        }
    }

    /// Whether each node says that it is the secondary: one has given the role away.
    fn nobody_is_primary(&self) -> bool {
        let said = self.snapshot.peer.seen().and_then(|server| server.says.as_ref());
        self.snapshot.membership.role == Role::Secondary
            && said.is_some_and(|said| said.role == Role::Secondary && !said.candidate)
    }

    fn ports(&mut self) {
        let this = self.snapshot.membership.this().clone();
        let now = self.snapshot.ports;
        let hint = "Put the port back, or run `pmp-ha reconfigure` here, and on the other node `pmp-ha reconfigure --peer-port PORT`.";
        let db_port = this.local_port.unwrap_or(this.db_port);
        if now.db != db_port {
            self.find(
                "port-changed",
                About::HighAvailability,
                Severity::Failed,
                "the database port is not the one that the pair was set up with",
                format!("it was {db_port}, and conf/database_params.conf now says {}", now.db),
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
        let told_elsewhere = Deviation::is_for_want_of_semi_sync;
        for deviation in self.snapshot.deviations.iter().filter(|deviation| !told_elsewhere(deviation)) {
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
        if self.snapshot.membership.role == Role::Primary
            && self.snapshot.local.seen().is_some_and(|server| server.replicas_connected.is_empty())
        {
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

    /// A server that runs writes its heartbeat row.
    fn heartbeats(&mut self, limits: Limits) {
        for role in [Role::Primary, Role::Secondary] {
            let Some(server) = self.snapshot.server(role) else { continue };
            let own = server.beat_of(self.snapshot.membership.pair.node(role).number);
            let age = own.filter(|own| own.beat > 0).map(|own| (server.clock - own.beat) / 1_000_000);
            let evidence = match age {
                Some(age) if age <= i64::try_from(limits.heartbeat).unwrap_or(i64::MAX) => continue,
                Some(age) => format!("its own heartbeat row is {age} s old"),
                None => "it has never written a heartbeat row".into(),
            };
            self.find(
                "heartbeat-stopped",
                About::HighAvailability,
                Severity::Failed,
                &format!("the database of the {role} has stopped to write its heartbeat"),
                evidence,
                "Its event scheduler may be off, its disk full, or the server overloaded: look there, then run `pmp-ha stop` and `pmp-ha start`.",
            );
        }
    }

    fn guard(&mut self) {
        let guarded = self.snapshot.server(Role::Primary).and_then(|server| server.rights_changed.as_ref());
        if guarded.is_some_and(Vec::is_empty) && !self.nobody_is_primary() {
            self.find(
                "writes-refused",
                About::HighAvailability,
                Severity::Failed,
                "the primary refuses the writes of the application",
                "its write guard is set, as on a secondary".into(),
                "If a switchover is under way, let it end. Else run `pmp-ha reconfigure` on the primary.",
            );
        }
        let Some(server) = self.snapshot.server(Role::Secondary) else { return };
        let evidence = match &server.rights_changed {
            Some(changed) if changed.is_empty() => return,
            Some(changed) => changed.join("; "),
            None => "no guard was ever set there".into(),
        };
        self.find(
            "guard-changed",
            About::Replication,
            Severity::Failed,
            "the application may do other things on the secondary than the write guard allows",
            evidence,
            "Set the guard anew: run `pmp-ha reconfigure` on the secondary.",
        );
    }

    fn tfa(&mut self) {
        let restart = "Restart Password Manager Pro on the secondary once.";
        match self.snapshot.tfa.clone() {
            Tfa::NotWatched | Tfa::AsAtStart => {}
            Tfa::Changed => self.find(
                "tfa-changed",
                About::HighAvailability,
                Severity::Warning,
                "the secondary needs one restart",
                "the TFA setting is no longer what it was when this secondary was last started".into(),
                restart,
            ),
            Tfa::NotedNow => self.find(
                "tfa-noted",
                About::HighAvailability,
                Severity::Note,
                "the TFA setting has been noted",
                "with which one this secondary was started was not noted at that time".into(),
                "If it has changed since the last start, restart Password Manager Pro on the secondary once.",
            ),
            Tfa::Unknown(why) => self.find(
                "tfa-unknown",
                About::HighAvailability,
                Severity::Unknown,
                "whether the TFA setting has changed cannot be seen",
                why,
                "Put product.tfa_query in conf/pmp-ha.toml right, or leave it empty.",
            ),
        }
    }

    fn disk(&mut self) {
        let Some(free) = self.snapshot.disk.filter(|free| *free < DISK_LOW) else { return };
        let (code, severity, what) = if free < DISK_FULL {
            ("disk-full", Severity::Failed, "the disk of the database here is full")
        } else {
            ("disk-low", Severity::Warning, "the disk of the database here is nearly full")
        };
        self.find(
            code,
            About::Replication,
            severity,
            what,
            format!("{} are free where mysql/data lies", Bytes(free)),
            "Free space there: the database then goes on by itself within about a minute.",
        );
    }

    fn proof(&mut self) {
        let peer = self.snapshot.membership.peer().host.clone();
        let evidence = match self.snapshot.proof.clone() {
            None | Some(Ok(Proof { back: Some(_), .. })) => return,
            Some(Err(why)) => why,
            Some(Ok(Proof { there: Some(there), waited, .. })) => format!(
                "the row reached {peer} after {:.3} s, and its echo was not back after {:.0} s",
                there.as_secs_f64(),
                waited.as_secs_f64()
            ),
            Some(Ok(Proof { there: None, waited, .. })) => {
                format!("its echo was not back after {:.0} s", waited.as_secs_f64())
            }
        };
        self.find(
            "not-proved",
            About::Replication,
            Severity::Failed,
            "a heartbeat row did not come through both ways",
            evidence,
            "The other findings say which way is broken; run `pmp-ha verify` on the other node, too.",
        );
    }

    fn errant_writes(&mut self) {
        let secondary = self.snapshot.server(Role::Secondary);
        let errant = match secondary.and_then(|server| server.errant.clone()) {
            None => return,
            Some(Ok(errant)) => errant,
            Some(Err(why)) => {
                self.find(
                    "writes-not-checked",
                    About::Replication,
                    Severity::Unknown,
                    "what was written on the secondary cannot be looked at",
                    why,
                    "See the other findings. Its binlog is read with the monitor account.",
                );
                return;
            }
        };
        if errant.total > 0 {
            let shown: Vec<String> = errant
                .found
                .iter()
                .take(3)
                .map(|found| format!("{} ({}:{})", found.what, found.file, found.position))
                .collect();
            let more =
                if errant.total > 3 { format!(", and {} more", errant.total - 3) } else { String::new() };
            self.find(
                "errant-write",
                About::Replication,
                Severity::Failed,
                "something was written on the secondary that only the primary may write",
                format!("its binlog holds {}{more}", shown.join(", ")),
                "Find out who did it. `pmp-ha verify --deep` on the primary says what differs, `pmp-ha repair` on the secondary puts it right.",
            );
        }
        if errant.unread > 0 {
            self.find(
                "writes-not-checked",
                About::Replication,
                Severity::Unknown,
                "not everything that was written on the secondary has been looked at yet",
                format!("{} bytes of its binlog are left", errant.unread),
                "Run `pmp-ha verify` again: it goes on where it stopped.",
            );
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
            BlindReason::Unreachable | BlindReason::NobodyListens | BlindReason::NotRunning => (
                "peer-unreachable",
                Severity::Failed,
                format!("the {role} {peer} cannot be reached"),
                "See whether its machine and its database run and the network between lets the port through; the pair then heals by itself. If its port has changed: `pmp-ha reconfigure --peer-port PORT`.",
            ),
        };
        self.find(code, About::HighAvailability, severity, &what, evidence, hint);
    }
}

fn summary(snapshot: &Snapshot) -> String {
    let secondary = snapshot.membership.pair.node(Role::Secondary);
    let Some(replica) = snapshot.server(Role::Secondary).and_then(|server| server.replica.as_ref()) else {
        return format!("seen from the {} {}", snapshot.membership.role, snapshot.membership.this());
    };
    let lag = lag::while_it_lives(snapshot, Role::Secondary);
    let lag = lag.map_or("lag unknown".to_owned(), |lag| format!("lag {lag:.1} s"));
    let tls = if replica.channel_tls == ChannelTls::Verified { "TLS verified" } else { "TLS not verified" };
    let waits = match snapshot.server(Role::Primary).and_then(|server| server.semi_sync) {
        Some(SemiSyncView::Present { on: true, replicas: 1.., .. }) => ", commits wait for it",
        _ => "",
    };
    let back = match snapshot.server(Role::Primary).and_then(|server| server.replica.as_ref()) {
        Some(back) if lag::link_lives(back) && back.applier_runs => ", audit rows flow back",
        Some(_) => ", audit rows do not flow back",
        None => "",
    };
    let proved = match &snapshot.proof {
        Some(Ok(Proof { there, back: Some(back), .. })) => {
            let there = there
                .map(|there| format!("was there after {:.3} s and ", there.as_secs_f64()))
                .unwrap_or_default();
            format!("; proved: a heartbeat {there}came back after {:.3} s", back.as_secs_f64())
        }
        _ => String::new(),
    };
    format!(
        "{secondary} replicates from {}:{}, {lag}, {tls}{waits}{back}{proved}",
        replica.source_host, replica.source_port
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::domain::flavor::ServerVersion;
    use crate::domain::pair::Membership;
    use crate::domain::settings::taken_by;
    use crate::domain::snapshot::{Beat, CurrentPorts, Pulse, Receiver, ReplicaView};
    use crate::domain::standing::NodeState;

    /// The replica side of the node that plays `role`.
    fn replica(role: Role) -> ReplicaView {
        let source = Pair::example().node(Pair::peer_of(role)).clone();
        ReplicaView {
            receiver: Receiver::Connected,
            applier_runs: true,
            source_host: source.host,
            source_port: 2345,
            source_server_id: Some(source.number),
            channel_tls: ChannelTls::Verified,
            receiver_error: (0, String::new()),
            applier_error: (0, String::new()),
            lag: Some(0),
            wild_do_tables: taken_by(role, &Pair::example()),
            pulse: Some(Pulse { moved: true, watched: Duration::from_millis(400) }),
        }
    }

    fn server(role: Role, replica: ReplicaView) -> ServerView {
        ServerView {
            version: ServerVersion::parse("9.7.4").expect("a version"),
            variables: BTreeMap::new(),
            tls: true,
            replica: Some(replica),
            replicas_connected: vec!["n2".into()],
            semi_sync: None,
            clock: 100_000_000,
            clock_offset: 0,
            beats: [1, 2].map(|node| Beat { node, beat: 99_000_000, echo: 97_000_000, epoch: 1 }).into(),
            says: None,
            rights_changed: (role == Role::Secondary).then(Vec::new),
            errant: None,
        }
    }

    fn seen_from(role: Role) -> Snapshot {
        let pair = Pair::example();
        let at = |role| server(role, replica(role));
        Snapshot {
            membership: Membership { format: 1, role, key_fingerprint: None, pair },
            ports: CurrentPorts { db: 2345, web: Some(7272) },
            local: Observed::Seen(at(role)),
            peer: Observed::Seen(at(Pair::peer_of(role))),
            deviations: vec![],
            tfa: Tfa::NotWatched,
            disk: Some(1 << 40),
            proof: None,
        }
    }

    fn with_replica(change: impl FnOnce(&mut ReplicaView)) -> Snapshot {
        let mut snapshot = seen_from(Role::Secondary);
        let mut view = replica(Role::Secondary);
        change(&mut view);
        snapshot.local = Observed::Seen(server(Role::Secondary, view));
        snapshot
    }

    fn with_back(change: impl FnOnce(&mut ReplicaView)) -> Snapshot {
        let mut snapshot = seen_from(Role::Secondary);
        let mut view = replica(Role::Primary);
        change(&mut view);
        snapshot.peer = Observed::Seen(server(Role::Primary, view));
        snapshot
    }

    fn with_beats(role: Role, beats: [(i64, i64); 2]) -> Snapshot {
        let mut snapshot = seen_from(Role::Secondary);
        let mut view = server(role, replica(role));
        view.beats = beats
            .into_iter()
            .zip([1, 2])
            .map(|((beat, echo), node)| Beat {
                node,
                beat: beat * 1_000_000,
                echo: echo * 1_000_000,
                epoch: 1,
            })
            .collect();
        match role {
            Role::Secondary => snapshot.local = Observed::Seen(view),
            Role::Primary => snapshot.peer = Observed::Seen(view),
        }
        snapshot
    }

    fn blind(why: BlindReason) -> Observed<ServerView> {
        Observed::NotSeen(Blind { why, evidence: "seen".into() })
    }

    const LIMITS: Limits = Limits { lag: 30, heartbeat: 10 };

    fn verdict(snapshot: &Snapshot) -> (Status, Status, Vec<&'static str>) {
        let health = judge(snapshot, LIMITS);
        (health.high_availability, health.replication, health.findings.iter().map(|f| f.code).collect())
    }

    #[test]
    fn a_healthy_pair_is_alive_from_both_sides_and_says_so_in_the_manuals_words() {
        assert_eq!(verdict(&seen_from(Role::Secondary)), (Status::Alive, Status::Alive, vec![]));
        assert_eq!(verdict(&seen_from(Role::Primary)), (Status::Alive, Status::Alive, vec![]));
        let text = judge(&seen_from(Role::Secondary), LIMITS).to_string();
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
        snapshot.peer = blind(BlindReason::TooManyConnections);
        assert_eq!(
            verdict(&snapshot),
            (Status::Alive, Status::Unknown, vec!["peer-full", "replica-not-seen"])
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
    fn the_way_back_is_judged_as_the_way_forth() {
        let snapshot = with_back(|view| view.receiver = Receiver::Connecting);
        assert_eq!(
            verdict(&snapshot),
            (Status::Failed, Status::Unknown, vec!["back-receiver-connecting", "back-lag-unknown"])
        );
        let snapshot = with_back(|view| {
            view.applier_runs = false;
            view.applier_error = (1062, "duplicate".into());
        });
        assert_eq!(verdict(&snapshot), (Status::Alive, Status::Failed, vec!["back-applier-stopped"]));
        assert_eq!(verdict(&with_back(|view| view.wild_do_tables.clear())).2, ["back-wrong-filter"]);
    }

    #[test]
    fn lag_is_what_the_heartbeat_rows_say() {
        // The primary wrote at 99 s, and the secondary has applied what it wrote at 60 s, and says so.
        let mut behind = with_beats(Role::Secondary, [(60, 50), (99, 60)]);
        if let Observed::Seen(primary) = &mut behind.peer {
            primary.beats[1].echo = 60_000_000;
        }
        assert_eq!(verdict(&behind), (Status::Alive, Status::Failed, vec!["lagging"]));
        let mut back = with_beats(Role::Primary, [(99, 60), (60, 59)]);
        if let Observed::Seen(secondary) = &mut back.local {
            secondary.beats[0].echo = 60_000_000;
        }
        assert_eq!(verdict(&back), (Status::Alive, Status::Failed, vec!["back-lagging"]));
        // The server's own figure does not count against the rows.
        assert_eq!(verdict(&with_replica(|view| view.lag = Some(31))).2, Vec::<&str>::new());
    }

    #[test]
    fn an_old_own_heartbeat_is_failed_wherever_it_is() {
        let mut silent = with_beats(Role::Secondary, [(99, 97), (80, 79)]);
        assert_eq!(verdict(&silent), (Status::Failed, Status::Alive, vec!["heartbeat-stopped"]));
        silent = with_beats(Role::Primary, [(0, 0), (99, 97)]);
        assert_eq!(verdict(&silent).2, ["heartbeat-stopped"]);
    }

    #[test]
    fn rights_that_came_back_are_told() {
        let mut snapshot = seen_from(Role::Primary);
        let mut view = server(Role::Secondary, replica(Role::Secondary));
        view.rights_changed = Some(vec!["root@localhost has gained UPDATE on passtrix.*".into()]);
        snapshot.peer = Observed::Seen(view);
        assert_eq!(verdict(&snapshot), (Status::Alive, Status::Failed, vec!["guard-changed"]));
    }

    #[test]
    fn a_role_that_was_handed_over_and_that_nobody_took_is_told_with_who_takes_it() {
        for (theirs, who) in [(2, "`pmp-ha switchover` here"), (0, "`pmp-ha switchover` on ")] {
            let mut snapshot = seen_from(Role::Secondary);
            let mut view = server(Role::Primary, replica(Role::Primary));
            view.rights_changed = Some(vec![]);
            view.says = Some(NodeState {
                node: 1,
                epoch: theirs,
                replaces: 0,
                role: Role::Secondary,
                candidate: false,
                secondary_word: None,
                followed: None,
                heard: None,
            });
            snapshot.peer = Observed::Seen(view);
            let health = judge(&snapshot, LIMITS);
            let codes: Vec<_> = health.findings.iter().map(|finding| finding.code).collect();
            assert_eq!((health.high_availability, codes), (Status::Failed, vec!["no-primary"]));
            assert!(health.findings[0].hint.contains(who), "{}", health.findings[0].hint);
        }
    }

    #[test]
    fn a_guard_that_was_left_on_the_primary_is_told() {
        let mut snapshot = seen_from(Role::Primary);
        let mut view = server(Role::Primary, replica(Role::Primary));
        // It was lifted: the rights are others than the guard's.
        view.rights_changed = Some(vec!["root@localhost now has INSERT on *".into()]);
        snapshot.local = Observed::Seen(view.clone());
        assert_eq!(verdict(&snapshot).2, Vec::<&str>::new());
        view.rights_changed = Some(vec![]);
        snapshot.local = Observed::Seen(view);
        assert_eq!(verdict(&snapshot), (Status::Failed, Status::Alive, vec!["writes-refused"]));
    }

    #[test]
    fn commits_that_do_not_wait_as_configured_are_a_warning_and_never_more() {
        let with = |view| {
            let mut snapshot = seen_from(Role::Primary);
            let server =
                ServerView { semi_sync: Some(view), ..server(Role::Primary, replica(Role::Primary)) };
            snapshot.local = Observed::Seen(server);
            snapshot
        };
        let (on, off) =
            [true, false].map(|on| SemiSyncView::Present { on, replicas: 0, not_awaited: 3 }).into();
        assert_eq!(verdict(&with(on)), (Status::Alive, Status::Alive, vec![]));
        assert_eq!(verdict(&with(off)), (Status::Alive, Status::Alive, vec!["semi-sync-off"]));
        // A server without the plugin knows none of the settings, and that is told once.
        let mut absent = with(SemiSyncView::Absent);
        absent.deviations.push(Deviation {
            node: "n1".into(),
            variable: "rpl_semi_sync_source_enabled".into(),
            wanted: "ON".into(),
            found: None,
        });
        assert_eq!(verdict(&absent), (Status::Alive, Status::Alive, vec!["semi-sync-unavailable"]));
        absent.deviations[0].found = Some("OFF".into());
        assert_eq!(verdict(&absent).2, ["setting-not-in-effect", "semi-sync-unavailable"]);
    }

    #[test]
    fn each_wrong_thing_has_its_own_code() {
        let code = |snapshot: &Snapshot| verdict(snapshot).2.join(",");
        assert_eq!(code(&with_replica(|v| v.source_host = "x".into())), "wrong-source");
        assert_eq!(code(&with_replica(|v| v.source_server_id = Some(9))), "wrong-source-identity");
        assert_eq!(code(&with_replica(|v| v.channel_tls = ChannelTls::Unverified)), "channel-not-verified");
        assert_eq!(code(&with_replica(|v| v.wild_do_tables.clear())), "wrong-filter");
        let mut moved = seen_from(Role::Primary);
        moved.ports = CurrentPorts { db: 1, web: Some(2) };
        assert_eq!(code(&moved), "port-changed,web-port-changed");
    }
}
