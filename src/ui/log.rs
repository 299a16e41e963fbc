//! What pmp-ha writes into the log of a home: the same words as on the screen, with their times.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::adapters::clock;
use crate::domain::words::printable;

/// Where the lines go.
type Sink = Box<dyn Write + Send>;

/// The log of one command. Until a file is there, the lines wait.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<LogState>>);

#[derive(Default)]
enum LogState {
    /// Nobody wants a log.
    #[default]
    Off,
    /// The home is not known yet.
    Waiting(Vec<String>),
    /// It is written.
    Open(Sink),
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// Begins to collect lines.
    pub(super) fn begin(&self) {
        self.with(|state| *state = LogState::Waiting(Vec::new()));
    }

    /// Writes the lines into `sink` from now on, and what has waited first.
    pub(super) fn open(&self, sink: Sink) {
        self.with(|state| {
            if let LogState::Waiting(lines) = std::mem::replace(state, LogState::Off) {
                let mut sink = sink;
                let wrote = lines.iter().try_for_each(|line| sink.write_all(line.as_bytes()));
                *state = if wrote.is_ok() { LogState::Open(sink) } else { LogState::Off };
            }
        });
    }

    /// Whether lines wait for a file.
    pub(super) fn waits(&self) -> bool {
        self.with(|state| matches!(state, LogState::Waiting(_)))
    }

    /// Adds a text, a line for each of its lines. A log that cannot be written stops no command.
    pub(super) fn add(&self, text: &str) {
        self.with(|state| {
            let lines = || entry(&clock::now(), std::process::id(), text);
            match state {
                LogState::Off => {}
                LogState::Waiting(waiting) => waiting.push(lines()),
                LogState::Open(sink) => {
                    if sink.write_all(lines().as_bytes()).is_err() {
                        *state = LogState::Off;
                    }
                }
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut LogState) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `TIME [PROCESS] text`, each line of the text with its own time.
fn entry(time: &str, process: u32, text: &str) -> String {
    let mut out = String::new();
    for line in printable(text).lines() {
        // ignored: it is a text in memory
        let _ = writeln!(out, "{time} [{process}] {line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("alone").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_wait_for_the_file_and_no_log_keeps_nothing() {
        let (log, kept) = (Log::default(), Kept::default());
        log.add("nobody wants this");
        log.begin();
        assert!(log.waits());
        log.add("begin");
        log.open(Box::new(kept.clone()));
        assert!(!log.waits());
        log.add("two\nlines \u{1b}[2J");
        let text = String::from_utf8(kept.0.lock().expect("alone").clone()).expect("text");
        let lines: Vec<&str> = text.lines().filter_map(|line| line.split("] ").nth(1)).collect();
        assert_eq!(lines, ["begin", "two", "lines ?[2J"]);
        assert!(text.starts_with("20") && text.contains("Z ["), "{text}");
    }
}
