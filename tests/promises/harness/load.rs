//! Load on both nodes of a pair: writers that go on after every error, and know what was
//! acknowledged.

#![expect(
    clippy::print_stdout,
    reason = "what was measured is shown with a test that fails, or when asked for"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::sql::{Db, root};
use super::{Lab, Node, PATIENCE, wait_until_or, wait_within};

/// Between two rows of a writer: load for the servers, and not for the machine.
const PACE: Duration = Duration::from_millis(20);

/// A table of the primary's own. No unique key: a row that is applied twice shows.
const WORK: &str =
    "CREATE TABLE passtrix.work (NAME VARCHAR(100) NOT NULL, FILLER VARCHAR(200), KEY (NAME)) ENGINE=InnoDB";

const AUDIT: &str = "Ptrx_UserAudit (NAME, OPERATIONTYPE) VALUES ('{name}', 'under load')";

/// What each node must hold of the two tables.
const HELD: [&str; 2] = [
    "SELECT NAME FROM passtrix.work",
    "SELECT CONCAT(NAME, ' ', AUDITID) FROM passtrix.Ptrx_UserAudit WHERE OPERATIONTYPE = 'under load'",
];

/// A writer on the primary into a table of its own, and an audit writer on each node.
pub struct Load {
    work: Writer,
    audit_here: Writer,
    audit_there: Writer,
    /// Tries to write on the secondary, too, and succeeds once that is the primary.
    work_there: Option<Writer>,
}

impl Load {
    /// Makes the table and begins.
    pub fn on(lab: &Lab) -> Self {
        lab.primary.sql(WORK);
        lab.wait_same("SELECT COUNT(*) FROM work");
        Self {
            work: Writer::start(&lab.primary, "work", "work VALUES ('{name}', REPEAT('x', 120))"),
            audit_here: Writer::start(&lab.primary, "here", AUDIT),
            audit_there: Writer::start(&lab.secondary, "there", AUDIT),
            work_there: None,
        }
    }

    /// As [`Self::on`], with a writer that waits for the secondary to become the primary.
    pub fn on_whoever_is_primary(lab: &Lab) -> Self {
        let there = Writer::start(&lab.secondary, "new", "work VALUES ('{name}', REPEAT('x', 120))");
        let mut load = Self::on(lab);
        load.work_there = Some(there);
        load
    }

    /// Waits until the writer on the secondary has so many more rows of the primary's acknowledged.
    #[track_caller]
    pub fn goes_on_as_the_primary_there(&self, more: usize) {
        self.work_there.as_ref().expect("such a writer").goes_on(more);
    }

    fn writers(&self) -> impl Iterator<Item = &Writer> {
        [&self.work, &self.audit_here, &self.audit_there].into_iter().chain(&self.work_there)
    }

    /// Waits until every writer has so many more rows acknowledged.
    #[track_caller]
    pub fn goes_on(&self, more: usize) {
        self.goes_on_at_the_primary(more);
        self.goes_on_at_the_secondary(more);
    }

    /// Waits until the audit writers of both nodes have so many more rows acknowledged.
    #[track_caller]
    pub fn goes_on_with_audit(&self, more: usize) {
        for writer in [&self.audit_here, &self.audit_there] {
            writer.goes_on(more);
        }
    }

    /// Waits until the writers on the primary have so many more rows acknowledged.
    #[track_caller]
    pub fn goes_on_at_the_primary(&self, more: usize) {
        for writer in [&self.work, &self.audit_here] {
            writer.goes_on(more);
        }
    }

    /// Waits until the writer on the secondary has so many more rows acknowledged.
    #[track_caller]
    pub fn goes_on_at_the_secondary(&self, more: usize) {
        self.audit_there.goes_on(more);
    }

    /// The rows that the primary has acknowledged and a node does not hold.
    #[track_caller]
    pub fn missing_on(&self, node: &Node) -> Vec<String> {
        let writers = [&self.work, &self.audit_here];
        // A statement that is on its way ends first.
        let _paused = writers.map(|writer| writer.gate.lock().expect("whole"));
        let rows = held(node);
        let names: BTreeSet<&str> = rows.iter().filter_map(|row| row.split(' ').next()).collect();
        let acknowledged =
            writers.iter().flat_map(|writer| writer.acknowledged.lock().expect("whole").clone());
        acknowledged.filter(|name| !names.contains(name.as_str())).collect()
    }

