//! `pack`: whether a pack can be made from this home, and how.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Scene, checks};
use crate::domain::datafiles::{FileClass, classify};
use crate::domain::flavor::Flavor;
use crate::domain::manifest::{Manifest, OWN_FILES};
use crate::domain::pair::{Claim, Endpoint, Membership, Node, Pair, Role};
use crate::domain::plan::{BootTask, Command, CopyWay, Plan, Step};
use crate::domain::refusal::Refusal;
use crate::domain::tables::TablePatterns;

/// A name from the command line and what it resolves to.
#[derive(Debug, Clone)]
pub struct ResolvedName {
    /// As given.
    pub endpoint: Endpoint,
    /// Its addresses, or the resolver's error.
    pub addresses: Result<Vec<IpAddr>, String>,
    /// Whether one of the addresses belongs to this machine.
    pub local: bool,
}

/// What was read of the running database that is to be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Online {
    /// The home belongs to no pair.
    NotSetUp,
    /// It does not run.
    NotRunning,
    /// It could not be read, and why.
    NotSeen(String),
    /// Settings of the pair are not in effect, a sentence each.
    WithoutSettings(Vec<String>),
    /// It can be copied in this way.
    Ready(CopyWay),
}

/// What happens to the database while the pack is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// It is stopped and stays so.
    Stopped,
    /// It is stopped, and started as early as possible.
    Restart {
        /// Whether a copy beside the pack shares its blocks with the original.
        shares_blocks: bool,
    },
    /// It runs all the time.
    Online(Online),
}

/// The scene of `pack`.
#[derive(Debug, Clone)]
pub struct PackScene {
    /// The primary's home.
    pub home: Scene,
    /// The first name.
    pub primary: ResolvedName,
    /// The second name.
    pub secondary: ResolvedName,
    /// What happens to the database.
    pub mode: Mode,
    /// A salted hash of the encryption key, if the key can be read.
    pub key_fingerprint: Option<String>,
    /// Random, for a new pair.
    pub new_pair_id: String,
    /// Random, for this pack.
    pub pack_id: String,
    /// Full path of the pack to write.
    pub pack: String,
    /// Whether this node has the key of a CA that the pair trusts.
    pub has_ca_key: bool,
    /// Whether older packs shall open nothing any more.
    pub new_secrets: bool,
    /// Whether a small pack matters more than a quick one.
    pub dense: bool,
    /// The private key that signs it.
    pub sign_with: Option<String>,
    /// The file with the public key that it is encrypted to.
    pub encrypt_to: Option<String>,
    /// The tables whose rows both nodes write.
    pub audit_tables: TablePatterns,
    /// More tables into which the application may insert on the secondary.
    pub local_tables: TablePatterns,
}

const WHAT: &str = "cannot make a pack";

const NO_REPLICATION_BEFORE_THE_PACK: &str = "with new secrets, the other node can neither replicate nor ask this one until this pack is installed there: an old primary that has not rejoined cannot learn that it was replaced, so keep it switched off";

/// The folder where the copy of a running database is booted, relative to the home.
pub const COPY: &str = "replication/pmp-ha-work/source";

