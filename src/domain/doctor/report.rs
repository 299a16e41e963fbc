//! The report of `doctor`. `docs/doctor.md` is its handbook.
//!
//! A field may be added at any time; one that goes or changes its meaning raises [`SCHEMA`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::health::more;
use crate::domain::pair::Role;

/// The number of the schema.
pub const SCHEMA: u32 = 1;

/// What a point is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoctorTopic {
    /// The installation.
    Home,
    /// The bundled server, and its start script.
    Server,
    /// Names and their addresses.
    Names,
    /// What answers on the other node.
    OtherNode,
    /// The clocks of both.
    Clocks,
    /// Room, and how long it lasts.
    Disk,
    /// Who can read and write.
    Rights,
    /// The limits of the system.
    Limits,
    /// When certificates end.
    Certificates,
    /// The encryption key.
    Key,
    /// The TFA setting.
    Tfa,
    /// The numbers that tables give to their rows.
    RowNumbers,
    /// What `verify` finds.
    Pair,
}

impl fmt::Display for DoctorTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Home => "home",
            Self::Server => "server",
            Self::Names => "names",
            Self::OtherNode => "other node",
            Self::Clocks => "clocks",
            Self::Disk => "disk",
            Self::Rights => "rights",
            Self::Limits => "limits",
            Self::Certificates => "certificates",
            Self::Key => "key",
            Self::Tfa => "TFA",
            Self::RowNumbers => "row numbers",
            Self::Pair => "pair",
        })
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// It was looked at, and is right.
    Ok,
    /// Worth knowing.
    Note,
    /// It could not be told.
    Unknown,
    /// Somebody must act, sooner or later.
    Warning,
    /// It does not work like this.
    Failed,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Failed => "failed",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorPoint {
    /// What it is about.
    pub topic: DoctorTopic,
    /// How bad it is.
    pub grade: Grade,
    /// Its code, which `pmp-ha explain` explains. What is right has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What was seen.
    pub what: String,
    /// The evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Everything that `doctor` saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When, RFC 3339 UTC.
    pub at: String,
    /// The version of the tool.
    pub tool: String,
    /// The home.
    pub home: String,
    /// Its role.
    pub role: Role,
    /// Whether it belongs to a pair.
    pub in_a_pair: bool,
    /// Whether nothing failed.
    pub healthy: bool,
    /// The points, by topic.
    pub points: Vec<DoctorPoint>,
    /// What to do next.
    pub next: String,
}

impl DoctorReport {
    /// Returns whether nothing of the points failed.
    #[must_use]
    pub fn is_healthy(points: &[DoctorPoint]) -> bool {
        points.iter().all(|point| point.grade != Grade::Failed)
    }

    /// How many there are of a grade, and which: whoever reads only this line knows where to look.
    fn count(&self, grade: Grade, one: &str, many: &str) -> Option<String> {
        let found: Vec<&DoctorPoint> = self.points.iter().filter(|point| point.grade == grade).collect();
        let mut codes: Vec<&str> = found.iter().filter_map(|point| point.code).collect();
        codes.dedup();
        match found.len() {
            0 => None,
            number => {
                Some(format!("{number} {} [{}]", if number == 1 { one } else { many }, codes.join(" ")))
            }
        }
    }
}

impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = [
            self.count(Grade::Failed, "failure", "failures"),
            self.count(Grade::Warning, "warning", "warnings"),
            self.count(Grade::Unknown, "unknown", "unknown"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let sum = if counts.is_empty() { "nothing is wrong".to_owned() } else { counts.join(", ") };
        let pair = if self.in_a_pair { "of a pair" } else { "in no pair yet" };
        writeln!(f, "Doctor: {sum}")?;
        writeln!(f, "  {}, a {} {pair}", self.home, self.role)?;
        let mut topic = None;
        for point in &self.points {
            if topic.replace(point.topic) != Some(point.topic) {
                writeln!(f, "{}", point.topic)?;
            }
            write!(f, "  {}: {}", point.grade, point.what)?;
            match point.code {
                Some(code) => writeln!(f, " [{code}]")?,
                None => writeln!(f)?,
            }
            if let Some(evidence) = &point.evidence {
                writeln!(f, "    because {evidence}")?;
            }
            if let Some(hint) = &point.hint {
                writeln!(f, "    hint: {hint}")?;
            }
        }
        writeln!(f, "next: {}", self.next)?;
        write!(f, "{}", more(self.points.iter().filter_map(|point| point.code)))
    }
}
