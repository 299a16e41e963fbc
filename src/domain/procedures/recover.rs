//! `recover --into`: from the data of a node to a new primary in a fresh installation.

use super::repair::Applier;
use super::{Scene, checks};
use crate::domain::datafiles::{FileClass, Layout, classify};
use crate::domain::flavor::Flavor;
use crate::domain::manifest::Fingerprint;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{BootTask, Command, CopyWay, KeyCheck, Plan, Step};
use crate::domain::refusal::Refusal;
use crate::domain::settings::OWN_SCHEMA;

/// The source of the data: a node's home, a copy of it, or a copy of its data alone.
#[derive(Debug, Clone)]
pub struct Source {
    /// Full path of the home, or of the folder that is a copy of its data.
    pub place: String,
    /// Full path of its data directory.
    pub data_path: String,
    /// Whether a process uses it.
    pub activity: Activity,
    /// The layout of its data directory.
    pub layout: Option<Layout>,
    /// How many files a copy takes, and their bytes.
    pub to_copy: (usize, u64),
    /// Its entries that are neither files nor folders.
    pub odd_data: Vec<String>,
    /// Essential files that are not there.
    pub missing: Vec<String>,
    /// The hashes that identify its build; `None` if the files are missing.
    pub fingerprint: Option<Fingerprint>,
    /// What it knows about its pair; `None` if only the data can tell.
    pub membership: Option<Membership>,
    /// Whether the data have the schema that only those of a pair have.
    pub of_a_pair: bool,
    /// Files that this account cannot read.
    pub unreadable: Vec<String>,
    /// Whether the operator named it, as a lost primary's own disk must be.
    pub is_named: bool,
}

impl Source {
    /// What it knows about its pair, if it was the primary of it.
    fn primary(&self) -> Option<&Membership> {
        self.membership.as_ref().filter(|membership| membership.role == Role::Primary)
    }
}

/// Whether a process uses the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// Nobody.
    AtRest,
    /// A database that can be copied while it runs.
    Live(LiveSource),
    /// A process, so that they cannot be copied, with the evidence.
    Taken(Vec<String>),
}

/// What was read of a running secondary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSource {
    /// How it can be copied.
    pub way: CopyWay,
    /// Its applier; `None` if it has no source.
    pub applier: Option<Applier>,
    /// Whether its receiver is connected to the primary.
    pub is_connected: bool,
}

/// The scene of `recover --into`.
#[derive(Debug, Clone)]
pub struct RecoverScene {
    /// The source of the data.
    pub source: Source,
    /// The fresh installation.
    pub target: Scene,
    /// Full path of the original encryption key, checked.
    pub key: String,
    /// The query that checks the key against the data; empty if there is none.
    pub key_query: String,
    /// Whether the operator gave the database password in a file.
    pub password_given: bool,
    /// Whether the operator accepts that received transactions may be lost.
    pub accept_loss: bool,
    /// The name under which the target's old data are kept.
    pub old_data_name: String,
}

const WHAT: &str = "cannot recover";

/// Returns whether a recovery copies this file: all except the old server's own files.
///
/// A crashed server needs its binlogs for a clean stop, and the relay logs hold what was received.
#[must_use]
pub fn is_copied(path: &str) -> bool {
    classify(path) != FileClass::Own
}

/// Returns whether a copy of a running database takes this file.
#[must_use]
pub fn is_copied_live(path: &str) -> bool {
    classify(path) == FileClass::Data
}

/// Files that an installation may lack if it was never started. The recovery brings them.
fn is_brought(path: &str) -> bool {
    path.starts_with("mysql/data/") || ["conf/manage_key.conf", "conf/serverstate.conf"].contains(&path)
}

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &RecoverScene) -> Result<Plan, Vec<Refusal>> {
    let (source, target) = (&scene.source, &scene.target);
    let mut fresh = target.clone();
    fresh.missing.retain(|path| !is_brought(path));
    // Its own data, if there are any, are set aside: what counts is what its server writes.
    let row = target.server.as_ref().ok().and_then(Flavor::of);
    fresh.layout = row.map(|row| row.layout).or(target.layout);
    let mut refusals = from(source);
    refusals.extend(checks::home(WHAT, &fresh));
    refusals.extend(not_fresh(source, &fresh));
    refusals.extend(checks::password(WHAT, target, scene.password_given));
    refusals.extend(checks::space(
        WHAT,
        "the filesystem of the new home",
        source.to_copy.1,
        target.free_for_data,
    ));
    let (Ok(params), true) = (&target.params, refusals.is_empty()) else {
        return Err(refusals);
    };
    let (files, bytes) = source.to_copy;
    let (copy, copied) = match &source.activity {
        Activity::Live(live) => {
            let (from, way) = (source.place.clone(), live.way.clone());
            (Step::CopyLive { from, way: way.clone(), files, bytes }, Some(way))
        }
        Activity::AtRest | Activity::Taken(_) => {
            (Step::CopyData { from: source.data_path.clone(), files, bytes }, None)
        }
    };
    let key_check = (!scene.key_query.trim().is_empty())
        .then(|| KeyCheck { key: scene.key.clone(), query: scene.key_query.clone() });
    let steps = vec![
        copy,
        Step::SwapData,
        Step::OfflineBoot(BootTask::StandAlone {
            account: params.username.clone(),
            accept_loss: scene.accept_loss,
            copied,
            unnamed: source.membership.is_none(),
            primary: source.primary().cloned().map(Box::new),
            key_check,
        }),
        Step::WriteRole { role: Role::Primary, word: None },
        Step::WriteKeyPath { key: scene.key.clone() },
        Step::ProveStart,
        Step::KeepOldData { name: scene.old_data_name.clone() },
    ];
    Ok(Plan {
        command: Command::Recover,
        home: target.identity.clone(),
        warnings: warnings(scene),
        point_of_no_return: steps.len() - 1,
        steps,
    })
}

