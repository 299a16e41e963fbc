//! Ctrl-C and a killed tool at every step: nothing half done stays, and the next run goes on.

use nix::sys::signal::Signal;

use crate::harness::disk::Copy;
use crate::harness::{BOOTED, at, kill_in, left_behind, nothing_runs, when, without_logs};
use crate::harness::{Lab, Node, assert_same, cut, wait_until};
use crate::on_servers;

const ANY: &str = "mariadb-10.11";

/// All that `pack` may change besides the data and the logs.
const OWN: [&str; 3] = ["bin", "conf", "replication"];

/// Where it is when it is started as the product does it.
const STARTED: &str = "mysql/tmp/mysql.sock";

fn binlogs(node: &Node) -> Vec<String> {
    node.fingerprint_of(&["mysql/data/pmp-ha-binlog", "mysql/data/pmp-ha-relay"]).into_keys().collect()
}

/// The rows as the product sees them, from a database that is started for this.
fn rows(node: &Node) -> String {
    node.run(&["start"]).ok();
    let rows = node.sql("SELECT (SELECT COUNT(*) FROM Ptrx_Account), (SELECT MAX(PASSWORD) FROM Ptrx_Account), (SELECT COUNT(*) FROM Ptrx_UserAudit)");
    node.run(&["stop"]).ok();
    rows
}

on_servers!(ctrl_c_at_any_moment_of_pack_leaves_the_home_as_it_was: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);
on_servers!(nobody_who_looks_for_the_database_finds_an_offline_boot: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);

fn ctrl_c_at_any_moment_of_pack_leaves_the_home_as_it_was(server: &str) {
    let lab = Lab::up_with(server, "lab", 20);
    let node = &lab.primary;
    let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    let rows_before = rows(node);
    let before = node.fingerprint_of(&OWN);
    for moment in [
        at("1/4"),
        at("2/4"),
        at("3/4"),
        when("3/4", "bin/pmp-ha-boot.sh"),
        when("3/4", BOOTED),
        at("4/4"),
        when("4/4", "replication/HAPack.zip.part"),
    ] {
        let ran = cut(node.command(&args), Signal::SIGINT, |said| moment.has_come(said, node))
            .exits(130)
            .says(&["error: interrupted", "All its changes are put back"]);
        nothing_runs(node);
        assert_same(&before, &node.fingerprint_of(&OWN), &ran.to_string());
        assert_eq!(binlogs(node), Vec::<String>::new(), "{ran}");
        assert_eq!(node.outcome().as_deref(), Some("rolled_back"), "{ran}");
    }
    assert_eq!(rows(node), rows_before);
    lab.pack().ok();
}

fn nobody_who_looks_for_the_database_finds_an_offline_boot(server: &str) {
    let lab = Lab::up_with(server, "lab", 1);
    lab.pack().ok();
    lab.carry();
    let node = &lab.secondary;
    kill_in(node, &["install-pack"], node, &when("5/6", BOOTED));
    // `MariaDB` listens before it writes its number down.
    wait_until("the server of the boot runs on", || node.is_running());
    let where_the_product_looks = node.path("mysql/tmp/mysql.sock");
    assert!(!where_the_product_looks.exists(), "{}", where_the_product_looks.display());
    let tcp = std::net::TcpStream::connect(("127.0.0.1", node.port()));
    assert!(tcp.is_err(), "it listens on {}", node.port());
    let folder = node.path("mysql/tmp/boot");
    let mode = std::os::unix::fs::PermissionsExt::mode(&folder.metadata().expect("there").permissions());
    assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    node.run(&["stop"]).ok();
    nothing_runs(node);
    node.run(&["install-pack"]).ok().says(&["All its changes are put back"]);
    assert!(!folder.exists(), "{}", folder.display());
}

#[test]
fn ctrl_c_at_any_moment_of_a_second_pack_keeps_the_first() {
    let lab = Lab::up_with("mysql-5.6", "lab", 1);
    lab.pack().ok();
    let node = &lab.primary;
    let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    let before = node.fingerprint_of(&OWN);
    for moment in [at("1/4"), when("3/4", BOOTED), at("4/4"), when("4/4", "replication/HAPack.zip.part")] {
        let ran = cut(node.command(&args), Signal::SIGTERM, |said| moment.has_come(said, node)).exits(130);
        nothing_runs(node);
        assert_same(&before, &node.fingerprint_of(&OWN), &ran.to_string());
    }
    // The pack that stayed is still one that a secondary can go on from.
    lab.carry();
    lab.secondary.run(&["install-pack"]).ok();
    lab.secondary.run(&["key", &lab.key().to_string_lossy()]).ok();
    lab.primary.run(&["start"]).ok();
    lab.secondary.run(&["start"]).ok();
    lab.wait_alive();
}

