//! Root gives nothing away: on a home of another account it works as that account, and whoever owns the
//! home can make it do nothing that he could not do himself.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::both::{Accounts, done, give, of_others};
use crate::harness::trace::{Then, traced};
use crate::harness::treasure::{Treasure, copy, lab_of_nobody, lab_of_root, pack_args, put_back};
use crate::harness::{Lab, NOBODY, Node, Put, Ran, send_signal, wait_alive_both, wait_until};
use crate::on_servers;

const ANY: &str = "mariadb-10.11";

/// In how many runs the links are planted, each with others.
const RUNS: usize = 6;

/// How often a link is planted where a copy is made.
const TRIES: usize = 20;

#[test]
fn what_a_home_s_owner_plants_reaches_nothing_of_root_s() {
    let (lab, accounts) = lab_of_nobody(ANY);
    let node = &lab.primary;
    let treasure = Treasure::beside(&lab);

    // The whole folder of the tool, and each name below it.
    symlink(&treasure.folder, node.path("conf/pmp-ha")).expect("planted");
    let ran = accounts.as_root(node, &pack_args(&lab));
    treasure.is_untouched(&ran);
    std::fs::remove_file(node.path("conf/pmp-ha")).expect("removed");

    // Whatever it writes, found by watching it.
    let pristine = lab.dir().join("pristine");
    copy(&node.home, &pristine);
    let mut names = BTreeSet::new();
    let mut as_root = Vec::new();
    let whole = traced(accounts.root(node, &pack_args(&lab)), &node.home, |change| {
        let paths = change.paths();
        let inside = paths.iter().filter_map(|path| path.strip_prefix(&node.home).ok());
        names.extend(inside.map(Path::to_path_buf));
        if change.account() != NOBODY && paths.iter().any(|path| path.starts_with(&node.home)) {
            as_root.push(paths);
        }
        Then::Go
    });
    whole.ran.ok();
    assert!(as_root.is_empty(), "{as_root:?}");
    assert_eq!(of_others(&node.home, NOBODY), Vec::<String>::new());
    assert!(names.len() > 40 && names.contains(Path::new("replication/HAPack.zip.part")), "{names:#?}");

    for run in 0..RUNS {
        put_back(&pristine, &node.home);
        for name in names.iter().skip(run).step_by(RUNS) {
            let at = node.home.join(name);
            let kind = if name.extension().is_some() { "file" } else { "folder" };
            // Nobody can plant anything in a folder of root's.
            let inside =
                at.parent().is_some_and(|folder| folder.canonicalize().is_ok_and(|real| real == folder));
            if inside && at.symlink_metadata().is_err() {
                symlink(treasure.folder.join(kind), &at).expect("planted");
            }
        }
        let ran = accounts.as_root(node, &pack_args(&lab));
        treasure.is_untouched(&ran);
        let settled = accounts.as_root(node, &["resume"]);
        treasure.is_untouched(&settled);
    }
}

#[test]
fn a_folder_exchanged_in_the_middle_reaches_nothing_of_root_s() {
    let (lab, accounts) = lab_of_nobody(ANY);
    accounts.as_nobody(&lab.primary, &pack_args(&lab)).ok();
    lab.carry();
    let (node, treasure) = (&lab.secondary, Treasure::beside(&lab));
    accounts.as_root(node, &["install-pack"]).refused(&[
        "Permission denied",
        "root works on this home as its owner, nobody",
        "run `chown --no-dereference nobody` on it",
    ]);
    give(&node.path("HAPack.zip"));
    let staging = node.path("mysql/data.pmp-ha-new");
    let mut exchanged = false;
    let whole = traced(accounts.root(node, &["install-pack"]), &node.home, |_| {
        if !exchanged && staging.join("ibdata1").exists() {
            std::fs::rename(&staging, staging.with_extension("aside")).expect("renamed");
            symlink(&treasure.folder, &staging).expect("planted");
            exchanged = true;
        }
        Then::Go
    });
    assert!(exchanged, "{}", whole.ran);
    treasure.is_untouched(&whole.ran);
}

