//! Waiting for a condition. Nothing in here sleeps instead of waiting.

use std::time::{Duration, Instant};

/// How long a test waits for a condition before it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a condition holds, and fails the test when it does not in time.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_until_or(what, || if holds() { Ok(()) } else { Err(String::new()) });
}

/// Waits until a condition holds, and fails the test with what was last seen when it does not.
#[track_caller]
pub fn wait_until_or(what: &str, look: impl FnMut() -> Result<(), String>) {
    wait_within(PATIENCE, what, look);
}

/// As [`wait_until_or`], with a patience of its own.
#[track_caller]
pub fn wait_within(patience: Duration, what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    loop {
        let this_look = Instant::now();
        let Err(seen) = look() else { return };
        assert!(begun.elapsed() < patience, "waited {} s in vain until {what}\n{seen}", patience.as_secs());
        // What takes longer is looked at less often: looks cost the servers time, too. A busy machine gets
        // three times as much time for other work as the look took.
        let pause = (begun.elapsed() / 10).clamp(Duration::from_millis(50), Duration::from_millis(500));
        std::thread::sleep(pause.max(3 * this_look.elapsed()));
    }
}
