//! As many threads as there are cores, for one job.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

/// A worker that packs holds some three megabytes.
pub const MOST_PACKING: usize = 9;

/// A worker that unpacks holds some two megabytes.
pub const MOST_UNPACKING: usize = 6;

/// Runs `work` on every core and in `more` threads, in at most `most`; returns the first error.
pub fn run(most: usize, more: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let cores = (std::thread::available_parallelism().map_or(1, usize::from) + more).min(most);
    let first = Mutex::new(Ok(()));
    std::thread::scope(|scope| {
        let (work, first) = (&work, &first);
        let one = move |number| {
            let Err(error) = work(number) else { return };
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            // What fails later often fails because of it.
            if first.is_ok() {
                *first = Err(error);
            }
        };
        let workers: Vec<_> = (0..cores).map(|number| scope.spawn(move || one(number))).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner)
}
