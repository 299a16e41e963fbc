//! Runs the tests of a test program side by side, each in a process and a space of its own: its own
//! network, its own processes, its own folder in memory. docs/testing.md explains it.

#![expect(clippy::disallowed_methods, reason = "what cannot be read here has no name worth showing")]
#![expect(clippy::print_stdout, reason = "the results are what this is for")]

mod list;
mod one;
#[allow(dead_code, reason = "shared with the proof by chaos, which uses the rest")]
#[path = "../chaos/random.rs"]
mod random;
mod space;
mod tell;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;

use list::Listed;
use one::Ended;
use random::Random;

/// Tests that take a minute or two. Begun last, they would leave a core idle at the end.
const LONGEST: [&str; 9] = [
    "audit_rows::a_pack_ends_nothing",
    "cut_off_changes::a_switchover_whose_giver",
    "kill_points::an_install_pack_killed_before_any_change",
    "kill_points::what_was_unpacked",
    "online::a_pack_made_online",
    "repair::quiet_drift",
    "scenarios::a_disk_of_the_secondary",
    "scenarios::an_applier_that_met_a_full_disk",
    "told_once::a_long_failure",
];

/// Runs the tests of a test program, each in a process and a space of its own.
#[derive(Parser)]
struct Args {
    /// The test program, as `cargo test --no-run` builds it.
    program: PathBuf,
    /// Runs only the tests whose names hold one of these words.
    filters: Vec<String>,
    /// Leaves out the tests whose names hold this word; can be given more than once.
    #[arg(long)]
    skip: Vec<String>,
    /// Runs also the tests that are left to a run on every server.
    #[arg(long)]
    every_server: bool,
    /// How many tests run at once; by default what memory and kernel allow, at most 8.
    #[arg(long)]
    jobs: Option<usize>,
    /// The order of the tests; the same seed gives the same order. Random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs everything so many times in a row, each time in another order.
    #[arg(long, default_value_t = 1)]
    repeat: u64,
    /// Lists the tests that it would run, and runs none.
    #[arg(long)]
    list: bool,
    /// Runs this one test here and now: the runner starts itself so in a space.
    #[arg(long, hide = true)]
    inside: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(name) = &args.inside {
        return space::inside(&args.program, name);
    }
    let listed = Listed::of(&args.program, &args.filters, &args.skip, args.every_server);
    if args.list {
        listed.names.iter().for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    if listed.names.is_empty() && args.filters.is_empty() {
        println!("error: {} has no tests", args.program.display());
        return ExitCode::FAILURE;
    }
    if let Err(why) = space::is_permitted() {
        println!("error: the tests cannot have a space of their own\n  because {why}");
        println!(
            "  hint: run them as root, or permit user namespaces: sysctl kernel.unprivileged_userns_clone=1"
        );
        return ExitCode::FAILURE;
    }
    let jobs = args.jobs.unwrap_or_else(space::fitting_jobs).max(1);
    let mut all_well = true;
    for round in 0..args.repeat {
        let seed = args.seed.unwrap_or_else(random_seed) + round;
        println!("{} tests, {jobs} at once, in the order of --seed {seed}", listed.names.len());
        let ended = run(&args.program, &listed.names, seed, jobs);
        all_well &= tell::result(&ended, listed.left.len());
        tell::not_tested(&listed.of_two_accounts);
        tell::not_brought(&listed.not_brought);
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the tests in the order of a seed.
fn run(program: &std::path::Path, names: &[String], seed: u64, jobs: usize) -> Vec<Ended> {
    let queue = Mutex::new(shuffled(names, seed));
    let ended = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(name) = { queue.lock().expect("whole").pop_front() } {
                    let this = one::run(program, &name);
                    tell::end(&this);
                    ended.lock().expect("whole").push(this);
                }
            });
        }
    });
    ended.into_inner().expect("whole")
}

fn shuffled(names: &[String], seed: u64) -> VecDeque<String> {
    let mut random = Random::of(seed);
    let mut left = names.to_vec();
    let mut out = VecDeque::new();
    while !left.is_empty() {
        let len = u64::try_from(left.len()).expect("a number");
        out.push_back(left.swap_remove(usize::try_from(random.below(len)).expect("a number")));
    }
    // In the order of the seed as well, and before all others.
    let is_long = |name: &String| LONGEST.iter().any(|long| name.starts_with(long));
    let (mut first, others): (VecDeque<_>, VecDeque<_>) = out.into_iter().partition(is_long);
    first.extend(others);
    first
}

fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::from(now.subsec_nanos()) % 100_000
}
