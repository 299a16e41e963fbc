//! A writer into a table of its own, which knows what was acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::lab::Lab;
use super::node::Node;
use super::sql::{Db, root};
use super::wait::wait_until;

/// No unique key: a row that is applied twice shows.
pub const TABLE: &str =
    "CREATE TABLE passtrix.x (id BIGINT NOT NULL, filler VARCHAR(200), KEY (id)) ENGINE=InnoDB";

/// Rows that a writer has had acknowledged before the blow.
pub const UNDER_LOAD: usize = 60;

/// Between two rows of a writer: load for the servers, and not for the machine.
const PACE: Duration = Duration::from_millis(15);

/// Between two rows where a kill has to meet one that is under way.
const FAST: Duration = Duration::from_millis(2);

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

/// Inserts rows of increasing ids, one a transaction, until it is ended or its server is gone.
pub struct Writer {
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
    acknowledged: Arc<(Mutex<Vec<u64>>, AtomicUsize)>,
}

impl Writer {
    pub fn start(node: &Node, ids: &Arc<AtomicU64>) -> Self {
        Self::at_a_pace(node, ids, PACE)
    }

    /// As [`Self::start`], with a row under way at nearly every moment.
    pub fn fast(node: &Node, ids: &Arc<AtomicU64>) -> Self {
        Self::at_a_pace(node, ids, FAST)
    }

    fn at_a_pace(node: &Node, ids: &Arc<AtomicU64>, pace: Duration) -> Self {
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
                std::thread::sleep(pace);
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
