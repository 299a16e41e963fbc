//! `verify --deep`: the data of both nodes are compared while the application goes on, and what
//! differs is found, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::sql::Db;
use crate::harness::{Lab, Node, cut};
use crate::{on_every_server, on_servers};

on_every_server!(every_planted_difference_is_found_and_nothing_else);
on_servers!(a_busy_pair_has_the_same_data_and_comparing_them_writes_nothing: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);
on_servers!(a_lost_audit_row_is_found_while_both_nodes_write_audit_rows: mysql_5_6; left: mysql_9_7, mariadb_10_11, mariadb_11_8);
on_servers!(a_comparison_that_was_cut_off_goes_on: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);

fn a_busy_pair_has_the_same_data_and_comparing_them_writes_nothing(server: &str) {
    let lab = Lab::pair(server);
    zoo(&lab);
    let writers = Writers::start(&lab);
    for _ in 0..3 {
        let report = deep(&lab, &[], 0);
        assert_eq!(report["same"], true, "{report:#}");
        assert!(report["rows"].as_u64() > Some(2400), "{report:#}");
    }
    let ran = lab.primary.run(&["verify", "--deep", "--table", "ptrx_useraudit", "--table", "zoo"]).ok();
    assert!(ran.stdout.starts_with("2 tables, "), "{ran}");
    assert!(ran.stdout.ends_with(" rows compared, all the same\n"), "{ran}");
    writers.stop();
    lab.tables_are_equal();

    let mut db = Db::of(&lab.primary);
    db.rows("FLUSH LOGS");
    let last = db.rows("SHOW BINARY LOGS").pop().expect("a binlog");
    lab.primary.run(&["verify", "--deep"]).ok();
    for event in db.rows(&format!("SHOW BINLOG EVENTS IN '{}'", last["Log_name"])) {
        let (kind, info) = (event["Event_type"].as_str(), event["Info"].as_str());
        let of_product = match kind {
            "Table_map" => info.contains("passtrix"),
            // What reads the product's tables names them, too.
            "Query" => info.contains("passtrix") && !info.contains("INSERT INTO pmp_ha.checksum"),
            _ => false,
        };
        assert!(!of_product, "{event:?}");
    }
    assert!(!lab.primary.path("replication/pmp-ha-deep.json").exists());
    lab.tables_are_equal();
    lab.wait_alive();
    refuses_where_it_cannot(&lab);
}

fn refuses_where_it_cannot(lab: &Lab) {
    let host = lab.primary.endpoint.split(':').next().expect("a host");
    lab.secondary.run(&["verify", "--deep"]).refused(&["cannot compare the data from here", host]);
    lab.primary.run(&["verify", "--deep", "--table", "no_such"]).refused(&["no table no_such"]);
    lab.primary.run(&["verify", "--table", "zoo"]).exits(2);
    let outline = lab.primary.run(&["--dry-run", "verify", "--deep"]).ok().stdout;
    assert!(outline.contains("  zoo\n"), "{outline}");
    let mut db = Db::admin(&lab.secondary);
    db.rows(&lab.words("STOP SLAVE SQL_THREAD"));
    lab.primary.run(&["verify", "--deep"]).refused(&["the secondary does not replicate"]);
    db.rows(&lab.words("START SLAVE SQL_THREAD"));
    lab.wait_alive();
    let mut db = Db::admin(&lab.primary);
    db.rows(&lab.words("STOP SLAVE"));
    lab.primary.run(&["verify", "--deep"]).refused(&["audit rows do not flow back"]);
    db.rows(&lab.words("START SLAVE"));
    lab.secondary.run(&["stop"]).ok();
    lab.primary.run(&["verify", "--deep"]).refused(&["the database of the secondary"]);
    lab.primary.run(&["stop"]).ok();
    lab.primary.run(&["verify", "--deep"]).refused(&["the database of the primary"]);
}

