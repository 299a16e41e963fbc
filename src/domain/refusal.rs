//! A precondition that does not hold: what was asked for, the evidence, what to do next.

use std::fmt;

/// Why a command does not act. A refusal never comes after an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What cannot be done, lower case and without a full stop.
    pub what: String,
    /// The evidence.
    pub because: String,
    /// What the operator does next, a sentence.
    pub hint: String,
}

impl Refusal {
    /// Builds a refusal from its three parts.
    pub fn new(what: impl Into<String>, because: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), because: because.into(), hint: hint.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  because {}\n  hint: {}", self.what, self.because, self.hint)
    }
}

impl std::error::Error for Refusal {}
