//! Checks whether a pack fits a home, and plans the steps of its installation.
//!
//! `install-pack` and `rejoin --pack` use it.

use super::{Scene, checks};
use crate::domain::flavor::{Flavor, Positioning};
use crate::domain::kept::Kept;
use crate::domain::manifest::Manifest;
use crate::domain::pair::{Membership, Pair, Role};
use crate::domain::plan::{BootTask, Command, Plan, Step};
use crate::domain::refusal::Refusal;

/// The source of a pack's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Full path of the pack.
    Zip(String),
    /// They were unpacked by hand over the home.
    Unpacked,
}

/// What happens to the data that the pack replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldData {
    /// They are removed.
    Drop,
    /// They are kept under this name, for `rollback`.
    Keep(String),
}

/// A pack that shall come into a home, and the home.
#[derive(Debug, Clone)]
pub struct PackForHome {
    /// The home.
    pub home: Scene,
    /// The manifest of an opened pack. Everything except its content was compared with it.
    pub manifest: Manifest,
    /// Where its files are.
    pub origin: Origin,
    /// What happens to the existing data.
    pub old_data: OldData,
    /// The state that is already kept, if any.
    pub kept: Option<Kept>,
    /// When the installed pack was made, or a later rotation ended; `None` if there was none.
    ///
    /// The time is in the form of RFC 3339.
    pub installed: Option<String>,
    /// Whether the operator accepts a pack that is older than what is installed.
    pub older: bool,
    /// Whether the operator gave the database password in a file.
    pub password_given: bool,
    /// Random: tells what the new server writes from what another one of this node wrote.
    pub history: u32,
    /// Whether the operator says that the port in the pack is forwarded to the database here.
    pub port_is_forwarded: bool,
}

pub(super) const WHAT: &str = "cannot install the pack";

/// Returns every reason why the pack does not fit the home, whatever its role.
pub(super) fn misfits(scene: &PackForHome) -> Vec<Refusal> {
    let (home, manifest) = (&scene.home, &scene.manifest);
    let mut refusals = Vec::new();
    if let Some(version) = home.server.as_ref().ok().filter(|version| **version != manifest.server) {
        refusals.push(
            Refusal::new(
                WHAT,
                format!("the pack contains data of {}, but the server here is {version}", manifest.server),
                "Both installations must be of the same version of the product.",
            )
            .code("pack-other-server"),
        );
    } else {
        refusals.extend(same_product(home, manifest));
    }
    if let Ok(params) = &home.params {
        let node = manifest.pair.node(Role::Secondary);
        if params.port != node.db_port && !scene.port_is_forwarded {
            refusals.push(Refusal::new(
                WHAT,
                format!(
                    "the pack was made for a secondary on port {}, but the database of this home is on {}",
                    node.db_port, params.port
                ),
                format!(
                    "Make the pack again with {}:{} as the second name. If port {} is forwarded to this database, pass --port-is-forwarded.",
                    node.host, params.port, node.db_port
                ),
            ).code("pack-other-port"));
        }
        if params.username != manifest.application_account {
            refusals.push(Refusal::new(
                WHAT,
                format!(
                    "the database account of the primary is '{}', but conf/database_params.conf here names '{}'",
                    manifest.application_account, params.username
                ),
                "Both installations must use the same account name. Write it into conf/database_params.conf.",
            ).code("pack-other-account"));
        }
    }
    refusals.extend(older(scene));
    refusals.extend(checks::other_node(WHAT, home));
    refusals.extend(checks::password(WHAT, home, scene.password_given));
    refusals.extend(checks::space(
        WHAT,
        "the filesystem of mysql/data",
        manifest.total_size(),
        home.free_for_data,
    ));
    refusals
}

/// Returns the steps that make the home the secondary by the pack. Each of them can be undone.
pub(super) fn steps(scene: &PackForHome) -> Vec<Step> {
    let manifest = &scene.manifest;
    vec![
        stage(scene),
        Step::SwapData,
        Step::TakeNodeFiles { membership: membership(scene) },
        Step::WireStartScript,
        Step::OfflineBoot(BootTask::PrepareReplica {
            account: manifest.application_account.clone(),
            from: manifest.coordinates.clone(),
            again: manifest.return_channel_goes_on || was_in_it(scene),
            goes_on: manifest.return_channel_goes_on,
        }),
    ]
}

/// Whether this home was in the pair of the pack.
fn was_in_it(scene: &PackForHome) -> bool {
    scene.home.membership.as_ref().is_some_and(|own| own.pair.id == scene.manifest.pair.id)
}

/// Returns the history of the new server, where its binlogs do not tell it from an earlier one by themselves.
///
/// The first secondary of a primary that finds its place by file and position begins at the place that the
/// primary knows.
fn history(scene: &PackForHome) -> Option<u32> {
    match Flavor::of(&scene.manifest.server)?.positioning {
        Positioning::Gtid => None,
        Positioning::MariaDbGtid => Some(scene.history),
        Positioning::FilePosition => scene.manifest.return_channel_goes_on.then_some(scene.history),
    }
}

