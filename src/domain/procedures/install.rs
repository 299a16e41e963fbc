//! `install-pack`: whether a verified pack fits this home, and how it gets in.

use super::{Scene, checks};
use crate::domain::manifest::Manifest;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{BootTask, Plan, Step};
use crate::domain::refusal::Refusal;

/// What `install-pack` looks at.
#[derive(Debug, Clone)]
pub struct InstallScene {
    /// The secondary's home.
    pub home: Scene,
    /// The manifest of a pack whose every hash was checked.
    pub manifest: Manifest,
    /// Full path of the pack.
    pub pack: String,
    /// Whether the operator gave the database password in a file.
    pub password_given: bool,
}

const WHAT: &str = "cannot install the pack";

/// Decides.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &InstallScene) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    let manifest = &scene.manifest;
    let mut refusals = checks::home(WHAT, home);
    if home.missing.is_empty() && home.role != Role::Secondary {
        refusals.push(Refusal::new(
            WHAT,
            format!("this home is a primary: conf/serverstate.conf says '{}'", home.role_word.trim()),
            "Install the pack on the secondary; here it would overwrite the data that it was made from.",
        ));
    }
    if let Some(version) = home.server.as_ref().ok().filter(|version| **version != manifest.server) {
        refusals.push(Refusal::new(
            WHAT,
            format!("the pack holds data of {}, and the server here is {version}", manifest.server),
            "Both installations must be of the same version of the product.",
        ));
    } else {
        refusals.extend(same_product(home, manifest));
    }
    if let Ok(params) = &home.params {
        let node = manifest.pair.node(Role::Secondary);
        if params.port != node.db_port {
            refusals.push(Refusal::new(
                WHAT,
                format!(
                    "the pack was made for a secondary on port {}, and the database of this home is on {}",
                    node.db_port, params.port
                ),
                format!("Make the pack again with {}:{} as the second name.", node.host, params.port),
            ));
        }
        if params.username != manifest.application_account {
            refusals.push(Refusal::new(
                WHAT,
                format!(
                    "the database account of the primary is '{}', and conf/database_params.conf here names '{}'",
                    manifest.application_account, params.username
                ),
                "Both installations must use the same account name; put it into conf/database_params.conf.",
            ));
        }
    }
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
        pair: with_web_port(manifest, home.web_port),
    };
    let steps = vec![
        Step::ExtractPack {
            pack: scene.pack.clone(),
            pack_id: manifest.pack_id.clone(),
            files: manifest.files.len(),
            bytes: manifest.total_size(),
        },
        Step::SwapData,
        Step::TakeNodeFiles { membership },
        Step::WireStartScript,
        Step::OfflineBoot(BootTask::PrepareReplica {
            account: manifest.application_account.clone(),
            from: manifest.coordinates.clone(),
        }),
        Step::DropOldData,
    ];
    let mut warnings: Vec<String> = checks::unproved(home).into_iter().collect();
    if home.membership.is_some() {
        warnings.push(
            "this home is a secondary already: its data are replaced, and rows that were written only here are gone with them".into(),
        );
    }
    Ok(Plan {
        command: "install-pack".into(),
        home: home.identity.clone(),
        warnings,
        point_of_no_return: steps.len() - 1,
        steps,
    })
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
        format!("the pack comes from another build of the product: its {differs} is not the one here"),
        "Both installations must be of the same build: upgrade the older one first.",
    ))
}

fn with_web_port(manifest: &Manifest, web_port: Option<u16>) -> crate::domain::pair::Pair {
    let mut pair = manifest.pair.clone();
    for node in &mut pair.nodes {
        if node.number != pair.primary {
            node.web_port = web_port;
        }
    }
    pair
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::coordinates::Coordinates;
    use crate::domain::flavor::ServerVersion;
    use crate::domain::manifest::{Fingerprint, Sha256Hex};
    use crate::domain::pair::{Node, Pair};
    use crate::domain::procedures::examples::{fingerprint, home};

    fn scene() -> InstallScene {
        let node = |number, host: &str| Node { number, host: host.into(), db_port: 2345, web_port: None };
        InstallScene {
            home: home(Role::Secondary),
            manifest: Manifest {
                format: Manifest::FORMAT,
                pack_id: "p".into(),
                made_at: "2026-01-01T00:00:00Z".into(),
                made_by: "pmp-ha".into(),
                server: ServerVersion::parse("5.6.24").expect("a version"),
                fingerprint: fingerprint(),
                application_account: "root".into(),
                key_fingerprint: None,
                pair: Pair {
                    id: "x".into(),
                    schema: "passtrix".into(),
                    primary: 1,
                    nodes: [node(1, "a"), node(2, "b")],
                },
                coordinates: Coordinates::FilePosition { file: "b.000001".into(), position: 4 },
                files: vec![],
            },
            pack: "/opt/PMP/HAPack.zip".into(),
            password_given: false,
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
    fn a_pack_that_does_not_fit_is_refused_with_the_reason() {
        let version = |text| ServerVersion::parse(text).expect("a version");
        assert_eq!(
            refusals(|s| s.manifest.server = version("5.6.25")),
            ["the pack holds data of MySQL 5.6.25, and the server here is MySQL 5.6.24"]
        );
        let other = Fingerprint { product: Sha256Hex::from_bytes(&[9; 32]), ..fingerprint() };
        assert!(refusals(|s| s.manifest.fingerprint = other)[0].contains("lib/AdventNetPassTrix.jar"));
        assert!(refusals(|s| s.home.role = Role::Primary)[0].contains("is a primary"));
        assert!(refusals(|s| s.manifest.application_account = "pmp".into())[0].contains("'pmp'"));
        assert!(refusals(|s| s.manifest.pair.nodes[1].db_port = 1)[0].contains("on port 1"));
        assert!(refusals(|s| s.home.free_for_data = 0)[0].contains("no space"));
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
