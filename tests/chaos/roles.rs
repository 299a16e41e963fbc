//! The changes of roles, as an operator makes them by the manual.

use std::process::Stdio;
use std::time::Duration;

use crate::faults::{Restart, freeze, heal, kill_server, other, with_faults};
use crate::harness::{Ran, is_alive, wait_until};
use crate::history::{Change, How, Micros, Node};
use crate::operator::{Operator, PAUSE, TRIES};
use crate::pair::Pair;
use crate::round::Story;
use crate::schedule::{Death, Failover, Fencing, Return, Schedule, Side};
use crate::writers::now;

/// For how long the commands of a switchover wait for each other.
const WAIT: &str = "20";

/// Exit codes.
const DONE: Option<i32> = Some(0);
const REFUSED: Option<i32> = Some(4);

/// A planned change: the command on both nodes, one after the other. A node whose command did not end
/// well gets it once more.
pub fn switchover(
    pair: &Pair,
    operator: &Operator,
    schedule: &Schedule,
    first: Side,
    apart: Duration,
    begun: Micros,
) -> Story {
    let order = [first, other(first)].map(|side| pair.on(side));
    let undisturbed = schedule.strikes.is_empty() && schedule.tool_kills.is_empty();
    let give = |node: Node| operator.run(pair.node(node), &["switchover", "--wait", WAIT, "-y"]);
    let mut ran = with_faults(pair, operator, schedule, Restart::Later, || {
        on_both(order.map(|node| move || Some(give(node))), apart)
    });
    let tries = if undisturbed { 0 } else { TRIES };
    for _ in 0..tries {
        let again = ran.each_ref().map(|ran| ran.as_ref().is_none_or(|ran| ran.code != DONE));
        if again == [false; 2] {
            break;
        }
        heal(pair, operator);
        std::thread::sleep(PAUSE);
        let [one, two] = order;
        let now = on_both(
            [(one, again[0]), (two, again[1])].map(|(node, due)| move || due.then(|| give(node))),
            apart,
        );
        for (last, now) in ran.iter_mut().zip(now) {
            if now.is_some() {
                *last = now;
            }
        }
    }
    let mut story = Story::default();
    for ran in ran.into_iter().flatten().filter(|ran| ran.code != DONE) {
        story.complaints.push(format!("the switchover does not come to its end: {ran}"));
    }
    if pair.agreed_primary() == Ok(pair.primary.peer()) {
        story.changes.push(Change { to: pair.primary.peer(), begun, how: How::Switchover });
    }
    story
}

