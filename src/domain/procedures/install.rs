//! `install-pack`: whether a pack fits this home, and the plan to install it.

use super::{Scene, checks};
use crate::domain::kept::Kept;
use crate::domain::manifest::Manifest;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{BootTask, Command, Plan, Step};
use crate::domain::refusal::Refusal;
use crate::domain::standing::BinlogPlace;

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

/// The scene of `install-pack`.
#[derive(Debug, Clone)]
pub struct InstallScene {
    /// The secondary's home.
    pub home: Scene,
    /// The manifest of an opened pack. Everything except its content was compared with it.
    pub manifest: Manifest,
    /// Where its files are.
    pub origin: Origin,
    /// What happens to the existing data.
    pub old_data: OldData,
    /// The state that is already kept, if any.
    pub kept: Option<Kept>,
    /// When the pack was made that was installed here last, RFC 3339; `None` if there was none.
    pub installed: Option<String>,
    /// Whether the operator accepts a pack that is older than what is installed.
    pub older: bool,
    /// Whether the operator gave the database password in a file.
    pub password_given: bool,
    /// Whether the operator says that the port in the pack is forwarded to the database here.
    pub port_is_forwarded: bool,
    /// What an old primary must know of the change of roles, if the pack makes it the secondary.
    pub rejoins: Option<Rejoins>,
}

/// An old primary that becomes the secondary by a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejoins {
    /// The epoch in which the other node is the primary.
    pub epoch: u64,
    /// Whether its database runs.
    pub running: bool,
    /// How far the new primary had followed it, and the file for its rows beyond that.
    pub extra: Option<(BinlogPlace, String)>,
}

const WHAT: &str = "cannot install the pack";

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &InstallScene) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    let manifest = &scene.manifest;
    let mut refusals = match &scene.rejoins {
        Some(rejoins) if rejoins.running => checks::running_home(WHAT, home),
        _ => checks::home(WHAT, home),
    };
    refusals.extend(scene.rejoins.as_ref().and_then(|rejoins| not_of_this_change(scene, rejoins)));
    if scene.rejoins.is_none() && home.missing.is_empty() && home.role != Role::Secondary {
        refusals.push(Refusal::new(
            WHAT,
            format!("this home is a primary: conf/serverstate.conf says '{}'", home.role_word.trim()),
            "Install the pack on the secondary. Here it would overwrite the data it was made from.",
        ));
    }
    if let Some(version) = home.server.as_ref().ok().filter(|version| **version != manifest.server) {
        refusals.push(Refusal::new(
            WHAT,
            format!("the pack holds data of {}, but the server here is {version}", manifest.server),
            "Both installations must be of the same version of the product.",
        ));
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
            ));
        }
        if params.username != manifest.application_account {
            refusals.push(Refusal::new(
                WHAT,
                format!(
                    "the database account of the primary is '{}', but conf/database_params.conf here names '{}'",
                    manifest.application_account, params.username
                ),
                "Both installations must use the same account name. Write it into conf/database_params.conf.",
            ));
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
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let membership = Membership {
        format: Membership::FORMAT,
        role: Role::Secondary,
        key_fingerprint: manifest.key_fingerprint.clone(),
        pair: with_what_is_here(manifest, home),
    };
    let word = membership.pair.secondary_word.clone();
    let mut steps = before_an_old_primary_goes(scene);
    steps.extend([
        stage(scene),
        Step::SwapData,
        Step::TakeNodeFiles { membership },
        Step::WireStartScript,
        Step::OfflineBoot(BootTask::PrepareReplica {
            account: manifest.application_account.clone(),
            from: manifest.coordinates.clone(),
        }),
    ]);
    if scene.rejoins.is_some() {
        steps.push(Step::WriteRole { role: Role::Secondary, word });
    }
    let point_of_no_return = steps.len();
    let mut warnings: Vec<String> = checks::unproved(home).into_iter().collect();
    let (end, warning) = end(scene);
    steps.extend(end);
    warnings.extend(warning);
    if scene.rejoins.is_some() {
        steps.push(Step::BringUp);
    } else if home.membership.is_some() {
        warnings.push(about_an_earlier_pair(scene));
    }
    Ok(Plan {
        command: if scene.rejoins.is_some() { Command::Rejoin } else { Command::InstallPack },
        home: home.identity.clone(),
        warnings,
        point_of_no_return,
        steps,
    })
}

