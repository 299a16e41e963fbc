//! How long a stop and a change of roles take, as `scripts/bench --switchover` prints it: measured by
//! writers and readers of its own on both nodes, on real servers, with and without a fault.

#![expect(clippy::disallowed_methods, reason = "a run that cannot read a file fails with its line")]
#![expect(clippy::print_stdout, reason = "the table is what this is for")]
#![allow(clippy::needless_pass_by_value, reason = "a test hands over what it made for the purpose")]

mod users;

#[allow(dead_code, unused_imports, unused_macros, reason = "shared with the promises, which use the rest")]
#[path = "../promises/harness/mod.rs"]
mod harness;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::harness::wire::Links;
use crate::harness::{Going, Lab, Node, Ran, send_signal, wait_alive_both, wait_until};
use crate::users::Users;

const SERVERS: [&str; 4] = ["mysql-5.6", "mysql-9.7", "mariadb-10.11", "mariadb-11.8"];

/// As long as the link is silent.
const SILENCE: Duration = Duration::from_millis(1400);

/// As long as a primary that was killed is down, unless the tool starts it sooner.
const DOWN: Duration = Duration::from_secs(5);

/// The step of the primary's command in which a fault strikes, one a round.
const MOMENTS: [&str; 3] = ["2/", "3/", "4/"];

/// How long a stop and a switchover take, measured by users of its own.
#[derive(Parser)]
#[command(name = "scripts/bench --switchover", bin_name = "scripts/bench --switchover")]
struct Args {
    /// How many rounds. A figure is the median of them; the largest one stands beside it.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// The server; can be given more than once. By default each of the four.
    #[arg(long = "server", value_name = "NAME", value_parser = SERVERS, default_values = SERVERS)]
    servers: Vec<String>,
}

/// What is measured, in seconds, a value a round.
const FIGURES: [&str; 9] = [
    "clean stop, the other node connected",
    "switchover: writes refused",
    "switchover: writes away again (restart of 5.6)",
    "switchover: reads of the new secondary away",
    "switchover: both Alive after the first refusal",
    "switchover: both Alive after the commands' end",
    "link silent for 1.4 s: writes back after its end",
    "primary killed, started 5 s later: writes back after the start",
    "primary killed: writes back after the kill",
];

/// What the largest value of each figure may be, in seconds.
const LIMITS: [Option<f64>; 9] = [None, Some(0.5), None, None, Some(4.0), None, Some(10.0), Some(10.0), None];

