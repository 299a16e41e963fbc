//! What changes after the setup is told, and taken over without a new pack.

use std::net::TcpListener;

use fs_err as fs;

use crate::harness::sql::Db;
use crate::harness::{Lab, Node, wait_for, wait_until};
use crate::on_servers;

on_servers!(a_port_that_moved_is_taken_over_without_a_pack: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(the_secondary_is_told_to_restart_when_tfa_has_changed: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);

fn a_port_that_moved_is_taken_over_without_a_pack(server: &str) {
    let lab = Lab::pair(server);
    let journal_before = lab.primary.journal().len();

    // The database of the primary moves.
    let port = move_database(&lab.primary);
    wait_for(&lab.primary, &["port-changed"]);
    wait_for(&lab.secondary, &["peer-unreachable", "receiver-connecting"]);
    let shown = lab.primary.run(&["reconfigure", "--dry-run"]).ok();
    assert!(shown.stdout.contains("reconfigure in "), "{shown}");
    assert_eq!(lab.primary.journal().len(), journal_before, "a dry run leaves no record");
    wait_for(&lab.primary, &["port-changed"]);
    lab.primary.run(&["reconfigure"]).ok().says(&[&format!("--peer-port {port}")]);
    lab.secondary.run(&["reconfigure", "--peer-port", &port.to_string()]).ok();
    flows_both_ways(&lab, "the primary moved");

    // The database of the secondary moves, and is not running when it is taken over.
    let port = move_database(&lab.secondary);
    lab.secondary.run(&["stop"]).ok();
    lab.secondary.run(&["reconfigure"]).ok();
    lab.secondary.run(&["start"]).ok();
    wait_for(&lab.primary, &["peer-unreachable", "back-receiver-connecting"]);
    lab.primary.run(&["reconfigure", "--peer-port", &port.to_string()]).ok();
    flows_both_ways(&lab, "the secondary moved");

    // So does the web port of the primary.
    let server_xml = lab.primary.path("conf/server.xml");
    let text = std::fs::read_to_string(&server_xml).expect("readable");
    let connector = text.find("Connector").expect("a connector");
    let (head, tail) = text.split_at(connector);
    // The ports of a lab begin with a 2.
    let moved = tail.replacen("port=\"2", "port=\"3", 1);
    assert_ne!(moved, tail, "{text}");
    std::fs::write(&server_xml, format!("{head}{moved}")).expect("written");
    wait_for(&lab.primary, &["web-port-changed"]);
    lab.primary.run(&["reconfigure"]).ok();
    flows_both_ways(&lab, "the web port moved");

    // A further table of the application's own, and the guard as it was.
    for node in [&lab.primary, &lab.secondary] {
        node.configure("[replication]\nlocal_tables = [\"ptrx_settings\"]\n");
        node.run(&["reconfigure"]).ok();
    }
    lab.secondary.sql("INSERT INTO Ptrx_Settings VALUES ('LOCAL', 'stays here')");
    Db::of(&lab.secondary).try_rows("DELETE FROM Ptrx_Settings").expect_err("the guard stands");
    lab.wait_alive();

    lab.fresh_home("stranger").run(&["reconfigure"]).refused(&["does not belong to a pair"]);
}

fn the_secondary_is_told_to_restart_when_tfa_has_changed(server: &str) {
    let lab = Lab::pair(server);
    let query = |text: &str| lab.secondary.configure(&format!("[product]\ntfa_query = \"{text}\"\n"));
    query("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'TFA_TYPE'");
    restart(&lab.secondary);
    lab.wait_alive();
    assert_eq!(lab.secondary.findings(), Vec::<String>::new());

    lab.primary.sql("UPDATE Ptrx_Settings SET VALUE = 'PHONE_FACTOR' WHERE NAME = 'TFA_TYPE'");
    wait_for(&lab.secondary, &["tfa-changed"]);
    // It warns, and the pair is Alive.
    lab.secondary.run(&["verify"]).ok();
    let warned = lab.secondary.run(&["verify", "--nagios"]).exits(1);
    assert!(warned.stdout.starts_with("PMP-HA WARNING"), "{warned}");

    restart(&lab.secondary);
    lab.wait_alive();
    assert_eq!(lab.secondary.findings(), Vec::<String>::new());

    // A look that only shows notes nothing; the one that watches does.
    let notes = lab.secondary.path("replication/pmp-ha-tfa.json");
    fs::remove_file(&notes).expect("the notes of the last start");
    for _ in 0..2 {
        let looked = lab.secondary.run(&["verify", "--dry-run"]).ok();
        assert!(looked.stdout.contains("[tfa-noted]"), "{looked}");
        assert!(!notes.exists(), "a dry run has noted the TFA setting");
    }
    assert_eq!(lab.secondary.findings(), ["tfa-noted"]);
    assert_eq!(lab.secondary.findings(), Vec::<String>::new());

    query("SELECT nothing FROM nowhere");
    wait_for(&lab.secondary, &["tfa-unknown"]);
    lab.secondary.run(&["verify"]).exits(5);
}

fn restart(node: &Node) {
    node.run(&["stop"]).ok();
    node.run(&["start"]).ok();
}

/// Restarts the database of a node on another port, as an administrator would, and says which.
fn move_database(node: &Node) -> u16 {
    node.run(&["stop"]).ok();
    let params = node.path("conf/database_params.conf");
    let text = std::fs::read_to_string(&params).expect("readable");
    let begin = text.find("localhost:").expect("a URL") + "localhost:".len();
    let end = begin + text[begin..].find('/').expect("a schema");
    // Tests that run at the same time begin to look at different places.
    let first = 30_000 + 8 * u16::from(of_its_own(node));
    let free = |port: &u16| TcpListener::bind(("0.0.0.0", *port)).is_ok();
    let port = (first..first + 500).find(free).expect("a free port");
    std::fs::write(&params, format!("{}{port}{}", &text[..begin], &text[end..])).expect("written");
    node.run(&["start"]).ok();
    port
}

/// Differs from test to test: the name of a lab's folder is random.
fn of_its_own(node: &Node) -> u8 {
    node.home.to_string_lossy().bytes().fold(7, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte))
}

#[track_caller]
fn flows_both_ways(lab: &Lab, what: &str) {
    lab.wait_alive();
    lab.primary.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('{what}', 'written')"));
    lab.secondary.sql(&format!("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('{what}')"));
    wait_until(&format!("rows flow both ways after {what}"), || {
        let there =
            Db::of(&lab.secondary).list(&format!("SELECT VALUE FROM Ptrx_Settings WHERE NAME = '{what}'"));
        let back =
            Db::of(&lab.primary).list(&format!("SELECT NAME FROM Ptrx_UserAudit WHERE NAME = '{what}'"));
        there == ["written"] && back == [what]
    });
}
