//! Every wait ends with SIGTERM: a command that waits for something which never comes goes within seconds,
//! and what it leaves is what was there.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::sql::Db;
use crate::harness::wire::Links;
use crate::harness::{
    Going, Lab, Node, OnTerminal, Put, Ran, assert_same, cut, nothing_runs, send_signal, wait_until,
};

/// For how long a command may go on after the signal, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// A program that never ends by itself, and says that it has begun.
const ENDLESS: &str = "touch \"$0\"; while :; do sleep 1; done";

/// What of a home no wait changes.
fn settled(node: &Node) -> std::collections::BTreeMap<String, String> {
    node.fingerprint_of(&["bin", "conf"])
}

/// Sends the signal as soon as the command waits, and fails if it does not end soon with this code.
#[track_caller]
fn ends(node: &Node, command: Command, code: i32, waits: impl FnMut(&str) -> bool) -> Ran {
    let before = settled(node);
    let mut waits = waits;
    let mut sent = Instant::now();
    let ran = cut(command, Signal::SIGTERM, |said| {
        let now = waits(said);
        sent = Instant::now();
        now
    });
    let took = sent.elapsed();
    assert!(took < SOON, "{took:?} after the signal: {ran}");
    let ran = ran.exits(code);
    assert_same(&before, &settled(node), &ran.to_string());
    ran
}

/// A program for the configuration, and the file that it makes when it has begun.
fn endless(lab: &Lab, name: &str) -> (String, std::path::PathBuf) {
    let begun = lab.dir().join(name);
    (format!("[\"/bin/sh\", \"-c\", {ENDLESS:?}, \"{}\"]", begun.display()), begun)
}

#[test]
fn every_wait_ends_with_a_signal_and_leaves_what_was_there() {
    let (lab, links) = Lab::pair_through_links("mariadb-10.11");
    let (primary, secondary) = (&lab.primary, &lab.secondary);

    // For the other node's part.
    let waits = |said: &str| said.contains("waiting");
    for (node, other) in [(primary, "secondary"), (secondary, "primary")] {
        let command = node.command(&["-v", "switchover", "--wait", "600"]);
        let ran = ends(node, command, 130, |said| said.contains("1/") || waits(said));
        assert!(ran.stderr.contains("interrupted"), "for the {other}: {ran}");
    }
    // For a program of the other node's, of a hook.
    let (program, begun) = endless(&lab, "peer-begun");
    let config = "[replication]\nconnect_retry = 1\n";
    primary.configure(&format!("{config}[switchover]\npeer_command = {program}\n"));
    ends(primary, primary.command(&["switchover", "--wait", "600"]), 130, |_| begun.exists());
    let (program, begun) = endless(&lab, "hook-begun");
    primary.configure(&format!("{config}[hooks]\nbefore = {program}\ndeadline = 600\n"));
    ends(primary, primary.command(&["switchover", "--wait", "600"]), 130, |_| begun.exists());
    primary.configure(config);
    lab.wait_alive();

    // For the other node to use new secrets, which are not forgotten.
    primary.run(&["rotate", "--wait", "0"]).exits(3);
    ends(primary, primary.command(&["rotate", "--wait", "600"]), 130, |said| said.contains("waiting"));
    primary.run(&["rotate", "--cancel"]).ok();
    lab.wait_alive();

    // For rows to be applied that something holds up.
    let mut holder = Db::admin(secondary);
    holder.rows("LOCK TABLES passtrix.Ptrx_Settings READ");
    primary.sql("INSERT INTO Ptrx_Settings VALUES ('HELD', 'up')");
    wait_until("the applier waits for the lock", || {
        let waiting =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table%lock'";
        Db::admin(secondary).list(waiting) == ["1"]
    });
    ends(secondary, secondary.command(&["repair"]), 130, waits_long());
    ends(primary, primary.command(&["verify", "--deep"]), 130, waits_long());
    ends(secondary, secondary.command(&["rehearse"]), 130, waits_long());
    assert!(!secondary.path("replication/pmp-ha-rehearsal").exists());
    let fenced = secondary.command(&["recover", "--promote", "--fenced"]);
    ends(secondary, fenced, 130, waits_long());
    assert_eq!(secondary.outcome().as_deref(), Some("rolled_back"));
    holder.rows("UNLOCK TABLES");
    lab.wait_alive();

    silent_links(&lab, &links);
    for_a_server(primary);
    for_a_person(primary);
    lab.start();
    lab.wait_alive();
}

