//! The metrics, in the text format of Prometheus.

use std::fmt::{Display, Write as _};

use super::{NodeView, PageView};
use crate::domain::alarm::UnixSeconds;
use crate::domain::alarm::outbox::AlarmFigures;
use crate::domain::health::{Severity, Status};
use crate::domain::pair::Role;
use crate::domain::snapshot::ChannelTls;
use crate::domain::words::printable;

/// What the monitor knows of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchFigures {
    /// Looks since it began; `None` for one that looks once.
    pub looks: Option<u64>,
    /// How long the last look took, in milliseconds.
    pub took_ms: u64,
}

// The families with more than one value.
const STATUS: &str = "pmp_ha_status";
const FINDINGS: &str = "pmp_ha_findings";
const FINDING: &str = "pmp_ha_finding";
const SERVER: &str = "pmp_ha_server_answers";
const SEEN: &str = "pmp_ha_database_seen";
const BEAT: &str = "pmp_ha_heartbeat_age_seconds";
const LAG: &str = "pmp_ha_lag_seconds";
const WORKS: &str = "pmp_ha_alarm_channel_works";
const ENDS: &str = "pmp_ha_certificate_expiry_timestamp_seconds";

/// What a metric says of a channel.
type OfChannel = fn(&super::ChannelState) -> bool;

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) -> &mut Self {
        // ignored, here and below: writing into a string cannot fail
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    fn value(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) -> &mut Self {
        self.0.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{}\"", if number == 0 { '{' } else { ',' }, escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
        self
    }

    /// A family with one value, if there is one.
    fn gauge(&mut self, name: &str, help: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.family(name, "gauge", help).value(name, &[], value);
        }
        self
    }
}