/// Returns the warning about rows that exist only on a home that was in a pair.
///
/// Only a running database could tell how many there are.
fn about_an_earlier_pair(scene: &InstallScene) -> String {
    match (&scene.old_data, &scene.origin) {
        (OldData::Keep(name), _) => format!(
            "this home was in a pair: its old data stay as mysql/{name}, with all rows that exist only here"
        ),
        (OldData::Drop, Origin::Unpacked) => "this home was in a pair: unpacking the pack has overwritten its data, and all rows that existed only here are lost".into(),
        (OldData::Drop, Origin::Zip(_)) => "this home was in a pair: its old data are deleted, and every audit row that has not reached the primary is lost; their number is unknown while the database is stopped".into(),
    }
}

/// Refuses a pack for an old primary unless the node that replaced it made the pack.
fn not_of_this_change(scene: &InstallScene, rejoins: &Rejoins) -> Option<Refusal> {
    let (own, pair) = (scene.home.membership.as_ref()?, &scene.manifest.pair);
    let fits = pair.id == own.pair.id && pair.epoch == rejoins.epoch && pair.primary == own.peer().number;
    (!fits).then(|| {
        Refusal::new(
            WHAT,
            format!("the pack was not made by {} as the primary of epoch {}", own.peer(), rejoins.epoch),
            "Make a new pack there: `pmp-ha pack`.",
        )
    })
}

/// Refuses a pack that would turn back the time: the roles, the data and the secrets of the pair.
fn older(scene: &InstallScene) -> Option<Refusal> {
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
            format!("it was made at {made}, and the pack that is installed here at {installed}")
        }
    };
    (!scene.older).then(|| {
        Refusal::new(
            WHAT,
            format!("it is older than what is installed here: {because}"),
            "Make a new pack on the primary. If you want the older data back, or the primary's clock was wrong, pass --older.",
        )
    })
}

/// `None` is before every time.
fn time(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok()
}

/// Returns when the pack was made that was installed last, if the journal knows it. `done` are the
/// plans of the finished runs, newest first.
#[must_use]
pub fn installed_last<'a>(done: impl IntoIterator<Item = &'a Plan>) -> Option<String> {
    done.into_iter().flat_map(|plan| &plan.steps).find_map(|step| match step {
        Step::ExtractPack { made_at, .. } | Step::CopyUnpacked { made_at, .. } => Some(made_at.clone()),
        _ => None,
    })
}

/// Returns the steps that find and save the rows that only the old primary has.
fn before_an_old_primary_goes(scene: &InstallScene) -> Vec<Step> {
    let Some(rejoins) = &scene.rejoins else { return Vec::new() };
    let mut steps = Vec::new();
    if rejoins.running {
        steps.push(Step::TakeDown);
    }
    if let Some((since, file)) = rejoins.extra.clone() {
        steps.push(Step::FindExtra { since, file, go_on: true });
    }
    steps
}

