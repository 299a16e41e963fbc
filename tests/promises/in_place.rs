//! HAPack.zip unpacked by hand, as the manual says: `install-pack --in-place` checks every file and
//! finishes the job, and nothing of the old data stays among the new.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::pack::keys;
use crate::harness::{Lab, NOBODY, Node, Put, Ran, assert_same, cut, is_root};
use crate::on_servers;

const ANY: &str = "mariadb-10.11";

/// Where nobody doubts who unpacked it.
const IN_PLACE: [&str; 3] = ["install-pack", "--in-place", "--trust-unpacked"];

const MANIFEST: &str = "replication/manifest.json";

/// Unpacks the pack over the secondary's home, as a person would.
fn unzip(lab: &Lab) {
    let mut command = Command::new("unzip");
    command.arg("-oq").arg(lab.pack_file()).arg("-d").arg(&lab.secondary.home);
    Ran::from_command(command).ok();
}

/// A pack that lies unpacked in the secondary's home.
fn unpacked(server: &str) -> Lab {
    let lab = Lab::up(server);
    lab.pack().ok();
    unzip(&lab);
    lab
}

/// Every path of a tree with its mode and its owner.
fn modes(node: &Node, folder: &str) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let files = node.fingerprint_of(&[folder]).into_keys();
    let shown = |path: String| {
        let meta = std::fs::symlink_metadata(node.path(&path)).expect("there");
        format!("{path} {:o} {}:{}", meta.permissions().mode(), meta.uid(), meta.gid())
    };
    files.map(shown).collect()
}

on_servers!(what_was_unpacked_by_hand_becomes_a_secondary_without_anything_of_the_old_data: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);

fn what_was_unpacked_by_hand_becomes_a_secondary_without_anything_of_the_old_data(server: &str) {
    let lab = Lab::up(server);
    lab.pack().ok();
    let node = &lab.secondary;
    for left_over in ["mysql/data/auto.cnf", "mysql/data/passtrix/left_over.ibd", "mysql/data/ibtmp1"] {
        std::fs::write(node.path(left_over), "of the old data").expect("written");
    }
    unzip(&lab);
    // Another umask, and another account.
    let open = |path: &str, mode| {
        std::fs::set_permissions(node.path(path), std::fs::Permissions::from_mode(mode)).expect("set");
    };
    open("mysql/data/ibdata1", 0o444);
    open("conf/pmp-ha/node-key.pem", 0o644);
    open("conf/pmp-ha", 0o755);
    open("mysql/data/mysql", 0o755);
    if is_root() {
        for path in ["mysql/data/ibdata1", "conf/pmp-ha/node.pem", "mysql/data/mysql"] {
            std::os::unix::fs::chown(node.path(path), Some(NOBODY), Some(NOBODY)).expect("changed");
        }
    }

    node.run(&IN_PLACE).ok();
    assert!(!node.path("mysql/data/passtrix/left_over.ibd").exists());
    assert!(!node.path("mysql/data/ibtmp1").exists());
    let uuid = std::fs::read_to_string(node.path("mysql/data/auto.cnf")).unwrap_or_default();
    assert_ne!(uuid, "of the old data");
    for private in ["mysql/data/ibdata1", "conf/pmp-ha/node-key.pem"] {
        let mode = std::fs::metadata(node.path(private)).expect("there").permissions().mode();
        assert_eq!(mode & 0o007, 0, "{private}: {mode:o}");
    }
    let strangers = [modes(node, "mysql/data"), modes(node, "conf/pmp-ha")].concat();
    assert!(!strangers.iter().any(|line| line.ends_with(&format!("{NOBODY}:{NOBODY}"))), "{strangers:#?}");
    assert_eq!(
        std::fs::metadata(node.path("conf/pmp-ha")).expect("there").permissions().mode() & 0o777,
        0o700
    );
    let beside = std::fs::read_dir(node.path("mysql")).expect("there").flatten();
    let beside: Vec<_> = beside.map(|entry| entry.file_name()).filter(|name| name != "data").collect();
    assert!(!beside.iter().any(|name| name.to_string_lossy().starts_with("data")), "{beside:?}");

    node.run(&["key", &lab.key().to_string_lossy()]).ok();
    lab.start();
    lab.wait_alive();
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('WRITTEN', 'afterwards')");
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
    lab.stop();
    // The server has worked with the files since: what they are now is not for a second installation.
    node.run(&IN_PLACE).refused(&[
        "are not a complete pack",
        "this pack was installed here at",
        "there is nothing to do",
    ]);
}

