//! Root and the home's owner take turns in the whole life of a pair, and whatever root's commands write,
//! the owner has written.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::both::{Accounts, done, give, of_others};
use crate::harness::sql::Db;
use crate::harness::trace::{Then, traced};
use crate::harness::treasure::{
    Treasure, copy, given_to_the_server, lab_of_nobody, lab_of_root, pack_args, put_back,
};
use crate::harness::{Lab, NOBODY, Node, Ran, wait_alive_both};

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

    /// Runs a command. Whatever root's command changes, it changes as the owner.
    #[track_caller]
    fn run(self, accounts: &Accounts, node: &Node, args: &[&str]) -> Ran {
        if self == Self::Owner {
            return Ran::from_command(self.command(accounts, node, args));
        }
        let mut as_root = Vec::new();
        let whole = traced(accounts.root(node, args), &node.home, |change| {
            let paths = change.paths();
            if change.account() != NOBODY && paths.iter().any(|path| path.starts_with(&node.home)) {
                as_root.push(paths);
            }
            Then::Go
        });
        assert!(as_root.is_empty(), "{args:?}: {as_root:?}");
        whole.ran
    }
}

/// Runs a command while another one is traced, which waits for every child of its own thread.
fn beside(command: Command) -> std::thread::JoinHandle<Ran> {
    std::thread::spawn(move || Ran::from_command(command))
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
            let gives = beside(who.command(&accounts, from, &["switchover", "--wait", "120"]));
            who.other().run(&accounts, to, &["switchover", "--wait", "120"]).ok();
            gives.join().expect("no panic").ok();
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
            let gives = beside(who.command(&accounts, b, &["switchover", "--wait", "120"]));
            who.other().run(&accounts, a, &["switchover", "--wait", "120"]).ok();
            gives.join().expect("no panic").ok();
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

/// How often a command is tried while links are planted.
const MOST_TRIES: usize = 12;

/// Whether the account of the server can make names in this folder.
fn is_open_to_the_server(folder: &Path) -> bool {
    folder.symlink_metadata().is_ok_and(|meta| {
        meta.is_dir() && (meta.uid() == NOBODY || (meta.gid() == NOBODY && meta.mode() & 0o020 != 0))
    })
}

/// Runs a command of root's until it ends with one of `codes`. At the first moment when it is about to touch a
/// name in a folder of the server's account, there is a link. Each name has one in one run. `again` brings
/// back what a failed run has left. Returns the names.
#[track_caller]
fn besieged(
    accounts: &Accounts,
    node: &Node,
    treasure: &Treasure,
    args: &[&str],
    codes: &[i32],
    again: &dyn Fn(),
) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    for _ in 0..MOST_TRIES {
        let mut links = Vec::new();
        let whole = traced(accounts.root(node, args), &node.home, |change| {
            for path in change.paths() {
                let is_free = path.symlink_metadata().is_err();
                if is_free && path.parent().is_some_and(is_open_to_the_server) && names.insert(path.clone()) {
                    let kind = if path.extension().is_some() { "file" } else { "folder" };
                    symlink(treasure.folder.join(kind), &path).expect("planted");
                    std::os::unix::fs::lchown(&path, Some(NOBODY), Some(NOBODY)).expect("given");
                    links.push(path);
                }
            }
            Then::Go
        });
        treasure.is_untouched(&whole.ran);
        weeded(&links);
        if whole.ran.code.is_some_and(|code| codes.contains(&code)) {
            return names;
        }
        assert!(!links.is_empty(), "{args:?} fails by itself: {}", whole.ran);
        treasure.is_untouched(&accounts.as_root(node, &["resume"]));
        again();
    }
    panic!("{args:?} never ends well, with links at {names:?}");
}

#[test]
fn links_in_the_folders_of_the_server_reach_nothing_of_root_s() {
    let (lab, accounts) = lab_of_root(ANY);
    let (a, b) = (&lab.primary, &lab.secondary);
    let treasure = Treasure::beside(&lab);
    let key = lab.key().to_string_lossy().into_owned();
    let mut attacked = BTreeSet::new();
    let mut besiege = |node: &Node, args: &[&str], again: &dyn Fn()| {
        let names = besieged(&accounts, node, &treasure, args, &[0], again);
        attacked.extend(names.into_iter().map(|name| (args[0].to_owned(), name)));
    };
    let nothing = || {};
    let start = |node: &Node| drop(accounts.as_root(node, &["start"]).ok());

    besiege(a, &pack_args(&lab), &nothing);
    lab.carry();
    besiege(b, &["install-pack"], &nothing);
    accounts.as_root(b, &["key", &key]).ok();
    besiege(a, &["start"], &nothing);
    besiege(b, &["start"], &nothing);
    wait_alive_both([a, b]);
    besiege(a, &[&pack_args(&lab)[..], &["--online"]].concat(), &nothing);
    besiege(b, &["rehearse"], &nothing);
    let mut past = Db::admin(b);
    past.rows("SET SESSION sql_log_bin = 0");
    past.rows("DELETE FROM passtrix.Ptrx_Settings LIMIT 1");
    besiege(b, &["repair"], &nothing);

    // The roles there and back: each node gives once, and takes once.
    for (gives, takes) in [(a, b), (b, a)] {
        let other = beside(accounts.root(gives, &["switchover", "--wait", "120"]));
        besiege(takes, &["switchover", "--wait", "120"], &nothing);
        other.join().expect("no panic").ok();
        wait_alive_both([a, b]);
    }
    a.kill();
    besiege(b, &["recover", "--promote", "--fenced"], &nothing);
    besiege(a, &["rejoin"], &|| start(b));
    wait_alive_both([a, b]);

    for node in [a, b] {
        besiege(node, &["stop"], &nothing);
    }
    let new = lab.fresh_home("new");
    accounts.can_run_the_server(&new);
    given_to_the_server(&new);
    let names = besieged(
        &accounts,
        a,
        &treasure,
        &["recover", "--into", &new.home.to_string_lossy(), "--key", &key],
        &[0],
        &nothing,
    );
    attacked.extend(names.into_iter().map(|name| ("recover --into".to_owned(), name)));
    for node in [a, b] {
        assert_eq!(of_others(&node.path("conf"), 0), Vec::<String>::new());
    }
    let commands: BTreeSet<&str> = attacked.iter().map(|(command, _)| command.as_str()).collect();
    // The others write nothing there.
    let write = ["install-pack", "pack", "recover --into", "rehearse", "rejoin"];
    assert_eq!(commands.into_iter().collect::<Vec<_>>(), write, "{attacked:#?}");
}
