//! What a rehearsal proved. `docs/rehearsal.md` is its handbook.
//!
//! A field may be added at any time; one that goes or changes its meaning raises [`SCHEMA`].

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::check::Check;
use super::tables::TableLine;
use crate::domain::health::more;

/// The number of the schema.
pub const SCHEMA: u32 = 1;

/// How long the parts took, in seconds. A part that was not done is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Seconds {
    /// The copy of the data, or the extraction of the pack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<f64>,
    /// The start of the server, with the recovery from a crash where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<f64>,
    /// Applying what was received. With a running database: the lag of its applier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply: Option<f64>,
    /// The reading of every table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<f64>,
    /// The change to a server without a source, and the accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stand_alone: Option<f64>,
    /// The clean stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<f64>,
}

impl Seconds {
    /// Returns the expected recovery time.
    ///
    /// It is everything measured except the proof, plus one more start and stop, with which a
    /// recovery ends.
    #[must_use]
    pub fn recovery(&self) -> Option<f64> {
        let (boot, stop) = (self.boot?, self.stop?);
        Some(to_millis(self.copy? + boot + self.apply? + self.stand_alone? + stop + boot + stop))
    }
}

/// Rounds a time in seconds to a useful precision.
#[must_use]
pub fn seconds(time: Duration) -> f64 {
    to_millis(time.as_secs_f64())
}

fn to_millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// A rehearsal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RehearsalReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it ended, RFC 3339 UTC.
    pub at: String,
    /// The version of the tool.
    pub tool: String,
    /// The home.
    pub home: String,
    /// What was rehearsed with.
    pub rehearsed: String,
    /// Whether no check failed.
    pub passed: bool,
    /// The checks.
    pub checks: Vec<Check>,
    /// What was measured.
    pub seconds: Seconds,
    /// The expected recovery time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_recovery_seconds: Option<f64>,
    /// How long writes and the applier of the running database had to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_seconds: Option<f64>,
    /// The tables of the product.
    pub tables: Vec<TableLine>,
}

impl fmt::Display for RehearsalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed { "passed" } else { "failed" };
        writeln!(f, "Rehearsal: {word}")?;
        writeln!(f, "  with {}", self.rehearsed)?;
        self.checks.iter().try_for_each(|check| check.fmt(f))?;
        let Seconds { copy, boot, apply, proof, stand_alone, stop } = self.seconds;
        let parts: Vec<String> = [
            ("copy", copy),
            ("start", boot),
            ("apply", apply),
            ("stand alone", stand_alone),
            ("stop", stop),
            ("proof", proof),
        ]
        .into_iter()
        .filter_map(|(name, time)| time.map(|time| format!("{name} {time:.1} s")))
        .collect();
        if !parts.is_empty() {
            writeln!(f, "measured: {}", parts.join(", "))?;
        }
        if let Some(waited) = self.waited_seconds {
            writeln!(f, "Writes and the applier of the running database waited for {waited:.1} s at most.")?;
        }
        match self.expected_recovery_seconds {
            Some(expected) => writeln!(f, "expected recovery time: {} s", expected.ceil()),
            None => {
                writeln!(f, "expected recovery time: unknown, because the rehearsal did not finish")
            }
        }?;
        let defects = self.checks.iter().flat_map(|check| &check.defects);
        write!(f, "{}", more(defects.map(|defect| defect.code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rehearsal::check::{Code, Defect, Topic};

    #[test]
    fn a_recovery_takes_all_parts_but_the_proof_and_one_more_start_and_stop() {
        let whole = Seconds {
            copy: Some(10.0),
            boot: Some(2.0),
            apply: Some(0.5),
            proof: Some(100.0),
            stand_alone: Some(0.25),
            stop: Some(1.0),
        };
        assert_eq!(whole.recovery(), Some(16.75));
        assert_eq!(Seconds { stop: None, ..whole }.recovery(), None);
    }

    #[test]
    fn the_handbook_explains_every_code_and_no_other() {
        let text = include_str!("../../../docs/rehearsal.md");
        let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        assert_eq!(headings, Code::ALL.map(|code| code.to_string()));
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(&code).expect("writable"), format!("\"{code}\""));
        }
    }

    #[test]
    fn a_report_for_people_says_what_failed_and_what_to_do() {
        let report = RehearsalReport {
            schema: SCHEMA,
            at: "t".into(),
            tool: "x".into(),
            home: "/h".into(),
            rehearsed: "the data of a stopped secondary".into(),
            passed: false,
            checks: vec![
                Check::passed(Topic::Key, "it is the key"),
                Check::of(Topic::Files, vec![Defect::new(Code::RedoMissing, "no log", "Copy it.")], ""),
                Check::not_done(Topic::Start, "files are missing"),
            ],
            seconds: Seconds { copy: Some(1.04), ..Seconds::default() },
            expected_recovery_seconds: None,
            waited_seconds: None,
            tables: vec![],
        };
        assert_eq!(
            report.to_string(),
            "Rehearsal: failed\n  with the data of a stopped secondary\n  passed: key: it is the key\n  \
             failed: files: no log [redo-missing]\n    hint: Copy it.\n  not done: start: files are missing\n\
             measured: copy 1.0 s\n\
             expected recovery time: unknown, because the rehearsal did not finish\n  more: pmp-ha explain redo-missing\n"
        );
    }
}
