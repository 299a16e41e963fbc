//! `rehearse`: a recovery is tried without touching anything, and each defect that would spoil it is
//! found by its code.

#![expect(
    clippy::print_stdout,
    reason = "what was measured is shown with a test that fails, or when asked for"
)]

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::content::variables;
use crate::harness::forge::{Forged, Piece};
use crate::harness::load::Load;
use crate::harness::sql::Db;
use crate::harness::{Lab, Node, Put, Ran, command_lines, cut, wait_until};
use crate::on_servers;

on_servers!(each_planted_defect_is_found_by_its_code: mysql_5_6, mysql_9_7; left: mariadb_10_11, mariadb_11_8);
on_servers!(a_healthy_pair_rehearses_well_and_nothing_of_it_stays: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);

/// How many rows each writer of a load adds before the next thing happens.
const UNDER_LOAD: usize = 40;

fn rehearse(node: &Node, args: &[&str]) -> Ran {
    let ran = node.run(&[&["--json", "rehearse"][..], args].concat());
    nothing_is_left(node, &ran);
    ran
}

fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("no JSON in\n{ran}"))
}

/// Fails unless the rehearsal found nothing wrong; returns its report.
#[track_caller]
fn passes(node: &Node, args: &[&str]) -> Value {
    let ran = rehearse(node, args).ok();
    let report = report(&ran);
    assert_eq!(report["passed"], true, "{ran}");
    assert!(report["expected_recovery_seconds"].as_f64().is_some_and(|s| s > 0.0), "{ran}");
    let tables = report["tables"].as_array().expect("tables");
    assert!(tables.len() > 6, "{ran}");
    assert!(tables.iter().any(|table| table["comparison"] == "equal" && table["rows"] != 0), "{ran}");
    report
}

/// Fails unless the rehearsal found these defects and no other.
#[track_caller]
fn finds(node: &Node, args: &[&str], codes: &[&str]) -> Ran {
    let ran = rehearse(node, args).exits(5);
    let report = report(&ran);
    let checks = report["checks"].as_array().expect("checks");
    let defects: Vec<&Value> =
        checks.iter().flat_map(|check| check["defects"].as_array().expect("defects")).collect();
    let mut found: Vec<&str> =
        defects.iter().map(|defect| defect["code"].as_str().expect("a code")).collect();
    found.dedup();
    assert_eq!(found, codes, "{ran}");
    for defect in defects {
        assert!(!defect["evidence"].as_str().expect("evidence").is_empty(), "{ran}");
        assert!(!defect["hint"].as_str().expect("a hint").is_empty(), "{ran}");
    }
    ran
}

#[track_caller]
fn nothing_is_left(node: &Node, ran: &Ran) {
    let left: Vec<String> = std::fs::read_dir(node.path("replication"))
        .expect("there")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("rehearsal") || name.contains("work"))
        .collect();
    assert_eq!(left, [""; 0], "{ran}");
    assert_eq!(throwaways(node), [""; 0], "{ran}");
}

/// The processes of throw-away servers.
fn throwaways(node: &Node) -> Vec<String> {
    let home = node.home.to_string_lossy().into_owned();
    let lines = command_lines().into_iter().map(|(_, line)| line);
    lines.filter(|line| line.contains("pmp-ha-rehearsal") && line.contains(&home)).collect()
}

