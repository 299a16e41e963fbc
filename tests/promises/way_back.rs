//! What is undone is undone inside the database, too, and never under a server of somebody else.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::secret::accounts_demand_one_certificate;
use crate::harness::{Lab, Node, cut, is_alive, wait_until};
use crate::on_servers;

const ANY: &str = "mariadb-10.11";

on_servers!(a_first_pack_that_is_undone_leaves_nothing_in_the_database: mariadb_11_8; left: mysql_5_6, mysql_9_7, mariadb_10_11);
on_servers!(a_pack_for_other_names_that_is_undone_leaves_the_pair_alive: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

fn a_first_pack_that_is_undone_leaves_nothing_in_the_database(server: &str) {
    let lab = Lab::up_with(server, "lab", 20);
    let node = &lab.primary;
    let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    cut(node.command(&args), Signal::SIGINT, |said| said.contains("4/4")).exits(130);
    nothing_of_ours_is_in(node);

    let booted = node.path("mysql/tmp/boot/mysql.sock");
    cut(node.command(&args), Signal::SIGKILL, |said| said.contains("3/4") && booted.exists());
    assert_eq!(node.outcome(), None, "the run was cut off");
    node.run(&["pack", "no-such-name.invalid", "b.invalid"])
        .refused(&["does not resolve"])
        .says(&["An earlier `pmp-ha pack` was interrupted. pmp-ha undoes its changes first"]);
    nothing_of_ours_is_in(node);
}

#[track_caller]
fn nothing_of_ours_is_in(node: &Node) {
    node.run(&["start"]).ok();
    assert_eq!(node.sql("SELECT User, Host FROM mysql.user WHERE User LIKE 'pmp%'"), "");
    assert_eq!(node.sql("SHOW DATABASES LIKE 'pmp%'"), "");
    node.run(&["stop"]).ok();
}

fn a_pack_for_other_names_that_is_undone_leaves_the_pair_alive(server: &str) {
    let lab = Lab::pair(server);
    let node = &lab.primary;
    node.run(&["stop"]).ok();
    let other = format!("localhost:{}", node.port());
    let args = ["pack", &other, &lab.secondary.endpoint];
    cut(node.command(&args), Signal::SIGINT, |said| said.contains("4/4")).exits(130);
    node.run(&["start"]).ok();
    lab.wait_alive();
    [node, &lab.secondary].into_iter().for_each(accounts_demand_one_certificate);
    node.sql("INSERT INTO Ptrx_Settings VALUES ('STILL', 'a pair')");
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
    assert_eq!(node.sql("SELECT User FROM mysql.user WHERE User = 'pmp_ha_boot'"), "");
    lab.secondary.sql("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('still flows back')");
    lab.wait_same("SELECT AUDITID, NAME FROM Ptrx_UserAudit ORDER BY AUDITID");
}

#[test]
fn nothing_is_put_back_under_a_database_that_was_started_since() {
    let lab = Lab::up_with(ANY, "lab", 20);
    let node = &lab.primary;
    let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    let part = node.path("replication/HAPack.zip.part");
    cut(node.command(&args), Signal::SIGKILL, |_| part.exists());
    assert_eq!(node.outcome(), None, "the run was cut off");
    node.run(&["start"]).refused(&["an earlier run on this home was interrupted"]);

    // The product does not ask: its own script starts the database.
    let started = Command::new("sh")
        .args([node.path("bin/startDB.sh"), node.port().to_string().into(), node.path("mysql/tmp")])
        .status();
    assert!(started.expect("the script runs").success());
    wait_until("the database has written its pid", || node.path("mysql/data/mysql.pid").exists());
    let pid = node.pid();
    node.run(&args).refused(&["was interrupted and must be put back first", &format!("process {pid}")]);
    assert!(is_alive(pid) && node.pid() == pid, "the product's database was stopped");

    node.run(&["stop"]).ok();
    node.run(&args).ok();
    lab.carry();
    lab.secondary.run(&["install-pack"]).ok();
}

#[test]
fn refuses_to_recover_from_data_without_their_redo_log_or_their_binlogs() {
    let lab = Lab::installed("mysql-9.7");
    let fresh = lab.fresh_home("fresh");
    let (into, key) = (fresh.home.to_string_lossy(), lab.key());
    let args = ["recover", "--into", &into, "--key", &key.to_string_lossy()];
    let data = lab.secondary.path("mysql/data");
    for (gone, kept) in
        [("#innodb_redo", "redo"), ("pmp-ha-binlog.index", "index"), ("pmp-ha-binlog.000001", "log")]
    {
        let (gone_path, kept) = (data.join(gone), lab.dir().join(kept));
        std::fs::rename(&gone_path, &kept).expect("moved");
        lab.secondary.run(&args).refused(&["the data are incomplete", gone]);
        std::fs::rename(&kept, &gone_path).expect("moved back");
    }
    lab.secondary.run(&args).ok();
}

#[test]
fn verify_on_the_primary_judges_the_secondarys_settings_and_a_slow_heartbeat_is_no_silence() {
    let lab = Lab::up(ANY);
    for node in [&lab.primary, &lab.secondary] {
        node.configure("[replication]\nheartbeat = 4\nnet_timeout = 12\n");
    }
    lab.set_up(&lab.primary.endpoint);
    for node in [&lab.secondary, &lab.primary, &lab.secondary] {
        node.run(&["verify"]).ok();
    }
    lab.secondary.admin_sql("SET GLOBAL auto_increment_offset = 1");
    assert_eq!(lab.primary.findings(), ["setting-not-in-effect"]);
    lab.primary.run(&["verify"]).exits(5);
}
