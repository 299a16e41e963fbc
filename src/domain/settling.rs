//! What happens to an interrupted run, in words: it is finished or rolled back.

use std::fmt;

use serde::Serialize;

use super::journal::{Due, OpenRun};
use super::plan::Command;

/// Whether it is finished or rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It has passed its point of no return: the remaining steps are done.
    Finish,
    /// The steps that have begun are undone, last one first.
    RollBack,
}

/// How an interrupted run is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settling {
    /// The home.
    pub home: String,
    /// The interrupted command.
    pub command: Command,
    /// When it began, RFC 3339, UTC.
    pub at: String,
    /// The account of the operating system that ran it.
    pub by: String,
    /// Whether it is finished or rolled back.
    pub way: Way,
    /// The steps that are done or undone, in this order.
    pub steps: Vec<String>,
}

impl Settling {
    /// Returns how an open run is settled.
    #[must_use]
    pub fn of(run: &OpenRun) -> Self {
        let shown: Vec<String> =
            run.plan.steps.iter().enumerate().map(|(index, step)| format!("{}. {step}", index + 1)).collect();
        let (way, steps) = match run.due() {
            Due::Forward(next) => (Way::Finish, shown[next.min(shown.len())..].to_vec()),
            Due::Back(begun) => (Way::RollBack, shown[..begun].iter().rev().cloned().collect()),
        };
        Self {
            home: run.plan.home.path.clone(),
            command: run.plan.command,
            at: run.at.clone(),
            by: run.by.clone(),
            way,
            steps,
        }
    }
}

impl fmt::Display for Settling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { home, command, at, by, way, steps } = self;
        writeln!(f, "`pmp-ha {command}` in {home}, started at {at} by {by}, was interrupted.")?;
        match (way, steps.is_empty()) {
            (Way::Finish, true) => {
                writeln!(f, "It has passed its point of no return and only needs to be closed.")
            }
            (Way::Finish, false) => {
                writeln!(f, "It has passed its point of no return and can only be finished:")
            }
            (Way::RollBack, true) => writeln!(f, "It had changed nothing and is closed."),
            (Way::RollBack, false) => writeln!(f, "Its changes are undone, in these steps:"),
        }?;
        steps.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Command, HomeIdentity, Plan, Step};

    fn run(next: usize, begun: usize) -> String {
        let plan = Plan {
            command: Command::Recover,
            home: HomeIdentity { path: "/x".into(), device: 1, inode: 2 },
            warnings: vec![],
            steps: vec![Step::WireStartScript, Step::SwapData, Step::DropOldData],
            point_of_no_return: 2,
        };
        Settling::of(&OpenRun { at: "T".into(), by: "pmp".into(), plan, next, begun }).to_string()
    }

    #[test]
    fn it_says_which_way_and_which_steps() {
        let begun = "`pmp-ha recover` in /x, started at T by pmp, was interrupted.\n";
        assert_eq!(
            run(1, 2),
            format!(
                "{begun}Its changes are undone, in these steps:\n  2. exchange mysql/data with the new data; the old data stay until the last step\n  1. wire the start script to conf/pmp-ha/mysqld.cnf\n"
            )
        );
        assert_eq!(run(0, 0), format!("{begun}It had changed nothing and is closed.\n"));
        assert_eq!(
            run(2, 2),
            format!(
                "{begun}It has passed its point of no return and can only be finished:\n  3. remove the old data\n"
            )
        );
        assert_eq!(
            run(3, 3),
            format!("{begun}It has passed its point of no return and only needs to be closed.\n")
        );
    }
}
