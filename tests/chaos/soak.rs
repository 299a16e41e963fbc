//! The soak: load, a monitor on each node, and a fault every minute, as `scripts/soak` runs it. Every fault
//! must be announced once, nothing else may be, and the monitors may not grow. Before, in a quiet minute,
//! it measures what the monitors cost.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::faults::{freeze, kill_server};
use crate::harness::sql::Db;
use crate::harness::{self, is_alive, send_signal};
use crate::history::Node;
use crate::pair::Pair;
use crate::writers::Writers;

/// Between two faults.
const MINUTE: Duration = Duration::from_secs(60);

/// How long a fault lasts: longer than the hold-down.
const LASTS: Duration = Duration::from_secs(15);

/// How long every seventh fault lasts: longer than the time after which the secondary's monitor would speak.
const LONG: Duration = Duration::from_secs(90);

/// How long the end of a fault may take until it is announced, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// For how long the quiet pair is measured without and with monitors.
const QUIET: Duration = Duration::from_secs(60);

/// So many failures of an hour are failures of their own here: each must be announced.
const SETTINGS: &str =
    "[replication]\nconnect_retry = 1\n[alarm]\nhold_down = 3\nhold_up = 3\nflaps = 100\ncalm = 60\n";

/// What happens in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Restart(Node),
    Kill(Node),
    Freeze(Node),
    StopApplier,
    Cut,
    Silence,
    Reject,
}

impl Trouble {
    /// Of minute `number`, and how long it lasts: first the monitors are restarted, so that those that are
    /// measured run long. A long fault leaves the link as it is: without it, both monitors announce.
    fn of(number: u64) -> (Self, Duration) {
        const LOUD: [Trouble; 8] = [
            Trouble::Kill(Node::B),
            Trouble::Cut,
            Trouble::Freeze(Node::A),
            Trouble::StopApplier,
            Trouble::Kill(Node::A),
            Trouble::Silence,
            Trouble::Freeze(Node::B),
            Trouble::Reject,
        ];
        const LASTING: [Trouble; 3] = [Trouble::StopApplier, Trouble::Kill(Node::B), Trouble::Kill(Node::A)];
        let nth = |number: u64, of: &[Trouble]| of[usize::try_from(number).expect("small") % of.len()];
        match number {
            0 => (Self::Restart(Node::A), LASTS),
            1 => (Self::Restart(Node::B), LASTS),
            number if number % 7 == 6 => (nth(number / 7, &LASTING), LONG),
            number => (nth(number - 2, &LOUD), LASTS),
        }
    }

    /// What is announced, and its end.
    fn wanted(self) -> &'static [&'static str] {
        match self {
            Self::Restart(_) => &[],
            Self::StopApplier => &["Replication Failed", "Replication Alive"],
            _ => &["High Availability Failed", "High Availability Alive"],
        }
    }
}

/// A monitor that runs.
struct Watched {
    child: Child,
    log: PathBuf,
    /// Where it serves its page, and whether that is asked for.
    page: Option<(u16, Arc<AtomicBool>)>,
}

impl Watched {
    fn over(node: &harness::Node, args: &[&str]) -> Self {
        let path = node.path("logs/soak.log");
        let log = File::options().create(true).append(true).open(&path).expect("a file");
        let mut command = node.command(&[&["monitor"], args].concat());
        command.stdout(log.try_clone().expect("a handle")).stderr(log);
        Self { child: command.spawn().expect("it runs"), log: path, page: None }
    }

