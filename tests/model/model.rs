//! The change of roles as a model, every course of which is looked at: two nodes, an operator, late and
//! lost messages, and a crash between any two effects. The plans are those of the procedures, and what
//! their steps mean is in `steps.rs`; `docs/testing.md` says what is left out.

#![expect(clippy::print_stdout, reason = "the figures of a check, for who wants to see them")]

mod moves;
mod pair;
mod plans;
mod steps;

use moves::{LEGAL_END, NEVER_TWO, PROMOTED, RoleChanges, SWITCHED, TAKEN_BACK, UNASKED, Without};
use pair::Left;
use stateright::{Checker, HasDiscoveries, Model};

const NOTHING: Left =
    Left { crashes: 0, cuts: 0, rejections: 0, switchovers: [0, 0], promotions: 0, overrides: 0 };

/// Learns its new role at a start only, so that its plans have every step.
const RESTARTS: &str = "5.6.24";

/// Learns it while it runs.
const GOES_ON: &str = "9.7.4";

fn check(server: &'static str, left: Left, without: Without) -> impl Checker<RoleChanges> {
    let failures = [NEVER_TWO, LEGAL_END];
    let until = if without == Without::Nothing { &failures[..] } else { &failures[..1] };
    let until = HasDiscoveries::AnyOf(until.iter().copied().collect());
    let model = RoleChanges { server, left, without };
    let checker = model.checker().threads(2).finish_when(until).spawn_bfs().join();
    println!(
        "{server}, {without:?}: {} states, {} moves, {left:?}",
        checker.unique_state_count(),
        checker.state_count()
    );
    checker
}

/// Looks at every course; those that are named are among them.
#[track_caller]
fn every_course_is_right(left: Left, courses: &[&'static str]) {
    every_course_is_right_on(RESTARTS, left, courses);
}

#[track_caller]
fn every_course_is_right_on(server: &'static str, left: Left, courses: &[&'static str]) {
    let checker = check(server, left, Without::Nothing);
    for name in [NEVER_TWO, LEGAL_END] {
        if let Some(path) = checker.discovery(name) {
            let last = path.last_state().clone();
            panic!("not so: {name}\n{:#?}\n{last:#?}", path.into_actions());
        }
    }
    for name in courses {
        assert!(checker.discovery(name).is_some(), "it never happens: {name}");
    }
}

#[test]
fn a_switchover_that_is_cut_off_anywhere() {
    every_course_is_right(Left { crashes: 1, switchovers: [1, 1], ..NOTHING }, &[SWITCHED, TAKEN_BACK]);
}

#[test]
fn a_switchover_of_servers_that_are_not_restarted() {
    let courses = [SWITCHED, TAKEN_BACK];
    every_course_is_right_on(GOES_ON, Left { crashes: 1, switchovers: [1, 1], ..NOTHING }, &courses);
    every_course_is_right_on(GOES_ON, Left { cuts: 1, switchovers: [1, 1], ..NOTHING }, &courses);
}

#[test]
fn a_switchover_over_a_network_that_is_cut() {
    every_course_is_right(Left { cuts: 1, switchovers: [1, 1], ..NOTHING }, &[SWITCHED, TAKEN_BACK]);
}

#[test]
fn a_failover_that_is_cut_off_anywhere_and_a_rejoin() {
    every_course_is_right(Left { crashes: 2, cuts: 1, promotions: 1, ..NOTHING }, &[PROMOTED, UNASKED]);
}

#[test]
fn a_failover_beside_a_firewall_that_rejects_what_one_node_sends() {
    every_course_is_right(Left { crashes: 2, rejections: 1, promotions: 1, ..NOTHING }, &[PROMOTED, UNASKED]);
    let left = Left { rejections: 1, switchovers: [1, 1], promotions: 1, ..NOTHING };
    every_course_is_right_on(GOES_ON, left, &[SWITCHED, TAKEN_BACK]);
}

#[test]
fn a_failover_by_an_operator_who_is_wrong() {
    every_course_is_right(Left { crashes: 1, overrides: 1, ..NOTHING }, &[PROMOTED]);
}

#[test]
fn a_failover_in_the_middle_of_a_switchover() {
    let left = Left { crashes: 1, switchovers: [1, 1], promotions: 1, ..NOTHING };
    for server in [RESTARTS, GOES_ON] {
        every_course_is_right_on(server, left, &[SWITCHED, PROMOTED, TAKEN_BACK]);
    }
}

#[test]
fn two_promotions_after_a_switchover_that_nobody_took() {
    let left = Left { crashes: 1, switchovers: [1, 1], promotions: 2, ..NOTHING };
    every_course_is_right(left, &[SWITCHED, PROMOTED, TAKEN_BACK]);
}

#[test]
fn a_rule_that_is_left_out_is_missed() {
    let switchover = Left { crashes: 1, switchovers: [1, 1], ..NOTHING };
    let failover = Left { crashes: 1, promotions: 1, ..NOTHING };
    let both = Left { promotions: 1, ..switchover };
    for (without, left) in [
        (Without::WaitingForTheRole, Left { crashes: 0, ..switchover }),
        (Without::NoReturn, switchover),
        (Without::TheGate, failover),
        (Without::TheGuard, failover),
        (Without::ALook, failover),
        (Without::ASecondLook, failover),
        (Without::Proof, Left { cuts: 1, promotions: 1, ..NOTHING }),
        (Without::Proof, Left { rejections: 1, promotions: 1, ..NOTHING }),
        (Without::AskingAgain, both),
    ] {
        assert!(check(RESTARTS, left, without).discovery(NEVER_TWO).is_some(), "nobody misses {without:?}");
    }
}