fn every_planted_difference_is_found_and_nothing_else(server: &str) {
    let lab = Lab::pair(server);
    let mut db = Db::of(&lab.primary);
    for statement in [
        "CREATE TABLE t_null (id INT PRIMARY KEY, a VARCHAR(20), b VARCHAR(20)) ENGINE=InnoDB",
        "INSERT INTO t_null VALUES (1, NULL, 'x'), (2, 'a#', 'b'), (3, 'same', NULL)",
        "CREATE TABLE t_gone (id INT PRIMARY KEY) ENGINE=InnoDB",
        "CREATE TABLE t_column (id INT PRIMARY KEY) ENGINE=InnoDB",
        "CREATE TABLE t_nokey (a INT, b VARCHAR(9)) ENGINE=InnoDB",
        "INSERT INTO t_nokey VALUES (1, 'x'), (1, 'x'), (2, 'y'), (2, 'y')",
        "CREATE TABLE t_unique (x INT, k BINARY(4) NOT NULL, UNIQUE KEY k (k)) ENGINE=InnoDB",
        "INSERT INTO t_unique VALUES (1, 'aa\\0\\''), (2, X'FF00FF00')",
        "CREATE TABLE t_multi (a VARCHAR(30) CHARACTER SET latin1, b INT, c DATETIME, v DOUBLE, e ENUM('z','y','x'), PRIMARY KEY (a, e, c, b)) ENGINE=InnoDB",
    ] {
        db.rows(statement);
    }
    for n in 0..700 {
        let e = ["z", "y", "x"][n % 3];
        db.rows(&format!(
            "INSERT INTO t_multi VALUES ('n\\'{}é', {n}, '2026-01-0{} 00:00:00', {n}.1, '{e}')",
            n % 7,
            n % 5 + 1
        ));
    }
    zoo(&lab);
    let report = deep(&lab, &[], 0);
    assert_eq!(report["same"], true, "{report:#}");

    let mut stray = Db::admin(&lab.secondary);
    for statement in [
        "SET SESSION sql_log_bin = 0",
        "UPDATE ptrx_account SET PASSWORD = CONCAT(PASSWORD, ' ') WHERE ACCOUNTID = 17",
        "DELETE FROM ptrx_resource WHERE RESOURCEID = 333",
        "INSERT INTO ptrx_settings VALUES ('STRAY', 'row')",
        "UPDATE aaalogin SET NAME = 'Admin' WHERE LOGIN_ID = 1",
        "UPDATE t_null SET a = '' WHERE id = 1",
        "UPDATE t_null SET a = 'a', b = '#b' WHERE id = 2",
        "DROP TABLE t_gone",
        "ALTER TABLE t_column ADD extra INT",
        "CREATE TABLE t_stray (id INT PRIMARY KEY)",
        "UPDATE t_nokey SET a = 2, b = 'y'",
        "UPDATE t_unique SET x = 3 WHERE x = 2",
        "UPDATE t_multi SET v = v + 1e-13 WHERE b = 501",
    ] {
        stray.rows(statement);
    }
    let report = deep(&lab, &[], 5);
    let mut found = BTreeMap::new();
    for difference in report["differences"].as_array().expect("differences") {
        let table = difference["table"].as_str().expect("a table").to_owned();
        assert!(found.insert(table, difference.clone()).is_none(), "{report:#}");
    }
    let tables: Vec<&str> = found.keys().map(String::as_str).collect();
    let expected = [
        "aaalogin",
        "ptrx_account",
        "ptrx_resource",
        "ptrx_settings",
        "t_column",
        "t_gone",
        "t_multi",
        "t_nokey",
        "t_null",
        "t_stray",
        "t_unique",
    ];
    assert_eq!(tables, expected, "{report:#}");
    for (table, kind) in
        [("t_gone", "only_on_primary"), ("t_stray", "only_on_secondary"), ("t_column", "structure")]
    {
        assert_eq!(found[table]["kind"], kind);
    }
    for (table, key) in [("ptrx_account", 17), ("ptrx_resource", 333)] {
        let range = Range::of(&found[table]);
        assert!(range.holds(key) && range.rows <= 50, "{:#}", found[table]);
    }
    assert_eq!(
        (&found["ptrx_resource"]["rows_on_primary"], &found["ptrx_settings"]["rows_on_secondary"]),
        (&Value::from(Range::of(&found["ptrx_resource"]).rows), &Value::from(3))
    );
    let multi = &found["t_multi"];
    assert_eq!(multi["key"], serde_json::json!(["a", "e", "c", "b"]));
    let bound = |name: &str| {
        multi[name]
            .as_array()
            .map(|b| b.iter().map(|v| v.as_str().expect("text").to_owned()).collect::<Vec<_>>())
    };
    // n'4é, the third name of the enumeration is z: 1.
    let key = ["n'4é", "1", "2026-01-02 00:00:00", "501"].map(ToOwned::to_owned).to_vec();
    assert!(
        bound("above").is_none_or(|above| above < key) && bound("up_to").is_none_or(|up| key <= up),
        "{multi:#}"
    );

    let ran = lab.primary.run(&["verify", "--deep"]).exits(5);
    assert!(ran.stdout.contains("11 tables different") && ran.stdout.contains("`pmp-ha repair`"), "{ran}");
    assert!(ran.stdout.contains("structure differs: only the secondary has the column extra"), "{ran}");
    // What another command reads on the secondary is what was said here.
    let rows = stray.rows("SELECT tbl, lower_key, upper_key FROM pmp_ha.checksum WHERE rows_here <> rows_source OR crc_here <> crc_source");
    let noted: BTreeSet<String> = rows.iter().map(|row| row["tbl"].clone()).collect();
    let expected: BTreeSet<String> =
        found.iter().filter(|(_, what)| what["kind"] == "rows").map(|(table, _)| table.clone()).collect();
    assert_eq!((noted, rows.len()), (expected.clone(), expected.len()));
    lab.wait_alive();
    random_differences_are_those_that_a_plain_comparison_finds(&lab);
}

