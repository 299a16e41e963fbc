//! Packs that cost the users of the primary as little as can be: the database is back early, or is
//! never gone.

#![expect(
    clippy::print_stdout,
    reason = "what was measured is shown with a test that fails, or when asked for"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::sys::signal::Signal;

use crate::harness::content::{own_files, variables};
use crate::harness::{
    Lab, Node, Ran, TABLE, UNDER_LOAD, Writer, assert_same, cut, everything_is_there_once, wait_until,
};
use crate::on_servers;

on_servers!(a_pack_made_online_under_load_makes_a_pair_that_lacks_nothing: mysql_5_6, mysql_9_7, mariadb_11_8; left: mariadb_10_11);
on_servers!(an_online_pack_that_was_cut_off_anywhere_leaves_the_pair_as_it_was: mysql_5_6, mysql_9_7, mariadb_11_8; left: mariadb_10_11);
on_servers!(with_restart_the_database_is_back_before_the_pack_is_written: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(an_online_pack_needs_a_running_database_that_was_set_up: mysql_9_7; left: mysql_5_6, mariadb_10_11, mariadb_11_8);

fn pack(lab: &Lab, option: &str) -> Ran {
    lab.primary.run(&["--json", "pack", option, &lab.primary.endpoint, &lab.secondary.endpoint])
}

/// A figure of the answer of a pack.
#[track_caller]
fn seconds(ran: &Ran, name: &str) -> f64 {
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    answer[name].as_f64().unwrap_or_else(|| panic!("no {name} in\n{ran}"))
}

/// Installs the new pack over whatever the secondary is.
fn install(lab: &Lab) {
    lab.secondary.run(&["stop"]).ok();
    lab.carry();
    lab.secondary.run(&["install-pack"]).ok();
    lab.secondary.run(&["key", &lab.key().to_string_lossy()]).ok();
    lab.secondary.run(&["start"]).ok();
}

fn nothing_is_left(node: &Node) {
    assert!(!node.path("replication/pmp-ha-work").exists());
    assert!(!node.path("replication/HAPack.zip.part").exists());
    let copy = "replication/pmp-ha-work/source";
    assert_eq!(node.processes().into_iter().filter(|line| line.contains(copy)).collect::<Vec<_>>(), [""; 0]);
}

/// An audit row of the secondary reaches the primary.
#[track_caller]
fn audit_rows_flow_back(lab: &Lab, name: &str) {
    lab.secondary.sql(&format!("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('{name}')"));
    let count = format!("SELECT COUNT(*) FROM Ptrx_UserAudit WHERE NAME = '{name}'");
    wait_until("the audit row has flowed back", || lab.primary.sql(&count) == "1");
}

fn with_restart_the_database_is_back_before_the_pack_is_written(server: &str) {
    let lab = Lab::up(server);
    let node = &lab.primary;
    let args = ["--dry-run", "pack", "--restart", &lab.primary.endpoint, &lab.secondary.endpoint];
    let plan = node.run(&args).ok();
    for line in ["4. copy", "5. start the database", "6. compress"] {
        assert!(plan.stdout.contains(line), "{plan}");
    }
    let ran = pack(&lab, "--restart").ok();
    println!("{server}: down for {} s", seconds(&ran, "downtime_seconds"));
    assert!(node.is_running());
    nothing_is_left(node);
    node.sql("INSERT INTO Ptrx_Settings VALUES ('AFTER', 'the pack')");
    install(&lab);
    lab.wait_alive();
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
    audit_rows_flow_back(&lab, "from the new secondary");
    lab.tables_are_equal();
    pack(&lab, "--restart").refused(&["the database runs"]);
}

fn a_pack_made_online_under_load_makes_a_pair_that_lacks_nothing(server: &str) {
    let lab = Lab::pair(server);
    under_load(
        &lab,
        match server {
            "mysql-5.1" | "mysql-5.5" | "mysql-5.6" => "under a lock",
            "mysql-9.7" => "by the server itself (CLONE)",
            _ => "mysql/bin/mariadb-backup",
        },
        2,
    );
}

/// Packs under load, and installs each pack over the secondary that is there.
fn under_load(lab: &Lab, way: &str, rounds: u32) {
    let node = &lab.primary;
    node.sql(TABLE);
    let (pid, before) = (node.pid(), variables(node));
    let ids = Arc::new(AtomicU64::new(1));
    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        let writer = Writer::start(node, &ids);
        writer.wait_for(UNDER_LOAD);
        let ran = pack(lab, "--online").ok().says(&[way]);
        println!("{}: writes waited for {} s", lab.server, seconds(&ran, "writes_blocked_seconds"));
        let so_far = writer.count();
        writer.wait_for(so_far + UNDER_LOAD);
        install(lab);
        acknowledged.extend(writer.end());
        everything_is_there_once(lab, &acknowledged);
        audit_rows_flow_back(lab, &format!("round {round}"));
        lab.tables_are_equal();
        assert_eq!(node.pid(), pid, "the database was not stopped");
        assert_eq!(variables(node), before);
        nothing_is_left(node);
    }
    assert_eq!(node.admin_sql(CLONE_PLUGIN), "");
}

