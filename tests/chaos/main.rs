//! The proof by chaos, as `scripts/chaos` runs it: random faults at random instants during load and
//! changes of roles, on real servers. docs/proof.md says what it proves.

#![expect(clippy::disallowed_methods, reason = "a round that cannot read a file fails with its line")]
#![expect(clippy::print_stdout, reason = "the lines of the rounds and the table are what this is for")]
#![allow(clippy::needless_pass_by_value, reason = "a test hands over what it made for the purpose")]

mod checker;
mod errand;
mod faults;
mod history;
mod operator;
mod pair;
mod player;
mod random;
mod roles;
mod round;
mod sabotage;
mod schedule;
mod soak;
mod table;
mod writers;

#[allow(dead_code, unused_imports, unused_macros, reason = "shared with the promises, which use the rest")]
#[path = "../promises/harness/mod.rs"]
mod harness;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::player::Player;
use crate::sabotage::Sabotage;
use crate::schedule::{Scenario, Schedule};
use crate::table::{Round, table};

/// Whether somebody wants this to end.
static ENDED: AtomicBool = AtomicBool::new(false);

const SERVERS: [&str; 4] = ["mysql-5.6", "mysql-9.7", "mariadb-10.11", "mariadb-11.8"];

/// The same, and the one that no registry has.
const ALL_SERVERS: [&str; 5] = ["mysql-5.5", "mysql-5.6", "mysql-9.7", "mariadb-10.11", "mariadb-11.8"];

/// Whose commits wait for nobody, as it is fetched.
const WITHOUT_SEMI_SYNC: &str = "mysql-5.6";

/// Random faults at random instants, during load and changes of roles, on real servers.
#[derive(Parser)]
#[command(name = "scripts/chaos", bin_name = "scripts/chaos", max_term_width = 100)]
struct Args {
    /// How many rounds. Each has the seed of the one before plus one.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// The seed of the first round; random by default. A round is the same for the same seed.
    #[arg(long)]
    seed: Option<u64>,
    /// The server of all rounds; can be given more than once. The seed chooses, by default among all.
    #[arg(long = "server", value_name = "NAME", value_parser = ALL_SERVERS, default_values = SERVERS)]
    servers: Vec<String>,
    /// Rounds of this scenario only; the seeds of others are passed over.
    #[arg(long, value_parser = Scenario::NAMES)]
    scenario: Option<String>,
    /// Commits wait until the secondary has received them, which no server of MySQL 5.6 here can do.
    #[arg(long)]
    semi_sync: bool,
    /// Breaks a promise in every round, to see that the checker notices.
    #[arg(long, value_name = "PROMISE")]
    sabotage: Option<Sabotage>,
    /// Instead of rounds: so many minutes of load with a monitor on each node and a fault a minute. `0` only
    /// measures what the monitors cost. Use scripts/soak.
    #[arg(long, value_name = "MINUTES", hide = true)]
    soak: Option<u64>,
    /// How many pairs are played on at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
}

impl Args {
    /// The seeds of the rounds.
    fn seeds(&self, first: u64) -> impl Iterator<Item = u64> {
        let wanted = |seed: &u64| {
            let name = Schedule::of(*seed).scenario.name();
            self.scenario.as_ref().is_none_or(|scenario| scenario == name)
        };
        (first..).filter(wanted).take(self.rounds)
    }

    fn server(&self, seed: u64) -> &str {
        let number = seed % u64::try_from(self.servers.len()).expect("a number");
        &self.servers[usize::try_from(number).expect("a number")]
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.semi_sync && args.servers.iter().any(|name| name == WITHOUT_SEMI_SYNC) {
        println!(
            "error: {WITHOUT_SEMI_SYNC} comes without the plugins; name the other servers: --server NAME..."
        );
        return ExitCode::FAILURE;
    }
    if !harness::disk::is_in_a_namespace() {
        // The nodes get small disks of their own, which nobody else sees.
        let mut again = harness::disk::this_program_in_a_namespace();
        let error = again.args(std::env::args_os().skip(1)).exec();
        println!("error: cannot have a mount namespace: {error}");
        return ExitCode::FAILURE;
    }
    listen_for_an_end();
    if let Some(minutes) = args.soak {
        return soak(&args, minutes);
    }
    let first = args.seed.unwrap_or_else(|| u64::from(std::process::id()) * 1000 + writers::now() % 1000);
    println!("seed {first}, {} rounds", args.rounds);

    let mut queues: Vec<(&str, Vec<u64>)> = Vec::new();
    for seed in args.seeds(first) {
        let server = args.server(seed);
        match queues.iter_mut().find(|(name, _)| *name == server) {
            Some((_, seeds)) => seeds.push(seed),
            None => queues.push((server, vec![seed])),
        }
    }
    // A pair is made once for several rounds: a server gets more than one only if there is a hand for each.
    let pairs_of_each = usize::try_from(args.jobs).expect("a number") / queues.len().max(1);
    let pairs: Vec<(&str, Vec<u64>)> = queues
        .into_iter()
        .flat_map(|(server, seeds)| {
            let share = seeds.len().div_ceil(pairs_of_each.max(1));
            seeds.chunks(share).map(|seeds| (server, seeds.to_vec())).collect::<Vec<_>>()
        })
        .collect();
    let queues = Mutex::new(pairs);
    let rounds = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                while let Some((server, seeds)) = { queues.lock().expect("whole").pop() } {
                    Player { server, semi_sync: args.semi_sync, sabotage: args.sabotage, ended: &ENDED }
                        .play(&seeds, &rounds);
                }
            });
        }
    });

    let rounds = rounds.into_inner().expect("whole");
    println!("\n{}", table(&rounds));
    let failed: Vec<&Round> = rounds.iter().filter(|round| !round.passed()).collect();
    for round in &failed {
        let semi_sync = if args.semi_sync { " --semi-sync" } else { "" };
        println!(
            "again: scripts/chaos --rounds 1 --seed {} --server {}{semi_sync}",
            round.seed, round.server
        );
    }
    println!("{} passed, {} failed", rounds.len() - failed.len(), failed.len());
    // A run that was ended early has proved nothing.
    let whole = failed.is_empty() && rounds.len() == args.rounds;
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Soaks each server, so many at once as `--jobs` says.
fn soak(args: &Args, minutes: u64) -> ExitCode {
    let waiting = Mutex::new(args.servers.clone());
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                while let Some(server) = { waiting.lock().expect("whole").pop() } {
                    let soaked = soak::soak(&server, minutes, &ENDED);
                    all.lock().expect("whole").push(soaked);
                }
            });
        }
    });
    let mut problems = 0;
    for soaked in all.into_inner().expect("whole") {
        println!("\n{}", soaked.server);
        soaked.lines.iter().for_each(|line| println!("  {line}"));
        soaked.problems.iter().for_each(|problem| println!("  PROBLEM: {problem}"));
        problems += soaked.problems.len();
    }
    println!("\n{problems} problems");
    if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ctrl-C ends the run after the rounds that are under way: their servers would stay behind.
fn listen_for_an_end() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut end = signal(SignalKind::terminate()).expect("a signal");
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = end.recv() => {}
            }
            ENDED.store(true, Ordering::SeqCst);
            println!("it ends with the rounds that are under way");
        });
    });
}
