//! The meaning of the journal: from its records to what must happen next.

use serde::{Deserialize, Serialize};

use super::plan::{Plan, Step};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step was done.
    Done,
    /// Every step that had begun was undone.
    RolledBack,
}

/// One line of the journal, written and synced before the effect it announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub enum Record {
    /// A run begins.
    Open {
        /// When, RFC 3339, UTC.
        at: String,
        /// The account of the operating system that ran it.
        by: String,
        /// What will happen.
        plan: Plan,
    },
    /// An interrupted run is resumed, to be finished or rolled back.
    Resumed {
        /// When, RFC 3339, UTC.
        at: String,
        /// The account of the operating system that did it.
        by: String,
    },
    /// A step is about to begin.
    Begin {
        /// Its index in the plan.
        step: usize,
    },
    /// A step is done.
    Done {
        /// Its index.
        step: usize,
    },
    /// A step was undone.
    Undone {
        /// Its index.
        step: usize,
    },
    /// The run is over.
    Close {
        /// When, RFC 3339, UTC.
        at: String,
        /// How it ended.
        outcome: Outcome,
    },
}

/// The progress of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// When it began, RFC 3339, UTC.
    pub at: String,
    /// The account of the operating system that ran it.
    pub by: String,
    /// The plan of the run.
    pub plan: Plan,
    /// The first step that is not done: it may have begun.
    pub next: usize,
    /// How many of the steps, from the first on, have begun and are not undone.
    pub begun: usize,
}

/// What must happen to an interrupted run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Continue with the step of this index.
    Forward(usize),
    /// Undo the steps below this index, the last one first.
    Back(usize),
}

impl OpenRun {
    /// Returns whether to finish the run, which is past its point of no return, or to undo it.
    #[must_use]
    pub fn due(&self) -> Due {
        if self.next >= self.plan.point_of_no_return {
            Due::Forward(self.next)
        } else {
            Due::Back(self.begun)
        }
    }

    /// Returns whether the files may name the new role while the database does not know it.
    ///
    /// A secondary that is started then has no write guard.
    #[must_use]
    pub fn is_ahead_of_the_database(&self) -> bool {
        let Due::Forward(next) = self.due() else { return false };
        self.plan.steps.iter().skip(next).any(|step| matches!(step, Step::Reconfigure { .. }))
    }
}

/// Folds the records into the open run, if there is one.
#[must_use]
pub fn open_run(records: &[Record]) -> Option<OpenRun> {
    let mut open: Option<OpenRun> = None;
    for record in records {
        match (record, open.as_mut()) {
            (Record::Open { at, by, plan }, _) => {
                let (at, by, plan) = (at.clone(), by.clone(), plan.clone());
                open = Some(OpenRun { at, by, plan, next: 0, begun: 0 });
            }
            (Record::Begin { step }, Some(run)) => run.begun = run.begun.max(step.saturating_add(1)),
            (Record::Done { step }, Some(run)) => run.next = step.saturating_add(1),
            (Record::Undone { step }, Some(run)) => {
                run.begun = *step;
                run.next = run.next.min(*step);
            }
            (Record::Close { .. }, _) => open = None,
            (Record::Resumed { .. }, Some(_)) | (_, None) => {}
        }
    }
    open
}

/// Returns the plans of the finished runs with their end times, newest first.
#[must_use]
pub fn done_runs(records: &[Record]) -> Vec<(&str, &Plan)> {
    let mut out = Vec::new();
    let mut open = None;
    for record in records {
        match record {
            Record::Open { plan, .. } => open = Some(plan),
            Record::Close { at, outcome: Outcome::Done } => {
                out.extend(open.take().map(|plan| (at.as_str(), plan)));
            }
            Record::Close { outcome: Outcome::RolledBack, .. } => open = None,
            Record::Resumed { .. } | Record::Begin { .. } | Record::Done { .. } | Record::Undone { .. } => {}
        }
    }
    out.reverse();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{HomeIdentity, Step};

    fn plan() -> Plan {
        Plan {
            command: crate::domain::plan::Command::Pack,
            home: HomeIdentity { path: "/".into(), device: 0, inode: 0 },
            warnings: vec![],
            steps: vec![Step::WireStartScript, Step::SwapData, Step::DropOldData],
            point_of_no_return: 2,
        }
    }

    fn due(rest: &[Record]) -> Option<Due> {
        let mut records = vec![Record::Open { at: "t".into(), by: "u".into(), plan: plan() }];
        records.extend_from_slice(rest);
        open_run(&records).map(|run| run.due())
    }

    #[test]
    fn a_cut_run_goes_back_until_the_point_of_no_return_and_forward_behind_it() {
        let begin = |step| Record::Begin { step };
        let done = |step| Record::Done { step };
        assert_eq!(due(&[]), Some(Due::Back(0)));
        assert_eq!(due(&[begin(0)]), Some(Due::Back(1)));
        assert_eq!(due(&[begin(0), done(0), begin(1)]), Some(Due::Back(2)));
        assert_eq!(due(&[begin(0), done(0), begin(1), done(1)]), Some(Due::Forward(2)));
        assert_eq!(due(&[begin(0), done(0), begin(1), done(1), begin(2)]), Some(Due::Forward(2)));
        assert_eq!(due(&[begin(0), done(0), begin(1), Record::Undone { step: 1 }]), Some(Due::Back(1)));
        let close = Record::Close { at: "t".into(), outcome: Outcome::RolledBack };
        assert_eq!(due(&[begin(0), close]), None);
    }

    #[test]
    fn the_database_lags_behind_the_files_until_it_was_told() {
        let mut plan = plan();
        plan.steps = vec![Step::TakeDown, Step::Reconfigure { account: "root".into() }, Step::BringUp];
        plan.point_of_no_return = 1;
        let is_ahead = |next| {
            let run = OpenRun { at: "t".into(), by: "u".into(), plan: plan.clone(), next, begun: next };
            run.is_ahead_of_the_database()
        };
        assert_eq!([0, 1, 2, 3].map(is_ahead), [false, true, false, false]);
    }
}