const CLONE_PLUGIN: &str = "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'";

fn an_online_pack_that_was_cut_off_anywhere_leaves_the_pair_as_it_was(server: &str) {
    let lab = Lab::pair(server);
    let node = &lab.primary;
    let (variables_before, files_before) = (variables(node), own_files(node));
    let args = ["pack", "--online", &lab.primary.endpoint, &lab.secondary.endpoint];
    let copy = node.path("replication/pmp-ha-work/source/mysql/data");
    let socket = node.path("replication/pmp-ha-work/source/mysql/tmp/boot/mysql.sock");
    let part = node.path("replication/HAPack.zip.part");
    let has_come = |step: &str, said: &str| {
        said.contains(step)
            && match step {
                "2/4" => copy.exists(),
                "3/4" => socket.exists(),
                "4/4" => part.exists(),
                _ => true,
            }
    };
    for (signal, step, crashes) in [
        (Signal::SIGINT, "1/4", false),
        (Signal::SIGINT, "2/4", false),
        (Signal::SIGINT, "3/4", false),
        (Signal::SIGINT, "4/4", false),
        (Signal::SIGKILL, "1/4", false),
        (Signal::SIGKILL, "2/4", false),
        (Signal::SIGKILL, "3/4", false),
        (Signal::SIGKILL, "4/4", false),
        (Signal::SIGKILL, "2/4", true),
    ] {
        let pid = node.pid();
        let ran = cut(node.command(&args), signal, |said| has_come(step, said));
        if signal == Signal::SIGKILL {
            assert_eq!(node.outcome(), None, "{ran}");
            if !crashes {
                // It is open, and has turned nobody away.
                assert_eq!(node.verify(), ("Alive".to_owned(), "Alive".to_owned()), "{ran}");
                assert_eq!(node.findings(), ["run-left-open"], "{ran}");
                assert_eq!(lab.secondary.findings(), [""; 0], "{ran}");
            }
            if crashes {
                node.kill();
            }
            node.run(&["start"]).ok();
            node.sql("REPLACE INTO Ptrx_Settings VALUES ('CUT', 'the primary goes on')");
            if crashes {
                node.run(&["stop"]).ok();
            }
            node.run(&["pack", "--online", "no-such-name.invalid", "b.invalid"])
                .refused(&["does not resolve"])
                .says(&["An earlier `pmp-ha pack` was interrupted. pmp-ha undoes its changes first"]);
            node.run(&["start"]).ok();
        } else {
            assert_eq!(ran.code, Some(130), "{ran}");
        }
        assert!(crashes || node.pid() == pid, "{ran}");
        assert_eq!(variables(node), variables_before, "{ran}");
        assert!(own_files(node) == files_before, "{ran}");
        nothing_is_left(node);
        lab.wait_alive();
        audit_rows_flow_back(&lab, &format!("{signal} in {step}, {crashes}"));
    }
    assert_eq!(node.admin_sql(CLONE_PLUGIN), "");
    lab.tables_are_equal();
}

