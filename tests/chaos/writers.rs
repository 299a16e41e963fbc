//! The application, on both nodes at once: it tries application writes and audit rows wherever it
//! can, for as long as a round goes on, and notes what was acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mysql_async::Opts;

use crate::harness::sql::{Db, root};
use crate::harness::wait_until;
use crate::history::{Kind, Micros, Node, Write};
use crate::pair::Pair;

/// A table of the application's own. No unique key: a row that is applied twice shows.
pub const WORK: &str =
    "CREATE TABLE passtrix.work (NAME VARCHAR(100) NOT NULL, FILLER VARCHAR(200), KEY (NAME)) ENGINE=InnoDB";

/// What both nodes hold of the rows of all rounds, the number of an audit row with it.
pub const HELD: [&str; 2] = [
    "SELECT NAME FROM passtrix.work",
    "SELECT CONCAT(NAME, ' ', AUDITID) FROM passtrix.Ptrx_UserAudit WHERE OPERATIONTYPE = 'chaos'",
];

/// Between two rows of a writer: load for the servers, and not for the machine.
const PACE: Duration = Duration::from_millis(15);

/// After a failure, which on a secondary is every application write.
const SOON_AGAIN: Duration = Duration::from_millis(40);

/// Now, by the clock that everything here is noted with.
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set");
    Micros::try_from(since.as_micros()).expect("a date of this age")
}

/// Four writers: each node, each kind.
pub struct Writers {
    threads: Vec<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
    writes: Arc<Mutex<Vec<Write>>>,
}

impl Writers {
    /// Begins; the seed makes the names those of this round.
    pub fn start(pair: &Pair, seed: u64) -> Self {
        let mut all = Self { threads: Vec::new(), ended: Arc::default(), writes: Arc::default() };
        for node in Node::BOTH {
            for kind in [Kind::Application, Kind::Audit] {
                let opts = root(pair.node(node));
                let (ended, writes) = (Arc::clone(&all.ended), Arc::clone(&all.writes));
                let named = move |number: u64| format!("{seed}-{node}-{kind:?}-{number:06}");
                let thread = std::thread::spawn(move || {
                    go_on(&opts, &ended, |number, db| {
                        let name = named(number);
                        let begun = now();
                        db.try_rows(&insert(kind, &name))?;
                        let write = Write { node, kind, name, begun, acknowledged: now() };
                        writes.lock().expect("whole").push(write);
                        Ok(())
                    });
                });
                all.threads.push(thread);
            }
        }
        all
    }

    /// Waits until a writer has so many more rows acknowledged.
    #[track_caller]
    pub fn goes_on(&self, node: Node, kind: Kind, more: usize) {
        let count = || {
            let writes = self.writes.lock().expect("whole");
            writes.iter().filter(|write| write.node == node && write.kind == kind).count()
        };
        let before = count();
        wait_until(&format!("{more} more {kind:?} rows are acknowledged on {node}"), || {
            count() >= before + more
        });
    }

    /// Ends the load; what was acknowledged.
    #[track_caller]
    pub fn end(self) -> Vec<Write> {
        self.ended.store(true, Ordering::SeqCst);
        wait_until("the writers have ended", || self.threads.iter().all(JoinHandle::is_finished));
        self.writes.lock().expect("whole").clone()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// Tries again and again, with a login of its own after every failure. A server that does not answer
/// is waited for: what it acknowledges when it wakes up counts.
fn go_on(
    opts: &Opts,
    ended: &AtomicBool,
    mut write: impl FnMut(u64, &mut Db) -> Result<(), mysql_async::Error>,
) {
    let mut open = None;
    // Each try has a name of its own: what was not acknowledged may be there or not.
    for number in 0.. {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        if open.is_none() {
            open = Db::open(opts.clone()).ok();
        }
        let written = open.as_mut().is_some_and(|db| write(number, db).is_ok());
        if written {
            std::thread::sleep(PACE);
        } else {
            open = None;
            std::thread::sleep(SOON_AGAIN);
        }
    }
}

fn insert(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Application => format!("INSERT INTO passtrix.work VALUES ('{name}', REPEAT('x', 120))"),
        Kind::Audit => {
            format!("INSERT INTO passtrix.Ptrx_UserAudit (NAME, OPERATIONTYPE) VALUES ('{name}', 'chaos')")
        }
    }
}
