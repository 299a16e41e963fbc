//! The forms of `verify`: for people, for programs, for monitoring, and for watching. Each in
//! bounded time.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Lab, Node, OnTerminal, Put, Ran, pmp_ha, send_signal, wait_until};

const ANY: &str = "mariadb-10.11";

/// What the design promises, whatever the other side does.
const ANSWER: Duration = Duration::from_secs(5);

#[test]
fn a_pair_is_told_in_every_form_on_mariadb() {
    a_pair_is_told_in_every_form(ANY);
}

#[test]
fn a_pair_is_told_in_every_form_on_mysql() {
    a_pair_is_told_in_every_form("mysql-9.7");
}

fn a_pair_is_told_in_every_form(server: &str) {
    let lab = Lab::pair(server);
    let place = |node: &Node, role| {
        let (host, _) = node.endpoint.rsplit_once(':').expect("a host and a port");
        json!({"host": host, "port": node.port(), "role": role})
    };
    let (primary, secondary) = (place(&lab.primary, "primary"), place(&lab.secondary, "secondary"));
    for (node, this, other) in [(&lab.primary, &primary, &secondary), (&lab.secondary, &secondary, &primary)]
    {
        let report = report(&node.run(&["verify", "--json"]).ok());
        assert_eq!((&report["node"], &report["peer"]), (this, other));
        assert_eq!(report["schema"], 1);
        assert_eq!(report["tool"], env!("CARGO_PKG_VERSION"));
        assert!(report["at"].as_str().is_some_and(is_time), "{report}");
        assert_eq!(
            (&report["high_availability"], &report["replication"]),
            (&"Alive".into(), &"Alive".into())
        );
        assert_eq!(report["findings"], json!([]));
        assert!(report["measures"]["lag_seconds"].is_f64(), "{report}");

        let ran = node.run(&["verify", "--nagios"]).ok();
        let figures = ran
            .stdout
            .strip_prefix("PMP-HA OK - High Availability Alive, Replication Alive | lag=")
            .and_then(|rest| rest.strip_suffix("s;;30;0\n")?.split_once("s;;30;0 back_lag="));
        let seconds = |text: &str| text.parse::<f64>().is_ok_and(|seconds| seconds < 60.0);
        assert!(figures.is_some_and(|(lag, back)| seconds(lag) && seconds(back)), "{ran}");
        assert_eq!(ran.stderr, "");
    }

    lab.primary.kill();
    wait_until("the secondary has noticed", || {
        lab.secondary.findings()
            == ["peer-unreachable", "receiver-connecting", "lag-unknown", "back-not-seen"]
    });
    let report = report(&lab.secondary.run(&["verify", "--json"]).exits(5));
    assert_eq!(report["measures"], json!({}), "what is unknown is absent");
    assert_eq!(report["findings"][0]["severity"], "failed");
    let ran = lab.secondary.run(&["verify", "--nagios"]).exits(2);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{ran}");
    assert_eq!(
        lines[0],
        format!(
            "PMP-HA CRITICAL - High Availability Failed, Replication Unknown: the primary {} cannot be reached [peer-unreachable] | lag=U;;30;0 back_lag=U;;30;0",
            lab.primary.endpoint
        )
    );
    assert!(lines[1].starts_with("failed: ") && lines[1].contains("because ") && lines[1].contains("hint: "));
    assert!(lines[3].starts_with("unknown: ") && lines[3].contains("[lag-unknown]"), "{ran}");
    assert_eq!(ran.stderr, "");
}

