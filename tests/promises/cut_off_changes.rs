//! The tool is killed in each step of a change of roles, on either side: the command given again ends
//! with one primary, one secondary and nothing lost.

#![expect(
    clippy::print_stdout,
    reason = "how each kill ended is shown with --nocapture, and when the test fails"
)]

use nix::sys::signal::Signal;

use crate::harness::change::{begin, end, is_primary, roles};
use crate::harness::{Lab, Node, at, cut, kill_in, wait_alive_both, wait_until};

const ANY: &str = "mariadb-10.11";

const SWITCHOVER: [&str; 3] = ["switchover", "--wait", "10"];
const PROMOTE: [&str; 3] = ["recover", "--promote", "--fenced"];
const REJOIN: [&str; 1] = ["rejoin"];

/// In memory the last step of a change would be over before the signal arrives.
fn pair_on_the_disk() -> Lab {
    let lab = Lab::up_with(ANY, "lab", 1);
    lab.set_up(&lab.primary.endpoint);
    lab
}

/// How many steps a command would have now.
#[track_caller]
fn steps(node: &Node, args: &[&str]) -> usize {
    let planned = node.run(&[&["--dry-run"], args].concat()).ok();
    let is_step =
        |line: &&str| line.trim_start().split_once(". ").is_some_and(|(n, _)| n.parse::<usize>().is_ok());
    let count = planned.stdout.lines().filter(is_step).count();
    assert!(count > 2, "{planned}");
    count
}

/// Kills the tool as soon as it says that it is in a step.
#[track_caller]
fn kill_in_step(node: &Node, args: &[&str], step: usize, of: usize) {
    let moment = at(format!("{step}/{of}"));
    if step < of {
        return kill_in(node, args, node, &moment);
    }
    // The last step may have nothing to do, and its end may stand in the journal before the signal arrives.
    let ran = cut(node.command(args), Signal::SIGKILL, |said| moment.has_come(said, node));
    assert!(matches!(ran.code, None | Some(0)), "{ran}");
}

/// Writes a row on the primary that has to be on the secondary.
#[track_caller]
fn flows([from, to]: [&Node; 2], rows: &mut usize) {
    *rows += 1;
    from.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('CHANGE {rows}', 'x')"));
    let wanted = rows.to_string();
    wait_until("every row is on both nodes", || {
        [from, to]
            .iter()
            .all(|node| node.sql("SELECT COUNT(*) FROM Ptrx_Settings WHERE NAME LIKE 'CHANGE %'") == wanted)
    });
}

#[test]
fn a_switchover_whose_giver_is_killed_in_any_step_ends_well_when_it_is_given_again() {
    a_switchover_killed_in_any_step(0);
}

#[test]
fn a_switchover_whose_taker_is_killed_in_any_step_ends_well_when_it_is_given_again() {
    a_switchover_killed_in_any_step(1);
}

/// Kills the tool on the primary (0) or on the secondary (1).
fn a_switchover_killed_in_any_step(side: usize) {
    let lab = pair_on_the_disk();
    let both = [&lab.primary, &lab.secondary];
    for node in both {
        node.configure("[replication]\nconnect_retry = 1\n[switchover]\nrefuse_at_most = 5\n");
    }
    let (mut rows, mut step) = (0, 1);
    loop {
        let pair = roles(both, "before");
        flows(pair, &mut rows);
        let (killed, other) = (pair[side], pair[1 - side]);
        let of = steps(killed, &SWITCHOVER);
        if step > of {
            break;
        }
        let others = begin(other, &SWITCHOVER);
        kill_in_step(killed, &SWITCHOVER, step, of);
        end(others, "switchover on the other node");
        let when = format!("killed in step {step} of {of}");
        // What is put back leaves a pair as it was, of which the other node does not take part now.
        let again = killed.run(&["switchover", "--wait", "1"]);
        if !both.into_iter().any(is_primary) {
            // The role was handed over when the run was finished, and nobody waited for it any more.
            let told = other.run(&["verify"]).exits(5);
            assert!(told.stdout.contains("[no-primary]"), "{when}: {again}\n{told}");
            assert!(told.stdout.contains("run `pmp-ha switchover` here"), "{told}");
            other.run(&SWITCHOVER).ok();
        }
        wait_alive_both(both);
        let now = roles(both, &when);
        println!("{when}: {}", if now[0].home == pair[0].home { "as it was" } else { "exchanged" });
        flows(now, &mut rows);
        step += 1;
    }
    roles(both, "in the end")[0].run(&["verify", "--deep"]).ok();
}

#[test]
fn a_promotion_and_a_rejoin_killed_in_any_step_end_well_when_they_are_given_again() {
    let lab = pair_on_the_disk();
    let both = [&lab.primary, &lab.secondary];
    let mut rows = 0;
    // Of a command whose run was finished by the next one nothing is left to do.
    let given_again = |node: &Node, args: &[&str], done: &str| {
        let ran = node.run(args);
        assert!(ran.code == Some(0) || ran.stderr.contains(done), "{ran}");
    };
    let (mut step, mut in_both) = (1, true);
    while in_both {
        let [old, new] = roles(both, "before");
        flows([old, new], &mut rows);
        old.kill();
        let of = steps(new, &PROMOTE);
        in_both = step < of;
        if step <= of {
            kill_in_step(new, &PROMOTE, step, of);
        }
        given_again(new, &PROMOTE, "it is already the primary");
        assert!(is_primary(new) && new.is_running(), "a promotion killed in step {step} of {of}");
        let of = steps(old, &REJOIN);
        in_both |= step < of;
        if step <= of {
            kill_in_step(old, &REJOIN, step, of);
        }
        given_again(old, &REJOIN, "is already the secondary");
        wait_alive_both(both);
        let now = roles(both, &format!("after step {step}"));
        assert!(now[0].home == new.home);
        flows(now, &mut rows);
        step += 1;
    }
    roles(both, "in the end")[0].run(&["verify", "--deep"]).ok();
}