#[test]
fn refuses_what_is_missing_or_different_with_its_name_and_changes_nothing() {
    let lab = unpacked(ANY);
    let node = &lab.secondary;
    {
        let _gone = Put::gone(node.path(MANIFEST));
        node.refuses(&IN_PLACE, 4, &["no pack was unpacked in this home", MANIFEST, "Unzip HAPack.zip"]);
    }
    for (text, why) in [("{}", "cannot be read"), ("", "cannot be read")] {
        let _manifest = Put::content(node.path(MANIFEST), text);
        node.refuses(&IN_PLACE, 4, &["are not a complete pack", MANIFEST, why]);
    }
    {
        let _elsewhere = Put::replaced(node.path(MANIFEST), "mysql/data/ibdata1", "mysql/other/ibdata1");
        node.refuses(&IN_PLACE, 4, &["mysql/other/ibdata1 is outside mysql/data and conf/pmp-ha"]);
    }
    let key = "conf/pmp-ha/node-key.pem";
    let table = "mysql/data/mysql/global_priv.frm";
    {
        let _gone = (Put::gone(node.path(key)), Put::gone(node.path(table)));
        node.refuses(
            &IN_PLACE,
            4,
            &["are not a complete pack", &format!("{key} is missing"), &format!("{table} is missing")],
        );
    }
    {
        let _short = Put::content(node.path(table), "short");
        node.refuses(&IN_PLACE, 4, &[&format!("{table} has 5 bytes instead of ")]);
    }
    {
        let mut bytes = std::fs::read(node.path(table)).expect("there");
        bytes[7] ^= 1;
        let _flipped = Put::content(node.path(table), bytes);
        node.refuses(&IN_PLACE, 4, &[&format!("{table} is not the packed file")]);
    }
    {
        let _folder = Put::gone(node.path(table));
        std::fs::create_dir(node.path(table)).expect("made");
        node.refuses(&IN_PLACE, 4, &[&format!("{table} is not a file")]);
    }
    {
        let _role = Put::content(node.path("conf/serverstate.conf"), "master");
        node.refuses(&IN_PLACE, 4, &["this home is a primary"]);
    }
    {
        let _jar = Put::content(node.path("lib/AdventNetPassTrix.jar"), "build 6303");
        node.refuses(&IN_PLACE, 4, &["another build of the product: its lib/AdventNetPassTrix.jar"]);
    }
    {
        let port = node.port();
        let _params = Put::replaced(node.path("conf/database_params.conf"), &format!(":{port}/"), ":2345/");
        node.refuses(&IN_PLACE, 4, &[&format!("made for a secondary on port {port}")]);
    }
    let zip = lab.pack_file().to_string_lossy().into_owned();
    let before = node.fingerprint();
    node.run(&["--dry-run", "install-pack", "--in-place", &zip]).ok();
    let ran = node.run(&[&["--dry-run"], &IN_PLACE[..]].concat()).ok();
    assert!(
        ran.stdout.contains("files of the pack") && ran.stdout.contains("unpacked files of the pack"),
        "{ran}"
    );
    assert_same(&before, &node.fingerprint(), &ran.to_string());
    node.run(&IN_PLACE).ok();
}

