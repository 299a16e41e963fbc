//! `repair`: a secondary whose applier has failed, or that has drifted, is equal to its primary again.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::sys::signal::Signal;

use crate::harness::sql::{Db, root};
use crate::harness::{Lab, Node, Ran, Writer, assert_same, cut, wait_until};
use crate::on_servers;

on_servers!(an_applier_that_failed_goes_on_and_every_table_is_equal: mysql_9_7, mariadb_11_8; left: mysql_5_6, mariadb_10_11);
on_servers!(quiet_drift_is_corrected_and_audit_rows_are_merged: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(a_place_that_the_binlog_no_longer_has_is_refused: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);
on_servers!(a_repair_that_was_killed_is_taken_up_by_the_next: mysql_5_6; left: mysql_9_7, mariadb_10_11, mariadb_11_8);

/// A connection to a node as the tool's own account, past the binlog.
fn admin(node: &Node) -> Db {
    let mut db = Db::admin(node);
    db.rows("SET SESSION sql_log_bin = 0");
    db
}

/// Inserts into one table of the primary, and changes and deletes rows of others, until it is dropped.
struct Load {
    inserts: Option<Writer>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn on(lab: &Lab) -> Self {
        lab.primary.sql("CREATE TABLE IF NOT EXISTS x (id BIGINT UNSIGNED NOT NULL PRIMARY KEY, v VARCHAR(250)) ENGINE=InnoDB");
        let rows = Db::of(&lab.primary).list("SELECT COALESCE(MAX(id), 0) + 1 FROM x").concat();
        let first = rows.parse().expect("a number");
        let inserts = Writer::start(&lab.primary, &Arc::new(AtomicU64::new(first)));
        let ended = Arc::new(AtomicBool::new(false));
        let (stop, opts) = (Arc::clone(&ended), root(&lab.primary));
        let thread = std::thread::spawn(move || {
            let mut db = Db::open(opts).expect("the load logs in");
            for n in 0u64.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                db.rows("UPDATE Ptrx_Settings SET VALUE = VALUE + 1 WHERE NAME = 'COUNTER'");
                db.rows(&format!(
                    "UPDATE Ptrx_Account SET PASSWORD = 'password {n}' WHERE ACCOUNTID = {}",
                    n % 300 + 1
                ));
                db.rows(
                    "INSERT INTO Ptrx_UserAudit (NAME, OPERATIONTYPE) VALUES ('load', 'Password retrieved')",
                );
                if n % 7 == 0 {
                    db.rows(&format!("REPLACE INTO AaaLogin VALUES ({0}, {0}, 'passing')", 1000 + n % 50));
                    db.rows(&format!("DELETE FROM AaaLogin WHERE LOGIN_ID = {}", 1000 + (n + 25) % 50));
                }
                std::thread::sleep(std::time::Duration::from_millis(25));
            }
        });
        Self { inserts: Some(inserts), ended, thread: Some(thread) }
    }

    fn end(mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.take().expect("a thread").join().expect("the load ends");
        self.inserts.take().expect("a writer").end();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn prepared(server: &str) -> Lab {
    let lab = Lab::pair(server);
    lab.primary.sql(
        "INSERT INTO Ptrx_Settings VALUES ('COUNTER', '0'), ('GONE', 'was here'), ('DELETED', 'x'), ('DRIFT', 'right'), ('LOST', 'right')",
    );
    lab.primary.sql("CREATE TABLE Keyless (A INT, B VARCHAR(20)) ENGINE=InnoDB");
    lab.primary.sql("INSERT INTO Keyless VALUES (1, 'one'), (1, 'one'), (2, NULL)");
    lab.wait_same("SELECT COUNT(*) FROM Ptrx_Settings");
    lab.wait_same("SELECT COUNT(*) FROM Keyless");
    lab
}

/// Waits until the applier of the secondary has stopped at an error.
#[track_caller]
fn wait_failed(lab: &Lab, number: &str) {
    let mut db = admin(&lab.secondary);
    wait_until(&format!("the applier fails with {number}"), || {
        if lab.server == "mysql-9.7" {
            // The replica status may show a worker that only stopped because another had failed.
            let running =
                db.rows("SHOW REPLICA STATUS").pop().is_some_and(|row| row["Replica_SQL_Running"] == "Yes");
            let workers =
                "SELECT LAST_ERROR_NUMBER FROM performance_schema.replication_applier_status_by_worker";
            return !running && db.list(workers).iter().any(|found| found == number);
        }
        db.rows("SHOW SLAVE STATUS").pop().is_some_and(|row| row["Last_SQL_Errno"] == number)
    });
}

/// Both are Alive and equal, and the applier stops at conflicts again.
#[track_caller]
fn all_is_well(lab: &Lab) {
    lab.wait_alive();
    lab.tables_are_equal();
    assert_eq!(exec_mode(lab), "STRICT");
}

/// As [`all_is_well`], while the primary is written to: a comparison at one point of replication.
#[track_caller]
fn all_is_well_under_load(lab: &Lab) {
    lab.wait_alive();
    let ran = lab.primary.run(&["verify", "--deep", "--anew"]).ok();
    assert!(ran.stdout.contains("all the same"), "{ran}");
    assert_eq!(exec_mode(lab), "STRICT");
}

fn exec_mode(lab: &Lab) -> String {
    let name = if lab.server == "mysql-9.7" { "replica_exec_mode" } else { "slave_exec_mode" };
    admin(&lab.secondary).variable(name)
}

fn repair(lab: &Lab, more: &[&str]) -> Ran {
    lab.secondary.run(&[&["repair"], more].concat())
}

/// The file that a repair has named.
#[track_caller]
fn old_rows(ran: &Ran) -> PathBuf {
    let line = ran.stdout.lines().find_map(|line| line.trim().strip_prefix("the old rows are in "));
    let path = line.and_then(|line| line.split(';').next()).unwrap_or_else(|| panic!("no file in\n{ran}"));
    let mode = std::fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    path.into()
}

fn an_applier_that_failed_goes_on_and_every_table_is_equal(server: &str) {
    let lab = prepared(server);
    let load = Load::on(&lab);
    let ran = repair(&lab, &[]).ok();
    assert!(ran.stdout.contains("nothing to repair"), "{ran}");
    a_row_that_is_there_already(&lab);
    a_row_that_is_not_there(&lab);
    a_table_that_is_not_there(&lab);
    load.end();
    all_is_well(&lab);
    lab.primary.run(&["repair"]).refused(&["this home is the primary", "on the secondary"]);
}

fn a_row_that_is_there_already(lab: &Lab) {
    admin(&lab.secondary).rows("INSERT INTO Ptrx_Settings VALUES ('DOUBLE', 'a stray of the secondary')");
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('DOUBLE', 'ours')");
    wait_failed(lab, "1062");
    let ran = repair(lab, &["--dry-run"]).ok();
    for text in ["pass error 1062", "ptrx_settings: ", "DOUBLE", "compare every table"] {
        assert!(ran.stdout.contains(text), "no {text} in {ran}");
    }
    assert!(!ran.stdout.contains("stray of the secondary"), "a value is shown: {ran}");
    wait_failed(lab, "1062");

    let ran = repair(lab, &[]).ok();
    assert!(ran.stdout.contains("Replication Status: Alive"), "{ran}");
    all_is_well_under_load(lab);
    assert_eq!(lab.secondary.sql("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'DOUBLE'"), "ours");
    let text = std::fs::read_to_string(old_rows(&ran)).expect("readable");
    assert!(text.contains(&hex("a stray of the secondary")), "the old row is not kept");
}

fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02X}")).collect::<Vec<_>>().concat()
}