/// Returns the step that puts the pack's files into the staging folder.
fn stage(scene: &InstallScene) -> Step {
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
fn end(scene: &InstallScene) -> (Vec<Step>, Option<String>) {
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
    Some(Refusal::new(
        WHAT,
        format!("the pack comes from another build of the product: its {differs} differs from the one here"),
        "Both installations must have the same build: upgrade the older one first.",
    ))
}

fn with_what_is_here(manifest: &Manifest, home: &Scene) -> crate::domain::pair::Pair {
    let mut pair = manifest.pair.clone();
    if home.role == Role::Secondary {
        pair.secondary_word = Some(home.role_word.trim().to_owned());
    }
    for node in &mut pair.nodes {
        if node.number != pair.primary {
            node.web_port = home.web_port;
            node.local_port = home.params.as_ref().ok().map(|params| params.port);
        }
    }
    pair
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::coordinates::Coordinates;
    use crate::domain::digest::Sha256Hex;
    use crate::domain::flavor::ServerVersion;
    use crate::domain::manifest::Fingerprint;
    use crate::domain::pair::Pair;
    use crate::domain::procedures::examples::{fingerprint, home};

    fn scene() -> InstallScene {
        InstallScene {
            home: home(Role::Secondary),
            installed: None,
            older: false,
            manifest: Manifest {
                format: Manifest::FORMAT,
                pack_id: "p".into(),
                made_at: "2026-01-01T00:00:00Z".into(),
                made_by: "pmp-ha".into(),
                server: ServerVersion::parse("5.6.24").expect("a version"),
                fingerprint: fingerprint(),
                application_account: "root".into(),
                key_fingerprint: None,
                pair: Pair::example(),
                coordinates: Coordinates::FilePosition { file: "b.000001".into(), position: 4 },
                files: vec![],
            },
            origin: Origin::Zip("/opt/PMP/HAPack.zip".into()),
            old_data: OldData::Drop,
            kept: None,
            password_given: false,
            port_is_forwarded: false,
            rejoins: None,
        }
    }

    fn refusals(change: impl FnOnce(&mut InstallScene)) -> Vec<String> {
        let mut scene = scene();
        change(&mut scene);
        plan(&scene).expect_err("a refusal").into_iter().map(|refusal| refusal.because).collect()
    }

    #[test]
    fn only_the_removal_of_the_old_data_cannot_be_undone() {
        let plan = plan(&scene()).expect("a plan");
        assert_eq!(plan.steps[plan.point_of_no_return..], [Step::DropOldData]);
    }

    #[test]
    fn one_state_is_kept_and_the_one_before_goes_last() {
        let keep = |kept| InstallScene { old_data: OldData::Keep("data.before-p".into()), kept, ..scene() };
        let keeps = Step::KeepHome {
            from: None,
            name: "data.before-p".into(),
            then: "the pack p was installed".into(),
        };
        let first = plan(&keep(None)).expect("a plan");
        assert_eq!(first.steps[first.point_of_no_return..], *std::slice::from_ref(&keeps));
        let earlier = Kept {
            format: Kept::FORMAT,
            data: "data.before-o".into(),
            until: "2026-01-01T00:00:00Z".into(),
            then: "the pack o was installed".into(),
            of_a_pair: false,
            fingerprint: None,
        };
        let second = plan(&keep(Some(earlier.clone()))).expect("a plan");
        let drops = Step::DropKept { name: "data.before-o".into() };
        assert_eq!(second.steps[second.point_of_no_return..], [keeps, drops]);
        let without = plan(&InstallScene { kept: Some(earlier), ..scene() }).expect("a plan");
        assert!(without.warnings[0].contains("mysql/data.before-o stays"));
    }

    #[test]
    fn what_becomes_of_rows_that_exist_only_here_is_said_on_a_home_that_was_in_a_pair() {
        let warning = |old_data, origin| {
            let mut scene = InstallScene { origin, old_data, ..scene() };
            assert_eq!(plan(&scene).expect("a plan").warnings, Vec::<String>::new());
            scene.home.membership = Some(Membership {
                format: Membership::FORMAT,
                role: Role::Secondary,
                key_fingerprint: None,
                pair: Pair::example(),
            });
            plan(&scene).expect("a plan").warnings.concat()
        };
        let zip = || Origin::Zip("/opt/PMP/HAPack.zip".into());
        assert!(
            warning(OldData::Keep("data.before-p".into()), zip()).contains("stay as mysql/data.before-p")
        );
        assert!(warning(OldData::Drop, zip()).contains("not reached the primary is lost"));
        assert!(warning(OldData::Drop, Origin::Unpacked).contains("overwritten its data"));
    }

    #[test]
    fn what_was_unpacked_by_hand_is_copied_first_and_then_all_is_the_same() {
        let zipped = scene();
        let unpacked = InstallScene { origin: Origin::Unpacked, ..scene() };
        let [zipped, unpacked] = [zipped, unpacked].map(|scene| plan(&scene).expect("a plan"));
        assert!(matches!(unpacked.steps[0], Step::CopyUnpacked { .. }));
        assert_eq!(installs(&unpacked), Some("p"));
        assert_eq!(unpacked.steps[1..], zipped.steps[1..]);
        assert_eq!(unpacked.point_of_no_return, zipped.point_of_no_return);
    }

    #[test]
    fn a_pack_that_does_not_fit_is_refused_with_the_reason() {
        let version = |text| ServerVersion::parse(text).expect("a version");
        assert_eq!(
            refusals(|s| s.manifest.server = version("5.6.25")),
            ["the pack holds data of MySQL 5.6.25, but the server here is MySQL 5.6.24"]
        );
        let other = Fingerprint { product: Sha256Hex::from_bytes([9; 32]), ..fingerprint() };
        assert!(refusals(|s| s.manifest.fingerprint = other)[0].contains("lib/AdventNetPassTrix.jar"));
        assert!(refusals(|s| s.home.role = Role::Primary)[0].contains("is a primary"));
        assert!(refusals(|s| s.manifest.application_account = "pmp".into())[0].contains("'pmp'"));
        assert!(refusals(|s| s.manifest.pair.nodes[1].db_port = 1)[0].contains("on port 1"));
        assert!(refusals(|s| s.home.free_for_data = 0)[0].contains("no space"));
    }

    #[test]
    fn a_pack_that_is_older_than_what_is_installed_needs_a_word() {
        let member = |epoch| {
            let mut pair = Pair::example();
            pair.epoch = epoch;
            Membership { format: Membership::FORMAT, role: Role::Secondary, key_fingerprint: None, pair }
        };
        let (earlier, later) = ("2025-12-31T23:59:59Z", "2026-01-01T00:00:01Z");
        let epoch = Pair::example().epoch;
        for (own, installed, is_older) in [
            (None, None, false),
            (None, Some(earlier), false),
            (None, Some("2026-01-01T00:00:00Z"), false),
            // Of another pair, too.
            (None, Some(later), true),
            (Some(epoch), Some(later), true),
            (Some(epoch + 1), None, true),
            (Some(epoch + 1), Some(earlier), true),
            // A promoted node's clock may be behind.
            (Some(epoch - 1), Some(later), false),
            // Of a journal that does not tell.
            (Some(epoch), Some(""), false),
        ] {
            let mut scene = scene();
            scene.home.membership = own.map(member);
            scene.installed = installed.map(Into::into);
            let refused = plan(&scene).err().map(|refusals| refusals[0].because.clone());
            assert_eq!(refused.is_some(), is_older, "{own:?} {installed:?} {refused:?}");
            assert!(refused.is_none_or(|why| why.contains("it is older than what is installed here")));
            scene.older = true;
            assert!(plan(&scene).is_ok(), "the operator has the last word");
        }
    }

    #[test]
    fn an_encrypted_password_has_to_be_given() {
        let encrypt = |s: &mut InstallScene| {
            if let Ok(params) = &mut s.home.params {
                params.encrypted = true;
            }
        };
        assert_eq!(refusals(encrypt).len(), 1);
        let mut given = scene();
        encrypt(&mut given);
        given.password_given = true;
        assert!(plan(&given).is_ok());
    }
}
