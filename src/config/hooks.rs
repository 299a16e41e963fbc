//! The section `[hooks]`: programs before and after a change of roles, and when a status turns.

use serde::{Deserialize, Serialize};

use super::place::Complaint;
use crate::domain::plan::HookPrograms;

/// The section `[hooks]`. A list is a program and its arguments; an empty one runs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HooksConfig {
    /// Before this node changes its role. If it fails, nothing is changed.
    pub before: Vec<String>,
    /// After this node has changed its role, and after a change was put back.
    pub after: Vec<String>,
    /// When `monitor` sees that a status has turned.
    pub transition: Vec<String>,
    /// Seconds that each may take.
    pub deadline: u64,
}

impl Default for HooksConfig {
    fn default() -> Self {
        Self { before: Vec::new(), after: Vec::new(), transition: Vec::new(), deadline: 60 }
    }
}

impl HooksConfig {
    /// Each program, with its key.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &[String]); 3] {
        [("hooks.before", &self.before), ("hooks.after", &self.after), ("hooks.transition", &self.transition)]
    }

    /// The programs of a change of roles.
    #[must_use]
    pub fn programs(&self) -> HookPrograms {
        HookPrograms { before: self.before.clone(), after: self.after.clone() }
    }

    /// Returns everything that is wrong.
    pub(super) fn complaints(&self) -> Vec<Complaint> {
        let mut out = Vec::new();
        let mut wrong = |key: &str, why: &str| out.push(Complaint { key: key.into(), why: why.into() });
        for (key, command) in self.all() {
            if command.first().is_some_and(|program| !program.starts_with('/')) {
                wrong(key, "must name its program with the full path");
            }
        }
        out
    }
}