#[test]
fn ctrl_c_at_any_moment_of_install_pack_leaves_the_home_as_it_was() {
    let lab = Lab::up_with(ANY, "lab", 20);
    lab.pack().ok();
    lab.carry();
    let node = &lab.secondary;
    let before = without_logs(node.fingerprint());
    let pristine = Copy::of(node, lab.dir().join("pristine"));
    for moment in [
        at("1/6"),
        when("1/6", "mysql/data.pmp-ha-new/ibdata1"),
        at("2/6"),
        at("3/6"),
        at("4/6"),
        at("5/6"),
        when("5/6", "bin/pmp-ha-boot.sh"),
        when("5/6", BOOTED),
    ] {
        let mut ran =
            cut(node.command(&["install-pack"]), Signal::SIGINT, |said| moment.has_come(said, node));
        if ran.code == Some(0) {
            // On a busy machine the run was over before the signal came.
            pristine.put_back(node);
            ran = cut(node.command(&["install-pack"]), Signal::SIGINT, |said| moment.has_come(said, node));
        }
        let ran = ran.exits(130).says(&["error: interrupted", "All its changes are put back"]);
        nothing_runs(node);
        assert_same(&before, &without_logs(node.fingerprint()), &ran.to_string());
    }
    node.run(&["install-pack"]).ok();
}

#[test]
fn ctrl_c_at_any_moment_of_recover_leaves_both_homes_as_they_were() {
    let lab = Lab::installed(ANY);
    let (node, fresh) = (&lab.secondary, lab.fresh_home("fresh"));
    let (into, key) = (fresh.home.to_string_lossy(), lab.key());
    let key = key.to_string_lossy();
    let args = ["recover", "--into", &into, "--key", &key];
    let before = (without_logs(node.fingerprint()), without_logs(fresh.fingerprint()));
    for moment in [
        at("1/7"),
        when("1/7", "mysql/data.pmp-ha-new/ibdata1"),
        at("2/7"),
        at("3/7"),
        when("3/7", BOOTED),
        at("4/7"),
        at("5/7"),
        at("6/7"),
        when("6/7", STARTED),
    ] {
        let ran = cut(node.command(&args), Signal::SIGINT, |said| moment.has_come(said, &fresh))
            .exits(130)
            .says(&["error: interrupted", "All its changes are put back"]);
        nothing_runs(&fresh);
        assert_same(&before.0, &without_logs(node.fingerprint()), &ran.to_string());
        assert_same(&before.1, &without_logs(fresh.fingerprint()), &ran.to_string());
    }
    node.run(&args).ok();
}

#[test]
fn a_pack_that_was_killed_at_any_moment_is_put_back_by_the_next_run_which_succeeds() {
    let lab = Lab::up_with(ANY, "lab", 20);
    let node = &lab.primary;
    let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    for moment in [
        at("1/4"),
        at("2/4"),
        at("3/4"),
        when("3/4", BOOTED),
        at("4/4"),
        when("4/4", "replication/HAPack.zip.part"),
    ] {
        kill_in(node, &args, node, &moment);
        lab.pack().ok().says(&["An earlier `pmp-ha pack` was interrupted. pmp-ha undoes its changes first"]);
        nothing_runs(node);
        assert!(!node.path("replication/pmp-ha-work").exists());
        assert!(!node.path("bin/pmp-ha-boot.sh").exists());
        assert!(!node.path("replication/HAPack.zip.part").exists());
        assert_eq!(node.outcome().as_deref(), Some("done"));
    }
    lab.install();
    lab.primary.run(&["start"]).ok();
    lab.secondary.run(&["start"]).ok();
    lab.wait_alive();
}