/// A program that says as whom it runs and what it knows of whoever ran it, in files of its own.
fn spy(lab: &Lab) -> (String, [PathBuf; 2]) {
    let (program, said) = (lab.dir().join("spy"), ["spied", "environment"].map(|name| lab.dir().join(name)));
    let [account, environment] = said.each_ref().map(|file| file.display());
    let text = format!("#!/bin/sh\nenv > {environment}; id -u >> {account}; echo fenced\n");
    std::fs::write(&program, text).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
    for file in &said {
        std::fs::write(file, "").expect("written");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666)).expect("set");
    }
    (program.display().to_string(), said)
}

/// A record of an interrupted run that goes on with these steps.
fn forged(node: &Node, steps: &serde_json::Value, point_of_no_return: usize) -> String {
    let conf = node.path("conf").metadata().expect("there");
    let home = serde_json::json!({ "path": node.home, "device": conf.dev(), "inode": conf.ino() });
    let plan = serde_json::json!({
        "command": "recover --promote", "home": home, "warnings": [], "steps": steps,
        "point_of_no_return": point_of_no_return,
    });
    let open =
        serde_json::json!({ "record": "open", "at": "2026-01-01T00:00:00Z", "by": "root", "plan": plan });
    format!("{open}\n")
}

#[test]
fn a_forged_journal_makes_root_do_nothing_that_its_writer_could_not_do() {
    let (lab, accounts) = lab_of_nobody(ANY);
    accounts.as_nobody(&lab.primary, &pack_args(&lab)).ok();
    let (node, treasure) = (&lab.primary, Treasure::beside(&lab));
    let journal = node.path("replication/pmp-ha-journal.jsonl");
    let (program, [said, environment]) = spy(&lab);
    let forge = |steps: serde_json::Value, point_of_no_return: usize| {
        std::fs::write(&journal, forged(node, &steps, point_of_no_return)).expect("written");
        give(&journal);
    };

    // What no run would have named is not carried out, by whoever goes on with it.
    let outside = treasure.folder.join("file");
    for steps in [
        serde_json::json!([{ "step": "save_rows", "file": outside, "now": true }]),
        serde_json::json!([{ "step": "write_pack", "pack": outside, "files": 1, "bytes": 1 }]),
        serde_json::json!([{ "step": "drop_kept", "name": "../../../of-root" }]),
    ] {
        for point_of_no_return in [0, 1] {
            forge(steps.clone(), point_of_no_return);
            for command in [&["resume"][..], &["rollback"], &pack_args(&lab), &["start"]] {
                let ran = accounts.as_root(node, command).refused(&["the journal of this home was altered"]);
                treasure.is_untouched(&ran);
            }
            accounts
                .as_nobody(node, &["resume"])
                .refused(&["the journal of this home was altered", "step 1 names"]);
        }
    }

    // A program is run only if the configuration names it, too; and then as the home's owner.
    let fence = serde_json::json!([{ "step": "fence", "command": [program] }]);
    forge(fence.clone(), 0);
    accounts.as_root(node, &["resume"]).exits(3).says(&["fence.command"]);
    assert_eq!(std::fs::read_to_string(&said).expect("there"), "");
    node.configure(&format!("[fence]\ncommand = [{program:?}]\n"));
    give(&node.path("conf/pmp-ha.toml"));
    let mut resume = accounts.root(node, &["resume"]);
    resume.env("ROOT_SECRET", "x").env("LC_TIME", "C").env("TERM", "dumb").env("USER", "root");
    Ran::from_command(resume).ok();
    assert_eq!(std::fs::read_to_string(&said).expect("there"), format!("{NOBODY}\n"));
    // Of root's environment it knows what the document lists. pmp-ha names the other node, and the shell adds its own words.
    let environment = std::fs::read_to_string(environment).expect("there");
    for line in environment.lines() {
        let (word, text) = line.split_once('=').expect("a word");
        let is_known = ["PATH", "TERM", "LANG", "TZ", "PMP_HA_OTHER_NODE", "PWD", "SHLVL", "_"]
            .contains(&word)
            || word.starts_with("LC_")
            || (["USER", "LOGNAME"].contains(&word) && text == "nobody")
            || (word == "HOME" && text != "/root");
        assert!(is_known, "{line:?} in {environment}");
    }
    for line in ["LC_TIME=C", "TERM=dumb", "USER=nobody", "LOGNAME=nobody"] {
        assert!(environment.lines().any(|each| each == line), "no {line} in {environment}");
    }
}

