//! `support-bundle`: what support asks for, and no secret.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use crate::harness::{Lab, Node, Ran, assert_same};

/// What it must not change.
const FILES: [&str; 4] = ["bin", "conf", "replication", "logs"];

/// The texts of a bundle, by their names.
fn texts(lab: &Lab, bundle: &Path) -> BTreeMap<String, String> {
    let to = lab.dir().join("unzipped");
    let mut unzip = std::process::Command::new("unzip");
    unzip.arg("-oq").arg(bundle).arg("-d").arg(&to);
    Ran::from_command(unzip).ok();
    let mut out = BTreeMap::new();
    let mut open = vec![to.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("there").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
                continue;
            }
            let name = entry.path().strip_prefix(&to).expect("below").to_string_lossy().into_owned();
            out.insert(
                name,
                String::from_utf8_lossy(&std::fs::read(entry.path()).expect("read")).into_owned(),
            );
        }
    }
    std::fs::remove_dir_all(&to).expect("removed");
    out
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::File::options().append(true).open(path).expect("opened");
    file.write_all(text.as_bytes()).expect("written");
}

/// Secrets that this home knows: accounts, the database, the key, a channel of alarms.
fn known(node: &Node, lab: &Lab) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(node.path(path)).expect("there");
    let mut out: Vec<String> = read("conf/pmp-ha/credentials.toml")
        .lines()
        .filter_map(|line| line.strip_prefix("password = \"")?.strip_suffix('"').map(ToOwned::to_owned))
        .collect();
    assert_eq!(out.len(), 5);
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("an entry");
        line.trim_start_matches('=').trim().to_owned()
    };
    out.push(value(&read("conf/database_params.conf"), "password"));
    let key = std::fs::read_to_string(lab.key()).expect("there");
    out.push(value(&key, "ENCRYPTIONKEY").replace("\\=", "="));
    out
}

#[test]
fn a_bundle_has_what_support_asks_for_and_no_secret_that_was_planted() {
    let lab = Lab::pair("mariadb-10.11");
    let node = &lab.secondary;
    std::fs::write(node.path("conf/mail-password"), "mail-s3cret\n").expect("written");
    node.configure(
        "[[alarm.email]]\nserver = \"127.0.0.1\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n\
         user = \"u\"\npassword_file = \"mail-password\"\n",
    );
    let mut secrets = known(node, &lab);
    secrets.push("mail-s3cret".into());
    std::fs::create_dir_all(node.path("mysql/data/tmp")).expect("made");
    std::fs::write(node.path("mysql/data/tmp/pmp.out"), "said by the server\n").expect("written");
    // A log that is cut, in the middle of a line with a secret.
    let line = format!("{} {}\n", "x".repeat(200), secrets[0]);
    std::fs::write(node.path("logs/long.txt"), line.repeat(8000)).expect("written");

    // What is in it is what it reads: a secret of each kind goes into every such file.
    let bundle = node.path("replication/first.zip");
    let before = node.fingerprint_of(&FILES);
    let dry = node.run(&["--dry-run", "support-bundle"]).ok().says(&["would collect"]);
    assert_same(&before, &node.fingerprint_of(&FILES), &dry.to_string());
    let ran = node.run(&["--json", "support-bundle", &bundle.to_string_lossy()]).ok();
    let first = texts(&lab, &bundle);
    std::fs::remove_file(&bundle).expect("removed");
    assert_same(&before, &node.fingerprint_of(&FILES), &ran.to_string());
    let read: Vec<&String> = first.keys().filter(|name| name.starts_with("home/")).collect();
    for wanted in [
        "home/mysql/data/tmp/pmp.out",
        "home/conf/server.xml",
        "home/conf/database_params.conf",
        "home/conf/pmp-ha.toml",
        "home/conf/pmp-ha/mysqld.cnf",
        "home/conf/pmp-ha/pair.toml",
        "home/bin/startDB.sh",
        "home/replication/pmp-ha-journal.jsonl",
        "home/logs/long.txt",
        "home/logs/pmp-ha.log",
    ] {
        assert!(read.iter().any(|name| *name == wanted), "no {wanted} in {read:?}");
    }
    assert!(read.iter().any(|name| name.ends_with(".err")), "{read:?}");
    assert!(first["verify.txt"].contains("Replication Status: Alive"), "{}", first["verify.txt"]);
    for name in ["contents.txt", "versions.txt", "machine.txt", "verify.json", "doctor.json", "history.txt"] {
        assert!(first.contains_key(name), "no {name}");
    }
    let planted: String = secrets
        .iter()
        .map(|secret| format!("# login with {secret} failed\n"))
        .chain([
            "# password=unknown-s3cret\n".into(),
            "# CHANGE MASTER TO MASTER_PASSWORD='unknown-s3cret'\n".into(),
            "# -----BEGIN PRIVATE KEY-----\n# unknown-s3cret\n# -----END PRIVATE KEY-----\n".into(),
            "# https://u:unknown-s3cret@h/unknown-s3cret\n".into(),
        ])
        .collect();
    secrets.push("unknown-s3cret".into());
    for name in &read {
        let path = node.path(name.strip_prefix("home/").expect("of the home"));
        // Some files end without the end of their line.
        append(&path, &format!("\n{planted}"));
    }
    node.run(&["support-bundle", &bundle.to_string_lossy()]).ok();
    let second = texts(&lab, &bundle);
    for name in &read {
        assert!(second[*name].contains("# login with [masked] failed"), "{name}: {}", second[*name]);
    }
    for (name, text) in first.iter().chain(&second) {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is in {name}");
        }
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&bundle.metadata().expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    node.run(&["support-bundle", &bundle.to_string_lossy()]).refused(&["is there already"]);
    let nowhere = lab.dir().join("nowhere/x.zip");
    let ran = node.run(&["support-bundle", &nowhere.to_string_lossy()]).exits(1);
    ran.says(&["the bundle is not written", "No such file", "hint: Name a file in a folder"]);
    // It is for a home of no pair as well, and for one whose configuration is broken.
    let lonely = lab.fresh_home("lonely");
    lonely.configure("no toml");
    let ran = lonely.run(&["support-bundle", &lab.dir().join("lonely.zip").to_string_lossy()]).ok();
    for text in ["verify: this home is in no pair", "doctor.txt", "used the defaults"] {
        assert!(ran.stdout.contains(text), "no {text:?} in {ran}");
    }
}