#[test]
fn whatever_keeps_nagios_from_a_verdict_is_one_line_and_unknown() {
    let lab = Lab::up(ANY);
    let unknown = |ran: Ran, texts: &[&str]| {
        let ran = ran.exits(3);
        assert!(ran.stdout.starts_with("PMP-HA UNKNOWN - "), "{ran}");
        for text in texts {
            assert!(ran.stdout.contains(text), "no {text:?} in\n{ran}");
        }
        assert_eq!(ran.stderr, "", "{ran}");
        ran.stdout.lines().count()
    };
    let node = &lab.secondary;
    let ran = node.run(&["verify", "--nagios"]);
    let both = "PMP-HA UNKNOWN - High Availability Unknown, Replication Unknown: this home does not belong to a pair yet [no-pair]\n";
    assert_eq!(unknown(ran, &[both]), 3);

    let missing = lab.dir().join("missing").to_string_lossy().into_owned();
    let ran = pmp_ha(&["--home", &missing, "verify", "--nagios"]);
    assert_eq!(unknown(ran, &["missing is not a PMP home", "No such file", "hint: "]), 1);
    assert_eq!(unknown(pmp_ha(&["verify", "--nagios"]), &["no PMP home was named"]), 1);
    {
        let _broken = Put::content(node.path("conf/pmp-ha.toml"), "[health]\nmax|lag = 3\n");
        assert_eq!(
            unknown(node.run(&["verify", "--nagios"]), &["cannot use the configuration", "conf/pmp-ha.toml"]),
            1
        );
    }
    {
        std::fs::create_dir_all(node.path("conf/pmp-ha")).expect("made");
        let _broken = Put::content(node.path("conf/pmp-ha/pair.toml"), "this is\nno TOML");
        assert_eq!(unknown(node.run(&["verify", "--nagios"]), &["pair.toml cannot be read"]), 1);
    }
    for wrong in [
        &["--json", "verify", "--nagios"][..],
        &["verify", "--nagios", "--json"],
        &["verify", "--nagios", "--watch"],
        &["verify", "--nagios", "--watch=5"],
        &["verify", "--nagios", "--no-such-option"],
    ] {
        assert_eq!(unknown(node.run(wrong), &[]), 1);
    }
    // Without it, a wrong command line is what it is for every command.
    for wrong in [&["verify", "--watch", "0"][..], &["verify", "--watch", "soon"], &["verify", "--nagio"]] {
        node.run(wrong).exits(2).says(&["error: "]);
    }
    assert!(node.run(&["verify", "--nagios", "--help"]).ok().stdout.contains("Usage"));
}

#[test]
fn a_watcher_is_told_each_change_on_a_terminal_and_elsewhere_and_ends_well() {
    let lab = Lab::pair(ANY);
    let node = &lab.secondary;
    let mut command = node.command(&["verify", "--watch", "1"]);
    command.env("NO_COLOR", "1");
    let terminal = OnTerminal::run_whole(command);
    let mut text = Watcher::start(node, &["verify", "--watch=1"]);
    let mut lines = Watcher::start(node, &["--json", "verify", "--watch", "1"]);

    let home = "\u{1b}[H";
    wait_until("the screen says Alive", || terminal.screen().contains("High Availability Status: Alive"));
    wait_until("the screen is painted anew", || terminal.screen().matches(home).count() > 2);
    assert!(!terminal.screen().contains("changed"), "{}", terminal.screen());
    let mut told = text.until("Replication Status: Alive");
    assert!(is_time(&told[0]), "{told:?}");
    assert_eq!(told[1], "High Availability Status: Alive");
    lines.until("\"high_availability\":\"Alive\"");

    lab.primary.kill();
    let change = ": High Availability Alive -> Failed";
    wait_until("the screen says Failed, and that it changed", || {
        let screen = terminal.screen();
        let last = screen.rsplit(home).next().unwrap_or_default();
        last.contains("High Availability Status: Failed") && last.contains(change)
    });
    told = text.until("High Availability Status: Failed");
    let [.., at, changed, _] = told.as_slice() else { panic!("{told:?}") };
    assert!(changed.starts_with(&format!("changed at {at}{change}")), "{told:?}");
    told = lines.until("\"high_availability\":\"Failed\"");
    let statuses =
        |of: &Value| json!({"high_availability": of["high_availability"], "replication": of["replication"]});
    // A look that the end of the server meets may know less than the one before.
    let mut was = json!({"high_availability": "Alive", "replication": "Alive"});
    for line in &told {
        let report: Value = serde_json::from_str(line).expect("an object in a line");
        let is = statuses(&report);
        assert_eq!(report.get("changed_from"), (is != was).then_some(&was), "{report}");
        was = is;
    }
    assert_eq!(was["high_availability"], "Failed");

    // One that nobody reads any more ends by itself.
    drop(lines.out.take());
    assert_eq!(lines.exit_code(), Some(0));
    for (pid, signal) in [(terminal.pid(), "INT"), (text.child.id(), "TERM")] {
        send_signal(pid, signal);
    }
    assert_eq!(terminal.exit_code(), Some(0));
    assert_eq!(text.exit_code(), Some(0));
}

