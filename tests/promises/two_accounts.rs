//! Root and the home's owner take turns in the whole life of a pair, and whatever root's commands write,
//! the owner has written.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::accounts::{Treasure, copy, lab_of_nobody, pack_args, put_back};
use crate::both::{Accounts, done, give, of_others};
use crate::harness::{Going, Lab, NOBODY, Node, wait_alive_both};
use crate::sql::Db;
use crate::trace::{Then, traced};

const ANY: &str = "mariadb-10.11";

/// Who gives a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Root,
    Owner,
}

impl Who {
    fn other(self) -> Self {
        if self == Self::Root { Self::Owner } else { Self::Root }
    }

    fn command(self, accounts: &Accounts, node: &Node, args: &[&str]) -> Command {
        if self == Self::Root { accounts.root(node, args) } else { accounts.nobody(node, args) }
    }

    fn run(self, accounts: &Accounts, node: &Node, args: &[&str]) -> crate::harness::Ran {
        crate::harness::Ran::from_command(self.command(accounts, node, args))
    }
}

/// A pair of the owner's that runs.
fn pair_of_nobody() -> (Lab, Accounts) {
    let (lab, accounts) = lab_of_nobody(ANY);
    accounts.as_nobody(&lab.primary, &pack_args(&lab)).ok();
    lab.carry();
    give(&lab.secondary.path("HAPack.zip"));
    accounts.as_nobody(&lab.secondary, &["install-pack"]).ok();
    accounts.as_nobody(&lab.secondary, &["key", &lab.key().to_string_lossy()]).ok();
    for node in [&lab.primary, &lab.secondary] {
        accounts.as_nobody(node, &["start"]).ok();
    }
    wait_alive_both([&lab.primary, &lab.secondary]);
    (lab, accounts)
}

#[track_caller]
fn all_is_the_owner_s(nodes: [&Node; 2], what: &str) {
    for node in nodes {
        assert_eq!(of_others(&node.home, NOBODY), Vec::<String>::new(), "after {what}");
    }
}

#[test]
fn root_and_the_owner_take_turns_in_the_whole_life_of_a_pair() {
    let (lab, accounts) = pair_of_nobody();
    let (a, b) = (&lab.primary, &lab.secondary);
    let both = [a, b];
    let mut who = Who::Root;
    for round in 0..2 {
        // Rows that a repair puts right.
        let mut past = Db::admin(b);
        past.rows("SET SESSION sql_log_bin = 0");
        past.rows("DELETE FROM passtrix.Ptrx_Settings LIMIT 1");
        who.run(&accounts, b, &["repair"]).ok();
        all_is_the_owner_s(both, "repair");

        // New secrets, each part by the other one.
        who.run(&accounts, a, &["rotate", "--wait", "0"]).exits(3);
        let file = b.path("HASecrets.toml");
        std::fs::copy(a.path("replication/HASecrets.toml"), &file).expect("copied");
        // The owner cannot read what root has copied.
        Who::Owner.run(&accounts, b, &["rotate", "--wait", "0"]).exits(1).says(&["HASecrets.toml"]);
        give(&file);
        who.other().run(&accounts, b, &["rotate", "--wait", "0"]).exits(3);
        who.other().run(&accounts, a, &["rotate"]).ok();
        who.run(&accounts, b, &["rotate"]).ok();
        wait_alive_both(both);
        all_is_the_owner_s(both, "rotate");

        // The roles there and back, on one node by the one and on the other by the other.
        for (from, to) in [(a, b), (b, a)] {
            let gives = Going::begin(who.command(&accounts, from, &["switchover", "--wait", "120"]));
            who.other().run(&accounts, to, &["switchover", "--wait", "120"]).ok();
            gives.end().ok();
            wait_alive_both(both);
            all_is_the_owner_s(both, "switchover");
            who = who.other();
        }

        // A failover, and what was replaced comes back.
        a.kill();
        who.run(&accounts, b, &["recover", "--promote", "--fenced"]).ok();
        who.other().run(&accounts, a, &["rejoin"]).ok();
        wait_alive_both(both);
        all_is_the_owner_s(both, "rejoin");
        if round == 0 {
            // It has its role again.
            let gives = Going::begin(who.command(&accounts, b, &["switchover", "--wait", "120"]));
            who.other().run(&accounts, a, &["switchover", "--wait", "120"]).ok();
            gives.end().ok();
            wait_alive_both(both);
        }
        who = who.other();
    }
    for node in both {
        who.run(&accounts, node, &["stop"]).ok();
        who = who.other();
        who.run(&accounts, node, &["teardown", "--discard-kept"]).ok();
    }
    all_is_the_owner_s(both, "teardown");
}