fn a_healthy_pair_rehearses_well_and_nothing_of_it_stays(server: &str) {
    let lab = Lab::installed(server);
    let node = &lab.secondary;
    lab.primary.run(&["start"]).ok();
    passes(node, &["--pack"]);
    passes(&lab.primary, &["--pack"]);
    lab.start();
    lab.wait_alive();
    let before = variables(node);
    let load = Load::on(&lab);
    load.goes_on(UNDER_LOAD);

    let plan = node.run(&["--dry-run", "rehearse"]).ok();
    for line in ["rehearse in ", "1. copy", "2. boot a throw-away server", "5. remove the copy"] {
        assert!(plan.stdout.contains(line), "{plan}");
    }
    nothing_is_left(node, &plan);

    let pid = node.pid();
    let running = passes(node, &[]);
    println!("{server}: recovery in {} s", running["expected_recovery_seconds"]);
    println!("{server}: the applier waited for {} s", running["waited_seconds"]);
    load.goes_on(UNDER_LOAD);

    // Cut off while it copies, and while the throw-away server is up.
    let folder = node.path("replication/pmp-ha-rehearsal");
    let copies = |said: &str| said.contains("1/5") && folder.join("mysql/data").exists();
    let is_up = |said: &str| said.contains("2/5") && folder.join("mysql/tmp/boot/mysql.sock").exists();
    let ran = cut(node.command(&["rehearse"]), Signal::SIGINT, copies).exits(130);
    nothing_is_left(node, &ran);
    cut(node.command(&["rehearse"]), Signal::SIGKILL, copies);
    let ran = cut(node.command(&["rehearse"]), Signal::SIGKILL, is_up)
        .says(&["An earlier `pmp-ha rehearse` was interrupted; pmp-ha removes its remainder first."]);
    assert_eq!((ran.code, throwaways(node).is_empty()), (None, false), "{ran}");
    let elsewhere = lab.dir().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("made");
    passes(node, &["--dir", &elsewhere.to_string_lossy()]);
    assert_eq!(std::fs::read_dir(&elsewhere).expect("there").count(), 0);
    assert_eq!(node.pid(), pid, "the database went on");
    assert_eq!(variables(node), before);

    node.run(&["stop"]).ok();
    passes(node, &[]);
    node.run(&["start"]).ok();
    load.goes_on(UNDER_LOAD);
    node.kill();
    passes(node, &[]);
    node.run(&["start"]).ok();
    load.everything_is_there_once(&lab);
}

fn each_planted_defect_is_found_by_its_code(server: &str) {
    let lab = Lab::installed(server);
    let node = &lab.secondary;
    lab.primary.run(&["start"]).ok();
    packs(&lab);
    lab.start();
    lab.wait_alive();
    while_it_runs(&lab);

    lab.primary.sql("REPLACE INTO Ptrx_Settings VALUES ('ALTERED', 'thepagethatisaltered')");
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
    node.run(&["stop"]).ok();
    {
        let redo = if server == "mysql-9.7" { "#innodb_redo" } else { "ib_logfile0" };
        let _gone = Put::gone(node.path("mysql/data").join(redo));
        let other = node.path("conf/pmp_key.key");
        finds(node, &["--key", &other.to_string_lossy()], &["wrong-key", "redo-missing"]);
    }
    {
        let _altered = altered(node, "thepagethatisaltered");
        let ran = finds(node, &[], &["altered-page"]);
        assert!(!ran.to_string().contains("; hex "), "a dump shows the product's data: {ran}");
    }
    if server.starts_with("mysql-5") {
        let key = node.path("conf/pmp-ha/node-key.pem");
        let _other = Put::content(key.clone(), pkcs8(&std::fs::read(&key).expect("there")));
        finds(node, &[], &["tls-key"]);
    }
    node.run(&["start"]).ok();
    lab.wait_alive();
    node.kill();
    {
        let _gone = Put::gone(node.path("mysql/data/pmp-ha-binlog.000001"));
        finds(node, &[], &["binlog-missing"]);
    }
    node.run(&["start"]).ok();
    lab.wait_alive();
    lab.tables_are_equal();

    // A later pack ends nothing. Then the primary has no binlog back to it.
    lab.primary.run(&["pack", "--online", &lab.primary.endpoint, &lab.secondary.endpoint]).ok();
    node.run(&["rehearse", "--pack"]).ok();
    lab.primary.drop_old_binlogs();
    finds(&lab.primary, &["--pack"], &["stale-pack"]);
}

