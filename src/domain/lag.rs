//! The lag of a node, by the heartbeat rows.
//!
//! Each node writes its own time into its own row, with the newest row of the other node that it
//! had applied (the echo). If both servers were asked, their newest rows are compared, or the
//! difference of their clocks is known. Otherwise the echo gives a bound that does not depend on
//! the clocks.

use crate::domain::pair::{Pair, Role};
use crate::domain::snapshot::{Receiver, ReplicaView, ServerView, Snapshot};

/// Converts microseconds to seconds. A time in the future, by the other clock, counts as now.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "microseconds of a lag are far below 2^52")]
pub fn seconds(micros: i64) -> f64 {
    micros.max(0) as f64 / 1e6
}

/// Returns whether something still arrives.
#[must_use]
pub fn link_lives(replica: &ReplicaView) -> bool {
    replica.receiver == Receiver::Connected && replica.pulse.as_ref().is_none_or(|pulse| pulse.moved)
}

/// Returns the lag of the node in role `at` in seconds; `None` while it is unknown.
#[must_use]
pub fn of(snapshot: &Snapshot, at: Role) -> Option<f64> {
    let from = Pair::peer_of(at);
    let (number, source) =
        (snapshot.membership.pair.node(at).number, snapshot.membership.pair.node(from).number);
    let (receiving, sending) = (snapshot.server(at), snapshot.server(from));
    let written = |view: Option<&ServerView>, node: u32| {
        view.and_then(|view| view.beat_of(node)).filter(|beat| beat.beat > 0)
    };
    let mut bounds = Vec::new();
    if let (Some(view), Some(applied)) = (receiving, written(receiving, source)) {
        let skew = sending.map(|other| other.clock_offset - view.clock_offset);
        bounds.extend(skew.map(|skew| seconds(view.clock + skew - applied.beat)));
        bounds.extend(written(sending, source).map(|newest| seconds(newest.beat - applied.beat)));
        // The row was written after its writer had applied that beat of ours.
        if applied.echo > 0 {
            bounds.push(seconds(view.clock - applied.echo));
        }
        if bounds.is_empty() {
            bounds.push(seconds(view.clock - applied.beat));
        }
    }
    if let (Some(view), Some(heard)) = (sending, written(sending, number))
        && heard.echo > 0
    {
        bounds.push(seconds(view.clock - heard.echo));
    }
    bounds.into_iter().reduce(f64::min)
}

/// Returns [`of`], but `None` if the link is down or silent.
#[must_use]
pub fn while_it_lives(snapshot: &Snapshot, at: Role) -> Option<f64> {
    let replica = snapshot.server(at).and_then(|server| server.replica.as_ref());
    replica.filter(|replica| link_lives(replica)).and_then(|_| of(snapshot, at))
}
