//! `rollback`: back to what a home was before a pack was installed in it.

use super::{Scene, checks};
use crate::domain::datafiles::Layout;
use crate::domain::kept::Kept;
use crate::domain::plan::{Command, Plan, Step};
use crate::domain::refusal::Refusal;

/// The kept state as it was seen.
#[derive(Debug, Clone)]
pub struct KeptState {
    /// The note on it.
    pub kept: Kept,
    /// The shape of its data; `None` where they are not there, or of no shape that is known.
    pub layout: Option<Layout>,
    /// Essential files of its data that are not there.
    pub missing: Vec<String>,
}

/// What `rollback` looks at.
#[derive(Debug, Clone)]
pub struct RollbackScene {
    /// The home.
    pub home: Scene,
    /// What it can return to, if anything.
    pub kept: Option<KeptState>,
    /// The name under which what is in use now is kept.
    pub current_name: String,
}

const WHAT: &str = "cannot go back";

/// Decides.
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
        refusals.push(Refusal::new(
            WHAT,
            "the home has no folder mysql/data to exchange",
            "Make an empty folder mysql/data, then try again.",
        ));
    }
    let Some(state) = &scene.kept else {
        refusals.push(Refusal::new(
            WHAT,
            "there is nothing to go back to: nothing is kept in this home",
            "Only `install-pack --keep` and `rejoin --pack` keep what a home was before.",
        ));
        return Err(refusals);
    };
    refusals.extend(kept(home, state));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let name = &state.kept.data;
    let mut warnings = vec![
        "rows that were written only here since then are not in the kept data; they stay in what is kept now"
            .into(),
    ];
    warnings.push(if state.kept.of_a_pair {
        "a pack that was made since then turns this older node away: then install the new one again".into()
    } else {
        "the home was no node of a pair: to make it one, install a pack again".into()
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

/// What is wrong with the kept state.
fn kept(home: &Scene, state: &KeptState) -> Option<Refusal> {
    let name = &state.kept.data;
    if state.layout.is_none() {
        return Some(Refusal::new(
            WHAT,
            format!("mysql/{name} is not there, or holds no data that are known"),
            "The kept data were moved or removed: put them back there.",
        ));
    }
    if !state.missing.is_empty() {
        return Some(Refusal::new(
            WHAT,
            format!("the kept data are not whole: {} is missing in mysql/{name}", state.missing.join(", ")),
            "The kept data were changed: put back what is missing.",
        ));
    }
    let other =
        matches!((&state.kept.fingerprint, &home.fingerprint), (Some(then), Some(now)) if then != now);
    other.then(|| {
        Refusal::new(
            WHAT,
            "the installation is of another build than the kept data",
            "Put the build back that they were kept with; another one may spoil them.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Sha256Hex;
    use crate::domain::manifest::Fingerprint;
    use crate::domain::pair::Role;
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
        assert!(refusals(&|s| s.kept = None).contains("nothing to go back to"));
        assert!(refusals(&|s| s.home.running = vec!["the database runs".into()]).contains("runs"));
        let other = Fingerprint { product: Sha256Hex::from_bytes([9; 32]), ..fingerprint() };
        assert!(refusals(&|s| s.home.fingerprint = Some(other.clone())).contains("another build"));
        assert!(refusals(&|s| s.kept.as_mut().expect("kept").layout = None).contains("is not there"));
        let lacks = |s: &mut RollbackScene| s.kept.as_mut().expect("kept").missing = vec!["ibdata1".into()];
        assert!(refusals(&lacks).contains("ibdata1 is missing"));
    }

    #[test]
    fn a_home_whose_own_data_are_broken_goes_back() {
        let mut broken = scene();
        broken.home.missing = vec!["mysql/data/ibdata1".into()];
        broken.home.layout = None;
        assert!(plan(&broken).is_ok());
    }
}
