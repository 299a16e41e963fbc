//! `teardown`: removes high availability from a node.

use super::{Scene, checks};
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{BootTask, Command, Plan, Step};
use crate::domain::refusal::Refusal;

/// The scene of `teardown`.
#[derive(Debug, Clone)]
pub struct TeardownScene {
    /// The home.
    pub home: Scene,
    /// The start script.
    pub script: ScriptSeen,
    /// The tool's own files outside `conf/pmp-ha`, from the home, but for the journal.
    pub traces: Vec<String>,
    /// Whether there is a journal or a log of the tool.
    pub has_history: bool,
    /// The name of the kept data, beside the data directory.
    pub kept: Option<String>,
    /// Files with rows that a repair or a rejoin has saved, from the home.
    pub saved_rows: Vec<String>,
    /// Whether kept data and saved rows may go.
    pub discard: bool,
    /// The unit of the monitor that serves this home.
    pub unit: Option<String>,
}

/// What the start script is compared with the one before the first pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptSeen {
    /// It is not wired: an upgrade has replaced it, or it never was.
    NotWired,
    /// It is the one before, and wired.
    Wired,
    /// It is wired, and something else has changed in it since.
    Changed,
    /// It is wired, and the one before is gone.
    NothingBefore,
}

const WHAT: &str = "cannot remove high availability from this home";

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &TeardownScene) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    let Some(membership) = &home.membership else { return rest(scene) };
    let mut refusals = checks::home(WHAT, home);
    // Nothing is exchanged.
    refusals.retain(|refusal| refusal.code != "mount-point");
    // The database is booted, and what it cannot write then it cannot write later either.
    refusals.extend(checks::space(WHAT, "the disk of the database", 0, home.free_for_data));
    refusals.extend(what_is_kept(scene));
    if scene.script == ScriptSeen::NothingBefore {
        refusals.push(
            Refusal::new(
                WHAT,
                "pmp-ha has changed bin/startDB.sh, and bin/startDB.sh.before-pmp-ha is missing",
                "Take the script of the same build from another installation, or replace the option that names conf/pmp-ha/mysqld.cnf with --no-defaults.",
            )
            .code("start-script"),
        );
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut steps = vec![
        Step::UnwireStartScript,
        Step::DropNodeFiles,
        Step::OfflineBoot(BootTask::LeavePair { role: membership.role, peer: membership.peer().to_string() }),
    ];
    steps.extend(scene.kept.iter().map(|name| Step::DropKept { name: name.clone() }));
    steps.push(Step::DropTraces { files: traces(scene) });
    Ok(Plan {
        command: Command::Teardown,
        home: home.identity.clone(),
        warnings: warnings(scene, membership),
        // From the boot on, the database knows nothing of the pair any more.
        point_of_no_return: 2,
        steps,
    })
}

/// Removes what a home in no pair still has of the tool: of a pack that was undone, or of a teardown that
/// was killed at its very end.
fn rest(scene: &TeardownScene) -> Result<Plan, Vec<Refusal>> {
    let mut refusals = checks::not_writable(WHAT, &scene.home);
    refusals.extend(what_is_kept(scene));
    let files = traces(scene);
    if files.is_empty() && !scene.has_history && scene.kept.is_none() {
        refusals.push(
            Refusal::new(
                WHAT,
                "this home belongs to no pair, and has no file of pmp-ha",
                "There is nothing to do.",
            )
            .code("not-paired"),
        );
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut steps: Vec<Step> = scene.kept.iter().map(|name| Step::DropKept { name: name.clone() }).collect();
    steps.push(Step::DropTraces { files });
    Ok(Plan {
        command: Command::Teardown,
        home: scene.home.identity.clone(),
        warnings: vec![HISTORY.to_owned()],
        point_of_no_return: 0,
        steps,
    })
}

fn traces(scene: &TeardownScene) -> Vec<String> {
    let saved = if scene.discard { scene.saved_rows.as_slice() } else { &[] };
    scene.traces.iter().chain(saved).cloned().collect()
}

/// Refuses to remove data that somebody may still want.
fn what_is_kept(scene: &TeardownScene) -> Vec<Refusal> {
    if scene.discard {
        return Vec::new();
    }
    let kept = scene.kept.iter().map(|name| {
        Refusal::new(
            WHAT,
            format!("mysql/{name} contains the data that this home had before"),
            "`pmp-ha rollback` returns to them. `pmp-ha teardown --discard-kept` removes them.",
        )
        .code("kept-state")
    });
    let rows = scene.saved_rows.iter().map(|file| {
        Refusal::new(
            WHAT,
            format!("{file} contains rows that were saved before they were changed"),
            "Move the file elsewhere, or pass --discard-kept to remove it.",
        )
        .code("kept-state")
    });
    kept.chain(rows).collect()
}

const HISTORY: &str = "the journal and the log of pmp-ha are deleted as well: `pmp-ha history` and `pmp-ha events` then list nothing";

fn warnings(scene: &TeardownScene, membership: &Membership) -> Vec<String> {
    let peer = membership.peer().to_string();
    let mut out = vec![for_the_other_node(membership.role, &peer), HISTORY.to_owned()];
    if membership.role == Role::Secondary {
        out.push(format!("audit rows that {peer} has not received yet stay only here"));
        out.push(
            "this home keeps a complete copy of the vault, and conf/manage_key.conf keeps the path of its key: if nobody needs them, remove the installation"
                .to_owned(),
        );
    } else {
        out.push(format!("audit rows that {peer} has not sent yet stay there"));
    }
    if scene.script == ScriptSeen::Changed {
        out.push(
            "bin/startDB.sh was changed after the first pack: those changes are lost, because bin/startDB.sh.before-pmp-ha replaces it"
                .to_owned(),
        );
    }
    if let Some(unit) = &scene.unit {
        out.push(format!("{unit} watches this home: run `pmp-ha monitor --uninstall` as root"));
    }
    out
}

/// Returns the role in which a node has left its pair, and what that means for the other one.
#[must_use]
pub fn left_as(plan: &Plan) -> Option<(Role, String)> {
    plan.steps.iter().find_map(|step| match step {
        Step::OfflineBoot(BootTask::LeavePair { role, peer }) => {
            Some((*role, for_the_other_node(*role, peer)))
        }
        _ => None,
    })
}

/// Returns what to do with this home afterwards.
#[must_use]
pub const fn next(role: Role) -> &'static str {
    match role {
        Role::Primary => "start Password Manager Pro with its own service",
        Role::Secondary => {
            "leave Password Manager Pro stopped here, otherwise both installations serve the vault. Remove the installation if you need no copy"
        }
    }
}

