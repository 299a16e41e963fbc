//! `rotate`: new secrets for a working pair, in parts on each node. Each part looks how far the other
//! node is.

use super::{Scene, checks};
use crate::domain::flavor::Flavor;
use crate::domain::health::{Health, Severity, Status};
use crate::domain::pair::Role;
use crate::domain::plan::{Command, Plan, Renewal, Step};
use crate::domain::refusal::Refusal;
use crate::domain::rotation::{HowFar, Rotation};

/// The scene of `rotate`.
#[derive(Debug, Clone)]
pub struct RotateScene {
    /// The home.
    pub home: Scene,
    /// Whether its database runs.
    pub running: bool,
    /// The verdict on the pair.
    pub health: Health,
    /// A change that is under way here.
    pub open: Option<Rotation>,
    /// The accounts with which receivers are connected to the database here.
    pub connected: Vec<String>,
    /// The account with which the other node's receiver will be, once it uses the new secrets.
    pub awaited: Option<String>,
    /// On the secondary: the file and the name of its change.
    pub offered: Option<(String, String)>,
    /// On the primary: the file to write.
    pub file: String,
    /// A name for a new change.
    pub new_id: String,
    /// The private key that signs the file.
    pub sign_with: Option<String>,
    /// The file with the public key that it is encrypted to.
    pub encrypt_to: Option<String>,
    /// Whether to forget new secrets.
    pub cancel: bool,
}

/// What is to be done on this node now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This, and then more.
    Part(Plan),
    /// This, which is the last.
    Last(Plan),
    /// The other node's part comes first.
    Wait,
}

const WHAT: &str = "cannot change the secrets";

/// Returns what is to be done, or every reason why nothing can.
///
/// # Errors
/// Every precondition that does not hold.
pub fn next(scene: &RotateScene) -> Result<Next, Vec<Refusal>> {
    let home = &scene.home;
    let mut refusals = checks::running_home(WHAT, home);
    refusals.extend(checks::not_paired(WHAT, home));
    refusals.extend(checks::stopped(WHAT, scene.running));
    let (Some(own), Ok(params), true) = (&home.membership, &home.params, refusals.is_empty()) else {
        return Err(refusals);
    };
    let account = params.username.clone();
    let row = home.server.as_ref().ok().and_then(Flavor::of);
    let restarts = row.is_some_and(|row| row.reload_tls().is_none());
    let other_uses_new = scene.awaited.as_ref().is_some_and(|user| scene.connected.contains(user));
    match (own.role, scene.open.as_ref().map(|open| open.stage)) {
        (Role::Primary, Some(HowFar::Offered)) if scene.cancel => {
            if other_uses_new {
                return Err(vec![Refusal::new(
                    WHAT,
                    "the secondary already uses the new secrets",
                    "Run `pmp-ha rotate` here, without --cancel.",
                )
                .code("cannot-cancel")]);
            }
            let warnings = vec![CANCEL.to_owned()];
            Ok(Next::Last(plan(scene, 0, warnings, vec![Renewal::Withdraw { restarts }])))
        }
        (_, _) if scene.cancel => Err(vec![Refusal::new(
            WHAT,
            "there are no new secrets on this node that the secondary has not accepted",
            "Run --cancel on the primary that began the rotation.",
        )
        .code("cannot-cancel")]),
        (Role::Primary, Some(HowFar::Offered)) if other_uses_new => {
            let parts = vec![Renewal::UseNew { account, restarts }, Renewal::EndOld { restarts }];
            Ok(Next::Last(plan(scene, 0, Vec::new(), parts)))
        }
        (Role::Secondary, Some(HowFar::Taken)) if other_uses_new => {
            Ok(Next::Last(plan(scene, 0, Vec::new(), vec![Renewal::EndOld { restarts }])))
        }
        (Role::Primary, Some(HowFar::Offered)) | (Role::Secondary, Some(HowFar::Taken)) => Ok(Next::Wait),
        (Role::Primary, Some(HowFar::Taken)) | (Role::Secondary, Some(HowFar::Offered)) => {
            Err(vec![Refusal::new(
                WHAT,
                "the roles were swapped during an earlier rotation",
                "Swap them back with `pmp-ha switchover`, and run `pmp-ha rotate` on both nodes. Or end the rotation with a new pack: `pmp-ha pack --new-secrets`.",
            )
            .code("rotation-roles")])
        }
        (Role::Primary, None) => begin(scene, restarts),
        (Role::Secondary, None) => take(scene, account, restarts),
    }
}

