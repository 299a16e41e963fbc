//! The plans of the commands, made by the procedures themselves from what the model's nodes look like.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pmp_ha::domain::flavor::{Flavor, ServerVersion};
use pmp_ha::domain::health::{Health, Status};
use pmp_ha::domain::home::DatabaseParams;
use pmp_ha::domain::pair::{Membership, Node as Named, Pair as PairFile, Role};
use pmp_ha::domain::plan::{HomeIdentity, Plan};
use pmp_ha::domain::procedures::Scene;
use pmp_ha::domain::procedures::promote::{self, Fencing, Loss, PrimarySeen, PromoteScene};
use pmp_ha::domain::procedures::reconfigure::{self, ReconfigureScene};
use pmp_ha::domain::procedures::rejoin::{self, RejoinScene};
use pmp_ha::domain::procedures::switchover::{self, SwitchoverScene};
use pmp_ha::domain::snapshot::{Blind, BlindReason, Observed};
use pmp_ha::domain::standing::{BinlogPlace, NodeState, Standing, standing};
use pmp_ha::domain::tables::TablePatterns;
use pmp_ha::domain::turn::Turn;

use crate::pair::{Office, Pair, Server, Side, Word, other};

/// A plan, as a part of a state.
pub struct Made {
    pub plan: Plan,
    key: u64,
}

impl Made {
    fn of(plan: Plan) -> Arc<Self> {
        // A plan of another kind is not put back under a server that runs: the model would have to know.
        assert!(plan.works_on_a_running_server(), "{plan}");
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&plan).expect("writable").hash(&mut hasher);
        Arc::new(Self { plan, key: hasher.finish() })
    }
}

impl PartialEq for Made {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Made {}

impl Hash for Made {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plan.command.words())
    }
}

/// What the operator may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    Switchover,
    Promote(Vouched),
    Rejoin,
    /// What `verify` advises for a primary whose guard was left.
    Reconfigure,
}

/// What the operator of a promotion vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vouched {
    /// Nothing.
    Not,
    /// That the other node is fenced, and it is: he has seen to it on its machine.
    Rightly,
    /// The same, and nobody has done it.
    Wrongly,
}

impl Command {
    pub const ALL: [Self; 6] = [
        Self::Switchover,
        Self::Promote(Vouched::Not),
        Self::Promote(Vouched::Rightly),
        Self::Promote(Vouched::Wrongly),
        Self::Rejoin,
        Self::Reconfigure,
    ];

    /// The plan of this command on a node, unless it is refused.
    pub fn plan(self, pair: &Pair, side: Side) -> Option<Arc<Made>> {
        let node = &pair.nodes[side];
        let fits = match self {
            Self::Switchover => true,
            Self::Promote(_) => node.files.role == Role::Secondary,
            Self::Rejoin => node.files.role == Role::Primary,
            Self::Reconfigure => node.files.role == Role::Primary && node.is_up() && node.guarded,
        };
        if !fits {
            return None;
        }
        let running = matches!(node.server, Server::Up | Server::Starts { .. });
        let home = home(pair.server, side, node.files);
        let plan = match self {
            Self::Switchover => switchover::plan(&SwitchoverScene {
                home,
                running,
                health: health(pair),
                other: says(pair, other(side)).map(Some).ok_or_else(|| "it is not reached".into()),
                blocked: None,
                prepared: vec![],
                turn: pair.reaches(side).then(|| pair.nodes[other(side)].word.map(turn)).flatten(),
                run: (pair.runs + 1).to_string(),
                wait: 300,
                refuse_at_most: 8,
            }),
            Self::Promote(vouched) => promote::plan(&PromoteScene {
                home,
                running,
                primary: seen(pair, side),
                // Nobody can look into a database that is down.
                known: if node.is_up() { node.heard } else { 0 },
                fencing: if vouched == Vouched::Not { Fencing::None } else { Fencing::ByOperator },
                loss: Loss { since: None, seconds: None },
                applier_error: None,
                accept_loss: false,
            }),
            Self::Rejoin => rejoin::plan(&RejoinScene {
                home,
                running,
                product_runs: vec![],
                other: says(pair, other(side)).map(Some).ok_or_else(|| "it is not reached".into()),
                file: "/extra.sql".into(),
            }),
            Self::Reconfigure => {
                let (audit_tables, local_tables) = <(TablePatterns, TablePatterns)>::default();
                let (own_port, peer_port) = (None, None);
                reconfigure::plan(&ReconfigureScene { home, own_port, peer_port, audit_tables, local_tables })
            }
        };
        plan.ok().map(Made::of)
    }
}

