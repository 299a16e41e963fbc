//! From a plan to effects: each step is recorded, done, recorded again; what fails is undone.

mod accounts;
mod backlog;
mod boot;
mod channel;
mod correct;
mod data;
pub mod deep;
mod dialogue;
mod exchange;
mod guard;
mod in_place;
mod keep;
mod key_query;
pub mod node_files;
mod online;
mod place;
mod promote;
mod receiver;
mod reconfigure;
pub mod rehearse;
mod rejoin;
pub mod repair;
mod role;
mod semi_sync;
mod source;
mod start;

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::journal_file::JournalFile;
use crate::adapters::mysqld::Database;
use crate::adapters::other_node::Watched;
use crate::adapters::packfile::Opening;
use crate::adapters::saved::{Saved, remove};
use crate::adapters::system;
use crate::adapters::{datadir, kept, observe};
use crate::config::Config;
use crate::domain::flavor::Flavor;
use crate::domain::journal::{Due, Outcome, Progress, Record, open_run};
use crate::domain::manifest::NODE_FILES;
use crate::domain::pair::Claim;
use crate::domain::plan::{BootTask, Plan, Step};
use crate::failure::{Failure, Kind};
use crate::ui::Ui;

const ROLE_FILE: &str = "conf/serverstate.conf";
const KEY_FILE: &str = "conf/manage_key.conf";

pub use data::NewPack;

use self::place::Place;

/// What steps need and a plan must not hold.
#[derive(Default)]
pub struct Secrets {
    /// The application's database password, where the product keeps it encrypted.
    pub db_password: Option<String>,
    /// What opens the pack and what is demanded of it.
    pub opening: Opening,
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

impl Settled {
    /// The plan that was finished, if it was one of this command.
    #[must_use]
    pub fn finished(&self, command: &str) -> Option<&Plan> {
        match self {
            Self::Finished(plan) if plan.command == command => Some(plan),
            Self::Nothing | Self::RolledBack | Self::Finished(_) => None,
        }
    }
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
                "Run `pmp-ha resume`, or `pmp-ha {command}` again: it goes on where it stopped, or puts everything back."
            ))
    );
}

/// Refuses when a run was cut off that may have left the files of this home half exchanged. A repair
/// does not: it works inside a database that runs.
pub fn refuse_half_exchanged(home: &Home) -> Result<()> {
    match cut_off_run(home)? {
        Some(run) if run.plan.is_repair() => Ok(()),
        _ => refuse_cut_off_run(home),
    }
}

/// Refuses when a run was cut off that keeps the database from being started. A pack that has let go
/// of the database already, or never held it, does not.
pub fn refuse_held_database(home: &Home) -> Result<()> {
    match cut_off_run(home)? {
        Some(run)
            if run.plan.is_online_pack()
                || (run.plan.starts_the_database() && matches!(run.due(), Due::Forward(_))) =>
        {
            Ok(())
        }
        _ => refuse_half_exchanged(home),
    }
}

/// What a pack cost the users of the primary, as far as it was measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// From the first step until the database accepted connections again.
    pub downtime: Option<Duration>,
    /// For how long writes had to wait.
    pub writes_blocked: Option<Duration>,
    /// For how long writes were refused, until the other node accepted them.
    pub writes_refused: Option<Duration>,
    /// For how long the database was down for a restart.
    pub restarted_in: Option<Duration>,
}

/// Runs plans on one home. It holds the home's lock for as long as it lives.
pub struct Runner<'a> {
    home: &'a Home,
    ui: &'a Ui,
    config: &'a Config,
    interrupt: &'a Interrupt,
    secrets: Secrets,
    written: Option<NewPack>,
    extracted_in: f64,
    undo_file: Option<PathBuf>,
    begun: Option<Instant>,
    cost: Cost,
    taking: exchange::Taking,
    /// The other node, as long as nobody talks to it.
    other: Mutex<Option<Watched>>,
    flavor: OnceLock<&'static Flavor>,
    _lock: system::DirLock,
}