/// Whoever forges a pack can add any file to it, and unpacking it by hand puts that file into the home: a script, a
/// journal, a configuration that demands no signature, even the honest ZIP.
#[test]
fn what_a_forged_pack_brings_beside_its_manifest_is_refused() {
    let lab = Lab::up(ANY);
    let node = &lab.secondary;
    let [sign, check] = keys(&lab, &lab.primary, "signing", "signing");
    let pack = |extra: &[&str]| {
        lab.primary.run(&[&["pack", &lab.primary.endpoint, &node.endpoint], extra].concat()).ok();
    };
    let [forged, other, unsigned] =
        ["forged.zip", "other.zip", "unsigned.zip"].map(|name| lab.dir().join(name));
    pack(&[]);
    std::fs::copy(lab.pack_file(), &unsigned).expect("copied");
    pack(&["--sign-with", &sign]);
    std::fs::copy(lab.pack_file(), &other).expect("copied");
    pack(&["--sign-with", &sign]);
    std::fs::copy(lab.pack_file(), &forged).expect("copied");
    let script = std::fs::read_to_string(node.path("bin/startDB.sh")).expect("there");
    let journal = "replication/pmp-ha-journal.jsonl";
    let evil = format!("#!/bin/sh\ntouch {}\n{script}", lab.dir().join("ran").display());
    for zip in [&forged, &unsigned] {
        add(zip, &[("bin/startDB.sh", &evil), ("conf/pmp-ha.toml", "")]);
    }
    add(&forged, &[(journal, "{\"record\":\"open\"}\n")]);

    let unzip = |zip: &std::path::Path| {
        let mut command = Command::new("unzip");
        command.arg("-oq").arg(zip).arg("-d").arg(&node.home);
        Ran::from_command(command).ok();
    };
    let in_place = |zip: &std::path::Path, more: &[&str]| {
        let zip = zip.to_string_lossy().into_owned();
        node.run(&[&["install-pack", "--in-place", &zip], more].concat())
    };
    let untrusted = "cannot trust the files unpacked in this home";
    // The configuration of this home demands a signature, until the pack brings another one.
    node.configure(&format!("[pack]\nsigned_by = {check:?}\n"));
    node.run(&IN_PLACE).refused(&[untrusted, "pack.signed_by in the configuration"]);
    unzip(&unsigned);
    node.run(&["install-pack", "--in-place"]).refused(&[
        untrusted,
        "did not name the ZIP",
        "--trust-unpacked",
    ]);
    in_place(&unsigned, &[]).refused(&[untrusted, "cannot use the pack", "is not in its manifest"]);

    unzip(&forged);
    let signed = ["--signed-by", &check];
    // Nothing of the journal is read before the ZIP was looked at.
    node.run(&[&["install-pack", "--in-place"], &signed[..]].concat())
        .refused(&[untrusted, "did not name the ZIP"]);
    in_place(&forged, &signed).refused(&[
        untrusted,
        "cannot use the pack",
        "unpacking could write anywhere here",
    ]);
    // The honest ZIP, as the forged one may bring it.
    let beside = node.path("replication/HAPack.zip");
    std::fs::copy(lab.pack_file(), &beside).expect("copied");
    in_place(&beside, &signed).refused(&[untrusted, "is inside this home"]);
    let link = lab.dir().join("link.zip");
    std::os::unix::fs::symlink(&beside, &link).expect("made");
    in_place(&link, &signed).refused(&[untrusted, "is inside this home"]);
    node.run(&["inspect", "--signed-by", &check, &forged.to_string_lossy()])
        .refused(&["cannot use the pack"]);
    // What it left here is removed by whoever sees to the home.
    std::fs::write(node.path("bin/startDB.sh"), script).expect("written");
    std::fs::remove_file(node.path(journal)).expect("removed");
    in_place(&other, &signed).refused(&[untrusted, "they come from another pack"]);
    node.run(&[&IN_PLACE[..], &signed[..]].concat()).exits(2);
    in_place(&lab.pack_file(), &signed).ok();
    assert!(!lab.dir().join("ran").exists(), "nothing of the forged script ran");
}

/// Adds members to a ZIP, as `zip` does.
fn add(zip: &std::path::Path, members: &[(&str, &str)]) {
    let file = std::fs::File::options().read(true).write(true).open(zip).expect("there");
    let mut writer = zip::ZipWriter::new_append(file).expect("a ZIP");
    for (name, text) in members {
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer.start_file(*name, stored).expect("begun");
        writer.write_all(text.as_bytes()).expect("written");
    }
    writer.finish().expect("written");
}

#[test]
fn refuses_what_was_unpacked_while_the_database_runs() {
    let lab = unpacked(ANY);
    // Not on the data that were unpacked: they are for the secondary's settings.
    let other = lab.fresh_home("running");
    other.run(&["start"]).ok();
    let conf = std::fs::read_to_string(other.path("conf/database_params.conf")).expect("there");
    let _taken = Put::content(lab.secondary.path("conf/database_params.conf"), conf);
    lab.secondary.refuses(&IN_PLACE, 4, &["something answers on the database port"]);
}

#[test]
fn killed_or_stopped_at_any_moment_it_can_be_run_again() {
    let lab = unpacked(ANY);
    let node = &lab.secondary;
    let without_logs = |node: &Node| {
        let mut files = node.fingerprint();
        files.retain(|path, _| !path.starts_with("logs"));
        files
    };
    let before = without_logs(node);
    let booted = "mysql/tmp/boot/mysql.sock";
    for (step, there, signal) in [
        ("1/6", "mysql/data.pmp-ha-new/ibdata1", Signal::SIGKILL),
        ("2/6", MANIFEST, Signal::SIGKILL),
        ("3/6", MANIFEST, Signal::SIGINT),
        ("4/6", MANIFEST, Signal::SIGKILL),
        ("5/6", "bin/pmp-ha-boot.sh", Signal::SIGINT),
        ("5/6", booted, Signal::SIGKILL),
    ] {
        let moment = |said: &str| said.contains(step) && node.path(there).exists();
        let ran = cut(node.command(&IN_PLACE), signal, moment);
        if signal == Signal::SIGKILL {
            assert_eq!(node.outcome(), None, "the run had ended: {ran}");
            node.run(&["install-pack", "/no/such/pack"])
                .refused(&["cannot open the pack"])
                .says(&["All its changes are put back"]);
        }
        assert_same(&before, &without_logs(node), &ran.to_string());
    }
    let ran = cut(node.command(&IN_PLACE), Signal::SIGKILL, |said| {
        said.contains("5/6") && node.path(booted).exists()
    });
    assert_eq!(node.outcome(), None, "the run had ended: {ran}");
    node.run(&IN_PLACE).ok().says(&["All its changes are put back"]);
    lab.start();
    lab.wait_alive();
}
