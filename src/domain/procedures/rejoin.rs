//! `rejoin`: an old primary becomes the secondary of the node that replaced it.

use super::{Scene, checks};
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{Command, Plan, Step};
use crate::domain::refusal::Refusal;
use crate::domain::standing::{BinlogPlace, NodeState, Standing, standing};

/// The scene of `rejoin`.
#[derive(Debug, Clone)]
pub struct RejoinScene {
    /// The home of the old primary.
    pub home: Scene,
    /// Whether its database runs.
    pub running: bool,
    /// Evidence that the product itself runs here.
    pub product_runs: Vec<String>,
    /// The role that the other node publishes, or why it is unknown.
    pub other: Result<Option<NodeState>, String>,
    /// The file for rows that only this node has.
    pub file: String,
}

const WHAT: &str = "cannot rejoin";

/// What the old primary must know of the change of roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleChange {
    /// What it becomes.
    pub membership: Membership,
    /// How far the new primary had followed it.
    pub since: Option<BinlogPlace>,
}

/// Judges whether this node was replaced as the primary.
///
/// # Errors
/// Every reason why it was not.
pub fn change(scene: &RejoinScene) -> Result<RoleChange, Vec<Refusal>> {
    let home = &scene.home;
    let mut refusals = checks::running_home(WHAT, home);
    for evidence in &scene.product_runs {
        refusals
            .push(Refusal::new(WHAT, evidence, "Stop Password Manager Pro here first.").code("home-in-use"));
    }
    let Some(own) = &home.membership else {
        refusals.extend(checks::not_paired(WHAT, home));
        return Err(refusals);
    };
    let peer = own.peer().to_string();
    let said = match (&scene.other, own.role) {
        (_, Role::Secondary) => {
            refusals.push(
                Refusal::new(
                    WHAT,
                    format!("this node is already the secondary, in epoch {}", own.pair.epoch),
                    "See `pmp-ha verify`. If it is stopped, `pmp-ha start` is enough.",
                )
                .code("already-secondary"),
            );
            None
        }
        (Err(why), _) => {
            refusals.push(
                Refusal::new(
                    WHAT,
                    format!("cannot ask {peer}: {why}"),
                    "Start it there, and make sure that this node can reach it.",
                )
                .code("cannot-ask-peer"),
            );
            None
        }
        (Ok(None), _) => {
            refusals.push(
                Refusal::new(WHAT, format!("{peer} publishes no role"), "Make a new pack there.")
                    .code("no-role"),
            );
            None
        }
        (Ok(Some(said)), Role::Primary) => Some(said),
    };
    let replaced = said.is_some_and(|said| standing(own, said) != Standing::Holds);
    if let Some(said) = said.filter(|said| !replaced || said.role != Role::Primary) {
        refusals.push(Refusal::new(
            WHAT,
            format!("{peer} has not replaced this node: it is the {} in epoch {}, and this is the primary in epoch {}", said.role, said.epoch, own.pair.epoch),
            "There is nothing to do, unless you first run `pmp-ha recover --promote` there.",
        ).code("not-replaced"));
    }
    let (Some(said), true) = (said, refusals.is_empty()) else { return Err(refusals) };
    let mut membership = own.changed_to(Role::Secondary, said.claim());
    membership.pair.secondary_word = said.secondary_word.clone().or(membership.pair.secondary_word);
    Ok(RoleChange { membership, since: said.followed.clone() })
}