fn a_row_that_is_not_there(lab: &Lab) {
    admin(&lab.secondary).rows("DELETE FROM Ptrx_Settings WHERE NAME IN ('GONE', 'DELETED')");
    lab.primary.sql("UPDATE Ptrx_Settings SET VALUE = 'changed' WHERE NAME = 'GONE'");
    lab.primary.sql("DELETE FROM Ptrx_Settings WHERE NAME = 'DELETED'");
    wait_failed(lab, "1032");
    repair(lab, &[]).ok();
    all_is_well_under_load(lab);
    assert_eq!(lab.secondary.sql("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'GONE'"), "changed");
}

fn a_table_that_is_not_there(lab: &Lab) {
    admin(&lab.secondary).rows("DROP TABLE Ptrx_Resource");
    lab.primary.sql("INSERT INTO Ptrx_Resource VALUES (900001, 'new', 'Linux', 'rack 1')");
    wait_failed(lab, "1146");
    let ran = repair(lab, &[]).ok().says(&["create the table ptrx_resource as it is on the primary"]);
    all_is_well_under_load(lab);
    let text = std::fs::read_to_string(old_rows(&ran)).expect("readable");
    assert!(text.contains("DROP TABLE IF EXISTS `passtrix`.`ptrx_resource`"), "{text}");
}

