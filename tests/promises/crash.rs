//! Crashes under load, and restarts: nothing acknowledged is lost, nothing is doubled, and no
//! command is needed but the start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::harness::{Lab, Node, is_alive, send_signal, wait_until};
use crate::harness::{TABLE, UNDER_LOAD, Writer, everything_is_there_once};
use crate::{on_every_server, on_old_servers, on_servers};

on_every_server!(
    nothing_acknowledged_is_lost_or_doubled_by_crashes_under_load,
    a_number_that_a_stranger_got_after_the_crash_keeps_nobody_down
);
on_old_servers!(nothing_acknowledged_is_lost_or_doubled_by_crashes_under_load);
on_servers!(a_restart_of_either_side_or_both_needs_nothing_else: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

fn nothing_acknowledged_is_lost_or_doubled_by_crashes_under_load(server: &str) {
    let lab = Lab::pair(server);
    lab.primary.sql(TABLE);
    let ids = Arc::new(AtomicU64::new(1));
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        for victims in [vec![&lab.primary], vec![&lab.secondary], vec![&lab.primary, &lab.secondary]] {
            let writer = Writer::fast(&lab.primary, &ids);
            writer.wait_for(UNDER_LOAD + 37 * round);
            kill_at_once(&victims);
            if victims.iter().all(|node| node.home != lab.primary.home) {
                // The primary goes on alone.
                let so_far = writer.count();
                writer.wait_for(so_far + UNDER_LOAD);
            }
            acknowledged.extend(writer.end());
            for node in victims {
                node.run(&["start"]).ok();
            }
            everything_is_there_once(&lab, &acknowledged);
        }
    }
    lab.tables_are_equal();
}

fn a_restart_of_either_side_or_both_needs_nothing_else(server: &str) {
    let lab = Lab::pair(server);
    lab.primary.sql(TABLE);
    let ids = Arc::new(AtomicU64::new(1));
    let mut acknowledged = BTreeSet::new();

    lab.secondary.run(&["stop"]).ok();
    let writer = Writer::start(&lab.primary, &ids);
    writer.wait_for(UNDER_LOAD);
    lab.primary.run(&["verify"]).exits(5);
    lab.secondary.run(&["start"]).ok();
    writer.wait_for(2 * UNDER_LOAD);
    acknowledged.extend(writer.end());
    everything_is_there_once(&lab, &acknowledged);

    lab.primary.run(&["stop"]).ok();
    lab.secondary.run(&["verify"]).exits(5);
    lab.primary.run(&["start"]).ok();
    let writer = Writer::start(&lab.primary, &ids);
    writer.wait_for(UNDER_LOAD);
    acknowledged.extend(writer.end());
    everything_is_there_once(&lab, &acknowledged);

    lab.secondary.run(&["stop"]).ok();
    lab.primary.run(&["stop"]).ok();
    lab.secondary.run(&["start"]).ok();
    lab.primary.run(&["start"]).ok();
    everything_is_there_once(&lab, &acknowledged);
    assert_eq!(lab.primary.verify().0, "Alive");
    lab.tables_are_equal();
}

/// `MySQL` 5.7 and later do not start while any process has the number that stands beside the
/// socket; after a power failure that is often somebody else.
fn a_number_that_a_stranger_got_after_the_crash_keeps_nobody_down(server: &str) {
    let lab = Lab::up(server);
    lab.primary.run(&["start"]).ok();
    lab.primary.kill();
    let beside_the_socket = lab.primary.home.join("mysql/tmp/mysql.sock.lock");
    assert_eq!(beside_the_socket.exists(), server == "mysql-9.7");
    std::fs::write(&beside_the_socket, format!("{}\n", std::process::id())).expect("written");
    lab.primary.run(&["start"]).ok();
    assert_ne!(lab.primary.sql("SELECT COUNT(*) FROM Ptrx_Account"), "0");
}

/// Kills servers without giving one of them time to notice the other's end.
fn kill_at_once(nodes: &[&Node]) {
    let pids: Vec<u32> = nodes.iter().map(|node| node.pid()).collect();
    for pid in &pids {
        send_signal(*pid, "KILL");
    }
    wait_until("the killed servers are gone", || pids.iter().all(|pid| !is_alive(*pid)));
}