impl<'a> Runner<'a> {
    /// Takes the home's lock.
    pub fn lock(home: &'a Home, ui: &'a Ui, config: &'a Config, interrupt: &'a Interrupt) -> Result<Self> {
        Ok(Self::holding(system::lock_dir(home.root())?, home, ui, config, interrupt))
    }

    /// Works on a home whose lock is held already.
    fn holding(
        lock: system::DirLock,
        home: &'a Home,
        ui: &'a Ui,
        config: &'a Config,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            home,
            ui,
            config,
            interrupt,
            secrets: Secrets::default(),
            written: None,
            extracted_in: 0.0,
            undo_file: None,
            begun: None,
            cost: Cost::default(),
            taking: exchange::Taking::default(),
            other: Mutex::default(),
            flavor: OnceLock::new(),
            _lock: lock,
        }
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

    /// How many seconds the last plan extracted a pack for, or copied what was unpacked by hand.
    #[must_use]
    pub fn extracted_in(&self) -> f64 {
        self.extracted_in
    }

    /// The pack that the last plan wrote.
    pub fn written(&mut self) -> Option<NewPack> {
        self.written.take()
    }

    /// What the last plan cost the users of the primary.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
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

    /// Which server this home has. Its program is asked once: writes may be waiting.
    async fn flavor(&self) -> Result<&'static Flavor> {
        if let Some(flavor) = self.flavor.get() {
            return Ok(flavor);
        }
        let version = self.database().version().await?;
        let flavor = Flavor::of(&version).with_context(|| format!("{version} is not known"))?;
        Ok(self.flavor.get_or_init(|| flavor))
    }

    /// The other node, with the connection that there is, if one is.
    fn take_other(&self) -> Result<Watched> {
        let kept = self.other.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept {
            Some(watched) => Ok(watched),
            None => Ok(Watched::of(self.home, &self.home.require_membership()?)),
        }
    }

    /// Keeps the connection to the other node for whoever talks to it next.
    fn keep_other(&self, watched: Watched) {
        *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }

    /// After an exchange of roles: waits a moment until the receiver here is connected again.
    pub async fn reconnect(&self) -> Result<()> {
        receiver::reconnect(self).await
    }

    /// Finishes or rolls back what an earlier run left behind when it was cut off, but for a repair.
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

    /// Finishes or rolls back a run that was cut off, whatever it was.
    ///
    /// # Errors
    /// Refuses to roll back under a server that somebody has started since.
    pub async fn settle_run(&mut self, run: Progress) -> Result<Settled> {
        let command = run.plan.command.clone();
        if matches!(run.due(), Due::Back(_)) {
            self.refuse_strangers(&run)?;
        }
        self.journal().append(&Record::Resumed { at: now(), by: system::user_name() })?;
        // A server that an offline boot left behind is none that a step could work on.
        let uninterrupted = Interrupt::default();
        Database::of(self.home, &uninterrupted).clear_offline_boot(self.config.stop_deadline()).await?;
        match run.due() {
            Due::Back(begun) => {
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

    /// Closes a repair that was cut off, when everything was found to be equal.
    pub fn close_repair(&mut self) -> Result<()> {
        remove(&self.home.work())?;
        self.journal().append(&Record::Close { at: now(), outcome: Outcome::Done })
    }

    fn undo_file(&self) -> Result<&std::path::Path> {
        self.undo_file.as_deref().context("no file for the old rows was begun")
    }

    /// Nothing is put back under a server that runs, but for those that the run itself started.
    fn refuse_strangers(&self, run: &Progress) -> Result<()> {
        let last = run.begun.checked_sub(1).and_then(|index| run.plan.steps.get(index));
        if run.plan.works_on_a_running_server() {
            return Ok(());
        }
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
        make_replication(self.home)?;
        self.begun = Some(Instant::now());
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

    #[expect(
        clippy::too_many_lines,
        reason = "a few lines a step: the table of contents of all that is done"
    )]
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
            Step::CopySource { .. } => source::copy(self).await,
            Step::StartDatabase => {
                start::database(self).await?;
                self.cost.downtime = self.begun.map(|begun| begun.elapsed());
                Ok(())
            }
            Step::RenewWayBack { membership, pack_id } => {
                self.saved().save(NODE_FILES)?;
                online::renew_way_back(self, membership, pack_id).await
            }
            Step::CopyOnline { way, pack_id, .. } => {
                self.cost.writes_blocked = Some(online::copy(self, way, pack_id).await?);
                Ok(())
            }
            Step::SettleCopy { way, pack_id } => source::settle(self, way, pack_id).await,
            Step::WritePack { pack, dense, sign_with, encrypt_to, .. } => {
                let wanted = data::Wanted {
                    dense: *dense,
                    sign_with: sign_with.as_deref(),
                    encrypt_to: encrypt_to.as_deref(),
                };
                self.written = Some(data::write_pack(self, pack.as_ref(), &wanted).await?);
                Ok(())
            }
            Step::ExtractPack { pack, pack_id, .. } => {
                let begun = Instant::now();
                data::extract_pack(self, pack.as_ref(), pack_id).await?;
                self.extracted_in = begun.elapsed().as_secs_f64();
                Ok(())
            }
            Step::CopyUnpacked { pack_id, .. } => {
                let begun = Instant::now();
                in_place::copy(self, pack_id).await?;
                self.extracted_in = begun.elapsed().as_secs_f64();
                Ok(())
            }
            Step::CopyData { from, .. } => data::copy_data(self, from.as_ref()).await,
            Step::CopyLive { from, way, .. } => {
                self.cost.writes_blocked = Some(online::copy_live(self, from.as_ref(), way).await?);
                Ok(())
            }
            Step::SwapData => datadir::swap(self.home),
            Step::SetMembership { membership } => {
                self.saved().save(NODE_FILES)?;
                node_files::set(self, membership).await
            }
            Step::Reconfigure { account } => {
                let lifted = reconfigure::apply(self, account).await?;
                self.cost.writes_refused = lifted.and_then(|at| self.taking.refused_until(at));
                Ok(())
            }
            Step::WriteRole { role, word } => {
                self.saved().save(ROLE_FILE)?;
                self.home.write_role(*role, word.as_deref())
            }
            Step::Fence { command } => promote::fence(self, command).await,
            Step::BringUp => promote::bring_up(self).await,
            Step::TakeDown => promote::take_down(self).await,
            Step::DrainReplica { accept_loss, .. } => promote::drain(self, *accept_loss).await,
            Step::Claim { epoch, replaces, fenced, .. } => {
                let claim = Claim { epoch: *epoch, replaces: *replaces };
                promote::claim(self, claim, *fenced).await
            }
            Step::Exchange(part) => exchange::apply(self, part).await,
            Step::RestartDatabase => {
                let begun = Instant::now();
                promote::restart(self).await?;
                self.cost.restarted_in = Some(begun.elapsed());
                Ok(())
            }
            Step::WriteKeyPath { key } => {
                self.saved().save(KEY_FILE)?;
                self.home.write_conf(KEY_FILE, key)
            }
            Step::ProveStart => boot::prove_start(self).await,
            Step::DropOldData => datadir::drop_old(self.home),
            Step::KeepOldData { name } => datadir::keep_old(self.home, name),
            Step::SwapKept { name } => kept::swap(self.home, name),
            Step::RestoreKept => keep::restore(self),
            Step::KeepHome { from, name, then } => keep::keep(self, from.as_deref(), name, then),
            Step::DropKept { name } => remove(&datadir::parent(self.home).join(name)),
            Step::SaveRows { file, now } => {
                self.undo_file = Some(file.into());
                repair::save_rows(self, file.as_ref(), *now).await
            }
            Step::MakeTable { table, kept } => {
                repair::make_table(self, self.undo_file()?, table, kept.as_deref()).await
            }
            Step::PassConflicts { .. } => repair::pass_conflicts(self, self.undo_file()?).await,
            Step::StartReplication => repair::start_replication(self).await,
            Step::CorrectRows { scope, passing, .. } => {
                repair::correct_rows(self, self.undo_file()?, scope, *passing).await
            }
            Step::ProveEqual { scope, passing, put_right } => {
                repair::prove_equal(self, self.undo_file()?, scope, *passing).await?;
                repair::forget_errant(self, put_right.as_ref()).await
            }
        }
    }

    async fn undo(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::MakeNodeFiles { .. } | Step::TakeNodeFiles { .. } | Step::SetMembership { .. } => {
                self.saved().restore(NODE_FILES)
            }
            Step::Reconfigure { account } => reconfigure::undo(self, account).await,
            Step::WireStartScript => {
                for path in node_files::SCRIPTS {
                    self.saved().restore(path)?;
                }
                Ok(())
            }
            Step::OfflineBoot(BootTask::PrepareSource { .. }) => boot::take_source_back(self).await,
            Step::OfflineBoot(BootTask::WorkOff { account, .. }) | Step::DrainReplica { account, .. } => {
                promote::undrain(self, account).await
            }
            Step::BringUp => promote::take_down(self).await,
            Step::Exchange(part) => exchange::undo(self, part).await,
            Step::Claim { .. } => promote::unclaim(self).await,
            // The whole data directory is taken back by an earlier step, or nothing of it was changed.
            Step::OfflineBoot(
                BootTask::PrepareReplica { .. } | BootTask::StandAlone { .. } | BootTask::FindExtra { .. },
            ) => {
                self.database().clear_offline_boot(self.config.stop_deadline()).await
            }
            Step::CopySource { .. } => Place::of_pack(self.home).drop(),
            Step::RenewWayBack { .. } => online::put_way_back_back(self).await,
            Step::CopyOnline { .. } => online::undo_copy(self).await,
            Step::SettleCopy { .. } => source::let_go(self).await,
            Step::WritePack { pack, .. } => data::take_pack_back(self.home, pack.as_ref()),
            Step::ExtractPack { .. } | Step::CopyUnpacked { .. } | Step::CopyData { .. } => {
                datadir::drop_staged(self.home)
            }
            Step::CopyLive { from, .. } => online::undo_copy_live(self, from.as_ref()).await,
            Step::SwapData => datadir::swap_back(self.home),
            Step::WriteRole { .. } => self.saved().restore(ROLE_FILE),
            Step::WriteKeyPath { .. } => self.saved().restore(KEY_FILE),
            Step::ProveStart => {
                let uninterrupted = Interrupt::default();
                Database::of(self.home, &uninterrupted).stop(self.config.stop_deadline()).await.map(|_| ())
            }
            Step::SwapKept { name } => kept::swap_back(self.home, name),
            Step::RestoreKept => keep::take_back(self),
            Step::SaveRows { file, .. } => repair::drop_file(file.as_ref()),
            // Behind the point of no return: never undone.
            Step::StartDatabase
            | Step::RestartDatabase
            // Whoever was fenced stays so until the operator lets it loose, and an old primary stays down.
            | Step::Fence { .. }
            | Step::TakeDown
            | Step::DropOldData
            | Step::KeepOldData { .. }
            | Step::KeepHome { .. }
            | Step::DropKept { .. }
            | Step::MakeTable { .. }
            | Step::PassConflicts { .. }
            | Step::StartReplication
            | Step::CorrectRows { .. }
            | Step::ProveEqual { .. } => Ok(()),
        }
    }
}

/// Makes the folder `replication` where a home has none.
fn make_replication(home: &Home) -> Result<()> {
    if home.replication().is_dir() {
        return Ok(());
    }
    // The server reads its boot files below it, under whatever account it runs.
    system::private_dir(&home.replication())?;
    system::set_mode(&home.replication(), 0o711)?;
    system::give_to(&home.replication(), system::owner(home.root())?)
}

fn incomplete(command: &str, what: &str, error: &anyhow::Error) -> anyhow::Error {
    Failure::new(Kind::Incomplete, format!("`pmp-ha {command}` is not complete: {what}"))
        .because(format!("{error:#}"))
        .hint(format!(
            "Mend the cause and run `pmp-ha resume`, or `pmp-ha {command}` again: it goes on where it stopped, or puts everything back."
        ))
        .into()
}

/// The time as the journal writes it.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