#[test]
fn whoever_sets_a_pair_up_the_other_account_can_go_on() {
    let (lab, accounts) = lab_of_nobody(ANY);
    let (primary, secondary) = (&lab.primary, &lab.secondary);
    let key = lab.key().to_string_lossy().into_owned();
    accounts.as_root(primary, &pack_args(&lab)).ok();
    lab.carry();
    give(&secondary.path("HAPack.zip"));
    accounts.as_nobody(secondary, &["install-pack"]).ok();
    accounts.as_root(secondary, &["key", &key]).ok();
    accounts.as_nobody(primary, &["start"]).ok();
    accounts.as_root(secondary, &["start"]).ok();
    wait_alive_both([primary, secondary]);
    for node in [primary, secondary] {
        assert_eq!(account_of(node.pid()), NOBODY);
        let mut command = Command::new("ps");
        command.args(["-o", "tty=", "-p", &node.pid().to_string()]);
        assert_eq!(Ran::from_command(command).ok().stdout.trim(), "?");
        accounts.as_nobody(node, &["verify"]).ok();
        assert_eq!(of_others(&node.home, NOBODY), Vec::<String>::new());
    }

    leaves_no_core(&accounts, secondary);
    for command in [&["rehearse"][..], &["history"], &["may-start"], &["resume"], &["reconfigure"]] {
        accounts.as_root(secondary, command).ok();
    }
    // A recovery works as the owner of the new home, and reads of the other what he may read.
    let new = lab.fresh_home("new");
    accounts.can_run_the_server(&new);
    done(Command::new("chown").arg("root").arg(&lab.root));
    let recover = ["recover", "--into", &new.home.to_string_lossy(), "--key", &key];
    accounts
        .as_root(secondary, &recover)
        .refused(&["belongs to nobody, and the new home to root", "chown -R"]);
    give(&new.home);
    accounts.as_root(secondary, &recover).ok();
    for node in [&new, secondary] {
        assert_eq!(of_others(&node.home, NOBODY), Vec::<String>::new());
    }

    // What an older version left to root stops every command before its first step.
    let left = primary.path("conf/pmp-ha/credentials.toml");
    done(Command::new("chown").arg("root").arg(&left));
    accounts.as_nobody(primary, &["stop"]).refused(&[
        "does not have enough rights to",
        "credentials.toml",
        "chown -R",
    ]);
    let command = [&pack_args(&lab)[..], &["--online"]].concat();
    for ran in [accounts.as_nobody(primary, &command), accounts.as_root(primary, &command)] {
        let ran = ran.refused(&["nobody does not have enough rights to", "credentials.toml"]);
        let hint = ran.stderr.split('`').nth(1).expect("a command");
        assert!(hint.starts_with("chown -R --no-dereference nobody "), "{ran}");
    }
    assert!(!primary.path("replication/pmp-ha-work").exists());
    let ran = accounts.as_nobody(primary, &command);
    done(Command::new("sh").arg("-c").arg(ran.stderr.split('`').nth(1).expect("a command")));
    // A log that root has left is replaced.
    done(Command::new("chown").arg("root").arg(primary.path("logs/pmp-ha-startdb.log")));
    accounts.as_nobody(primary, &command).ok();
    accounts.as_root(primary, &["stop"]).ok();
    accounts.as_nobody(primary, &["start"]).ok();
    accounts.as_root(secondary, &["stop"]).ok();
    for node in [primary, secondary] {
        assert_eq!(of_others(&node.home, NOBODY), Vec::<String>::new());
    }
}

