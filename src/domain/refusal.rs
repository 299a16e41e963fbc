//! A precondition that is not met: the request, the evidence, and what to do next.

use std::fmt;

use crate::domain::words::one_line;

/// Why a command does not act. A refusal never comes after an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its stable code, which `pmp-ha explain` explains.
    pub code: &'static str,
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
        Self { code: Self::ANY, what: what.into(), because: because.into(), hint: hint.into() }
    }

    /// The code of a refusal without its own code.
    pub const ANY: &'static str = "refused";

    /// Gives it a code of `docs/refusals.md`.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [what, because, hint] = [&self.what, &self.because, &self.hint].map(|text| one_line(text));
        write!(f, "{what}\n  because {because}\n  hint: {hint}")
    }
}

impl std::error::Error for Refusal {}
