//! Users of the product on both nodes, who try to write and to read all the time, and note when it worked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::sql::{Db, root};
use crate::harness::{Node, wait_until};

/// What they write into.
pub const TABLE: &str = "CREATE TABLE passtrix.work (NUMBER INT NOT NULL AUTO_INCREMENT PRIMARY KEY, FILLER VARCHAR(200)) ENGINE=InnoDB";

const WRITE: &str = "INSERT INTO passtrix.work (FILLER) VALUES (REPEAT('x', 120))";
const READ: &str = "SELECT COUNT(*) FROM passtrix.Ptrx_Settings";

/// Between two tries.
const PACE: Duration = Duration::from_millis(5);

/// When the tries of a user worked.
type Times = Arc<Mutex<Vec<Instant>>>;

/// A writer and a reader on each of two nodes.
pub struct Users {
    threads: Vec<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
    writes: [Times; 2],
    reads: [Times; 2],
    begun: Instant,
}

/// What they have seen.
pub struct Seen {
    pub begun: Instant,
    writes: [Vec<Instant>; 2],
    reads: [Vec<Instant>; 2],
}

impl Users {
    /// Begins, on the old primary and on the new one.
    pub fn on(nodes: [&Node; 2]) -> Self {
        let mut users = Self {
            threads: Vec::new(),
            ended: Arc::default(),
            writes: Default::default(),
            reads: Default::default(),
            begun: Instant::now(),
        };
        for (index, node) in nodes.into_iter().enumerate() {
            for (what, times) in [(WRITE, &users.writes[index]), (READ, &users.reads[index])] {
                let (opts, times, ended) = (root(node), Arc::clone(times), Arc::clone(&users.ended));
                users.threads.push(std::thread::spawn(move || {
                    let mut db = None;
                    while !ended.load(Ordering::SeqCst) {
                        if db.is_none() {
                            db = Db::open(opts.clone()).ok();
                        }
                        match db.as_mut().map(|db| db.try_rows(what)) {
                            Some(Ok(_)) => times.lock().expect("whole").push(Instant::now()),
                            _ => db = None,
                        }
                        std::thread::sleep(PACE);
                    }
                }));
            }
        }
        users
    }

    /// Waits until the writer of the primary and both readers are at work.
    pub fn go_on(&self) {
        for times in [&self.writes[0], &self.reads[0], &self.reads[1]] {
            wait_until("they are at work", || times.lock().expect("whole").len() > 20);
        }
    }

    /// Waits until some writer goes on, counted from now.
    pub fn goes_on_anywhere(&self) {
        let count = || self.writes.iter().map(|times| times.lock().expect("whole").len()).sum::<usize>();
        let before = count();
        wait_until("writes are taken again", || count() > before + 5);
    }

    /// Ends them; what they have seen.
    pub fn end(self) -> Seen {
        self.ended.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("it ends");
        }
        let all = |times: [Times; 2]| times.map(|times| times.lock().expect("whole").clone());
        Seen { begun: self.begun, writes: all(self.writes), reads: all(self.reads) }
    }
}

impl Seen {
    /// The last write that a node took before a moment.
    pub fn last_write_before(&self, node: usize, moment: Instant) -> Instant {
        self.writes[node].iter().copied().filter(|at| *at < moment).max().expect("a write")
    }

    /// The first write that a node took after a moment.
    pub fn first_write_after(&self, node: usize, moment: Instant) -> Instant {
        self.writes[node].iter().copied().find(|at| *at > moment).expect("a write")
    }

    /// The longest time between two writes of a node, from a moment on.
    pub fn longest_wait_to_write(&self, node: usize, from: Instant) -> Duration {
        longest(self.writes[node].iter().copied().filter(|at| *at >= from))
    }

    /// The longest time between two reads of a node.
    pub fn longest_wait_to_read(&self, node: usize) -> Duration {
        longest(self.reads[node].iter().copied())
    }

    /// When writes were back after a moment: behind the longest time in which no node took one.
    pub fn writes_back(&self, struck: Instant) -> Instant {
        let mut all: Vec<Instant> =
            self.writes.iter().flatten().copied().filter(|at| *at >= struck).collect();
        all.push(struck);
        all.sort_unstable();
        let gap = all.windows(2).max_by_key(|two| two[1] - two[0]).expect("writes afterwards");
        gap[1]
    }
}

fn longest(times: impl Iterator<Item = Instant>) -> Duration {
    let times: Vec<Instant> = times.collect();
    times.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
}
