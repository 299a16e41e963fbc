//! `rollback`: return a home to its kept state.

use super::{Scene, checks};
use crate::domain::datafiles::Layout;
use crate::domain::kept::Kept;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{Command, Plan, Step};
use crate::domain::refusal::Refusal;

/// The kept state and the condition of its data.
#[derive(Debug, Clone)]
pub struct KeptState {
    /// Its description.
    pub kept: Kept,
    /// The layout of its data; `None` if they are missing, or their layout is unknown.
    pub layout: Option<Layout>,
    /// Essential files that its data lack.
    pub missing: Vec<String>,
    /// What the home was in a pair then.
    pub membership: Option<Membership>,
    /// Whether the other node would still answer it.
    pub could_ask: bool,
}

/// The scene of `rollback`.
#[derive(Debug, Clone)]
pub struct RollbackScene {
    /// The home.
    pub home: Scene,
    /// What it can return to, if anything.
    pub kept: Option<KeptState>,
    /// The name under which the current data are kept.
    pub current_name: String,
}

const WHAT: &str = "cannot roll back";

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &RollbackScene) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    // A home whose own data are broken may go back all the same.
    let mut refusals = checks::running(WHAT, home);
    refusals.extend(checks::not_writable(WHAT, home));
    refusals.extend(checks::mount_point(WHAT, home));
    if home.missing.iter().any(|path| path == "mysql/data") {
        refusals.push(
            Refusal::new(
                WHAT,
                "the home has no folder mysql/data to exchange",
                "Create an empty folder mysql/data, then try again.",
            )
            .code("data-incomplete"),
        );
    }
    let Some(state) = &scene.kept else {
        refusals.push(Refusal::new(
            WHAT,
            "there is no earlier state to return to: this home has no kept state",
            "Only `install-pack` (with --keep, or on a home that was in a pair) and `rejoin --pack` keep a state.",
        ).code("nothing-kept"));
        return Err(refusals);
    };
    refusals.extend(kept(home, state));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let name = &state.kept.data;
    let mut warnings = vec![
        "rows that were written only here since then are not in the kept data; they stay in the data that are kept now"
            .into(),
    ];
    warnings.push(if state.kept.of_a_pair {
        "what another secondary has sent to the primary since then may be missing here: start both nodes, then run `pmp-ha repair` on the secondary"
            .into()
    } else {
        "the home then belongs to no pair: to make it a node, install a pack again".into()
    });
    let steps = vec![
        Step::SwapKept { name: name.clone() },
        Step::RestoreKept,
        Step::KeepHome {
            from: Some(name.clone()),
            name: scene.current_name.clone(),
            then: "it was rolled back".into(),
        },
    ];
    Ok(Plan {
        command: Command::Rollback,
        home: home.identity.clone(),
        warnings,
        point_of_no_return: steps.len() - 1,
        steps,
    })
}

/// Returns what is wrong with the kept state.
fn kept(home: &Scene, state: &KeptState) -> Option<Refusal> {
    let name = &state.kept.data;
    if state.layout.is_none() {
        return Some(
            Refusal::new(
                WHAT,
                format!("mysql/{name} is not there, or contains no known data"),
                "The kept data were moved or removed: put them back.",
            )
            .code("keep-behind"),
        );
    }
    if !state.missing.is_empty() {
        return Some(
            Refusal::new(
                WHAT,
                format!(
                    "the kept data are incomplete: {} is missing in mysql/{name}",
                    state.missing.join(", ")
                ),
                "The kept data were changed: put back what is missing.",
            )
            .code("keep-behind"),
        );
    }
    let replaced = replaced(home, state);
    if matches!(replaced, Replaced::Perhaps) {
        return Some(
            Refusal::new(
                WHAT,
                "the kept state is the primary of another pair, and this home does not know whether it was replaced there: it could serve as a second primary",
                "Keep the present state. If no other node serves, make this one the primary: `pmp-ha recover --promote`, or `pmp-ha pack` for a new pair.",
            )
            .code("kept-primary-unknown"),
        );
    }
    if matches!(replaced, Replaced::InThisPair) && !state.could_ask {
        return Some(
            Refusal::new(
                WHAT,
                "the kept state is a primary that was replaced, with secrets that are no longer valid: it could not ask the other node, and would serve as a second primary",
                "Keep the present state. If the other node is lost, run `pmp-ha recover --promote` here.",
            )
            .code("kept-primary-replaced"),
        );
    }
    let other =
        matches!((&state.kept.fingerprint, &home.fingerprint), (Some(then), Some(now)) if then != now);
    other.then(|| {
        Refusal::new(
            WHAT,
            "the installation has another build than the kept data",
            "Restore the build that they were kept with; another one may damage them.",
        )
        .code("different-builds")
    })
}