/// Returns what the home is by the pack.
pub(super) fn membership(scene: &PackForHome) -> Membership {
    Membership {
        format: Membership::FORMAT,
        role: Role::Secondary,
        key_fingerprint: scene.manifest.key_fingerprint.clone(),
        pair: with_what_is_here(scene),
    }
}

/// Refuses a pack that would turn back the time: the roles, the data and the secrets of the pair.
fn older(scene: &PackForHome) -> Option<Refusal> {
    let pair = &scene.manifest.pair;
    let own = scene.home.membership.as_ref().map(|own| &own.pair).filter(|own| own.id == pair.id);
    let because = match own {
        Some(own) if pair.epoch < own.epoch => {
            format!(
                "it was made in epoch {} of the roles, and this node knows epoch {}",
                pair.epoch, own.epoch
            )
        }
        // A later epoch is later, whatever the clocks say.
        Some(own) if pair.epoch > own.epoch => return None,
        _ => {
            let (made, installed) = (&scene.manifest.made_at, scene.installed.as_ref()?);
            if time(made) >= time(installed) {
                return None;
            }
            format!("it was made at {made}, and what is installed here is of {installed}")
        }
    };
    (!scene.older).then(|| {
        Refusal::new(
            WHAT,
            format!("it is older than what is installed here: {because}"),
            "Make a new pack on the primary. If you want the older data back, or the primary's clock was wrong, pass --older.",
        ).code("pack-older")
    })
}

/// `None` is before every time.
fn time(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok()
}

/// Returns when the installed pack was made, or the secrets were changed since.
///
/// `done` are the finished runs of the journal, newest first, with their ends.
#[must_use]
pub fn installed_last<'a>(done: impl IntoIterator<Item = (&'a str, &'a Plan)>) -> Option<String> {
    done.into_iter().find_map(|(ended, plan)| {
        // What a rotation has ended must not come back with a pack.
        if plan.command == Command::Rotate {
            return Some(ended.to_owned());
        }
        plan.steps.iter().find_map(|step| match step {
            Step::ExtractPack { made_at, .. } | Step::CopyUnpacked { made_at, .. } => Some(made_at.clone()),
            _ => None,
        })
    })
}

/// Returns the step that puts the pack's files into the staging folder.
fn stage(scene: &PackForHome) -> Step {
    let manifest = &scene.manifest;
    let (pack_id, made_at) = (manifest.pack_id.clone(), manifest.made_at.clone());
    let (files, bytes) = (manifest.files.len(), manifest.total_size());
    match &scene.origin {
        Origin::Zip(pack) => Step::ExtractPack { pack: pack.clone(), pack_id, made_at, files, bytes },
        Origin::Unpacked => Step::CopyUnpacked { pack_id, made_at, files, bytes },
    }
}

/// Returns the pack that a plan installs, if any.
#[must_use]
pub fn installs(plan: &Plan) -> Option<&str> {
    plan.steps.iter().find_map(|step| match step {
        Step::ExtractPack { pack_id, .. } | Step::CopyUnpacked { pack_id, .. } => Some(pack_id.as_str()),
        _ => None,
    })
}

/// Returns the steps for the old data, and a warning.
pub(super) fn end(scene: &PackForHome) -> (Vec<Step>, Option<String>) {
    let kept = scene.kept.as_ref();
    match &scene.old_data {
        OldData::Drop => {
            let stays = |kept: &Kept| {
                format!(
                    "mysql/{} stays, and `pmp-ha rollback` returns to it: the home as it was until {}, when {}",
                    kept.data, kept.until, kept.then
                )
            };
            (vec![Step::DropOldData], kept.map(stays))
        }
        OldData::Keep(name) => {
            let then = format!("the pack {} was installed", scene.manifest.pack_id);
            let mut steps = vec![Step::KeepHome { from: None, name: name.clone(), then }];
            steps.extend(kept.map(|kept| Step::DropKept { name: kept.data.clone() }));
            (steps, None)
        }
    }
}

fn same_product(home: &Scene, manifest: &Manifest) -> Option<Refusal> {
    let here = home.fingerprint.as_ref()?;
    let differs = if here.product != manifest.fingerprint.product {
        "lib/AdventNetPassTrix.jar"
    } else if here.server != manifest.fingerprint.server {
        "mysql/bin/mysqld"
    } else {
        return None;
    };
    Some(
        Refusal::new(
            WHAT,
            format!(
                "the pack comes from another build of the product: its {differs} differs from the one here"
            ),
            "Both installations must have the same build: upgrade the older one first.",
        )
        .code("pack-other-build"),
    )
}

fn with_what_is_here(scene: &PackForHome) -> Pair {
    let PackForHome { manifest, home, .. } = scene;
    let mut pair = manifest.pair.clone();
    if home.role == Role::Secondary {
        pair.secondary_word = Some(home.role_word.trim().to_owned());
    }
    for node in &mut pair.nodes {
        if node.number != pair.primary {
            node.history = history(scene);
            node.web_port = home.web_port;
            node.local_port = home.params.as_ref().ok().map(|params| params.port);
        }
    }
    pair
}
