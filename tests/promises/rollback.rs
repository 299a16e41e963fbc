//! `install-pack --keep` and `rollback`: a home returns to what it was, and back again.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use crate::harness::{Lab, Node, Put, assert_same, cut, wait_until};
use crate::on_servers;

const ANY: &str = "mariadb-10.11";

/// Every file of the home but for the logs, the journal, the pack and what is kept.
fn in_use(node: &Node) -> BTreeMap<String, String> {
    let mut files = node.fingerprint();
    files.retain(|path, _| {
        !["logs", "HAPack.zip", "replication/pmp-ha-kept", "mysql/data.before-", "conf/pmp-ha/compare-due"]
            .iter()
            .any(|start| path.starts_with(start))
    });
    files
}

/// The kept data directories.
fn kept(node: &Node) -> Vec<String> {
    let beside = std::fs::read_dir(node.path("mysql")).expect("there").flatten();
    let names = beside.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("data") && name != "data").collect()
}

fn packed(server: &str) -> Lab {
    let lab = Lab::up(server);
    lab.pack().ok();
    lab.carry();
    lab
}

on_servers!(a_home_returns_to_what_it_was_and_back_again: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

fn a_home_returns_to_what_it_was_and_back_again(server: &str) {
    let lab = packed(server);
    let node = &lab.secondary;
    let fresh = in_use(node);
    let ran = node.run(&["install-pack", "--keep"]).ok();
    assert!(ran.stdout.contains("the old data are kept: "), "{ran}");
    node.run(&["key", &lab.key().to_string_lossy()]).ok();
    let [name] = kept(node).try_into().expect("one");
    assert!(ran.stdout.contains(&name), "{name}: {ran}");
    lab.start();
    lab.wait_alive();
    node.run(&["rollback"]).refused(&["cannot roll back", "the database runs"]);
    lab.stop();
    let installed = in_use(node);

    // As before the pack, to the byte: the home is no node of a pair.
    let before = node.fingerprint();
    let dry = node.run(&["--dry-run", "rollback"]).ok();
    assert!(dry.stdout.contains("the next `pmp-ha rollback` returns to them"), "{dry}");
    assert_same(&before, &node.fingerprint(), &dry.to_string());
    let ran = node.run(&["rollback"]).ok().says(&["the home then belongs to no pair"]);
    assert_same(&fresh, &in_use(node), &ran.to_string());
    let [name] = kept(node).try_into().expect("one");
    assert!(name.starts_with("data.before-rollback-") && ran.stdout.contains(&name), "{name}: {ran}");
    node.run(&["start"]).ok();
    assert_eq!(node.sql("SELECT COUNT(*) FROM Ptrx_Account"), "0");
    node.run(&["stop"]).ok();

    // And back to the pair, which goes on where it was.
    let ran = node.run(&["rollback"]).ok();
    assert_same(&installed, &in_use(node), &ran.to_string());
    lab.primary.run(&["start"]).ok();
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('WRITTEN', 'meanwhile')");
    node.run(&["start"]).ok();
    lab.wait_alive();
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
}

#[test]
fn one_state_is_kept_and_a_node_of_a_pair_returns_to_what_it_was_in_it() {
    let lab = packed(ANY);
    let node = &lab.secondary;
    node.run(&["install-pack", "--keep"]).ok();
    node.run(&["key", &lab.key().to_string_lossy()]).ok();
    let first = kept(node);
    lab.start();
    lab.wait_alive();
    lab.stop();
    let as_it_was = in_use(node);

    lab.pack().ok();
    lab.carry();
    node.run(&["install-pack", "--keep"]).ok();
    let second = kept(node);
    assert!(second.len() == 1 && second != first, "{first:?}, {second:?}");
    let ran = node.run(&["rollback"]).ok().says(&["run `pmp-ha repair` on the secondary"]);
    assert_same(&as_it_was, &in_use(node), &ran.to_string());

    // With --discard-old nothing more is kept, and nothing less.
    let now = kept(node);
    let dry = node.run(&["--dry-run", "install-pack", "--discard-old"]).ok();
    assert!(dry.stdout.contains("not reached the primary is lost"), "{dry}");
    node.run(&["install-pack", "--discard-old"]).ok().says(&[&format!("mysql/{} stays", now[0])]);
    assert_eq!(kept(node), now);
    lab.start();
    lab.wait_alive();
}

#[test]
fn goes_back_to_nothing_but_whole_data_of_this_build() {
    let lab = packed(ANY);
    let node = &lab.secondary;
    node.refuses(
        &["rollback"],
        4,
        &["cannot roll back", "there is no earlier state to return to", "`install-pack` (with --keep"],
    );
    node.run(&["install-pack"]).ok();
    node.refuses(&["rollback"], 4, &["there is no earlier state to return to"]);
    node.run(&["install-pack", "--keep", "--in-place"]).exits(2);
    node.run(&["install-pack", "--keep", "--discard-old"]).exits(2);
    // It is in a pair by now: its data are kept without being asked for.
    let ran =
        node.run(&["install-pack"]).ok().says(&["this home was in a pair: its old data stay as mysql/"]);
    assert!(ran.stdout.contains("the old data are kept: "), "{ran}");
    let data = node.path("mysql").join(&kept(node)[0]);
    {
        let _gone = Put::gone(data.join("ibdata1"));
        node.refuses(&["rollback"], 4, &["the kept data are incomplete: ibdata1 is missing"]);
    }
    {
        let _gone = Put::gone(data.clone());
        node.refuses(&["rollback"], 4, &["is not there, or contains no known data"]);
    }
    {
        let _jar = Put::content(node.path("lib/AdventNetPassTrix.jar"), "build 6303");
        node.refuses(&["rollback"], 4, &["another build than the kept data"]);
    }
    {
        let _note = Put::content(node.path("replication/pmp-ha-kept/kept.json"), "{}");
        let before = node.fingerprint();
        let ran = node.run(&["rollback"]).exits(1).says(&["kept.json cannot be read"]);
        assert_same(&before, &node.fingerprint(), &ran.to_string());
    }
    // Data that are broken now are what one goes back from.
    std::fs::remove_file(node.path("mysql/data/ibdata1")).expect("removed");
    node.run(&["rollback"]).ok();
    node.run(&["start"]).ok();
}

#[test]
fn an_install_that_was_cut_off_is_all_that_the_first_rollback_takes_back() {
    let lab = packed(ANY);
    let node = &lab.secondary;
    node.run(&["install-pack", "--keep"]).ok();
    let (installed, was_kept) = (in_use(node), kept(node));
    let booted = node.path("mysql/tmp/boot/mysql.sock");
    cut(node.command(&["install-pack", "--keep"]), Signal::SIGKILL, |said| {
        said.contains("5/7") && booted.exists()
    });
    assert_eq!(node.outcome(), None, "the run was cut off");
    // The server of the cut-off boot runs on and writes its own files; nothing else may change.
    let quiet = ["bin", "conf", "replication"];
    let before = node.fingerprint_of(&quiet);
    let ran = node.run(&["--dry-run", "rollback"]).ok();
    assert!(ran.stdout.contains("Its changes are undone"), "{ran}");
    assert_same(&before, &node.fingerprint_of(&quiet), &ran.to_string());
    let ran = node.run(&["rollback"]).ok().says(&["All its changes are put back"]);
    assert!(ran.stdout.contains("is as it was before the interrupted `pmp-ha install-pack`"), "{ran}");
    assert_same(&installed, &in_use(node), &ran.to_string());
    assert_eq!(kept(node), was_kept);
    wait_until("nothing runs", || node.processes().is_empty());
}