/// The kernel writes no core dump of a process whose files in /proc belong to root, although the process does
/// not: that is how it shows that the memory is not dumpable.
fn leaves_no_core(accounts: &Accounts, node: &Node) {
    let may_dump = |pid: u32| {
        assert_eq!(account_of(pid), NOBODY);
        match std::fs::metadata(format!("/proc/{pid}/fd")).expect("it runs").uid() {
            0 => false,
            NOBODY => true,
            other => panic!("the files of {pid} belong to {other}"),
        }
    };
    assert!(may_dump(node.pid()), "nothing of this account may dump: this shows nothing");
    for mut command in
        [accounts.nobody(node, &["verify", "--watch"]), accounts.root(node, &["verify", "--watch"])]
    {
        let said = node.home.with_file_name("watched");
        let mut watch = command.stdout(std::fs::File::create(&said).expect("made")).spawn().expect("it runs");
        wait_until("it has looked", || std::fs::metadata(&said).is_ok_and(|meta| meta.len() > 0));
        assert!(!may_dump(watch.id()), "a crash of {command:?} writes its memory to the disk");
        send_signal(watch.id(), "TERM");
        assert!(watch.wait().expect("it ends").success());
    }
}

/// The account that a process has now.
fn account_of(pid: u32) -> u32 {
    account_if_it_runs(pid).expect("it runs")
}

fn account_if_it_runs(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("a line");
    let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().expect("a number")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    Some(ids[0])
}

/// A line of the shell as the account of the server.
fn as_the_server(script: &str) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", script]).uid(NOBODY).gid(NOBODY);
    Ran::from_command(command)
}

