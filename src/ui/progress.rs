//! The progress of work that takes time.
//!
//! On a terminal, it is one line that is painted again. Without a terminal, it is one line every ten
//! seconds.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::domain::plan::Bytes;

/// How often a log hears of work that goes on.
const PERIOD: Duration = Duration::from_secs(10);

/// How often a wait is painted, so that somebody who looks sees that time passes.
const TICK: Duration = Duration::from_millis(120);

/// Plain characters: a terminal without UTF-8 shows them, too.
const WHEEL: &str = "|/-\\ ";

/// Where work that takes time is shown.
#[derive(Debug, Clone)]
pub(super) enum Shows {
    /// Nobody wants to see it.
    Nothing,
    /// A terminal on which a line can be painted again.
    Painted(MultiProgress),
    /// A log, or a terminal that only writes on.
    Lines,
}

impl Shows {
    /// A terminal that can paint.
    pub(super) fn painted() -> Self {
        Self::Painted(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
    }

    /// Writes other output, without a painted line in between.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match self {
            Self::Painted(bars) => bars.suspend(write),
            Self::Nothing | Self::Lines => write(),
        }
    }

    /// Work of so many bytes; of unknown length without them. `line` writes a line of a log.
    pub(super) fn work(&self, words: &str, bytes: Option<u64>, line: fn(&str)) -> Progress {
        Progress(match self {
            Self::Nothing => OnScreen::Nothing,
            Self::Painted(bars) => OnScreen::Painted(painted(bars, words, bytes)),
            Self::Lines => OnScreen::Lines(Lines::begin(words, bytes, PERIOD, line)),
        })
    }
}

fn painted(bars: &MultiProgress, words: &str, bytes: Option<u64>) -> ProgressBar {
    let bar = bars.add(bytes.map_or_else(ProgressBar::no_length, ProgressBar::new));
    let template =
        if bytes.is_some() { "{msg} [{wide_bar}] {how_far}" } else { "{spinner} {waited}  {wide_msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        let how_far = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let speed = Speed { per_second: state.per_sec(), left: state.eta() };
            // ignored: it is a text in memory
            let _ = out.write_str(&how_far(state.pos(), state.len().unwrap_or_default(), &speed));
        };
        let waited = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // ignored: it is a text in memory
            let _ = write!(out, "{} s", state.elapsed().as_secs());
        };
        let style = style.progress_chars("=> ").tick_chars(WHEEL);
        bar.set_style(style.with_key("how_far", how_far).with_key("waited", waited));
    }
    bar.set_message(words.to_owned());
    // What is over within a tick is shown, too.
    bar.force_draw();
    bar.enable_steady_tick(TICK);
    bar
}

struct Speed {
    per_second: f64,
    left: Duration,
}

/// `45% of 1.2 GB, 120.3 MB/s, 8 s left`; without the last two while nothing has moved.
fn how_far(done: u64, total: u64, speed: &Speed) -> String {
    let mut text = format!("{}% of {}", percent(done, total), Bytes(total));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "for people, and not negative"
    )]
    let per_second = speed.per_second as u64;
    if per_second > 0 {
        // ignored: it is a text in memory
        let _ = write!(text, ", {}/s, {} left", Bytes(per_second), time(speed.left));
    }
    text
}

fn percent(done: u64, total: u64) -> u64 {
    let hundredths = u128::from(done.min(total)) * 100;
    hundredths.checked_div(total.into()).and_then(|percent| u64::try_from(percent).ok()).unwrap_or(100)
}

/// A time for people, as short as it can be.
fn time(time: Duration) -> String {
    const SECONDS: u64 = 120;
    const MINUTES: u64 = 120 * 60;
    match time.as_secs() {
        seconds if seconds < SECONDS => format!("{seconds} s"),
        seconds if seconds < MINUTES => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Work under way, which can be handed to another thread. What is shown of it ends with it.
#[derive(Debug)]
pub struct Progress(OnScreen);

#[derive(Debug)]
enum OnScreen {
    Nothing,
    Painted(ProgressBar),
    Lines(Lines),
}

impl Progress {
    /// Shows nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(OnScreen::Nothing)
    }

    /// Goes on by `bytes`.
    pub fn add(&self, bytes: u64) {
        match &self.0 {
            OnScreen::Nothing => {}
            OnScreen::Painted(bar) => bar.inc(bytes),
            OnScreen::Lines(lines) => {
                lines.done.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let OnScreen::Painted(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A thread that writes a line now and then, until this is dropped.
#[derive(Debug)]
struct Lines {
    done: Arc<AtomicU64>,
    /// Its end is what the thread waits for.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    fn begin(
        words: &str,
        bytes: Option<u64>,
        period: Duration,
        write: impl Fn(&str) + Send + 'static,
    ) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let (end, ended) = mpsc::channel();
        let (words, counted, begun) = (words.to_owned(), Arc::clone(&done), Instant::now());
        let report = move || {
            while ended.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                let passed = begun.elapsed().as_secs();
                let so_far = match bytes {
                    Some(total) => {
                        let done = counted.load(Ordering::Relaxed);
                        format!("{}% of {} after {passed} s", percent(done, total), Bytes(total))
                    }
                    None => format!("{passed} s so far"),
                };
                write(&format!("  {words}: {so_far}"));
            }
        };
        // Without a thread the work is done all the same, only in silence.
        let thread = std::thread::Builder::new().name("progress".into()).spawn(report).ok();
        Self { done, end: Some(end), thread }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // ignored: it has nothing to tell but its lines
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_it_is_and_what_is_left_in_few_words() {
        let still = Speed { per_second: 0.0, left: Duration::ZERO };
        assert_eq!(how_far(0, 1_234_567_890, &still), "0% of 1.2 GB");
        let moving = Speed { per_second: 120_345_678.9, left: Duration::from_secs(8) };
        assert_eq!(how_far(617_283_945, 1_234_567_890, &moving), "50% of 1.2 GB, 120.3 MB/s, 8 s left");
        let slow = Speed { per_second: 1.0, left: Duration::from_secs(7300) };
        assert_eq!(how_far(9, 9000, &slow), "0% of 9000 bytes, 1 bytes/s, 2 h left");
        // More than was expected, as where a file has grown, and nothing at all.
        assert_eq!((percent(11, 10), percent(0, 0), percent(u64::MAX, u64::MAX)), (100, 100, 100));
        assert_eq!(time(Duration::from_secs(600)), "10 min");
    }

    #[test]
    fn a_log_hears_every_so_often_how_far_it_is_and_nothing_after_the_end() {
        let (said, heard) = mpsc::channel();
        let lines = |words: &str, bytes| {
            let said = said.clone();
            Lines::begin(words, bytes, Duration::from_millis(5), move |line: &str| {
                said.send(line.to_owned()).expect("somebody listens");
            })
        };
        let first = || heard.recv_timeout(PERIOD).expect("a line");
        let packing = Progress(OnScreen::Lines(lines("packing", Some(20_900_000))));
        packing.add(9_405_000);
        // The first may come before anything was added.
        first();
        let line = first();
        assert!(line.starts_with("  packing: 45% of 20.9 MB after "), "{line}");
        drop(packing);
        while heard.try_recv().is_ok() {}
        let waiting = lines("the database is stopping", None);
        let line = first();
        assert_eq!(line, "  the database is stopping: 0 s so far");
        drop(waiting);
    }
}
