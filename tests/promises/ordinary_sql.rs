//! What administrators, backup tools, monitoring tools and upgrades do on a primary stops no pair.

use crate::harness::sql::Db;
use crate::harness::{Lab, wait_for};
use crate::on_every_server;

on_every_server!(ordinary_statements_leave_the_pair_alive_and_equal);

/// In schemas that are not the vault's: routines, events, views, triggers, and whole schemas.
const FOREIGN: [&str; 19] = [
    "CREATE DATABASE monitoring",
    "CREATE PROCEDURE monitoring.p() SELECT 1",
    "ALTER PROCEDURE monitoring.p COMMENT 'of a monitoring tool'",
    "CREATE FUNCTION monitoring.f() RETURNS INT DETERMINISTIC RETURN 1",
    "CREATE EVENT monitoring.e ON SCHEDULE EVERY 1 HOUR DO SET @a = 1",
    "CREATE TABLE monitoring.t (id INT PRIMARY KEY, v VARCHAR(9)) ENGINE=InnoDB",
    "CREATE VIEW monitoring.v AS SELECT * FROM monitoring.t",
    "CREATE TRIGGER monitoring.g BEFORE INSERT ON monitoring.t FOR EACH ROW SET NEW.v = 'g'",
    "INSERT INTO monitoring.t VALUES (1, NULL)",
    "RENAME TABLE monitoring.t TO monitoring.u",
    "CREATE USER 'watcher'@'localhost'",
    "GRANT SELECT ON monitoring.* TO 'watcher'@'localhost'",
    "DROP USER 'watcher'@'localhost'",
    "ALTER DATABASE monitoring CHARACTER SET utf8mb4",
    "DROP EVENT monitoring.e",
    "DROP TABLE IF EXISTS monitoring.t, monitoring.u",
    "DROP DATABASE monitoring",
    "CREATE DATABASE backup_of_yesterday",
    "FLUSH TABLES",
];

/// In the vault, as an upgrade of the product does it, and from the outside.
const OF_THE_VAULT: [&str; 22] = [
    "CREATE TABLE passtrix.Up_Parent (id INT PRIMARY KEY) ENGINE=InnoDB",
    "CREATE TABLE passtrix.Up_Child (id INT PRIMARY KEY, p INT, CONSTRAINT up_fk FOREIGN KEY (p) REFERENCES passtrix.Up_Parent (id)) ENGINE=InnoDB",
    "INSERT INTO passtrix.Up_Parent VALUES (1), (2)",
    "INSERT INTO passtrix.Up_Child VALUES (1, 1), (2, 2)",
    "ALTER TABLE passtrix.Up_Child ADD COLUMN note VARCHAR(20) DEFAULT 'n', ADD INDEX up_note (note)",
    "ALTER TABLE passtrix.Up_Child DROP FOREIGN KEY up_fk",
    "RENAME TABLE passtrix.Up_Parent TO passtrix.Up_Root",
    "CREATE VIEW passtrix.up_view AS SELECT id FROM passtrix.Up_Root",
    "CREATE PROCEDURE passtrix.up_p() INSERT INTO passtrix.Up_Root VALUES (3)",
    "CALL passtrix.up_p()",
    "CREATE TABLE passtrix.Up_MyISAM (id INT PRIMARY KEY) ENGINE=MyISAM",
    "INSERT INTO passtrix.Up_MyISAM VALUES (1), (2)",
    "CREATE TEMPORARY TABLE passtrix.up_tmp AS SELECT * FROM passtrix.Up_Root",
    "INSERT INTO passtrix.Up_Root SELECT id + 10 FROM passtrix.up_tmp",
    "DROP TEMPORARY TABLE passtrix.up_tmp",
    "CREATE TABLE passtrix.Up_Copy SELECT * FROM passtrix.Up_Child",
    "TRUNCATE TABLE passtrix.Up_Copy",
    "DROP VIEW passtrix.up_view",
    "OPTIMIZE TABLE passtrix.Up_Child",
    "ANALYZE TABLE passtrix.Up_Child",
    "USE mysql",
    "UPDATE passtrix.Up_Root SET id = id + 100 ORDER BY id DESC",
];

