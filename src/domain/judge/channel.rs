//! One direction of replication: its link, its applier, its lag.

use super::Judge;
use super::explain::explain;
use crate::domain::accounts::APPLIER_USER;
use crate::domain::after_crash::is_of_a_torn_binlog;
use crate::domain::health::{About, Limits, Severity};
use crate::domain::lag;
use crate::domain::pair::{Pair, Role};
use crate::domain::receiver::{gave_up, is_of_identity};
use crate::domain::returned::{is_refusal, without_statement};
use crate::domain::settings::{EVERY_SCHEMA, taken_by};
use crate::domain::snapshot::{BlindReason, ChannelTls, Receiver, ReplicaView, ServerView, Snapshot};
use crate::domain::tables::lets_pass;

/// One direction of replication, and the codes of its findings.
pub(super) struct Channel {
    /// The role of the node that receives.
    at: Role,
    /// What flows there, for sentences.
    what: &'static str,
    no_source: &'static str,
    wrong_source: &'static str,
    wrong_identity: &'static str,
    not_verified: &'static str,
    silent: &'static str,
    connecting: &'static str,
    stopped: &'static str,
    applier_stopped: &'static str,
    binlog_gone: &'static str,
    binlog_torn: &'static str,
    wrong_filter: &'static str,
    lagging: &'static str,
    lag_unknown: &'static str,
    not_seen: &'static str,
    wrong_limit: &'static str,
}

/// From the primary to the secondary.
pub(super) const FORTH: Channel = Channel {
    at: Role::Secondary,
    what: "the replication of the vault",
    no_source: "not-a-replica",
    wrong_source: "wrong-source",
    wrong_identity: "wrong-source-identity",
    not_verified: "channel-not-verified",
    silent: "link-silent",
    connecting: "receiver-connecting",
    stopped: "receiver-stopped",
    applier_stopped: "applier-stopped",
    binlog_gone: "binlog-gone",
    binlog_torn: "binlog-torn",
    wrong_filter: "wrong-filter",
    lagging: "lagging",
    lag_unknown: "lag-unknown",
    not_seen: "replica-not-seen",
    wrong_limit: "wrong-limit",
};

/// The return channel of the audit rows, from the secondary to the primary.
pub(super) const BACK: Channel = Channel {
    at: Role::Primary,
    what: "the return channel of the audit rows",
    no_source: "back-not-a-replica",
    wrong_source: "back-wrong-source",
    wrong_identity: "back-wrong-source-identity",
    not_verified: "back-channel-not-verified",
    silent: "back-link-silent",
    connecting: "back-receiver-connecting",
    stopped: "back-receiver-stopped",
    applier_stopped: "back-applier-stopped",
    binlog_gone: "back-binlog-gone",
    binlog_torn: "back-binlog-torn",
    wrong_filter: "back-wrong-filter",
    lagging: "back-lagging",
    lag_unknown: "back-lag-unknown",
    not_seen: "back-not-seen",
    wrong_limit: "back-not-limited",
};

const ANEW: &str = "Install a new pack: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary, which keeps its old data.";

