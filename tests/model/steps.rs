//! What the steps of a plan do, each as effects between which the tool can die: the order is that of
//! `src/apply`. A step that is not known here stops the test.

use pmp_ha::domain::pair::{Claim, Role};
use pmp_ha::domain::plan::{Exchange, Plan, Step};
use pmp_ha::domain::standing::{Standing, standing};
use pmp_ha::domain::turn::{Phase, Wait, wait_for};

use crate::pair::{Office, Pair, Server, Side, Word, other};
use crate::plans::{membership, state, turn};

/// Something that is done as a whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The secondary gives the exchange its name.
    Name(u8),
    /// The primary finds the exchange that the other node is ready for.
    Join,
    Say(Phase),
    /// Waits for the other node's word.
    Await(Phase),
    Withdraw,
    /// Hands over: on the running server, or in an offline boot.
    HandOver,
    Refuse,
    /// The database says what the files say.
    SayOffice,
    /// Asks the other node once more whether it is the primary; not while it is about to become it.
    AskWhetherReplaced,
    /// The write guard is as the files say; where this node was replaced it stays as it is.
    AlignGuard,
    WriteFiles(Office),
    SayClaim(Claim),
    TakeClaimBack,
    /// Sees that the other node has not announced a start here.
    LookAtLock,
    /// Sees no sign of the other node, which proves nothing.
    LookAtOther,
    /// Sees that the other node is the primary in the place of this one, which is down.
    SeeThatItIsReplaced,
    /// Works in an offline boot, on data only.
    BootOffline,
    /// Works on the running server, on data only.
    WorkOnline,
    StopServer,
    /// A node that was replaced stays down.
    StartServer,
}

/// The database is made to be what the files say.
const ALIGN: [Effect; 3] = [Effect::SayOffice, Effect::AskWhetherReplaced, Effect::AlignGuard];

/// What a step does.
pub fn doing(step: &Step) -> Vec<Effect> {
    use Effect::{
        AskWhetherReplaced, Await, BootOffline, HandOver, Join, LookAtLock, LookAtOther, Name, Refuse, Say,
        SayClaim, SeeThatItIsReplaced, StartServer, StopServer, WorkOnline, WriteFiles,
    };
    match step {
        Step::Exchange(Exchange::Meet { run: Some(run), .. }) => {
            vec![Name(named(run)), Say(Phase::Ready), Await(Phase::Ready), Say(Phase::Met)]
        }
        Step::Exchange(Exchange::Meet { run: None, .. }) => vec![Join, Say(Phase::Ready), Await(Phase::Met)],
        Step::Exchange(Exchange::TakeUp { run }) => vec![Name(named(run))],
        Step::Exchange(Exchange::RefuseWrites { .. }) => vec![Say(Phase::Met), Refuse, Say(Phase::Refusing)],
        Step::Exchange(Exchange::AwaitCaughtUp { .. }) => vec![Say(Phase::Refusing), Await(Phase::CaughtUp)],
        Step::Exchange(Exchange::HandOver) => vec![HandOver],
        Step::Exchange(Exchange::CatchUp) => {
            vec![Say(Phase::Met), Await(Phase::Refusing), Say(Phase::CaughtUp)]
        }
        Step::Exchange(Exchange::AwaitHandOver) => vec![Say(Phase::CaughtUp), Await(Phase::HandedOver)],
        Step::WorkOffOffline { .. } => vec![BootOffline],
        Step::FindExtra { .. } => vec![SeeThatItIsReplaced, BootOffline],
        Step::DrainReplica { .. } => vec![WorkOnline],
        Step::Claim { epoch, replaces, seen_alive, .. } => {
            let say = SayClaim(Claim { epoch: *epoch, replaces: *replaces });
            if *seen_alive { vec![say, LookAtLock] } else { vec![say, LookAtLock, LookAtOther] }
        }
        Step::SetMembership { membership } => {
            let (role, claim) = (membership.role, membership.pair.claim());
            vec![WriteFiles(Office { role, claim, candidate: false })]
        }
        Step::Reconfigure { .. } => ALIGN.into(),
        // No server reads these: the product does when it starts, or somebody outside of the pair.
        Step::WriteRole { .. } | Step::Hook { .. } => vec![],
        Step::TakeDown => vec![StopServer],
        Step::BringUp => vec![StartServer],
        Step::RestartDatabase => vec![StopServer, AskWhetherReplaced, StartServer],
        step => panic!("the model does not know this step: {step}"),
    }
}

