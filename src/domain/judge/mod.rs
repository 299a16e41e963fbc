//! The health rules: from a snapshot to the verdict. What could not be seen is never Alive.

mod certificates;
mod channel;
mod explain;
mod heartbeats;
mod product;
mod returned;
mod semi_sync;
mod storage;

#[cfg(test)]
mod tests;

use super::errant::{Errant, WHOLE_TABLE};
use super::health::{About, Finding, Health, Limits, Severity, Status};
use super::lag;
use super::pair::{Pair, Role};
use super::plan::Bytes;
use super::snapshot::{
    Blind, BlindReason, ChannelTls, Deviation, Observed, Receiver, RoundTrip, SemiSyncView, ServerView,
    Snapshot, Tfa,
};
use super::standing::{Standing, standing};
use super::words::cut;

/// Returns the verdict on a home that belongs to no pair.
#[must_use]
pub fn no_pair(evidence: &str) -> Health {
    let finding = |about| Finding {
        code: "no-pair",
        about,
        severity: Severity::Unknown,
        what: "this home does not belong to a pair yet".into(),
        evidence: evidence.to_owned(),
        hint: "Set up the pair: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.".into(),
    };
    Health {
        high_availability: Status::Unknown,
        replication: Status::Unknown,
        findings: vec![finding(About::HighAvailability), finding(About::Replication)],
        summary: "no pair".into(),
    }
}

/// With less free space than this, a server that must write waits or fails.
pub const DISK_FULL: u64 = 32 << 20;

/// With less free space than this, `verify` warns.
pub const DISK_LOW: u64 = 1 << 30;

/// The evidence of a finding is cut after so many characters.
const LONGEST_EVIDENCE: usize = 2000;

struct Judge<'a> {
    snapshot: &'a Snapshot,
    findings: Vec<Finding>,
}

/// Returns the verdict on a snapshot.
#[must_use]
pub fn judge(snapshot: &Snapshot, limits: Limits) -> Health {
    let mut judge = Judge { snapshot, findings: Vec::new() };
    judge.roles();
    // Where the nodes do not play the roles that this home has for them, no other rule speaks of the right one.
    let apart = !judge.findings.is_empty() && !judge.nobody_is_primary();
    if !apart {
        judge.ports();
        judge.settings();
        judge.connection();
        judge.certificates();
        judge.rotation();
        judge.two_cas();
        judge.channel(&channel::FORTH, limits);
        judge.channel(&channel::BACK, limits);
        judge.semi_sync();
        judge.heartbeats(limits);
        judge.guard();
        judge.storage();
        judge.errant_writes();
        judge.returned_writes();
        judge.product();
        judge.tfa();
        judge.key();
        judge.proof();
    }
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
        summary: if apart { not_a_pair(snapshot) } else { summary(snapshot) },
        findings: judge.findings,
    }
}