fn main() -> ExitCode {
    let args = Args::parse();
    println!("{} rounds a server; seconds: median (largest)", args.rounds);
    let mut columns = Vec::new();
    for server in &args.servers {
        let mut figures: [Vec<f64>; 9] = Default::default();
        measure(server, args.rounds, &mut figures);
        columns.push(figures);
    }
    let names: Vec<String> = args.servers.iter().map(|name| format!("{name:>16}")).collect();
    println!("\n{:64}{}", "", names.concat());
    for (row, name) in FIGURES.iter().enumerate() {
        let values: Vec<String> =
            columns.iter_mut().map(|figures| format!("{:>16}", shown(&mut figures[row]))).collect();
        println!("{name:64}{}", values.concat());
    }
    let mut held = true;
    for ((row, name), limit) in FIGURES.iter().enumerate().zip(LIMITS) {
        for (server, figures) in args.servers.iter().zip(&columns) {
            // Sorted: the largest one is the last.
            if let (Some(limit), Some(largest)) = (limit, figures[row].last())
                && *largest > limit
            {
                println!("NOT HELD on {server}: {name}: {largest:.2} s, at most {limit} s");
                held = false;
            }
        }
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn shown(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    match (values.get(values.len() / 2), values.last()) {
        (Some(median), Some(largest)) => format!("{median:.2} ({largest:.2})"),
        _ => "–".into(),
    }
}

fn measure(server: &str, rounds: u16, figures: &mut [Vec<f64>; 9]) {
    let lab = Lab::up(server);
    let links = Links::of(&lab);
    lab.install_through_links(&links);
    lab.start();
    lab.wait_alive();
    lab.primary.sql(users::TABLE);
    lab.wait_same("SELECT COUNT(*) FROM work");
    let pair = Pair { both: [&lab.primary, &lab.secondary], links: &links, server };
    for round in 0..rounds {
        let moment = MOMENTS[usize::from(round) % MOMENTS.len()];
        figures[0].push(pair.stop());
        for (row, value) in (1..=5).zip(pair.switchover()) {
            figures[row].push(value);
        }
        figures[6].push(pair.silence(moment));
        let [after_start, after_kill] = pair.kill(moment);
        figures[7].push(after_start);
        figures[8].push(after_kill);
    }
}

/// The two nodes that all of it is done to.
struct Pair<'a> {
    both: [&'a Node; 2],
    links: &'a Links,
    server: &'a str,
}

impl Pair<'_> {
    /// The primary and the secondary at this moment.
    fn roles(&self) -> [&Node; 2] {
        let is_primary = |node: &Node| {
            std::fs::read_to_string(node.path("conf/serverstate.conf")).expect("there").trim() == "master"
        };
        match self.both.map(is_primary) {
            [true, false] => self.both,
            [false, true] => [self.both[1], self.both[0]],
            both => panic!("are they primaries? {both:?}"),
        }
    }

    fn stop(&self) -> f64 {
        let [primary, _] = self.roles();
        let begun = Instant::now();
        primary.run(&["stop"]).ok();
        let took = begun.elapsed();
        primary.run(&["start"]).ok();
        wait_alive_both(self.both);
        self.say("clean stop", &format!("{:.2} s", took.as_secs_f64()));
        took.as_secs_f64()
    }

    fn switchover(&self) -> [f64; 5] {
        let [from, to] = self.roles();
        let users = Users::on([from, to]);
        users.go_on();
        let [gives, takes] = self.begin();
        let ends = [gives.end().ok(), takes.end().ok()];
        let ended = Instant::now();
        let alive = both_alive(self.both);
        let seen = users.end();
        let (last, first) = (seen.last_write_before(0, ended), seen.first_write_after(1, seen.begun));
        let out = [
            first - last,
            seen.longest_wait_to_write(1, first),
            seen.longest_wait_to_read(0),
            alive - last,
            alive - ended,
        ]
        .map(|time| time.as_secs_f64());
        let told = ends.iter().flat_map(|ran| ran.stdout.lines()).filter(|line| line.contains("refused"));
        let told: String = told.collect();
        self.say("switchover", &format!("{out:.2?}; the tool itself says:{told}"));
        out
    }

    fn silence(&self, moment: &str) -> f64 {
        let nodes = self.roles();
        let users = Users::on(nodes);
        users.go_on();
        let [mut gives, takes] = self.begin();
        gives.waits_for(moment);
        let struck = Instant::now();
        self.links.swallow();
        // The fault lasts so long: this is no wait for a condition.
        std::thread::sleep(SILENCE);
        self.links.open();
        let over = Instant::now();
        let ends = [gives.end(), takes.end()];
        incomplete(&ends);
        users.goes_on_anywhere();
        let back = users.end().writes_back(struck).saturating_duration_since(over);
        self.mends(&ends);
        self.say(&format!("silent in step {moment}"), &told(back, &ends));
        back.as_secs_f64()
    }

    fn kill(&self, moment: &str) -> [f64; 2] {
        let [from, to] = self.roles();
        let users = Users::on([from, to]);
        users.go_on();
        let [mut gives, takes] = self.begin();
        gives.waits_for(moment);
        let struck = Instant::now();
        send_signal(from.pid(), "KILL");
        // As above.
        std::thread::sleep(DOWN);
        let over = Instant::now();
        // Refused while the command is at work, and needless where that has started it.
        from.run(&["start"]);
        let ends = [gives.end(), takes.end()];
        incomplete(&ends);
        users.goes_on_anywhere();
        let back = users.end().writes_back(struck);
        self.mends(&ends);
        let times = [back.saturating_duration_since(over), back - struck];
        self.say(&format!("killed in step {moment}"), &told(times[1], &ends));
        times.map(|time| time.as_secs_f64())
    }

    fn begin(&self) -> [Going; 2] {
        self.roles().map(|node| Going::begin(node.command(&["switchover", "--wait", "60"])))
    }

    /// As the operator would, where a command did not come to its end.
    fn mends(&self, ends: &[Ran; 2]) {
        for (node, ran) in self.both.iter().zip(ends) {
            if !node.is_running() {
                node.run(&["start"]);
            }
            if ran.code == Some(3) {
                node.run(&["resume"]).ok();
            }
        }
        wait_alive_both(self.both);
        self.roles();
    }

    fn say(&self, what: &str, figures: &str) {
        println!("{:14} {what}: {figures}", self.server);
    }
}

/// Shows what an operator would have to resume: nobody may serve writes until then.
fn incomplete(ends: &[Ran]) {
    for ran in ends.iter().filter(|ran| ran.code == Some(3)) {
        println!("left incomplete: {ran}");
    }
}

fn told(back: Duration, ends: &[Ran; 2]) -> String {
    let codes: Vec<_> = ends.iter().map(|ran| ran.code).collect();
    format!("writes back after {:.2} s; the commands ended with {codes:?}", back.as_secs_f64())
}

/// Waits until both nodes say Alive twice, each asked by itself; when the later one did.
fn both_alive(both: [&Node; 2]) -> Instant {
    std::thread::scope(|scope| {
        let asked = both.map(|node| {
            scope.spawn(move || {
                wait_until("it says Alive, Alive", || node.run(&["verify"]).code == Some(0));
                Instant::now()
            })
        });
        asked.map(|thread| thread.join().expect("it says so")).into_iter().max().expect("two")
    })
}
