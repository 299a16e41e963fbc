//! `reconfigure`: new ports, tables and times for an existing pair, without a new pack.

use super::{Scene, checks};
use crate::domain::pair::{Membership, Node};
use crate::domain::plan::{Command, Plan, Step};
use crate::domain::refusal::Refusal;
use crate::domain::tables::TablePatterns;

/// The scene of `reconfigure`.
#[derive(Debug, Clone)]
pub struct ReconfigureScene {
    /// The home.
    pub home: Scene,
    /// The port at which the other node reaches the database here, if it was given.
    pub own_port: Option<u16>,
    /// The port at which this node reaches the other node's database, if it was given.
    pub peer_port: Option<u16>,
    /// The tables whose rows both nodes write.
    pub audit_tables: TablePatterns,
    /// More tables into which the application may insert on the secondary.
    pub local_tables: TablePatterns,
}

const WHAT: &str = "cannot reconfigure";

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &ReconfigureScene) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    let mut refusals = Vec::new();
    if let Err(why) = &home.params {
        refusals.push(
            Refusal::new(
                WHAT,
                format!("cannot use conf/database_params.conf: {why}"),
                "Restore the file as the installation wrote it.",
            )
            .code("database-params"),
        );
    }
    for why in &home.not_writable {
        refusals.push(
            Refusal::new(WHAT, why, "Run the command as the account that owns the installation.")
                .code("not-writable"),
        );
    }
    let (Some(old), Ok(params)) = (&home.membership, &home.params) else {
        refusals.extend(checks::not_paired(WHAT, home));
        return Err(refusals);
    };
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let membership = changed(scene, old, params.port);
    let warnings = [
        (membership.this().db_port != old.this().db_port).then(|| {
            format!(
                "on the other node, run `pmp-ha reconfigure --peer-port {}`",
                membership.this().db_port
            )
        }),
        (membership.pair.audit_tables != old.pair.audit_tables).then(|| {
            "the list of audit tables has changed: change it on the other node too, run `pmp-ha reconfigure` there, and restart the primary's database".to_owned()
        }),
    ];
    let steps =
        vec![Step::SetMembership { membership }, Step::Reconfigure { account: params.username.clone() }];
    Ok(Plan {
        command: Command::Reconfigure,
        home: home.identity.clone(),
        warnings: warnings.into_iter().flatten().collect(),
        point_of_no_return: steps.len(),
        steps,
    })
}

fn changed(scene: &ReconfigureScene, old: &Membership, port: u16) -> Membership {
    let mut membership = old.clone();
    let (this, peer) = (old.this().number, old.peer().number);
    for node in &mut membership.pair.nodes {
        if node.number == this {
            node.db_port = scene.own_port.unwrap_or_else(|| reached_at(node, port));
            node.local_port = Some(port);
            node.web_port = scene.home.web_port.or(node.web_port);
        } else if node.number == peer {
            node.db_port = scene.peer_port.unwrap_or(node.db_port);
        }
    }
    membership.pair.audit_tables = scene.audit_tables.clone();
    membership.pair.local_tables = scene.local_tables.clone();
    membership
}

/// If a port is forwarded, a new port of the database changes nothing for the other node.
fn reached_at(node: &Node, port: u16) -> u16 {
    match node.local_port {
        Some(old) if old != node.db_port => node.db_port,
        _ => port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pair::{Pair, Role};
    use crate::domain::procedures::examples::home;

    fn scene(change: impl FnOnce(&mut ReconfigureScene)) -> ReconfigureScene {
        let mut home = home(Role::Primary);
        let pair = Pair::example();
        home.membership = Some(Membership { format: 1, role: Role::Primary, key_fingerprint: None, pair });
        let mut scene = ReconfigureScene {
            home,
            own_port: None,
            peer_port: None,
            audit_tables: TablePatterns::new(["*audit"]),
            local_tables: TablePatterns::default(),
        };
        change(&mut scene);
        scene
    }

    fn ports(scene: &ReconfigureScene) -> (u16, u16) {
        let plan = plan(scene).expect("a plan");
        let Some(Step::SetMembership { membership }) = plan.steps.first() else { panic!("{plan}") };
        (membership.this().db_port, membership.peer().db_port)
    }

    #[test]
    fn ports_are_taken_from_the_files_or_from_the_command() {
        assert_eq!(ports(&scene(|_| {})), (2345, 2345));
        let moved = |s: &mut ReconfigureScene| {
            if let Ok(params) = &mut s.home.params {
                params.port = 3000;
            }
        };
        assert_eq!(ports(&scene(moved)), (3000, 2345));
        assert_eq!(ports(&scene(|s| s.peer_port = Some(4000))), (2345, 4000));
        assert_eq!(ports(&scene(|s| s.own_port = Some(5000))), (5000, 2345));
        let forwarded = scene(|s| {
            moved(s);
            if let Some(membership) = &mut s.home.membership {
                membership.pair.nodes[0].db_port = 9999;
            }
        });
        assert_eq!(ports(&forwarded), (9999, 2345));
    }

    #[test]
    fn the_other_node_has_to_be_told_of_a_new_port() {
        let plan = plan(&scene(|s| s.own_port = Some(5000))).expect("a plan");
        assert!(plan.to_string().contains("`pmp-ha reconfigure --peer-port 5000`"), "{plan}");
    }

    #[test]
    fn a_home_without_a_pair_is_refused() {
        let refusals = plan(&scene(|s| s.home.membership = None)).expect_err("a refusal");
        assert_eq!(refusals.len(), 1);
    }
}
