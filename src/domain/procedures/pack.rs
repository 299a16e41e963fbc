//! `pack`: whether a pack can be made from this home, and how.

use std::net::IpAddr;

use super::{Scene, checks};
use crate::domain::datafiles::{FileClass, classify};
use crate::domain::flavor::Flavor;
use crate::domain::pair::{Endpoint, Membership, Node, Pair, Role};
use crate::domain::plan::{BootTask, Plan, Step};
use crate::domain::refusal::Refusal;

/// A name from the command line and what it resolves to.
#[derive(Debug, Clone)]
pub struct Named {
    /// As given.
    pub endpoint: Endpoint,
    /// Its addresses, or what the resolver said.
    pub addresses: Result<Vec<IpAddr>, String>,
    /// Whether one of the addresses belongs to this machine.
    pub local: bool,
}

/// What `pack` looks at.
#[derive(Debug, Clone)]
pub struct PackScene {
    /// The primary's home.
    pub home: Scene,
    /// The first name.
    pub primary: Named,
    /// The second name.
    pub secondary: Named,
    /// A salted hash of the encryption key, if the key can be read.
    pub key_fingerprint: Option<String>,
    /// Random, for a pair that is new.
    pub new_pair_id: String,
    /// Random, for this pack.
    pub pack_id: String,
    /// Full path of the pack to write.
    pub pack: String,
}

const WHAT: &str = "cannot make a pack";

/// Decides.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &PackScene) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    let mut refusals = checks::home(WHAT, home);
    if home.missing.is_empty() && home.role != Role::Primary {
        refusals.push(Refusal::new(
            WHAT,
            format!("this home is not a primary: conf/serverstate.conf says '{}'", home.role_word.trim()),
            "Run `pmp-ha pack` on the primary.",
        ));
    }
    for odd in &home.odd_data {
        refusals.push(Refusal::new(
            WHAT,
            format!("the data directory holds {odd}, which a copy would not carry"),
            "Move the data it leads to into mysql/data.",
        ));
    }
    if home.missing.is_empty() && home.params.is_ok() && home.schema_on_disk.is_none() {
        refusals.push(Refusal::new(
            WHAT,
            "the data directory holds no folder for the schema that conf/database_params.conf names",
            "Start the product once, so that it makes its tables.",
        ));
    }
    let (files, bytes) = home.data_to_copy(|path| classify(path) == FileClass::Data);
    refusals.extend(checks::space(WHAT, "the folder replication", bytes, home.free_for_pack));
    refusals.extend(names(scene));

    let (Ok(params), Some(schema), true) = (&home.params, &home.schema_on_disk, refusals.is_empty()) else {
        return Err(refusals);
    };
    let mut warnings: Vec<String> = checks::unproved(home).into_iter().collect();
    let db_port = scene.primary.endpoint.port.unwrap_or(params.port);
    if db_port != params.port {
        warnings.push(format!(
            "the secondary will connect to port {db_port}, and the database of this home listens on {}: something between must forward it",
            params.port
        ));
    }
    if !scene.primary.local {
        let host = &scene.primary.endpoint.host;
        warnings
            .push(format!("{host} is not an address of this machine: are the two names in the right order?"));
    }
    if scene.key_fingerprint.is_none() {
        warnings.push("the encryption key of this home cannot be read now, so that the secondary cannot check that it is given the same one".into());
    }

    let nodes = [
        Node { number: 1, host: scene.primary.endpoint.host.clone(), db_port, web_port: home.web_port },
        Node {
            number: 2,
            host: scene.secondary.endpoint.host.clone(),
            db_port: scene.secondary.endpoint.port.unwrap_or(params.port),
            web_port: None,
        },
    ];
    let same_pair = |old: &&Membership| {
        old.role == Role::Primary
            && old.pair.nodes[0].host == nodes[0].host
            && old.pair.nodes[1].host == nodes[1].host
    };
    let old = home.membership.as_ref().filter(same_pair);
    let pair = Pair {
        id: old.map_or_else(|| scene.new_pair_id.clone(), |old| old.pair.id.clone()),
        schema: schema.clone(),
        primary: 1,
        nodes,
    };
    let membership = Membership {
        format: Membership::FORMAT,
        role: Role::Primary,
        key_fingerprint: scene.key_fingerprint.clone(),
        pair,
    };
    let steps = vec![
        Step::MakeNodeFiles { membership, renew: old.is_some() },
        Step::WireStartScript,
        Step::OfflineBoot(BootTask::PrepareSource { pack_id: scene.pack_id.clone() }),
        Step::WritePack { pack: scene.pack.clone(), files: files.len(), bytes },
    ];
    let point_of_no_return = steps.len();
    Ok(Plan { command: "pack".into(), home: home.identity.clone(), warnings, steps, point_of_no_return })
}

