//! `verify --deep` and `repair` have one notion of a table, a row and equality: what the one reports the
//! other repairs, and where the one finds nothing the other has nothing to do.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::sql::Db;
use crate::harness::{Lab, Node, Ran, wait_until};
use crate::on_servers;

on_servers!(whatever_the_comparison_reports_the_repair_makes_equal: mysql_5_6, mysql_9_7, mariadb_11_8; left: mariadb_10_11);
on_servers!(one_bad_table_keeps_nobody_from_repairing_the_rest: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(a_repair_that_fails_leaves_the_applier_running: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);

/// Each table, how both nodes have it, and what is done to the secondary's.
const DIFFERENCES: [(&str, &[&str], &[&str]); 13] = [
    ("d_stray", &[], &["CREATE TABLE d_stray (id INT PRIMARY KEY)", "INSERT INTO d_stray VALUES (1), (2)"]),
    (
        "d_gone",
        &["CREATE TABLE d_gone (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO d_gone VALUES (3)"],
        &["DROP TABLE d_gone"],
    ),
    (
        "d_column",
        &["CREATE TABLE d_column (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO d_column VALUES (1)"],
        &["ALTER TABLE d_column ADD extra INT"],
    ),
    (
        "d_preset",
        &["CREATE TABLE d_preset (id INT PRIMARY KEY, v INT NOT NULL DEFAULT 1) ENGINE=InnoDB"],
        &["ALTER TABLE d_preset ALTER v SET DEFAULT 7"],
    ),
    (
        "d_engine",
        &["CREATE TABLE d_engine (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO d_engine VALUES (1)"],
        &["ALTER TABLE d_engine ENGINE=MyISAM"],
    ),
    (
        "d_unique",
        &["CREATE TABLE d_unique (id INT PRIMARY KEY, u INT, UNIQUE KEY u (u)) ENGINE=InnoDB"],
        &["ALTER TABLE d_unique DROP INDEX u"],
    ),
    (
        "d_rows",
        &[
            "CREATE TABLE d_rows (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=InnoDB",
            "INSERT INTO d_rows VALUES (1, 'a'), (2, NULL), (3, 'c')",
        ],
        &[
            "UPDATE d_rows SET v = 'a ' WHERE id = 1",
            "UPDATE d_rows SET v = '' WHERE id = 2",
            "DELETE FROM d_rows WHERE id = 3",
            "INSERT INTO d_rows VALUES (4, 'd')",
        ],
    ),
    // Two pairs of equal rows, which an exclusive or alone does not tell from two other pairs.
    (
        "d_pairs",
        &[
            "CREATE TABLE d_pairs (a INT, b VARCHAR(9)) ENGINE=InnoDB",
            "INSERT INTO d_pairs VALUES (1, 'x'), (1, 'x'), (2, 'y'), (2, 'y')",
        ],
        &["UPDATE d_pairs SET a = 2, b = 'y'"],
    ),
    // The empty text of a member, and that of no member.
    (
        "d_member",
        &[
            "CREATE TABLE d_member (id INT PRIMARY KEY, e ENUM('a', '')) ENGINE=InnoDB",
            "INSERT INTO d_member VALUES (1, 2), (2, 1)",
        ],
        &["SET SESSION sql_mode = ''", "UPDATE d_member SET e = 0 WHERE id = 1"],
    ),
    (
        "d_float",
        &[
            "CREATE TABLE d_float (f DOUBLE, e ENUM('z', 'y'), v FLOAT, PRIMARY KEY (f, e)) ENGINE=InnoDB",
            "INSERT INTO d_float VALUES (0.1, 'z', 16777217), (1e300, 'y', 0.1), (-5e-324, 'z', 3)",
        ],
        &["UPDATE d_float SET v = 16777219 WHERE f = 0.1", "DELETE FROM d_float WHERE e = 'y'"],
    ),
    (
        "d_bytes",
        &[
            "CREATE TABLE d_bytes (k BINARY(4) NOT NULL, n VARCHAR(9) CHARACTER SET latin1 NOT NULL, v BIT(64), \
             UNIQUE KEY k (k, n)) ENGINE=InnoDB",
            "INSERT INTO d_bytes VALUES (X'FF00FF00', X'E9', 18446744073709551615), ('aa\\0\\'', 'a,b', 0)",
        ],
        &["UPDATE d_bytes SET v = 18446744073709551614 WHERE n = X'E9'", "DELETE FROM d_bytes WHERE v = 0"],
    ),
    // The same key by the collation, and another one by its bytes.
    (
        "d_case",
        &[
            "CREATE TABLE d_case (k VARCHAR(9) CHARACTER SET utf8 PRIMARY KEY, v INT) ENGINE=InnoDB",
            "INSERT INTO d_case VALUES ('admin', 1)",
        ],
        &["UPDATE d_case SET k = 'Admin'"],
    ),
    ("ptrx_useraudit", &[], &["INSERT INTO ptrx_useraudit (AUDITID, NAME) VALUES (9000002, 'kept')"]),
];

/// What is no table: on both nodes, and on the secondary then.
const DEFINED: [&str; 8] = [
    "CREATE TABLE d_fired (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
    "INSERT INTO d_fired VALUES (1, 1)",
    "CREATE TABLE d_log (id INT AUTO_INCREMENT PRIMARY KEY, v INT) ENGINE=InnoDB",
    "CREATE TRIGGER d_trigger AFTER INSERT ON d_fired FOR EACH ROW INSERT INTO d_log (v) VALUES (NEW.v)",
    "CREATE VIEW d_view AS SELECT id FROM d_fired",
    "CREATE FUNCTION d_function(a INT) RETURNS INT DETERMINISTIC NO SQL RETURN a + 1",
    "CREATE PROCEDURE d_procedure(IN a INT, OUT b VARCHAR(9)) SELECT a INTO b",
    "CREATE EVENT d_event ON SCHEDULE EVERY 1 DAY DO DELETE FROM d_log WHERE id < 0",
];
const DEFINED_OTHERWISE: [&str; 8] = [
    "UPDATE d_fired SET v = 2",
    "DROP TRIGGER d_trigger",
    "CREATE TRIGGER d_trigger AFTER INSERT ON d_fired FOR EACH ROW INSERT INTO d_log (v) VALUES (99)",
    "CREATE OR REPLACE VIEW d_view AS SELECT v AS id FROM d_fired",
    "DROP FUNCTION d_function",
    "ALTER PROCEDURE d_procedure SQL SECURITY INVOKER",
    "CREATE PROCEDURE d_only_here() SELECT 1",
    "ALTER EVENT d_event ON SCHEDULE EVERY 2 DAY",
];
const DEFINED_NAMES: [&str; 7] =
    ["d_fired", "d_trigger", "d_view", "d_function", "d_procedure", "d_only_here", "d_event"];

/// A connection to a node as the tool's own account, past the binlog.
fn admin(node: &Node) -> Db {
    let mut db = Db::admin(node);
    db.rows("SET SESSION sql_log_bin = 0");
    db
}

#[track_caller]
fn play(db: &mut Db, statements: &[&str]) {
    for statement in statements {
        db.rows(statement);
    }
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("no JSON in\n{ran}"))
}

