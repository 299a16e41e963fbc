//! What is written on the secondary against the rules is found, from either node; what may be
//! written there never is; and a heartbeat proves that rows flow both ways.

use crate::harness::sql::Db;
use crate::harness::{Lab, Node, wait_for, wait_until};
use crate::on_servers;

on_servers!(writes_against_the_rules_are_found_and_audit_rows_are_not: mysql_5_6, mysql_9_7, mariadb_11_8; left: mariadb_10_11);
on_servers!(a_heartbeat_proves_that_rows_flow_both_ways: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);

fn writes_against_the_rules_are_found_and_audit_rows_are_not(server: &str) {
    let lab = Lab::pair(server);
    let mut application = Db::of(&lab.secondary);
    application.rows("BEGIN");
    application.rows("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('in'), ('a')");
    application.rows("INSERT INTO AaaAccSession (ACCOUNT_ID, OPENTIME, STATUS) VALUES (1, 2, 'transaction')");
    application.rows("COMMIT");
    lab.secondary.run(&["stop"]).ok();
    lab.secondary.run(&["start"]).ok();
    lab.wait_alive();
    for node in [&lab.primary, &lab.secondary] {
        // A busy machine may keep one look from seeing the other node; none may call these rows errant.
        wait_until("both nodes are seen, and nothing is found", || {
            let found = node.findings();
            assert!(!found.iter().any(|code| code == "errant-write"), "audit rows are never errant");
            found.is_empty()
        });
    }

    let mut stray = Db::admin(&lab.secondary);
    for (statement, told) in [
        ("INSERT INTO passtrix.Ptrx_Settings VALUES ('STRAY', 'secret-1')", "rows of passtrix.ptrx_settings"),
        (
            "UPDATE passtrix.Ptrx_UserAudit SET REASON = 'secret-2' LIMIT 1",
            "rows of passtrix.ptrx_useraudit were changed",
        ),
        ("CREATE TABLE passtrix.stray (a INT)", "a statement: CREATE TABLE"),
        ("CREATE USER 'stray'@'localhost' IDENTIFIED BY 'secret-3'", "a statement: CREATE USER"),
    ] {
        let before = errant(&lab.secondary).1;
        stray.rows(statement);
        for node in [&lab.secondary, &lab.primary] {
            let (evidence, count) = errant(node);
            assert_eq!(count, before + 1, "{statement}: {evidence}");
            assert!(!evidence.contains("secret"), "{evidence}");
            if count <= 3 {
                assert!(evidence.contains(told), "{statement}: {evidence}");
            }
        }
        let text = lab.secondary.run(&["verify"]).exits(5).stdout;
        assert!(text.contains("Replication Status: Failed"), "{text}");
    }
    // A restart forgets nothing.
    lab.secondary.run(&["stop"]).ok();
    lab.secondary.run(&["start"]).ok();
    wait_for(&lab.secondary, &["errant-write"]);
    let remembered =
        std::fs::read_to_string(lab.secondary.path("replication/pmp-ha-errant.json")).expect("kept");
    assert!(!remembered.contains("secret"), "{remembered}");
    // Who only lost the memory finds it all again.
    std::fs::remove_file(lab.secondary.path("replication/pmp-ha-errant.json")).expect("removed");
    // To look is not to write: only `verify` and `monitor` remember how far they have read.
    for args in [["--dry-run", "verify"], ["--dry-run", "switchover"], ["--dry-run", "repair"]] {
        let ran = lab.secondary.run(&args);
        assert!(!lab.secondary.path("replication/pmp-ha-errant.json").exists(), "{ran}");
    }
    assert_eq!(errant(&lab.secondary).1, 4);
}

/// The evidence of the finding, and how many writes it tells of.
#[track_caller]
fn errant(node: &Node) -> (String, u64) {
    let ran = node.run(&["--json", "verify"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
    let mut findings = report["findings"].as_array().expect("findings").iter();
    let Some(found) = findings.find(|finding| finding["code"] == "errant-write") else {
        return (String::new(), 0);
    };
    let evidence = found["evidence"].as_str().expect("a text").to_owned();
    let more = evidence.split(", and ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    let shown = u64::try_from(evidence.matches("binlog.0").count()).expect("a few");
    (evidence, shown + more.unwrap_or(0))
}

fn a_heartbeat_proves_that_rows_flow_both_ways(server: &str) {
    let lab = Lab::pair(server);
    for node in [&lab.primary, &lab.secondary] {
        let ran = node.run(&["--json", "verify", "--prove"]).ok();
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let [there, back] = ["there_seconds", "round_trip_seconds"]
            .map(|name| report["measures"][name].as_f64().unwrap_or_else(|| panic!("no {name} in\n{ran}")));
        assert!(0.0 < there && there <= back, "{ran}");
    }
    // One of the two ways is closed.
    let mut admin = Db::admin(&lab.primary);
    let words = |statement: &str| lab.words(statement);
    admin.rows(&words("STOP SLAVE SQL_THREAD"));
    let ran = lab.secondary.run(&["verify", "--prove"]).exits(5);
    assert!(ran.stdout.contains("[not-proved]") && ran.stdout.contains("[back-applier-stopped]"), "{ran}");
    admin.rows(&words("START SLAVE SQL_THREAD"));
    lab.wait_alive();
    lab.secondary.run(&["verify", "--prove"]).ok();
}
