//! The verdict on a pair: the two statuses of the manual, each with its reasons.
//!
//! A finding has a stable code, so that people and programs can rely on it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::words::one_line;

/// The value of one of the two statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// Everything that belongs to it was seen and is right.
    Alive,
    /// Something that belongs to it could not be seen.
    Unknown,
    /// Something is wrong.
    Failed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "Alive",
            Self::Unknown => "Unknown",
            Self::Failed => "Failed",
        })
    }
}

/// Which of the two statuses a finding belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The connection between the two databases.
    HighAvailability,
    /// Applying what was received.
    Replication,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HighAvailability => "High Availability",
            Self::Replication => "Replication",
        })
    }
}

/// What a finding does to its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Makes it Failed.
    Failed,
    /// Makes it Unknown.
    Unknown,
    /// Somebody must act, but the status stays the same.
    Warning,
    /// Worth knowing; changes nothing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, for programs and for the handbook.
    pub code: &'static str,
    /// The status it belongs to.
    pub about: About,
    /// What it does to that status.
    pub severity: Severity,
    /// The problem.
    pub what: String,
    /// The evidence.
    pub evidence: String,
    /// The hint: what to do.
    pub hint: String,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Of the connection between the databases.
    pub high_availability: Status,
    /// Of the applying.
    pub replication: Status,
    /// What is right, in one line.
    pub summary: String,
    /// The reasons.
    pub findings: Vec<Finding>,
}

impl Health {
    /// Returns the line that says how to ask about the codes of the findings. Empty without one.
    #[must_use]
    pub fn more(&self) -> String {
        more(self.findings.iter().map(|finding| finding.code))
    }
}

/// Returns the line with the command that explains these codes; empty without codes.
#[must_use]
pub fn more<T: fmt::Display + PartialEq>(codes: impl Iterator<Item = T>) -> String {
    let mut named = Vec::new();
    for code in codes {
        if !named.contains(&code) {
            named.push(code);
        }
    }
    if named.is_empty() {
        return String::new();
    }
    let named: Vec<String> = named.iter().map(ToString::to_string).collect();
    format!("  more: pmp-ha explain {}\n", named.join(" "))
}

/// The limits between healthy and not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Seconds that a node may be behind.
    pub lag: u64,
    /// Seconds that the newest heartbeat row of a server that runs may be old.
    pub heartbeat: u64,
}

impl Limits {
    /// [`Self::lag`], to be compared with a measure.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "seconds of a limit are far below 2^52")]
    pub fn lag_seconds(&self) -> f64 {
        self.lag as f64
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "High Availability Status: {}", self.high_availability)?;
        writeln!(f, "Replication Status: {}", self.replication)?;
        writeln!(f, "  {}", self.summary)?;
        // What is wrong with both is said once.
        let is_new = |at: &usize| {
            let same = |other: &Finding| {
                let finding = &self.findings[*at];
                (other.code, &other.what, &other.evidence) == (finding.code, &finding.what, &finding.evidence)
            };
            !self.findings[..*at].iter().any(same)
        };
        for finding in (0..self.findings.len()).filter(is_new).map(|at| &self.findings[at]) {
            writeln!(f, "  {}: {} [{}]", finding.severity, one_line(&finding.what), finding.code)?;
            writeln!(f, "    because {}", one_line(&finding.evidence))?;
            writeln!(f, "    hint: {}", one_line(&finding.hint))?;
        }
        Ok(())
    }
}