fn escaped(text: &dyn Display) -> String {
    printable(&text.to_string()).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Returns the metrics of the last look.
#[must_use]
pub fn metrics(view: &PageView, watch: WatchFigures) -> String {
    let mut out = Text::default();
    let here = view.here();
    out.family("pmp_ha_info", "gauge", "The pair as this node knows it; always 1.").value(
        "pmp_ha_info",
        &[("version", &view.report.tool), ("host", &here.host), ("role", &here.role)],
        1,
    );
    statuses(&mut out, view);
    let is_primary = u8::from(here.role == Role::Primary);
    out.gauge("pmp_ha_primary", "Whether this node is the primary.", Some(is_primary));
    findings(&mut out, view);
    nodes(&mut out, &view.nodes);
    channels(&mut out, view);
    upkeep(&mut out, view);
    out.gauge("pmp_ha_look_timestamp_seconds", "Time of the last check.", Some(view.at));
    let took = Duration(watch.took_ms);
    out.gauge("pmp_ha_look_duration_seconds", "How long the last check took.", Some(took));
    if let Some(looks) = watch.looks {
        out.family("pmp_ha_looks_total", "counter", "Checks since the monitor began.").value(
            "pmp_ha_looks_total",
            &[],
            looks,
        );
    }
    out.0
}

/// Milliseconds, shown as seconds.
struct Duration(u64);

impl Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

fn statuses(out: &mut Text, view: &PageView) {
    out.family(STATUS, "gauge", "Each status of the pair: 1 for the state that it is in, 0 for the others.");
    let verdict = view.report.verdict();
    for (status, is) in
        [("high_availability", verdict.high_availability), ("replication", verdict.replication)]
    {
        for state in [Status::Alive, Status::Failed, Status::Unknown] {
            let word = state.to_string().to_lowercase();
            out.value(STATUS, &[("status", &status), ("state", &word)], u8::from(is == state));
        }
    }
}

fn findings(out: &mut Text, view: &PageView) {
    let findings = &view.report.health.findings;
    out.family(FINDINGS, "gauge", "Findings of the last check, by severity.");
    for severity in [Severity::Failed, Severity::Unknown, Severity::Warning, Severity::Note] {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        out.value(FINDINGS, &[("severity", &severity)], count);
    }
    let mut seen: Vec<(&str, Severity)> = Vec::new();
    for finding in findings {
        if seen.contains(&(finding.code, finding.severity)) {
            continue;
        }
        if seen.is_empty() {
            out.family(
                FINDING,
                "gauge",
                "A finding of the last check; always 1. docs/health.md explains each code.",
            );
        }
        seen.push((finding.code, finding.severity));
        out.value(FINDING, &[("code", &finding.code), ("severity", &finding.severity)], 1);
    }
}

fn nodes(out: &mut Text, nodes: &[NodeView; 2]) {
    out.family(SEEN, "gauge", "Whether the database of a node answered the monitor.");
    for node in nodes {
        out.value(SEEN, &[("host", &node.host), ("role", &node.role)], u8::from(node.database.is_ok()));
    }
    if nodes.iter().any(|node| node.product != Status::Unknown) {
        out.family(SERVER, "gauge", "Whether Password Manager Pro itself answers on a node.");
    }
    for node in nodes.iter().filter(|node| node.product != Status::Unknown) {
        let answers = u8::from(node.product == Status::Alive);
        out.value(SERVER, &[("host", &node.host), ("role", &node.role)], answers);
    }
    if nodes.iter().any(|node| node.beat.is_some()) {
        out.family(BEAT, "gauge", "How old the newest heartbeat of a node is.");
    }
    for node in nodes {
        if let Some(beat) = node.beat {
            out.value(BEAT, &[("host", &node.host), ("role", &node.role)], format!("{beat:.3}"));
        }
    }
}

fn channels(out: &mut Text, view: &PageView) {
    let known = |lag: Option<f64>| lag.map(|lag| format!("{lag:.3}"));
    if view.channels.iter().any(|channel| channel.lag.is_some()) {
        out.family(LAG, "gauge", "How far a node is behind the other node. Absent while it is unknown.");
    }
    for channel in &view.channels {
        if let Some(lag) = known(channel.lag) {
            out.value(LAG, &[("from", &channel.from()), ("to", &channel.at)], lag);
        }
    }
    let families: [(&str, &str, OfChannel); 3] = [
        ("pmp_ha_channel_receives", "Whether a node receives from the other one.", |state| state.receives),
        ("pmp_ha_channel_applies", "Whether a node applies what it received.", |state| state.applies),
        ("pmp_ha_channel_tls_verified", "Whether a node checks the certificate of the other one.", |state| {
            state.tls == ChannelTls::Verified
        }),
    ];
    if view.channels.iter().all(|channel| channel.state.is_none()) {
        return;
    }
    for (name, help, is) in families {
        out.family(name, "gauge", help);
        for channel in &view.channels {
            if let Some(state) = &channel.state {
                out.value(name, &[("from", &channel.from()), ("to", &channel.at)], u8::from(is(state)));
            }
        }
    }
}

fn upkeep(out: &mut Text, view: &PageView) {
    let upkeep = &view.upkeep;
    out.gauge("pmp_ha_disk_free_bytes", "Bytes free on the disk with the data of this node.", upkeep.free);
    out.gauge("pmp_ha_binlog_bytes", "Bytes of binlogs of this node.", upkeep.binlogs);
    let when = |deed: Option<(UnixSeconds, bool)>| deed.map(|(at, _)| at);
    out.gauge("pmp_ha_pack_timestamp_seconds", "When a pack was last made or installed here.", upkeep.packed);
    out.gauge(
        "pmp_ha_comparison_timestamp_seconds",
        "When the data of both nodes were last compared from here.",
        when(upkeep.compared),
    );
    out.gauge(
        "pmp_ha_comparison_equal",
        "Whether the last comparison found the same rows.",
        upkeep.compared.map(|(_, equal)| u8::from(equal)),
    );
    out.gauge(
        "pmp_ha_rehearsal_timestamp_seconds",
        "When a recovery was last rehearsed here.",
        when(upkeep.rehearsed),
    );
    out.gauge(
        "pmp_ha_rehearsal_good",
        "Whether the last rehearsal found no defect.",
        upkeep.rehearsed.map(|(_, good)| u8::from(good)),
    );
    alarms(out, upkeep.alarms.as_ref());
    if !upkeep.certificates.is_empty() {
        out.family(ENDS, "gauge", "When a certificate of the pair ends.");
    }
    for (name, ends) in &upkeep.certificates {
        out.value(ENDS, &[("certificate", name)], ends);
    }
}

fn alarms(out: &mut Text, alarms: Option<&AlarmFigures>) {
    let Some(AlarmFigures { channels, waiting }) = alarms else { return };
    if !channels.is_empty() {
        out.family(WORKS, "gauge", "Whether an alarm channel works. No value: no channel is configured.");
    }
    for (name, works) in channels {
        out.value(WORKS, &[("channel", name)], u8::from(*works));
    }
    out.gauge("pmp_ha_alarm_messages_waiting", "Alarm messages that wait in the queue.", Some(waiting));
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    #[test]
    fn each_family_is_described_once_and_hostile_names_stay_in_their_label() {
        let mut view = hostile();
        view.nodes[1].host = "a\"} 1\nup{x=\"\\".into();
        let text = metrics(&view, WatchFigures { looks: Some(7), took_ms: 1_042 });
        for line in [
            "pmp_ha_status{status=\"high_availability\",state=\"failed\"} 1",
            "pmp_ha_status{status=\"high_availability\",state=\"alive\"} 0",
            "pmp_ha_finding{code=\"peer-unreachable\",severity=\"failed\"} 1",
            "pmp_ha_lag_seconds{from=\"primary\",to=\"secondary\"} 0.400",
            "pmp_ha_database_seen{host=\"a\\\"} 1\\nup{x=\\\"\\\\\",role=\"secondary\"} 0",
            "pmp_ha_disk_free_bytes 12345678901",
            "pmp_ha_rehearsal_good 0",
            "pmp_ha_look_duration_seconds 1.042",
            "pmp_ha_looks_total 7",
            "pmp_ha_alarm_channel_works{channel=\"<script>alert(1)</script>\"} 0",
            "pmp_ha_alarm_messages_waiting 3",
        ] {
            assert!(text.lines().any(|each| each == line), "no {line} in\n{text}");
        }
        let helps: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
        let mut names: Vec<&str> = helps.iter().filter_map(|help| help.split(' ').next()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        // Each value stands below the description of its family.
        let mut family = "";
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().unwrap_or_default();
            } else if !line.starts_with('#') {
                assert_eq!(line.split(['{', ' ']).next(), Some(family), "{line}");
            }
        }
    }

    #[test]
    fn the_rules_and_the_dashboard_name_metrics_that_exist() {
        let mut view = hostile();
        view.nodes[0].product = Status::Alive;
        let text = metrics(&view, WatchFigures { looks: Some(7), took_ms: 1 });
        let known: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
            .chain(["pmp_ha_comparison_timestamp_seconds", "pmp_ha_comparison_equal", "pmp_ha_binlog_bytes"])
            .collect();
        let rules = include_str!("../../../templates/prometheus-rules.yml");
        let board = include_str!("../../../templates/grafana-dashboard.json");
        for (template, least) in [(rules, 8), (board, 8)] {
            let is_of_name = |c: char| c.is_ascii_lowercase() || c == '_';
            let uses = template.match_indices("pmp_ha_").map(|(at, _)| {
                let rest = &template[at..];
                &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())]
            });
            let uses: std::collections::BTreeSet<&str> = uses.collect();
            assert!(uses.len() >= least, "{uses:?}");
            let unknown: Vec<&&str> = uses.iter().filter(|name| !known.contains(*name)).collect();
            assert!(unknown.is_empty(), "{unknown:?} are in no metrics");
        }
    }
}
