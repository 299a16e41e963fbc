//! `start` and `stop` when they cannot, need not, or have to do it another way.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Lab, Node, Put, Ran, command, cut};
use crate::on_every_server;

on_every_server!(a_stop_turns_the_event_scheduler_off_and_one_that_fails_turns_it_on_again);

const ANY: &str = "mariadb-10.11";

#[test]
fn a_start_that_cannot_work_says_why_and_leaves_no_server() {
    let lab = Lab::installed(ANY);
    let node = &lab.secondary;
    {
        let port = node.endpoint.rsplit(':').next().expect("a port");
        let _listener = TcpListener::bind(format!("0.0.0.0:{port}")).expect("free");
        node.refuses(
            &["start"],
            4,
            &["cannot start the database", &format!("something answers on the database port {port}")],
        );
    }
    {
        let _option = Put::replaced(node.path("bin/startDB.sh"), " --user=", " --no-such-option --user=");
        node.run(&["start"]).exits(1).says(&[
            "error: the database did not start",
            "its log says: ",
            "no-such-option",
            "hint: Read ",
        ]);
    }
    {
        let _data = Put::content(node.path("mysql/data/ibdata1"), "this is no tablespace");
        node.run(&["start"]).exits(1).says(&[
            "error: the database did not start",
            "its log says: ",
            "ERROR",
            "hint: Read ",
        ]);
    }
    for file in ["mysql/data", "bin/startDB.sh", "conf/database_params.conf"] {
        let _gone = Put::gone(node.path(file));
        node.refuses(&["start"], 4, &["cannot start the database", &format!("{file} is missing")]);
    }
    assert_eq!(node.processes(), Vec::<String>::new());
    node.run(&["start"]).ok();
}

#[test]
fn starting_or_stopping_twice_is_no_error() {
    let lab = Lab::up(ANY);
    let node = &lab.primary;
    node.run(&["stop"]).ok().says(&["was not running"]);
    node.run(&["start"]).ok().says(&["is up: MariaDB 10.11"]);
    let pid = node.pid();
    node.run(&["start"]).ok().says(&[&format!("is already running, process {pid}")]);
    assert_eq!(node.pid(), pid);
    node.run(&["stop", "--dry-run"]).ok().says(&["would stop"]);
    assert_eq!(node.pid(), pid);
    node.run(&["stop"]).ok().says(&["has stopped cleanly"]);
    node.run(&["stop"]).ok().says(&["was not running"]);
    // A stop that a server does not follow ends with a signal, long before its deadline.
    node.run(&["start"]).ok();
    let (frozen, begun) = (node.freeze(), Instant::now());
    let ran = cut(node.command(&["stop"]), Signal::SIGTERM, |_| begun.elapsed() > Duration::from_secs(1));
    ran.exits(130).says(&["the database may still stop", "hint: Run `pmp-ha stop` again"]);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(frozen);
    node.run(&["stop"]).ok();
    let before = node.fingerprint();
    node.run(&["start", "--dry-run"]).ok().says(&["would run"]);
    crate::harness::assert_same(&before, &node.fingerprint(), "start --dry-run");
}

#[test]
fn stops_the_database_whatever_the_stop_script_does() {
    let lab = Lab::up(ANY);
    let node = &lab.primary;
    for script in ["exit 0", "exit 1"] {
        let _script = Put::content(node.path("bin/stopDB.sh"), format!("#!/bin/sh\n{script}\n"));
        node.run(&["start"]).ok();
        node.run(&["stop"]).ok().says(&["has stopped cleanly"]);
        node.run(&["stop"]).ok().says(&["was not running"]);
    }
    assert_eq!(node.processes(), Vec::<String>::new());
}

