//! `setup`: the steps of the manual that a node still needs.
//!
//! They follow only from the state of the home.

use std::fmt;

use serde::Serialize;

use crate::domain::doctor::report::{DoctorPoint, DoctorTopic, Grade};
use crate::domain::pair::Role;
use crate::domain::plan::Command;
use crate::domain::refusal::Refusal;

/// A step of the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupStep {
    /// Everything is checked.
    Check,
    /// The database is stopped.
    Stop,
    /// The pack is made.
    Pack,
    /// The pack is installed.
    InstallPack,
    /// The encryption key is named.
    Key,
    /// The database is started.
    Start,
    /// The pack goes to the other machine, by hand.
    Carry,
    /// The pack goes to the other machine, and is installed there.
    OtherNode,
    /// Both nodes are looked at.
    Verify,
}

impl SetupStep {
    /// What it does, an imperative.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Check => "check this node",
            Self::Stop => "stop the database",
            Self::Pack => "make the pack",
            Self::InstallPack => "install the pack",
            Self::Key => "enter the path of the encryption key",
            Self::Start => "start the database",
            Self::Carry => "copy the pack to the other node",
            Self::OtherNode => "set up the other node",
            Self::Verify => "check that the pair is Alive",
        }
    }

    /// Why, in a sentence.
    #[must_use]
    pub fn why(self, role: Role) -> &'static str {
        match (self, role) {
            (Self::Check, _) => "pmp-ha checks everything that it can, and changes nothing.",
            (Self::Stop, Role::Primary) => "The files must not change while they are packed.",
            (Self::Stop, Role::Secondary) => "The files must not be in use while they are replaced.",
            (Self::Pack, _) => {
                "It holds the data, the certificates and the accounts. The database starts again as soon as possible."
            }
            (Self::InstallPack, _) => {
                "It replaces the data of this installation with the primary's, and prepares replication."
            }
            (Self::Key, _) => {
                "The data are encrypted with the primary's key, and the pack does not contain it."
            }
            (Self::Start, Role::Primary) => "It serves, and waits for the secondary.",
            (Self::Start, Role::Secondary) => "It begins to replicate.",
            (Self::Carry, _) => "The pack contains the vault's data: you decide how to copy it.",
            (Self::OtherNode, _) => "pmp-ha copies the pack with ssh, and runs `pmp-ha setup` there.",
            (Self::Verify, _) => "A heartbeat of each node must arrive on the other one.",
        }
    }
}

/// Whether a step is still to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// There is nothing to do.
    Done,
    /// pmp-ha does it.
    Due,
    /// You do it.
    ByYou,
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Done => "done",
            Self::Due => "",
            Self::ByYou => "you",
        })
    }
}

/// A step, and whether it is still to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SetupItem {
    /// The step.
    pub step: SetupStep,
    /// Its state.
    pub state: StepState,
    /// What it does.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
}

/// What was seen of a node.
#[derive(Debug, Clone, Default)]
pub struct SetupScene {
    /// The command of an interrupted run.
    pub cut_off: Option<Command>,
    /// Its role in the pair, if it is in one.
    pub member: Option<Role>,
    /// Whether the product is its database's user right now.
    pub product_runs: bool,
    /// Whether the database runs.
    pub database_runs: bool,
    /// Whether another pack is wanted than the last one: for other names, or another file.
    pub wants_another_pack: bool,
    /// Whether the key that the configuration names can be the one of the data.
    pub key_is_right: bool,
    /// Whether both statuses are Alive.
    pub is_alive: bool,
    /// Whether the other machine can be reached by ssh.
    pub has_peer: bool,
}

/// Returns whether an interrupted run is one that `setup` takes up by doing its step again.
#[must_use]
pub fn takes_up(command: Command) -> bool {
    matches!(command, Command::Pack | Command::InstallPack)
}

