//! As many threads as there are cores, for one job.

use anyhow::Result;

/// A worker that packs holds some three megabytes.
pub const MOST_PACKING: usize = 12;

/// A worker that unpacks holds some two megabytes.
pub const MOST_UNPACKING: usize = 8;

/// Runs `work` on every core, and in `more` threads besides, in `most` at most, and returns the first
/// error.
pub fn run(most: usize, more: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let cores = (std::thread::available_parallelism().map_or(1, usize::from) + more).min(most);
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..cores).map(|number| scope.spawn(move || work(number))).collect();
        let mut first = Ok(());
        for worker in workers {
            let ended = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            first = first.and(ended);
        }
        first
    })
}