on_servers!(root_directs_a_server_of_another_account_and_is_not_directed_by_it: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

fn root_directs_a_server_of_another_account_and_is_not_directed_by_it(server: &str) {
    let (lab, accounts) = lab_of_root(server);
    let treasure = Treasure::beside(&lab);
    let (primary, secondary) = (&lab.primary, &lab.secondary);
    let as_server = as_the_server;

    // What looks like an earlier rehearsal's is not removed, be it another account's or in its folder.
    let (there, root_s) = (lab.dir().join("everybody-s"), std::fs::Permissions::from_mode(0o1777));
    let planted = there.join("pmp-ha-rehearsal");
    std::fs::create_dir_all(&planted).expect("made");
    std::fs::set_permissions(&there, root_s).expect("set");
    for name in [".pmp-ha-rehearsal", "kept"] {
        std::fs::write(planted.join(name), "").expect("written");
    }
    let refuse = |why: &str| {
        let ran = accounts.as_root(secondary, &["rehearse", "--dir", &there.to_string_lossy()]);
        ran.refused(&["cannot safely remove", why]);
        assert!(planted.join("kept").exists());
    };
    give(&planted);
    refuse("pmp-ha-rehearsal belongs to nobody");
    give(&there);
    done(Command::new("chown").arg("root").arg(&planted));
    refuse("everybody-s belongs to nobody");

    // A server that its script leaves to root is none that root goes on with.
    let script = Put::replaced(secondary.path("bin/startDB.sh"), "--user=nobody", "--user=root");
    accounts.as_root(secondary, &["start"]).exits(1).says(&[
        "the database runs as root",
        "its data belong to nobody",
        "--user=nobody",
    ]);
    assert!(!secondary.is_running());
    drop(script);

    // What the server's account can plant: in its own two folders.
    symlink(&treasure.folder, primary.path("mysql/tmp/boot")).expect("planted");
    let ran = accounts.as_root(primary, &pack_args(&lab)).exits(1).says(&["mysql/tmp/boot"]);
    treasure.is_untouched(&ran);
    assert!(primary.path("mysql/tmp/boot").symlink_metadata().is_err(), "{ran}");
    let planted = primary.path("mysql/data/passtrix/of_root.ibd");
    std::fs::hard_link(treasure.folder.join("file"), &planted).expect("planted");
    let ran = accounts
        .as_root(primary, &pack_args(&lab))
        .refused(&["the file passtrix/of_root.ibd, which does not belong to nobody"]);
    treasure.is_untouched(&ran);
    std::fs::remove_file(&planted).expect("removed");
    accounts.as_root(primary, &pack_args(&lab)).ok();
    lab.carry();
    if server.starts_with("mariadb") {
        // What root unpacks is root's.
        done(Command::new("unzip").arg("-oq").arg(lab.pack_file()).arg("-d").arg(&secondary.home));
        assert_ne!(of_others(&secondary.path("mysql/data"), NOBODY), Vec::<String>::new());
        accounts.as_root(secondary, &["install-pack", "--in-place", "--trust-unpacked"]).ok();
    } else {
        accounts.as_root(secondary, &["install-pack"]).ok();
    }
    accounts.as_root(secondary, &["key", &lab.key().to_string_lossy()]).ok();
    assert_eq!(of_others(&secondary.path("mysql/data"), NOBODY), Vec::<String>::new());
    for node in [primary, secondary] {
        accounts.as_root(node, &["start"]).ok();
    }
    wait_alive_both([primary, secondary]);
    for node in [primary, secondary] {
        assert_eq!(account_of(node.pid()), NOBODY);
        assert_eq!(of_others(&node.path("conf"), 0), Vec::<String>::new());
        assert_eq!(of_others(&node.path("replication"), 0), Vec::<String>::new());
    }
    no_link_is_followed_where_a_copy_is_made(&lab, &accounts, &treasure);
    assert_eq!(of_others(&primary.path("replication"), 0), Vec::<String>::new());
    if server.starts_with("mariadb") {
        the_backup_tool_reads_nothing_of_root_s(&lab, &accounts, &treasure);
    }
    treasure.is_untouched(&accounts.as_root(primary, &["stop"]).ok());

    // A killed run leaves a copy that is the server's.
    let copy = primary.path("replication/pmp-ha-work/source/mysql/data");
    std::fs::create_dir_all(&copy).expect("made");
    give(&copy);
    accounts.as_root(primary, &["history"]).ok();
    std::fs::remove_dir_all(primary.path("replication/pmp-ha-work")).expect("removed");

    // The option file directs the server while it is root.
    let options = primary.path("conf/pmp-ha/mysqld.cnf");
    let readable = as_server(&format!("cat {}", options.display())).ok();
    assert!(readable.stdout.contains("user = \"nobody\""), "{readable}");
    for path in
        ["conf/pmp-ha/mysqld.cnf", "conf/pmp-ha.toml", "replication/pmp-ha-journal.jsonl", "bin/startDB.sh"]
    {
        let ran = as_server(&format!("echo user = root >> {}", primary.path(path).display()));
        assert_ne!(ran.code, Some(0), "{ran}");
    }
    for secret in ["ca-key.pem", "credentials.toml"] {
        let ran = as_server(&format!("cat {}", primary.path("conf/pmp-ha").join(secret).display()));
        assert_ne!(ran.code, Some(0), "{ran}");
    }
    let as_nobody = Put::replaced(options.clone(), "user = \"nobody\"", "user = \"root\"");
    let gate =
        accounts.as_root(primary, &["may-start"]).refused(&["the option file of the server was altered"]);
    assert!(gate.stderr.contains("user = \\\"root\\\""), "{gate}");
    drop(as_nobody);
    // Of two accounts the server takes the first, which is the one in the file.
    let script = Put::replaced(primary.path("bin/startDB.sh"), "--user=nobody", "--user=root");
    accounts.as_root(primary, &["start"]).ok();
    assert_eq!(account_of(primary.pid()), NOBODY);
    accounts.as_root(primary, &["stop"]).ok();
    drop(script);

    what_directs_root_must_be_root_s(&lab, &accounts);
}

/// What the server's account plants where a copy of its data is made, at any moment, leads nowhere.
fn no_link_is_followed_where_a_copy_is_made(lab: &Lab, accounts: &Accounts, treasure: &Treasure) {
    let online = [&pack_args(lab)[..], &["--online"]].concat();
    for (node, command, place) in [
        (&lab.primary, &online[..], "replication/pmp-ha-work/source/mysql"),
        (&lab.secondary, &["rehearse"], "replication/pmp-ha-rehearsal/mysql"),
    ] {
        let (place, own) = (node.path(place), node.path("mysql/data/folder"));
        as_the_server(&format!("mkdir {0} && echo planted > {0}/file", own.display())).ok();
        let plant = format!("ln -s {} {}/data", treasure.folder.display(), place.display());
        let mut tried = 0;
        let whole = traced(accounts.root(node, command), &node.home, |_| {
            if tried < TRIES && place.exists() {
                as_the_server(&plant);
                tried += 1;
            }
            Then::Go
        });
        treasure.is_untouched(&whole.ran);
        assert_eq!(tried, TRIES, "{}", whole.ran);
        if lab.server == "mysql-9.7" && whole.ran.code != Some(0) {
            // A server that copies itself makes the folder, and takes none that is there.
            whole.ran.exits(1).says(&["database exists", "All its changes are put back"]);
        } else {
            whole.ran.ok();
        }
        std::fs::remove_dir_all(&own).expect("removed");
    }
}

/// The tool works as the account of the server, and so reads no more than that can.
fn the_backup_tool_reads_nothing_of_root_s(lab: &Lab, accounts: &Accounts, treasure: &Treasure) {
    let node = &lab.primary;
    let copy = node.path("replication/pmp-ha-work/source/mysql/data");
    let links = ["passtrix/of_root.MYD", "passtrix/of_root.frm", "passtrix/of_root.ibd"];
    let target = format!("--target-dir={}", copy.display());
    let mut worked_as = BTreeSet::new();
    let (mut planted, mut read) = (false, false);
    let command = [&pack_args(lab)[..], &["--online"]].concat();
    let whole = traced(accounts.root(node, &command), &node.home, |_| {
        let tool = processes_with(&target);
        worked_as.extend(tool.iter().filter_map(|pid| account_if_it_runs(*pid)));
        if !tool.is_empty() && !planted {
            for link in links {
                symlink(treasure.folder.join("file"), node.path("mysql/data").join(link)).expect("planted");
            }
            planted = true;
        }
        read |= links.iter().any(|link| copy.join(link).exists());
        Then::Go
    });
    assert!(!read, "{}", whole.ran);
    assert_eq!(worked_as, BTreeSet::from([NOBODY]), "{}", whole.ran);
    treasure.is_untouched(&whole.ran);
    for link in links {
        std::fs::remove_file(node.path("mysql/data").join(link)).expect("removed");
    }
}

/// The processes that have this argument.
fn processes_with(argument: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("there").flatten() {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if words.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()) {
            found.extend(process.file_name().to_string_lossy().parse::<u32>());
        }
    }
    found
}