/// Each way to end a prepared transaction.
const XA: [&str; 12] = [
    "XA START 'a'",
    "INSERT INTO passtrix.Up_MyISAM VALUES (7)",
    "INSERT INTO passtrix.Up_Root VALUES (901)",
    "XA END 'a'",
    "XA PREPARE 'a'",
    "XA COMMIT 'a'",
    "XA START 'b'",
    "INSERT INTO passtrix.Up_Root VALUES (902)",
    "XA END 'b'",
    "XA PREPARE 'b'",
    "XA ROLLBACK 'b'",
    "INSERT INTO passtrix.Up_Root VALUES (903)",
];

fn ordinary_statements_leave_the_pair_alive_and_equal(server: &str) {
    let lab = Lab::pair(server);
    let mut db = Db::admin(&lab.primary);
    let says_format = server != "mysql-9.7";
    for statement in FOREIGN.iter().chain(&OF_THE_VAULT) {
        db.rows(statement);
    }
    for format in ["STATEMENT", "MIXED", "ROW"].into_iter().filter(|_| says_format) {
        db.rows(&format!("SET SESSION binlog_format = {format}"));
        db.rows(&format!("INSERT INTO passtrix.Ptrx_Settings VALUES ('{format}', 'in a session')"));
        db.rows(&format!("UPDATE passtrix.Ptrx_Settings SET VALUE = 'changed' WHERE NAME = '{format}'"));
    }
    for statement in XA {
        db.rows(statement);
    }
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('LAST', 'of all')");
    lab.wait_same("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'LAST'");
    lab.wait_alive();
    for query in [
        "SELECT id FROM Up_Root ORDER BY id",
        "SELECT * FROM Up_Child ORDER BY id",
        "SELECT id FROM Up_MyISAM ORDER BY id",
        "SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME",
        "SHOW TABLES",
    ] {
        lab.wait_same(query);
    }
    assert!(lab.secondary.findings().is_empty(), "{:?}", lab.secondary.findings());
    let there = lab.secondary.admin_sql("SHOW DATABASES LIKE 'backup%'");
    assert_eq!(there, "backup_of_yesterday");

    // What cannot be applied is told by its own words, and not by the coordinator's.
    db.rows("CREATE TABLE backup_of_yesterday.t (id INT PRIMARY KEY) ENGINE=InnoDB");
    db.rows("RENAME TABLE backup_of_yesterday.t TO passtrix.Moved_In");
    wait_for(&lab.secondary, &["applier-stopped"]);
    let told = lab.secondary.run(&["verify"]).exits(5).stdout;
    assert!(told.contains("backup_of_yesterday") && !told.contains("Coordinator stopped"), "{told}");

    what_needs_a_foreign_table_is_put_right(&lab);
    if ["mysql-9.7", "mariadb-11.8"].contains(&server) {
        who_blocks_all_writes_is_named(&lab, server);
        a_row_that_is_too_long_is_named(&lab);
        defaults_of_an_administrator_change_nothing(&lab, server);
    }
}