fn quiet_drift_is_corrected_and_audit_rows_are_merged(server: &str) {
    let lab = prepared(server);
    let load = Load::on(&lab);
    let mut stray = admin(&lab.secondary);
    for statement in [
        "UPDATE Ptrx_Settings SET VALUE = 'wrong' WHERE NAME = 'DRIFT'",
        "DELETE FROM Ptrx_Settings WHERE NAME = 'LOST'",
        "INSERT INTO Ptrx_Settings VALUES ('EXTRA', 'only here')",
        "DELETE FROM Keyless WHERE A = 1 LIMIT 1",
        "INSERT INTO Keyless VALUES (3, 'three'), (3, 'three')",
        // Two audit rows that never reached the primary, and one that differs.
        "INSERT INTO Ptrx_UserAudit (AUDITID, NAME) VALUES (9000002, 'kept'), (9000004, 'kept')",
        "UPDATE Ptrx_UserAudit SET NAME = 'other' WHERE AUDITID = 1",
    ] {
        stray.rows(statement);
    }
    let args = ["--table", "Ptrx_Settings", "--table", "KEYLESS", "--table", "Ptrx_UserAudit"];
    let before = drifted(&lab);
    let ran = repair(&lab, &[&["--dry-run"], &args[..]].concat()).ok();
    for text in [
        "ptrx_settings: 1 to insert, 1 to update, 1 to delete (",
        "keyless: 1 to insert, 2 to delete (",
        "ptrx_useraudit: 1 to update, 2 to merge into both (",
        "9000004",
    ] {
        assert!(ran.stdout.contains(text), "no {text} in {ran}");
    }
    assert_eq!(drifted(&lab), before, "a dry run changes nothing");
    let written = lab.secondary.fingerprint_of(&["replication", "conf", "bin"]);
    assert!(!written.keys().any(|path| path.contains("pmp-ha-repair")), "{written:?}");
    repair(&lab, &["--table", "no_such"]).exits(2).says(&["there is no table no_such"]);

    let ran = repair(&lab, &args).ok();
    let file = old_rows(&ran);
    load.end();
    all_is_well(&lab);
    for node in [&lab.primary, &lab.secondary] {
        assert_eq!(node.sql("SELECT COUNT(*) FROM Ptrx_UserAudit WHERE NAME = 'kept'"), "2");
    }
    let staged = stray.list("SHOW TABLES FROM pmp_ha_local LIKE 'merge%'");
    assert_eq!(staged, Vec::<String>::new());

    // The file brings the old rows back, and the next repair corrects them again.
    play(&mut stray, &file);
    assert_eq!(lab.secondary.sql("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'DRIFT'"), "wrong");
    assert_eq!(lab.secondary.sql("SELECT COUNT(*) FROM Ptrx_Settings WHERE NAME IN ('LOST', 'EXTRA')"), "1");
    assert_eq!(
        lab.secondary.sql("SELECT A, COUNT(*) FROM Keyless GROUP BY A ORDER BY A"),
        "1\t1\n2\t1\n3\t2"
    );
    assert_eq!(drifted(&lab), before);
    repair(&lab, &args).ok();
    all_is_well(&lab);

    no_single_row_is_overlooked(&lab, &mut stray);
    a_write_against_the_rules_is_put_right(&lab);
    another_shape_is_made_anew(&lab, &mut stray);
    the_last_comparison_names_tables(&lab, &mut stray);
}