/// A pack of another version, one that is damaged, one with a key that MySQL 5.6 cannot read.
fn packs(lab: &Lab) {
    let node = &lab.secondary;
    {
        let _jar = Put::content(node.path("lib/AdventNetPassTrix.jar"), "build 6303");
        finds(node, &["--pack"], &["wrong-version"]);
    }
    let pack = node.path("HAPack.zip");
    {
        let mut bytes = std::fs::read(&pack).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let _damaged = Put::content(pack.clone(), bytes);
        finds(node, &["--pack"], &["damaged-pack"]);
    }
    if lab.server.starts_with("mysql-5") {
        const KEY: &str = "conf/pmp-ha/node-key.pem";
        let mut forged = Forged::from(&pack);
        let key = pkcs8(&std::fs::read(node.path(KEY)).expect("there"));
        forged.manifest["files"].as_array_mut().expect("files").retain(|entry| entry["path"] != KEY);
        forged.list(KEY, &key);
        let order: Vec<String> = forged.manifest["files"]
            .as_array()
            .expect("files")
            .iter()
            .map(|entry| entry["path"].as_str().expect("a path").to_owned())
            .collect();
        *forged.piece(KEY) = Piece::of(KEY, &key);
        forged.pieces.sort_by_key(|piece| order.iter().position(|path| *path == piece.name));
        let file = lab.dir().join("forged.zip");
        forged.write(&file);
        finds(node, &["--pack", &file.to_string_lossy()], &["tls-key"]);
    }
}

/// An account that somebody has dropped, and a row that stops the applier.
fn while_it_runs(lab: &Lab) {
    let node = &lab.secondary;
    let mut db = Db::admin(node);
    for statement in [
        "SET sql_log_bin = 0",
        "DROP USER pmp_ha_reader@localhost",
        "INSERT INTO passtrix.Ptrx_Settings VALUES ('CLASH', 'here')",
    ] {
        db.rows(statement);
    }
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('CLASH', 'there')");
    wait_until("the applier has stopped", || lab.replica_status(node)["Last_SQL_Errno"] != "0");
    let both = ["not-applied", "missing-accounts"];
    finds(node, &[], &both);
    node.run(&["stop"]).ok();
    node.configure("[product]\nkey_query = \"SELECT {key} = 'another'\"\n");
    finds(node, &[], &["wrong-key", both[0], both[1]]);
    node.configure("[product]\nkey_query = \"SELECT {key} <> 'another'\"\n");
    node.run(&["start"]).ok();
    let mut db = Db::admin(node);
    let word = if lab.server == "mysql-9.7" { "REPLICA" } else { "SLAVE" };
    for statement in [
        "SET sql_log_bin = 0",
        "DELETE FROM passtrix.Ptrx_Settings WHERE NAME = 'CLASH'",
        // Its password does not matter here.
        "CREATE USER pmp_ha_reader@localhost IDENTIFIED BY 'a-Password-4711'",
        &format!("START {word}"),
    ] {
        db.rows(statement);
    }
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
}

/// The file of the data that a text stands in, with one bit of each of them another one.
fn altered(node: &Node, text: &str) -> Put {
    let data = node.path("mysql/data");
    let folder = std::fs::read_dir(data.join("passtrix")).expect("there").flatten();
    // Its own file, where the server keeps a table in one: what else holds the text is left alone.
    let places = folder.map(|entry| entry.path()).chain([data.join("ibdata1")]);
    for place in places {
        let mut bytes = std::fs::read(&place).expect("readable");
        let found: Vec<usize> = bytes
            .windows(text.len())
            .enumerate()
            .filter(|(_, w)| *w == text.as_bytes())
            .map(|(at, _)| at)
            .collect();
        if !found.is_empty() {
            for at in found {
                bytes[at] ^= 1;
            }
            return Put::content(place, bytes);
        }
    }
    panic!("no file with {text}")
}

/// The same private key in the form that MySQL 5.6 cannot read.
fn pkcs8(pem: &[u8]) -> Vec<u8> {
    let key = openssl::pkey::PKey::private_key_from_pem(pem).expect("a key");
    let out = key.private_key_to_pem_pkcs8().expect("written");
    assert!(out.starts_with(b"-----BEGIN PRIVATE KEY-----"));
    out
}
