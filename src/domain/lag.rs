//! The lag of a node, by the heartbeat rows.
//!
//! Each node writes its own time into its own row, with the newest row of the other node that it
//! had applied (the echo). If both servers were asked, their newest rows are compared, or the
//! difference of their clocks is known. Otherwise the echo gives a bound that does not depend on
//! the clocks.

use crate::domain::pair::{Pair, Role};
use crate::domain::snapshot::{Receiver, ReplicaView, ServerView, Snapshot};

/// How far a heartbeat may be ahead of a clock, microseconds: what is read at two moments differs a little.
const AHEAD: i64 = 2_000_000;

/// After so long a node's own newest heartbeat says nothing of what it has written since, microseconds.
const STANDS_STILL: i64 = 60_000_000;

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

/// Returns by how much a heartbeat is ahead of its own clock, if that was set back.
///
/// The result is in microseconds.
#[must_use]
pub fn set_back(clock: i64, beat: i64) -> Option<i64> {
    let ahead = beat.saturating_sub(clock);
    (ahead > AHEAD).then_some(ahead)
}

/// Returns the lag of the node in role `at` in seconds; `None` while it is unknown.
///
/// It is also unknown just after a clock was set back.
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
        bounds.extend(skew.map(|skew| view.clock + skew - applied.beat));
        let stands = |newest: i64| sending.is_some_and(|view| view.clock - newest > STANDS_STILL);
        let newest = written(sending, source).filter(|newest| !stands(newest.beat));
        // The two looks are moments apart: that the older one knows less says nothing.
        bounds.extend(newest.map(|newest| (newest.beat - applied.beat).max(0)));
        // The row was written after its writer had applied that beat of ours.
        if applied.echo > 0 {
            bounds.push(view.clock - applied.echo);
        }
        if bounds.is_empty() {
            bounds.push(view.clock - applied.beat);
        }
    }
    if let (Some(view), Some(heard)) = (sending, written(sending, number))
        && heard.echo > 0
    {
        bounds.push(view.clock - heard.echo);
    }
    // A time ahead of the clock that it is compared with bounds nothing.
    bounds.into_iter().min().filter(|least| *least >= -AHEAD).map(seconds)
}

/// Returns [`of`], but `None` if the link is down or silent.
#[must_use]
pub fn while_it_lives(snapshot: &Snapshot, at: Role) -> Option<f64> {
    let replica = snapshot.server(at).and_then(|server| server.replica.as_ref());
    replica.filter(|replica| link_lives(replica)).and_then(|_| of(snapshot, at))
}
