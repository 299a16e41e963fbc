//! `verify`: the manual's two lines, an exit code, and a code for each thing that can be wrong.

use std::path::{Path, PathBuf};

use crate::harness::sql::{Db, root};
use crate::harness::wire::Link;
use crate::harness::{Lab, Node, wait_until};
use crate::harness::{wait_for, wait_for_only};
use crate::on_servers;

on_servers!(each_thing_that_is_wrong_has_its_code_and_goes_away_with_it: mysql_5_6, mysql_9_7, mariadb_11_8; left: mariadb_10_11);
on_servers!(a_place_that_the_binlog_no_longer_has_is_told_and_a_new_pack_heals_it: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(a_start_script_that_an_upgrade_replaced_is_told: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

fn each_thing_that_is_wrong_has_its_code_and_goes_away_with_it(server: &str) {
    let lab = Lab::pair(server);
    a_healthy_pair_is_alive_from_both_nodes(&lab);
    changed_ports_are_told(&lab);
    a_changed_source_is_told(&lab);
    a_stopped_applier_or_receiver_is_told(&lab);
    an_applier_that_failed_is_told(&lab);
    a_primary_without_a_free_connection_is_alive(&lab);
    a_stopped_database_is_told(&lab);
    lab.tables_are_equal();
}

fn a_healthy_pair_is_alive_from_both_nodes(lab: &Lab) {
    let alive = "High Availability Status: Alive\nReplication Status: Alive\n";
    for node in [&lab.primary, &lab.secondary] {
        let ran = node.run(&["verify"]).ok();
        assert!(ran.stdout.starts_with(alive), "{ran}");
        assert_eq!(node.findings(), Vec::<String>::new());
    }
}

fn changed_ports_are_told(lab: &Lab) {
    for node in [&lab.primary, &lab.secondary] {
        let params = node.home.join("conf/database_params.conf");
        let (old, new) = (format!(":{}/", node.port()), format!(":{}/", node.port() + 1));
        let changed = Changed::replace(&params, &old, &new);
        failed_because_of(node, &["port-changed"]);
        drop(changed);
    }
    let server_xml = lab.primary.home.join("conf/server.xml");
    let text = std::fs::read_to_string(&server_xml).expect("readable");
    let port = text.split("Connector").nth(1).and_then(|rest| {
        let rest = rest.split("port=\"").nth(1)?;
        rest.split('"').next()?.parse::<u16>().ok()
    });
    let port = port.expect("a port");
    let changed = Changed::replace(&server_xml, &format!("\"{port}\""), &format!("\"{}\"", port + 1));
    failed_because_of(&lab.primary, &["web-port-changed"]);
    drop(changed);
    lab.wait_alive();
}

fn a_changed_source_is_told(lab: &Lab) {
    let (host, port) = ("127.0.0.1", lab.primary.port());
    let ours = format!("MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_SSL_VERIFY_SERVER_CERT=1");
    // The right server, by a way that is not the pair's.
    let link = Link::to(&lab.primary.endpoint);
    lab.change_source(&format!("MASTER_HOST='{host}', MASTER_PORT={}", link.port));
    lab.wait_replicating();
    wait_for_only(&lab.secondary, &["wrong-source"]);
    lab.change_source(&ours);
    lab.wait_alive();

    lab.change_source(&format!("MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_SSL_VERIFY_SERVER_CERT=0"));
    lab.wait_replicating();
    wait_for_only(&lab.secondary, &["channel-not-verified"]);
    lab.change_source(&ours);
    lab.wait_alive();

    // The server that answers there is another one: the secondary itself.
    let itself = format!("MASTER_HOST='127.0.0.2', MASTER_PORT={}", lab.secondary.port());
    lab.change_source(&itself);
    failed_because_of(&lab.secondary, &["wrong-source"]);
    lab.change_source(&ours);
    lab.wait_alive();
}

fn a_stopped_applier_or_receiver_is_told(lab: &Lab) {
    let mut db = Db::admin(&lab.secondary);
    db.rows(&lab.words("STOP SLAVE SQL_THREAD"));
    wait_for_only(&lab.secondary, &["applier-stopped"]);
    assert_eq!(lab.secondary.verify(), ("Alive".into(), "Failed".into()));
    db.rows(&lab.words("START SLAVE SQL_THREAD"));
    db.rows(&lab.words("STOP SLAVE IO_THREAD"));
    failed_because_of(&lab.secondary, &["receiver-stopped"]);
    failed_because_of(&lab.primary, &["secondary-not-connected"]);
    db.rows(&lab.words("START SLAVE IO_THREAD"));
    lab.wait_alive();
}

fn an_applier_that_failed_is_told(lab: &Lab) {
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('STRAY', 'old')");
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
    let mut stray = Db::admin(&lab.secondary);
    stray.rows("SET SESSION sql_log_bin = 0");
    stray.rows("DELETE FROM Ptrx_Settings WHERE NAME = 'STRAY'");
    lab.primary.sql("UPDATE Ptrx_Settings SET VALUE = 'new' WHERE NAME = 'STRAY'");
    wait_for_only(&lab.secondary, &["applier-stopped"]);
    let ran = lab.secondary.run(&["verify"]).exits(5);
    let lines = "High Availability Status: Alive\nReplication Status: Failed\n";
    assert!(ran.stdout.starts_with(lines), "{ran}");
    assert!(ran.stdout.contains("error 1032"), "{ran}");
    wait_for_only(&lab.primary, &["applier-stopped"]);
    stray.rows("INSERT INTO Ptrx_Settings VALUES ('STRAY', 'old')");
    stray.rows(&lab.words("START SLAVE"));
    lab.wait_alive();

    stray.rows("INSERT INTO Ptrx_Settings VALUES ('DOUBLE', 'stray')");
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('DOUBLE', 'ours')");
    wait_for_only(&lab.secondary, &["applier-stopped"]);
    let ran = lab.secondary.run(&["verify"]).exits(5);
    assert!(ran.stdout.contains("error 1062"), "{ran}");
    stray.rows("DELETE FROM Ptrx_Settings WHERE NAME = 'DOUBLE'");
    stray.rows(&lab.words("START SLAVE"));
    lab.wait_alive();
}

fn a_primary_without_a_free_connection_is_alive(lab: &Lab) {
    let mut db = Db::of(&lab.primary);
    let before = db.variable("max_connections");
    db.rows("SET GLOBAL max_connections = 10");
    let mut held = Vec::new();
    while let Ok(one) = Db::open(root(&lab.primary)) {
        held.push(one);
        assert!(held.len() < 30, "it lets everybody in");
    }
    wait_for(&lab.primary, &["local-full"]);
    assert_eq!(lab.primary.verify().0, "Unknown");
    // It is alive; whether it applies audit rows it cannot say.
    wait_for(&lab.secondary, &["peer-full", "back-not-seen"]);
    let ran = lab.secondary.run(&["verify"]).exits(5);
    let half = "High Availability Status: Alive\nReplication Status: Unknown\n";
    assert!(ran.stdout.starts_with(half), "{ran}");
    drop(held);
    db.rows(&format!("SET GLOBAL max_connections = {before}"));
    wait_for_only(&lab.secondary, &[]);
}

fn a_stopped_database_is_told(lab: &Lab) {
    lab.secondary.run(&["stop"]).ok();
    failed_because_of(&lab.secondary, &["local-down", "replica-not-seen"]);
    failed_because_of(&lab.primary, &["peer-unreachable", "secondary-not-connected"]);
    lab.primary.run(&["stop"]).ok();
    failed_because_of(&lab.secondary, &["local-down", "peer-unreachable"]);
    failed_because_of(&lab.primary, &["local-down", "peer-unreachable"]);
    lab.secondary.run(&["--json", "verify"]).exits(5);
    // Only the local one is there.
    lab.secondary.run(&["start"]).ok();
    failed_because_of(&lab.secondary, &["peer-unreachable", "receiver-connecting"]);
    lab.primary.run(&["start"]).ok();
    lab.wait_alive();
    wait_until("the primary sees its secondary again", || lab.primary.verify().0 == "Alive");
}

fn a_start_script_that_an_upgrade_replaced_is_told(server: &str) {
    let lab = Lab::pair(server);
    let script = lab.secondary.home.join("bin/startDB.sh");
    let original = std::fs::read_to_string(lab.secondary.home.join("bin/startDB.sh.before-pmp-ha"));
    lab.secondary.run(&["stop"]).ok();
    let changed = Changed::to(&script, &original.expect("a copy of the script"));
    lab.secondary.run(&["start"]).ok().says(&["it runs without the setting"]);
    // A 5.6 then looks for its source in files, and it stands in a table.
    let replication = if lab.is_mysql_5_6() { "not-a-replica" } else { "wrong-filter" };
    failed_because_of(&lab.secondary, &["setting-not-in-effect", replication]);
    assert_eq!(lab.secondary.verify().1, "Failed");
    lab.secondary.run(&["stop"]).ok();
    drop(changed);
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('MEANWHILE', 'written')");
    lab.secondary.run(&["start"]).ok();
    lab.wait_alive();
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");

    let script = lab.primary.home.join("bin/startDB.sh");
    let original = std::fs::read_to_string(lab.primary.home.join("bin/startDB.sh.before-pmp-ha"));
    lab.primary.run(&["stop"]).ok();
    let changed = Changed::to(&script, &original.expect("a copy of the script"));
    lab.primary.run(&["start"]).ok().says(&["it runs without the setting"]);
    failed_because_of(&lab.primary, &["setting-not-in-effect"]);
    lab.primary.run(&["stop"]).ok();
    drop(changed);
    lab.primary.run(&["start"]).ok();
    lab.wait_alive();
    lab.tables_are_equal();
}

fn a_place_that_the_binlog_no_longer_has_is_told_and_a_new_pack_heals_it(server: &str) {
    let lab = Lab::pair(server);
    lab.secondary.run(&["stop"]).ok();
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('PURGED', 'with its binlog')");
    lab.primary.drop_old_binlogs();
    lab.secondary.run(&["start"]).ok();
    failed_because_of(&lab.secondary, &["binlog-gone"]);
    assert_eq!(lab.secondary.verify().1, "Failed");

    lab.secondary.run(&["stop"]).ok();
    lab.primary.run(&["stop"]).ok();
    lab.set_up(&lab.primary.endpoint);
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('AFTER', 'the second pack')");
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
    lab.tables_are_equal();
}

/// Waits until `verify` finds all of `codes`, and then fails with the exit code for it.
#[track_caller]
fn failed_because_of(node: &Node, codes: &[&str]) {
    wait_for(node, codes);
    let ran = node.run(&["verify"]).exits(5);
    for code in codes {
        assert!(ran.stdout.contains(&format!("[{code}]")), "no {code} in\n{ran}");
    }
}

/// A file that is another one for a while.
struct Changed {
    path: PathBuf,
    before: String,
}

impl Changed {
    fn to(path: &Path, text: &str) -> Self {
        let before = std::fs::read_to_string(path).expect("readable");
        assert_ne!(before, text, "{}", path.display());
        std::fs::write(path, text).expect("written");
        Self { path: path.to_owned(), before }
    }

    fn replace(path: &Path, old: &str, new: &str) -> Self {
        let before = std::fs::read_to_string(path).expect("readable");
        Self::to(path, &before.replace(old, new))
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        std::fs::write(&self.path, &self.before).expect("written");
    }
}