/// Returns the steps of the manual on a node with this role, in their order.
#[must_use]
pub fn outline(role: Role, scene: &SetupScene) -> Vec<SetupItem> {
    let due = |is_due: bool| if is_due { StepState::Due } else { StepState::Done };
    let is_member = scene.member == Some(role);
    let is_open = |command| scene.cut_off == Some(command);
    let stop = |is_needed: bool| due(is_needed && (scene.database_runs || scene.product_runs));
    let steps = match role {
        Role::Primary => {
            let pack = !is_member || scene.wants_another_pack || is_open(Command::Pack);
            let carry = if pack || !scene.is_alive { StepState::ByYou } else { StepState::Done };
            let other = match (scene.has_peer, carry) {
                (true, StepState::ByYou) => (SetupStep::OtherNode, StepState::Due),
                (true, state) => (SetupStep::OtherNode, state),
                (false, state) => (SetupStep::Carry, state),
            };
            vec![
                (SetupStep::Stop, stop(pack)),
                (SetupStep::Pack, due(pack)),
                // A pack that is made starts it.
                (SetupStep::Start, due(!pack && !scene.database_runs)),
                other,
            ]
        }
        Role::Secondary => {
            let install = !is_member || scene.wants_another_pack || is_open(Command::InstallPack);
            vec![
                (SetupStep::Stop, stop(install)),
                (SetupStep::InstallPack, due(install)),
                (SetupStep::Key, due(install || !scene.key_is_right)),
                (SetupStep::Start, due(install || !scene.database_runs)),
            ]
        }
    };
    let before =
        |(step, state): &(SetupStep, StepState)| *state != StepState::Done && *step != SetupStep::Stop;
    let verify = due(!scene.is_alive || steps.iter().any(before));
    [(SetupStep::Check, StepState::Due)]
        .into_iter()
        .chain(steps)
        .chain([(SetupStep::Verify, verify)])
        .map(|(step, state)| SetupItem { step, state, what: step.title(), why: step.why(role) })
        .collect()
}

/// Returns the first step after the check that is still to be done.
#[must_use]
pub fn next_of(outline: &[SetupItem]) -> Option<SetupItem> {
    let open = |item: &&SetupItem| item.step != SetupStep::Check && item.state != StepState::Done;
    outline.iter().find(open).copied()
}

/// Failures that do not keep the setup from going on: it cures them itself, or they come later.
const NOT_IN_THE_WAY: [&str; 3] = ["secret-readable", "run-interrupted", "disk-fills"];

/// Returns whether a point of the doctor keeps a node from being set up.
#[must_use]
pub fn is_in_the_way(topic: DoctorTopic, grade: Grade, code: Option<&str>) -> bool {
    grade == Grade::Failed
        && !matches!(topic, DoctorTopic::Pair | DoctorTopic::Key | DoctorTopic::Certificates)
        && code.is_none_or(|code| !NOT_IN_THE_WAY.contains(&code))
}

/// Returns what keeps a node from being set up, of what the doctor found.
#[must_use]
pub fn in_the_way(points: &[DoctorPoint]) -> Vec<Refusal> {
    let stops = |point: &&DoctorPoint| is_in_the_way(point.topic, point.grade, point.code);
    points.iter().filter(stops).map(refusal).collect()
}