/// A home of root's in which somebody else could direct it is refused, with what helps.
fn what_directs_root_must_be_root_s(lab: &Lab, accounts: &Accounts) {
    let primary = &lab.primary;
    for folder in ["private", "plugin"] {
        std::fs::create_dir_all(primary.path("mysql/lib").join(folder)).expect("made");
    }
    for library in ["libssl.so", "private/libx.so", "plugin/auth.so"] {
        std::fs::write(primary.path("mysql/lib").join(library), "").expect("written");
    }
    for (path, mode, why) in [
        ("conf/pmp-ha/mysqld.cnf", 0o666, "is writable for everybody"),
        ("conf", 0o777, "is writable for everybody"),
        ("replication/pmp-ha-journal.jsonl", 0o620, ""),
        ("bin", 0o1777, "is writable for everybody"),
        // A program of the server's takes in what is there, as root.
        ("mysql/lib", 0o777, "is writable for everybody"),
        ("mysql/lib/libssl.so", 0o666, "is writable for everybody"),
        ("mysql/lib/private", 0o777, "is writable for everybody"),
        ("mysql/lib/private/libx.so", 0o666, "is writable for everybody"),
        ("mysql/lib/plugin/auth.so", 0o620, ""),
        ("conf/pmp-ha/ca.pem", 0o666, "is writable for everybody"),
    ] {
        let path = primary.path(path);
        let before = path.metadata().expect("there").permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        if why.is_empty() {
            std::os::unix::fs::chown(&path, None, Some(NOBODY)).expect("given");
        }
        for command in [&["start"][..], &["may-start"], &["verify"], &["resume"]] {
            accounts.as_root(primary, command).refused(&[
                "another account could change what root runs",
                &path.display().to_string(),
                why,
                "chmod go-w",
            ]);
        }
        let ran = accounts.as_root(primary, &["start"]);
        done(Command::new("sh").arg("-c").arg(ran.stderr.split('`').nth(1).expect("a command")));
        std::fs::set_permissions(&path, before).expect("set");
    }
    // So must be what a link of root's names.
    let named = lab.dir().join("of-nobody.toml");
    std::fs::write(&named, "").expect("written");
    give(&named);
    symlink(&named, primary.path("conf/pmp-ha.toml")).expect("linked");
    accounts.as_root(primary, &["start"]).refused(&["of-nobody.toml belongs to nobody", "Move the home"]);
    std::fs::remove_file(primary.path("conf/pmp-ha.toml")).expect("removed");
    // A configuration elsewhere is one, too: itself, by a link, and in a folder in which it can be exchanged.
    let [own, folder] = ["of-root.toml", "of-nobody"].map(|name| lab.dir().join(name));
    std::fs::write(&own, "").expect("written");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("file.toml"), "").expect("written");
    let linked = lab.dir().join("link.toml");
    symlink(&named, &linked).expect("linked");
    give(&folder);
    std::os::unix::fs::chown(folder.join("file.toml"), Some(0), Some(0)).expect("given");
    for (file, why) in [
        (&named, "of-nobody.toml belongs to nobody"),
        (&linked, "of-nobody.toml belongs to nobody"),
        (&folder.join("file.toml"), "of-nobody belongs to nobody"),
    ] {
        let config = ["--config", &file.to_string_lossy(), "start"];
        accounts.as_root(primary, &config).refused(&["root cannot use this configuration safely", why]);
    }
    accounts.as_root(primary, &["--config", &own.to_string_lossy(), "config", "check"]).ok();
    // And so must be a script that one of its programs is given.
    let script = lab.dir().join("of-nobody.sh");
    std::fs::write(&script, "touch \"$0.ran\"\n").expect("written");
    give(&script);
    primary.configure(&format!("[[alarm.command]]\ncommand = [\"sh\", {:?}]\n", script.display()));
    let ran = accounts.as_root(primary, &["alert", "test"]);
    assert!(ran.to_string().contains("of-nobody.sh belongs to nobody"), "{ran}");
    assert!(!lab.dir().join("of-nobody.sh.ran").exists(), "{ran}");
    std::fs::remove_file(primary.path("conf/pmp-ha.toml")).expect("removed");
    // A home of one account with the data of another is neither the one nor the other.
    give(&primary.path("bin"));
    accounts.as_root(primary, &["start"]).refused(&["belongs to nobody"]);
    done(Command::new("chown").args(["-R", "root"]).arg(primary.path("bin")));
    done(Command::new("chown").arg("daemon").arg(&primary.home));
    accounts.as_root(primary, &["start"]).refused(&["belongs to daemon, and its mysql/data to nobody"]);
    done(Command::new("chown").arg("root").arg(&primary.home));
    accounts.as_root(primary, &["start"]).ok();
}

