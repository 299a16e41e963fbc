//! Lets faults loose on a pair, each at its time, and takes them away again.

use std::time::Duration;

use crate::harness::disk::Filler;
use crate::harness::send_signal;
use crate::history::Node;
use crate::operator::Operator;
use crate::pair::Pair;
use crate::schedule::{Fault, Schedule, Side, Strike};

/// Whether a server that was killed is started again when the fault is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// By the one who strikes.
    Soon,
    /// By the operator, who is busy with the roles.
    Later,
}

/// Does something while the strikes of a schedule come down, and returns when both are over.
pub fn with_faults<T>(
    pair: &Pair,
    operator: &Operator,
    schedule: &Schedule,
    restart: Restart,
    what: impl FnOnce() -> T,
) -> T {
    std::thread::scope(|scope| {
        let strikes: Vec<_> = schedule
            .strikes
            .iter()
            .map(|strike| scope.spawn(move || let_loose(pair, operator, strike, restart)))
            .collect();
        let done = what();
        for strike in strikes {
            if let Err(panic) = strike.join() {
                std::panic::resume_unwind(panic);
            }
        }
        done
    })
}

/// Waits for the moment of a strike, strikes, and ends it.
fn let_loose(pair: &Pair, operator: &Operator, strike: &Strike, restart: Restart) {
    let Strike { at, fault, lasts } = strike;
    // The schedule says when: this is no wait for a condition.
    std::thread::sleep(*at);
    operator.note(&format!("{fault}, for {:.2} s", lasts.as_secs_f64()));
    match fault {
        Fault::Kill(side) => kill(pair, operator, &[pair.on(*side)], *lasts, restart),
        Fault::KillBoth => kill(pair, operator, &Node::BOTH, *lasts, restart),
        Fault::Freeze(side) => {
            let frozen = freeze(pair, pair.on(*side));
            std::thread::sleep(*lasts);
            drop(frozen);
        }
        Fault::Cut => {
            pair.links.cut();
            std::thread::sleep(*lasts);
            pair.links.open();
        }
        Fault::Reject => {
            pair.links.reject();
            std::thread::sleep(*lasts);
            pair.links.open();
        }
        Fault::Silence => {
            pair.links.swallow();
            std::thread::sleep(*lasts);
            pair.links.open();
        }
        Fault::FullDisk(side) => {
            let filler = Filler::of_what_is_left(pair.node(pair.on(*side)));
            std::thread::sleep(*lasts);
            drop(filler);
        }
    }
    operator.note(&format!("over: {fault}"));
}

/// Kills the server of a node as a power failure would, if it runs.
pub fn kill_server(pair: &Pair, node: Node) {
    if let Some(pid) = pair.node(node).running_pid() {
        send_signal(pid, "KILL");
    }
}

fn kill(pair: &Pair, operator: &Operator, nodes: &[Node], lasts: Duration, restart: Restart) {
    for node in nodes {
        kill_server(pair, *node);
    }
    std::thread::sleep(lasts);
    if restart == Restart::Soon {
        for node in nodes {
            operator.start(pair.node(*node));
        }
    }
}

/// A server that does nothing until this is dropped.
pub struct Frozen(Option<u32>);

/// Freezes the server of a node, if it runs.
pub fn freeze(pair: &Pair, node: Node) -> Frozen {
    let pid = pair.node(node).running_pid();
    if let Some(pid) = pid {
        send_signal(pid, "STOP");
    }
    Frozen(pid)
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            send_signal(pid, "CONT");
        }
    }
}

/// What a strike may have left: the network and the servers are as they should be again.
pub fn heal(pair: &Pair, operator: &Operator) {
    pair.links.open();
    for node in pair.both() {
        operator.start(node);
    }
}

/// The side whose command is given second.
pub fn other(side: Side) -> Side {
    match side {
        Side::Primary => Side::Secondary,
        Side::Secondary => Side::Primary,
    }
}
