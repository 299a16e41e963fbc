//! Maps each step of a plan to its effect, and to what undoes it.

use std::time::Instant;

use anyhow::Result;

use super::database::{align, boot, start};
use super::files::place::Place;
use super::files::{copy, in_place, keep, node_files, pack, traces};
use super::online;
use super::repair::{self, define};
use super::roles::{exchange, hook, promote, rejoin};
use super::secrets;
use super::work::Runner;
use crate::adapters::home::saved::remove;
use crate::adapters::home::{KEY_FILE, ROLE_FILE, datadir, kept};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::domain::manifest::NODE_FILES;
use crate::domain::pair::{Claim, Role};
use crate::domain::plan::{BootTask, HookMoment, Plan, Step};

impl Runner<'_> {
    #[expect(
        clippy::too_many_lines,
        reason = "a few lines a step: the table of contents of all that is done"
    )]
    pub(super) async fn apply(&mut self, plan: &Plan, step: &Step) -> Result<()> {
        let _waiting = waits_for(step).map(|words| self.ui.spinner(words));
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
            Step::UnwireStartScript => traces::unwire(self),
            Step::DropNodeFiles => traces::drop_node_files(self),
            Step::DropTraces { files } => traces::drop_files(self.home, files),
            Step::WorkOffOffline { accept_loss, .. } => promote::work_off_offline(self, *accept_loss).await,
            Step::FindExtra { since, file, go_on } => {
                rejoin::find_extra(self, since, file.as_ref(), *go_on).await
            }
            Step::OfflineBoot(task) => boot::run(self, task).await,
            Step::CopySource { .. } => copy::copy(self).await,
            Step::StartDatabase => {
                start::database(self).await?;
                self.cost.downtime = self.begun.map(|begun| begun.elapsed());
                Ok(())
            }
            Step::RenewWayBack { membership, pack_id } => {
                self.saved().save(NODE_FILES)?;
                online::mark_pack(self, membership, pack_id).await
            }
            Step::CopyOnline { way, pack_id, .. } => {
                self.cost.writes_blocked = Some(online::copy(self, way, pack_id).await?);
                Ok(())
            }
            Step::SettleCopy { way, pack_id } => copy::settle(self, way, pack_id).await,
            Step::WritePack { pack, dense, sign_with, encrypt_to, .. } => {
                let wanted = pack::Wanted {
                    dense: *dense,
                    sign_with: sign_with.as_deref(),
                    encrypt_to: encrypt_to.as_deref(),
                };
                self.written = Some(pack::write_pack(self, pack.as_ref(), &wanted).await?);
                Ok(())
            }
            Step::ExtractPack { pack, pack_id, .. } => {
                let begun = Instant::now();
                pack::extract_pack(self, pack.as_ref(), pack_id).await?;
                self.extracted_in = begun.elapsed().as_secs_f64();
                Ok(())
            }
            Step::CopyUnpacked { pack_id, .. } => {
                let begun = Instant::now();
                in_place::copy(self, pack_id).await?;
                self.extracted_in = begun.elapsed().as_secs_f64();
                Ok(())
            }
            Step::CopyData { from, .. } => pack::copy_data(self, from.as_ref()).await,
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
                let lifted = align::apply(self, account).await?;
                self.cost.writes_refused = lifted.and_then(|at| self.taking.refused_until(at));
                let is_primary = self.home.require_membership()?.role == Role::Primary;
                if is_primary && self.taking.refused.is_some() {
                    // A server that was killed right after the handover ran before: writes wait for it.
                    start::database(self).await?;
                }
                Ok(())
            }
            Step::WriteRole { role, word } => {
                self.saved().save(ROLE_FILE)?;
                self.home.write_role(*role, word.as_deref())
            }
            Step::Fence { command } => promote::fence(self, command).await,
            Step::Hook { moment, command } => match plan.role_change() {
                Some(change) => hook::run(self, *moment, command, &change).await,
                None => Ok(()),
            },
            Step::BringUp => start::database(self).await,
            Step::TakeDown => start::take_down(self).await,
            Step::DrainReplica { accept_loss, .. } => promote::drain(self, *accept_loss).await,
            Step::Claim { epoch, replaces, seen_alive, .. } => {
                let claim = Claim { epoch: *epoch, replaces: *replaces };
                promote::claim(self, claim, *seen_alive).await
            }
            Step::Exchange(part) => exchange::apply(self, part).await,
            Step::Renew(part) => {
                self.saved().save(NODE_FILES)?;
                secrets::apply(self, part).await
            }
            Step::RestartDatabase => {
                let begun = Instant::now();
                start::restart(self).await?;
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
            Step::SaveRows { file, now, .. } => {
                self.undo_file = Some(file.into());
                repair::save_rows(self, file.as_ref(), *now).await
            }
            Step::MakeTable { table, kept } => {
                repair::make_table(self, self.undo_file()?, table, kept.as_deref()).await
            }
            Step::SetAside { table, kept } => {
                repair::set_aside_table(self, self.undo_file()?, table, kept).await
            }
            Step::Undefine { what } => define::undefine(self, self.undo_file()?, what).await,
            Step::Define { what } => {
                let failed = define::define(self, self.undo_file()?, what).await?;
                self.left_out.extend(failed);
                Ok(())
            }
            Step::PassConflicts { .. } => repair::pass_conflicts(self, self.undo_file()?).await,
            Step::LeaveOut { .. } => repair::return_channel::leave_out(self).await,
            Step::Acknowledge { reading } => repair::return_channel::acknowledge(self, reading).await,
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

    pub(super) async fn undo(&mut self, plan: &Plan, step: &Step) -> Result<()> {
        match step {
            Step::MakeNodeFiles { .. }
            | Step::TakeNodeFiles { .. }
            | Step::DropNodeFiles
            | Step::SetMembership { .. } => {
                self.saved().restore(NODE_FILES)
            }
            Step::Reconfigure { account } => align::undo(self, account).await,
            Step::WireStartScript | Step::UnwireStartScript => {
                for path in node_files::SCRIPTS {
                    self.saved().restore(path)?;
                }
                Ok(())
            }
            Step::OfflineBoot(BootTask::PrepareSource { .. }) => boot::take_source_back(self).await,
            Step::WorkOffOffline { account, .. } | Step::DrainReplica { account, .. } => {
                promote::undrain(self, account).await
            }
            Step::Hook { moment: HookMoment::Before, .. } => {
                if let Some(change) = plan.role_change() {
                    hook::put_back(self, &change).await;
                }
                Ok(())
            }
            Step::BringUp => start::take_down(self).await,
            Step::Exchange(part) => exchange::undo(self, part).await,
            Step::Renew(part) => secrets::undo(self, part).await,
            Step::Claim { .. } => promote::unclaim(self).await,
            // The whole data directory is taken back by an earlier step, or nothing of it was changed.
            Step::OfflineBoot(
                BootTask::PrepareReplica { .. } | BootTask::StandAlone { .. } | BootTask::LeavePair { .. },
            )
            | Step::FindExtra { .. } => {
                self.database().clear_offline_boot(self.config.stop_deadline()).await
            }
            Step::CopySource { .. } => Place::of_pack(self.home).drop(),
            Step::RenewWayBack { .. } => online::unmark_pack(self).await,
            Step::CopyOnline { .. } => online::undo_copy(self).await,
            Step::SettleCopy { .. } => copy::let_go(self).await,
            Step::WritePack { pack, .. } => pack::take_pack_back(self.home, pack.as_ref()),
            Step::ExtractPack { .. } | Step::CopyUnpacked { .. } | Step::CopyData { .. } => {
                datadir::drop_staged(self.home)
            }
            Step::CopyLive { from, .. } => online::undo_copy_live(self, from.as_ref()).await,
            Step::SwapData => datadir::swap_back(self.home),
            Step::WriteRole { .. } => self.saved().restore(ROLE_FILE),
            Step::WriteKeyPath { .. } => self.saved().restore(KEY_FILE),
            Step::ProveStart => {
                let uninterrupted = Interrupt::default();
                let _waiting = self.ui.spinner("the database is stopping");
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
            | Step::Hook { moment: HookMoment::After, .. }
            | Step::TakeDown
            | Step::DropOldData
            | Step::DropTraces { .. }
            | Step::KeepOldData { .. }
            | Step::KeepHome { .. }
            | Step::DropKept { .. }
            | Step::MakeTable { .. }
            | Step::SetAside { .. }
            | Step::Undefine { .. }
            | Step::Define { .. }
            | Step::PassConflicts { .. }
            | Step::StartReplication
            | Step::LeaveOut { .. }
            | Step::Acknowledge { .. }
            | Step::CorrectRows { .. }
            | Step::ProveEqual { .. } => Ok(()),
        }
    }
}

/// What is shown while a step takes its time. Any other step shows its own waits and progress, or takes no time.
fn waits_for(step: &Step) -> Option<&'static str> {
    Some(match step {
        Step::FindExtra { .. } => "looking for rows that only this node has",
        Step::DrainReplica { .. } => "applying what was received",
        Step::SaveRows { .. } => "saving rows before they are changed",
        Step::MakeTable { .. } | Step::SetAside { .. } => "making the tables the same",
        Step::Undefine { .. } | Step::Define { .. } => "making the definitions the same",
        Step::PassConflicts { .. } | Step::LeaveOut { .. } => "passing what the applier stopped at",
        Step::StartReplication => "waiting until replication has caught up",
        Step::CorrectRows { .. } => "correcting rows",
        Step::ProveEqual { .. } => "comparing both nodes",
        _ => return None,
    })
}