#[test]
fn a_table_that_clone_would_leave_empty_is_copied_under_a_lock() {
    let lab = Lab::pair("mysql-9.7");
    lab.primary.sql("CREATE TABLE passtrix.of_another_engine (id INT PRIMARY KEY) ENGINE=MyISAM");
    lab.primary.sql("INSERT INTO passtrix.of_another_engine VALUES (1)");
    under_load(&lab, "under a lock", 1);
    assert_eq!(lab.secondary.sql("SELECT id FROM of_another_engine"), "1");
}

#[test]
fn mariadb_10_11_without_its_backup_tool_is_copied_under_a_lock() {
    without_its_backup_tool("mariadb-10.11");
}

#[test]
fn mariadb_11_8_without_its_backup_tool_is_copied_under_a_lock() {
    without_its_backup_tool("mariadb-11.8");
}

fn without_its_backup_tool(server: &str) {
    let lab = Lab::pair(server);
    std::fs::remove_file(lab.primary.path("mysql/bin/mariadb-backup")).expect("removed");
    under_load(&lab, "under a lock", 1);
}

#[test]
fn a_restart_that_was_cut_off_is_put_back_before_the_start_and_finished_behind_it() {
    let lab = Lab::up_with("mariadb-10.11", "lab", 20);
    let node = &lab.primary;
    let args = ["pack", "--restart", &lab.primary.endpoint, &lab.secondary.endpoint];
    let copy = node.path("replication/pmp-ha-work/source/mysql/data/ibdata1");
    let part = node.path("replication/HAPack.zip.part");
    let before = node.fingerprint_of(&["bin", "conf", "replication"]);
    let ran =
        cut(node.command(&args), Signal::SIGINT, |said| said.contains("4/6") && copy.exists()).exits(130);
    assert_same(&before, &node.fingerprint_of(&["bin", "conf", "replication"]), &ran.to_string());
    cut(node.command(&args), Signal::SIGKILL, |said| said.contains("4/6") && copy.exists());
    node.run(&["start"]).refused(&["an earlier run on this home was interrupted"]);

    cut(node.command(&args), Signal::SIGKILL, |said| said.contains("6/6") && part.exists())
        .says(&["All its changes are put back"]);
    node.sql("INSERT INTO Ptrx_Settings VALUES ('MEANWHILE', 'the primary goes on')");
    node.kill();
    node.run(&["start"]).ok();
    let pid = node.pid();
    node.run(&args).ok().says(&["after its point of no return; it is finished now"]);
    assert_eq!(node.pid(), pid);
    assert!(!part.exists());
    nothing_is_left(node);
    install(&lab);
    lab.wait_alive();
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
}

fn an_online_pack_needs_a_running_database_that_was_set_up(server: &str) {
    let lab = Lab::up(server);
    let node = &lab.primary;
    let args = ["pack", "--online", &lab.primary.endpoint, &lab.secondary.endpoint];
    node.run(&["start"]).ok();
    node.run(&args).refused(&[
        "belongs to no pair yet",
        "settings take effect only after a restart",
        "--restart",
    ]);
    node.run(&["stop"]).ok();
    lab.pack().ok();
    node.run(&args).refused(&["the database does not run"]);
    node.run(&["start"]).ok();
    let other = format!("localhost:{}", node.port());
    node.run(&["pack", "--online", &other, &lab.secondary.endpoint]).refused(&["another pair", "--restart"]);
    node.admin_sql("SET GLOBAL auto_increment_offset = 2");
    node.run(&args).refused(&["settings of the pair are not in effect", "auto_increment_offset"]);
}