/// What undoes a step. Behind the point of no return none is.
pub fn undoing(plan: &Plan, index: usize) -> Vec<Effect> {
    use Effect::{StopServer, TakeClaimBack, Withdraw};
    match &plan.steps[index] {
        Step::Exchange(Exchange::Meet { .. } | Exchange::CatchUp) => vec![Withdraw],
        // A server that was killed is started before, as anybody may at any time.
        Step::Exchange(Exchange::RefuseWrites { .. }) => [&ALIGN[..], &[Withdraw]].concat(),
        Step::Exchange(
            Exchange::TakeUp { .. }
            | Exchange::AwaitCaughtUp { .. }
            | Exchange::AwaitHandOver
            | Exchange::HandOver,
        )
        | Step::TakeDown
        | Step::Hook { .. }
        // Of a `reconfigure`, which changes nothing of the roles.
        | Step::SetMembership { .. }
        | Step::FindExtra { .. } => vec![],
        Step::WorkOffOffline { .. } | Step::DrainReplica { .. } | Step::Reconfigure { .. } => {
            ALIGN.into()
        }
        Step::Claim { .. } => vec![TakeClaimBack],
        Step::BringUp => vec![StopServer],
        step => panic!("the model cannot undo this step: {step}"),
    }
}

fn named(run: &str) -> u8 {
    run.parse().expect("the model gives exchanges numbers")
}

/// Whether an effect came about; if not, it may later.
pub fn take(pair: &mut Pair, side: Side, effect: Effect) -> bool {
    match effect {
        Effect::Name(run) => {
            name(pair, side, run);
            pair.runs = pair.runs.max(run);
            true
        }
        Effect::Join => join(pair, side),
        Effect::Await(phase) => hears(pair, side, phase),
        Effect::Say(_) | Effect::Refuse | Effect::SayClaim(_) | Effect::WorkOnline | Effect::LookAtLock => {
            pair.nodes[side].is_up() && on_the_running_server(pair, side, effect)
        }
        Effect::HandOver | Effect::SayOffice | Effect::AlignGuard => {
            let there = matches!(pair.nodes[side].server, Server::Up | Server::Down);
            there && on_or_off(pair, side, effect)
        }
        Effect::Withdraw | Effect::TakeClaimBack => match pair.nodes[side].server {
            Server::Up => on_the_running_server(pair, side, effect),
            // Nobody reads it.
            Server::Down => true,
            Server::Asks { .. } | Server::Starts { .. } => false,
        },
        Effect::AskWhetherReplaced => {
            let replaced = is_replaced(pair, side);
            pair.unasked |= replaced && !pair.reaches(side);
            let replaced = replaced && pair.reaches(side);
            if replaced && pair.nodes[other(side)].says.role == Role::Secondary {
                return false;
            }
            if let Some(tool) = &mut pair.nodes[side].tool {
                tool.replaced = replaced;
            }
            true
        }
        Effect::SeeThatItIsReplaced => {
            pair.nodes[side].server == Server::Down
                && pair.reaches(side)
                && pair.nodes[other(side)].says.role == Role::Primary
                && is_replaced(pair, side)
        }
        Effect::LookAtOther => !pair.reaches(side),
        Effect::WriteFiles(office) => {
            let node = &mut pair.nodes[side];
            node.files = office;
            if node.heard <= office.claim.epoch {
                node.heard = 0;
            }
            true
        }
        Effect::BootOffline => pair.nodes[side].server == Server::Down,
        Effect::StopServer => {
            stop(pair, side);
            true
        }
        // Whoever starts a server: it comes up by itself.
        // Where the gate refuses, the command is given again, and the step asks anew.
        Effect::StartServer => {
            let refused = pair.nodes[side].server == Server::Down
                && pair.reaches(side)
                && pair.nodes[other(side)].says.role == Role::Primary
                && is_replaced(pair, side);
            pair.nodes[side].is_up() || replaced(pair, side) || refused
        }
    }
}