impl Judge<'_> {
    /// Returns the server of the node in `role`, or why it was not seen.
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
        // It goes into messages, and a server may say anything at any length.
        let evidence = cut(&evidence, LONGEST_EVIDENCE);
        self.findings.push(Finding { code, about, severity, what: what.into(), evidence, hint: hint.into() });
    }

    /// Judges two nodes that both serve as the primary, or would.
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
            Standing::Superseded { .. } => self.apart(
                "superseded",
                Severity::Failed,
                "this node is no longer the primary",
                &evidence,
                "Stop Password Manager Pro here, then run `pmp-ha rejoin`: this node becomes the secondary. Until then, nobody may write here.",
            ),
            Standing::Disputed { .. } if said.candidate => {}
            Standing::Disputed { .. } => self.apart(
                "two-primaries",
                Severity::Failed,
                "both nodes are primaries, and neither replaces the other",
                &evidence,
                "Decide which data to keep. Stop Password Manager Pro and the database of the other node, then run `pmp-ha rejoin` there: it first saves to a file the rows that only that node has.",
            ),
            Standing::Holds if older => self.apart(
                "old-primary-serves",
                Severity::Failed,
                "the old primary runs and accepts writes",
                &evidence,
                "Stop it at once, then run `pmp-ha rejoin` there: what users write on it is not in this vault.",
            ),
            Standing::Holds if self.nobody_is_primary() => {
                let who = if said.epoch > epoch { "here".to_owned() } else { format!("on {peer}") };
                self.find(
                    "no-primary",
                    About::HighAvailability,
                    Severity::Failed,
                    "neither node is the primary",
                    evidence,
                    &format!("The role was handed over, but no node has taken it. If a switchover is running, let it finish. Otherwise run `pmp-ha switchover` {who}."),
                );
            }
            Standing::Holds => {}
        }
    }

    /// Finds that the two nodes are no pair: neither is connected, and neither replicates.
    fn apart(&mut self, code: &'static str, severity: Severity, what: &str, evidence: &str, hint: &str) {
        for about in [About::HighAvailability, About::Replication] {
            self.find(code, about, severity, what, evidence.to_owned(), hint);
        }
    }

    /// Judges whether both nodes say that they are the secondary: one has handed over its role.
    fn nobody_is_primary(&self) -> bool {
        let said = self.snapshot.peer.seen().and_then(|server| server.says.as_ref());
        self.snapshot.membership.role == Role::Secondary
            && said.is_some_and(|said| said.role == Role::Secondary && !said.candidate)
    }

    fn ports(&mut self) {
        let this = self.snapshot.membership.this().clone();
        let now = self.snapshot.ports;
        let hint = "Restore the port, or run `pmp-ha reconfigure` here and `pmp-ha reconfigure --peer-port PORT` on the other node.";
        let db_port = this.local_port.unwrap_or(this.db_port);
        if now.db != db_port {
            self.find(
                "port-changed",
                About::HighAvailability,
                Severity::Failed,
                "the database port is not the one with which the pair was set up",
                format!("it was {db_port}, but conf/database_params.conf now says {}", now.db),
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
                "the primary's web port is not the one with which the pair was set up",
                format!("it was {was}, but conf/server.xml now says {is}"),
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
                format!("{} is {found}, but should be {}", deviation.variable, deviation.wanted),
                "Run `pmp-ha stop` and `pmp-ha start` there. If that does not help, an upgrade may have replaced the start script, or the script overrides the setting: a new pack changes the script again.",
            );
        }
        if self.snapshot.local.seen().is_some_and(|server| !server.tls) {
            self.find(
                "tls-off",
                About::HighAvailability,
                Severity::Failed,
                "the server here runs without TLS",
                "it runs and reports that TLS is disabled".into(),
                "Read its error log: it must be able to read ca.pem, node.pem and node-key.pem in conf/pmp-ha.",
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
                    "the database here runs but has no connection left",
                    "Find out what uses up its connections.",
                ),
                BlindReason::Slow => (
                    "local-slow",
                    Severity::Unknown,
                    "the database here answers too slowly to be judged",
                    "Find out what keeps it or its machine busy, and run `pmp-ha verify` again.",
                ),
                BlindReason::Silent => (
                    "local-frozen",
                    Severity::Failed,
                    "the database here does not answer",
                    "Check its process and its disk.",
                ),
                _ => (
                    "local-refused",
                    Severity::Failed,
                    "the database here refuses the monitor account",
                    "Check conf/pmp-ha/credentials.toml. A new pack creates the account again: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary, which keeps its old data.",
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
                "Check that the secondary runs, and run `pmp-ha verify` there. It reconnects by itself.",
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
                "the primary refuses the application's writes",
                "its write guard is set, as on a secondary".into(),
                "If a switchover is running, let it finish. Otherwise run `pmp-ha reconfigure` on the primary.",
            );
        }
        let Some(server) = self.snapshot.server(Role::Secondary) else { return };
        let evidence = match &server.rights_changed {
            Some(changed) if changed.is_empty() => return,
            Some(changed) => changed.join("; "),
            None => "the guard was never set there".into(),
        };
        self.find(
            "guard-changed",
            About::Replication,
            Severity::Failed,
            "on the secondary, the application's rights differ from the write guard",
            evidence,
            "Set the guard again: run `pmp-ha reconfigure` on the secondary.",
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
                "the TFA setting has changed since this secondary was last started".into(),
                restart,
            ),
            Tfa::NotNoted(_) => self.find(
                "tfa-noted",
                About::HighAvailability,
                Severity::Note,
                "the TFA setting is watched from now on",
                "the setting was not recorded when this secondary was started".into(),
                "If it has changed since the last start, restart Password Manager Pro on the secondary once.",
            ),
            Tfa::Unknown(why) => self.find(
                "tfa-unknown",
                About::HighAvailability,
                Severity::Unknown,
                "cannot see whether the TFA setting has changed",
                why,
                "Correct product.tfa_query in conf/pmp-ha.toml, or leave it empty.",
            ),
        }
    }

    fn key(&mut self) {
        let Some(path) = self.snapshot.old_key.clone() else { return };
        self.find(
            "old-key",
            About::HighAvailability,
            Severity::Warning,
            "the secondary's encryption key does not decrypt the data",
            format!("product.key_query shows this for {path}"),
            "If the key was rotated, copy the primary's new pmp_key.key to the secondary, run `pmp-ha key PATH` there, and restart Password Manager Pro there.",
        );
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
            format!("{} are free on the filesystem of mysql/data", Bytes(free)),
            "Free space there: the database then resumes by itself within about a minute.",
        );
    }

    fn proof(&mut self) {
        let peer = self.snapshot.membership.peer().host.clone();
        let evidence = match self.snapshot.proof.clone() {
            None | Some(Ok(RoundTrip { back: Some(_), .. })) => return,
            Some(Err(why)) => why,
            Some(Ok(RoundTrip { there: Some(there), waited, .. })) => format!(
                "the row reached {peer} after {:.3} s, and its echo was not back after {:.0} s",
                there.as_secs_f64(),
                waited.as_secs_f64()
            ),
            Some(Ok(RoundTrip { there: None, waited, .. })) => {
                format!("its echo was not back after {:.0} s", waited.as_secs_f64())
            }
        };
        self.find(
            "not-proved",
            About::Replication,
            Severity::Failed,
            "a heartbeat row did not arrive both ways",
            evidence,
            "The other findings show which direction is broken. Run `pmp-ha verify` on the other node, too.",
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
                    "cannot check what was written on the secondary",
                    why,
                    "See the other findings. pmp-ha reads its binlog with the monitor account.",
                );
                return;
            }
        };
        if errant.total > 0 {
            let emptied = errant.found.iter().any(|found| found.what.ends_with(WHOLE_TABLE));
            self.find(
                "errant-write",
                About::Replication,
                Severity::Failed,
                "somebody wrote on the secondary what only the primary may write",
                format!("its binlog contains {}", shown(&errant.found, errant.total)),
                if emptied {
                    "A restart empties a table with ENGINE=MEMORY, and the server writes this into its binlog. In that case, run `ALTER TABLE … ENGINE=InnoDB` on the primary, and `pmp-ha repair` on the secondary. Otherwise find out who did it."
                } else {
                    "Find out who did it. `pmp-ha verify --deep` on the primary shows what differs; `pmp-ha repair` on the secondary corrects it."
                },
            );
        }
        if errant.unread > 0 {
            self.find(
                "writes-not-checked",
                About::Replication,
                Severity::Unknown,
                "not all writes on the secondary have been checked yet",
                format!("{} bytes of its binlog remain", errant.unread),
                "Run `pmp-ha verify` again: it resumes where it stopped.",
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
                format!("the {role} {peer} is alive but has no connection left"),
                "Find out what uses up its connections.",
            ),
            BlindReason::Slow => (
                "peer-slow",
                Severity::Unknown,
                format!("the {role} {peer} answers too slowly to be judged"),
                "Find out what keeps its server, its machine or this one busy, and run `pmp-ha verify` again.",
            ),
            BlindReason::Silent => (
                "peer-frozen",
                Severity::Failed,
                format!("the {role} {peer} accepts connections but does not answer"),
                "Its machine is up, but its server is frozen or overloaded: check the process and the disk there.",
            ),
            BlindReason::TurnedAway => (
                "peer-refused",
                Severity::Failed,
                format!("the {role} {peer} refuses this node"),
                if blind.evidence.contains("1045") {
                    "The accounts of the two nodes do not match. Check that both were set up with the same pack. Or its server chose an account without a name instead of pmp-ha's: see `SELECT Host FROM mysql.user WHERE User = ''`, and drop that account."
                } else {
                    "The accounts of the two nodes do not match, or they have no TLS version in common. Check that both were set up with the same pack."
                },
            ),
            BlindReason::Certificate(unfit) => return self.unfit_certificate(unfit, evidence),
            BlindReason::NotBuiltIn(part) => (
                "peer-not-asked",
                Severity::Unknown,
                format!("the {role} {peer} is alive and cannot be asked"),
                part.hint(),
            ),
            BlindReason::Unreachable | BlindReason::NotRunning => (
                "peer-unreachable",
                Severity::Failed,
                format!("the {role} {peer} cannot be reached"),
                "Check that its machine and database run, and that the network lets the port through. The pair then recovers by itself. If its port has changed, run `pmp-ha reconfigure --peer-port PORT`.",
            ),
        };
        self.find(code, About::HighAvailability, severity, &what, evidence, hint);
    }
}