/// What has drifted, as it stands on the secondary.
fn drifted(lab: &Lab) -> String {
    let mut db = admin(&lab.secondary);
    format!(
        "{:?} {:?} {:?}",
        db.rows("SELECT NAME, VALUE FROM Ptrx_Settings WHERE NAME <> 'COUNTER' ORDER BY NAME"),
        db.rows("SELECT * FROM Keyless ORDER BY A, B"),
        db.rows(
            "SELECT AUDITID, NAME FROM Ptrx_UserAudit WHERE (AUDITID = 1 OR AUDITID > 8999999) AND NAME <> 'load' ORDER BY AUDITID"
        )
    )
}

#[track_caller]
fn play(db: &mut Db, file: &std::path::Path) {
    let text = std::fs::read_to_string(file).expect("readable");
    for statement in text.lines().filter(|line| !line.starts_with("--")) {
        db.rows(statement.trim_end_matches(';'));
    }
}

/// One changed value among others is found whatever the sums of the rows are.
fn no_single_row_is_overlooked(lab: &Lab, stray: &mut Db) {
    for n in 0..8 {
        stray.rows(&format!("UPDATE AaaLogin SET NAME = 'nobody {n}' WHERE LOGIN_ID = 1"));
        let ran = repair(lab, &["--table", "aaalogin", "--dry-run"]).ok();
        assert!(ran.stdout.contains("aaalogin: 1 to update (1)"), "nobody {n}: {ran}");
    }
    repair(lab, &["--table", "aaalogin"]).ok();
    all_is_well(lab);
}

fn a_write_against_the_rules_is_put_right(lab: &Lab) {
    let mut logged = admin(&lab.secondary);
    logged.rows("SET SESSION sql_log_bin = 1");
    logged.rows("UPDATE Ptrx_Settings SET VALUE = 'against the rules' WHERE NAME = 'DRIFT'");
    crate::harness::wait_for(&lab.secondary, &["errant-write"]);
    let ran = repair(lab, &[]).ok();
    assert!(ran.stdout.contains("Replication Status: Alive"), "{ran}");
    all_is_well(lab);
    assert_eq!(lab.secondary.findings(), Vec::<String>::new());
}

fn another_shape_is_made_anew(lab: &Lab, stray: &mut Db) {
    stray.rows("ALTER TABLE AaaLogin DROP COLUMN USER_ID");
    let ran = repair(lab, &[]).ok().says(&["keep the table aaalogin as pmp_ha_local."]);
    all_is_well(lab);
    assert_eq!(stray.list("SHOW TABLES FROM pmp_ha_local LIKE 'aaalogin%'").len(), 1, "{ran}");
}