/// Whether what the other node says speaks against this one as the primary.
fn is_replaced(pair: &Pair, side: Side) -> bool {
    let (own, said) = (pair.nodes[side].files, pair.nodes[other(side)].says);
    standing(&membership(side, own), &state(other(side), said)) != Standing::Holds
}

fn replaced(pair: &Pair, side: Side) -> bool {
    pair.nodes[side].tool.as_ref().is_some_and(|tool| tool.replaced)
}

/// Ends a server: what it held for a node that is starting is gone.
pub fn stop(pair: &mut Pair, side: Side) {
    pair.nodes[side].server = Server::Down;
    lose_lock(pair, other(side));
}

/// The start of `side` is announced no more.
pub fn lose_lock(pair: &mut Pair, side: Side) {
    let server = &mut pair.nodes[side].server;
    if let Server::Asks { own } | Server::Starts { own, .. } = *server {
        *server = Server::Starts { own, announced: false };
    }
}

fn name(pair: &mut Pair, side: Side, run: u8) {
    if let Some(tool) = &mut pair.nodes[side].tool {
        tool.run = Some(run);
    }
}

/// The exchange of the process, or the one that the node last spoke of.
fn run(pair: &Pair, side: Side) -> Option<u8> {
    let node = &pair.nodes[side];
    node.tool.as_ref().and_then(|tool| tool.run).or(node.word.map(|word| word.run))
}

fn say(pair: &mut Pair, side: Side, phase: Phase) -> bool {
    let Some(run) = run(pair, side) else { return false };
    pair.nodes[side].word = Some(Word { run, phase, stale: false });
    true
}

fn heard(pair: &Pair, side: Side) -> Option<Word> {
    let node = &pair.nodes[side];
    node.tool.as_ref().filter(|_| node.is_up()).and_then(|tool| tool.heard)
}

fn join(pair: &mut Pair, side: Side) -> bool {
    let Some(word) = heard(pair, side).filter(|word| word.phase == Phase::Ready && !word.stale) else {
        return false;
    };
    name(pair, side, word.run);
    true
}

fn hears(pair: &Pair, side: Side, wanted: Phase) -> bool {
    let (Some(run), Some(word)) = (run(pair, side), heard(pair, side)) else { return false };
    let over = |wanted| wait_for(wanted, &run.to_string(), Some(&turn(word))) == Wait::Over;
    // Who has handed over has refused writes before, however long ago that was.
    over(wanted) || (wanted == Phase::Refusing && over(Phase::HandedOver))
}

fn on_the_running_server(pair: &mut Pair, side: Side, effect: Effect) -> bool {
    match effect {
        Effect::Say(phase) => {
            if phase == Phase::CaughtUp {
                // With what the primary wrote last came its heartbeat.
                pair.beat(side);
            }
            return say(pair, side, phase);
        }
        Effect::Refuse => pair.nodes[side].guarded = true,
        Effect::Withdraw => {
            if let Some(word) = &mut pair.nodes[side].word {
                word.phase = Phase::Withdrawn;
                word.stale = false;
            }
        }
        Effect::SayClaim(claim) => {
            let says = &mut pair.nodes[side].says;
            (says.claim, says.candidate) = (claim, true);
        }
        Effect::TakeClaimBack => {
            let node = &mut pair.nodes[side];
            (node.says.claim, node.says.candidate) = (node.files.claim, false);
        }
        Effect::LookAtLock => {
            return !matches!(
                pair.nodes[other(side)].server,
                Server::Asks { .. } | Server::Starts { announced: true, .. }
            );
        }
        _ => {}
    }
    true
}

fn on_or_off(pair: &mut Pair, side: Side, effect: Effect) -> bool {
    let replaced = replaced(pair, side);
    let node = &mut pair.nodes[side];
    match effect {
        Effect::HandOver => return say(pair, side, Phase::HandedOver),
        Effect::SayOffice => node.says = node.files,
        Effect::AlignGuard if node.files.role == Role::Secondary => node.guarded = true,
        Effect::AlignGuard => node.guarded &= replaced,
        _ => {}
    }
    true
}
