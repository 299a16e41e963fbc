//! The verdict as monitoring plugins print it: a line with state and figures, then the details.

use std::iter::once;

use super::health::{Finding, Health, Limits, Severity, Status};
use super::report::{Measures, Report};

/// The states of the convention, the worst last. `failure.rs` knows their exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PluginState {
    /// All is well.
    Ok,
    /// Somebody should act soon.
    Warning,
    /// Unknown.
    Unknown,
    /// Somebody must act now.
    Critical,
}

impl PluginState {
    /// The state of a pair.
    #[must_use]
    pub fn of(health: &Health) -> Self {
        let words = [health.high_availability, health.replication].map(|word| match word {
            Status::Alive => Self::Ok,
            Status::Unknown => Self::Unknown,
            Status::Failed => Self::Critical,
        });
        let reasons = health.findings.iter().map(|finding| match finding.severity {
            Severity::Note => Self::Ok,
            Severity::Warning => Self::Warning,
            Severity::Unknown => Self::Unknown,
            Severity::Failed => Self::Critical,
        });
        words.into_iter().chain(reasons).max().unwrap_or(Self::Unknown)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Unknown => "UNKNOWN",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Returns a report as a plugin prints it. `asides` are worth knowing but not part of the verdict.
#[must_use]
pub fn lines(report: &Report, limits: Limits, asides: &[String]) -> String {
    let state = PluginState::of(&report.health);
    let reason = worst(&report.health.findings)
        .map(|finding| format!(": {} [{}]", in_line(&finding.what), finding.code))
        .unwrap_or_default();
    // Without a pair there is nothing to measure.
    let figures = report
        .node
        .as_ref()
        .map(|_| format!(" | {}", perfdata(&report.measures, limits)))
        .unwrap_or_default();
    let first = format!("PMP-HA {} - {}{reason}{figures}", state.word(), report.verdict());
    let told = report.health.findings.iter().map(|finding| {
        let Finding { severity, what, code, evidence, hint, .. } = finding;
        in_line(&format!("{severity}: {what} [{code}] because {evidence}; hint: {hint}"))
    });
    let asides = asides.iter().map(|aside| in_line(&format!("note: {aside}")));
    lined_up(once(first).chain(told).chain(asides))
}

/// Returns what a plugin prints if it could not find out anything.
#[must_use]
pub fn no_verdict(what: &str, because: &[String], hint: Option<&str>) -> String {
    let because =
        if because.is_empty() { String::new() } else { format!(", because {}", because.join("; ")) };
    let hint = hint.map(|hint| format!("; hint: {hint}")).unwrap_or_default();
    let text = in_line(&format!("{what}{because}{hint}"));
    lined_up(once(format!("PMP-HA {} - {text}", PluginState::Unknown.word())))
}

fn lined_up(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| line + "\n").collect()
}

/// `label=value[unit];[warn];[crit];[min]` for each measure, `U` for what is unknown.
fn perfdata(measures: &Measures, limits: Limits) -> String {
    let Measures { lag_seconds, back_lag_seconds, there_seconds: _, round_trip_seconds: _ } = measures;
    let lag = limits.lag.to_string();
    // Behind a limit it is Failed, which is critical.
    let rows = [("lag", "s", lag_seconds, lag.as_str()), ("back_lag", "s", back_lag_seconds, lag.as_str())];
    let shown = |(label, unit, value, limit): (&str, &str, &Option<f64>, &str)| match value {
        Some(value) => format!("{label}={}{unit};;{limit};0", rounded(*value)),
        None => format!("{label}=U;;{limit};0"),
    };
    rows.map(shown).join(" ")
}

/// Three digits are enough, and none where there is none.
fn rounded(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn worst(findings: &[Finding]) -> Option<&Finding> {
    let of = |wanted| findings.iter().find(|finding| finding.severity == wanted);
    of(Severity::Failed).or_else(|| of(Severity::Unknown)).or_else(|| of(Severity::Warning))
}

/// In a line: `|` would begin figures, and whatever ends a line would end the answer.
fn in_line(text: &str) -> String {
    let plain = |c: char| match c {
        '|' => '/',
        '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(plain).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::About;
    use crate::domain::pair::Role;
    use crate::domain::report::PairNode;

    const LIMITS: Limits = Limits { lag: 30, heartbeat: 10 };

    fn report(words: (Status, Status), lag: Option<f64>, findings: &[(&'static str, Severity)]) -> Report {
        let finding = |&(code, severity): &(&'static str, Severity)| Finding {
            code,
            about: About::HighAvailability,
            severity,
            what: format!("{code} is\nthe | matter"),
            evidence: "a\r\n| b\u{1b}[31m".into(),
            hint: "Do\tthis.".into(),
        };
        let health = Health {
            high_availability: words.0,
            replication: words.1,
            summary: "fine".into(),
            findings: findings.iter().map(finding).collect(),
        };
        let mut report = Report::new(health, "2026-02-03T04:05:06Z".into(), "0.1.0");
        report.node = Some(PairNode { host: "n1".into(), port: 2345, role: Role::Primary });
        report.measures.lag_seconds = lag;
        report
    }

    #[test]
    fn a_healthy_pair_is_one_line_with_figures() {
        let report = report((Status::Alive, Status::Alive), Some(0.4), &[]);
        assert_eq!(PluginState::of(&report.health), PluginState::Ok);
        assert_eq!(
            lines(&report, LIMITS, &[]),
            "PMP-HA OK - High Availability Alive, Replication Alive | lag=0.4s;;30;0 back_lag=U;;30;0\n"
        );
    }

    #[test]
    fn the_first_line_names_the_worst_and_nothing_in_it_can_break_it() {
        let found = [("a", Severity::Note), ("b", Severity::Unknown), ("c", Severity::Failed)];
        let report = report((Status::Failed, Status::Unknown), None, &found);
        assert_eq!(PluginState::of(&report.health), PluginState::Critical);
        assert_eq!(
            lines(&report, LIMITS, &["an earlier run\n  was cut off".into()]),
            "PMP-HA CRITICAL - High Availability Failed, Replication Unknown: c is the / matter [c] | lag=U;;30;0 back_lag=U;;30;0\n\
             note: a is the / matter [a] because a / b [31m; hint: Do this.\n\
             unknown: b is the / matter [b] because a / b [31m; hint: Do this.\n\
             failed: c is the / matter [c] because a / b [31m; hint: Do this.\n\
             note: an earlier run was cut off\n"
        );
    }

    #[test]
    fn a_note_warns_nobody_and_is_told_all_the_same() {
        let report = report((Status::Alive, Status::Alive), Some(12.0), &[("a", Severity::Note)]);
        assert_eq!(PluginState::of(&report.health), PluginState::Ok);
        assert_eq!(
            lines(&report, LIMITS, &[]),
            "PMP-HA OK - High Availability Alive, Replication Alive | lag=12s;;30;0 back_lag=U;;30;0\n\
             note: a is the / matter [a] because a / b [31m; hint: Do this.\n"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_unknown_and_without_a_pair_nothing_is_measured() {
        let mut report = report((Status::Unknown, Status::Unknown), None, &[]);
        report.node = None;
        assert_eq!(PluginState::of(&report.health), PluginState::Unknown);
        assert_eq!(
            lines(&report, LIMITS, &[]),
            "PMP-HA UNKNOWN - High Availability Unknown, Replication Unknown\n"
        );
        assert_eq!(
            no_verdict("/x is | no\nhome", &["it has\nno folder".into(), "b".into()], Some("Name one.")),
            "PMP-HA UNKNOWN - /x is / no home, because it has no folder; b; hint: Name one.\n"
        );
        assert_eq!(no_verdict("x", &[], None), "PMP-HA UNKNOWN - x\n");
    }

    #[test]
    fn failed_is_worse_than_unknown_and_unknown_than_a_warning() {
        let state = |a, b| PluginState::of(&report((a, b), None, &[]).health);
        assert_eq!(state(Status::Alive, Status::Unknown), PluginState::Unknown);
        assert_eq!(state(Status::Failed, Status::Unknown), PluginState::Critical);
        assert_eq!(
            [PluginState::Unknown, PluginState::Ok, PluginState::Warning].into_iter().max(),
            Some(PluginState::Unknown)
        );
    }

    #[test]
    fn figures_have_no_needless_digits() {
        let text = |value| rounded(value);
        assert_eq!(
            [text(0.0), text(0.4), text(100.0), text(0.123_456), text(2.5)],
            ["0", "0.4", "100", "0.123", "2.5"]
        );
    }
}