/// What the operator is told of the two names and of this home, whose database listens on `port`.
fn warnings(scene: &PackScene, port: u16) -> Vec<String> {
    let mut out: Vec<String> = checks::unproved(&scene.home).into_iter().collect();
    let db_port = scene.primary.endpoint.port.unwrap_or(port);
    if db_port != port {
        out.push(format!(
            "the secondary will connect to port {db_port}, but the database of this home listens on {port}: the port must be forwarded"
        ));
    }
    if !scene.primary.local {
        let host = &scene.primary.endpoint.host;
        out.push(format!("{host} is not an address of this machine: check the order of the two names"));
    }
    if scene.key_fingerprint.is_none() {
        out.push("cannot read the encryption key of this home now, so the secondary cannot check that it gets the same key".into());
    }
    out
}

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &PackScene) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    let mut refusals = match scene.mode {
        Mode::Online(_) => checks::running_home(WHAT, home),
        Mode::Stopped | Mode::Restart { .. } => checks::home(WHAT, home),
    };
    if home.missing.is_empty() && home.role != Role::Primary {
        refusals.push(
            Refusal::new(
                WHAT,
                format!("this home is not a primary: conf/serverstate.conf says '{}'", home.role_word.trim()),
                "Run `pmp-ha pack` on the primary.",
            )
            .code("not-primary"),
        );
    }
    refusals.extend(checks::other_node(WHAT, home));
    refusals.extend(not_carried(home));
    refusals.extend(alike(home));
    if home.missing.is_empty() && home.params.is_ok() && home.schema_on_disk.is_none() {
        refusals.push(
            Refusal::new(
                WHAT,
                "the data directory has no folder for the schema in conf/database_params.conf",
                "Start the product once, so that it creates its tables.",
            )
            .code("no-schema"),
        );
    }
    let (files, bytes) = home.data_to_copy(|path| classify(path) == FileClass::Data);
    let needed = bytes.saturating_mul(if matches!(scene.mode, Mode::Online(_)) { 2 } else { 1 });
    refusals.extend(checks::space(WHAT, "the folder replication", needed, home.free_for_pack));
    if let Mode::Online(seen) = &scene.mode {
        refusals.extend(running_database(seen));
        refusals.extend(place_of_the_copy(home));
        refusals.extend(new_ca_needs_a_start(scene));
    }
    refusals.extend(names(scene));

    let (Ok(params), Some(schema), true) = (&home.params, &home.schema_on_disk, refusals.is_empty()) else {
        return Err(refusals);
    };
    let mut warnings = warnings(scene, params.port);
    let db_port = scene.primary.endpoint.port.unwrap_or(params.port);

    let same_pair = |old: &&Membership| {
        old.role == Role::Primary
            && old.this().host == scene.primary.endpoint.host
            && old.peer().host == scene.secondary.endpoint.host
    };
    let old = home.membership.as_ref().filter(same_pair);
    let primary = old.map_or(1, |old| old.pair.primary);
    let mut nodes = nodes(scene, db_port, params.port);
    // Its binlogs go on under their names, whatever the names of the nodes are.
    nodes[0].history = home.membership.as_ref().and_then(|own| own.this().history);
    if let Some(peer) = old.map(Membership::peer) {
        // What it said of itself when it was set up.
        (nodes[1].local_port, nodes[1].web_port) = (peer.local_port, peer.web_port);
        nodes[1].history = peer.history;
    }
    if primary == 2 {
        // A node keeps its number whatever it is in the pair.
        nodes.reverse();
        (nodes[0].number, nodes[1].number) = (1, 2);
    }
    let claim = old.map_or(Claim::FIRST, |old| old.pair.claim());
    let pair = Pair {
        id: old.map_or_else(|| scene.new_pair_id.clone(), |old| old.pair.id.clone()),
        schema: schema.clone(),
        audit_tables: scene.audit_tables.clone(),
        local_tables: scene.local_tables.clone(),
        primary,
        epoch: claim.epoch,
        replaces: claim.replaces,
        secondary_word: old.and_then(|old| old.pair.secondary_word.clone()),
        nodes,
    };
    let membership = Membership {
        format: Membership::FORMAT,
        role: Role::Primary,
        key_fingerprint: scene.key_fingerprint.clone(),
        pair,
    };
    let data = (files.len(), bytes);
    let renew = old.is_some() && !scene.new_secrets;
    if old.is_some() && scene.new_secrets {
        warnings.push(NO_REPLICATION_BEFORE_THE_PACK.into());
    }
    let steps = match &scene.mode {
        Mode::Online(_) if old.is_none_or(|old| old.pair != membership.pair) => {
            return Err(vec![Refusal::new(WHAT, OTHER_PAIR, FIRST_NEEDS_A_STOP).code("cannot-pack-online")]);
        }
        Mode::Online(Online::Ready(way)) => online(scene, membership, way, data),
        _ => stopped(scene, membership, renew, data),
    };
    if matches!(scene.mode, Mode::Restart { .. })
        && !steps.iter().any(|s| matches!(s, Step::CopySource { .. }))
    {
        warnings.push(NO_SPACE_FOR_A_COPY.into());
    }
    // Once it is started the database belongs to the product again, and is not stopped under it.
    let started = steps.iter().position(|step| *step == Step::StartDatabase);
    let point_of_no_return = started.unwrap_or(steps.len());
    Ok(Plan { command: Command::Pack, home: home.identity.clone(), warnings, steps, point_of_no_return })
}