#[test]
fn an_install_pack_that_was_killed_at_any_moment_is_put_right_by_the_next_run() {
    let lab = Lab::up_with(ANY, "lab", 20);
    lab.pack().ok();
    lab.carry();
    let node = &lab.secondary;
    let fresh = without_logs(node.fingerprint());
    for moment in [
        when("1/6", "mysql/data.pmp-ha-new/ibdata1"),
        at("2/6"),
        at("3/6"),
        at("4/6"),
        at("5/6"),
        when("5/6", BOOTED),
    ] {
        kill_in(node, &["install-pack"], node, &moment);
        // A run that is refused has put the home back all the same.
        let missing = lab.dir().join("no-such-pack").to_string_lossy().into_owned();
        let ran = node
            .run(&["install-pack", &missing])
            .refused(&["cannot open the pack"])
            .says(&["An earlier `pmp-ha install-pack` was interrupted. pmp-ha undoes its changes first"]);
        assert_eq!(left_behind(node), [""; 0], "{moment:?}");
        assert_same(&fresh, &without_logs(node.fingerprint()), &ran.to_string());
    }
    kill_in(node, &["install-pack"], node, &at("6/6"));
    node.run(&["install-pack"]).ok().says(&[
        "An earlier `pmp-ha install-pack` was interrupted after its point of no return; it is finished now",
    ]);
    node.run(&["key", &lab.key().to_string_lossy()]).ok();
    lab.primary.run(&["start"]).ok();
    node.run(&["start"]).ok();
    lab.wait_alive();
}

/// Makes the start script a shell for a moment that can be met, before it starts the server.
fn slow_start(node: &Node) {
    let script = node.path("bin/startDB.sh");
    let text = std::fs::read_to_string(&script).expect("read");
    let (first, rest) = text.split_once('\n').expect("lines");
    let wait = "touch \"$2/starting\"\nsleep 0.5\nrm \"$2/starting\"\n";
    std::fs::write(&script, format!("{first}\n{wait}{rest}")).expect("written");
}

#[test]
fn a_recover_that_was_killed_at_any_moment_is_put_right_by_the_next_run() {
    let lab = Lab::installed(ANY);
    let (node, fresh) = (&lab.secondary, lab.fresh_home("fresh"));
    let (into, key) = (fresh.home.to_string_lossy(), lab.key());
    let key = key.to_string_lossy();
    let args = ["recover", "--into", &into, "--key", &key];
    let rows_before = rows(&lab.primary);
    slow_start(&fresh);
    let before = without_logs(fresh.fingerprint());
    for moment in [
        when("1/7", "mysql/data.pmp-ha-new/ibdata1"),
        at("2/7"),
        when("3/7", "mysql/tmp/boot/starting"),
        when("3/7", BOOTED),
        at("4/7"),
        at("5/7"),
        when("6/7", "mysql/tmp/starting"),
        when("6/7", STARTED),
    ] {
        kill_in(node, &args, &fresh, &moment);
        let missing = ["recover", "--into", &into, "--key", "/no/such/key"];
        let ran = node
            .run(&missing)
            .exits(4)
            .says(&["An earlier `pmp-ha recover` was interrupted. pmp-ha undoes its changes first"]);
        assert_eq!(left_behind(&fresh), [""; 0], "{moment:?}");
        assert_same(&before, &without_logs(fresh.fingerprint()), &ran.to_string());
    }
    // Its last step is over in a moment: the kill may come too late for it.
    let killed = |fresh: &Node| {
        let into = fresh.home.to_string_lossy();
        let args = ["recover", "--into", &into, "--key", &key];
        cut(node.command(&args), Signal::SIGKILL, |said| at("7/7").has_come(said, fresh));
        fresh.outcome().is_none()
    };
    let late = (0..9).map(|n| lab.fresh_home(&format!("late-{n}"))).find(killed).expect("killed in time");
    let into = late.home.to_string_lossy();
    node.run(&["recover", "--into", &into, "--key", &key]).ok().says(&[
        "An earlier `pmp-ha recover` was interrupted after its point of no return; it is finished now",
    ]);
    assert_eq!(rows(&late), rows_before);
    let kept = std::fs::read_dir(late.path("mysql")).expect("there").flatten();
    let kept = kept.filter(|entry| entry.file_name().to_string_lossy().contains("before-recovery"));
    assert_eq!(kept.count(), 1, "it is finished, and not done a second time");
}
