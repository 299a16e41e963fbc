//! `teardown`: what it leaves of a node is what was there before the first pack, data apart.

use std::collections::BTreeMap;

use crate::harness::disk::{self, Copy};
use crate::harness::trace::{Then, traced};
use crate::harness::{Lab, Node, assert_same};
use crate::on_servers;

/// What the database of a node keeps of a pair, in questions whose answer is empty afterwards.
const NOTHING_LEFT: [&str; 2] =
    ["SELECT User FROM mysql.user WHERE User LIKE 'pmp\\_ha%'", "SHOW DATABASES LIKE 'pmp\\_ha%'"];

/// Every file of the home, but for the data and what a start and a stop write.
fn apart_from_data(node: &Node) -> BTreeMap<String, String> {
    let mut files = node.fingerprint();
    files.retain(|path, _| !["mysql/data", "mysql/tmp", "logs/"].iter().any(|start| path.starts_with(start)));
    files
}

/// Files of the tool, anywhere in the home.
fn own_files(node: &Node) -> Vec<String> {
    let out = std::process::Command::new("find").arg(&node.home).arg("-name").arg("*pmp-ha*").output();
    let out = String::from_utf8(out.expect("it runs").stdout).expect("text");
    out.lines().map(ToOwned::to_owned).collect()
}

fn status_of_replica(node: &Node) -> String {
    let new = node.try_sql("SHOW REPLICA STATUS");
    new.unwrap_or_else(|| node.sql("SHOW SLAVE STATUS"))
}

on_servers!(a_node_is_as_it_was_before_the_first_pack: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);

fn a_node_is_as_it_was_before_the_first_pack(server: &str) {
    let lab = Lab::up(server);
    let [primary, secondary] = [&lab.primary, &lab.secondary];
    let before = [apart_from_data(primary), apart_from_data(secondary)];
    lab.install();
    lab.start();
    lab.wait_alive();
    primary.sql("INSERT INTO Ptrx_Settings VALUES ('WRITTEN', 'in the pair')");
    lab.wait_same("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'WRITTEN'");
    primary.run(&["teardown"]).refused(&["cannot remove high availability", "the database runs"]);
    lab.stop();

    for (node, before, says) in [
        (secondary, &before[1], "continues to serve, and keeps its binlogs"),
        (primary, &before[0], "no longer replicates"),
    ] {
        let now = node.fingerprint();
        let dry = node.run(&["--dry-run", "teardown"]).ok();
        assert!(dry.stdout.contains("cannot be undone") && dry.stdout.contains(says), "{dry}");
        assert_same(&now, &node.fingerprint(), &dry.to_string());
        let ran = node.run(&["teardown"]).ok().says(&[says, "no longer belongs to a pair"]);
        let mut after = apart_from_data(node);
        let mut before = before.clone();
        if node.home == secondary.home {
            // It belongs to the data.
            let key = std::fs::read_to_string(node.path("conf/manage_key.conf")).expect("there");
            assert_eq!(key, lab.key().to_string_lossy());
            for files in [&mut before, &mut after] {
                files.remove("conf/manage_key.conf");
            }
        }
        assert_same(&before, &after, &ran.to_string());
        assert_eq!(own_files(node), Vec::<String>::new(), "{ran}");
        // Asked again, it says that there is nothing to do, and leaves no file for it.
        node.run(&["teardown"]).refused(&["belongs to no pair, and has no file of pmp-ha"]);
        assert_eq!(own_files(node), Vec::<String>::new());
    }

    for node in [primary, secondary] {
        node.run(&["start"]).ok();
        for question in NOTHING_LEFT {
            assert_eq!(node.sql(question), "", "{question}");
        }
        assert_eq!(status_of_replica(node), "");
        assert_eq!(node.sql("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'WRITTEN'"), "in the pair");
        // The write guard is gone with the pair.
        node.sql("INSERT INTO Ptrx_Settings VALUES ('ALONE', 'x')");
        let doctor = node.run(&["doctor"]).ok();
        assert!(doctor.stdout.contains("in no pair yet"), "{doctor}");
    }
}

#[test]
fn what_is_kept_goes_only_when_that_is_said() {
    let lab = Lab::up("mariadb-10.11");
    lab.pack().ok();
    lab.carry();
    let node = &lab.secondary;
    node.run(&["install-pack", "--keep"]).ok();
    let rows = node.path("replication/pmp-ha-repair-20260102T030405Z.sql");
    std::fs::write(&rows, "-- rows").expect("written");
    node.refuses(&["teardown"], 4, &["contains the data that this home had before", "--discard-kept"]);
    let ran = node.run(&["teardown", "--discard-kept", "--json"]).ok();
    assert!(ran.stdout.contains("\"other_node\""), "{ran}");
    assert_eq!(own_files(node), Vec::<String>::new(), "{ran}");
    let beside = std::fs::read_dir(node.path("mysql")).expect("there").flatten();
    let data: Vec<_> = beside
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("data"))
        .collect();
    assert_eq!(data, ["data"]);
}

#[test]
fn killed_before_any_change_it_is_taken_back_or_finished() {
    let test = "teardown::killed_before_any_change_it_is_taken_back_or_finished";
    disk::once_in_a_namespace_of_its_own(test, || {
        let lab = Lab::installed("mariadb-10.11");
        for node in [&lab.secondary, &lab.primary] {
            killed_anywhere(&lab, node);
        }
    });
}

/// The records that are written before the run can only be finished: its plan, and two steps.
const CAN_BE_UNDONE: usize = 4;

fn killed_anywhere(lab: &Lab, node: &Node) {
    disk::of_its_own(node, 400);
    let name = node.home.file_name().expect("a name").to_string_lossy().into_owned();
    let pristine = Copy::of(node, lab.dir().join(format!("pristine-{name}")));
    let all = |node: &Node| {
        let mut files = node.fingerprint();
        files.retain(|path, _| !path.starts_with("logs"));
        files
    };
    let old = all(node);
    let whole = traced(node.command(&["teardown"]), &node.home, |_| Then::Go);
    whole.ran.ok();
    let new = apart_from_data(node);
    pristine.put_back(node);

    let (mut back, mut forward) = (0, 0);
    let last = whole.changes.iter().map(|change| change.records).max().expect("changes");
    for records in 0..=last {
        let inside: Vec<usize> =
            whole.changes.iter().filter(|change| change.records == records).map(|c| c.number).collect();
        // The first change, and on the secondary one in the middle of what a step does.
        let mut numbers = vec![inside[0]];
        if node.home == lab.secondary.home {
            numbers.push(inside[inside.len() / 2]);
        }
        numbers.dedup();
        for number in numbers {
            let cut = traced(node.command(&["teardown"]), &node.home, |change| {
                if change.number == number { Then::Kill } else { Then::Go }
            });
            assert!(cut.killed, "{}", cut.ran);
            let ran = node.run(&["resume"]).ok();
            let what = format!("{name}, change {number}, {records} records: {}\n{ran}", cut.ran);
            if records <= CAN_BE_UNDONE {
                back += 1;
                assert_same(&old, &all(node), &what);
                continue;
            }
            forward += 1;
            if own_files(node).iter().any(|path| !path.ends_with(".pmp-ha.lock")) {
                // It was killed at the very end: the rest goes with the next one.
                node.run(&["teardown"]).ok();
            }
            assert_same(&new, &apart_from_data(node), &what);
            pristine.put_back(node);
        }
    }
    assert!(back >= 5 && forward >= 5, "{back} and {forward}");
    node.run(&["teardown"]).ok();
    assert_eq!(own_files(node), Vec::<String>::new());
}
