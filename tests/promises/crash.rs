//! Crashes under load, and restarts: nothing acknowledged is lost, nothing is doubled, and no
//! command is needed but the start.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::{Lab, Node, is_alive, send_signal, wait_until};
use crate::sql::{Db, root};
use crate::{on_every_server, on_servers};

on_every_server!(
    nothing_acknowledged_is_lost_or_doubled_by_crashes_under_load,
    a_number_that_a_stranger_got_after_the_crash_keeps_nobody_down
);
on_servers!(a_restart_of_either_side_or_both_needs_nothing_else: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

/// No unique key: a row that is applied twice shows.
pub const TABLE: &str =
    "CREATE TABLE passtrix.x (id BIGINT NOT NULL, filler VARCHAR(200), KEY (id)) ENGINE=InnoDB";

/// Between two rows of a writer.
const PACE: Duration = Duration::from_millis(2);

/// Rows that a writer has had acknowledged before the blow.
pub const UNDER_LOAD: usize = 150;

fn nothing_acknowledged_is_lost_or_doubled_by_crashes_under_load(server: &str) {
    let lab = Lab::pair(server);
    lab.primary.sql(TABLE);
    let ids = Arc::new(AtomicU64::new(1));
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        for victims in [vec![&lab.primary], vec![&lab.secondary], vec![&lab.primary, &lab.secondary]] {
            let writer = Writer::start(&lab.primary, &ids);
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

/// Both are Alive again, hold the same rows, each once, and every acknowledged one is among them.
#[track_caller]
pub fn everything_is_there_once(lab: &Lab, acknowledged: &BTreeSet<u64>) {
    lab.wait_alive();
    let all = |node: &Node| -> Vec<u64> {
        let ids = Db::of(node).list("SELECT id FROM passtrix.x ORDER BY id");
        ids.iter().map(|id| id.parse().expect("a number")).collect()
    };
    let on_primary = all(&lab.primary);
    wait_until("both nodes hold the same rows", || all(&lab.secondary) == on_primary);
    let distinct: BTreeSet<u64> = on_primary.iter().copied().collect();
    assert_eq!(distinct.len(), on_primary.len(), "a row is there twice");
    let lost: Vec<_> = acknowledged.difference(&distinct).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

/// Kills servers without giving one of them time to notice the other's end.
fn kill_at_once(nodes: &[&Node]) {
    let pids: Vec<u32> = nodes.iter().map(|node| node.pid()).collect();
    for pid in &pids {
        send_signal(*pid, "KILL");
    }
    wait_until("the killed servers are gone", || pids.iter().all(|pid| !is_alive(*pid)));
}

/// Inserts rows of increasing ids, one a transaction, until it is ended or its server is gone.
pub struct Writer {
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
    acknowledged: Arc<(Mutex<Vec<u64>>, AtomicUsize)>,
}

impl Writer {
    pub fn start(node: &Node, ids: &Arc<AtomicU64>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new((Mutex::new(Vec::new()), AtomicUsize::new(0)));
        let opts = root(node);
        let (ids, stop, noted) = (Arc::clone(ids), Arc::clone(&ended), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || {
            let mut db = Db::open(opts).expect("the writer logs in");
            while !stop.load(Ordering::SeqCst) {
                let id = ids.fetch_add(1, Ordering::SeqCst);
                let insert = format!("INSERT INTO passtrix.x VALUES ({id}, REPEAT('x', {}))", id % 200);
                if db.try_rows(&insert).is_err() {
                    break;
                }
                noted.0.lock().expect("whole").push(id);
                noted.1.fetch_add(1, Ordering::SeqCst);
                // As a disk would: homes in memory take rows as fast as the processor makes them.
                std::thread::sleep(PACE);
            }
        });
        Self { thread: Some(thread), ended, acknowledged }
    }

    pub fn count(&self) -> usize {
        self.acknowledged.1.load(Ordering::SeqCst)
    }

    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        wait_until(&format!("{count} rows are acknowledged"), || self.count() >= count);
    }

    /// Ends the load; which rows the server has acknowledged.
    pub fn end(mut self) -> Vec<u64> {
        self.stop();
        self.acknowledged.0.lock().expect("whole").clone()
    }

    fn stop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the writer ends");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}