/// Every name that a command of root's is about to write. Each change is made by the owner.
#[track_caller]
fn written(accounts: &Accounts, node: &Node, args: &[&str], codes: &[i32]) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    let mut as_root = Vec::new();
    let whole = traced(accounts.root(node, args), &node.home, |change| {
        let paths = change.paths();
        names.extend(
            paths.iter().filter_map(|path| path.strip_prefix(&node.home).ok()).map(Path::to_path_buf),
        );
        if change.account() != NOBODY && !paths.is_empty() {
            as_root.push(paths);
        }
        Then::Go
    });
    assert!(whole.ran.code.is_some_and(|code| codes.contains(&code)), "{}", whole.ran);
    assert!(as_root.is_empty(), "{args:?}: {as_root:?}");
    assert!(!names.is_empty(), "{args:?} writes nothing: {}", whole.ran);
    names
}

/// Links at those of the names that are free. Returns where.
fn planted(node: &Node, treasure: &Treasure, names: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for name in names {
        let at = node.home.join(&name);
        let kind = if name.extension().is_some() { "file" } else { "folder" };
        let inside = at.parent().is_some_and(|folder| folder.canonicalize().is_ok_and(|real| real == folder));
        if inside && at.symlink_metadata().is_err() {
            symlink(treasure.folder.join(kind), &at).expect("planted");
            std::os::unix::fs::lchown(&at, Some(NOBODY), Some(NOBODY)).expect("given");
            out.push(at);
        }
    }
    out
}

/// What was planted and is still a link goes.
fn weeded(planted: &[PathBuf]) {
    for at in planted.iter().filter(|at| at.is_symlink()) {
        std::fs::remove_file(at).expect("removed");
    }
}

/// In how many runs the links of one command are planted, each with others: the first one may end a run.
const RUNS: usize = 3;

/// Runs a command as root, and then again with links at the names that it writes. `again` brings back what
/// was there before.
fn attacked(
    accounts: &Accounts,
    node: &Node,
    treasure: &Treasure,
    args: &[&str],
    codes: &[i32],
    again: &dyn Fn(),
) {
    let names = written(accounts, node, args, codes);
    again();
    let mut hit = 0;
    for run in 0..RUNS {
        let some = names.iter().skip(run).step_by(RUNS).cloned();
        let links = planted(node, treasure, some);
        hit += links.len();
        let ran = accounts.as_root(node, args);
        treasure.is_untouched(&ran);
        treasure.is_untouched(&accounts.as_root(node, &["resume"]));
        weeded(&links);
        again();
    }
    assert!(hit > 0, "{args:?}: nothing could be planted at {names:?}");
}

#[test]
fn links_at_the_names_that_a_command_writes_reach_nothing_of_root_s() {
    let (lab, accounts) = lab_of_nobody(ANY);
    let (primary, secondary) = (&lab.primary, &lab.secondary);
    let treasure = Treasure::beside(&lab);
    let key = lab.key().to_string_lossy().into_owned();
    accounts.as_root(primary, &pack_args(&lab)).ok();
    lab.carry();
    give(&secondary.path("HAPack.zip"));
    let kept = |node: &Node, name: &str| {
        let (home, pristine) = (node.home.clone(), lab.dir().join(name));
        copy(&home, &pristine);
        move || put_back(&pristine, &home)
    };

    attacked(&accounts, secondary, &treasure, &["install-pack"], &[0], &kept(secondary, "before-install"));
    accounts.as_root(secondary, &["install-pack"]).ok();
    attacked(&accounts, secondary, &treasure, &["key", &key], &[0], &kept(secondary, "before-key"));
    accounts.as_root(secondary, &["key", &key]).ok();

    for node in [primary, secondary] {
        accounts.as_root(node, &["start"]).ok();
    }
    wait_alive_both([primary, secondary]);
    let bundle = secondary.path("bundle.zip").to_string_lossy().into_owned();
    let no_bundle = || drop(std::fs::remove_file(&bundle));
    attacked(&accounts, secondary, &treasure, &["support-bundle", &bundle], &[0], &no_bundle);
    let no_events = || {
        for name in std::fs::read_dir(primary.path("replication")).expect("there").flatten() {
            let text = name.file_name().to_string_lossy().into_owned();
            if text.starts_with("pmp-ha-") && !text.starts_with("pmp-ha-journal") {
                done(Command::new("rm").arg("-r").arg(name.path()));
            }
        }
    };
    no_events();
    primary.configure("[[alarm.command]]\ncommand = [\"/bin/sh\", \"-c\", \"exit 1\"]\n");
    give(&primary.path("conf/pmp-ha.toml"));
    attacked(&accounts, primary, &treasure, &["monitor", "--once"], &[0, 5], &no_events);
    let cancelled = || {
        accounts.as_root(primary, &["rotate", "--cancel"]);
    };
    attacked(&accounts, primary, &treasure, &["rotate", "--wait", "0"], &[3], &cancelled);
    wait_alive_both([primary, secondary]);

    accounts.as_root(secondary, &["stop"]).ok();
    attacked(&accounts, secondary, &treasure, &["teardown"], &[0], &kept(secondary, "before-teardown"));
    accounts.as_root(secondary, &["teardown"]).ok();
    assert_eq!(of_others(&secondary.home, NOBODY), Vec::<String>::new());
}