    /// It serves its page, which somebody opens each second until it ends.
    fn asked_each_second(node: &harness::Node) -> Self {
        let port = harness::free_port();
        let mut watched = Self::over(node, &["--every", "1", "--listen", &port.to_string()]);
        let asks = Arc::new(AtomicBool::new(true));
        watched.page = Some((port, Arc::clone(&asks)));
        std::thread::spawn(move || {
            while asks.load(Ordering::SeqCst) {
                // ignored: in its first moment, nobody is let in
                let _ = opens_the_page(port);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        watched
    }

    /// Whether its page is served now.
    fn serves(&self) -> bool {
        self.page.as_ref().is_none_or(|(port, _)| {
            opens_the_page(*port).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
        })
    }

    /// Ends it as a system does; what is wrong with that.
    fn end(mut self) -> Result<(), String> {
        // In its first moment it does not hear yet, as no program does.
        let born = Instant::now();
        while !hears(self.child.id()) && born.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let begun = Instant::now();
        send_signal(self.child.id(), "TERM");
        let status = self.child.wait().expect("it ends");
        match (status.success(), begun.elapsed()) {
            (true, time) if time <= LONGEST_END => Ok(()),
            (_, time) => {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                let last = said.lines().rev().take(5).collect::<Vec<_>>();
                Err(format!(
                    "a monitor took {time:?} to end, with {status}; it said, the newest first: {last:?}"
                ))
            }
        }
    }

    fn size(&self) -> Size {
        Size::of(self.child.id())
    }
}

/// Whether a process catches SIGTERM, by proc(5).
fn hears(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> 14 & 1 == 1)
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((_, asks)) = &self.page {
            asks.store(false, Ordering::SeqCst);
        }
        // ignored: it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the page of a monitor answers.
fn opens_the_page(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

const LONGEST_END: Duration = Duration::from_secs(10);

fn events_of(node: &harness::Node) -> PathBuf {
    node.path("logs/soak-alarms.json")
}

/// What a process has.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// Of memory, kB.
    memory: u64,
    handles: u64,
    threads: u64,
    /// Of all processors, in hundredths of a second.
    ticks: u64,
}

impl Size {
    fn of(pid: u32) -> Self {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let status = read("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
        };
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let tick = |at: usize| fields.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        Self {
            memory: field("VmRSS:"),
            handles: std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |all| all.count() as u64),
            threads: field("Threads:"),
            ticks: tick(11) + tick(12),
        }
    }
}

/// What was found on one server.
pub struct Soaked {
    pub server: String,
    pub lines: Vec<String>,
    pub problems: Vec<String>,
}

/// Plays so many minutes on a server.
pub fn soak(server: &str, minutes: u64, ended: &AtomicBool) -> Soaked {
    let pair = Pair::make(server, false);
    for node in pair.both() {
        let file = events_of(node);
        node.configure(&format!(
            "{SETTINGS}[[alarm.command]]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n",
            file.display()
        ));
    }
    let mut found = Soaked { server: server.to_owned(), lines: Vec::new(), problems: Vec::new() };
    found.lines.push(cost(&pair));
    if minutes > 0 {
        course(&pair, minutes, ended, &mut found);
    }
    found
}

/// What the monitors cost on a quiet pair, with their defaults.
fn cost(pair: &Pair) -> String {
    let asked = || -> u64 { pair.both().map(questions).iter().sum() };
    let over = |time: Duration| {
        let before = asked();
        std::thread::sleep(time);
        asked() - before
    };
    let alone = over(QUIET / 2) * 2;
    let monitors = pair.both().map(|node| Watched::over(node, &["--every", "5"]));
    std::thread::sleep(Duration::from_secs(10));
    let before = monitors.each_ref().map(Watched::size);
    let with = over(QUIET);
    let after = monitors.each_ref().map(Watched::size);
    let per_hour = 3600 / QUIET.as_secs();
    let of = |at: usize| {
        let ticks = (after[at].ticks - before[at].ticks) * per_hour;
        format!("{} s of processor an hour, {} MiB", ticks / 100, after[at].memory / 1024)
    };
    let queries = with.saturating_sub(alone) * per_hour;
    format!(
        "cost: primary's monitor {}; secondary's {}; {queries} queries an hour on both servers",
        of(0),
        of(1)
    )
}

fn questions(node: &harness::Node) -> u64 {
    let row = Db::admin(node).rows("SHOW GLOBAL STATUS LIKE 'Questions'").pop().expect("a row");
    row["Value"].parse().expect("a number")
}

/// The connections to both servers.
fn connections(pair: &Pair) -> u64 {
    let of = |node: &harness::Node| -> u64 {
        let row = Db::admin(node).rows("SHOW GLOBAL STATUS LIKE 'Threads_connected'").pop().expect("a row");
        row["Value"].parse().expect("a number")
    };
    pair.both().map(of).iter().sum()
}

/// The tool's own files in both homes.
fn files(pair: &Pair) -> u64 {
    let of = |node: &harness::Node| -> u64 {
        let mut folders = vec![node.path("replication"), node.path("conf/pmp-ha")];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                count += 1;
                if entry.path().is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        count
    };
    pair.both().map(of).iter().sum()
}

fn course(pair: &Pair, minutes: u64, ended: &AtomicBool, found: &mut Soaked) {
    let mut monitors = pair.both().map(|node| Some(Watched::asked_each_second(node)));
    let writers = Writers::start(pair, 1);
    let mut told = 0;
    let mut first: Option<([Size; 2], u64, u64)> = None;
    let mut last = ([Size::default(); 2], 0, 0);
    let sizes = |monitors: &[Option<Watched>; 2]| {
        monitors.each_ref().map(|monitor| monitor.as_ref().map(Watched::size).unwrap_or_default())
    };
    for number in 0..minutes {
        if ended.load(Ordering::SeqCst) {
            found.problems.push(format!("it was ended after {number} minutes"));
            break;
        }
        let begun = Instant::now();
        let (trouble, lasts) = Trouble::of(number);
        let before = events(pair).len();
        strike(pair, (trouble, lasts), &mut monitors, found);
        let wanted = trouble.wanted();
        // Announced, well again, and nothing more until the next minute.
        let waits = Instant::now();
        while events(pair).len() < before + wanted.len() && waits.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(200));
        }
        if let Err(why) = pair.gets_well() {
            found.problems.push(format!("minute {number}, {trouble:?}: the pair is not well: {why}"));
        }
        std::thread::sleep(MINUTE.saturating_sub(begun.elapsed()).max(Duration::from_secs(5)));
        let said: Vec<String> = events(pair).split_off(before);
        let mut counts = BTreeMap::<&str, usize>::new();
        for name in &said {
            *counts.entry(name).or_default() += 1;
        }
        let is_right = counts.len() == wanted.len() && wanted.iter().all(|name| counts.get(name) == Some(&1));
        if is_right {
            told += wanted.len();
        } else {
            found.problems.push(format!("minute {number}, {trouble:?}: announced {said:?}, not {wanted:?}"));
        }
        if !monitors.iter().flatten().all(Watched::serves) {
            found.problems.push(format!("minute {number}, {trouble:?}: a page is not served"));
        }
        println!("{}: minute {number}, {trouble:?}: {said:?}", found.server);
        last = (sizes(&monitors), connections(pair), files(pair));
        if number >= 2 {
            first.get_or_insert(last);
        }
    }
    let rows = writers.end().len();
    if let Err(why) = pair.gets_the_same_rows() {
        found.problems.push(format!("the nodes differ: {why}"));
    }
    for monitor in monitors.into_iter().flatten() {
        if !is_alive(monitor.child.id()) {
            found.problems.push("a monitor has died".into());
        } else if let Err(why) = monitor.end() {
            found.problems.push(why);
        }
    }
    let first = first.unwrap_or(last);
    found.problems.extend(grown(first, last));
    found
        .lines
        .push(format!("{minutes} minutes, {rows} rows acknowledged, {told} alarms, each of them once"));
    for (name, at) in [("primary's", 0), ("secondary's", 1)] {
        let (before, after) = (first.0[at], last.0[at]);
        found.lines.push(format!(
            "{name} monitor: memory {} to {} kB, handles {} to {}, threads {} to {}",
            before.memory, after.memory, before.handles, after.handles, before.threads, after.threads
        ));
    }
    found.lines.push(format!(
        "connections to both servers {} to {}, files {} to {}",
        first.1, last.1, first.2, last.2
    ));
}

