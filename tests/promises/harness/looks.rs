//! Looking at a pair from both nodes, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::lab::Lab;
use super::node::Node;

/// Looks at a pair from both nodes every half second, until it ends.
pub struct Looks {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Looks {
    /// Begins to look.
    pub fn begin(lab: &Lab) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let look = |node: &Node| {
            let (node, over) = (node.clone(), Arc::clone(&over));
            std::thread::spawn(move || {
                let (mut looks, mut bad) = (0, Vec::new());
                while !over.load(Ordering::Relaxed) {
                    let ran = node.run(&["--json", "verify"]);
                    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
                    let codes: Option<Vec<&str>> = report["findings"].as_array().map(|findings| {
                        findings.iter().filter_map(|finding| finding["code"].as_str()).collect()
                    });
                    // A machine that is too busy to be looked at tells nothing.
                    let is_late = |code: &&str| code.ends_with("-slow") || code.ends_with("-frozen");
                    match codes {
                        Some(codes) if codes.iter().any(is_late) => {}
                        // The exit code says that both words are Alive.
                        Some(codes) if codes.is_empty() && ran.code == Some(0) => looks += 1,
                        _ => bad.push(ran.to_string()),
                    }
                    std::thread::sleep(Duration::from_millis(500));
                }
                (looks, bad)
            })
        };
        let threads = [&lab.primary, &lab.secondary].map(look).into();
        Self { over, threads }
    }

    /// Ends, and fails the test if a look of either node found anything. Returns how many looks there were.
    #[track_caller]
    pub fn found_nothing(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter().map(|thread| thread.join().expect("it ends"));
        let (looks, bad): (Vec<usize>, Vec<Vec<String>>) = ended.unzip();
        let bad = bad.concat();
        assert!(bad.is_empty(), "{} of {looks:?} looks:\n{}", bad.len(), bad.join("\n"));
        assert!(looks.iter().all(|looks| *looks > 2), "{looks:?}");
        looks.iter().sum()
    }
}