fn random_differences_are_those_that_a_plain_comparison_finds(lab: &Lab) {
    let mut stray = Db::admin(&lab.secondary);
    stray.rows("SET SESSION sql_log_bin = 0");
    let mut seed = u64::from(std::process::id()) | 1;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..25 {
        let id = random(900) + 1;
        match random(3) {
            0 => stray.rows(&format!("UPDATE ptrx_account SET CHECKSUM = HEX({id}) WHERE ACCOUNTID = {id}")),
            1 => stray.rows(&format!("DELETE FROM ptrx_account WHERE ACCOUNTID = {id}")),
            _ => stray
                .rows(&format!("INSERT IGNORE INTO ptrx_account VALUES ({}, 1, 'x', 'y', NULL)", id + 600)),
        };
    }
    let dump = |node: &Node| -> BTreeMap<u64, String> {
        let rows = Db::admin(node).rows("SELECT * FROM ptrx_account");
        rows.into_iter()
            .map(|row| (row["ACCOUNTID"].parse().expect("a number"), format!("{row:?}")))
            .collect()
    };
    let (here, there) = (dump(&lab.primary), dump(&lab.secondary));
    let differ: BTreeSet<u64> =
        here.keys().chain(there.keys()).filter(|id| here.get(id) != there.get(id)).copied().collect();
    let report = deep(lab, &["--table", "ptrx_account"], 5);
    let ranges: Vec<Range> =
        report["differences"].as_array().expect("differences").iter().map(Range::of).collect();
    for id in &differ {
        assert_eq!(
            ranges.iter().filter(|range| range.holds(*id)).count(),
            1,
            "{id} of {differ:?}: {report:#}"
        );
    }
    for range in &ranges {
        assert!(range.rows <= 50, "{report:#}");
        assert!(differ.iter().any(|id| range.holds(*id)), "nothing in {range:?} of {differ:?}");
    }
}

