//! A plan: the steps of a command as a value. `--dry-run` prints exactly the value that would run.

mod command;
mod hook;
mod renewal;
mod step;
mod trust;
mod words;

use serde::{Deserialize, Serialize};

pub use command::Command;
pub use hook::{HookChange, HookEvent, HookMoment, HookPrograms};
pub use renewal::Renewal;
pub use step::{BootTask, CopyWay, Exchange, KEY_PLACEHOLDER, KeyCheck, Scope, Step, TableChange};
pub use words::Bytes;

/// The home that a plan was made for. It runs in no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeIdentity {
    /// The home.
    pub path: String,
    /// The device of its data directory.
    pub device: u64,
    /// The inode of its `conf` folder, which no step replaces.
    pub inode: u64,
}

/// What a command will do, before it does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The command.
    pub command: Command,
    /// The home that it changes.
    pub home: HomeIdentity,
    /// What the operator should know before confirming.
    pub warnings: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The index of the first step that cannot be undone. From there a run can only be finished.
    pub point_of_no_return: usize,
}

impl Plan {
    /// Returns whether the steps work on a running server, and can be undone while it runs.
    #[must_use]
    pub fn works_on_a_running_server(&self) -> bool {
        let running = |step: &Step| {
            matches!(
                step,
                Step::Reconfigure { .. }
                    | Step::RenewWayBack { .. }
                    | Step::Exchange(_)
                    | Step::Renew(_)
                    | Step::SaveRows { .. }
            )
        };
        self.steps.iter().any(running)
    }

    /// Returns the subject of the plan in addition to the home, in a few words.
    #[must_use]
    pub fn target(&self) -> String {
        let named = self.steps.iter().find_map(|step| match step {
            Step::WritePack { pack, .. } | Step::ExtractPack { pack, .. } => Some(pack.clone()),
            Step::CopyUnpacked { .. } => Some("a pack that was unpacked here".into()),
            Step::CopyData { from, .. } | Step::CopyLive { from, .. } => Some(format!("from {from}")),
            Step::SetMembership { membership } => {
                Some(format!("{}, with {}", membership.this(), membership.peer()))
            }
            Step::SwapKept { name } => Some(format!("to mysql/{name}")),
            Step::OfflineBoot(BootTask::LeavePair { peer, .. }) => Some(format!("the pair with {peer}")),
            Step::Renew(Renewal::Offer { file, .. } | Renewal::Take { file, .. }) => Some(file.clone()),
            Step::ProveEqual { scope, .. } => Some(scope.to_string()),
            _ => None,
        });
        let first = || self.steps.first().map(ToString::to_string).unwrap_or_default();
        named.unwrap_or_else(first).lines().next().unwrap_or_default().to_owned()
    }

    /// Returns the file with the rows as they were before a repair.
    #[must_use]
    pub fn old_rows(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::SaveRows { file, .. }) => Some(file),
            _ => None,
        }
    }

    /// Returns whether it repairs a secondary whose applier ran.
    #[must_use]
    pub fn found_the_applier_running(&self) -> bool {
        matches!(self.steps.first(), Some(Step::SaveRows { applier_ran: true, .. }))
    }

    /// Returns whether it packs the data of a database that keeps running.
    #[must_use]
    pub fn is_online_pack(&self) -> bool {
        matches!(self.steps.first(), Some(Step::RenewWayBack { .. }))
    }

    /// Returns whether the database runs afterwards.
    #[must_use]
    pub fn starts_the_database(&self) -> bool {
        self.steps.contains(&Step::StartDatabase)
    }

    /// Returns the pack that it makes, and the public key that it is encrypted to.
    #[must_use]
    pub fn pack(&self) -> Option<(&str, Option<&str>)> {
        self.steps.iter().find_map(|step| match step {
            Step::WritePack { pack, encrypt_to, .. } => Some((pack.as_str(), encrypt_to.as_deref())),
            _ => None,
        })
    }

    /// Returns the packs and files of secrets that it names: what is carried from node to node.
    pub fn carried(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::WritePack { pack, .. } | Step::ExtractPack { pack, .. } => Some(pack.as_str()),
            Step::Renew(Renewal::Offer { file, .. } | Renewal::Take { file, .. }) => Some(file.as_str()),
            _ => None,
        })
    }

    /// Returns the name under which the old data are kept for a rollback.
    #[must_use]
    pub fn keeps(&self) -> Option<&str> {
        self.steps.iter().find_map(|step| match step {
            Step::KeepHome { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns whether it makes an old primary the secondary.
    #[must_use]
    pub fn is_rejoin(&self) -> bool {
        self.command == Command::Rejoin
    }

    /// Returns whether it repairs rows of a running database, and no file of the home.
    #[must_use]
    pub fn is_repair(&self) -> bool {
        matches!(self.steps.first(), Some(Step::SaveRows { .. })) || self.is_about_the_return_channel()
    }

    /// Returns whether it puts the return channel right, on the primary.
    #[must_use]
    pub fn is_about_the_return_channel(&self) -> bool {
        matches!(self.steps.first(), Some(Step::LeaveOut { .. } | Step::Acknowledge { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::coordinates::Coordinates;

    #[test]
    fn a_plan_survives_the_journal() {
        let plan = Plan {
            command: Command::InstallPack,
            home: HomeIdentity { path: "/x".into(), device: 1, inode: 2 },
            warnings: vec![],
            steps: vec![
                Step::SwapData,
                Step::OfflineBoot(BootTask::PrepareReplica {
                    account: "root".into(),
                    from: Coordinates::Gtid { executed: "a:1".into() },
                    again: false,
                    goes_on: false,
                }),
                Step::DropOldData,
            ],
            point_of_no_return: 2,
        };
        let text = serde_json::to_string(&plan).expect("writable");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("readable"), plan);
        assert!(plan.to_string().contains("3. remove the old data  (cannot be undone)"));
    }
}
