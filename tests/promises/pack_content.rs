//! What is in a pack, what is never in it, and who can see it while it is made.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::harness::pack::{hex, manifest};
use crate::harness::secret::{passwords_of_the_pair, secrets};
use crate::harness::{Lab, Put, assert_same, command_lines, cut, is_alive};
use crate::{on_every_server, on_servers};

const ANY: &str = "mariadb-10.11";

on_every_server!(a_pack_holds_the_data_and_nothing_that_is_one_server_s_own);
on_servers!(a_file_of_the_system_tablespace_elsewhere_is_named: mysql_5_6; left: mysql_9_7, mariadb_10_11, mariadb_11_8);

fn a_pack_holds_the_data_and_nothing_that_is_one_server_s_own(server: &str) {
    let lab = Lab::up(server);
    // A primary that ran before has an identity, logs and state of its own.
    lab.primary.run(&["start"]).ok();
    lab.primary.run(&["stop"]).ok();
    for name in ["master.info", "host.pid", "server-key.pem", "mysqld-auto.cnf.backup"] {
        std::fs::write(lab.primary.path("mysql/data").join(name), "x").expect("written");
    }
    lab.pack().ok();

    let manifest = manifest(&lab.pack_file());
    for field in ["pack_id", "made_at", "made_by", "application_account", "key_fingerprint"] {
        assert!(manifest[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    assert_eq!(manifest["format"], 4);
    let family = if server.starts_with("mysql") { "MySQL" } else { "MariaDB" };
    assert_eq!(manifest["server"]["family"], family);
    assert_eq!(manifest["pair"]["schema"], "passtrix");
    for (number, node) in [&lab.primary, &lab.secondary].into_iter().enumerate() {
        let there = &manifest["pair"]["nodes"][number];
        let endpoint = format!("{}:{}", there["host"].as_str().expect("a host"), there["db_port"]);
        assert_eq!(endpoint, node.endpoint);
    }
    let coordinates = manifest["coordinates"].as_object().expect("coordinates");
    assert!(coordinates.len() > 1, "{coordinates:?}");
    for (part, file) in [("product", "lib/AdventNetPassTrix.jar"), ("server", "mysql/bin/mysqld")] {
        let bytes = std::fs::read(lab.primary.path(file)).expect("there");
        assert_eq!(manifest["fingerprint"][part], hex(&bytes), "{file}");
    }

    let names: BTreeSet<&str> = manifest["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|entry| entry["path"].as_str().expect("a path"))
        .collect();
    for wanted in [
        "mysql/data/ibdata1",
        "conf/pmp-ha/ca.pem",
        "conf/pmp-ha/node.pem",
        "conf/pmp-ha/node-key.pem",
        "conf/pmp-ha/credentials.toml",
    ] {
        assert!(names.contains(wanted), "no {wanted}");
    }
    assert!(!names.contains("conf/pmp-ha/ca-key.pem"), "the CA's key stays on the primary");
    for name in &names {
        let file = name.rsplit('/').next().expect("a name");
        let own = file.ends_with(".key")
            || [
                "auto.cnf",
                "mysqld-auto.cnf",
                "mysqld-auto.cnf.backup",
                "ib_buffer_pool",
                "master.info",
                "ibtmp1",
            ]
            .contains(&file)
            || file.contains("binlog.")
            || file.contains("-relay")
            || [".pid", ".err", ".sock"].iter().any(|end| file.ends_with(end))
            || (name.starts_with("mysql/data/") && file.ends_with(".pem"));
        assert!(!own, "{name} is in the pack");
        assert!(name.starts_with("mysql/data/") || name.starts_with("conf/pmp-ha/"), "{name}");
    }
}

#[test]
fn only_the_owner_can_read_a_pack_from_its_first_byte_on() {
    let lab = Lab::up_with(ANY, "lab", 20);
    let part = lab.primary.path("replication/HAPack.zip.part");
    let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    // As harmless as a signal can be: the moment is what counts.
    let mut mode = None;
    cut(lab.primary.command(&args), nix::sys::signal::Signal::SIGCONT, |_| {
        mode = std::fs::metadata(&part).ok().map(|meta| meta.permissions().mode() & 0o7777);
        mode.is_some()
    })
    .ok();
    assert_eq!(mode, Some(0o600));
    let done = std::fs::metadata(lab.pack_file()).expect("there");
    assert_eq!(done.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn no_secret_is_shown_in_a_list_of_processes_a_journal_or_on_the_terminal() {
    let lab = Lab::up(ANY);
    let mut said = String::new();
    let mut seen = BTreeSet::new();
    let mut watch = |mut command: Command| {
        let out = lab.dir().join("out");
        let file = std::fs::File::create(&out).expect("made");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the same"))
            .stderr(file)
            .spawn()
            .expect("it runs");
        while is_alive(child.id()) {
            seen.extend(command_lines().into_iter().map(|(_, line)| line));
        }
        let text = std::fs::read_to_string(&out).expect("there");
        assert!(child.wait().expect("a child").success(), "{text}");
        said.push_str(&text);
    };
    let names = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint, "-v"];
    let pack = lab.pack_file().to_string_lossy().into_owned();
    let key = lab.key().to_string_lossy().into_owned();
    let fresh = lab.fresh_home("fresh");
    let into = fresh.home.to_string_lossy();
    watch(lab.primary.command(&names));
    watch(lab.secondary.command(&["install-pack", &pack, "-v"]));
    watch(lab.secondary.command(&["key", &key, "-v"]));
    watch(lab.primary.command(&["start", "-v"]));
    watch(lab.secondary.command(&["start", "-v"]));
    lab.wait_alive();
    watch(lab.secondary.command(&["verify", "-v"]));
    watch(lab.secondary.command(&["verify", "--json"]));
    watch(lab.primary.command(&["stop", "-v"]));
    watch(lab.secondary.command(&["stop", "-v"]));
    watch(lab.secondary.command(&["recover", "--into", &into, "--key", &key, "-v"]));
    assert!(
        seen.iter().any(|line| line.contains("--datadir=") && line.contains("boot.cnf")),
        "the database was never seen: {seen:?}"
    );

    let manifest = manifest(&lab.pack_file()).to_string();
    let homes = [&lab.primary, &lab.secondary, &fresh];
    let journals: String =
        homes.iter().flat_map(|node| node.journal()).map(|record| record.to_string()).collect();
    assert!(!journals.is_empty());
    let all = homes.iter().flat_map(|node| secrets(node));
    for secret in all.chain(passwords_of_the_pair(&lab.primary)) {
        assert!(!manifest.contains(&secret), "in the manifest");
        assert!(!journals.contains(&secret), "in a journal");
        assert!(!said.contains(&secret), "on the terminal:\n{said}");
        let line = seen.iter().find(|line| line.contains(&secret));
        assert!(line.is_none(), "in the list of processes: {line:?}");
    }
}

#[test]
fn a_second_pack_keeps_the_secrets_of_the_pair_and_replaces_the_pack() {
    let lab = Lab::up(ANY);
    lab.pack().ok();
    let node = &lab.primary;
    let read = |name: &str| std::fs::read(node.path("conf/pmp-ha").join(name)).expect("there");
    let kept = ["ca.pem", "ca-key.pem"];
    let before = (kept.map(read), crate::harness::sql::credentials(node));
    let first = manifest(&lab.pack_file());
    let script = node.fingerprint_of(&["bin/"]);
    lab.pack().ok();
    let second = manifest(&lab.pack_file());
    assert_eq!(kept.map(read), before.0);
    assert!(crate::harness::sql::credentials(node) == before.1);
    assert_eq!(first["pair"], second["pair"]);
    assert_ne!(first["pack_id"], second["pack_id"]);
    assert_eq!(node.fingerprint_of(&["bin/"]), script);

    // Another secondary is another pair, with secrets of its own.
    node.run(&["pack", &node.endpoint, "127.0.0.3"]).ok();
    let other = manifest(&lab.pack_file());
    assert_ne!(other["pair"]["id"], first["pair"]["id"]);
    assert!(crate::harness::sql::credentials(node) != before.1);
    assert_eq!(node.fingerprint_of(&["bin/"]), script);
}

fn a_file_of_the_system_tablespace_elsewhere_is_named(server: &str) {
    let lab = Lab::up(server);
    let node = &lab.primary;
    let first = node.path("mysql/data/ibdata1");
    let megabytes = std::fs::metadata(&first).expect("there").len() >> 20;
    let elsewhere = lab.dir().join("ibdata2");
    let options = format!(
        "--no-defaults --innodb-data-home-dir= \"--innodb-data-file-path={}:{megabytes}M;{}:4M:autoextend\"",
        first.display(),
        elsewhere.display()
    );
    let _script = Put::replaced(node.path("bin/startDB.sh"), "--no-defaults", &options);
    node.run(&["start"]).ok();
    node.run(&["stop"]).ok();
    let before = node.fingerprint_of(&["bin", "conf", "replication"]);
    let ran = lab.pack().exits(1).says(&["the pack would not contain all of the data", "/ibdata2"]);
    assert_same(&before, &node.fingerprint_of(&["bin", "conf", "replication"]), &ran.to_string());
}
