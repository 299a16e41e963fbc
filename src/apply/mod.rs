//! From a plan to effects: each step is recorded, done, recorded again; what fails is undone.

mod backlog;
mod boot;
mod data;
pub mod node_files;

use anyhow::{Context, Result, bail};

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::journal_file::JournalFile;
use crate::adapters::mysqld::Database;
use crate::adapters::packfile::Written;
use crate::adapters::saved::{Saved, remove};
use crate::adapters::system;
use crate::adapters::{datadir, observe};
use crate::config::Config;
use crate::domain::flavor::Flavor;
use crate::domain::journal::{Due, Outcome, Progress, Record, open_run};
use crate::domain::manifest::NODE_FILES;
use crate::domain::plan::{BootTask, Plan, Step};
use crate::failure::{Failure, Kind};
use crate::ui::Ui;

const ROLE_FILE: &str = "conf/serverstate.conf";
const KEY_FILE: &str = "conf/manage_key.conf";

/// What steps need and a plan must not hold.
#[derive(Default)]
pub struct Secrets {
    /// The application's database password, where the product keeps it encrypted.
    pub db_password: Option<String>,
}

/// What had to be done about an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// There was none that was cut off.
    Nothing,
    /// It was undone.
    RolledBack,
    /// It was finished.
    Finished(Box<Plan>),
}

/// Returns the run on this home that was cut off, if there is one.
///
/// # Errors
/// Refuses when the journal speaks of another home, of which this one is a copy: its way back
/// does not lead here.
pub fn cut_off_run(home: &Home) -> Result<Option<Progress>> {
    let Some(run) = open_run(&JournalFile::at(home.journal()).read()?) else { return Ok(None) };
    let (_, inode) = system::identity(&home.path("conf"))?;
    if run.plan.home.path != home.root().to_string_lossy() || run.plan.home.inode != inode {
        bail!(
            Failure::new(Kind::Refused, "this home is a copy of one in which a run was cut off")
                .because(format!(
                    "its journal speaks of `pmp-ha {}` in {}",
                    run.plan.command, run.plan.home.path
                ))
                .hint(format!("Run `pmp-ha {}` again there, and copy the home anew.", run.plan.command))
        );
    }
    Ok(Some(run))
}

/// Refuses when a run on this home was cut off: its data may be half exchanged.
pub fn refuse_cut_off_run(home: &Home) -> Result<()> {
    let Some(run) = cut_off_run(home)? else { return Ok(()) };
    let command = &run.plan.command;
    bail!(
        Failure::new(Kind::Refused, "an earlier run on this home was cut off")
            .because(format!("the journal of `pmp-ha {command}` in {} is open", home.root().display()))
            .hint(format!(
                "Run `pmp-ha {command}` again: it goes on where it stopped, or puts everything back."
            ))
    );
}

/// Runs plans on one home. It holds the home's lock for as long as it lives.
pub struct Runner<'a> {
    home: &'a Home,
    ui: &'a Ui,
    config: &'a Config,
    interrupt: &'a Interrupt,
    secrets: Secrets,
    written: Option<Written>,
    _lock: system::DirLock,
}

impl<'a> Runner<'a> {
    /// Takes the home's lock.
    pub fn lock(home: &'a Home, ui: &'a Ui, config: &'a Config, interrupt: &'a Interrupt) -> Result<Self> {
        let lock = system::lock_dir(home.root())?;
        Ok(Self { home, ui, config, interrupt, secrets: Secrets::default(), written: None, _lock: lock })
    }

    /// The home that it runs plans on.
    #[must_use]
    pub fn home(&self) -> &Home {
        self.home
    }

    /// Hands over what steps need and a plan must not hold.
    pub fn with_secrets(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    /// The pack that the last plan wrote.
    pub fn written(&mut self) -> Option<Written> {
        self.written.take()
    }

    fn journal(&self) -> JournalFile {
        JournalFile::at(self.home.journal())
    }

    fn saved(&self) -> Saved {
        Saved::of(self.home.root(), &self.home.work())
    }

    fn database(&self) -> Database<'a> {
        Database::of(self.home, self.interrupt)
    }