#[test]
fn a_home_whose_path_means_something_to_a_shell_a_server_or_systemd_makes_a_pair() {
    const NAME: &str = "it's; #1 & 50%";
    let lab = Lab::up_with("mysql-5.6", NAME, 1);
    assert!(lab.primary.home.to_string_lossy().contains(NAME));
    lab.install();
    lab.primary.run(&["start"]).ok();
    lab.secondary.run(&["start"]).ok();
    lab.wait_alive();
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('SPACE', 'in the path')");
    let query = "SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'SPACE'";
    assert_eq!(lab.wait_same(query), "in the path");
    lab.primary.run(&["verify", "--deep"]).ok();
    lab.primary.run(&["doctor"]).ok();

    // systemd reads of the unit what the home is called.
    let units = lab.dir().to_string_lossy().into_owned();
    lab.primary.run(&["monitor", "--install", "--unit-dir", &units]).ok();
    let unit = lab.dir().join("pmp-ha-monitor.service");
    let text = std::fs::read_to_string(&unit).expect("written");
    let begins = lab.dir().canonicalize().expect("there").display().to_string();
    let written = format!("\"{begins}/it's; #1 & 50%%/primary\"");
    assert!(text.contains(&format!("--home {written} monitor")), "{text}");
    assert!(text.contains(&format!("ReadWritePaths={written}\n")), "{text}");
    let mut analyze = std::process::Command::new("systemd-analyze");
    analyze.args(["verify", "--man=no"]).arg(&unit);
    if std::process::Command::new("systemd-analyze").arg("--version").output().is_ok() {
        let ran = Ran::from_command(analyze);
        assert!(!ran.stderr.contains("pmp-ha-monitor"), "{ran}");
        ran.ok();
    }
    lab.primary.run(&["monitor", "--uninstall", "--unit-dir", &units]).ok();
    lab.stop();
    for node in [&lab.secondary, &lab.primary] {
        node.run(&["teardown"]).ok();
    }
    // What a shell or an option file cannot hold is refused before the first step.
    for odd in ["\"", "$HOME", "`id`", "\\"] {
        let home = lab.root.join(odd).join("primary");
        std::fs::create_dir(lab.root.join(odd)).expect("made");
        std::fs::rename(&lab.primary.home, &home).expect("renamed");
        let node = Node { home, endpoint: lab.primary.endpoint.clone() };
        node.refuses(&["pack", &node.endpoint, &lab.secondary.endpoint], 4, &["the path of the home"]);
        std::fs::rename(&node.home, &lab.primary.home).expect("renamed");
    }
}

fn scheduler(node: &Node) -> String {
    node.admin_sql("SELECT @@GLOBAL.event_scheduler")
}

fn a_stop_turns_the_event_scheduler_off_and_one_that_fails_turns_it_on_again(server: &str) {
    let lab = Lab::pair(server);
    let node = &lab.primary;
    {
        let log = node.path("logs/pmp-ha-stopdb.log");
        let _gone = Put::gone(log.clone());
        std::fs::create_dir(&log).expect("made");
        node.run(&["stop"]).exits(1).says(&["error: ", "pmp-ha-stopdb.log"]);
    }
    assert!(node.is_running());
    assert_eq!(scheduler(node), "ON");

    // As a stop that is killed leaves it.
    node.admin_sql("SET GLOBAL event_scheduler = OFF");
    assert!(node.run(&["verify"]).exits(5).stdout.contains("event_scheduler"));
    node.run(&["start"]).ok().says(&["is already running", "left the event scheduler off"]);
    assert_eq!(scheduler(node), "ON");

    // What the product's own script finds when it begins.
    let found = node.path("logs/found");
    let look = command(&["lab", "sql", &node.home.to_string_lossy(), "SELECT @@GLOBAL.event_scheduler"]);
    let words: Vec<String> = std::iter::once(look.get_program())
        .chain(look.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let stop = std::fs::read_to_string(node.path("bin/stopDB.sh")).expect("a script");
    let looks = format!("#!/bin/sh\n{} > '{}'\n{stop}", words.join(" "), found.display());
    let _script = Put::content(node.path("bin/stopDB.sh"), looks);
    node.run(&["stop"]).ok().says(&["has stopped cleanly"]);
    assert_eq!(std::fs::read_to_string(&found).expect("it has looked").trim(), "OFF");
    node.run(&["start"]).ok();
    assert_eq!(scheduler(node), "ON");

    // A server that does not let the tool in stops as it always did.
    let credentials = node.path("conf/pmp-ha/credentials.toml");
    let _wrong = Put::replaced(credentials, "password = \"", "password = \"not-");
    node.run(&["stop"]).ok().says(&["has stopped cleanly"]);
    assert_eq!(std::fs::read_to_string(&found).expect("it has looked").trim(), "ON");
}