fn refusal(point: &DoctorPoint) -> Refusal {
    let because = match &point.evidence {
        Some(evidence) => format!("{}: {evidence}", point.what),
        None => point.what.clone(),
    };
    Refusal::new("this node cannot be set up yet", because, point.hint.clone().unwrap_or_default())
        .code(point.code.unwrap_or(Refusal::ANY))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps that are due, and those that are left to you with a star.
    fn due(role: Role, scene: &SetupScene) -> String {
        let outline = outline(role, scene);
        let open = outline.iter().filter(|item| item.state != StepState::Done);
        let words: Vec<String> = open
            .map(|item| {
                let star = if item.state == StepState::ByYou { "*" } else { "" };
                format!("{:?}{star}", item.step)
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn the_steps_of_the_primary_follow_from_what_is_there() {
        let due = |scene: &SetupScene| due(Role::Primary, scene);
        let mut scene = SetupScene { database_runs: true, ..SetupScene::default() };
        assert_eq!(due(&scene), "Check Stop Pack Carry* Verify");
        scene.database_runs = false;
        assert_eq!(due(&scene), "Check Pack Carry* Verify");
        scene.product_runs = true;
        assert_eq!(due(&scene), "Check Stop Pack Carry* Verify");
        let mut scene = SetupScene { member: Some(Role::Primary), ..SetupScene::default() };
        assert_eq!(due(&scene), "Check Start Carry* Verify");
        scene.database_runs = true;
        assert_eq!(due(&scene), "Check Carry* Verify");
        scene.has_peer = true;
        assert_eq!(due(&scene), "Check OtherNode Verify");
        scene.is_alive = true;
        assert_eq!(due(&scene), "Check");
        scene.wants_another_pack = true;
        assert_eq!(due(&scene), "Check Stop Pack OtherNode Verify");
        scene = SetupScene { cut_off: Some(Command::Pack), member: Some(Role::Primary), ..scene };
        scene.wants_another_pack = false;
        assert_eq!(due(&scene), "Check Stop Pack OtherNode Verify");
    }

    #[test]
    fn the_steps_of_the_secondary_follow_from_what_is_there() {
        let due = |scene: &SetupScene| due(Role::Secondary, scene);
        let mut scene = SetupScene::default();
        assert_eq!(due(&scene), "Check InstallPack Key Start Verify");
        scene.database_runs = true;
        assert_eq!(due(&scene), "Check Stop InstallPack Key Start Verify");
        scene.member = Some(Role::Secondary);
        assert_eq!(due(&scene), "Check Key Verify");
        scene.key_is_right = true;
        assert_eq!(due(&scene), "Check Verify");
        scene.is_alive = true;
        assert_eq!(due(&scene), "Check");
        scene.database_runs = false;
        assert_eq!(due(&scene), "Check Start Verify");
        scene.cut_off = Some(Command::InstallPack);
        assert_eq!(due(&scene), "Check InstallPack Key Start Verify");
    }

    #[test]
    fn every_outline_goes_through_its_steps_in_the_order_of_the_manual() {
        for role in [Role::Primary, Role::Secondary] {
            for bits in 0..128_u32 {
                let bit = |at: u32| bits & (1 << at) != 0;
                let scene = SetupScene {
                    cut_off: bit(0).then_some(Command::Pack),
                    member: bit(1).then_some(role),
                    database_runs: bit(2),
                    wants_another_pack: bit(3),
                    key_is_right: bit(4),
                    is_alive: bit(5),
                    has_peer: bit(6),
                    product_runs: false,
                };
                let all = outline(role, &scene);
                assert!(all.is_sorted_by_key(|item| item.step), "{all:?}");
                assert_eq!(all.first().map(|item| item.step), Some(SetupStep::Check));
                assert_eq!(all.last().map(|item| item.step), Some(SetupStep::Verify));
                // Nothing is done in silence: whatever is due ends with a look at both.
                assert_eq!(
                    next_of(&all).is_none(),
                    all.last().is_some_and(|item| item.state == StepState::Done)
                );
            }
        }
    }

    #[test]
    fn only_what_a_step_cannot_work_with_is_in_the_way() {
        let point = |topic, grade, code| DoctorPoint {
            topic,
            grade,
            code: Some(code),
            what: "it is so".into(),
            evidence: Some("seen".into()),
            hint: Some("Mend it.".into()),
        };
        let points = [
            point(DoctorTopic::Home, Grade::Failed, "home-incomplete"),
            point(DoctorTopic::Home, Grade::Failed, "run-interrupted"),
            point(DoctorTopic::Rights, Grade::Failed, "secret-readable"),
            point(DoctorTopic::Rights, Grade::Failed, "not-writable"),
            point(DoctorTopic::Key, Grade::Failed, "key-of-another"),
            point(DoctorTopic::Pair, Grade::Failed, "secondary-not-connected"),
            point(DoctorTopic::Names, Grade::Warning, "name-slow"),
        ];
        let codes: Vec<&str> = in_the_way(&points).iter().map(|refusal| refusal.code).collect();
        assert_eq!(codes, ["home-incomplete", "not-writable"]);
        assert_eq!(in_the_way(&points)[0].because, "it is so: seen");
    }
}