/// What cannot be executed on a secondary, which has the foreign schema as an empty shell.
const NEEDS_A_FOREIGN_TABLE: [&str; 28] = [
    "CREATE TABLE backup_of_yesterday.lk (id INT PRIMARY KEY, n INT DEFAULT 7) ENGINE=InnoDB",
    "CREATE TABLE passtrix.Made_Like LIKE backup_of_yesterday.lk",
    "INSERT INTO passtrix.Made_Like VALUES (1, 2)",
    "CREATE TABLE backup_of_yesterday.par (id INT PRIMARY KEY) ENGINE=InnoDB",
    "INSERT INTO backup_of_yesterday.par VALUES (1)",
    "CREATE TABLE passtrix.Refers (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES backup_of_yesterday.par (id)) ENGINE=InnoDB",
    "INSERT INTO passtrix.Refers VALUES (1, 1)",
    "CREATE TABLE passtrix.Dropped (id INT PRIMARY KEY) ENGINE=InnoDB",
    "CREATE TABLE backup_of_yesterday.dropped (id INT PRIMARY KEY) ENGINE=InnoDB",
    "DROP TABLE passtrix.Dropped, backup_of_yesterday.dropped",
    "SET SESSION sql_log_bin = 0",
    "CREATE TABLE passtrix.Only_Here (id INT PRIMARY KEY) ENGINE=InnoDB",
    "SET SESSION sql_log_bin = 1",
    "DROP TABLE passtrix.Only_Here",
    "CREATE TABLE passtrix.Rotated (id INT PRIMARY KEY) ENGINE=InnoDB",
    "RENAME TABLE passtrix.Rotated TO backup_of_yesterday.Rotated",
    "DROP TABLE backup_of_yesterday.Rotated",
    "CREATE TABLE passtrix.Rotated (id INT PRIMARY KEY) ENGINE=InnoDB",
    "RENAME TABLE passtrix.Rotated TO backup_of_yesterday.Rotated",
    "CREATE TABLE passtrix.Rotated (id INT PRIMARY KEY, more INT) ENGINE=InnoDB",
    "INSERT INTO passtrix.Rotated VALUES (1, 1)",
    "XA START 'foreign'",
    "INSERT INTO backup_of_yesterday.par VALUES (9)",
    "XA END 'foreign'",
    "XA PREPARE 'foreign'",
    "XA COMMIT 'foreign'",
    "CREATE USER 'half'@'%'",
    "INSERT INTO passtrix.Ptrx_Settings VALUES ('BEHIND', 'all that')",
];

fn what_needs_a_foreign_table_is_put_right(lab: &Lab) {
    let mut db = Db::admin(&lab.primary);
    for statement in NEEDS_A_FOREIGN_TABLE {
        db.rows(statement);
    }
    // It fails on the primary, and MySQL 5.6 sends it all the same.
    assert_eq!(lab.primary.try_sql("DROP USER 'half'@'%', 'nobody_there'@'%'"), None);
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('BEHIND_IT', 'that, too')");
    lab.secondary.run(&["repair"]).ok().says(&["cannot be executed here"]);
    lab.wait_alive();
    assert_eq!(lab.secondary.findings(), [""; 0]);
    lab.tables_are_equal();
    lab.wait_same("SHOW TABLES");
    lab.primary.run(&["verify", "--deep", "--anew"]).ok();
}

/// Each session of pmp-ha sets what it needs, and the events inside the server do.
fn defaults_of_an_administrator_change_nothing(lab: &Lab, server: &str) {
    let limit = match server {
        "mysql-9.7" => "max_execution_time = 1",
        _ => "max_statement_time = 2",
    };
    for node in [&lab.primary, &lab.secondary] {
        let mut db = Db::admin(node);
        for setting in [
            "autocommit = 0",
            "completion_type = 'CHAIN'",
            "sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'",
            "sql_select_limit = 1",
            "max_join_size = 10",
            "sql_big_selects = 0",
            "sql_safe_updates = 1",
            "TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
            limit,
        ] {
            db.rows(&format!("SET GLOBAL {setting}"));
        }
    }
    for node in [&lab.primary, &lab.secondary] {
        node.run(&["verify", "--prove"]).ok();
    }
    lab.primary.run(&["verify", "--deep", "--anew"]).ok();
    let mut db = Db::admin(&lab.secondary);
    db.rows("SET SESSION autocommit = 1, sql_log_bin = 0");
    db.rows("DELETE FROM passtrix.Ptrx_Settings WHERE NAME = 'LAST'");
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('WRITTEN', 'under odd defaults')");
    lab.wait_same("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'WRITTEN'");
    lab.primary.run(&["verify", "--deep", "--anew"]).exits(5);
    lab.secondary.run(&["repair"]).ok();
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME, VALUE");
    assert_eq!(lab.secondary.findings(), [""; 0]);

    // One of them the server's own applier obeys: the pair sets it, and nothing begins under another one.
    db.rows("SET GLOBAL TRANSACTION READ ONLY");
    assert_eq!(lab.secondary.findings(), ["setting-not-in-effect"]);
    lab.secondary.run(&["repair"]).exits(4).says(&["read_only is ON", "SET GLOBAL"]);
    db.rows("SET GLOBAL TRANSACTION READ WRITE");
    assert_eq!(lab.secondary.findings(), [""; 0]);

    if server == "mariadb-11.8" {
        a_table_in_memory_is_emptied_by_nobody(lab);
    }
    if server == "mysql-9.7" {
        // A server of this kind forgets at its end that it has executed a transaction of XA.
        lab.secondary.run(&["stop"]).ok();
        lab.secondary.run(&["start"]).ok();
        wait_for(&lab.secondary, &["applier-stopped"]);
        lab.secondary.run(&["repair"]).ok();
        lab.wait_alive();
    }
}

