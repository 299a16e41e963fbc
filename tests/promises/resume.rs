//! `resume`, `rollback` and `history`: every run that was cut off ends as a legal state, and is told of.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::sql::Db;
use crate::harness::{BOOTED, Lab, Node, assert_same, at, cut, kill_in, nothing_runs, when, without_logs};

const ANY: &str = "mariadb-10.11";

/// What a run may change and a server that still runs does not.
const QUIET: [&str; 3] = ["bin", "conf", "replication"];

fn history(node: &Node) -> Vec<Value> {
    let all: Value = serde_json::from_str(&node.run(&["--json", "history"]).ok().stdout).expect("JSON");
    all["runs"].as_array().expect("runs").clone()
}

/// The end of the newest run, as `history` tells it.
fn ended(node: &Node) -> String {
    let last = history(node).pop().expect("a run");
    format!("{} {}", last["command"].as_str().expect("a command"), last["outcome"].as_str().expect("an end"))
}

/// A dry run says what would become of the run, and changes nothing.
#[track_caller]
fn would(node: &Node, command: &str, texts: &[&str]) {
    let before = node.fingerprint_of(&QUIET);
    let ran = node.run(&["--dry-run", command]).ok();
    // On a busy machine the last step may be over when the run is killed.
    let over = texts[0] == "can only be finished" && ran.stdout.contains("only needs to be closed");
    for text in texts.iter().filter(|_| !over) {
        assert!(ran.stdout.contains(text), "no {text:?} in\n{ran}");
    }
    assert_same(&before, &node.fingerprint_of(&QUIET), &ran.to_string());
    assert_eq!(node.outcome(), None, "{ran}");
}

#[test]
fn every_run_that_was_cut_off_is_finished_or_put_back_by_one_word() {
    let lab = Lab::up_with(ANY, "lab", 20);
    nothing_to_take_up(&lab.primary);
    packs(&lab);
    installs(&lab);
    recovers(&lab);
    lab.start();
    lab.wait_alive();
    reconfigures(&lab);
    repairs(&lab);
    lab.wait_alive();
}

fn nothing_to_take_up(node: &Node) {
    for args in [&["resume"][..], &["--dry-run", "resume"]] {
        let ran = node.run(args).ok();
        assert!(ran.stdout.contains("No run is open in "), "{ran}");
    }
    node.run(&["history"]).ok().says(&["No run has changed "]);
    assert_eq!(history(node), Vec::<Value>::new());
}

fn packs(lab: &Lab) {
    let node = &lab.primary;
    let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    let before = node.fingerprint_of(&QUIET);
    for (command, moment) in [("resume", when("3/4", BOOTED)), ("rollback", at("4/4"))] {
        kill_in(node, &args, node, &moment);
        assert_eq!(ended(node), "pack open");
        node.run(&["history"]).ok().says(&["`pmp-ha resume`"]);
        would(node, command, &["was interrupted", "Its changes are undone", "3. boot the database"]);
        let ran = node.run(&[command]).ok();
        assert!(ran.stdout.contains("before the interrupted `pmp-ha pack`"), "{ran}");
        nothing_runs(node);
        assert_same(&before, &node.fingerprint_of(&QUIET), &ran.to_string());
        assert_eq!(ended(node), "pack rolled_back");
        assert!(history(node)[0]["taken_up"]["by"].is_string());
    }
    lab.pack().ok();
    let runs = history(node);
    assert_eq!(runs.len(), 3);
    assert!(
        runs[2]["seconds"].is_u64() && runs[2]["target"].as_str().is_some_and(|t| t.ends_with("HAPack.zip"))
    );
    let shown = node.run(&["history", "--limit", "1"]).ok();
    assert_eq!(shown.stdout.lines().count(), 1, "{shown}");
    assert!(shown.stdout.contains("  pack          done "), "{shown}");
    lab.carry();
}

fn installs(lab: &Lab) {
    let node = &lab.secondary;
    let before = without_logs(node.fingerprint());
    for command in ["resume", "rollback"] {
        kill_in(node, &["install-pack"], node, &when("5/6", BOOTED));
        would(node, command, &["Its changes are undone", "1. extract"]);
        let ran = node.run(&[command]).ok();
        nothing_runs(node);
        assert_same(&before, &without_logs(node.fingerprint()), &ran.to_string());
    }
    kill_in(node, &["install-pack"], node, &at("6/6"));
    would(node, "rollback", &["can only be finished", "6. remove the old data"]);
    node.run(&["rollback"])
        .refused(&["the interrupted `pmp-ha install-pack` cannot be undone", "it is finished now"]);
    assert_eq!(ended(node), "install-pack done");
    node.run(&["key", &lab.key().to_string_lossy()]).ok();
    // With something kept, it is finished and then taken back.
    let in_use = || {
        let mut files = node.fingerprint_of(&["conf", "bin"]);
        // Data that were put back are to be compared.
        files.retain(|path, _| path != "conf/pmp-ha/compare-due");
        files
    };
    let installed = in_use();
    kill_in(node, &["install-pack", "--keep"], node, &at("6/6"));
    node.run(&["rollback"]).ok().says(&["it is finished now"]);
    assert_same(&installed, &in_use(), "back to the first install");
}