/// What has grown more than it may.
fn grown(first: ([Size; 2], u64, u64), last: ([Size; 2], u64, u64)) -> Vec<String> {
    let mut out = Vec::new();
    let mut check = |what: String, before: u64, after: u64, more: u64| {
        if after > before + more {
            out.push(format!("{what} grew from {before} to {after}"));
        }
    };
    for (at, name) in ["the primary's monitor", "the secondary's monitor"].into_iter().enumerate() {
        let (before, after) = (first.0[at], last.0[at]);
        check(format!("the memory of {name}, kB,"), before.memory, after.memory, 8192);
        check(format!("the handles of {name}"), before.handles, after.handles, 8);
        // A thread that waits for a name or a file ends by itself.
        check(format!("the threads of {name}"), before.threads, after.threads, 4);
    }
    check("the connections".into(), first.1, last.1, 6);
    check("the files".into(), first.2, last.2, 4);
    out
}

/// The names of all events of both nodes, in the order of each.
fn events(pair: &Pair) -> Vec<String> {
    let of = |node: &harness::Node| {
        let text = std::fs::read_to_string(events_of(node)).unwrap_or_default();
        let events = serde_json::Deserializer::from_str(&text).into_iter::<Value>().filter_map(Result::ok);
        events.map(|event| event["event"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    // New ones are at the end of neither list: what counts is how often each was told.
    let [a, b] = pair.both().map(of);
    let mut seen = SEEN.lock().expect("whole");
    let key = pair.node(Node::A).home.clone();
    let (had_a, had_b, all) = seen.entry(key).or_default();
    all.extend(a.iter().skip(*had_a).chain(b.iter().skip(*had_b)).cloned());
    (*had_a, *had_b) = (a.len(), b.len());
    all.clone()
}

/// What was read of the events of each pair: of node A, of node B, and all in the order in which they came.
static SEEN: std::sync::Mutex<BTreeMap<PathBuf, Told>> = std::sync::Mutex::new(BTreeMap::new());

type Told = (usize, usize, Vec<String>);

/// Does what a minute brings, and takes it away again.
fn strike(
    pair: &Pair,
    (trouble, lasts): (Trouble, Duration),
    monitors: &mut [Option<Watched>; 2],
    found: &mut Soaked,
) {
    match trouble {
        Trouble::Restart(node) => {
            let at = usize::from(node == Node::B);
            if let Some(Err(why)) = monitors[at].take().map(Watched::end) {
                found.problems.push(why);
            }
            monitors[at] = Some(Watched::asked_each_second(pair.node(node)));
        }
        Trouble::Kill(node) => {
            kill_server(pair, node);
            std::thread::sleep(lasts);
            let started = pair.node(node).run(&["start"]);
            if started.code != Some(0) {
                found.problems.push(format!("{node} does not start: {started}"));
            }
        }
        Trouble::Freeze(node) => {
            let frozen = freeze(pair, node);
            std::thread::sleep(lasts);
            drop(frozen);
        }
        Trouble::StopApplier => {
            let words = if found.server.starts_with("mysql-9") { "REPLICA" } else { "SLAVE" };
            let mut db = Db::admin(pair.node(Node::B));
            db.rows(&format!("STOP {words} SQL_THREAD"));
            std::thread::sleep(lasts);
            db.rows(&format!("START {words} SQL_THREAD"));
        }
        Trouble::Cut => pair.links.cut(),
        Trouble::Silence => pair.links.swallow(),
        Trouble::Reject => pair.links.reject(),
    }
    if matches!(trouble, Trouble::Cut | Trouble::Silence | Trouble::Reject) {
        std::thread::sleep(lasts);
        pair.links.open();
    }
}