const CANCEL: &str =
    "if the secondary has accepted the new secrets and is only disconnected, it needs a new pack afterwards";

const BOTH_ACCEPTED: &str = "until the secondary has accepted the new secrets and `pmp-ha rotate` has ended on both nodes, the old ones are accepted as well";

fn begin(scene: &RotateScene, restarts: bool) -> Result<Next, Vec<Refusal>> {
    not_alive(&scene.health)?;
    let parts = vec![
        Renewal::Prepare { id: scene.new_id.clone(), restarts },
        Renewal::Offer {
            file: scene.file.clone(),
            sign_with: scene.sign_with.clone(),
            encrypt_to: scene.encrypt_to.clone(),
        },
    ];
    let mut warnings = vec![BOTH_ACCEPTED.to_owned()];
    if restarts {
        warnings.push(
            "this server reads its certificates only when it starts: its database restarts twice on each node"
                .into(),
        );
    }
    Ok(Next::Part(plan(scene, parts.len(), warnings, parts)))
}

fn take(scene: &RotateScene, account: String, restarts: bool) -> Result<Next, Vec<Refusal>> {
    let Some((file, id)) = scene.offered.clone() else {
        return Err(vec![
            Refusal::new(
                WHAT,
                "there is no file with new secrets",
                "Run `pmp-ha rotate` on the primary, and copy the file that it writes into this home.",
            )
            .code("secrets-missing"),
        ]);
    };
    not_alive(&scene.health)?;
    let part = Renewal::Take { file, id, account, restarts };
    Ok(Next::Part(plan(scene, 1, Vec::new(), vec![part])))
}

fn plan(scene: &RotateScene, point_of_no_return: usize, warnings: Vec<String>, parts: Vec<Renewal>) -> Plan {
    Plan {
        command: Command::Rotate,
        home: scene.home.identity.clone(),
        warnings,
        point_of_no_return,
        steps: parts.into_iter().map(Step::Renew).collect(),
    }
}