fn nodes(scene: &PackScene, db_port: u16, local_port: u16) -> [Node; 2] {
    [
        Node {
            number: 1,
            host: scene.primary.endpoint.host.clone(),
            db_port,
            local_port: Some(local_port),
            web_port: scene.home.web_port,
            history: None,
        },
        Node {
            number: 2,
            host: scene.secondary.endpoint.host.clone(),
            db_port: scene.secondary.endpoint.port.unwrap_or(local_port),
            local_port: None,
            web_port: None,
            history: None,
        },
    ]
}

/// Returns the steps for a database that is stopped now.
fn stopped(scene: &PackScene, membership: Membership, renew: bool, data: (usize, u64)) -> Vec<Step> {
    let (files, bytes) = data;
    let write = write(scene, data);
    let mut steps = vec![
        Step::MakeNodeFiles { membership, renew },
        Step::WireStartScript,
        Step::OfflineBoot(BootTask::PrepareSource { pack_id: scene.pack_id.clone() }),
    ];
    if let Mode::Restart { shares_blocks } = scene.mode {
        let needed = bytes.saturating_mul(if shares_blocks { 1 } else { 2 });
        if checks::space(WHAT, "", needed, scene.home.free_for_pack).is_none() {
            // A copy takes a third of the time that compressing takes.
            steps.extend([Step::CopySource { files, bytes }, Step::StartDatabase, write]);
        } else {
            steps.extend([write, Step::StartDatabase]);
        }
    } else {
        steps.push(write);
    }
    steps
}

/// Returns the steps for a database that keeps running.
fn online(scene: &PackScene, membership: Membership, way: &CopyWay, data: (usize, u64)) -> Vec<Step> {
    let (files, bytes) = data;
    let (way, pack_id) = (way.clone(), scene.pack_id.clone());
    vec![
        Step::RenewWayBack { membership, pack_id: pack_id.clone() },
        Step::CopyOnline { way: way.clone(), pack_id: pack_id.clone(), files, bytes },
        Step::SettleCopy { way, pack_id },
        write(scene, data),
    ]
}

fn write(scene: &PackScene, (files, bytes): (usize, u64)) -> Step {
    Step::WritePack {
        pack: scene.pack.clone(),
        files,
        bytes,
        dense: scene.dense,
        sign_with: scene.sign_with.clone(),
        encrypt_to: scene.encrypt_to.clone(),
    }
}

const NO_SPACE_FOR_A_COPY: &str =
    "there is no space for a copy of the data: the database starts after they are packed";

const OTHER_PAIR: &str =
    "the running database was set up for another pair, or its ports or tables have changed since";

const FIRST_NEEDS_A_STOP: &str = "The pair's settings take effect only after a restart. Stop Password Manager Pro, run `pmp-ha stop`, then `pmp-ha pack --restart`.";

/// Returns why no pack can be made while the database runs.
fn not_carried(home: &Scene) -> impl Iterator<Item = Refusal> {
    home.odd_data.iter().map(|odd| {
        let because = format!("the data directory contains {odd}, which a copy would leave out");
        Refusal::new(WHAT, because, "Move the data it points to into mysql/data.").code("data-linked")
    })
}

/// Refuses files whose names differ only in case: on other systems they would be the same file.
fn alike(home: &Scene) -> Option<Refusal> {
    let (files, _) = home.data_to_copy(|path| classify(path) == FileClass::Data);
    let mut seen = BTreeSet::new();
    let twice = files.iter().find(|(path, _)| !seen.insert(path.as_str().to_lowercase()));
    if let Some((path, _)) = twice {
        let because = format!("two of its data files differ only in case: {path} and another file");
        return Some(
            Refusal::new(WHAT, because, "Rename one of the two tables or schemas.").code("tables-unfit"),
        );
    }
    (files.len() > Manifest::MOST_FILES - OWN_FILES.len()).then(|| {
        let because = format!(
            "the data directory has {} files, but a pack holds at most {}",
            files.len(),
            Manifest::MOST_FILES
        );
        Refusal::new(WHAT, because, "Remove tables that you do not need.").code("tables-unfit")
    })
}