/// A backup tool has a global read lock: nothing begins, and the session is named.
fn who_blocks_all_writes_is_named(lab: &Lab, server: &str) {
    for node in [&lab.primary, &lab.secondary] {
        let mut db = Db::admin(node);
        let id = db.list("SELECT CONNECTION_ID()").concat();
        db.rows("FLUSH TABLES WITH READ LOCK");
        let which =
            if server == "mysql-9.7" { "the lock is held by session" } else { "the lock is held by one of" };
        let session = format!("session {id} of ");
        let says = [which, session.as_str(), "global read lock"];
        node.run(&["switchover", "--wait", "5"]).exits(4).says(&says);
        if node.endpoint == lab.secondary.endpoint {
            node.run(&["repair"]).exits(4).says(&says);
        }
        db.rows("UNLOCK TABLES");
    }
    lab.wait_alive();
}

fn a_row_that_is_too_long_is_named(lab: &Lab) {
    let both = |bytes: u64| {
        for node in [&lab.primary, &lab.secondary] {
            Db::admin(node).rows(&format!("SET GLOBAL max_allowed_packet = {bytes}"));
        }
    };
    let mut db = Db::admin(&lab.primary);
    db.rows("CREATE TABLE passtrix.Long_Rows (id INT PRIMARY KEY, v MEDIUMTEXT) ENGINE=InnoDB");
    db.rows("INSERT INTO passtrix.Long_Rows VALUES (1, REPEAT('x', 700000)), (2, 'short')");
    lab.wait_same("SELECT id, LENGTH(v) FROM passtrix.Long_Rows");
    let mut here = Db::admin(&lab.secondary);
    here.rows("SET SESSION sql_log_bin = 0");
    here.rows("DELETE FROM passtrix.Long_Rows");
    both(1 << 20);
    lab.secondary.run(&["--dry-run", "repair"]).exits(4).says(&["half of max_allowed_packet", "long_rows"]);
    lab.secondary.run(&["repair"]).exits(4).says(&["SET GLOBAL max_allowed_packet = 4194304"]);
    both(4 << 20);
    lab.secondary.run(&["repair"]).ok();
    lab.wait_same("SELECT id, LENGTH(v) FROM passtrix.Long_Rows");
    assert_eq!(lab.secondary.findings(), [""; 0]);
}

/// Its server empties it when it starts, and writes that into its binlog.
fn a_table_in_memory_is_emptied_by_nobody(lab: &Lab) {
    let mut db = Db::admin(&lab.primary);
    db.rows("CREATE TABLE passtrix.In_Memory (id INT PRIMARY KEY) ENGINE=MEMORY");
    db.rows("INSERT INTO passtrix.In_Memory VALUES (1)");
    db.rows("COMMIT");
    lab.wait_same("SELECT id FROM passtrix.In_Memory");
    // Under the small one, a receiver that begins cannot ask its source for its number.
    db.rows("SET GLOBAL max_join_size = DEFAULT");
    lab.secondary.run(&["stop"]).ok();
    lab.secondary.run(&["start"]).ok();
    assert_eq!(lab.secondary.admin_sql("SELECT COUNT(*) FROM passtrix.In_Memory"), "0");
    wait_for(&lab.secondary, &["errant-write"]);
    let told = lab.secondary.run(&["verify"]).exits(5).stdout;
    assert!(told.contains("empties a whole table") && told.contains("ENGINE=MEMORY"), "{told}");
    lab.secondary.run(&["repair"]).ok();
    lab.wait_same("SELECT id FROM passtrix.In_Memory");
    lab.wait_alive();
}
