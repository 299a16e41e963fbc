//! The write guard: what the application may do on the secondary, and that it gets back every
//! right that it had, byte for byte.

use std::collections::BTreeMap;
use std::process::Command;

use mysql_async::Error;

use crate::harness::sql::{Db, Row};
use crate::harness::{Lab, Node, is_alive, wait_for, wait_until};
use crate::on_servers;

on_servers!(the_application_reads_everything_on_the_secondary_and_writes_what_it_may: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(the_application_gets_every_right_and_every_event_back_byte_for_byte: mysql_5_6, mysql_9_7, mariadb_11_8; left: mariadb_10_11);

fn the_application_reads_everything_on_the_secondary_and_writes_what_it_may(server: &str) {
    let lab = Lab::up(server);
    lab.primary.run(&["start"]).ok();
    for statement in [
        "CREATE TABLE passtrix.Ptrx_LocalLog (ID BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, WHAT VARCHAR(100)) ENGINE=InnoDB",
        "CREATE VIEW passtrix.Seen AS SELECT NAME FROM passtrix.Ptrx_Settings",
    ] {
        lab.primary.sql(statement);
    }
    lab.primary.run(&["stop"]).ok();
    lab.primary.configure("[replication]\nlocal_tables = [\"ptrx_local*\"]\n");
    lab.set_up(&lab.primary.endpoint);

    it_reads_and_inserts_what_it_may(&lab);
    nothing_else_is_allowed(&lab);
    lab.secondary.run(&["stop"]).ok();
    lab.secondary.run(&["start"]).ok();
    nothing_else_is_allowed(&lab);
    lab.wait_alive();
    rights_that_come_back_are_told_by_name(&lab);
    the_products_own_stop_script_stops_it(&lab);
    it_reads_and_inserts_what_it_may(&lab);
    lab.wait_alive();
}

fn it_reads_and_inserts_what_it_may(lab: &Lab) {
    let mut db = Db::of(&lab.secondary);
    let tables = db.list("SHOW TABLES FROM passtrix");
    assert!(tables.len() > 7, "{tables:?}");
    for table in &tables {
        db.rows(&format!("SELECT * FROM passtrix.{table} LIMIT 3"));
        db.rows(&format!("SHOW COLUMNS FROM passtrix.{table}"));
    }
    for insert in [
        "Ptrx_UserAudit (NAME, OPERATIONTYPE) VALUES ('guarded', 'Login')",
        "Ptrx_ResourceAudit (OPERATIONTYPE) VALUES ('guarded')",
        "AaaAccSession (ACCOUNT_ID, OPENTIME, STATUS) VALUES (1, 1, 'guarded')",
        "Ptrx_LocalLog (WHAT) VALUES ('guarded')",
    ] {
        db.rows(&format!("INSERT INTO {insert}"));
    }
    lab.wait_same("SELECT AUDITID, NAME FROM Ptrx_UserAudit WHERE NAME = 'guarded' ORDER BY AUDITID");
    lab.wait_same("SELECT SESSION_ID, STATUS FROM AaaAccSession ORDER BY SESSION_ID");
    // What is local stays there, though it was written before the audit row that has arrived.
    assert_eq!(lab.primary.sql("SELECT WHAT FROM Ptrx_LocalLog"), "");
    assert_ne!(lab.secondary.sql("SELECT WHAT FROM Ptrx_LocalLog"), "");
}

/// Tries everything that a user, an upgrade or a mistake could do.
#[track_caller]
fn nothing_else_is_allowed(lab: &Lab) {
    let id = Db::of(&lab.secondary).list("SELECT MIN(AUDITID) FROM Ptrx_UserAudit").concat();
    let mut statements: Vec<String> = Vec::new();
    for table in ["Ptrx_UserAudit", "Ptrx_LocalLog", "AaaAccSession", "Ptrx_Settings"] {
        let column =
            Db::of(&lab.secondary).rows(&format!("SHOW COLUMNS FROM {table}")).remove(1)["Field"].clone();
        statements.extend([
            format!("UPDATE {table} SET {column} = 1"),
            format!("DELETE FROM {table}"),
            format!("REPLACE INTO {table} ({column}) VALUES (1)"),
            format!("TRUNCATE TABLE {table}"),
            format!("DROP TABLE {table}"),
            format!("ALTER TABLE {table} ADD COLUMN MORE INT"),
            format!("CREATE INDEX more ON {table} ({column})"),
            format!("RENAME TABLE {table} TO renamed"),
            format!("LOCK TABLES {table} WRITE"),
            format!("LOAD DATA INFILE '/etc/hostname' INTO TABLE {table}"),
            format!("CREATE TRIGGER t BEFORE INSERT ON {table} FOR EACH ROW SET @a = 1"),
        ]);
    }
    let on_duplicate =
        format!("INSERT INTO Ptrx_UserAudit (AUDITID) VALUES ({id}) ON DUPLICATE KEY UPDATE NAME = 'x'");
    let fixed = [
        on_duplicate.as_str(),
        "INSERT INTO Ptrx_Settings VALUES ('GUARD', 'x')",
        "INSERT INTO Ptrx_Account VALUES (900000, 1, 'x', 'x', 'x')",
        "INSERT INTO AaaLogin VALUES (900000, 1, 'x')",
        "CREATE TABLE passtrix.more (id INT)",
        "CREATE TABLE passtrix.moreaudit (id INT)",
        "CREATE TEMPORARY TABLE passtrix.more (id INT)",
        "CREATE VIEW passtrix.more AS SELECT 1",
        "CREATE PROCEDURE passtrix.more() SELECT 1",
        "CREATE EVENT passtrix.more ON SCHEDULE EVERY 1 DAY DO SET @a = 1",
        "DROP VIEW passtrix.Seen",
        "CREATE DATABASE more",
        "DROP DATABASE passtrix",
        "DROP DATABASE pmp_ha",
        "UPDATE pmp_ha.heartbeat SET beat = 0",
        "INSERT INTO pmp_ha.pack VALUES (3, 'x')",
        "DROP DATABASE pmp_ha_local",
        "DELETE FROM pmp_ha_local.guard",
        "UPDATE mysql.user SET Host = '%'",
        "DELETE FROM mysql.db",
        "SELECT * FROM mysql.user",
        "SET GLOBAL max_connections = 500",
        "SET GLOBAL read_only = OFF",
        "SET GLOBAL event_scheduler = OFF",
        "SET SESSION sql_log_bin = 0",
        "STOP SLAVE",
        "STOP SLAVE SQL_THREAD",
        "START SLAVE",
        "RESET SLAVE",
        "RESET SLAVE ALL",
        "CHANGE MASTER TO MASTER_HOST='x'",
        if lab.server == "mysql-9.7" { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" },
        "PURGE BINARY LOGS BEFORE NOW()",
        "GRANT ALL PRIVILEGES ON *.* TO CURRENT_USER()",
        "GRANT UPDATE ON passtrix.* TO 'root'@'localhost'",
        "GRANT INSERT ON passtrix.Ptrx_Settings TO 'root'@'localhost'",
        "REVOKE SELECT ON passtrix.* FROM 'root'@'localhost'",
        "CREATE USER 'more'@'localhost' IDENTIFIED BY 'Long-enough-1'",
        "DROP USER 'pmp_ha_admin'@'localhost'",
        "SET PASSWORD FOR 'pmp_ha_admin'@'localhost' = 'Long-enough-1'",
        "FLUSH TABLES",
        "FLUSH TABLES WITH READ LOCK",
        "FLUSH LOGS",
        "FLUSH PRIVILEGES",
        "SELECT * FROM Ptrx_Account INTO OUTFILE '/tmp/pmp-ha-never-written'",
        "INSTALL PLUGIN more SONAME 'more.so'",
    ];
    statements.extend(fixed.map(|statement| lab.words(statement)));
    // The receiver, the applier, and the one that feeds the primary.
    let mut threads = Vec::new();
    wait_until("both directions are connected", || {
        threads = Db::admin(&lab.secondary).list(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'system user' OR COMMAND LIKE 'Binlog Dump%'",
        );
        threads.len() > 2
    });
    statements.extend(threads.iter().map(|id| format!("KILL {id}")));

    let mut db = Db::of(&lab.secondary);
    let went_through: Vec<String> = statements
        .iter()
        .filter_map(|statement| match db.try_rows(statement) {
            Ok(_) => Some(format!("{statement}: it went through")),
            Err(Error::Server(error)) if DENIED.contains(&error.code) => None,
            Err(error) => Some(format!("{statement}: {error}")),
        })
        .collect();
    assert!(went_through.is_empty(), "not denied:\n{}", went_through.join("\n"));
    assert!(!std::path::Path::new("/tmp/pmp-ha-never-written").exists());
    lab.wait_replicating();
}

/// Access denied: to a schema, at login or to files, to a table, for want of a right, to a thread,
/// to a routine, for a password of somebody else, by a missing right to grant, by missing SUPER.
const DENIED: [u16; 9] = [1044, 1045, 1142, 1227, 1095, 1370, 1133, 1410, 1419];

fn rights_that_come_back_are_told_by_name(lab: &Lab) {
    for (given, taken, named) in [
        (
            "GRANT UPDATE ON passtrix.* TO 'root'@'localhost'",
            "REVOKE UPDATE ON passtrix.* FROM 'root'@'localhost'",
            "UPDATE",
        ),
        (
            "GRANT INSERT ON passtrix.ptrx_settings TO 'root'@'localhost'",
            "REVOKE INSERT ON passtrix.ptrx_settings FROM 'root'@'localhost'",
            "ptrx_settings",
        ),
        (
            "GRANT RELOAD ON *.* TO 'root'@'localhost'",
            "REVOKE RELOAD ON *.* FROM 'root'@'localhost'",
            "root@localhost",
        ),
    ] {
        // Not in the binlog, where it would be a finding of its own.
        let mut admin = Db::admin(&lab.secondary);
        admin.rows("SET SESSION sql_log_bin = 0");
        admin.rows(given);
        wait_for(&lab.secondary, &["guard-changed"]);
        let ran = lab.secondary.run(&["verify"]).exits(5);
        assert!(ran.stdout.contains("Replication Status: Failed"), "{ran}");
        let told = ran.stdout.lines().any(|line| line.contains("because") && line.contains(named));
        assert!(told, "{named} is not told in\n{ran}");
        admin.rows(taken);
        lab.wait_alive();
    }
}

fn the_products_own_stop_script_stops_it(lab: &Lab) {
    let node = &lab.secondary;
    node.run(&["stop"]).ok().says(&["has stopped cleanly"]);
    node.run(&["start"]).ok();
    let pid = node.pid();
    let status = Command::new("sh")
        .arg(node.path("bin/stopDB.sh"))
        .args([node.port().to_string(), "root".into(), node.path("mysql/tmp").to_string_lossy().into_owned()])
        .status();
    assert!(status.expect("the script runs").success());
    wait_until("the server has ended", || !is_alive(pid));
    node.run(&["start"]).ok();
}

fn the_application_gets_every_right_and_every_event_back_byte_for_byte(server: &str) {
    let lab = Lab::up(server);
    lab.primary.run(&["start"]).ok();
    let mut db = Db::of(&lab.primary);
    for statement in RIGHTS_OF_MANY_KINDS {
        db.rows(statement);
    }
    make_events(&mut db);
    let (rights, events) = (rights(&mut db), events(&mut db));
    assert!(rights["db"].len() > 1 && !rights["tables_priv"].is_empty(), "{rights:?}");
    drop(db);
    lab.primary.run(&["stop"]).ok();
    lab.set_up(&lab.primary.endpoint);

    // On the primary everything is as it was, and the event runs there and only there.
    let mut db = Db::admin(&lab.primary);
    assert_same_rights(&rights, &self::rights(&mut db), "the primary of a pair");
    assert_same_events(&events, &self::events(&mut db), "the primary of a pair");
    let ticks = |node: &Node| -> Vec<String> { Db::of(node).list("SELECT DISTINCT SERVER FROM Ptrx_Ticks") };
    wait_until("the event has run on the primary", || ticks(&lab.secondary) == ["1"]);
    let mut on_secondary = Db::admin(&lab.secondary);
    let states = on_secondary.list("SELECT CONCAT(EVENT_NAME, ' ', STATUS) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'passtrix' ORDER BY EVENT_NAME");
    let asleep = if server == "mysql-9.7" { "REPLICA_SIDE_DISABLED" } else { "SLAVESIDE_DISABLED" };
    assert_eq!(states, ["Off DISABLED".to_owned(), format!("Rare {asleep}"), format!("Tick {asleep}")]);
    let seen = Db::of(&lab.primary).list("SELECT MAX(AT) FROM Ptrx_Ticks");
    wait_until("more ticks have come", || {
        Db::of(&lab.secondary).list("SELECT MAX(AT) FROM Ptrx_Ticks") > seen
    });
    assert_eq!(ticks(&lab.secondary), ["1"], "the event runs on the secondary");
    assert_ne!(self::rights(&mut on_secondary), rights, "there is no guard");
    drop((db, on_secondary));

    lab.primary.kill();
    lab.secondary.run(&["stop"]).ok();
    let fresh = lab.fresh_home("fresh");
    let (into, key) = (fresh.home.to_string_lossy(), lab.key());
    lab.secondary.run(&["recover", "--into", &into, "--key", &key.to_string_lossy()]).ok();
    fresh.run(&["start"]).ok();
    let mut db = Db::of(&fresh);
    assert_same_rights(&rights, &self::rights(&mut db), "the recovered home");
    assert_same_events(&events, &self::events(&mut db), "the recovered home");
    for statement in [
        "CREATE TABLE passtrix.more (id INT PRIMARY KEY)",
        "INSERT INTO passtrix.more VALUES (1)",
        "UPDATE Ptrx_Settings SET VALUE = 'new' WHERE NAME = 'TFA_TYPE'",
        "DELETE FROM Ptrx_UserAudit",
        "DROP TABLE passtrix.more",
        "CREATE USER 'more'@'localhost' IDENTIFIED BY 'Long-enough-1'",
        "GRANT ALL PRIVILEGES ON *.* TO 'more'@'localhost' WITH GRANT OPTION",
        "SET GLOBAL event_scheduler = ON",
        "DELETE FROM Ptrx_Ticks",
        "FLUSH PRIVILEGES",
    ] {
        db.rows(statement);
    }
    wait_until("the event runs again", || db.list("SELECT COUNT(*) FROM Ptrx_Ticks") != ["0"]);
    assert_same_rights(&rights, &self::rights(&mut db), "the recovered home after FLUSH PRIVILEGES");
}

const RIGHTS_OF_MANY_KINDS: [&str; 11] = [
    "CREATE PROCEDURE passtrix.Asked() SELECT 1",
    "GRANT SELECT, INSERT ON passtrix.* TO 'root'@'localhost' WITH GRANT OPTION",
    "GRANT ALL PRIVILEGES ON `other\\_schema`.* TO 'root'@'localhost'",
    "GRANT SELECT, UPDATE ON passtrix.Ptrx_Settings TO 'root'@'localhost'",
    "GRANT SELECT (NAME), UPDATE (VALUE) ON passtrix.Ptrx_Settings TO 'root'@'localhost'",
    "GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE passtrix.Asked TO 'root'@'localhost'",
    "CREATE USER 'root'@'10.%' IDENTIFIED BY 'Long-enough-1'",
    "GRANT SELECT ON passtrix.* TO 'root'@'10.%'",
    "CREATE USER 'other'@'localhost' IDENTIFIED BY 'Long-enough-1'",
    "GRANT SELECT, INSERT, UPDATE ON passtrix.* TO 'other'@'localhost'",
    "FLUSH PRIVILEGES",
];

fn make_events(db: &mut Db) {
    for statement in [
        "CREATE TABLE passtrix.Ptrx_Ticks (AT DATETIME(6) NOT NULL, SERVER INT NOT NULL, KEY (AT)) ENGINE=InnoDB",
        "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT', time_zone = '+05:30'",
        "SET NAMES latin1",
        "CREATE EVENT passtrix.Tick ON SCHEDULE EVERY 1 SECOND ON COMPLETION PRESERVE COMMENT 'a \\ and a ''' DO INSERT INTO Ptrx_Ticks VALUES (NOW(6), @@GLOBAL.server_id)",
        "SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '-03:00'",
        "CREATE DEFINER = 'other'@'localhost' EVENT passtrix.Rare ON SCHEDULE EVERY 7 HOUR STARTS '2020-01-01 00:00:00' DO INSERT INTO \"Ptrx_Ticks\" VALUES (NOW(), -1)",
        "CREATE EVENT passtrix.Off ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM Ptrx_Ticks",
        "SET SESSION sql_mode = DEFAULT, time_zone = 'SYSTEM'",
        "SET NAMES utf8",
    ] {
        db.rows(statement);
    }
}

type Rights = BTreeMap<String, Vec<Row>>;

/// Every row of the application's in the tables of rights, each column in hexadecimal digits, but
/// for what belongs to the password.
fn rights(db: &mut Db) -> Rights {
    let mut out = Rights::new();
    let tables = db.list("SHOW TABLES FROM mysql");
    for table in [
        "user",
        "global_priv",
        "db",
        "tables_priv",
        "columns_priv",
        "procs_priv",
        "proxies_priv",
        "roles_mapping",
        "global_grants",
        "role_edges",
        "default_roles",
    ] {
        if !tables.iter().any(|there| there == table) {
            continue;
        }
        let columns: Vec<String> = db
            .list(&format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION"
            ))
            .into_iter()
            .filter(|name| {
                let name = name.to_lowercase();
                !["password", "authentication_string", "password_last_changed"].contains(&name.as_str())
            })
            .collect();
        let named = if table == "role_edges" { "TO_USER" } else { "User" };
        let shown: Vec<String> = columns
            .iter()
            .map(|name| match (table, name.as_str()) {
                ("global_priv", "Priv") => {
                    "JSON_REMOVE(Priv, '$.authentication_string', '$.password_last_changed') AS Priv"
                        .to_owned()
                }
                _ => format!("HEX(CAST(`{name}` AS BINARY)) AS `{name}`"),
            })
            .collect();
        let mut rows =
            db.rows(&format!("SELECT {} FROM mysql.{table} WHERE {named} = 'root'", shown.join(", ")));
        rows.sort();
        out.insert(table.to_owned(), rows);
    }
    out
}

#[track_caller]
fn assert_same_rights(before: &Rights, now: &Rights, at: &str) {
    for (table, rows) in before {
        assert_eq!(rows.len(), now[table].len(), "{table} on {at}: {rows:#?}\n{:#?}", now[table]);
        for (row, now) in rows.iter().zip(&now[table]) {
            let changed: Vec<_> =
                row.iter().filter(|(k, v)| now[*k] != **v).map(|(k, v)| (k, v, &now[k])).collect();
            assert!(changed.is_empty(), "{table} on {at}: {changed:?}\nof {row:?}");
        }
    }
}

fn events(db: &mut Db) -> Vec<Row> {
    db.rows(
        "SELECT EVENT_NAME, DEFINER, SQL_MODE, TIME_ZONE, STATUS, EVENT_DEFINITION, EVENT_COMMENT, INTERVAL_VALUE, \
         INTERVAL_FIELD, STARTS, ON_COMPLETION, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION \
         FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'passtrix' ORDER BY EVENT_NAME",
    )
}

#[track_caller]
fn assert_same_events(before: &[Row], now: &[Row], at: &str) {
    assert_eq!(before.len(), 3, "{before:?}");
    assert_eq!(before.len(), now.len(), "events on {at}: {now:?}");
    for (event, now) in before.iter().zip(now) {
        let changed: Vec<_> =
            event.iter().filter(|(k, v)| now[*k] != **v).map(|(k, v)| (k, v, &now[k])).collect();
        assert!(changed.is_empty(), "an event on {at}: {changed:?}\nof {event:?}");
    }
}