/// Whether the kept state is a primary whose place another node may have taken since.
enum Replaced {
    No,
    /// By this pair, in a later epoch.
    InThisPair,
    /// This home does not know it: it belongs to another pair by now, or to none.
    Perhaps,
}

fn replaced(home: &Scene, state: &KeptState) -> Replaced {
    let Some(then) = state.membership.as_ref().filter(|then| then.role == Role::Primary) else {
        return Replaced::No;
    };
    match &home.membership {
        Some(now) if then.pair.id != now.pair.id => Replaced::Perhaps,
        Some(now) if then.pair.claim().epoch < now.pair.claim().epoch => Replaced::InThisPair,
        Some(_) => Replaced::No,
        None => Replaced::Perhaps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Sha256Hex;
    use crate::domain::manifest::Fingerprint;
    use crate::domain::pair::{Claim, Pair};
    use crate::domain::procedures::examples::{fingerprint, home};

    fn scene() -> RollbackScene {
        RollbackScene {
            home: home(Role::Secondary),
            kept: Some(KeptState {
                kept: Kept {
                    format: Kept::FORMAT,
                    data: "data.before-p".into(),
                    until: "2026-01-01T00:00:00Z".into(),
                    then: "the pack p was installed".into(),
                    of_a_pair: false,
                    fingerprint: Some(fingerprint()),
                },
                layout: Some(Layout::MySql5),
                missing: vec![],
                membership: None,
                could_ask: true,
            }),
            current_name: "data.rolled-back".into(),
        }
    }

    #[test]
    fn what_is_in_use_becomes_what_is_kept() {
        let plan = plan(&scene()).expect("a plan");
        assert_eq!(plan.steps[0], Step::SwapKept { name: "data.before-p".into() });
        assert_eq!(
            plan.steps[plan.point_of_no_return..],
            [Step::KeepHome {
                from: Some("data.before-p".into()),
                name: "data.rolled-back".into(),
                then: "it was rolled back".into()
            }]
        );
    }

    #[test]
    fn goes_back_only_to_whole_data_of_this_build_and_never_under_a_database_that_runs() {
        let refusals = |change: &dyn Fn(&mut RollbackScene)| {
            let mut scene = scene();
            change(&mut scene);
            plan(&scene).expect_err("a refusal").remove(0).because
        };
        assert!(refusals(&|s| s.kept = None).contains("no earlier state to return to"));
        assert!(refusals(&|s| s.home.running = vec!["the database runs".into()]).contains("runs"));
        let other = Fingerprint { product: Sha256Hex::from_bytes([9; 32]), ..fingerprint() };
        assert!(refusals(&|s| s.home.fingerprint = Some(other.clone())).contains("another build"));
        assert!(refusals(&|s| s.kept.as_mut().expect("kept").layout = None).contains("is not there"));
        let lacks = |s: &mut RollbackScene| s.kept.as_mut().expect("kept").missing = vec!["ibdata1".into()];
        assert!(refusals(&lacks).contains("ibdata1 is missing"));
    }

    #[test]
    fn a_primary_that_was_replaced_comes_back_only_if_it_can_ask() {
        let refused = |role: Role, epoch: u64, id: &str, could_ask: bool| {
            let mut scene = scene();
            let of_this_pair = Membership { format: 1, role, key_fingerprint: None, pair: Pair::example() };
            let mut then = of_this_pair.changed_to(role, Claim::by_promotion(epoch));
            then.pair.id = id.into();
            let now = of_this_pair.changed_to(Role::Secondary, Claim::by_promotion(3));
            scene.home.membership = Some(now);
            let kept = scene.kept.as_mut().expect("kept");
            (kept.membership, kept.could_ask) = (Some(then), could_ask);
            plan(&scene).err().map(|refusals| refusals[0].because.clone())
        };
        let id = Pair::example().id;
        assert!(refused(Role::Primary, 1, &id, false).is_some_and(|why| why.contains("was replaced")));
        assert_eq!(refused(Role::Primary, 1, &id, true), None);
        assert_eq!(refused(Role::Secondary, 1, &id, false), None);
        assert_eq!(refused(Role::Primary, 3, &id, false), None);
        // Of another pair, and of a home that has left its pair, nobody knows it.
        let unknown = |id: &str| refused(Role::Primary, 3, id, true);
        assert!(unknown("another").is_some_and(|why| why.contains("another pair")));
        let mut left = scene();
        left.home.membership = None;
        let kept = left.kept.as_mut().expect("kept");
        kept.membership =
            Some(Membership { format: 1, role: Role::Primary, key_fingerprint: None, pair: Pair::example() });
        assert_eq!(plan(&left).expect_err("refused")[0].code, "kept-primary-unknown");
    }

    #[test]
    fn a_home_whose_own_data_are_broken_goes_back() {
        let mut broken = scene();
        broken.home.missing = vec!["mysql/data/ibdata1".into()];
        broken.home.layout = None;
        assert!(plan(&broken).is_ok());
    }
}