/// Returns why the target cannot take a secondary's data.
fn not_fresh(source: &Source, target: &Scene) -> Vec<Refusal> {
    let mut out = Vec::new();
    if source.place == target.identity.path {
        out.push(
            Refusal::new(
                WHAT,
                "the new home is the home with the data",
                "Name a fresh installation with --into.",
            )
            .code("same-home"),
        );
    }
    if target.membership.is_some() {
        out.push(
            Refusal::new(
                WHAT,
                format!("{} already belongs to a pair: it has conf/pmp-ha/pair.toml", target.identity.path),
                "Name a fresh installation with --into.",
            )
            .code("target-in-pair"),
        );
    }
    if let (Some(a), Some(b)) = (source.layout, target.layout)
        && a != b
    {
        out.push(
            Refusal::new(
                WHAT,
                format!("the data have the layout {a:?}, but the new installation's server writes {b:?}"),
                "The fresh installation must have the same version as the secondary.",
            )
            .code("data-of-another-server"),
        );
    }
    if let (Some(a), Some(b)) = (&source.fingerprint, &target.fingerprint)
        && a != b
    {
        out.push(
            Refusal::new(
                WHAT,
                "the two homes have different builds of the product",
                "The fresh installation must have the same version as the secondary.",
            )
            .code("different-builds"),
        );
    }
    out
}

fn warnings(scene: &RecoverScene) -> Vec<String> {
    let source = &scene.source;
    let mut out: Vec<String> = checks::unproved(&scene.target).into_iter().collect();
    if source.fingerprint.is_none() {
        out.push("could not check that the data and the new home have the same build: the product's files are not next to the data".into());
    }
    if let Some(primary) = source.primary() {
        let peer = &primary.peer().host;
        out.push(format!("these are the data of {}, the primary in epoch {}. If {peer} was promoted since then, its data are newer: recover from them, or rejoin this node", primary.this().host, primary.pair.epoch));
        out.push(format!(
            "{peer} does not replicate from the new home. Stop it, and set up a new pair from the new home"
        ));
    }
    match &source.activity {
        Activity::Live(live) if live.is_connected => out.push("the secondary is still connected to its primary: what the primary writes from now on is not in the new home. Stop the primary for good before you start the new home".into()),
        Activity::AtRest if scene.accept_loss => out.push(
            "if something that the secondary had received cannot be applied, the rest of it is lost".into(),
        ),
        _ => {}
    }
    out
}

