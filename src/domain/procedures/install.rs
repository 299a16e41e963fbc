//! `install-pack`: the plan to install a pack on the secondary.

use super::checks;
use super::incoming::{OldData, Origin, PackForHome, WHAT, end, misfits, steps};
use crate::domain::pair::Role;
use crate::domain::plan::{Command, Plan};
use crate::domain::refusal::Refusal;

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &PackForHome) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    let mut refusals = checks::home(WHAT, home);
    if home.missing.is_empty() && home.role != Role::Secondary {
        // A primary that was replaced while it was down still says so of itself.
        let is_meant = home
            .membership
            .as_ref()
            .is_some_and(|own| own.this().host == scene.manifest.pair.node(Role::Secondary).host);
        let hint = if is_meant {
            "The pack is made for this node as the secondary. If the other node has replaced this primary, run `pmp-ha rejoin --pack FILE`: it first saves the rows that only this node has."
        } else {
            "Install the pack on the secondary. Here it would overwrite the data it was made from."
        };
        let because =
            format!("this home is a primary: conf/serverstate.conf says '{}'", home.role_word.trim());
        refusals.push(Refusal::new(WHAT, because, hint).code("is-primary"));
    }
    refusals.extend(misfits(scene));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut steps = steps(scene);
    let point_of_no_return = steps.len();
    let mut warnings: Vec<String> = checks::unproved(home).into_iter().collect();
    let (end, warning) = end(scene);
    steps.extend(end);
    warnings.extend(warning);
    if home.membership.is_some() {
        warnings.push(about_an_earlier_pair(scene));
    }
    Ok(Plan {
        command: Command::InstallPack,
        home: home.identity.clone(),
        warnings,
        point_of_no_return,
        steps,
    })
}

/// Returns the warning about rows that exist only on a home that was in a pair.
///
/// Only a running database could tell how many there are.
fn about_an_earlier_pair(scene: &PackForHome) -> String {
    match (&scene.old_data, &scene.origin) {
        (OldData::Keep(name), _) => format!(
            "this home was in a pair: its old data stay as mysql/{name}, with all rows that exist only here"
        ),
        (OldData::Drop, Origin::Unpacked) => "this home was in a pair: unpacking the pack has overwritten its data, and all rows that existed only here are lost".into(),
        (OldData::Drop, Origin::Zip(_)) => "this home was in a pair: its old data are deleted, and every audit row that has not reached the primary is lost; their number is unknown while the database is stopped".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::coordinates::Coordinates;
    use crate::domain::digest::Sha256Hex;
    use crate::domain::flavor::ServerVersion;
    use crate::domain::kept::Kept;
    use crate::domain::manifest::Fingerprint;
    use crate::domain::manifest::Manifest;
    use crate::domain::pair::Membership;
    use crate::domain::pair::Pair;
    use crate::domain::plan::{Command, Plan, Step};
    use crate::domain::procedures::examples::{fingerprint, home};
    use crate::domain::procedures::incoming::{installed_last, installs};

    fn scene() -> PackForHome {
        PackForHome {
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
                return_channel_goes_on: false,
                files: vec![],
            },
            origin: Origin::Zip("/opt/PMP/HAPack.zip".into()),
            old_data: OldData::Drop,
            kept: None,
            password_given: false,
            history: 7,
            port_is_forwarded: false,
        }
    }

    fn refusals(change: impl FnOnce(&mut PackForHome)) -> Vec<String> {
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
        let keep = |kept| PackForHome { old_data: OldData::Keep("data.before-p".into()), kept, ..scene() };
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
        let without = plan(&PackForHome { kept: Some(earlier), ..scene() }).expect("a plan");
        assert!(without.warnings[0].contains("mysql/data.before-o stays"));
    }

    #[test]
    fn what_becomes_of_rows_that_exist_only_here_is_said_on_a_home_that_was_in_a_pair() {
        let warning = |old_data, origin| {
            let mut scene = PackForHome { origin, old_data, ..scene() };
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
        let unpacked = PackForHome { origin: Origin::Unpacked, ..scene() };
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
            ["the pack contains data of MySQL 5.6.25, but the server here is MySQL 5.6.24"]
        );
        let other = Fingerprint { product: Sha256Hex::from_bytes([9; 32]), ..fingerprint() };
        assert!(refusals(|s| s.manifest.fingerprint = other)[0].contains("lib/AdventNetPassTrix.jar"));
        assert!(refusals(|s| s.home.role = Role::Primary)[0].contains("is a primary"));
        let replaced = |s: &mut PackForHome| {
            s.home.role = Role::Primary;
            let pair = Pair { primary: 2, ..s.manifest.pair.clone() };
            s.home.membership =
                Some(Membership { format: 1, role: Role::Primary, key_fingerprint: None, pair });
        };
        let mut scene = scene();
        replaced(&mut scene);
        let hint = plan(&scene).expect_err("a refusal")[0].hint.clone();
        assert!(hint.contains("pmp-ha rejoin --pack FILE"), "{hint}");
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
    fn a_change_of_the_secrets_counts_as_what_is_installed() {
        let installs = plan(&scene()).expect("a plan");
        let rotates = Plan { command: Command::Rotate, steps: vec![], ..installs.clone() };
        let (first, later) = ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z");
        assert_eq!(installed_last([(later, &rotates), (first, &installs)]).as_deref(), Some(later));
        assert_eq!(installed_last([(later, &installs), (first, &rotates)]), Some(scene().manifest.made_at));
        assert_eq!(installed_last([]), None);
    }

    #[test]
    fn an_encrypted_password_has_to_be_given() {
        let encrypt = |s: &mut PackForHome| {
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
