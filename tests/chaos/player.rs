//! Plays the rounds of one server, and keeps what tells of those that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::operator::{self, Operator};
use crate::pair::Pair;
use crate::round::{self, Outcome};
use crate::sabotage::Sabotage;
use crate::schedule::Schedule;
use crate::table::Round;

/// A new pair after so many rounds, so that no state grows for ever.
const ROUNDS_OF_A_PAIR: usize = 12;

/// What all rounds of a server have in common.
pub struct Player<'a> {
    pub server: &'a str,
    pub semi_sync: bool,
    pub sabotage: Option<Sabotage>,
    /// Whether somebody wants the rounds to end.
    pub ended: &'a AtomicBool,
}

impl Player<'_> {
    /// Plays rounds on one pair for as long as that is well, each from its seed.
    pub fn play(&self, seeds: &[u64], rounds: &Mutex<Vec<Round>>) {
        for seeds in seeds.chunks(ROUNDS_OF_A_PAIR) {
            let mut pair = None;
            for seed in seeds {
                if self.ended.load(Ordering::SeqCst) {
                    return;
                }
                let round = self.round(*seed, &mut pair);
                if self.ended.load(Ordering::SeqCst) {
                    say(&format!("seed {seed} was interrupted and does not count"));
                    return;
                }
                say(&round.line());
                rounds.lock().expect("whole").push(round);
            }
        }
    }

    /// Plays one round, on a new pair where there is none. One that failed takes its pair with it.
    fn round(&self, seed: u64, pair: &mut Option<Pair>) -> Round {
        let schedule = Schedule::of(seed);
        let operator = Operator::new(&schedule.tool_kills);
        operator.note(&schedule.to_string());
        let played = catch_unwind(AssertUnwindSafe(|| {
            let pair = pair.get_or_insert_with(|| Pair::make(self.server, self.semi_sync));
            round::play(pair, &schedule, &operator, self.sabotage)
        }));
        let outcome = played.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            let complaints = vec![format!("nothing can be judged: {text}")];
            Outcome { complaints, illegal_end: true, ..Outcome::default() }
        });
        let mut round = Round { seed, server: self.server.to_owned(), schedule, outcome };
        if !round.passed() {
            let kept = keep_evidence(&format!("{}-{seed}", self.server), pair.as_ref(), &operator);
            round.outcome.complaints.push(format!("the evidence is in {}", kept.display()));
            *pair = None;
        }
        round
    }
}

#[expect(clippy::print_stdout, reason = "the lines of the rounds are what this is for")]
fn say(line: &str) {
    println!("{line}");
}

/// Keeps what tells of a failed round: the log of the operator, and of each node the logs of the
/// server, the journal and what it knows of its pair.
fn keep_evidence(name: &str, pair: Option<&Pair>, operator: &Operator) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/chaos").join(name);
    // ignored: there is none of an earlier time
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("log"), operator.log()).expect("written");
    for node in pair.map(Pair::both).into_iter().flatten() {
        let name = operator::name(node);
        let logs = std::fs::read_dir(node.path("mysql/data")).into_iter().flatten().flatten();
        let logs = logs.map(|entry| entry.path());
        let logs = logs.filter(|path| path.extension().is_some_and(|kind| kind == "err"));
        let others =
            ["replication/pmp-ha-journal.jsonl", "conf/pmp-ha/pair.toml"].map(|path| node.path(path));
        for path in logs.chain(others).filter(|path| path.exists()) {
            let file = path.file_name().expect("a name").to_string_lossy();
            std::fs::copy(&path, folder.join(format!("{name}-{file}"))).expect("kept");
        }
    }
    folder
}