/// Does two things at once, but for the time by which the second one begins later.
fn on_both<T: Send>([first, second]: [impl FnOnce() -> T + Send; 2], apart: Duration) -> [T; 2] {
    std::thread::scope(|scope| {
        let one = scope.spawn(first);
        // Part of the schedule.
        std::thread::sleep(apart);
        let two = second();
        match one.join() {
            Ok(one) => [one, two],
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// An unplanned change, and the return of the old primary.
pub fn failover(
    pair: &Pair,
    operator: &Operator,
    schedule: &Schedule,
    failover: &Failover,
    begun: Micros,
) -> Story {
    let mut story = Story::default();
    let (old, new) = (pair.primary, pair.primary.peer());
    if let Some(behind) = failover.behind {
        operator.note("the link is cut");
        pair.links.cut();
        std::thread::sleep(behind);
    }
    let frozen = dies(pair, operator, old, failover.death);
    if failover.returns == Return::BeforeThePromotion {
        std::thread::sleep(failover.alone);
        drop(frozen);
        heal(pair, operator);
        if let Some(ran) = not_refused(pair, operator, new) {
            story.complaints.push(format!("a promotion beside a primary that is there: {ran}"));
        }
        return story;
    }
    // From here a primary that was killed looks like one behind a firewall.
    if let Some(ran) = not_refused(pair, operator, new) {
        story.complaints.push(format!("a promotion beside a primary that may be alive: {ran}"));
    }
    if failover.fencing == Fencing::Real && failover.death != Death::Killed {
        operator.note("the old primary is fenced");
        kill_server(pair, old);
    }
    let promoted = with_faults(pair, operator, schedule, Restart::Later, || {
        insist(pair, operator, new, "it is already the primary", || promote(pair, operator, new, true))
    });
    let since = match promoted.and_then(|ran| announced(pair, new, &ran)) {
        Ok(since) => since,
        Err(complaint) => {
            story.complaints.push(complaint);
            return story;
        }
    };
    if !is_recorded(pair, new) {
        story
            .complaints
            .push("the journal does not say that the operator has called the primary fenced".into());
    }

    // Part of the schedule: users work on the new primary alone.
    std::thread::sleep(failover.alone);
    operator.note("the old primary comes back");
    drop(frozen);
    pair.links.open();
    operator.start(pair.node(new));
    story.complaints.extend(comes_back(pair, operator, old, failover.returns).err());
    story.complaints.extend(rejoin(pair, operator, old).err());
    let overridden = failover.death != Death::Killed && failover.fencing == Fencing::Pretended;
    let how = How::Failover { since, rejoined: now(), overridden };
    story.changes.push(Change { to: new, begun, how });
    story
}

/// What befalls the primary. A frozen server stays so until what is returned is dropped.
fn dies(pair: &Pair, operator: &Operator, old: Node, death: Death) -> Option<crate::faults::Frozen> {
    operator.note(&format!("the primary: {death:?}"));
    match death {
        Death::Killed => {
            kill_server(pair, old);
            // Its machine is there, and reachable.
            pair.links.open();
            wait_until("the machine of the killed primary refuses connections", || {
                let refused = std::net::TcpStream::connect(&pair.link_to(old).endpoint).is_err();
                refused && !pair.node(old).running_pid().is_some_and(is_alive)
            });
        }
        Death::Frozen => return Some(freeze(pair, old)),
        Death::CutOff => pair.links.cut(),
        Death::Rejected => pair.links.reject(),
        Death::Silent => pair.links.swallow(),
    }
    None
}

fn promote(pair: &Pair, operator: &Operator, new: Node, fenced: bool) -> Ran {
    let word: &[&str] = if fenced { &["--fenced"] } else { &[] };
    operator.run(pair.node(new), &[&["--json", "-y", "recover", "--promote"], word].concat())
}

/// A promotion that has to be refused, and was not. One that is killed is given again.
fn not_refused(pair: &Pair, operator: &Operator, new: Node) -> Option<Ran> {
    loop {
        let ran = promote(pair, operator, new, false);
        if ran.code.is_some() {
            return (ran.code != REFUSED).then_some(ran);
        }
    }
}

/// Gives a command on a node until it is done, or until its refusal says that it is done already.
fn insist(
    pair: &Pair,
    operator: &Operator,
    node: Node,
    already: &str,
    mut give: impl FnMut() -> Ran,
) -> Result<Ran, String> {
    let mut last = None;
    for _ in 0..TRIES {
        let ran = give();
        if ran.code == DONE || (ran.code == REFUSED && ran.stderr.contains(already)) {
            return Ok(ran);
        }
        last = Some(ran);
        std::thread::sleep(PAUSE);
        operator.start(pair.node(node));
    }
    Err(format!("it never comes to an end: {}", last.expect("a try")))
}

/// What a promotion announced: the moment since which rows may be lost. Without a heartbeat that is the making
/// of the pack, long before the round.
fn announced(pair: &Pair, new: Node, ran: &Ran) -> Result<Option<Micros>, String> {
    let unsaid = |why: &str| format!("the promotion does not say what is lost ({why}): {ran}");
    if ran.code == REFUSED {
        // It was killed between its end and its answer; the database remembers.
        let heard = "SELECT heard FROM pmp_ha.role WHERE node = @@GLOBAL.server_id";
        return Ok(Some(pair.node(new).admin_sql(heard).parse().unwrap_or(0)));
    }
    let answer: serde_json::Value =
        serde_json::from_str(&ran.stdout).map_err(|error| unsaid(&error.to_string()))?;
    match answer["loss"].get("since").ok_or_else(|| unsaid("no since"))? {
        serde_json::Value::Null => Ok(Some(0)),
        since => {
            let since = since.as_str().unwrap_or_default();
            let since: jiff::Timestamp = since.parse().map_err(|error| unsaid(&format!("{error}")))?;
            Ok(Micros::try_from(since.as_microsecond()).ok())
        }
    }
}

/// Whether the last promotion of a node is in its journal as one that the operator vouched for.
fn is_recorded(pair: &Pair, new: Node) -> bool {
    let opened = pair.node(new).journal().into_iter().rev().find(|record| record["record"] == "open");
    opened.is_some_and(|record| record.to_string().contains("you passed --fenced"))
}

/// Somebody starts the old primary, who has not heard of the new one. A server that was down must not
/// come up.
fn comes_back(pair: &Pair, operator: &Operator, old: Node, returns: Return) -> Result<(), String> {
    let node = pair.node(old);
    let was_down = !node.is_running();
    match returns {
        Return::Start => drop(operator.run(node, &["start"])),
        Return::Script => {
            let mut script = std::process::Command::new(node.path("bin/startDB.sh"));
            script.arg(node.port().to_string()).arg(node.path("mysql/tmp"));
            script.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let status = script.status().expect("it runs");
            operator.note(&format!("{old}: the product's script ended with {status}"));
        }
        Return::BeforeThePromotion | Return::RejoinOnly => {}
    }
    if was_down && node.is_running() {
        return Err("an old primary comes up beside the new one".into());
    }
    Ok(())
}

/// The old primary becomes the secondary of the new one, with a new pack where it has rows that the
/// new one lacks.
fn rejoin(pair: &Pair, operator: &Operator, old: Node) -> Result<(), String> {
    let node = pair.node(old);
    let mut pack: Option<String> = None;
    let mut last = None;
    for _ in 0..TRIES {
        let ran = match &pack {
            None => operator.run(node, &["-y", "rejoin"]),
            Some(pack) => operator.run(node, &["-y", "rejoin", "--pack", pack]),
        };
        if ran.code == DONE || (ran.code == REFUSED && ran.stderr.contains("is already the secondary")) {
            return Ok(());
        }
        if ran.code == REFUSED && pack.is_none() && ran.stderr.contains("rejoin --pack") {
            pack = Some(carry_a_new_pack(pair, operator, old)?);
        }
        last = Some(ran);
        std::thread::sleep(PAUSE);
    }
    Err(format!("the old primary cannot be rejoined: {}", last.expect("a try")))
}

/// Makes a pack on the running new primary, and carries it to the old one.
fn carry_a_new_pack(pair: &Pair, operator: &Operator, old: Node) -> Result<String, String> {
    let new = old.peer();
    let names = [new, old].map(|node| pair.link_to(node).endpoint.clone());
    let node = pair.node(new);
    let pack = |how| operator.run(node, &["-y", "pack", how, &names[0], &names[1]]);
    insist(pair, operator, new, "no refusal is an end", || {
        let ran = pack("--online");
        if !ran.stderr.contains("`pmp-ha pack --restart`") {
            return ran;
        }
        // This server cannot be copied while it runs, and says what to do.
        operator.run(node, &["stop"]);
        pack("--restart")
    })?;
    let carried = pair.node(old).path("HAPack.zip");
    std::fs::copy(pair.node(new).path("replication/HAPack.zip"), &carried).expect("carried");
    Ok(carried.to_string_lossy().into_owned())
}
