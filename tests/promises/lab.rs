//! The lab: what it makes, what it refuses, what it removes.

use nix::sys::signal::Signal;

use crate::harness::{Lab, command, command_lines, cut, is_alive, pmp_ha};

#[test]
fn refuses_a_folder_that_is_there_and_a_server_that_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let there = dir.path().to_string_lossy();
    std::fs::write(dir.path().join("mine"), "x").expect("written");
    let new = dir.path().join("new");
    let named = new.to_string_lossy();
    for what in ["up", "home"] {
        pmp_ha(&["lab", what, &there, "--server", "mariadb-10.11"])
            .refused(&["cannot create the lab", "already exists"]);
        pmp_ha(&["lab", what, &named, "--server", "no-such-server"])
            .refused(&["there is no server no-such-server", "scripts/fetch-servers no-such-server"]);
        assert!(!new.exists());
    }
    pmp_ha(&["lab", "down", &there]).refused(&["cannot remove the lab", "was not created by"]);
    pmp_ha(&["lab", "down", &named]).refused(&["cannot remove the lab"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("mine")).expect("there"), "x");
}

#[test]
fn down_stops_what_runs_and_removes_the_folder() {
    let lab = Lab::pair("mariadb-10.11");
    let pids = [lab.primary.pid(), lab.secondary.pid()];
    pmp_ha(&["--dry-run", "lab", "down", &lab.root.to_string_lossy()])
        .ok()
        .says(&["would stop the databases in"]);
    assert_eq!(pids.map(is_alive), [true, true]);
    pmp_ha(&["lab", "down", &lab.root.to_string_lossy()]).ok().says(&["stopped the database of", "removed "]);
    assert!(!lab.root.exists());
    assert_eq!(pids.map(is_alive), [false, false]);
}

#[test]
fn the_tables_of_5_6_lie_inside_ibdata1_as_in_the_product() {
    let lab = Lab::up("mysql-5.6");
    let files = lab.primary.fingerprint_of(&["mysql/data/"]);
    assert!(files.contains_key("mysql/data/passtrix/ptrx_account.frm"), "{files:?}");
    let apart: Vec<_> = files
        .keys()
        .filter(|path| path.starts_with("mysql/data/passtrix/") && path.ends_with(".ibd"))
        .collect();
    assert!(apart.is_empty(), "{apart:?}");
}

#[test]
fn ctrl_c_while_a_lab_is_made_leaves_no_folder_and_no_server() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().join("lab");
    let named = root.to_string_lossy().into_owned();
    for there in [
        "primary/mysql/data",
        "primary/bin/pmp-ha-boot.sh",
        "primary/mysql/tmp/boot/mysql.sock",
        "secondary/bin/pmp-ha-boot.sh",
    ] {
        let up = command(&["lab", "up", &named, "--server", "mariadb-10.11"]);
        cut(up, Signal::SIGINT, |_| root.join(there).exists()).exits(130);
        assert!(!root.exists(), "{there}");
        let left: Vec<_> = command_lines().into_iter().filter(|(_, line)| line.contains(&named)).collect();
        assert!(left.is_empty(), "{there}: {left:?}");
    }
}
