//! `install-pack` and `pack` killed before any change that they make, or out of room there: the home
//! is the old one or the new one, and the next run settles it by itself.

#![expect(clippy::print_stdout, reason = "how many points there were is shown when asked for")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::harness::disk::{self, Copy, Filler};
use crate::harness::pack::keys;
use crate::harness::trace::{Change, Then, Traced, traced};
use crate::harness::{Lab, Node, Ran, assert_same, is_thorough};
use crate::on_servers;

const ANY: &str = "mariadb-10.11";

const INSTALL: [&str; 1] = ["install-pack"];

/// Refused in every home; before that, what was cut off is settled.
const SETTLE: [&str; 2] = ["install-pack", "/no/such/pack"];

/// Room for a second home, its logs, and what a server grows by.
const ROOM: u64 = 400;

/// Every file of the home but for the logs.
fn without_logs(node: &Node) -> BTreeMap<String, String> {
    let mut files = node.fingerprint();
    files.retain(|path, _| !path.starts_with("logs"));
    files
}

fn run(node: &Node, args: &[&str], then: impl FnMut(Change) -> Then) -> Traced {
    traced(node.command(args), &node.home, then)
}

/// Kills a run before the change of this number.
fn kill_at(node: &Node, args: &[&str], number: usize) -> Traced {
    run(node, args, |change| if change.number == number { Then::Kill } else { Then::Go })
}

/// Some of the changes that are made between two records of the journal: the first, the last, and what lies
/// evenly between. At most `most` of them in a thorough run, and a quarter of that in another.
fn chosen(changes: &[Change], records: std::ops::Range<usize>, most: usize) -> Vec<usize> {
    let inside: Vec<usize> = changes
        .iter()
        .filter(|change| records.contains(&change.records))
        .map(|change| change.number)
        .collect();
    let most = if is_thorough() { most } else { most.div_ceil(4).max(2) }.min(inside.len());
    (0..most).map(|index| inside[index * (inside.len() - 1) / (most - 1).max(1)]).collect()
}

/// What a settled home is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Old,
    New,
}

/// A home at whose cost a command is killed, on a disk of its own.
struct AtStake<'a> {
    node: &'a Node,
    args: &'a [&'a str],
    old: BTreeMap<String, String>,
    /// The paths that the whole run leaves.
    new: BTreeSet<String>,
    /// The changes of the whole run.
    changes: Vec<Change>,
    pristine: Copy,
}