#[test]
fn nothing_can_be_written_by_others_whatever_the_mask() {
    let lab = Lab::up(ANY);
    let accounts = Accounts::of(&lab);
    let node = &lab.primary;
    let mut masked = Command::new("sh");
    masked.args(["-c", "umask 000; exec \"$0\" \"$@\""]);
    let command = accounts.root(node, &pack_args(&lab));
    masked.arg(command.get_program()).args(command.get_args()).env_remove("PMP_HOME");
    let mut open: BTreeSet<PathBuf> = BTreeSet::new();
    let mut last = Vec::new();
    let whole = traced(masked, &node.home, |change| {
        open.extend(last.drain(..).filter(|path: &PathBuf| {
            path.starts_with(&node.home)
                && path.symlink_metadata().is_ok_and(|meta| !meta.is_symlink() && meta.mode() & 0o022 != 0)
        }));
        last = change.paths();
        Then::Go
    });
    whole.ran.ok();
    assert!(open.is_empty(), "{open:#?}");
    let mut find = Command::new("find");
    // The server itself lets its own group write to its files.
    find.arg(&node.home).args([
        "-perm",
        "/022",
        "!",
        "-type",
        "l",
        "!",
        "-type",
        "s",
        "!",
        "-path",
        "*/mysql/data/*",
    ]);
    assert_eq!(Ran::from_command(find).ok().stdout, "");
    wait_until("nothing runs", || !node.is_running());
}
