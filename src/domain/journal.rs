//! The journal's meaning: from what was recorded to what has to happen next.

use serde::{Deserialize, Serialize};

use super::plan::Plan;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step was done.
    Done,
    /// Every step that had begun was undone.
    RolledBack,
}

/// One line of the journal, written and synced before the effect that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub enum Record {
    /// A run begins.
    Open {
        /// When, RFC 3339, UTC.
        at: String,
        /// The account of the operating system that ran it.
        by: String,
        /// What is going to happen.
        plan: Plan,
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

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The plan of the run.
    pub plan: Plan,
    /// The first step that is not done: it may have begun.
    pub next: usize,
    /// How many of the steps, from the first on, have begun and are not undone.
    pub begun: usize,
}

/// What has to happen with a run that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Go on with the step of this index.
    Forward(usize),
    /// Undo the steps below this index, the last one first.
    Back(usize),
}

impl Progress {
    /// Whether the run goes on or is rolled back: forward only behind the point of no return.
    #[must_use]
    pub fn due(&self) -> Due {
        if self.next >= self.plan.point_of_no_return {
            Due::Forward(self.next)
        } else {
            Due::Back(self.begun)
        }
    }
}

/// Folds the records into the run that is still open, if one is.
#[must_use]
pub fn open_run(records: &[Record]) -> Option<Progress> {
    let mut open: Option<Progress> = None;
    for record in records {
        match (record, open.as_mut()) {
            (Record::Open { plan, .. }, _) => open = Some(Progress { plan: plan.clone(), next: 0, begun: 0 }),
            (Record::Begin { step }, Some(run)) => run.begun = run.begun.max(step + 1),
            (Record::Done { step }, Some(run)) => run.next = step + 1,
            (Record::Undone { step }, Some(run)) => {
                run.begun = *step;
                run.next = run.next.min(*step);
            }
            (Record::Close { .. }, _) => open = None,
            (_, None) => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{HomeIdentity, Step};

    fn plan() -> Plan {
        Plan {
            command: "x".into(),
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
}