impl Judge<'_> {
    /// Judges one direction from what the receiving server reports.
    pub(super) fn channel(&mut self, channel: &Channel, limits: Limits) {
        let server = match self.seen(channel.at) {
            Ok(server) => server.clone(),
            Err(blind) => {
                let evidence = blind.evidence.clone();
                let here = channel.at == self.snapshot.membership.role;
                let what = if here {
                    "cannot see whether the database here applies what it receives".to_owned()
                } else {
                    format!("cannot see from here whether the {} applies what it receives", channel.at)
                };
                let hint = match blind.why {
                    BlindReason::NotRunning if here => "Start the database here: `pmp-ha start`.".to_owned(),
                    _ if here => "Run `pmp-ha verify` again when the database here answers.".to_owned(),
                    _ => format!("Run `pmp-ha verify` on the {}.", channel.at),
                };
                self.find(channel.not_seen, About::Replication, Severity::Unknown, &what, evidence, &hint);
                return;
            }
        };
        let Some(replica) = server.replica.clone() else {
            for about in [About::HighAvailability, About::Replication] {
                self.find(
                    channel.no_source,
                    about,
                    Severity::Failed,
                    &format!("the database of the {} has no source to replicate from", channel.at),
                    "its replica status is empty".into(),
                    ANEW,
                );
            }
            return;
        };
        self.source(channel, &replica);
        self.link(channel, &replica);
        self.applier(channel, &replica);
        self.lag(channel, &server, &replica, limits);
        self.filter(channel, &replica);
        self.limit(channel, &replica);
    }

    fn source(&mut self, channel: &Channel, replica: &ReplicaView) {
        let at = channel.at;
        let source = self.snapshot.membership.pair.node(Pair::peer_of(at)).clone();
        if replica.source_host != source.host || replica.source_port != source.db_port {
            self.find(
                channel.wrong_source,
                About::HighAvailability,
                Severity::Failed,
                &format!("the database of the {at} replicates from another server"),
                format!(
                    "its source is {}:{}, but the {} is {source}",
                    replica.source_host,
                    replica.source_port,
                    Pair::peer_of(at)
                ),
                "If the other node has moved, run `pmp-ha reconfigure` there. Otherwise somebody changed it by hand: install a new pack. `pmp-ha install-pack` keeps the secondary's old data.",
            );
        }
        if let Some(id) = replica.source_server_id.filter(|id| *id != 0 && *id != source.number) {
            self.find(
                channel.wrong_identity,
                About::HighAvailability,
                Severity::Failed,
                &format!("the source of the database of the {at} is another server"),
                format!("it has the server id {id}, but {source} has {}", source.number),
                "Check which server answers at that address.",
            );
        }
        if replica.channel_tls != ChannelTls::Verified {
            self.find(
                channel.not_verified,
                About::HighAvailability,
                Severity::Failed,
                "the replication link is not protected by verified TLS",
                format!("on the {at}, the TLS of the channel is {:?}", replica.channel_tls),
                ANEW,
            );
        }
    }

    fn link(&mut self, channel: &Channel, replica: &ReplicaView) {
        let at = channel.at;
        let (number, message) = &replica.receiver_error;
        let explained = match explain(*number, at) {
            _ if gave_up(replica) => {
                "The error may be temporary: `pmp-ha monitor` on that node restarts the receiver, at growing intervals. If it comes again, read the error log there, and fix what the evidence says."
            }
            Some(_) if matches!(number, 1593 | 13117) && !is_of_identity(message) => {
                "Read the error log there, and fix what the evidence says. Then restart the database there."
            }
            Some(known) => known,
            None => "It reconnects by itself when the other node is reachable.",
        };
        let said =
            if *number == 0 { "no error yet".to_owned() } else { format!("error {number}: {message}") };
        let source = format!("{}:{}", replica.source_host, replica.source_port);
        match replica.receiver {
            Receiver::Connected => {
                if let Some(pulse) = replica.pulse.as_ref().filter(|pulse| !pulse.moved) {
                    self.find(
                        channel.silent,
                        About::HighAvailability,
                        Severity::Failed,
                        &format!("the {at} is connected to {source}, but nothing arrives"),
                        format!("no heartbeat and no event within {:.1} s", pulse.watched.as_secs_f64()),
                        "The other server is frozen, or the network drops packets. The receiver reconnects by itself.",
                    );
                }
            }
            Receiver::Connecting => self.find(
                channel.connecting,
                About::HighAvailability,
                Severity::Failed,
                &format!("the {at} is not connected to {source}"),
                format!("the receiver is connecting; {said}"),
                explained,
            ),
            Receiver::Stopped => self.find(
                channel.stopped,
                About::HighAvailability,
                Severity::Failed,
                &format!("the {at} has stopped receiving"),
                format!("the receiver does not run; {said}"),
                explained,
            ),
        }
    }

    fn applier(&mut self, channel: &Channel, replica: &ReplicaView) {
        let at = channel.at;
        let (number, message) = &replica.applier_error;
        if *number != 0 || !replica.applier_runs {
            let said = match (number, message.as_str()) {
                (0, "") => "no error is recorded".into(),
                // MySQL 5.6 stops at a statement that failed on the source alone, and gives no number.
                (0, message) => message.to_owned(),
                (number, message) => format!("error {number}: {message}"),
            };
            if at == Role::Primary && replica.limit.is_some() && is_refusal(*number) {
                self.find(
                    "back-refused",
                    About::Replication,
                    Severity::Failed,
                    "the secondary sent something that is not an audit row, and the primary did not execute it",
                    without_statement(&said),
                    "Find out who did it on the secondary. Until you have fixed this, audit rows wait. Then run `pmp-ha repair --return-channel` on the primary, and `pmp-ha repair` on the secondary. If it is an INSERT into a new audit table, run `pmp-ha reconfigure` on the primary instead.",
                );
                return;
            }
            self.find(
                channel.applier_stopped,
                About::Replication,
                Severity::Failed,
                &format!("the {at} has stopped applying what it receives"),
                without_statement(&said),
                explain(*number, at).unwrap_or(
                    "Read the error log there. Then run `pmp-ha repair` on the secondary: it shows what differs and restarts the applier.",
                ),
            );
        }
        if is_of_a_torn_binlog(&replica.receiver_error.1) {
            self.find(
                channel.binlog_torn,
                About::Replication,
                Severity::Failed,
                &format!("a binlog that the {at} needs ends in the middle of an event"),
                replica.receiver_error.1.clone(),
                "The other node's server was killed, and was started without pmp-ha. Run `pmp-ha stop` and `pmp-ha start` there: this removes the incomplete event. Then do the same here.",
            );
            return;
        }
        // MySQL 8 and later have a number of their own for the source's 1236.
        if matches!(replica.receiver_error.0, 1236 | 13114) {
            self.find(
                channel.binlog_gone,
                About::Replication,
                Severity::Failed,
                &format!("the other node no longer has the binlog that the {at} needs"),
                replica.receiver_error.1.clone(),
                explain(1236, at).unwrap_or_default(),
            );
        }
    }

    /// Judges whether the server itself limits the applier as its role demands.
    fn limit(&mut self, channel: &Channel, replica: &ReplicaView) {
        let Some(limit) = &replica.limit else { return };
        let account = limit.account.as_deref().unwrap_or("nobody");
        let is_ours = account.trim_matches('\'').split("'@'").next() == Some(APPLIER_USER)
            || account.split('@').next() == Some(APPLIER_USER);
        let evidence = match channel.at {
            Role::Secondary if limit.account.is_none() && !limit.rows_only => return,
            Role::Primary if !is_ours || !limit.rows_only => {
                format!("its rights are those of {account}, and rows only: {}", limit.rows_only)
            }
            Role::Primary => match &limit.rights_changed {
                Some(changed) if changed.is_empty() => return,
                Some(changed) => changed.join("; "),
                None => format!("it is not recorded which rights {APPLIER_USER} was given"),
            },
            Role::Secondary => {
                format!("its rights are those of {account}, and rows only: {}", limit.rows_only)
            }
        };
        let what = match channel.at {
            Role::Primary => {
                "the server of the primary does not limit what it executes from the secondary to audit rows"
            }
            Role::Secondary => "the server of the secondary limits what it executes from the primary",
        };
        self.find(
            channel.wrong_limit,
            About::Replication,
            Severity::Failed,
            what,
            evidence,
            &format!("Run `pmp-ha reconfigure` on the {}.", channel.at),
        );
    }

    fn lag(&mut self, channel: &Channel, server: &ServerView, replica: &ReplicaView, limits: Limits) {
        let at = channel.at;
        let own = replica.lag.map(|lag| format!("; the server's own figure is {lag} s")).unwrap_or_default();
        match lag::while_it_lives(self.snapshot, at) {
            Some(lag) if lag > limits.lag_seconds() => self.find(
                channel.lagging,
                About::Replication,
                Severity::Failed,
                &format!("the {at} is behind"),
                format!("by {lag:.0} s, by the heartbeat rows; the limit is {} s{own}", limits.lag),
                "It catches up by itself if the other node writes less than it can apply. Check its disk and load.",
            ),
            None if replica.applier_runs => {
                let age = server.beat_of(self.snapshot.membership.pair.node(Pair::peer_of(at)).number);
                let newest = match age.filter(|beat| beat.beat > 0) {
                    Some(beat) => format!(
                        "the newest applied heartbeat row is {:.0} s old",
                        lag::seconds(server.clock - beat.beat)
                    ),
                    None => "no heartbeat row has arrived yet".into(),
                };
                let (why, hint) = if lag::link_lives(replica) {
                    (
                        "the heartbeats are ahead of a node's clock, which was set back",
                        "Check the time service of both machines. The lag is known again after a few seconds.",
                    )
                } else {
                    ("the link is down", "The lag is known again when the link is back.")
                };
                self.find(
                    channel.lag_unknown,
                    About::Replication,
                    Severity::Unknown,
                    &format!("the lag of the {at} is unknown"),
                    format!("{why}; {newest}; it still applies what it has received"),
                    hint,
                );
            }
            Some(_) | None => {}
        }
    }

    /// Judges whether the rows of each audit table that the secondary has pass the primary's filter.
    fn audit_tables(&mut self, replica: &ReplicaView) {
        let left_out = left_out(self.snapshot, replica);
        if !left_out.is_empty() {
            self.find(
                "audit-table-left-out",
                About::Replication,
                Severity::Failed,
                "audit rows of the secondary do not flow back",
                format!("the primary's filter rejects every row of {}", left_out.join(", ")),
                "Add the tables to audit_tables in conf/pmp-ha.toml on both nodes, as the server spells them. Then run `pmp-ha reconfigure`, first on the primary, and restart its database.",
            );
        }
    }

    fn filter(&mut self, channel: &Channel, replica: &ReplicaView) {
        let at = channel.at;
        let mut wanted = taken_by(at, &self.snapshot.membership.pair);
        let mut found = replica.wild_do_tables.clone();
        if at == Role::Primary {
            // Which spellings are given, too, is judged by the tables that are there.
            for list in [&mut found, &mut wanted] {
                for pattern in list.iter_mut() {
                    *pattern = pattern.to_lowercase();
                }
            }
            self.audit_tables(replica);
        }
        for list in [&mut found, &mut wanted] {
            list.sort_unstable();
            list.dedup();
        }
        if found != wanted {
            // A server that runs since before an upgrade of this tool replicates every table that it should.
            found.retain(|pattern| pattern != EVERY_SCHEMA);
            let tables_are_right = wanted.iter().filter(|pattern| *pattern != EVERY_SCHEMA).eq(&found);
            self.find(
                channel.wrong_filter,
                About::Replication,
                if tables_are_right { Severity::Warning } else { Severity::Failed },
                &format!("{}: the {at} does not replicate the tables it should", channel.what),
                format!("its filter is [{}], but should be [{}]", found.join(", "), wanted.join(", ")),
                "Restart the database there with `pmp-ha stop` and `pmp-ha start`.",
            );
        }
    }
}

/// The audit tables of the secondary whose rows the primary's filter does not let pass.
pub(super) fn left_out(snapshot: &Snapshot, back: &ReplicaView) -> Vec<String> {
    let (Some(primary), Some(secondary)) = (snapshot.server(Role::Primary), snapshot.server(Role::Secondary))
    else {
        return Vec::new();
    };
    let pair = &snapshot.membership.pair;
    let case_counts = primary.variables.get("lower_case_table_names").is_some_and(|value| value == "0");
    let is_audit = |object: &&String| {
        let table = object.split_once('.').map(|(_, table)| table);
        table.is_some_and(|table| pair.audit_tables.contains(table))
    };
    let passes =
        |object: &String| back.wild_do_tables.iter().any(|filter| lets_pass(filter, object, case_counts));
    secondary.insertable.iter().filter(is_audit).filter(|object| !passes(object)).cloned().collect()
}
