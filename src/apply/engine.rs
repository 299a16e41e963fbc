//! Drives a plan: records each step, does it, and records it again.
//!
//! Undoes what fails, and settles what an earlier run left behind.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::cut_off::cut_off_run;
use super::files::traces;
use super::repair;
use super::work::{Runner, make_replication};
use crate::adapters::clock::now;
use crate::adapters::home::saved::remove;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::adapters::{look, system};
use crate::domain::journal::{Due, OpenRun, Outcome, Record};
use crate::domain::plan::{Command, Plan, Step};
use crate::failure::{Failure, Kind};

/// What happened to an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// There was no interrupted run.
    Nothing,
    /// It was undone.
    RolledBack,
    /// It was finished.
    Finished(Box<Plan>),
}

impl Settled {
    /// The plan that was finished, if it was one of this command.
    #[must_use]
    pub fn finished(&self, command: Command) -> Option<&Plan> {
        match self {
            Self::Finished(plan) if plan.command == command => Some(plan),
            Self::Nothing | Self::RolledBack | Self::Finished(_) => None,
        }
    }
}

impl Runner<'_> {
    /// Finishes or rolls back an interrupted run, unless it is a repair.
    ///
    /// # Errors
    /// Refuses to roll back under a server that somebody has started since.
    pub async fn settle(&mut self) -> Result<Settled> {
        match cut_off_run(self.home)? {
            // It looks anew at everything when it is run again; a new pack makes it needless.
            Some(run) if !run.plan.is_repair() => self.settle_run(run).await,
            _ => Ok(Settled::Nothing),
        }
    }

    /// Finishes or rolls back an interrupted run of any command.
    ///
    /// # Errors
    /// Refuses to roll back under a server that somebody has started since.
    pub async fn settle_run(&mut self, run: OpenRun) -> Result<Settled> {
        let command = run.plan.command;
        if matches!(run.due(), Due::Back(_)) {
            self.refuse_strangers(&run)?;
        }
        self.journal().append(&Record::Resumed { at: now(), by: system::acting_name() })?;
        // A server that an offline boot left behind is none that a step could work on.
        let uninterrupted = Interrupt::default();
        Database::of(self.home, &uninterrupted).clear_offline_boot(self.config.stop_deadline()).await?;
        match run.due() {
            Due::Back(begun) => {
                self.ui.say(format!(
                    "An earlier `pmp-ha {command}` was interrupted. pmp-ha undoes its changes first."
                ));
                let undone = self.back(&run.plan, begun).await;
                undone.map_err(|error| incomplete(command, "it could not be put back", &error))?;
                self.ui.say(PUT_BACK);
                Ok(Settled::RolledBack)
            }
            Due::Forward(next) => {
                self.ui.say(format!(
                    "An earlier `pmp-ha {command}` was interrupted after its point of no return; it is finished now."
                ));
                self.forward(&run.plan, next).await?;
                Ok(Settled::Finished(Box::new(run.plan)))
            }
        }
    }

    /// Closes an interrupted repair if everything is equal.
    pub fn close_repair(&mut self) -> Result<()> {
        remove(&self.home.work())?;
        self.journal().append(&Record::Close { at: now(), outcome: Outcome::Done })
    }

    /// Fails if a boot of this run has left a server behind: then not everything is as it was.
    async fn require_nothing_left(&self, plan: &Plan, begun: usize) -> Result<()> {
        let booted = plan.steps.iter().take(begun).any(|step| matches!(step, Step::OfflineBoot(_)));
        if !booted || plan.works_on_a_running_server() {
            return Ok(());
        }
        let uninterrupted = Interrupt::default();
        match Database::of(self.home, &uninterrupted).serving_pid().await? {
            Some(pid) => {
                bail!("process {pid} uses {}, which no process used before", self.home.data().display())
            }
            None => Ok(()),
        }
    }

    /// Refuses to undo anything under a running server, unless the run itself started it.
    fn refuse_strangers(&self, run: &OpenRun) -> Result<()> {
        let last = run.begun.checked_sub(1).and_then(|index| run.plan.steps.get(index));
        if run.plan.works_on_a_running_server() {
            return Ok(());
        }
        if matches!(last, Some(Step::ProveStart)) || !self.database().offline_boots().is_empty() {
            return Ok(());
        }
        let Some(evidence) = look::home::processes(self.home, self.interrupt)?.into_iter().next() else {
            return Ok(());
        };
        bail!(
            Failure::new(
                Kind::Refused,
                format!(
                    "an earlier `pmp-ha {}` was interrupted and must be put back first",
                    run.plan.command
                )
            )
            .code("undo-needs-a-stop")
            .because(evidence)
            .hint("Stop Password Manager Pro and its database (`pmp-ha stop`), then try again.")
        )
    }

    /// Runs a plan from its first step.
    pub async fn drive(&mut self, plan: &Plan) -> Result<()> {
        make_replication(self.home)?;
        self.begun = Some(Instant::now());
        self.journal().append(&Record::Open { at: now(), by: system::acting_name(), plan: plan.clone() })?;
        self.forward(plan, 0).await
    }

    async fn forward(&mut self, plan: &Plan, from: usize) -> Result<()> {
        for (index, step) in plan.steps.iter().enumerate().skip(from) {
            self.ui.say(format!("{}/{}  {step}", index + 1, plan.steps.len()));
            let Err(error) = self.step(plan, index, step).await else {
                continue;
            };
            if index >= plan.point_of_no_return {
                repair::let_applier_go(self, plan).await;
                return Err(incomplete(plan.command, &format!("step {} failed", index + 1), &error));
            }
            self.ui.say(format!("Step {} was not completed. pmp-ha undoes the changes.", index + 1));
            return match self.back(plan, index + 1).await {
                Ok(()) => {
                    self.ui.say(PUT_BACK);
                    Err(error)
                }
                Err(undo) => {
                    let what = format!("it failed ({error:#}) and could not be put back");
                    Err(incomplete(plan.command, &what, &undo))
                }
            };
        }
        let closed = remove(&self.home.work())
            .and_then(|()| self.journal().append(&Record::Close { at: now(), outcome: Outcome::Done }));
        // A teardown ends with its own journal.
        let closed = closed.and_then(|()| match plan.command {
            Command::Teardown => traces::forget(self.home),
            _ => Ok(()),
        });
        closed.map_err(|error| {
            incomplete(plan.command, "every step is done, but the run could not be closed", &error)
        })
    }

    async fn step(&mut self, plan: &Plan, index: usize, step: &Step) -> Result<()> {
        if index < plan.point_of_no_return {
            self.interrupt.check()?;
        }
        self.journal().append(&Record::Begin { step: index })?;
        self.apply(plan, step).await?;
        self.journal().append(&Record::Done { step: index })
    }

    /// Undoes the steps below `begun`, last one first. Ctrl-C does not stop it.
    async fn back(&mut self, plan: &Plan, begun: usize) -> Result<()> {
        for (index, step) in plan.steps.iter().enumerate().take(begun).rev() {
            self.undo(plan, step)
                .await
                .with_context(|| format!("cannot undo step {} ({step})", index + 1))?;
            self.journal().append(&Record::Undone { step: index })?;
        }
        self.require_nothing_left(plan, begun).await?;
        remove(&self.home.work())?;
        self.journal().append(&Record::Close { at: now(), outcome: Outcome::RolledBack })
    }
}

/// Said after the last change was undone and no server of the run was left, never before.
const PUT_BACK: &str = "All its changes are put back.";

fn incomplete(command: Command, what: &str, error: &anyhow::Error) -> anyhow::Error {
    Failure::new(Kind::Incomplete, format!("`pmp-ha {command}` is not complete: {what}"))
        .because(format!("{error:#}"))
        .hint(format!(
            "Fix the cause. Then run `pmp-ha resume`, or `pmp-ha {command}` again: it resumes where it stopped, or puts everything back."
        ))
        .into()
}