/// Without the key of the pair's CA, this node makes one of its own, which its server must trust.
fn new_ca_needs_a_start(scene: &PackScene) -> Option<Refusal> {
    let row = scene.home.server.as_ref().ok().and_then(Flavor::of)?;
    (!scene.has_ca_key && scene.home.membership.is_some() && row.reload_tls().is_none()).then(|| {
        Refusal::new(
            WHAT,
            "the key of the pair's CA is on the other node, and this server trusts a new CA only after a start",
            "Stop Password Manager Pro, run `pmp-ha stop`, then `pmp-ha pack --restart`.",
        )
        .code("new-ca-at-start")
    })
}

fn place_of_the_copy(home: &Scene) -> Option<Refusal> {
    let why = checks::boot_socket(&format!("{}/{COPY}", home.identity.path))?;
    Some(
        Refusal::new(WHAT, why, "Stop the database, and make the pack without --online.")
            .code("cannot-pack-online"),
    )
}

fn running_database(seen: &Online) -> Option<Refusal> {
    let (because, hint) = match seen {
        Online::Ready(_) => return None,
        Online::NotSetUp => {
            let because = "this home belongs to no pair yet: its database lacks the settings and accounts that replication needs";
            (because.into(), FIRST_NEEDS_A_STOP)
        }
        Online::NotRunning => (
            "the database does not run".into(),
            "Omit --online, or start the database (`pmp-ha start`) and try again.",
        ),
        Online::NotSeen(why) => {
            (format!("the tool's own account cannot read the running database: {why}"), FIRST_NEEDS_A_STOP)
        }
        Online::WithoutSettings(missing) => (
            format!(
                "some settings of the pair are not in effect in the running database: {}",
                missing.join("; ")
            ),
            FIRST_NEEDS_A_STOP,
        ),
    };
    Some(Refusal::new(WHAT, because, hint).code("cannot-pack-online"))
}

/// Whether a name means the machine itself on each machine.
fn leads_to_itself(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || ["localhost", "localhost.localdomain", "ip6-localhost"].contains(&name.as_str())
        || name.ends_with(".localhost")
}