/// Returns what the teardown of a node means for the other one.
fn for_the_other_node(role: Role, peer: &str) -> String {
    match role {
        Role::Primary => format!(
            "{peer} keeps its copy of the vault, and no longer replicates. Run `pmp-ha teardown` there as well, or `pmp-ha recover --promote` if it should become the primary"
        ),
        Role::Secondary => format!(
            "{peer} continues to serve, and keeps its binlogs for a secondary that is gone: its disk fills. Run `pmp-ha teardown` there as well, or make a new pack for another secondary"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pair::Pair;
    use crate::domain::procedures::examples::home;

    fn scene(role: Role, change: impl FnOnce(&mut TeardownScene)) -> TeardownScene {
        let mut home = home(role);
        let pair = Pair::example();
        home.membership = Some(Membership { format: 1, role, key_fingerprint: None, pair });
        let mut scene = TeardownScene {
            home,
            script: ScriptSeen::Wired,
            traces: vec!["replication/HAPack.zip".into()],
            has_history: true,
            kept: None,
            saved_rows: vec![],
            discard: false,
            unit: None,
        };
        change(&mut scene);
        scene
    }

    fn refused(change: impl FnOnce(&mut TeardownScene)) -> Vec<&'static str> {
        let refusals = plan(&scene(Role::Primary, change)).expect_err("a refusal");
        refusals.iter().map(|refusal| refusal.code).collect()
    }

    #[test]
    fn files_go_first_because_they_come_back_and_the_database_last() {
        for role in [Role::Primary, Role::Secondary] {
            let plan = plan(&scene(role, |_| {})).expect("a plan");
            assert_eq!(plan.steps[..2], [Step::UnwireStartScript, Step::DropNodeFiles]);
            let last = &plan.steps[plan.point_of_no_return];
            assert!(matches!(last, Step::OfflineBoot(BootTask::LeavePair { role: it, .. }) if *it == role));
            let files = vec!["replication/HAPack.zip".into()];
            assert_eq!(plan.steps[3..], [Step::DropTraces { files }]);
            // Whoever finishes it later hears what it means as well.
            let (left, means) = left_as(&plan).expect("it leaves a pair");
            assert_eq!((left, plan.to_string().contains(&means)), (role, true));
        }
    }

    #[test]
    fn the_plan_says_what_it_means_for_the_other_node() {
        let of = |role| plan(&scene(role, |_| {})).expect("a plan").to_string();
        assert!(of(Role::Primary).contains("no longer replicates"), "{}", of(Role::Primary));
        assert!(of(Role::Secondary).contains("its disk fills"), "{}", of(Role::Secondary));
        assert!(of(Role::Secondary).contains("a complete copy of the vault"));
    }

    #[test]
    fn nothing_goes_that_somebody_may_still_want() {
        assert_eq!(refused(|s| s.kept = Some("data.before-x".into())), ["kept-state"]);
        assert_eq!(refused(|s| s.saved_rows = vec!["replication/r.sql".into()]), ["kept-state"]);
        let discards = scene(Role::Secondary, |s| {
            (s.kept, s.saved_rows, s.discard) =
                (Some("data.before-x".into()), vec!["replication/r.sql".into()], true);
        });
        let plan = plan(&discards).expect("a plan");
        assert_eq!(plan.steps[3], Step::DropKept { name: "data.before-x".into() });
        let files = vec!["replication/HAPack.zip".into(), "replication/r.sql".into()];
        assert_eq!(plan.steps[4..], [Step::DropTraces { files }]);
    }

    #[test]
    fn a_home_in_use_or_without_its_script_is_refused() {
        assert_eq!(refused(|s| s.home.running = vec!["it runs".into()]), ["home-in-use"]);
        assert_eq!(refused(|s| s.script = ScriptSeen::NothingBefore), ["start-script"]);
        assert_eq!(refused(|s| s.home.free_for_data = 1 << 20), ["no-space"]);
        assert!(plan(&scene(Role::Primary, |s| s.script = ScriptSeen::NotWired)).is_ok());
        assert!(plan(&scene(Role::Primary, |s| s.home.data_is_mount_point = true)).is_ok());
    }

    #[test]
    fn in_no_pair_only_what_is_left_goes() {
        let left = scene(Role::Primary, |s| s.home.membership = None);
        let plan_of = plan(&left).expect("a plan");
        assert_eq!(plan_of.steps, [Step::DropTraces { files: vec!["replication/HAPack.zip".into()] }]);
        let nothing = refused(|s| {
            (s.home.membership, s.has_history) = (None, false);
            s.traces.clear();
        });
        assert_eq!(nothing, ["not-paired"]);
    }
}