    async fn flavor(&self) -> Result<&'static Flavor> {
        let version = self.database().version().await?;
        Flavor::of(&version).with_context(|| format!("{version} is not known"))
    }

    /// Finishes or rolls back what an earlier run left behind when it was cut off.
    ///
    /// # Errors
    /// Refuses to roll back under a server that somebody has started since.
    pub async fn settle(&mut self) -> Result<Settled> {
        let Some(run) = cut_off_run(self.home)? else { return Ok(Settled::Nothing) };
        let command = run.plan.command.clone();
        match run.due() {
            Due::Back(begun) => {
                self.refuse_strangers(&run)?;
                self.ui.say(format!(
                    "An earlier `pmp-ha {command}` was cut off; what it had changed is put back first."
                ));
                let undone = self.back(&run.plan, begun).await;
                undone.map_err(|error| incomplete(&command, "it could not be put back", &error))?;
                Ok(Settled::RolledBack)
            }
            Due::Forward(next) => {
                self.ui.say(format!(
                    "An earlier `pmp-ha {command}` was cut off behind its point of no return; it is finished now."
                ));
                self.forward(&run.plan, next).await?;
                Ok(Settled::Finished(Box::new(run.plan)))
            }
        }
    }

    /// Nothing is put back under a server that runs, but for those that the run itself started.
    fn refuse_strangers(&self, run: &Progress) -> Result<()> {
        let last = run.begun.checked_sub(1).and_then(|index| run.plan.steps.get(index));
        if matches!(last, Some(Step::ProveStart)) || !self.database().offline_boots().is_empty() {
            return Ok(());
        }
        let Some(evidence) = observe::processes(self.home, self.interrupt)?.into_iter().next() else {
            return Ok(());
        };
        bail!(
            Failure::new(
                Kind::Refused,
                format!("an earlier `pmp-ha {}` was cut off and must be put back first", run.plan.command)
            )
            .because(evidence)
            .hint("Stop Password Manager Pro and its database (`pmp-ha stop`), then try again.")
        )
    }

    /// Runs a plan from its first step.
    pub async fn drive(&mut self, plan: &Plan) -> Result<()> {
        if !self.home.replication().is_dir() {
            // The server reads its boot files below it, under whatever account it runs.
            system::private_dir(&self.home.replication())?;
            system::set_mode(&self.home.replication(), 0o711)?;
            system::give_to(&self.home.replication(), system::owner(self.home.root())?)?;
        }
        self.journal().append(&Record::Open { at: now(), by: system::user_name(), plan: plan.clone() })?;
        self.forward(plan, 0).await
    }

    async fn forward(&mut self, plan: &Plan, from: usize) -> Result<()> {
        for (index, step) in plan.steps.iter().enumerate().skip(from) {
            self.ui.say(format!("{}/{}  {step}", index + 1, plan.steps.len()));
            let Err(error) = self.step(index, step, index < plan.point_of_no_return).await else {
                continue;
            };
            if index >= plan.point_of_no_return {
                return Err(incomplete(&plan.command, &format!("step {} failed", index + 1), &error));
            }
            self.ui.say("It did not work; what was changed is put back.");
            return match self.back(plan, index + 1).await {
                Ok(()) => Err(error),
                Err(undo) => {
                    let what = format!("it failed ({error:#}), and could not be put back");
                    Err(incomplete(&plan.command, &what, &undo))
                }
            };
        }
        let closed = remove(&self.home.work())
            .and_then(|()| self.journal().append(&Record::Close { at: now(), outcome: Outcome::Done }));
        closed.map_err(|error| {
            incomplete(&plan.command, "every step is done, and it could not be closed", &error)
        })
    }

    async fn step(&mut self, index: usize, step: &Step, can_stop: bool) -> Result<()> {
        if can_stop {
            self.interrupt.check()?;
        }
        self.journal().append(&Record::Begin { step: index })?;
        self.apply(step).await?;
        self.journal().append(&Record::Done { step: index })
    }

    /// Undoes the steps below `begun`, the last one first. Ctrl-C does not stop it.
    async fn back(&mut self, plan: &Plan, begun: usize) -> Result<()> {
        for (index, step) in plan.steps.iter().enumerate().take(begun).rev() {
            self.undo(step).await.with_context(|| format!("cannot undo step {} ({step})", index + 1))?;
            self.journal().append(&Record::Undone { step: index })?;
        }
        remove(&self.home.work())?;
        self.journal().append(&Record::Close { at: now(), outcome: Outcome::RolledBack })
    }

    async fn apply(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::MakeNodeFiles { membership, renew } => {
                self.saved().save(NODE_FILES)?;
                node_files::make(self, membership, *renew).await
            }
            Step::TakeNodeFiles { membership } => {
                self.saved().save(NODE_FILES)?;
                node_files::take(self, membership).await
            }
            Step::WireStartScript => {
                for path in node_files::SCRIPTS {
                    self.saved().save(path)?;
                }
                node_files::wire(self)
            }
            Step::OfflineBoot(task) => boot::run(self, task).await,
            Step::WritePack { pack, .. } => {
                self.written = Some(data::write_pack(self, pack.as_ref()).await?);
                Ok(())
            }
            Step::ExtractPack { pack, pack_id, .. } => data::extract_pack(self, pack.as_ref(), pack_id).await,
            Step::CopyData { from, .. } => data::copy_data(self, from.as_ref()).await,
            Step::SwapData => datadir::swap(self.home),
            Step::WriteRole { role } => {
                self.saved().save(ROLE_FILE)?;
                self.home.write_role(*role)
            }
            Step::WriteKeyPath { key } => {
                self.saved().save(KEY_FILE)?;
                self.home.write_conf(KEY_FILE, key)
            }
            Step::ProveStart => boot::prove_start(self).await,
            Step::DropOldData => datadir::drop_old(self.home),
            Step::KeepOldData { name } => datadir::keep_old(self.home, name),
        }
    }

    async fn undo(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::MakeNodeFiles { .. } | Step::TakeNodeFiles { .. } => self.saved().restore(NODE_FILES),
            Step::WireStartScript => {
                for path in node_files::SCRIPTS {
                    self.saved().restore(path)?;
                }
                Ok(())
            }
            Step::OfflineBoot(BootTask::PrepareSource { .. }) => boot::take_source_back(self).await,
            // The whole data directory is taken back by an earlier step.
            Step::OfflineBoot(BootTask::PrepareReplica { .. } | BootTask::StandAlone { .. }) => {
                self.database().clear_offline_boot(self.config.stop_deadline()).await
            }
            Step::WritePack { pack, .. } => data::take_pack_back(self.home, pack.as_ref()),
            Step::ExtractPack { .. } | Step::CopyData { .. } => datadir::drop_staged(self.home),
            Step::SwapData => datadir::swap_back(self.home),
            Step::WriteRole { .. } => self.saved().restore(ROLE_FILE),
            Step::WriteKeyPath { .. } => self.saved().restore(KEY_FILE),
            Step::ProveStart => {
                let uninterrupted = Interrupt::default();
                Database::of(self.home, &uninterrupted).stop(self.config.stop_deadline()).await.map(|_| ())
            }
            // Behind the point of no return: never undone.
            Step::DropOldData | Step::KeepOldData { .. } => Ok(()),
        }
    }
}

fn incomplete(command: &str, what: &str, error: &anyhow::Error) -> anyhow::Error {
    Failure::new(Kind::Incomplete, format!("`pmp-ha {command}` is not complete: {what}"))
        .because(format!("{error:#}"))
        .hint(format!(
            "Mend the cause and run `pmp-ha {command}` again: it goes on where it stopped, or puts everything back."
        ))
        .into()
}

/// The time as the journal writes it.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