#[test]
fn an_answer_comes_in_time_however_slow_the_others_are() {
    let lab = Lab::pair(ANY);
    let node = &lab.secondary;
    {
        let _slow = SlowSocket::of(node, Duration::from_millis(1500));
        let report = in_time(node);
        assert_eq!(report["findings"][0]["code"], "local-slow", "{report}");
        assert_eq!(report["high_availability"], "Unknown", "{report}");
        let evidence = report["findings"][0]["evidence"].as_str().expect("evidence");
        assert!(
            evidence.starts_with("not done within 4.0 s: it accepted the login, and statement number "),
            "{evidence}"
        );
    }
    lab.wait_alive();
    {
        // A server that runs says itself which it is: its program is not loaded for that.
        let _slow = Put::content(node.path("mysql/bin/mysqld"), "#!/bin/sh\nexec sleep 30\n");
        node.run(&["verify"]).ok();
    }
    let frozen = (lab.primary.freeze(), node.freeze());
    in_time(node);
    in_time(&lab.primary);
    drop(frozen);
    lab.wait_alive();
}

/// What `verify` says of a pair that is not Alive, and it says it in time.
#[track_caller]
fn in_time(node: &Node) -> Value {
    let begun = Instant::now();
    let ran = node.run(&["--json", "verify"]).exits(5);
    assert!(begun.elapsed() < ANSWER, "{:?}: {ran}", begun.elapsed());
    report(&ran)
}

#[track_caller]
fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error} in\n{ran}"))
}

/// RFC 3339, UTC, whole seconds.
fn is_time(text: &str) -> bool {
    let shape = |c: char| if c.is_ascii_digit() { '9' } else { c };
    text.chars().map(shape).eq("9999-99-99T99:99:99Z".chars())
}

/// A `verify --watch` whose stdout is a pipe.
struct Watcher {
    child: Child,
    out: Option<BufReader<std::process::ChildStdout>>,
}

impl Watcher {
    fn start(node: &Node, args: &[&str]) -> Self {
        let mut child = node.command(args).stdout(Stdio::piped()).spawn().expect("it runs");
        let out = child.stdout.take().map(BufReader::new);
        Self { child, out }
    }

    /// The lines up to the first one with `text` in it.
    #[track_caller]
    fn until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.out.as_mut().expect("open").lines() {
            lines.push(line.expect("text"));
            if lines.last().is_some_and(|line| line.contains(text)) {
                return lines;
            }
            assert!(lines.len() < 1000, "no {text:?} in {lines:?}");
        }
        panic!("it ended, and no {text:?} in {lines:?}");
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("a child").code()
    }
}

/// In the place of a server's socket, one that keeps each statement for a while.
struct SlowSocket {
    path: PathBuf,
    aside: PathBuf,
    ended: Arc<AtomicBool>,
}

impl SlowSocket {
    fn of(node: &Node, delay: Duration) -> Self {
        let path = node.path("mysql/tmp/mysql.sock");
        let aside = path.with_extension("aside");
        std::fs::rename(&path, &aside).expect("moved");
        let listener = UnixListener::bind(&path).expect("a socket");
        listener.set_nonblocking(true).expect("settable");
        let ended = Arc::new(AtomicBool::new(false));
        let (target, until) = (aside.clone(), Arc::clone(&ended));
        std::thread::spawn(move || {
            while !until.load(Ordering::SeqCst) {
                let Ok((client, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                client.set_nonblocking(false).expect("settable");
                let server = UnixStream::connect(&target).expect("a server");
                let (mut from, mut to) =
                    (server.try_clone().expect("the same"), client.try_clone().expect("the same"));
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                std::thread::spawn(move || keep_statements(client, server, delay));
            }
        });
        Self { path, aside, ended }
    }
}

impl Drop for SlowSocket {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        std::fs::remove_file(&self.path).expect("removed");
        std::fs::rename(&self.aside, &self.path).expect("moved back");
    }
}

/// A packet is three bytes of length, a number that begins with 0 for a command, and the command.
fn keep_statements(mut client: UnixStream, mut server: UnixStream, delay: Duration) {
    const QUERY: u8 = 3;
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        if buffer[3] == 0 && buffer[4] == QUERY {
            std::thread::sleep(delay);
        }
        if server.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    // ignored: the server may have ended it already
    let _ = server.shutdown(std::net::Shutdown::Both);
}
