//! What an operator does on a pair whose roles stay: commands that may be killed like any other.

use std::time::Duration;

use crate::faults::{Restart, heal, with_faults};
use crate::harness::Ran;
use crate::operator::{Operator, TRIES};
use crate::pair::Pair;
use crate::schedule::{Errand, Schedule, Side};

/// Runs an errand after a while, between the faults. It may fail; one that was cut off is given again
/// when the faults are over, as it says itself.
pub fn run(pair: &Pair, operator: &Operator, schedule: &Schedule, errand: Errand, after: Duration) {
    let mut ran = with_faults(pair, operator, schedule, Restart::Soon, || {
        // Part of the schedule.
        std::thread::sleep(after);
        give(pair, errand, |node, args| operator.run(node, args))
    });
    heal(pair, operator);
    for _ in 0..TRIES {
        if !matches!(ran.code, None | Some(3)) {
            break;
        }
        ran = give(pair, errand, |node, args| operator.run_to_its_end(node, args));
    }
}

/// Runs it on a pair that is well: then it has to work. What it says if it does not.
pub fn works(pair: &Pair, operator: &Operator, errand: Errand) -> Result<(), String> {
    let ran = give(pair, errand, |node, args| operator.run_to_its_end(node, args));
    if ran.code == Some(0) { Ok(()) } else { Err(format!("it does not work on a pair that is well: {ran}")) }
}

fn give(pair: &Pair, errand: Errand, run: impl FnOnce(&crate::harness::Node, &[&str]) -> Ran) -> Ran {
    match errand {
        Errand::Repair => run(pair.at(Side::Secondary), &["repair", "-y"]),
        Errand::Reconfigure(side) => run(pair.at(side), &["reconfigure", "-y"]),
        Errand::Compare => run(pair.at(Side::Primary), &["verify", "--deep"]),
    }
}
