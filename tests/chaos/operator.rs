//! The operator: gives the commands of the manual, is killed in the middle of one when the schedule
//! says so, and remembers everything.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::harness::{Node, Ran};

/// No command may take longer than this, whatever is wrong with the pair.
const LONGEST: Duration = Duration::from_secs(300);

/// How often a command is given again before the operator gives up.
pub const TRIES: usize = 8;

/// Between two tries.
pub const PAUSE: Duration = Duration::from_secs(1);

/// Gives commands and keeps a log of the round.
pub struct Operator {
    begun: Instant,
    log: Mutex<String>,
    kills: Mutex<VecDeque<Duration>>,
}

impl Operator {
    /// With the times after which its commands are killed, one after the other.
    pub fn new(kills: &[Duration]) -> Self {
        Self {
            begun: Instant::now(),
            log: Mutex::default(),
            kills: Mutex::new(kills.iter().copied().collect()),
        }
    }

    /// Puts a line into the log.
    pub fn note(&self, text: &str) {
        let mut log = self.log.lock().expect("whole");
        writeln!(log, "{:8.3} {text}", self.begun.elapsed().as_secs_f64()).expect("a text takes it");
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("whole").clone()
    }

    /// Runs a command on a node. It is killed when that is due; then it has no exit code.
    #[track_caller]
    pub fn run(&self, node: &Node, args: &[&str]) -> Ran {
        let kill = self.kills.lock().expect("whole").pop_front();
        self.run_until(node, args, kill)
    }

    /// Runs a command on a node, and lets it end.
    #[track_caller]
    pub fn run_to_its_end(&self, node: &Node, args: &[&str]) -> Ran {
        self.run_until(node, args, None)
    }

    #[track_caller]
    fn run_until(&self, node: &Node, args: &[&str], kill: Option<Duration>) -> Ran {
        let shown = format!("{}: pmp-ha {}", name(node), args.join(" "));
        let until = kill.map(|after| format!(", to be killed after {:.3} s", after.as_secs_f64()));
        self.note(&format!("begins: {shown}{}", until.unwrap_or_default()));
        let begun = Instant::now();
        // Files, not pipes: a server that the command leaves behind would keep a pipe open.
        let [mut stdout, mut stderr] = [tempfile(), tempfile()];
        let mut child = node
            .command(args)
            .stdout(Stdio::from(stdout.try_clone().expect("clonable")))
            .stderr(Stdio::from(stderr.try_clone().expect("clonable")))
            .spawn()
            .expect("the binary runs");
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            let elapsed = begun.elapsed();
            if kill.is_some_and(|after| elapsed >= after) || elapsed > LONGEST {
                child.kill().expect("a child");
                break child.wait().expect("a child");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let ran = Ran::of_parts(shown, status.code(), text_of(&mut stdout), text_of(&mut stderr));
        self.note(&format!("after {:.3} s: {ran}", begun.elapsed().as_secs_f64()));
        assert!(begun.elapsed() <= LONGEST, "it does not end: {ran}");
        ran
    }

    /// Starts the database of a node if it does not run. A refusal stands in the log, and the end of
    /// the round tells whether it was right.
    #[track_caller]
    pub fn start(&self, node: &Node) {
        let is_boot = |line: &String| line.contains("boot.cnf");
        if node.is_running() && !node.processes().iter().any(is_boot) {
            return;
        }
        for _ in 0..TRIES {
            // A start that was killed has left a server half up; one that is refused stays so.
            if matches!(self.run(node, &["start"]).code, Some(0 | 4)) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// What a node is called in the log.
pub fn name(node: &Node) -> &'static str {
    if node.home.ends_with("primary") { "a" } else { "b" }
}

fn tempfile() -> File {
    tempfile::tempfile().expect("a file")
}

fn text_of(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("a file");
    file.read_to_end(&mut bytes).expect("a file");
    String::from_utf8_lossy(&bytes).into_owned()
}