fn a_lost_audit_row_is_found_while_both_nodes_write_audit_rows(server: &str) {
    let lab = Lab::up(server);
    for node in [&lab.primary, &lab.secondary] {
        node.configure("[replication]\nlocal_tables = [\"ptrx_*_own\"]\n");
    }
    lab.set_up(&lab.primary.endpoint);
    lab.primary.sql("CREATE TABLE ptrx_notes_own (id INT PRIMARY KEY) ENGINE=InnoDB");
    lab.wait_same("SHOW TABLES");
    Db::admin(&lab.secondary).rows("INSERT INTO ptrx_notes_own VALUES (2)");
    let writers = Writers::start(&lab);
    let mut stray = Db::admin(&lab.secondary);
    stray.rows("SET SESSION sql_log_bin = 0");
    stray.rows("INSERT INTO ptrx_useraudit (NAME) VALUES ('never sent')");
    let lost: u64 = stray.list("SELECT LAST_INSERT_ID()").concat().parse().expect("a number");
    stray.rows("INSERT INTO aaaaccsession VALUES (777777, 1, 1, 'far ahead')");
    for _ in 0..2 {
        let report = deep(&lab, &["--pause", "20"], 5);
        let found = report["differences"].as_array().expect("differences");
        assert_eq!(found.len(), 2, "{report:#}");
        assert_eq!(report["left_out"], serde_json::json!(["ptrx_notes_own"]));
        assert_eq!(
            (&found[0]["table"], &found[1]["table"]),
            (&"aaaaccsession".into(), &"ptrx_useraudit".into())
        );
        assert!(Range::of(&found[0]).holds(777_777), "{report:#}");
        assert!(Range::of(&found[1]).holds(lost), "{report:#}");
    }
    stray.rows(&format!("DELETE FROM ptrx_useraudit WHERE AUDITID = {lost}"));
    stray.rows("DELETE FROM aaaaccsession WHERE SESSION_ID = 777777");
    assert_eq!(deep(&lab, &[], 0)["same"], true);
    writers.stop();
    Db::admin(&lab.secondary).rows("DELETE FROM ptrx_notes_own");
    lab.tables_are_equal();
    let ran = lab.primary.run(&["verify", "--deep"]).ok();
    assert!(ran.stdout.contains("left out: ptrx_notes_own"), "{ran}");
}

