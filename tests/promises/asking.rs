//! A heartbeat comes when `verify` asks for it. Where it may not ask, the next one does; and whoever may
//! ask can do nothing else.

use std::collections::BTreeSet;

use mysql_async::OptsBuilder;
use pmp_ha::adapters::home::{Credential, Home};
use pmp_ha::domain::questions;

use crate::harness::sql::{Db, credentials};
use crate::harness::{Lab, Node, wait_for, wait_until};
use crate::{on_every_server, on_servers};

on_every_server!(whoever_may_ask_for_a_heartbeat_can_do_nothing_else);
on_servers!(a_heartbeat_comes_when_it_is_asked_for_and_by_itself_where_nobody_may_ask: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);

const CALL: &str = "CALL pmp_ha.ask_for_beat()";

/// Rows may be older than the servers' own rhythm would allow.
const PATIENT: &str = "[replication]\nbeat = 60\n";

fn a_heartbeat_comes_when_it_is_asked_for_and_by_itself_where_nobody_may_ask(server: &str) {
    let lab = Lab::pair(server);
    patience(&lab, PATIENT);
    let mut admins = [&lab.primary, &lab.secondary].map(unlogged);
    everywhere(&mut admins, &["ALTER EVENT pmp_ha.beat DISABLE"]);
    each_look_makes_one_come_from_each_node(&lab);

    // To ask without end does not hide that the server itself has stopped to write.
    patience(&lab, "");
    for node in [&lab.primary, &lab.secondary] {
        wait_for(node, &["heartbeat-stopped"]);
    }
    patience(&lab, PATIENT);

    let rows = settled(&lab);
    let monitors = ["'pmp_ha_monitor'@'%'", "'pmp_ha_monitor'@'localhost'"];
    for who in monitors {
        everywhere(&mut admins, &[&format!("REVOKE EXECUTE ON PROCEDURE pmp_ha.ask_for_beat FROM {who}")]);
    }
    lab.wait_alive();
    assert_eq!(beats(&lab), rows);
    for who in monitors {
        everywhere(&mut admins, &[&format!("GRANT EXECUTE ON PROCEDURE pmp_ha.ask_for_beat TO {who}")]);
    }
    each_look_makes_one_come_from_each_node(&lab);

    // A server that cannot write one just now is looked at all the same.
    let mut lock = Db::admin(&lab.secondary);
    lock.rows("BEGIN");
    lock.rows("SELECT beat FROM pmp_ha.heartbeat WHERE node = 2 FOR UPDATE");
    lab.wait_alive();
    lock.rows("ROLLBACK");

    // As a pair that an older pmp-ha has set up.
    let drops = questions::procedures().map(|name| format!("DROP PROCEDURE pmp_ha.{name}"));
    let grants = monitors.map(|who| format!("GRANT PROCESS ON *.* TO {who}"));
    let older: Vec<&str> = drops.iter().chain(&grants).map(String::as_str).collect();
    everywhere(&mut admins, &["DROP PROCEDURE pmp_ha.ask_for_beat", "DROP TABLE pmp_ha.asked"]);
    everywhere(&mut admins, &older);
    let rows = settled(&lab);
    lab.wait_alive();
    assert_eq!(beats(&lab), rows);
    // One node is upgraded before the other, and meanwhile the other one starts.
    everywhere(&mut admins, &["ALTER EVENT pmp_ha.beat ENABLE"]);
    patience(&lab, "");
    lab.secondary.run(&["reconfigure", "-y"]).ok();
    lab.wait_alive();
    lab.primary.run(&["stop"]).ok();
    lab.primary.run(&["start"]).ok();
    lab.wait_alive();
    for node in [&lab.primary, &lab.secondary] {
        assert_eq!(node.findings(), Vec::<String>::new());
    }
    lab.primary.run(&["reconfigure", "-y"]).ok();
    each_look_makes_one_come_from_each_node(&lab);
    lab.wait_alive();
    lab.tables_are_equal();
}