impl<'a> AtStake<'a> {
    /// Runs the command to its end once, and puts the home back.
    fn of(lab: &Lab, node: &'a Node, args: &'a [&'a str]) -> Self {
        disk::of_its_own(node, ROOM);
        // A killed run may make the folder, and it is nobody's.
        std::fs::create_dir_all(node.path("logs")).expect("made");
        let pristine = Copy::of(node, lab.dir().join("pristine"));
        let old = without_logs(node);
        let whole = run(node, args, |_| Then::Go);
        whole.ran.ok();
        let new = without_logs(node).into_keys().collect();
        pristine.put_back(node);
        Self { node, args, old, new, changes: whole.changes, pristine }
    }

    /// Kills the command before a change. Returns whether it got there.
    #[track_caller]
    fn kill_at(&self, number: usize) -> Option<Traced> {
        // ignored: where the last run was killed at its very beginning there is none
        let _ = std::fs::remove_file(self.node.path("replication/pmp-ha-journal.jsonl"));
        let cut = kill_at(self.node, self.args, number);
        self.is_whole(&cut.ran);
        if !cut.killed {
            // A boot may take a statement less.
            cut.ran.ok();
            self.pristine.put_back(self.node);
            return None;
        }
        Some(cut)
    }

    /// There is no moment without a whole data directory in its place.
    #[track_caller]
    fn is_whole(&self, what: &Ran) {
        for path in ["mysql/data/ibdata1", "mysql/data/aria_log_control", "mysql/data/mysql"] {
            assert!(self.node.path(path).exists(), "{path} is not there after {what}");
        }
    }

    /// Lets the next run settle what was cut off, and sees that the home is one or the other.
    #[track_caller]
    fn settles(&self, cut: &Ran) -> State {
        let ran = self.node.run(&SETTLE).refused(&["cannot open the pack"]);
        let state = match self.node.outcome().as_deref() {
            Some("done") => State::New,
            Some("rolled_back") | None => State::Old,
            Some(other) => panic!("{other} after {cut}\n{ran}"),
        };
        let what = format!("{cut}\n{ran}");
        match state {
            State::Old => assert_same(&self.old, &without_logs(self.node), &what),
            State::New => {
                let now: BTreeSet<String> = without_logs(self.node).into_keys().collect();
                let differ: Vec<_> = now.symmetric_difference(&self.new).collect();
                assert!(differ.is_empty(), "{differ:?} after {what}");
            }
        }
        state
    }

    /// Kills every run that would settle it, each one change later than the one before, until one
    /// comes to its end. Returns how many were killed.
    #[track_caller]
    fn killed_while_it_settles(&self) -> usize {
        let mut number = 0;
        loop {
            let cut = kill_at(self.node, &SETTLE, number);
            self.is_whole(&cut.ran);
            if !cut.killed {
                cut.ran.refused(&["cannot open the pack"]);
                return number;
            }
            number += 1;
        }
    }

    fn reset(&self, state: State) {
        if state == State::New {
            self.pristine.put_back(self.node);
        }
    }
}

/// How many of the changes of a step are tried: enough of those that are dear.
struct Share {
    records: std::ops::Range<usize>,
    most: usize,
    and_while_it_settles: bool,
}

const fn share(records: std::ops::Range<usize>, most: usize) -> Share {
    Share { records, most, and_while_it_settles: false }
}

#[test]
fn an_install_pack_killed_before_any_change_leaves_the_old_home_or_the_new_one() {
    let test = "kill_points::an_install_pack_killed_before_any_change_leaves_the_old_home_or_the_new_one";
    disk::once_in_a_namespace_of_its_own(test, || {
        let lab = Lab::up(ANY);
        lab.pack().ok();
        lab.carry();
        let at_stake = AtStake::of(&lab, &lab.secondary, &INSTALL);
        let shares = [
            // The first records, and the extraction.
            share(0..2, 10),
            share(2..3, 60),
            // The exchange, the node's files, the start script.
            share(3..10, 90),
            // The boot.
            Share { and_while_it_settles: true, ..share(10..11, 8) },
            share(11..12, 3),
            // Behind the point of no return.
            Share { and_while_it_settles: true, ..share(12..13, 2) },
            share(13..20, 4),
        ];
        let (mut killed, mut again, mut news) = (0, 0, 0);
        for share in shares {
            for number in chosen(&at_stake.changes, share.records.clone(), share.most) {
                let Some(cut) = at_stake.kill_at(number) else { continue };
                killed += 1;
                if share.and_while_it_settles {
                    killed += at_stake.killed_while_it_settles();
                }
                let state = at_stake.settles(&cut.ran);
                news += usize::from(state == State::New);
                if killed / 60 > again {
                    again += 1;
                    at_stake.node.run(&INSTALL).ok();
                    at_stake.pristine.put_back(at_stake.node);
                }
                at_stake.reset(state);
            }
        }
        println!("killed at {killed} points, {news} times the new home came of it; run again {again} times");
        assert!(killed >= if is_thorough() { 300 } else { 75 }, "{killed} kill points");
        lab.secondary.run(&INSTALL).ok();
        lab.secondary.run(&["key", &lab.key().to_string_lossy()]).ok();
        lab.start();
        lab.wait_alive();
    });
}

#[test]
fn what_was_unpacked_or_is_kept_survives_a_kill_before_any_change() {
    let test = "kill_points::what_was_unpacked_or_is_kept_survives_a_kill_before_any_change";
    disk::once_in_a_namespace_of_its_own(test, || {
        let lab = Lab::up(ANY);
        lab.pack().ok();
        let node = &lab.secondary;
        let mut unzip = std::process::Command::new("unzip");
        unzip.arg("-oq").arg(lab.pack_file()).arg("-d").arg(&node.home);
        Ran::from_command(unzip).ok();
        let at_stake = AtStake::of(&lab, node, &["install-pack", "--in-place", "--trust-unpacked"]);
        let mut killed = 0;
        for (records, most) in [(0..3, 30), (3..10, 20), (10..11, 2)] {
            for number in chosen(&at_stake.changes, records, most) {
                let Some(cut) = at_stake.kill_at(number) else { continue };
                killed += 1;
                // A boot may take a change less: then this one is behind the last that can be undone.
                let behind = cut.changes.last().is_some_and(|change| change.records > 10);
                let state = at_stake.settles(&cut.ran);
                assert_eq!(state, if behind { State::New } else { State::Old }, "{number}: {}", cut.ran);
                at_stake.reset(state);
            }
        }
        println!("--in-place: killed at {killed} points");
    });
}

#[test]
fn a_keeping_install_and_a_rollback_killed_before_any_change_lose_neither_state() {
    let test = "kill_points::a_keeping_install_and_a_rollback_killed_before_any_change_lose_neither_state";
    disk::once_in_a_namespace_of_its_own(test, || {
        let lab = Lab::up(ANY);
        lab.pack().ok();
        lab.carry();
        let node = &lab.secondary;
        disk::of_its_own(node, ROOM);
        let fresh = in_use(node);
        // The last step keeps; each run that finishes it is killed a change later.
        let begun =
            run(
                node,
                &["install-pack", "--keep"],
                |change| {
                    if change.records == 12 { Then::Kill } else { Then::Go }
                },
            );
        assert!(begun.killed, "{}", begun.ran);
        let mut killed = 1;
        while kill_at(node, &SETTLE, killed).killed {
            killed += 1;
        }
        assert_eq!(node.outcome().as_deref(), Some("done"));
        let installed = in_use(node);

        let pristine = Copy::of(node, lab.dir().join("pristine"));
        let whole = run(node, &["rollback"], |_| Then::Go);
        whole.ran.ok();
        assert_same(&fresh, &in_use(node), "rollback");
        pristine.put_back(node);
        for number in chosen(&whole.changes, 0..20, 90) {
            let change = whole.changes[number];
            let cut = kill_at(node, &["rollback"], number);
            assert!(cut.killed, "{}", cut.ran);
            killed += 1;
            assert!(node.path("mysql/data/ibdata1").exists(), "{}", cut.ran);
            node.run(&SETTLE).refused(&["cannot open the pack"]);
            let forward = node.outcome().as_deref() == Some("done") && change.records > 2;
            assert_same(if forward { &fresh } else { &installed }, &in_use(node), &cut.ran.to_string());
            // Neither is lost, whichever it is.
            if change.number % 8 == 0 || forward {
                node.run(&["rollback"]).ok();
                assert_same(if forward { &installed } else { &fresh }, &in_use(node), &cut.ran.to_string());
                pristine.put_back(node);
            }
        }
        println!("--keep and rollback: killed at {killed} points");
    });
}

/// Every file of the home but for the logs, the pack and what is kept.
fn in_use(node: &Node) -> BTreeMap<String, String> {
    let mut files = without_logs(node);
    files.retain(|path, _| {
        !["HAPack.zip", "replication/pmp-ha-kept", "mysql/data.before-", "conf/pmp-ha/compare-due"]
            .iter()
            .any(|start| path.starts_with(start))
    });
    files
}

#[test]
fn a_pack_killed_before_any_change_leaves_the_previous_pack_and_a_primary_that_starts() {
    let test =
        "kill_points::a_pack_killed_before_any_change_leaves_the_previous_pack_and_a_primary_that_starts";
    disk::once_in_a_namespace_of_its_own(test, || {
        let lab = Lab::up(ANY);
        let node = &lab.primary;
        disk::of_its_own(node, ROOM);
        lab.pack().ok();
        let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
        let whole = run(node, &args, |_| Then::Go);
        whole.ran.ok();
        let own = || {
            let mut files = node.fingerprint_of(&["bin", "conf", "replication"]);
            // A stop and a start note how far they have read what the other node sent.
            files.retain(|path, _| !path.starts_with("replication/pmp-ha-returned-"));
            files
        };
        let mut before = own();
        let (mut killed, mut news) = (0, 0);
        for (records, most) in [(0..2, 3), (2..4, 14), (4..6, 8), (6..8, 5), (8..9, 12), (9..20, 6)] {
            for number in chosen(&whole.changes, records, most) {
                let cut = kill_at(node, &args, number);
                if !cut.killed {
                    cut.ran.ok();
                    before = own();
                    continue;
                }
                killed += 1;
                assert!(node.path("replication/HAPack.zip").exists(), "{}", cut.ran);
                // Its own settling is killed, too.
                if killed % 6 == 0 {
                    kill_at(node, &["rollback"], 3);
                }
                node.run(&["rollback"]);
                if node.outcome().as_deref() == Some("done") && own() != before {
                    news += 1;
                    before = own();
                }
                assert_same(&before, &own(), &cut.ran.to_string());
                if killed % 10 == 0 {
                    node.run(&["start"]).ok();
                    assert_ne!(node.sql("SELECT COUNT(*) FROM Ptrx_Account"), "0");
                    node.run(&["stop"]).ok();
                }
            }
        }
        println!("pack: killed at {killed} points, {news} times the new pack came of it");
        // The pack that is there is whole.
        lab.carry();
        lab.secondary.run(&INSTALL).ok();
        lab.secondary.run(&["key", &lab.key().to_string_lossy()]).ok();
        lab.start();
        lab.wait_alive();
    });
}

/// Runs a command whose disk is full from a change on.
fn full_from(node: &Node, args: &[&str], number: usize) -> Ran {
    let mut filler = None;
    let ran = run(node, args, |change| {
        if change.number == number {
            filler = Some(Filler::of(node));
        }
        Then::Go
    })
    .ran;
    assert!(filler.is_some(), "it never came to this: {ran}");
    ran
}

#[test]
fn an_install_pack_on_a_disk_that_fills_says_so_and_works_when_there_is_room() {
    let test = "kill_points::an_install_pack_on_a_disk_that_fills_says_so_and_works_when_there_is_room";
    disk::once_in_a_namespace_of_its_own(test, || {
        let lab = Lab::up(ANY);
        lab.pack().ok();
        lab.carry();
        let at_stake = AtStake::of(&lab, &lab.secondary, &INSTALL);
        let mut codes = BTreeMap::new();
        for (records, most) in [(0..2, 2), (2..3, 8), (3..10, 12)] {
            for number in chosen(&at_stake.changes, records, most) {
                // ignored: where the last run had no room for it there is none
                let _ = std::fs::remove_file(at_stake.node.path("replication/pmp-ha-journal.jsonl"));
                let ran = full_from(at_stake.node, at_stake.args, number);
                ran.tells_of_a_full_disk();
                *codes.entry(ran.code).or_insert(0) += 1;
                assert_eq!(at_stake.settles(&ran), State::Old, "{ran}");
            }
        }
        println!("install-pack on a full disk: exit codes {codes:?}");
        lab.secondary.run(&INSTALL).ok();
    });
}

#[test]
fn a_pack_on_a_disk_that_fills_says_so_and_keeps_the_previous_one() {
    let test = "kill_points::a_pack_on_a_disk_that_fills_says_so_and_keeps_the_previous_one";
    disk::once_in_a_namespace_of_its_own(test, || {
        let lab = Lab::up(ANY);
        let node = &lab.primary;
        disk::of_its_own(node, ROOM);
        lab.pack().ok();
        let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
        let whole = run(node, &args, |_| Then::Go);
        whole.ran.ok();
        let own = || node.fingerprint_of(&["bin", "conf", "replication"]);
        let mut before = own();
        let mut codes = BTreeMap::new();
        for (records, most) in [(0..4, 5), (4..6, 3), (8..9, 6)] {
            for number in chosen(&whole.changes, records, most) {
                let ran = full_from(node, &args, number);
                if ran.code == Some(0) {
                    // What was left to do needed no room.
                    before = own();
                } else {
                    ran.tells_of_a_full_disk();
                }
                *codes.entry(ran.code).or_insert(0) += 1;
                node.run(&["rollback"]);
                assert_same(&before, &own(), &ran.to_string());
            }
        }
        println!("pack on a full disk: exit codes {codes:?}");
        node.run(&["start"]).ok();
        assert_ne!(node.sql("SELECT COUNT(*) FROM Ptrx_Account"), "0");
        node.run(&["stop"]).ok();
        lab.pack().ok();
    });
}

on_servers!(an_install_pack_killed_at_a_few_points_ends_in_a_pair_that_is_alive: mariadb_11_8; left: mysql_5_6, mysql_9_7, mariadb_10_11);

fn an_install_pack_killed_at_a_few_points_ends_in_a_pair_that_is_alive(server: &str) {
    let lab = Lab::up(server);
    lab.pack().ok();
    lab.carry();
    let node = &lab.secondary;
    let old = without_logs(node);
    // Amid the extraction, before the exchange, in the boot, before its end.
    for (records, nth) in [(2, 300), (5, 1), (10, 12), (10, 40)] {
        let mut seen = 0;
        let cut = run(node, &INSTALL, |change| {
            seen += usize::from(change.records == records);
            if seen == nth { Then::Kill } else { Then::Go }
        });
        assert!(cut.killed, "{}", cut.ran);
        let ran = node.run(&SETTLE).refused(&["All its changes are put back"]);
        assert_same(&old, &without_logs(node), &format!("{}\n{ran}", cut.ran));
        std::fs::remove_file(node.path("replication/pmp-ha-journal.jsonl")).expect("removed");
    }
    let cut = run(node, &INSTALL, |change| if change.records == 12 { Then::Kill } else { Then::Go });
    assert!(cut.killed, "{}", cut.ran);
    node.run(&INSTALL).ok().says(&["it is finished now"]);
    node.run(&["key", &lab.key().to_string_lossy()]).ok();
    lab.start();
    lab.wait_alive();
}

/// Held at each change that it makes, the tool has no plain pack under any name, so none can be left.
#[test]
fn no_plain_byte_of_an_encrypted_pack_reaches_the_disk() {
    let lab = Lab::up(ANY);
    let [_, seal] = keys(&lab, &lab.secondary, "encryption", "sealing");
    let node = &lab.primary;
    let args = ["pack", &node.endpoint, &lab.secondary.endpoint, "--encrypt-to", &seal];
    // Nor is anything open to others for a moment, whatever the umask of who runs it.
    let given = node.command(&args);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(given.get_program()).args(given.get_args());
    // A temporary file elsewhere would be as plain.
    let elsewhere = node.path("temporary");
    std::fs::create_dir(&elsewhere).expect("made");
    command.env_remove("PMP_HOME").env("TMPDIR", &elsewhere);
    let (mut seen, mut sealed) = (0, 0);
    let traced = traced(command, &node.home, |_| {
        let mode =
            |path: &str| std::fs::metadata(node.path(path)).map_or(0, |meta| meta.permissions().mode());
        assert_eq!(mode("replication/pmp-ha-work") & 0o077, 0);
        assert_eq!(mode("conf/pmp-ha") & 0o077, 0);
        assert_eq!(mode("logs") & 0o002, 0);
        for file in files_of(&node.path("replication")).into_iter().chain(files_of(&elsewhere)) {
            let begins = |with: &[u8]| {
                let mut found = vec![0; with.len()];
                let read = std::fs::File::open(&file).and_then(|mut file| file.read_exact(&mut found));
                read.is_ok() && found == with
            };
            assert!(!begins(b"PK\x03\x04"), "{} is a plain pack", file.display());
            sealed += usize::from(begins(b"age-encryption.org/v1"));
            seen += 1;
        }
        Then::Go
    });
    traced.ran.ok();
    assert!(seen > 20 && sealed > 3, "{seen} files were looked at, {sealed} of them sealed");
}

fn files_of(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(files_of(&path));
        } else {
            out.push(path);
        }
    }
    out
}