/// A word as whoever reads it gets it.
pub fn turn(word: Word) -> Turn {
    let age = if word.stale { Turn::STALE } else { 0 };
    Turn { run: word.run.to_string(), phase: word.phase, mark: 0, age, refusing_for: 0 }
}

/// What a node knows of its pair.
pub fn membership(side: Side, office: Office) -> Membership {
    let node = |number: u32| Named {
        number,
        host: format!("n{number}"),
        db_port: 2345,
        local_port: None,
        web_port: None,
        history: None,
    };
    let primary = if office.role == Role::Primary { side } else { other(side) };
    Membership {
        format: Membership::FORMAT,
        role: office.role,
        key_fingerprint: None,
        pair: PairFile {
            id: "x".into(),
            schema: "passtrix".into(),
            audit_tables: TablePatterns::default(),
            local_tables: TablePatterns::default(),
            primary: number(primary),
            epoch: office.claim.epoch,
            replaces: office.claim.replaces,
            secondary_word: Some("slave".into()),
            nodes: [node(1), node(2)],
        },
    }
}

/// What a node says of itself to whoever can ask it.
pub fn state(side: Side, office: Office) -> NodeState {
    NodeState {
        node: number(side),
        epoch: office.claim.epoch,
        replaces: office.claim.replaces,
        role: office.role,
        candidate: office.candidate,
        secondary_word: Some("slave".into()),
        followed: Some(BinlogPlace { file: "b.000001".into(), position: 4 }),
        heard: None,
    }
}

fn number(side: Side) -> u32 {
    if side == 0 { 1 } else { 2 }
}

fn says(pair: &Pair, side: Side) -> Option<NodeState> {
    pair.reaches(other(side)).then(|| state(side, pair.nodes[side].says))
}

/// A network that does not let a node through may say anything of the other one, so a primary that serves
/// looks like one that is down. A machine that is off drops what is sent to it, and may answer afterwards.
fn seen(pair: &Pair, side: Side) -> PrimarySeen {
    if pair.reaches(side) {
        return PrimarySeen::Answers("its database accepts this node".into());
    }
    let silent =
        || Observed::NotSeen(Blind { why: BlindReason::Silent, evidence: "no greeting within 2.0 s".into() });
    PrimarySeen::of(&silent(), &silent())
}

/// Alive, when both are up and agree on who is who.
fn health(pair: &Pair) -> Health {
    let [a, b] = &pair.nodes;
    let holds = |side| {
        let said = state(other(side), pair.nodes[other(side)].says);
        standing(&membership(side, pair.nodes[side].says), &said) == Standing::Holds
    };
    let right = |office: Office, guarded| guarded == (office.role == Role::Secondary);
    let alive = pair.is_connected()
        && a.is_up()
        && b.is_up()
        && holds(0)
        && holds(1)
        && a.says.role != b.says.role
        && right(a.says, a.guarded)
        && right(b.says, b.guarded);
    let status = if alive { Status::Alive } else { Status::Failed };
    Health { high_availability: status, replication: status, summary: String::new(), findings: vec![] }
}

fn home(server: &str, side: Side, office: Office) -> Scene {
    let version = ServerVersion::parse(server).expect("a version");
    Scene {
        identity: HomeIdentity { path: "/opt/PMP".into(), device: 1, inode: 2 },
        missing: vec![],
        role_word: if office.role == Role::Primary { "master".into() } else { "slave".into() },
        role: office.role,
        params: Ok(DatabaseParams {
            username: "root".into(),
            password: "x".into(),
            encrypted: false,
            port: 2345,
            schema: "PassTrix".into(),
        }),
        web_port: None,
        running: vec![],

        layout: Flavor::of(&version).map(|flavor| flavor.layout),
        server: Ok(version),
        script: Ok(()),
        lets_everybody_in: None,
        data: vec![],
        odd_data: vec![],
        schema_on_disk: None,
        data_is_mount_point: false,
        free_for_data: 1 << 40,
        free_for_pack: 1 << 40,
        not_writable: vec![],
        fingerprint: None,
        membership: Some(membership(side, office)),
    }
}