fn the_last_comparison_names_tables(lab: &Lab, stray: &mut Db) {
    stray.rows(
        "CREATE TABLE IF NOT EXISTS pmp_ha.checksum (run VARCHAR(32) NOT NULL, tbl VARCHAR(64) NOT NULL, chunk INT UNSIGNED NOT NULL, lower_key TEXT NULL, upper_key TEXT NULL, rows_here BIGINT NOT NULL, crc_here CHAR(64) NOT NULL, rows_source BIGINT NULL, crc_source CHAR(64) NULL, PRIMARY KEY (run, tbl, chunk)) ENGINE=InnoDB",
    );
    stray.rows("INSERT INTO pmp_ha.checksum VALUES ('r', 'ptrx_settings', 1, NULL, NULL, 1, 'a', 1, 'b')");
    stray.rows("UPDATE Ptrx_Settings SET VALUE = 'wrong' WHERE NAME = 'DRIFT'");
    let ran = repair(lab, &[]).ok();
    assert!(ran.stdout.contains("and equal: ptrx_settings"), "{ran}");
    all_is_well(lab);
}

fn a_repair_that_was_killed_is_taken_up_by_the_next(server: &str) {
    let lab = prepared(server);
    let load = Load::on(&lab);
    for (round, step) in ["1/4", "2/4", "3/4", "4/4"].into_iter().enumerate() {
        let name = format!("KILLED{round}");
        let mut stray = admin(&lab.secondary);
        stray.rows(&format!("INSERT INTO Ptrx_Settings VALUES ('{name}', 'stray')"));
        stray.rows("UPDATE AaaLogin SET NAME = 'nobody' WHERE LOGIN_ID = 1");
        lab.primary.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('{name}', 'ours')"));
        wait_failed(&lab, "1062");
        let ran = cut(lab.secondary.command(&["repair"]), Signal::SIGKILL, |said| said.contains(step));
        assert_eq!(lab.secondary.outcome(), None, "the run had ended: {ran}");
        // Only a repair goes on; nothing else is kept from its work.
        let ran = repair(&lab, &[]).ok().says(&["An earlier `pmp-ha repair` was interrupted"]);
        assert_eq!(lab.secondary.outcome().as_deref(), Some("done"), "{ran}");
        assert_eq!(exec_mode(&lab), "STRICT");
        lab.wait_alive();
        wait_until("the row is the primary's", || {
            lab.secondary.sql(&format!("SELECT VALUE FROM Ptrx_Settings WHERE NAME = '{name}'")) == "ours"
        });
        let name = lab.secondary.sql("SELECT NAME FROM AaaLogin WHERE LOGIN_ID = 1");
        assert_eq!(name, "admin", "cut in {step}: {ran}");
    }
    load.end();
    all_is_well(&lab);

    // A database that goes down in the middle is started as ever, and the repair is done then.
    admin(&lab.secondary).rows("UPDATE AaaLogin SET NAME = 'nobody' WHERE LOGIN_ID = 1");
    cut(lab.secondary.command(&["repair", "--table", "aaalogin"]), Signal::SIGKILL, |said| {
        said.contains("2/3")
    });
    lab.secondary.kill();
    repair(&lab, &[]).refused(&["the database here refuses the login"]);
    lab.secondary.run(&["start"]).ok();
    wait_until("the secondary replicates", || lab.secondary.verify().0 == "Alive");
    repair(&lab, &[]).ok();
    all_is_well(&lab);
}

fn a_place_that_the_binlog_no_longer_has_is_refused(server: &str) {
    let lab = Lab::pair(server);
    lab.primary.run(&["stop"]).ok();
    repair(&lab, &[]).refused(&["cannot read the primary's database"]);
    lab.secondary.run(&["stop"]).ok();
    lab.primary.run(&["start"]).ok();
    let files = || lab.secondary.fingerprint_of(&["conf", "replication/pmp-ha-repair", "bin"]);
    let before = files();
    repair(&lab, &[]).refused(&["the database here refuses the login", "pmp-ha start"]);
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('PURGED', 'with its binlog')");
    lab.primary.drop_old_binlogs();
    lab.secondary.run(&["start"]).ok();
    crate::harness::wait_for(&lab.secondary, &["binlog-gone"]);
    repair(&lab, &[]).refused(&[
        "no longer has the binlog",
        "Install a new pack: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.",
    ]);
    assert_same(&before, &files(), "a refusal");
}