fn whoever_may_ask_for_a_heartbeat_can_do_nothing_else(server: &str) {
    let lab = Lab::pair(server);
    for (node, number) in [(&lab.primary, 1), (&lab.secondary, 2)] {
        let own = credentials(node);
        let (mut monitor, mut admin) = (local(node, own.monitor), unlogged(node));
        for statement in [
            "UPDATE pmp_ha.heartbeat SET beat = 0",
            "REPLACE INTO pmp_ha.asked VALUES (1, 0, 0, 0)",
            "DROP PROCEDURE pmp_ha.ask_for_beat",
            "ALTER PROCEDURE pmp_ha.ask_for_beat SQL SECURITY INVOKER",
            "CREATE PROCEDURE pmp_ha.another() SELECT 1",
            "SET SESSION sql_log_bin = 0",
            "SET SESSION binlog_format = 'STATEMENT'",
        ] {
            monitor.try_rows(statement).expect_err(statement);
        }
        local(node, own.reader).try_rows(CALL).expect_err("the account that reads the data");

        // However often: one at a time, and each takes some binlog.
        let mut written = BTreeSet::new();
        wait_until("it has written some", || {
            for _ in 0..100 {
                written.extend(asked(&mut monitor));
            }
            written.len() > 2
        });
        let too_close: Vec<_> =
            written.iter().zip(written.iter().skip(1)).filter(|(one, next)| *next - *one < 50_000).collect();
        assert!(too_close.is_empty(), "{too_close:?}");

        // The clock is the server's own.
        let clock = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";
        let mut now = || admin.list(clock)[0].parse::<i64>().expect("a clock");
        let before = now();
        let mut beat = None;
        wait_until("it writes", || {
            monitor.rows("SET SESSION timestamp = 2000000000, time_zone = '+10:00'");
            beat = asked(&mut monitor);
            beat.is_some()
        });
        let beat = beat.expect("one");
        assert!(before < beat && beat < now(), "{before} {beat}");

        // A transaction of the caller holds nothing.
        monitor.rows("SET autocommit = 0");
        monitor.rows("BEGIN");
        wait_until("it writes", || asked(&mut monitor).is_some());
        admin.rows("SET SESSION innodb_lock_wait_timeout = 1");
        admin.rows("BEGIN");
        admin.rows(&format!("SELECT beat FROM pmp_ha.heartbeat WHERE node = {number} FOR UPDATE"));
        admin.rows(&format!("SELECT beat FROM pmp_ha.asked WHERE node = {number} FOR UPDATE"));
        admin.rows("ROLLBACK");
    }
    // Nothing of it counts as a write against the rules.
    lab.wait_alive();
    assert_eq!(lab.secondary.findings(), Vec::<String>::new());
    lab.tables_are_equal();
}

/// What `verify` takes from `conf/pmp-ha.toml`; the servers know nothing of it.
fn patience(lab: &Lab, text: &str) {
    for node in [&lab.primary, &lab.secondary] {
        node.configure(text);
    }
}

fn everywhere(admins: &mut [Db; 2], statements: &[&str]) {
    for db in admins {
        for statement in statements {
            db.rows(statement);
        }
    }
}

#[track_caller]
fn each_look_makes_one_come_from_each_node(lab: &Lab) {
    for node in [&lab.primary, &lab.secondary] {
        let before = beats(lab);
        wait_until("a look makes a heartbeat of each node come to both", || {
            node.run(&["verify"]);
            let after = beats(lab);
            after[0] == after[1] && after[0].iter().zip(&before[0]).all(|(after, before)| after > before)
        });
    }
}

/// The heartbeat rows of both nodes, as they stand on the primary and on the secondary.
fn beats(lab: &Lab) -> [Vec<i64>; 2] {
    [&lab.primary, &lab.secondary].map(|node| {
        let rows = Db::admin(node).list("SELECT beat FROM pmp_ha.heartbeat ORDER BY node");
        rows.iter().map(|beat| beat.parse().expect("a number")).collect()
    })
}

/// The same, when nothing is on its way any more.
#[track_caller]
fn settled(lab: &Lab) -> [Vec<i64>; 2] {
    let mut rows = beats(lab);
    wait_until("both nodes have the same heartbeat rows", || {
        rows = beats(lab);
        rows[0] == rows[1]
    });
    rows
}

/// The heartbeat that the server wrote, if it did.
fn asked(db: &mut Db) -> Option<i64> {
    db.list(CALL)[0].parse().ok().filter(|beat| *beat > 0)
}

/// The tool's own account, whose statements are not replicated.
fn unlogged(node: &Node) -> Db {
    let mut db = Db::admin(node);
    db.rows("SET SESSION sql_log_bin = 0");
    db
}

/// An account of the tool's, through the socket.
fn local(node: &Node, account: Credential) -> Db {
    let home = Home::open(&node.home).expect("a home");
    let opts = OptsBuilder::default()
        .user(Some(&account.user))
        .pass(Some(&account.password))
        .prefer_socket(false)
        .socket(Some(home.socket().to_string_lossy().into_owned()));
    Db::open(opts.into()).expect("it logs in")
}