    /// Pauses the load; waits until both nodes say Alive, Alive and hold the same rows, every
    /// acknowledged one of them once; goes on.
    #[track_caller]
    pub fn everything_is_there_once(&self, lab: &Lab) {
        self.everything_is_there_once_within(PATIENCE, lab);
    }

    /// As [`Self::everything_is_there_once`], where healing takes its time.
    #[track_caller]
    pub fn everything_is_there_once_within(&self, patience: Duration, lab: &Lab) {
        wait_within(patience, "the pair is Alive under load", || lab.all_alive());
        // A statement that is on its way ends first.
        let _paused: Vec<_> = self.writers().map(|writer| writer.gate.lock().expect("whole")).collect();
        let acknowledged: BTreeSet<String> =
            self.writers().flat_map(|writer| writer.acknowledged.lock().expect("whole").clone()).collect();
        wait_within(patience, "both nodes hold the same rows", || {
            let [here, there] = [&lab.primary, &lab.secondary].map(held);
            let primary_only: Vec<_> = here.iter().filter(|row| there.binary_search(row).is_err()).collect();
            let missing: Vec<_> = there.iter().filter(|row| here.binary_search(row).is_err()).collect();
            if here == there {
                return Ok(());
            }
            Err(format!(
                "{} rows are on the primary, {} on the secondary\nonly on the primary: {primary_only:?}\nonly on the secondary: {missing:?}",
                here.len(),
                there.len()
            ))
        });
        let rows = held(&lab.primary);
        let names: Vec<&str> = rows.iter().map(|row| row.split(' ').next().unwrap_or_default()).collect();
        let mut doubled: Vec<&str> =
            names.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
        doubled.dedup();
        assert!(doubled.is_empty(), "there more than once: {doubled:?}");
        let lost: Vec<_> =
            acknowledged.iter().filter(|name| names.binary_search(&name.as_str()).is_err()).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        wait_within(patience, "the pair is Alive", || lab.all_alive());
        println!("{} acknowledged rows are on both nodes, each once", acknowledged.len());
    }
}

/// The rows of both tables on a node, sorted.
fn held(node: &Node) -> Vec<String> {
    let mut db = Db::of(node);
    let mut out: Vec<String> = HELD.iter().flat_map(|query| db.list(query)).collect();
    out.sort_unstable();
    out
}

/// Inserts rows of different names, one a transaction, and logs in anew after every error.
struct Writer {
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
    /// Held while a statement is on its way.
    gate: Arc<Mutex<()>>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicUsize>,
    who: String,
}

impl Writer {
    fn start(node: &Node, who: &str, what: &'static str) -> Self {
        let writer = Self {
            thread: None,
            ended: Arc::default(),
            gate: Arc::default(),
            acknowledged: Arc::default(),
            count: Arc::default(),
            who: who.to_owned(),
        };
        let (ended, gate) = (Arc::clone(&writer.ended), Arc::clone(&writer.gate));
        let (acknowledged, count) = (Arc::clone(&writer.acknowledged), Arc::clone(&writer.count));
        let (opts, who) = (root(node), who.to_owned());
        let thread = std::thread::spawn(move || {
            let mut db = None;
            let mut number = 0;
            while !ended.load(Ordering::SeqCst) {
                std::thread::sleep(PACE);
                let _on_its_way = gate.lock().expect("whole");
                if db.is_none() {
                    db = Db::open(opts.clone()).ok();
                }
                let Some(open) = &mut db else { continue };
                // Each try has a name of its own: what was not acknowledged may be there or not.
                number += 1;
                let name = format!("{who}-{number:06}");
                if open.try_rows(&format!("INSERT INTO passtrix.{}", what.replace("{name}", &name))).is_err()
                {
                    db = None;
                    continue;
                }
                acknowledged.lock().expect("whole").push(name);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { thread: Some(thread), ..writer }
    }

    #[track_caller]
    fn goes_on(&self, more: usize) {
        let before = self.count.load(Ordering::SeqCst);
        wait_until_or(&format!("the writer '{}' has {more} more rows acknowledged", self.who), || {
            let done = self.count.load(Ordering::SeqCst) - before;
            if done >= more { Ok(()) } else { Err(format!("it has {done}")) }
        });
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let writers = [&mut self.work, &mut self.audit_here, &mut self.audit_there];
        for writer in writers.into_iter().chain(&mut self.work_there) {
            writer.ended.store(true, Ordering::SeqCst);
            // A server that a failed test has left frozen would never let its writer end.
            if let Some(thread) = writer.thread.take().filter(|_| !std::thread::panicking()) {
                thread.join().expect("the writer ends");
            }
        }
    }
}