/// The first of what was found, each with its place, and how many more there are.
fn shown(found: &[Errant], total: u64) -> String {
    let first: Vec<String> = found
        .iter()
        .take(3)
        .map(|found| format!("{} ({}:{})", found.what, found.file, found.position))
        .collect();
    let more = if total > 3 { format!(", and {} more", total - 3) } else { String::new() };
    format!("{}{more}", first.join(", "))
}

fn not_a_pair(snapshot: &Snapshot) -> String {
    let own = &snapshot.membership;
    format!("{} and {} do not replicate from each other", own.this(), own.peer())
}

fn summary(snapshot: &Snapshot) -> String {
    let secondary = snapshot.membership.pair.node(Role::Secondary);
    let Some(replica) = snapshot.server(Role::Secondary).and_then(|server| server.replica.as_ref()) else {
        return format!("seen from the {} {}", snapshot.membership.role, snapshot.membership.this());
    };
    let (host, port) = (&replica.source_host, replica.source_port);
    if replica.receiver != Receiver::Connected {
        return format!("{secondary} is set up to replicate from {host}:{port}, and is not connected to it");
    }
    let lag = lag::while_it_lives(snapshot, Role::Secondary);
    let lag = lag.map_or("lag unknown".to_owned(), |lag| format!("lag {lag:.1} s"));
    let tls = if replica.channel_tls == ChannelTls::Verified { "TLS verified" } else { "TLS not verified" };
    let waits = match snapshot.server(Role::Primary).and_then(|server| server.semi_sync) {
        Some(SemiSyncView::Present { on: true, replicas: 1.., .. }) => ", commits wait for it",
        _ => "",
    };
    let back = match snapshot.server(Role::Primary).and_then(|server| server.replica.as_ref()) {
        Some(back)
            if lag::link_lives(back) && back.applier_runs && channel::left_out(snapshot, back).is_empty() =>
        {
            ", audit rows flow back"
        }
        Some(_) => ", audit rows do not flow back",
        None => "",
    };
    let proved = match &snapshot.proof {
        Some(Ok(RoundTrip { there, back: Some(back), .. })) => {
            let there = there
                .map(|there| format!("was there after {:.3} s and ", there.as_secs_f64()))
                .unwrap_or_default();
            format!("; proved: a heartbeat {there}came back after {:.3} s", back.as_secs_f64())
        }
        _ => String::new(),
    };
    format!("{secondary} replicates from {host}:{port}, {lag}, {tls}{waits}{back}{proved}")
}
