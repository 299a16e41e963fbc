//! How a command can end badly, and the exit code for each way: the only place that chooses one.

use std::fmt;
use std::process::ExitCode;

use crate::domain::nagios::PluginState;
use crate::domain::refusal::Refusal;
use crate::domain::words::{one_line, plain_words};

/// The ways to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It did not work, and nothing changed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// Something changed, and the journal is open.
    Incomplete,
    /// A precondition does not hold.
    Refused,
    /// The monitor has stopped a primary that the other node has replaced: nothing may start it again.
    Replaced,
    /// `verify` did not see both statuses Alive.
    NotAlive,
    /// `verify --nagios` saw this.
    Plugin(PluginState),
    /// Ctrl-C or a signal, and everything is as it was.
    Interrupted,
}

impl Kind {
    /// Whether it is a negative result that the command has already printed, and not a failure.
    #[must_use]
    pub fn is_verdict(self) -> bool {
        matches!(self, Self::NotAlive | Self::Plugin(_))
    }

    /// Its code for programs, if the failure has no narrower one.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Incomplete => "incomplete",
            Self::Refused | Self::Replaced => Refusal::ANY,
            Self::NotAlive => "not-alive",
            Self::Plugin(_) => "plugin",
            Self::Interrupted => "interrupted",
        }
    }

    /// The exit code as a number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::Refused => 4,
            Self::NotAlive => 5,
            Self::Replaced => 6,
            Self::Plugin(state) => match state {
                PluginState::Ok => 0,
                PluginState::Warning => 1,
                PluginState::Critical => 2,
                PluginState::Unknown => 3,
            },
            Self::Interrupted => 130,
        }
    }
}

/// What failed, the evidence, and what to do next.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Chooses the exit code.
    pub kind: Kind,
    /// What failed, lower case and without a full stop.
    pub what: String,
    /// What was seen, the nearest cause first.
    pub because: Vec<String>,
    /// What to do next, a sentence.
    pub hint: Option<String>,
    /// The codes of its reasons, which `pmp-ha explain` explains.
    pub codes: Vec<&'static str>,
}

impl Failure {
    /// Builds a failure; add evidence and a hint with the methods below.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), because: Vec::new(), hint: None, codes: Vec::new() }
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn because(mut self, evidence: impl Into<String>) -> Self {
        self.because.push(evidence.into());
        self
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Gives it a code of `docs/refusals.md`.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        if !self.codes.contains(&code) {
            self.codes.push(code);
        }
        self
    }

    /// Its code for programs: the first of its reasons, or that of its kind.
    #[must_use]
    pub fn first_code(&self) -> &'static str {
        self.codes.first().copied().unwrap_or(self.kind.word())
    }

    /// The end of a command that the operator cut off.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// Puts several refusals into one failure. The exit code is that of a refusal.
    #[must_use]
    pub fn refused(refusals: Vec<Refusal>) -> Self {
        let mut refusals = refusals.into_iter();
        let Some(first) = refusals.next() else {
            return Self::new(Kind::Refused, "a precondition is not met");
        };
        let mut failure = Self::new(Kind::Refused, first.what).because(first.because).hint(first.hint);
        failure = failure.with(first.code);
        for more in refusals {
            failure = failure.with(more.code);
            failure.because.push(format!("{} (hint: {})", more.because, more.hint));
        }
        failure
    }

    /// Adds a code, unless it says nothing.
    fn with(self, code: &'static str) -> Self {
        if code == Refusal::ANY { self } else { self.code(code) }
    }

    /// Takes any error; what is a failure already stays as it is.
    #[must_use]
    pub fn from_error(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => {
                let mut chain = error.chain().map(ToString::to_string);
                let what = chain.next().unwrap_or_default();
                Self { kind: Kind::Failed, what, because: chain.collect(), hint: None, codes: Vec::new() }
            }
        }
    }

    /// The same without the words of the libraries that passed an error on.
    #[must_use]
    pub fn in_plain_words(&self) -> Self {
        let because = self.because.iter().map(|text| plain_words(text)).collect();
        Self { what: plain_words(&self.what), because, ..self.clone() }
    }

    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }

    /// The exit code for a monitoring system: whatever kept us from a verdict leaves it UNKNOWN.
    #[must_use]
    pub fn exit_code_for_nagios(&self) -> ExitCode {
        let kind = if self.kind.is_verdict() { self.kind } else { Kind::Plugin(PluginState::Unknown) };
        ExitCode::from(kind.code())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::refused(vec![refusal])
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", one_line(&self.what))?;
        for because in &self.because {
            write!(f, "\n  because {}", one_line(because))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {}", one_line(hint))?;
        }
        if !self.codes.is_empty() {
            write!(f, "\n  more: pmp-ha explain {}", self.codes.join(" "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
