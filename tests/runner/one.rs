//! One test in a process of its own.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::space;

/// No test may take longer: one that hangs is ended, and fails.
const LIMIT: Duration = Duration::from_secs(900);

/// A test that has ended.
pub struct Ended {
    pub name: String,
    pub passed: bool,
    pub took: Duration,
    /// Seconds for which the processors worked, as far as it is known.
    pub worked: f64,
    /// What it said, on both streams.
    pub said: String,
}

/// Runs one test to its end.
pub fn run(program: &Path, name: &str) -> Ended {
    let begun = Instant::now();
    let disk = tempfile::Builder::new().prefix("pmp-ha-test").tempdir().expect("a folder");
    let mut child = space::command(program, name, disk.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the runner runs");
    // Its end is the end of the space, even if this process is killed.
    let held = child.stdin.take();
    let (sender, receiver) = mpsc::channel();
    let streams: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("a pipe")), Box::new(child.stderr.take().expect("a pipe"))];
    for mut stream in streams {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // ignored: what could be read is shown
            let _ = stream.read_to_end(&mut bytes);
            // ignored: nobody listens any more to a test that took too long
            let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
        });
    }
    drop(sender);
    let mut said = String::new();
    let mut in_time = true;
    for _ in 0..2 {
        match receiver.recv_timeout(LIMIT.saturating_sub(begun.elapsed())) {
            Ok(text) => said.push_str(&text),
            Err(_) => in_time = false,
        }
    }
    drop(held);
    let status = wait(&mut child);
    if !in_time {
        said.push_str("it took too long and was ended\n");
    }
    let worked = said.lines().rev().find_map(|line| line.strip_prefix(space::WORKED)?.parse().ok());
    let worked = worked.unwrap_or_default();
    Ended { name: name.to_owned(), passed: in_time && status, took: begun.elapsed(), worked, said }
}

fn wait(child: &mut Child) -> bool {
    child.wait().is_ok_and(|status| status.success())
}