#[test]
fn what_a_killed_boot_left_running_is_no_database_that_serves() {
    let lab = Lab::pair(ANY);
    let node = &lab.secondary;
    node.run(&["stop"]).ok();
    for command in ["resume", "rollback", "reconfigure"] {
        kill_in(node, &["reconfigure"], node, &when("2/2", BOOTED));
        node.run(&[command]).ok();
        nothing_runs(node);
    }
    kill_in(node, &["reconfigure"], node, &when("2/2", BOOTED));
    node.run(&["start"]).refused(&["an earlier run on this home was interrupted", "pmp-ha resume"]);
    node.run(&["resume"]).ok();
    node.run(&["start"]).ok();
    lab.wait_alive();
}

fn recovers(lab: &Lab) {
    let fresh = lab.fresh_home("fresh");
    let (into, key) = (fresh.home.to_string_lossy(), lab.key());
    let key = key.to_string_lossy();
    let args = ["recover", "--into", &into, "--key", &key];
    let before = without_logs(fresh.fingerprint());
    for command in ["resume", "rollback"] {
        kill_in(&lab.secondary, &args, &fresh, &when("3/7", BOOTED));
        would(&fresh, command, &["Its changes are undone", "1. copy"]);
        let ran = fresh.run(&[command]).ok();
        nothing_runs(&fresh);
        assert_same(&before, &without_logs(fresh.fingerprint()), &ran.to_string());
    }
    kill_in(&lab.secondary, &args, &fresh, &at("7/7"));
    would(&fresh, "resume", &["can only be finished", "7. keep the old data"]);
    let ran = fresh.run(&["resume"]).ok();
    assert!(ran.stdout.contains("The interrupted `pmp-ha recover` is finished"), "{ran}");
    assert_eq!(ended(&fresh), "recover done");
    fresh.run(&["start"]).ok();
    fresh.run(&["stop"]).ok();
}

fn reconfigures(lab: &Lab) {
    let node = &lab.secondary;
    for command in ["resume", "rollback"] {
        let pair = std::fs::read(node.path("conf/pmp-ha/pair.toml")).expect("there");
        kill_in(node, &["reconfigure", "--peer-port", "1"], node, &at("2/2"));
        would(node, command, &["Its changes are undone", "1. write conf/pmp-ha"]);
        node.run(&[command]).ok();
        assert_eq!(ended(node), "reconfigure rolled_back");
        assert_eq!(std::fs::read(node.path("conf/pmp-ha/pair.toml")).expect("there"), pair);
        lab.wait_alive();
    }
}

fn repairs(lab: &Lab) {
    let node = &lab.secondary;
    let drift = || {
        Db::admin(node).rows("SET SESSION sql_log_bin = 0");
        Db::admin(node).rows("UPDATE AaaLogin SET NAME = 'nobody' WHERE LOGIN_ID = 1");
    };
    let args = ["repair", "--table", "aaalogin"];
    let killed = || {
        drift();
        cut(node.command(&args), Signal::SIGKILL, |said| said.contains("2/3"));
        assert_eq!(ended(node), "repair open");
    };
    killed();
    // As though it had been cut off in its first step, which changes no row.
    let journal = node.path("replication/pmp-ha-journal.jsonl");
    let text = std::fs::read_to_string(&journal).expect("there");
    let open = text.rfind("{\"record\":\"open\"").expect("a run");
    let begun: String = text[open..].split_inclusive('\n').take(2).collect();
    std::fs::write(&journal, format!("{}{begun}", &text[..open])).expect("written");
    would(node, "rollback", &["Its changes are undone", "1. save the rows"]);
    node.run(&["rollback"]).ok();
    assert_eq!(ended(node), "repair rolled_back");

    killed();
    let before = node.fingerprint_of(&["conf", "bin"]);
    for args in [&["rollback"][..], &["--dry-run", "rollback"]] {
        node.run(args).refused(&["the interrupted `pmp-ha repair` cannot be undone", "`pmp-ha resume`"]);
    }
    assert_same(&before, &node.fingerprint_of(&["conf", "bin"]), "a refusal");
    let ran = node.run(&["--dry-run", "resume"]).ok();
    assert!(ran.stdout.starts_with("repair in "), "{ran}");
    assert_eq!(ended(node), "repair open");
    node.run(&["resume"]).ok().says(&["every table is compared"]);
    assert_eq!(ended(node), "repair done");
    assert_eq!(node.sql("SELECT NAME FROM AaaLogin WHERE LOGIN_ID = 1"), "admin");
}