fn not_alive(health: &Health) -> Result<(), Vec<Refusal>> {
    if health.high_availability == Status::Alive && health.replication == Status::Alive {
        return Ok(());
    }
    let mut out: Vec<Refusal> = health
        .findings
        .iter()
        .filter(|finding| matches!(finding.severity, Severity::Failed | Severity::Unknown))
        .map(|finding| {
            Refusal::new(WHAT, format!("{}: {}", finding.what, finding.evidence), finding.hint.clone())
                .code("pair-not-alive")
        })
        .collect();
    if out.is_empty() {
        out.push(Refusal::new(WHAT, "the pair is not Alive", "See `pmp-ha verify`.").code("pair-not-alive"));
    }
    Err(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::flavor::ServerVersion;
    use crate::domain::pair::{Membership, Pair};
    use crate::domain::procedures::examples::home;

    fn scene(role: Role, open: Option<HowFar>) -> RotateScene {
        let mut home = home(role);
        home.running = vec!["the database runs".into()];
        home.membership = Some(Membership { format: 1, role, key_fingerprint: None, pair: Pair::example() });
        RotateScene {
            home,
            running: true,
            health: Health {
                high_availability: Status::Alive,
                replication: Status::Alive,
                summary: String::new(),
                findings: vec![],
            },
            open: open.map(|stage| Rotation { id: "r".into(), stage }),
            connected: vec!["pmp_ha_repl".into()],
            awaited: Some("pmp_ha_repl_b".into()),
            offered: Some(("/opt/PMP/HASecrets.toml".into(), "r".into())),
            file: "/opt/PMP/replication/HASecrets.toml".into(),
            new_id: "n".into(),
            sign_with: None,
            encrypt_to: None,
            cancel: false,
        }
    }

    fn connected(mut scene: RotateScene) -> RotateScene {
        scene.connected.push("pmp_ha_repl_b".into());
        scene
    }

    fn parts(next: Result<Next, Vec<Refusal>>) -> (Vec<Renewal>, usize, bool) {
        let (plan, last) = match next.expect("something to do") {
            Next::Part(plan) => (plan, false),
            Next::Last(plan) => (plan, true),
            Next::Wait => panic!("nothing to do"),
        };
        let of = |step: &Step| match step {
            Step::Renew(part) => part.clone(),
            step => panic!("{step}"),
        };
        (plan.steps.iter().map(of).collect(), plan.point_of_no_return, last)
    }

    #[test]
    fn each_node_goes_on_only_when_the_other_uses_the_new_secrets() {
        let (primary, secondary) = (Role::Primary, Role::Secondary);
        let (begun, undoable, last) = parts(next(&scene(primary, None)));
        assert!(matches!(begun[..], [Renewal::Prepare { .. }, Renewal::Offer { .. }]));
        assert_eq!((undoable, last), (2, false));
        let (taken, undoable, last) = parts(next(&scene(secondary, None)));
        assert!(matches!(&taken[..], [Renewal::Take { id, .. }] if id == "r"));
        assert_eq!((undoable, last), (1, false));
        for waits in [scene(primary, Some(HowFar::Offered)), scene(secondary, Some(HowFar::Taken))] {
            assert_eq!(next(&waits), Ok(Next::Wait));
        }
        let (ended, undoable, last) = parts(next(&connected(scene(primary, Some(HowFar::Offered)))));
        assert!(matches!(ended[..], [Renewal::UseNew { .. }, Renewal::EndOld { .. }]));
        assert_eq!((undoable, last), (0, true), "the secondary may not be locked out");
        let (ended, _, last) = parts(next(&connected(scene(secondary, Some(HowFar::Taken)))));
        assert!(matches!(ended[..], [Renewal::EndOld { .. }]) && last);
    }

    #[test]
    fn a_server_that_cannot_reload_says_that_it_restarts() {
        let said = |version: &str| {
            let mut scene = scene(Role::Primary, None);
            scene.home.server = Ok(ServerVersion::parse(version).expect("a version"));
            scene.home.layout = scene.home.server.as_ref().ok().and_then(Flavor::of).map(|row| row.layout);
            match next(&scene).expect("a plan") {
                Next::Part(plan) => plan.to_string(),
                other => panic!("{other:?}"),
            }
        };
        assert!(said("5.6.24").contains("this restarts the database"), "{}", said("5.6.24"));
        assert!(said("5.6.24").contains("restarts twice on each node"));
        for version in ["9.7.4", "10.11.19-MariaDB"] {
            assert!(!said(version).contains("restart"), "{}", said(version));
        }
    }

    #[test]
    fn new_secrets_can_be_forgotten_until_the_secondary_uses_them() {
        let cancel = |mut scene: RotateScene| {
            scene.cancel = true;
            next(&scene)
        };
        let (parts, _, last) = parts(cancel(scene(Role::Primary, Some(HowFar::Offered))));
        assert!(matches!(parts[..], [Renewal::Withdraw { .. }]) && last);
        for refused in [
            connected(scene(Role::Primary, Some(HowFar::Offered))),
            scene(Role::Primary, None),
            scene(Role::Secondary, Some(HowFar::Taken)),
        ] {
            assert_eq!(cancel(refused).expect_err("a refusal").len(), 1);
        }
    }

    #[test]
    fn what_does_not_work_is_not_begun() {
        let refused = |change: fn(&mut RotateScene), role| {
            let mut scene = scene(role, None);
            change(&mut scene);
            next(&scene).expect_err("a refusal").remove(0).because
        };
        let failed = |scene: &mut RotateScene| scene.health.replication = Status::Failed;
        assert_eq!(refused(failed, Role::Primary), "the pair is not Alive");
        assert_eq!(refused(failed, Role::Secondary), "the pair is not Alive");
        assert_eq!(refused(|s| s.running = false, Role::Primary), "the database here does not run");
        assert_eq!(refused(|s| s.offered = None, Role::Secondary), "there is no file with new secrets");
        assert!(refused(|s| s.home.membership = None, Role::Primary).contains("does not belong"));
        let swapped = scene(Role::Primary, Some(HowFar::Taken));
        assert!(next(&swapped).expect_err("a refusal")[0].because.contains("roles were swapped"));
    }
}