/// Returns the plan for a node that follows with the data it has.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &RejoinScene) -> Result<Plan, Vec<Refusal>> {
    let RoleChange { membership, since } = change(scene)?;
    let home = &scene.home;
    let Some(since) = since else {
        return Err(vec![
            Refusal::new(
                WHAT,
                format!("{} does not know how far it had replicated from this node", membership.peer()),
                "Make a new pack there (`pmp-ha pack`), copy it here, and run `pmp-ha rejoin --pack FILE`.",
            )
            .code("place-unknown"),
        ]);
    };
    let account = home.params.as_ref().map(|params| params.username.clone()).unwrap_or_default();
    let word = membership.pair.secondary_word.clone();
    let mut steps = Vec::new();
    if scene.running {
        steps.push(Step::TakeDown);
    }
    steps.push(Step::FindExtra { since, file: scene.file.clone(), go_on: false });
    let point_of_no_return = steps.len();
    steps.extend(follow(membership, account, word));
    Ok(Plan {
        command: Command::Rejoin,
        home: home.identity.clone(),
        warnings: checks::unproved(home).into_iter().collect(),
        point_of_no_return,
        steps,
    })
}

/// Returns the steps that make a stopped node the secondary with the data it has.
fn follow(membership: Membership, account: String, word: Option<String>) -> Vec<Step> {
    vec![
        Step::SetMembership { membership },
        Step::Reconfigure { account },
        Step::WriteRole { role: Role::Secondary, word },
        Step::BringUp,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pair::{Claim, Pair};
    use crate::domain::procedures::examples::home;

    fn scene(change: impl FnOnce(&mut RejoinScene)) -> RejoinScene {
        let mut home = home(Role::Primary);
        let pair = Pair::example();
        home.membership = Some(Membership { format: 1, role: Role::Primary, key_fingerprint: None, pair });
        let said = NodeState {
            node: 2,
            epoch: 2,
            replaces: 1,
            role: Role::Primary,
            candidate: false,
            secondary_word: Some("slave".into()),
            followed: Some(BinlogPlace { file: "b.000003".into(), position: 77 }),
            heard: None,
        };
        let mut scene = RejoinScene {
            home,
            running: false,
            product_runs: vec![],
            other: Ok(Some(said)),
            file: "/opt/PMP/replication/extra.sql".into(),
        };
        change(&mut scene);
        scene
    }

    fn because(change: impl FnOnce(&mut RejoinScene)) -> Vec<String> {
        plan(&scene(change)).expect_err("a refusal").into_iter().map(|refusal| refusal.because).collect()
    }

    #[test]
    fn an_old_primary_looks_first_and_then_follows() {
        let plan = plan(&scene(|_| {})).expect("a plan");
        assert_eq!(plan.point_of_no_return, 1);
        let Some(Step::SetMembership { membership }) = plan.steps.get(1) else { panic!("{plan}") };
        assert_eq!(
            (membership.role, membership.pair.primary, membership.pair.epoch),
            (Role::Secondary, 2, 2)
        );
        assert!(plan.steps.contains(&Step::WriteRole { role: Role::Secondary, word: Some("slave".into()) }));
        let text = plan.to_string();
        assert!(text.contains("from b.000003:77 in its binlogs"), "{text}");
    }

    #[test]
    fn only_who_was_replaced_rejoins() {
        let not_replaced = |s: &mut RejoinScene| {
            if let Ok(Some(said)) = &mut s.other {
                (said.epoch, said.role) = (1, Role::Secondary);
            }
        };
        assert!(because(not_replaced)[0].contains("has not replaced this node"));
        assert!(
            because(|s| s.other = Err("timed out".into()))[0].contains("cannot ask ")
                && because(|s| s.other = Err("timed out".into()))[0].contains(": timed out")
        );
        let claimed = |s: &mut RejoinScene| {
            if let Ok(Some(said)) = &mut s.other {
                said.role = Role::Secondary;
            }
        };
        assert!(because(claimed)[0].contains("it is the secondary in epoch 2"));
        let secondary = |s: &mut RejoinScene| {
            s.home.membership =
                s.home.membership.as_ref().map(|m| m.changed_to(Role::Secondary, Claim::by_hand_over(1)));
        };
        assert!(because(secondary)[0].contains("is already the secondary"));
        let unknown = |s: &mut RejoinScene| {
            if let Ok(Some(said)) = &mut s.other {
                said.followed = None;
            }
        };
        assert!(because(unknown)[0].contains("does not know how far"));
    }
}