fn names(scene: &PackScene) -> Vec<Refusal> {
    let mut out = Vec::new();
    let longest =
        scene.home.server.as_ref().ok().and_then(Flavor::of).map_or(255, |row| row.longest_source_host);
    for named in [&scene.primary, &scene.secondary] {
        let host = &named.endpoint.host;
        if let Err(why) = &named.addresses {
            out.push(Refusal::new(
                WHAT,
                format!("the name {host} does not resolve: {why}"),
                "Give the fully qualified names by which the two machines reach each other.",
            ));
        }
        if host.len() > longest {
            out.push(Refusal::new(
                WHAT,
                format!(
                    "the name {host} has {} characters, and this server stores at most {longest}",
                    host.len()
                ),
                "Give a shorter name, or an address.",
            ));
        }
    }
    let (first, second) = (&scene.primary.endpoint, &scene.secondary.endpoint);
    if scene.secondary.local && !scene.primary.local && scene.primary.addresses.is_ok() {
        out.push(Refusal::new(
            WHAT,
            format!(
                "{} is this machine, and {} is not: the two names stand in the wrong order",
                second.host, first.host
            ),
            "Run `pmp-ha pack` on the primary, and name it first.",
        ));
    }
    let port_of =
        |endpoint: &Endpoint| endpoint.port.or(scene.home.params.as_ref().ok().map(|params| params.port));
    if port_of(first) == port_of(second) {
        let shared = match (&scene.primary.addresses, &scene.secondary.addresses) {
            (Ok(a), Ok(b)) => a.iter().find(|address| b.contains(address)),
            _ => None,
        };
        if first.host.eq_ignore_ascii_case(&second.host) {
            out.push(Refusal::new(
                WHAT,
                format!("primary and secondary have the same name, {}", first.host),
                "Give the names of two machines.",
            ));
        } else if let Some(address) = shared {
            out.push(Refusal::new(
                WHAT,
                format!("{} and {} are the same machine, {address}", first.host, second.host),
                "Give the names of two machines, or two ports of one: HOST:DBPORT.",
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::procedures::examples::home;

    fn named(endpoint: &str, address: [u8; 4]) -> Named {
        let endpoint = endpoint.parse().expect("an endpoint");
        Named { endpoint, addresses: Ok(vec![IpAddr::from(address)]), local: true }
    }

    fn scene() -> PackScene {
        PackScene {
            home: home(Role::Primary),
            primary: named("a.example", [10, 0, 0, 1]),
            secondary: named("b.example", [10, 0, 0, 2]),
            key_fingerprint: Some("f".into()),
            new_pair_id: "new".into(),
            pack_id: "p".into(),
            pack: "/opt/PMP/replication/HAPack.zip".into(),
        }
    }

    fn refusals(change: impl FnOnce(&mut PackScene)) -> Vec<String> {
        let mut scene = scene();
        change(&mut scene);
        plan(&scene).expect_err("a refusal").into_iter().map(|refusal| refusal.because).collect()
    }

    #[test]
    fn the_plan_names_what_will_be_packed_and_can_always_be_undone() {
        let plan = plan(&scene()).expect("a plan");
        assert_eq!(plan.warnings, Vec::<String>::new());
        assert_eq!(plan.point_of_no_return, plan.steps.len());
        assert!(plan.to_string().contains("compress 2 files, 1010 bytes"), "{plan}");
    }

    #[test]
    fn names_that_cannot_make_a_pair_are_refused() {
        assert_eq!(
            refusals(|s| s.secondary = named("A.example", [10, 0, 0, 9])),
            ["primary and secondary have the same name, a.example"]
        );
        assert_eq!(
            refusals(|s| s.secondary = named("c.example", [10, 0, 0, 1])),
            ["a.example and c.example are the same machine, 10.0.0.1"]
        );
        assert_eq!(
            refusals(|s| s.primary.addresses = Err("no such host".into())),
            ["the name a.example does not resolve: no such host"]
        );
        let long = format!("{}.example", "x".repeat(60));
        assert_eq!(refusals(|s| s.secondary = named(&long, [10, 0, 0, 2])).len(), 1);
    }

    #[test]
    fn names_in_the_wrong_order_are_refused() {
        assert!(refusals(|s| s.primary.local = false)[0].contains("wrong order"));
    }

    #[test]
    fn two_ports_of_one_machine_are_two_nodes() {
        let mut scene = scene();
        scene.secondary = named("a.example:2346", [10, 0, 0, 1]);
        assert!(plan(&scene).is_ok());
    }

    #[test]
    fn every_reason_is_said_at_once() {
        let found = refusals(|s| {
            s.home.running = vec!["process 1 runs".into()];
            s.home.free_for_pack = 0;
            s.home.role = Role::Secondary;
        });
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_second_pack_of_the_same_pair_keeps_its_secrets() {
        let mut scene = scene();
        let Some(Step::MakeNodeFiles { membership, renew: false }) =
            plan(&scene).expect("a plan").steps.first().cloned()
        else {
            panic!("the first step makes the node files anew");
        };
        scene.home.membership = Some(membership);
        scene.new_pair_id = "other".into();
        let again = plan(&scene).expect("a plan");
        let Some(Step::MakeNodeFiles { membership, renew: true }) = again.steps.first() else {
            panic!("the second pack keeps them");
        };
        assert_eq!(membership.pair.id, "new");
        scene.secondary = named("c.example", [10, 0, 0, 3]);
        let other = plan(&scene).expect("a plan");
        assert!(matches!(other.steps.first(), Some(Step::MakeNodeFiles { renew: false, .. })));
    }
}
