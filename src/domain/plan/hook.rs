//! Programs of the administrator's around a change of roles.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Command, Plan, Step};
use crate::domain::pair::{Node, Pair, Role};

/// The number of the schema of what a hook is given.
pub const HOOK_SCHEMA: u32 = 1;

/// The programs that are configured, each with its arguments; an empty one runs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookPrograms {
    /// Before a change.
    pub before: Vec<String>,
    /// After it, and after it was put back.
    pub after: Vec<String>,
}

/// Which hook a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookMoment {
    /// `hooks.before`.
    Before,
    /// `hooks.after`.
    After,
}

/// The event that a hook gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEvent {
    /// The role is about to change.
    Before,
    /// It has changed.
    After,
    /// The change has failed, and the role is what it was.
    PutBack,
}

/// A change of this node's role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookChange<'a> {
    /// The command, as an operator types it.
    pub command: &'a str,
    /// This node.
    pub node: &'a Node,
    /// The other one.
    pub peer: &'a Node,
    /// The role before.
    pub from: Role,
    /// The role after; `None` for a node that was replaced and is only taken down.
    pub to: Option<Role>,
    /// The epoch after it.
    pub epoch: u64,
}

impl HookEvent {
    /// Its name in the JSON and in `PMP_HA_EVENT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::PutBack => "put_back",
        }
    }
}

impl HookChange<'_> {
    /// What a hook gets on its standard input.
    #[must_use]
    pub fn json(&self, event: HookEvent) -> Value {
        let place = |node: &Node| json!({ "host": node.host, "port": node.db_port });
        json!({
            "schema": HOOK_SCHEMA,
            "event": event.name(),
            "command": self.command,
            "node": place(self.node),
            "peer": place(self.peer),
            "from": self.from,
            "to": self.to,
            "epoch": self.epoch,
        })
    }
}

impl Plan {
    /// Adds the hooks: one before the first step, which can be undone, and one after the last step.
    #[must_use]
    pub fn with_hooks(mut self, programs: &HookPrograms) -> Self {
        if self.new_membership().is_none() {
            return self;
        }
        let HookPrograms { before, after } = programs.clone();
        // What was begun is also told when it was put back, by the hook that tells its end.
        if !before.is_empty() {
            self.steps.insert(0, Step::Hook { moment: HookMoment::Before, command: before });
            self.point_of_no_return += 1;
        }
        if !after.is_empty() {
            self.steps.push(Step::Hook { moment: HookMoment::After, command: after });
        }
        self
    }

    /// The change of this node's role that the plan makes.
    #[must_use]
    pub fn role_change(&self) -> Option<HookChange<'_>> {
        let new = self.new_membership()?;
        Some(HookChange {
            command: self.command.words(),
            node: new.this(),
            peer: new.peer(),
            from: Pair::peer_of(new.role),
            to: Some(new.role),
            epoch: new.pair.epoch,
        })
    }

    fn new_membership(&self) -> Option<&crate::domain::pair::Membership> {
        if !matches!(self.command, Command::Switchover | Command::Promote | Command::Rejoin) {
            return None;
        }
        self.steps.iter().find_map(|step| match step {
            Step::SetMembership { membership } | Step::TakeNodeFiles { membership } => Some(membership),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pair::{Claim, Membership};
    use crate::domain::plan::HomeIdentity;

    fn plan(command: Command) -> Plan {
        let pair = Pair::example();
        let old = Membership { format: 1, role: Role::Primary, key_fingerprint: None, pair };
        let membership = old.changed_to(Role::Secondary, Claim::by_hand_over(1));
        Plan {
            command,
            home: HomeIdentity { path: "/x".into(), device: 1, inode: 2 },
            warnings: vec![],
            steps: vec![Step::BringUp, Step::SetMembership { membership }, Step::BringUp],
            point_of_no_return: 1,
        }
    }

    fn programs() -> HookPrograms {
        HookPrograms { before: vec!["/b".into()], after: vec!["/a".into(), "x".into()] }
    }

    #[test]
    fn the_hooks_stand_around_every_step_of_a_change_of_roles() {
        let with = plan(Command::Switchover).with_hooks(&programs());
        assert_eq!(with.steps[0], Step::Hook { moment: HookMoment::Before, command: vec!["/b".into()] });
        assert_eq!(
            with.steps[4],
            Step::Hook { moment: HookMoment::After, command: vec!["/a".into(), "x".into()] }
        );
        assert_eq!((with.steps.len(), with.point_of_no_return), (5, 2));
        let only_after = HookPrograms { before: vec![], ..programs() };
        let with = plan(Command::Rejoin).with_hooks(&only_after);
        assert_eq!((with.steps.len(), with.point_of_no_return), (4, 1));
        for unchanged in [Command::Reconfigure, Command::InstallPack] {
            assert_eq!(plan(unchanged).with_hooks(&programs()), plan(unchanged));
        }
        assert_eq!(plan(Command::Promote).with_hooks(&HookPrograms::default()), plan(Command::Promote));
    }

    #[test]
    fn a_hook_is_told_who_becomes_what() {
        let plan = plan(Command::Switchover);
        let change = plan.role_change().expect("a change");
        assert_eq!(
            change.json(HookEvent::PutBack),
            json!({
                "schema": 1, "event": "put_back", "command": "switchover",
                "node": {"host": "n1", "port": 2345}, "peer": {"host": "n2", "port": 2345},
                "from": "primary", "to": "secondary", "epoch": 2,
            })
        );
    }
}
