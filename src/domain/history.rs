//! What was done to a home, from its journal: a line a run.

use std::fmt;

use serde::Serialize;

use super::journal::{Outcome, Record};
use super::plan::Command;

/// How a run ended, or that it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every step was done.
    Done,
    /// What it had changed was put back.
    RolledBack,
    /// It was cut off, and the run after it made it needless.
    CutOff,
    /// It was cut off, and still has to be finished or rolled back.
    Open,
    /// It is at work now.
    AtWork,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Done => "done",
            Self::RolledBack => "rolled back",
            Self::CutOff => "cut off",
            Self::Open => "open",
            Self::AtWork => "at work",
        })
    }
}

/// Who took up a run that was cut off, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TakenUp {
    /// RFC 3339, UTC.
    pub at: String,
    /// The account of the operating system.
    pub by: String,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// When it began, RFC 3339, UTC.
    pub at: String,
    /// The account of the operating system that ran it.
    pub by: String,
    /// The command.
    pub command: Command,
    /// What it was about besides the home.
    pub target: String,
    /// How it ended.
    pub outcome: Ending,
    /// How long it took; absent where it was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Who finished it or rolled it back after it was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_up: Option<TakenUp>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, by, command, target, outcome, seconds, taken_up } = self;
        let took = seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"));
        write!(f, "{at}  {by:<8}  {command:<12}  {outcome:<11}  {took:>7}  {target}")?;
        match taken_up {
            Some(TakenUp { at, by }) => write!(f, " (was cut off, and taken up at {at} by {by})"),
            None => Ok(()),
        }
    }
}

/// Folds the records into runs, the oldest first. `at_work` says that somebody holds the home now.
#[must_use]
pub fn runs(records: &[Record], at_work: bool) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    for record in records {
        // Only the last one can still be open.
        let open = out.last_mut().filter(|run| run.outcome == Ending::Open);
        match record {
            Record::Open { at, by, plan } => {
                if let Some(left) = open {
                    left.outcome = Ending::CutOff;
                }
                out.push(Run {
                    at: at.clone(),
                    by: by.clone(),
                    command: plan.command,
                    target: plan.target(),
                    outcome: Ending::Open,
                    seconds: None,
                    taken_up: None,
                });
            }
            Record::Resumed { at, by } => {
                if let Some(run) = open {
                    run.taken_up = Some(TakenUp { at: at.clone(), by: by.clone() });
                }
            }
            Record::Close { at, outcome } => {
                if let Some(run) = open {
                    run.outcome = match outcome {
                        Outcome::Done => Ending::Done,
                        Outcome::RolledBack => Ending::RolledBack,
                    };
                    run.seconds = if run.taken_up.is_none() { seconds(&run.at, at) } else { None };
                }
            }
            Record::Begin { .. } | Record::Done { .. } | Record::Undone { .. } => {}
        }
    }
    if at_work && let Some(run) = out.last_mut().filter(|run| run.outcome == Ending::Open) {
        run.outcome = Ending::AtWork;
    }
    out
}

fn seconds(from: &str, to: &str) -> Option<u64> {
    let second = |text: &str| text.parse().ok().map(jiff::Timestamp::as_second);
    u64::try_from(second(to)? - second(from)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Command, HomeIdentity, Plan, Step};

    fn open(command: Command, at: &str) -> Record {
        let plan = Plan {
            command,
            home: HomeIdentity { path: "/x".into(), device: 1, inode: 2 },
            warnings: vec![],
            steps: vec![Step::CopyData { from: "/old".into(), files: 1, bytes: 1 }, Step::SwapData],
            point_of_no_return: 2,
        };
        Record::Open { at: at.into(), by: "pmp".into(), plan }
    }

    fn close(at: &str, outcome: Outcome) -> Record {
        Record::Close { at: at.into(), outcome }
    }

    #[test]
    fn each_run_has_its_line_with_its_end_and_how_long_it_took() {
        let records = [
            open(Command::Pack, "2026-01-01T10:00:00Z"),
            Record::Begin { step: 0 },
            close("2026-01-01T10:01:15Z", Outcome::Done),
            open(Command::Repair, "2026-01-02T10:00:00Z"),
            open(Command::Recover, "2026-01-03T10:00:00Z"),
            Record::Resumed { at: "2026-01-05T10:00:00Z".into(), by: "root".into() },
            close("2026-01-05T10:00:03Z", Outcome::RolledBack),
            open(Command::Recover, "2026-01-06T10:00:00Z"),
        ];
        let lines: Vec<String> = runs(&records, false).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "2026-01-01T10:00:00Z  pmp       pack          done            75 s  from /old",
                "2026-01-02T10:00:00Z  pmp       repair        cut off            -  from /old",
                "2026-01-03T10:00:00Z  pmp       recover       rolled back        -  from /old (was cut off, and taken up at 2026-01-05T10:00:00Z by root)",
                "2026-01-06T10:00:00Z  pmp       recover       open               -  from /old",
            ]
        );
        assert_eq!(runs(&records, true).last().map(|run| run.outcome), Some(Ending::AtWork));
        assert_eq!(runs(&records[..3], true)[0].outcome, Ending::Done);
    }
}