fn a_comparison_that_was_cut_off_goes_on(server: &str) {
    let lab = Lab::up_with(server, "lab", 16);
    lab.set_up(&lab.primary.endpoint);
    let mut stray = Db::admin(&lab.secondary);
    stray.rows("SET SESSION sql_log_bin = 0");
    stray.rows("UPDATE aaalogin SET NAME = 'first' WHERE LOGIN_ID = 1");
    stray.rows("DELETE FROM ptrx_useraudit WHERE AUDITID = 6000");
    let state = lab.primary.path("replication/pmp-ha-deep.json");
    // The run, and how far it has walked the largest table.
    let walked = || {
        let state: Value = serde_json::from_slice(&std::fs::read(&state).ok()?).ok()?;
        let current = (state["current"]["table"] == "ptrx_account").then(|| &state["current"])?;
        let at = current["lower"][0]["text"].as_str()?.parse::<u64>().ok()?;
        Some((state["run"].as_str().expect("a run").to_owned(), at))
    };
    let args = ["verify", "--deep", "--pause", "1100"];
    cut(lab.primary.command(&args), Signal::SIGKILL, |_| walked().is_some());
    let (run, at) = walked().expect("a run");
    cut(lab.primary.command(&args), Signal::SIGINT, |_| walked().expect("a run").1 > at)
        .exits(130)
        .says(&["Resuming the comparison", "resumes where it stopped"]);
    assert_eq!(walked().expect("a run").0, run);
    let ran = lab.primary.run(&["--json", "verify", "--deep"]).exits(5).says(&["Resuming"]);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert!(!state.exists());
    let tables: Vec<&str> =
        report["differences"].as_array().expect("some").iter().filter_map(|d| d["table"].as_str()).collect();
    assert_eq!(tables, ["aaalogin", "ptrx_useraudit"], "{report:#}");
    assert!(Range::of(&report["differences"][1]).holds(6000));
    // Every row of the last run is whole, and the ranges of a table follow each other.
    let noted = "SELECT tbl, chunk, lower_key, upper_key, rows_source FROM pmp_ha.checksum WHERE tbl = 'ptrx_account' ORDER BY chunk";
    let rows = stray.rows(noted);
    let mut last = String::new();
    for row in &rows {
        assert_eq!(row["lower_key"], last, "{rows:?}");
        last.clone_from(&row["upper_key"]);
    }
    let sum: u64 = rows.iter().map(|row| row["rows_source"].parse::<u64>().expect("a number")).sum();
    assert_eq!(sum.to_string(), lab.primary.sql("SELECT COUNT(*) FROM ptrx_account"));
    assert_eq!(
        report["rows"].as_u64(),
        Some(
            [
                "aaalogin",
                "aaaaccsession",
                "ptrx_account",
                "ptrx_resource",
                "ptrx_settings",
                "ptrx_useraudit",
                "ptrx_resourceaudit"
            ]
            .iter()
            .map(|table| lab
                .primary
                .sql(&format!("SELECT COUNT(*) FROM {table}"))
                .parse::<u64>()
                .expect("a number"))
            .sum()
        )
    );

    cut(lab.primary.command(&args), Signal::SIGINT, |_| walked().is_some()).exits(130);
    let ran = lab.primary.run(&["verify", "--deep", "--anew"]).exits(5);
    assert!(!ran.stderr.contains("Resuming"), "{ran}");
    lab.wait_alive();
}

/// The report as JSON.
#[track_caller]
fn deep(lab: &Lab, more: &[&str], code: i32) -> Value {
    let ran = lab.primary.run(&[&["--json", "verify", "--deep"][..], more].concat()).exits(code);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("no JSON in\n{ran}"))
}

/// A range of a report whose key is one number.
#[derive(Debug)]
struct Range {
    above: Option<u64>,
    up_to: Option<u64>,
    rows: u64,
}

impl Range {
    #[track_caller]
    fn of(difference: &Value) -> Self {
        let bound = |name: &str| difference[name][0].as_str().map(|text| text.parse().expect("a number"));
        let rows = |name: &str| difference[name].as_u64().expect("a number");
        Self {
            above: bound("above"),
            up_to: bound("up_to"),
            rows: rows("rows_on_primary").max(rows("rows_on_secondary")),
        }
    }

    fn holds(&self, key: u64) -> bool {
        self.above.is_none_or(|above| above < key) && self.up_to.is_none_or(|up_to| key <= up_to)
    }
}

