//! One round on a pair: load, faults, a change of roles, everything healed, and the verdict.

use std::time::{Duration, Instant};

use crate::checker::{Verdict, check};
use crate::faults::heal;
use crate::history::{Change, History, Kind, Node, Write};
use crate::operator::Operator;
use crate::pair::{Pair, held, name_of};
use crate::sabotage::Sabotage;
use crate::schedule::{Scenario, Schedule};
use crate::writers::Writers;
use crate::{errand, roles};

/// Rows of each writer before anything happens, and after it.
const ROWS: usize = 8;

/// What a round came to.
#[derive(Default)]
pub struct Outcome {
    pub verdict: Verdict,
    /// What was wrong, in words; nothing for a round that is passed.
    pub complaints: Vec<String>,
    /// Whether the end was no legal state of a pair.
    pub illegal_end: bool,
    /// From the moment when all faults were over, and all commands given, until the pair was well.
    pub recovered: Duration,
    /// From the first command of a change of roles until the new primary took a write.
    pub took_over: Option<Duration>,
}

/// What the scenario did to the roles, and what was not as it had to be.
#[derive(Default)]
pub struct Story {
    pub changes: Vec<Change>,
    pub complaints: Vec<String>,
}

/// Plays a round.
///
/// # Panics
/// Where the pair is in such a state that nothing can be judged.
#[track_caller]
pub fn play(
    pair: &mut Pair,
    schedule: &Schedule,
    operator: &Operator,
    sabotage: Option<Sabotage>,
) -> Outcome {
    let first_primary = pair.primary;
    let writers = Writers::start(pair, schedule.seed);
    go_on(pair, &writers);
    if let Some(sabotage) = sabotage {
        sabotage.strike(pair);
    }

    let begun = crate::writers::now();
    let story = match &schedule.scenario {
        Scenario::Steady { errand, after } => {
            errand::run(pair, operator, schedule, *errand, *after);
            Story::default()
        }
        Scenario::Switchover { first, apart } => {
            roles::switchover(pair, operator, schedule, *first, *apart, begun)
        }
        Scenario::Failover(failover) => roles::failover(pair, operator, schedule, failover, begun),
    };
    let Story { changes, mut complaints } = story;

    operator.note("everything is healed");
    heal(pair, operator);
    let healed = Instant::now();
    let mut end = pair.gets_well();
    let recovered = healed.elapsed();
    if let (Ok(()), Scenario::Steady { errand, .. }) = (&end, &schedule.scenario) {
        complaints.extend(errand::works(pair, operator, *errand).err());
    }
    if let Ok(primary) = pair.agreed_primary() {
        let expected = changes.last().map_or(first_primary, |change| change.to);
        if primary != expected {
            end = Err(format!("{primary} is the primary, and {expected} was to be it"));
        }
        pair.primary = primary;
        if end.is_ok() {
            go_on(pair, &writers);
        }
    }
    let taken = writers.end();
    let common = end.and_then(|()| pair.gets_the_same_rows());
    operator.note(&format!("the end: {}", common.as_ref().err().map_or("as it shall be", String::as_str)));

    let took_over = changes.last().and_then(|change| first_write_after(change, &taken));
    let present = pair.both().map(|node| held(node).iter().map(|row| name_of(row)).collect());
    let history = History {
        first_primary,
        semi_sync: pair.semi_sync,
        writes: taken,
        changes,
        before: pair.before.clone(),
        held: present,
    };
    let verdict = check(&history);
    complaints.extend(verdict.complaints());
    let illegal_end = common.is_err();
    match common {
        Ok(rows) => pair.before = rows.iter().map(|row| name_of(row)).collect(),
        Err(seen) => complaints.push(format!("no legal end: {seen}")),
    }
    Outcome { verdict, complaints, illegal_end, recovered, took_over }
}

/// Both kinds of rows are taken where they must be.
#[track_caller]
fn go_on(pair: &Pair, writers: &Writers) {
    writers.goes_on(pair.primary, Kind::Application, ROWS);
    for node in Node::BOTH {
        writers.goes_on(node, Kind::Audit, ROWS);
    }
}

/// From the beginning of a change until the new primary had taken a write.
fn first_write_after(change: &Change, writes: &[Write]) -> Option<Duration> {
    let of_it = writes.iter().filter(|write| {
        write.node == change.to && write.kind == Kind::Application && write.begun >= change.begun
    });
    let first = of_it.map(|write| write.acknowledged).min()?;
    Some(Duration::from_micros(first - change.begun))
}