/// The tables, and whatever else, that `verify --deep` reports.
#[track_caller]
fn reported(lab: &Lab) -> BTreeSet<String> {
    let ran = lab.primary.run(&["--json", "verify", "--deep", "--anew"]);
    let report = json(&ran);
    let found = report["differences"].as_array().expect("differences");
    assert_eq!(ran.code, Some(if found.is_empty() { 0 } else { 5 }), "{ran}");
    found.iter().map(|found| found["table"].as_str().expect("a table").to_owned()).collect()
}

/// What `repair` would set right or name.
#[track_caller]
fn planned(lab: &Lab) -> BTreeSet<String> {
    let ran = lab.secondary.run(&["--json", "--dry-run", "repair"]);
    let plan = json(&ran);
    let name = |of: &Value| of["table"].as_str().map(ToOwned::to_owned);
    let listed =
        |of: &Value| -> Vec<String> { of.as_array().into_iter().flatten().filter_map(name).collect() };
    let Some(steps) = plan["steps"].as_array() else {
        assert_eq!(ran.code, Some(if listed(&plan["left_out"]).is_empty() { 0 } else { 5 }), "{ran}");
        return listed(&plan["left_out"]).into_iter().collect();
    };
    let warnings = plan["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let left_out = warnings.filter_map(|text| Some(text.split_once(" is left out: ")?.0.to_owned()));
    let defined = steps.iter().flat_map(|step| step["what"].as_array().into_iter().flatten());
    let defined = defined.map(|what| what[1].as_str().expect("a name").to_owned());
    let of_steps = steps
        .iter()
        .flat_map(|step| [name(step).into_iter().collect::<Vec<_>>(), listed(&step["changes"])].concat());
    of_steps.chain(left_out).chain(defined).collect()
}

#[track_caller]
fn nothing_differs(lab: &Lab) {
    assert_eq!(reported(lab), BTreeSet::new());
    let ran = lab.secondary.run(&["repair"]).ok();
    assert!(ran.stdout.contains("nothing to repair"), "{ran}");
    lab.wait_alive();
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn whatever_the_comparison_reports_the_repair_makes_equal(server: &str) {
    let lab = Lab::pair(server);
    let (mut primary, mut stray) = (Db::of(&lab.primary), admin(&lab.secondary));
    for (_, both, _) in DIFFERENCES {
        play(&mut primary, both);
    }
    play(&mut primary, &DEFINED);
    lab.wait_same("SHOW TABLES");
    nothing_differs(&lab);

    for (_, _, otherwise) in DIFFERENCES {
        play(&mut stray, otherwise);
    }
    play(&mut stray, &DEFINED_OTHERWISE);
    let mut expected = set(&DEFINED_NAMES);
    expected.extend(DIFFERENCES.iter().map(|(table, ..)| (*table).to_owned()));
    assert_eq!(reported(&lab), expected, "what the comparison reports");
    assert_eq!(planned(&lab), expected, "what the repair is about to do");
    let ran = lab.secondary.run(&["repair", "--dry-run"]).ok();
    assert!(
        ran.stdout
            .contains("move the table d_stray, which the primary does not have, to pmp_ha_local.d_stray_"),
        "{ran}"
    );

    let ran = lab.secondary.run(&["repair"]).ok();
    assert_eq!(reported(&lab), BTreeSet::new(), "after {ran}");
    nothing_differs(&lab);
    // What was taken out of the way is still there.
    let kept = stray.list("SHOW TABLES FROM pmp_ha_local LIKE 'd\\_stray%'").concat();
    assert_eq!(stray.list(&format!("SELECT COUNT(*) FROM pmp_ha_local.{kept}")), ["2"]);
    assert_eq!(stray.list("SELECT e + 0 FROM d_member ORDER BY id"), ["2", "1"]);
    assert_eq!(stray.list("SELECT v + 0 FROM d_bytes WHERE n = X'E9'"), ["18446744073709551615"]);
    assert_eq!(lab.primary.sql("SELECT COUNT(*) FROM ptrx_useraudit WHERE NAME = 'kept'"), "1");

    // A table that differed, and was dropped since.
    stray.rows("INSERT INTO d_rows VALUES (5, 'e')");
    assert_eq!(reported(&lab), set(&["d_rows"]));
    primary.rows("DROP TABLE d_rows");
    lab.wait_same("SHOW TABLES");
    nothing_differs(&lab);
    // The primary's trigger is there again, and was not set off.
    assert_eq!(stray.list("SELECT COUNT(*) FROM d_log"), ["0"]);
    let status = stray.list("SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_NAME = 'd_event'");
    assert_ne!(status, ["ENABLED"]);
}

fn one_bad_table_keeps_nobody_from_repairing_the_rest(server: &str) {
    let lab = Lab::pair(server);
    let (mut primary, mut stray) = (Db::of(&lab.primary), admin(&lab.secondary));
    primary.rows("CREATE TABLE bad (id INT PRIMARY KEY) ENGINE=MyISAM");
    primary.rows("INSERT INTO bad VALUES (1)");
    lab.wait_same("SELECT COUNT(*) FROM bad");
    let mut expected = set(&["bad", "ptrx_settings"]);
    let folder = lab.secondary.path("mysql/data/passtrix");
    stray.rows("FLUSH TABLES");
    std::fs::write(folder.join("bad.MYI"), "no index").expect("written");
    if server != "mysql-9.7" {
        // The server lists it, and has nothing behind it.
        std::fs::copy(folder.join("ptrx_resource.frm"), folder.join("orphan.frm")).expect("copied");
        expected.insert("orphan".into());
    }
    stray.rows("UPDATE ptrx_settings SET VALUE = CONCAT(VALUE, ' ')");
    assert_eq!(reported(&lab), expected, "what the comparison reports");
    assert_eq!(planned(&lab), expected, "what the repair is about to do");

    let ran =
        lab.secondary.run(&["repair"]).exits(5).says(&["not every table could be repaired", "because bad: "]);
    assert!(ran.stdout.contains("left out: bad: the secondary cannot read it"), "{ran}");
    expected.remove("ptrx_settings");
    assert_eq!(reported(&lab), expected, "after {ran}");
    assert_eq!(planned(&lab), expected, "after {ran}");
    lab.wait_replicating();
    lab.secondary.run(&["repair"]).exits(5).says(&["because bad: "]);
    let ran = lab.primary.run(&["verify", "--deep"]).exits(5);
    assert!(ran.stdout.contains("cannot be read: the secondary reports: "), "{ran}");
    assert!(!ran.stdout.contains("makes it equal"), "{ran}");
}

fn a_repair_that_fails_leaves_the_applier_running(server: &str) {
    let lab = Lab::pair(server);
    lab.primary.sql("CREATE TABLE held (id INT PRIMARY KEY) ENGINE=InnoDB");
    lab.primary.sql("INSERT INTO held VALUES (1)");
    lab.wait_same("SELECT COUNT(*) FROM held");
    let mut stray = admin(&lab.secondary);
    stray.rows("ALTER TABLE held ADD extra INT");
    // Somebody reads the table, and does not let go of it.
    stray.rows("SET GLOBAL lock_wait_timeout = 1");
    let mut reader = Db::admin(&lab.secondary);
    reader.rows("BEGIN");
    reader.rows("SELECT * FROM held");
    lab.secondary.run(&["repair"]).exits(3).says(&["step 2 failed", "error 1205"]);
    let status = lab.replica_status(&lab.secondary);
    assert_eq!((&*status["Replica_IO_Running"], &*status["Replica_SQL_Running"]), ("Yes", "Yes"));
    lab.wait_same("SELECT COUNT(*) FROM ptrx_settings");
    assert_eq!(reported(&lab), set(&["held"]));
    reader.rows("COMMIT");
    lab.secondary.run(&["resume", "--yes"]).ok().says(&["An earlier `pmp-ha repair` was interrupted"]);
    nothing_differs(&lab);
}

/// Where servers tell names in different case apart.
fn names_that_differ_in_case_are_two_tables(server: &str) {
    let lab = Lab::up(server);
    for node in [&lab.primary, &lab.secondary] {
        let script = node.path("bin/startDB.sh");
        let text = std::fs::read_to_string(&script).expect("readable");
        assert!(text.contains("--lower-case-table-names=1"), "{text}");
        let text = text.replace("--lower-case-table-names=1", "--lower-case-table-names=0");
        std::fs::write(&script, text).expect("written");
    }
    lab.set_up(&lab.primary.endpoint);
    // The product writes the schema in mixed case, which is another one on such a server.
    let (mut primary, mut stray) = (Db::admin(&lab.primary), admin(&lab.secondary));
    primary.rows("CREATE TABLE D_Name (id INT PRIMARY KEY) ENGINE=InnoDB");
    primary.rows("INSERT INTO D_Name VALUES (1)");
    wait_until("the table is on the secondary", || stray.list("SHOW TABLES").iter().any(|t| t == "D_Name"));
    wait_until("its row, too", || stray.list("SELECT COUNT(*) FROM D_Name") == ["1"]);
    stray.rows("RENAME TABLE D_Name TO d_name");
    assert_eq!(reported(&lab), set(&["D_Name", "d_name"]));
    assert_eq!(planned(&lab), set(&["D_Name", "d_name"]));
    lab.secondary.run(&["repair"]).ok();
    assert_eq!(stray.list("SELECT COUNT(*) FROM D_Name"), ["1"]);
    nothing_differs(&lab);
}

#[test]
fn names_that_differ_in_case_on_mysql() {
    names_that_differ_in_case_are_two_tables("mysql-5.6");
}

#[test]
fn names_that_differ_in_case_on_mariadb() {
    names_that_differ_in_case_are_two_tables("mariadb-11.8");
}