/// A table with a column of every kind, and values at their edges.
fn zoo(lab: &Lab) {
    let mut db = Db::of(&lab.primary);
    let json = if lab.server.starts_with("mysql-5") { "TEXT" } else { "JSON" };
    let generated =
        if lab.server.starts_with("mysql-5") { "INT" } else { "INT GENERATED ALWAYS AS (id * 2) VIRTUAL" };
    db.rows("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'");
    db.rows(&format!(
        "CREATE TABLE zoo (id INT PRIMARY KEY, f FLOAT, d DOUBLE, n DECIMAL(30,10), b BIT(64), \
         e ENUM('a','b',''), s SET('x','y','z'), l VARCHAR(50) CHARACTER SET latin1, \
         u VARCHAR(50) CHARACTER SET utf8mb4, c CHAR(10) CHARACTER SET ucs2, x VARBINARY(50), \
         t LONGTEXT, bl LONGBLOB, ts TIMESTAMP(6) NULL, dt DATETIME(3), ti TIME(6), y YEAR, \
         g GEOMETRY, j {json}, v {generated}, bi BIGINT UNSIGNED) ENGINE=InnoDB"
    ));
    // Its small redo log takes no more.
    let large = if lab.server.starts_with("mysql-5") { 200_000 } else { 3_000_000 };
    let point = "ST_GeomFromText('POINT(1 2)')";
    db.rows(&format!(
        "INSERT INTO zoo (id, f, d, n, b, e, s, l, u, c, x, t, bl, ts, dt, ti, y, g, j, bi) VALUES \
         (1, 1.1, 2.2250738585072014e-308, -99999999999999999999.9999999999, 18446744073709551615, 'b', 'x,z', \
          X'E9', _utf8mb4 X'F09F9880', 'aa', X'00FF23', REPEAT('t', {large}), REPEAT(X'00FF', {large}), \
          '2026-03-29 02:30:00.123456', '9999-12-31 23:59:59.999', '-838:59:59', 2026, {point}, '{{\"b\": 1, \"a\": [1.5, null]}}', \
          18446744073709551615), \
         (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
         (3, 16777217, 0.1, 0, 0, '', '', '', '', '', '', '', '', '1970-01-02 00:00:00', '1000-01-01', '0', 1901, {point}, '[]', 0)"
    ));
    db.rows("CREATE TABLE float_key (f DOUBLE, x INT, PRIMARY KEY (f, x)) ENGINE=InnoDB");
    db.rows("INSERT INTO float_key VALUES (0.1, 1), (1e300, 2), (-5e-324, 3)");
}

/// The application at work on both nodes.
struct Writers {
    going: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(u64, Duration)>>,
}

impl Writers {
    fn start(lab: &Lab) -> Self {
        let going = Arc::new(AtomicBool::new(true));
        let audits = [
            "INSERT INTO ptrx_useraudit (NAME, LASTACCESSEDTIME) VALUES ('{n}', NOW())",
            "INSERT INTO aaaaccsession (ACCOUNT_ID, OPENTIME, STATUS) VALUES (1, {n}, 'open')",
        ];
        let vault = [
            "UPDATE ptrx_account SET PASSWORD = '{n}' WHERE ACCOUNTID = 1 + {n} % 700",
            "INSERT INTO ptrx_resource VALUES (100000 + {n}, 'new', 'Linux', NULL)",
            "DELETE FROM ptrx_resource WHERE RESOURCEID = 100000 + {n} - 20",
            "REPLACE INTO ptrx_settings VALUES ('BUSY {n}', 'x')",
        ];
        let of = |node: &Node, statements: &[&str]| {
            let (mut db, going) = (Db::of(node), Arc::clone(&going));
            let statements: Vec<String> = statements.iter().map(|s| (*s).to_owned()).collect();
            std::thread::spawn(move || {
                let (mut n, mut longest) = (0, Duration::ZERO);
                while going.load(Ordering::SeqCst) {
                    for statement in &statements {
                        let begun = Instant::now();
                        db.rows(&statement.replace("{n}", &n.to_string()));
                        longest = longest.max(begun.elapsed());
                    }
                    n += 1;
                    std::thread::sleep(Duration::from_millis(25));
                }
                (n, longest)
            })
        };
        let threads = vec![of(&lab.primary, &vault), of(&lab.primary, &audits), of(&lab.secondary, &audits)];
        Self { going, threads }
    }

    /// Fails if one of them was stopped for a while.
    #[track_caller]
    fn stop(self) {
        self.going.store(false, Ordering::SeqCst);
        for thread in self.threads {
            let (rounds, longest) = thread.join().expect("it writes");
            let went_on = rounds > 10 && longest < Duration::from_secs(3);
            assert!(went_on, "{rounds} rounds, a statement took {longest:?}");
        }
    }
}