fn names(scene: &PackScene) -> Vec<Refusal> {
    let mut out = Vec::new();
    let longest =
        scene.home.server.as_ref().ok().and_then(Flavor::of).map_or(255, |row| row.longest_source_host);
    for named in [&scene.primary, &scene.secondary] {
        let host = &named.endpoint.host;
        if let Err(why) = &named.addresses {
            out.push(
                Refusal::new(
                    WHAT,
                    format!("the name {host} does not resolve: {why}"),
                    "Use the fully qualified names under which the two machines reach each other.",
                )
                .code("name-unresolved"),
            );
        }
        if host.len() > longest {
            out.push(
                Refusal::new(
                    WHAT,
                    format!(
                        "the name {host} has {} characters, but this server stores at most {longest}",
                        host.len()
                    ),
                    "Use a shorter name, or an address.",
                )
                .code("name-too-long"),
            );
        }
    }
    let (first, second) = (&scene.primary.endpoint, &scene.secondary.endpoint);
    if scene.secondary.local && !scene.primary.local && scene.primary.addresses.is_ok() {
        out.push(
            Refusal::new(
                WHAT,
                format!(
                    "{} is this machine and {} is not: the two names are in the wrong order",
                    second.host, first.host
                ),
                "Run `pmp-ha pack` on the primary, and name the primary first.",
            )
            .code("names-swapped"),
        );
    }
    if leads_to_itself(&first.host) && scene.secondary.addresses.is_ok() && !scene.secondary.local {
        out.push(
            Refusal::new(
                WHAT,
                format!(
                    "{} leads each machine to itself, so {} cannot reach this primary under that name",
                    first.host, second.host
                ),
                "Use the name or the address under which the other machine reaches this one.",
            )
            .code("name-local-only"),
        );
    }
    let port_of =
        |endpoint: &Endpoint| endpoint.port.or(scene.home.params.as_ref().ok().map(|params| params.port));
    if port_of(first) == port_of(second) {
        let shared = match (&scene.primary.addresses, &scene.secondary.addresses) {
            (Ok(a), Ok(b)) => a.iter().find(|address| b.contains(address)),
            _ => None,
        };
        if first.host.eq_ignore_ascii_case(&second.host) {
            out.push(
                Refusal::new(
                    WHAT,
                    format!("primary and secondary have the same name, {}", first.host),
                    "Name two machines.",
                )
                .code("names-equal"),
            );
        } else if let Some(address) = shared {
            out.push(
                Refusal::new(
                    WHAT,
                    format!("{} and {} are the same machine, {address}", first.host, second.host),
                    "Name two machines, or two ports of one machine: HOST:DBPORT.",
                )
                .code("names-equal"),
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::RelPath;
    use crate::domain::procedures::examples::home;

    fn named(endpoint: &str, address: [u8; 4]) -> ResolvedName {
        let endpoint = endpoint.parse().expect("an endpoint");
        ResolvedName { endpoint, addresses: Ok(vec![IpAddr::from(address)]), local: true }
    }

    fn scene() -> PackScene {
        PackScene {
            home: home(Role::Primary),
            primary: named("a.example", [10, 0, 0, 1]),
            secondary: named("b.example", [10, 0, 0, 2]),
            mode: Mode::Stopped,
            key_fingerprint: Some("f".into()),
            new_pair_id: "new".into(),
            pack_id: "p".into(),
            pack: "/opt/PMP/replication/HAPack.zip".into(),
            has_ca_key: true,
            new_secrets: false,
            dense: false,
            sign_with: None,
            encrypt_to: None,
            audit_tables: TablePatterns::new(["*audit"]),
            local_tables: TablePatterns::default(),
        }
    }

    fn refusals(change: impl FnOnce(&mut PackScene)) -> Vec<String> {
        let mut scene = scene();
        change(&mut scene);
        plan(&scene).expect_err("a refusal").into_iter().map(|refusal| refusal.because).collect()
    }

    #[test]
    fn files_that_another_system_would_take_for_one_are_refused_before_anything_is_done() {
        let file = |path: &str| (RelPath::new(path).expect("a path"), 1);
        let alike = refusals(|s| s.home.data.extend([file("shop/T.ibd"), file("Shop/t.ibd")]));
        assert_eq!(
            alike,
            ["two of its data files differ only in case: Shop/t.ibd and another file"],
            "the first one found is named"
        );
        // What is not packed may be called as it wants.
        let mut own = scene();
        own.home.data.extend([file("tmp/a"), file("tmp/A")]);
        assert!(plan(&own).is_ok());
    }

    #[test]
    fn an_encrypted_pack_needs_no_more_room_than_a_plain_one() {
        let fits = |free_for_pack: u64, encrypt_to: Option<&str>| {
            let mut scene = scene();
            scene.home.data.push((RelPath::new("large.ibd").expect("a path"), 10 << 30));
            scene.home.free_for_pack = free_for_pack;
            scene.encrypt_to = encrypt_to.map(Into::into);
            plan(&scene).is_ok()
        };
        let key = Some("/root/secondary.pub");
        assert_eq!([fits(15 << 30, None), fits(15 << 30, key), fits(5 << 30, key)], [true, true, false]);
    }

    #[test]
    fn the_plan_names_what_will_be_packed_and_can_always_be_undone() {
        let plan = plan(&scene()).expect("a plan");
        assert_eq!(plan.warnings, Vec::<String>::new());
        assert_eq!(plan.point_of_no_return, plan.steps.len());
        assert!(plan.to_string().contains("compress 2 files, 1010 bytes"), "{plan}");
    }

    /// The space that stays free for the server itself.
    const MARGIN: u64 = 32 << 20;

    #[test]
    fn with_space_the_database_starts_from_a_copy_and_without_it_after_the_pack() {
        let steps = |free, shares_blocks| {
            let mut scene = scene();
            scene.mode = Mode::Restart { shares_blocks };
            scene.home.free_for_pack = free;
            let plan = plan(&scene).expect("a plan");
            assert_eq!(plan.steps[plan.point_of_no_return], Step::StartDatabase);
            assert_eq!(plan.warnings.len(), usize::from(plan.steps.len() == 5));
            plan.to_string()
        };
        let copied = steps(MARGIN + 2020, false);
        assert!(copied.contains("4. copy 2 files, 1010 bytes, to replication/pmp-ha-work"), "{copied}");
        assert!(copied.contains("5. start the database"), "{copied}");
        let packed = steps(MARGIN + 2019, false);
        assert!(packed.contains("4. compress 2 files"), "{packed}");
        assert!(packed.contains("5. start the database"), "{packed}");
        assert!(steps(MARGIN + 1010, true).contains("4. copy 2 files"));
    }

    #[test]
    fn a_running_database_is_packed_only_where_it_has_the_settings_of_the_same_pair() {
        let mut scene = scene();
        let Some(Step::MakeNodeFiles { membership, .. }) =
            plan(&scene).expect("a plan").steps.first().cloned()
        else {
            panic!("the first step makes the node files");
        };
        scene.home.running = vec!["the database runs: process 7".into()];
        scene.mode = Mode::Online(Online::NotSetUp);
        let first = plan(&scene).expect_err("a refusal");
        assert!(first[0].because.contains("belongs to no pair yet"), "{first:?}");
        assert!(first[0].hint.contains("--restart"), "{first:?}");

        scene.mode = Mode::Online(Online::Ready(CopyWay::Lock));
        assert!(plan(&scene).expect_err("another pair")[0].because.contains("another pair"));
        scene.home.membership = Some(membership);
        let online = plan(&scene).expect("a plan");
        assert_eq!(online.steps.len(), 4);
        assert_eq!(online.point_of_no_return, 4);
        assert!(online.works_on_a_running_server());
        scene.has_ca_key = false;
        assert!(plan(&scene).expect_err("a new CA on MySQL 5.6")[0].because.contains("only after a start"));
        scene.has_ca_key = true;
        scene.audit_tables = TablePatterns::new(["*other"]);
        assert!(plan(&scene).expect_err("other tables")[0].hint.contains("--restart"));
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
    fn a_pack_of_a_node_that_became_the_primary_keeps_numbers_and_epoch() {
        let mut scene = scene();
        let Some(Step::MakeNodeFiles { membership, .. }) =
            plan(&scene).expect("a plan").steps.first().cloned()
        else {
            panic!("the first step makes the node files");
        };
        let there = Membership { role: Role::Secondary, ..membership };
        scene.home.membership = Some(there.changed_to(Role::Primary, Claim::by_hand_over(1)));
        std::mem::swap(&mut scene.primary, &mut scene.secondary);
        let again = plan(&scene).expect("a plan");
        let Some(Step::MakeNodeFiles { membership, renew: true }) = again.steps.first() else {
            panic!("it is the same pair");
        };
        assert_eq!(membership.this().number, 2);
        assert_eq!(membership.this().host, "b.example");
        assert_eq!((membership.peer().number, membership.pair.epoch), (1, 2));
    }

    #[test]
    fn a_second_pack_of_the_same_pair_keeps_its_secrets_unless_new_ones_are_asked_for() {
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
        scene.new_secrets = true;
        let anew = plan(&scene).expect("a plan");
        let Some(Step::MakeNodeFiles { membership, renew: false }) = anew.steps.first() else {
            panic!("a pack with new secrets keeps none");
        };
        assert_eq!(membership.pair.id, "new", "it is the same pair");
        assert!(anew.warnings.iter().any(|warning| warning == NO_REPLICATION_BEFORE_THE_PACK), "{anew}");
        scene.new_secrets = false;
        scene.secondary = named("c.example", [10, 0, 0, 3]);
        let other = plan(&scene).expect("a plan");
        assert!(matches!(other.steps.first(), Some(Step::MakeNodeFiles { renew: false, .. })));
    }
}