/// Shows a statement that another session is waiting with.
const WAITS_FOR_THE_LOCK: &str =
    "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'FLUSH TABLES WITH READ LOCK'";

#[test]
fn a_pack_of_a_busy_or_frozen_database_ends_with_a_signal_and_leaves_what_was_there() {
    let lab = Lab::pair("mysql-5.6");
    let node = &lab.primary;
    let online = ["pack", &node.endpoint, &lab.secondary.endpoint, "--online"];

    // For a statement that reads for a long time.
    let mut other = Db::admin(node);
    let id = other.list("SELECT CONNECTION_ID()").concat();
    let reads = std::thread::spawn(move || other.rows("SELECT SLEEP(600) FROM passtrix.Ptrx_Settings"));
    let mut db = Db::admin(node);
    ends(node, node.command(&online), 130, |_| db.list(WAITS_FOR_THE_LOCK) == ["1"]);
    // What it waited for holds up nobody else. On the table itself the server waits until it is read.
    wait_until("the lock is not wanted any more", || db.list(WAITS_FOR_THE_LOCK) == ["0"]);
    node.sql("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('meanwhile')");
    assert!(!node.path("replication/pmp-ha-work").exists());
    assert!(!reads.is_finished(), "nothing read for long");
    db.rows(&format!("KILL {id}"));

    // For a server that does not answer a statement: the undo begins at once, and then needs the server.
    let before = settled(node);
    let mut going = Going::begin(node.command(&online));
    let hurries = "SELECT @@GLOBAL.innodb_io_capacity AS now";
    going.waits_until("it is about to take the lock", |_| db.list(hurries) == ["20000"]);
    let frozen = node.freeze();
    going.waits_until("it waits for an answer", waits_long());
    going.signal("TERM");
    let sent = Instant::now();
    going.waits_for("pmp-ha undoes the changes");
    let took = sent.elapsed();
    drop(frozen);
    let ran = going.end();
    assert!(took < SOON, "{took:?} after the signal: {ran}");
    let ran = ran.exits(130);
    lab.wait_alive();
    assert_same(&before, &settled(node), &ran.to_string());
    assert!(!node.path("replication/pmp-ha-work").exists(), "{ran}");
}

/// It has had the time to come to its wait.
fn waits_long() -> impl FnMut(&str) -> bool {
    let begun = Instant::now();
    move |_| begun.elapsed() > Duration::from_secs(3)
}

/// For the next look, while the other node says nothing.
fn silent_links(lab: &Lab, links: &Links) {
    links.swallow();
    for args in [&["verify", "--watch"][..], &["monitor", "--every", "60"]] {
        ends(&lab.primary, lab.primary.command(args), 0, waits_long());
    }
    // For a fence, which is asked because nobody can tell whether the primary lives.
    let (program, begun) = endless(lab, "fence-begun");
    let config = "[replication]\nconnect_retry = 1\n";
    let secondary = &lab.secondary;
    secondary.configure(&format!("{config}[fence]\ncommand = {program}\ndeadline = 600\n"));
    ends(secondary, secondary.command(&["recover", "--promote"]), 130, |_| begun.exists());
    secondary.configure(config);
    links.open();
    lab.wait_alive();
    lab.stop();
}

/// For a server that does not come up.
fn for_a_server(node: &Node) {
    let script = node.path("bin/startDB.sh");
    let begun = node.path("mysql/tmp/begun");
    let text = std::fs::read_to_string(&script).expect("there");
    let (first, rest) = text.split_once('\n').expect("lines");
    let hangs = format!("{first}\ntouch \"$2/begun\"; while :; do sleep 1; done\n{rest}");
    let put = Put::content(script, hangs);
    ends(node, node.command(&["start"]), 130, |_| begun.exists());
    nothing_runs(node);
    drop(put);
    std::fs::remove_file(begun).expect("removed");
}

/// For an answer.
fn for_a_person(node: &Node) {
    let before = settled(node);
    let asked = OnTerminal::run(node.command(&["pack", "--new-secrets", "127.0.0.1", "127.0.0.2"]));
    wait_until("it asks", || asked.screen().contains("[y/N]") || asked.screen().contains("(y/n)"));
    send_signal(asked.pid(), "TERM");
    let sent = Instant::now();
    let screen = asked.shown();
    assert_eq!(asked.exit_code(), Some(130), "{:?}", screen.lock());
    assert!(sent.elapsed() < SOON);
    assert_same(&before, &settled(node), "a question");
}
