//! What administrators, backup tools, monitoring tools and upgrades do on a primary stops no pair.

use crate::harness::{Lab, wait_for};
use crate::on_every_server;
use crate::sql::Db;

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
}