fn from(source: &Source) -> Vec<Refusal> {
    let mut out = Vec::new();
    match &source.activity {
        Activity::Taken(evidence) => out.extend(evidence.iter().map(|evidence| {
            Refusal::new(
                WHAT,
                format!("the source of the data is in use: {evidence}"),
                "Stop it first: `pmp-ha stop`. Only the whole home of a secondary can be copied while its database runs.",
            ).code("source-in-use")
        })),
        Activity::Live(LiveSource { applier: Some(Applier::Stopped | Applier::Failed(_)), .. }) => out.push(Refusal::new(
            WHAT,
            "the running secondary does not apply what it has received; `pmp-ha verify` there shows why",
            "Stop its database (`pmp-ha stop`), then recover again. pmp-ha then applies as much as possible to the copy.",
        ).code("not-applying")),
        Activity::Live(_) | Activity::AtRest => {}
    }
    if source.membership.is_none() && !source.of_a_pair {
        out.push(
            Refusal::new(
                WHAT,
                format!("{} is not a node of a pair: its data have no schema {OWN_SCHEMA}", source.place),
                "Name the secondary's home, a copy of it, or a copy of its folder mysql with --from.",
            )
            .code("source-not-a-node"),
        );
    }
    if source.primary().is_some() && !source.is_named {
        out.push(
            Refusal::new(
                WHAT,
                format!("{} is the primary of its pair, not the secondary", source.place),
                "Name the secondary's home with --from. If this is the lost primary's own disk and you want its data, name it with --from.",
            )
            .code("is-primary"),
        );
    }
    if source.layout.is_none() || !source.missing.is_empty() {
        out.push(
            Refusal::new(
                WHAT,
                if source.missing.is_empty() {
                    "the data have an unknown version".to_owned()
                } else {
                    format!(
                        "the data are incomplete: {} is missing in {}",
                        source.missing.join(", "),
                        source.data_path
                    )
                },
                "The whole folder mysql/data is needed, not only ibdata1 and passtrix.",
            )
            .code("data-incomplete"),
        );
    }
    for odd in &source.odd_data {
        out.push(
            Refusal::new(
                WHAT,
                format!("the data directory contains {odd}"),
                "Move the data it points to into mysql/data.",
            )
            .code("data-linked"),
        );
    }
    for path in &source.unreadable {
        out.push(
            Refusal::new(
                WHAT,
                format!("cannot read {path}"),
                "Run the command as the account that owns the data.",
            )
            .code("data-unreadable"),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pair::Pair;
    use crate::domain::procedures::examples::{fingerprint, home};

    fn scene(change: impl FnOnce(&mut RecoverScene)) -> Result<Plan, Vec<Refusal>> {
        let membership =
            Membership { format: 1, role: Role::Secondary, key_fingerprint: None, pair: Pair::example() };
        let source = Source {
            place: "/old".into(),
            data_path: "/old/mysql/data".into(),
            activity: Activity::AtRest,
            layout: Some(Layout::MySql5),
            to_copy: (2, 1010),
            odd_data: vec![],
            missing: vec![],
            fingerprint: Some(fingerprint()),
            membership: Some(membership),
            of_a_pair: true,
            unreadable: vec![],
            is_named: false,
        };
        let mut scene = RecoverScene {
            source,
            target: home(Role::Primary),
            key: "/key".into(),
            key_query: String::new(),
            password_given: false,
            accept_loss: false,
            old_data_name: "old".into(),
        };
        change(&mut scene);
        plan(&scene)
    }

    fn live(applier: Applier) -> Activity {
        Activity::Live(LiveSource { way: CopyWay::Lock, applier: Some(applier), is_connected: false })
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut RecoverScene), because: &str) {
        let refusals = scene(change).expect_err("a refusal");
        assert!(refusals.iter().any(|refusal| refusal.because.contains(because)), "{refusals:?}");
    }

    #[test]
    fn a_running_secondary_is_copied_as_soon_as_it_has_applied_everything() {
        let plan = scene(|scene| scene.source.activity = live(Applier::Runs)).expect("a plan");
        assert!(matches!(plan.steps[0], Step::CopyLive { .. }), "{plan}");
        assert!(!plan.steps[2].to_string().contains("apply what was received"), "{plan}");
        for applier in [Applier::Stopped, Applier::Failed(1062)] {
            refused(|scene| scene.source.activity = live(applier), "does not apply what it has received");
        }
        refused(|scene| scene.source.activity = Activity::Taken(vec!["process 7".into()]), "process 7");
    }

    #[test]
    fn an_installation_that_was_never_started_will_do() {
        let never = |scene: &mut RecoverScene| {
            scene.target.missing = vec!["mysql/data/ibdata1".into(), "conf/manage_key.conf".into()];
            scene.target.layout = None;
        };
        assert!(scene(never).is_ok());
        refused(|scene| scene.target.missing = vec!["bin/startDB.sh".into()], "bin/startDB.sh is missing");
        refused(|scene| scene.source.layout = Some(Layout::MariaDb), "the layout MariaDb");
    }

    #[test]
    fn where_only_the_data_can_tell_they_are_asked_for_a_guard() {
        let bare = |scene: &mut RecoverScene| {
            scene.source.membership = None;
            scene.source.fingerprint = None;
        };
        let plan = scene(bare).expect("a plan");
        assert!(matches!(&plan.steps[2], Step::OfflineBoot(BootTask::StandAlone { unnamed: true, .. })));
        assert!(plan.warnings[0].contains("same build"), "{plan}");
        let foreign = |scene: &mut RecoverScene| {
            scene.source.membership = None;
            scene.source.of_a_pair = false;
        };
        refused(foreign, "is not a node of a pair");
    }

    #[test]
    fn a_primary_s_own_disk_is_a_source_if_it_is_named() {
        let primary = |scene: &mut RecoverScene| {
            scene.source.membership.as_mut().expect("a pair").role = Role::Primary;
            scene.source.is_named = true;
        };
        let plan = scene(primary).expect("a plan");
        let Step::OfflineBoot(BootTask::StandAlone { primary: Some(kept), unnamed: false, .. }) =
            &plan.steps[2]
        else {
            panic!("{plan}")
        };
        assert_eq!(kept.role, Role::Primary);
        assert!(plan.warnings[0].contains("n1, the primary in epoch 1. If n2 was promoted"), "{plan}");
        refused(
            |scene| {
                primary(scene);
                scene.source.is_named = false;
            },
            "is the primary of its pair",
        );
        refused(
            |scene| {
                primary(scene);
                scene.source.activity = Activity::Taken(vec!["process 7".into()]);
            },
            "process 7",
        );
    }

    #[test]
    fn the_plan_names_the_key_and_the_query_without_the_key_in_it() {
        let plan = scene(|scene| scene.key_query = "SELECT {key} = 1".into()).expect("a plan");
        assert!(plan.to_string().contains("ask the data whether /key is their key"), "{plan}");
    }
}
