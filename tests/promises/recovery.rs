//! `recover`: what it refuses, what it saves from a crash, and what it leaves when it fails.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::sql::Db;
use crate::harness::{Lab, Node, Put, Ran, assert_same, cut, kill_in, wait_until, when, without_logs};
use crate::{on_every_server, on_servers};

const ANY: &str = "mariadb-10.11";

// Each way to copy has its server.
on_every_server!(a_new_primary_grows_from_whatever_is_left_of_the_secondary);
on_servers!(a_crashed_primary_s_own_disk_loses_nothing_that_was_acknowledged: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(a_secondary_that_crashed_loses_no_row: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(what_was_received_and_not_applied_is_applied: mysql_5_6, mysql_9_7, mariadb_11_8; left: mariadb_10_11);
on_servers!(a_node_that_was_the_primary_applies_what_it_received: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

fn recover(from: &Node, into: &Node, lab: &Lab) -> Ran {
    from.run(&["recover", "--into", &into.home.to_string_lossy(), "--key", &lab.key().to_string_lossy()])
}

/// The word of the server for its replica side.
fn replica(server: &str) -> &'static str {
    if server == "mysql-9.7" { "REPLICA" } else { "SLAVE" }
}

fn a_secondary_that_crashed_loses_no_row(server: &str) {
    let lab = Lab::pair(server);
    for n in 0..20 {
        lab.primary.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('CRASH{n}', REPEAT('x', 100))"));
    }
    let rows = "SELECT (SELECT COUNT(*) FROM Ptrx_Account), (SELECT MAX(PASSWORD) FROM Ptrx_Account), (SELECT COUNT(*) FROM Ptrx_UserAudit), (SELECT GROUP_CONCAT(NAME, VALUE ORDER BY NAME) FROM Ptrx_Settings)";
    let before = lab.wait_same(rows);
    lab.secondary.kill();
    lab.primary.kill();

    let fresh = lab.fresh_home("fresh");
    let copied = lab.secondary.fingerprint();
    recover(&lab.secondary, &fresh, &lab).ok();
    // The data that were recovered from are still what they were.
    assert_same(&copied, &lab.secondary.fingerprint(), "recover");
    fresh.run(&["start"]).ok();
    assert_eq!(fresh.sql(rows), before);
    // It is nobody's replica any more, and remembers no pair.
    let word = replica(server);
    assert_eq!(fresh.sql(&format!("SHOW {word} STATUS")), "");
    assert_eq!(fresh.sql("SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'pmp\\_ha%'"), "0");
    fresh.run(&["stop"]).ok();
}

/// Of the pair only the primary's disk is left, and it had run ahead of the secondary. Once the whole home is
/// the source, once a copy of its folder mysql.
fn a_crashed_primary_s_own_disk_loses_nothing_that_was_acknowledged(server: &str) {
    let (lab, links) = Lab::pair_through_links(server);
    let (primary, secondary) = (&lab.primary, &lab.secondary);
    secondary.sql("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('of the secondary')");
    lab.wait_same("SELECT NAME FROM Ptrx_UserAudit WHERE NAME = 'of the secondary'");
    // It has received this row, and not written it yet.
    let word = replica(server);
    primary.admin_sql(&format!("STOP {word} SQL_THREAD"));
    secondary.sql("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('on its way')");
    wait_until("the row is in the relay logs of the primary", || {
        let logs = std::fs::read_dir(primary.path("mysql/data")).expect("readable").flatten();
        logs.map(|entry| entry.path())
            .filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pmp-ha-relay."))
            })
            .any(|path| {
                std::fs::read(path).is_ok_and(|bytes| bytes.windows(10).any(|part| part == b"on its way"))
            })
    });
    links.to_primary.cut();
    for n in 0..20 {
        primary.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('AHEAD{n}', REPEAT('x', 100))"));
    }
    primary.kill();
    secondary.kill();

    let rows = "SELECT COUNT(*) FROM Ptrx_Settings WHERE NAME LIKE 'AHEAD%'";
    let audit = "SELECT COUNT(*) FROM Ptrx_UserAudit WHERE NAME IN ('of the secondary', 'on its way')";
    let from = primary.home.to_string_lossy().into_owned();
    let key = lab.key().to_string_lossy().into_owned();
    let bare = copy(&lab, &primary.path("mysql"), "mysql of the primary");
    for (name, from, audit_rows) in [("fresh", &from, "2"), ("bare", &bare, "1")] {
        let fresh = lab.fresh_home(name);
        let before = primary.fingerprint();
        let into = fresh.home.to_string_lossy();
        let ran = crate::harness::pmp_ha(&["recover", "--from", from, "--into", &into, "--key", &key]).ok();
        assert_same(&before, &primary.fingerprint(), "recover");
        assert!(
            ran.stderr.contains(if name == "bare" { "a primary's data" } else { "was promoted since then" }),
            "{ran}"
        );
        fresh.run(&["start"]).ok();
        assert_eq!(fresh.sql(rows), "20", "{ran}");
        assert_eq!(fresh.sql(audit), audit_rows, "{ran}");
        assert_eq!(fresh.sql(&format!("SHOW {word} STATUS")), "");
        assert_eq!(fresh.sql("SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'pmp\\_ha%'"), "0");
        fresh.sql("INSERT INTO Ptrx_Settings VALUES ('NEW', 'writable')");
        fresh.kill();
    }
}

fn what_was_received_and_not_applied_is_applied(server: &str) {
    let lab = Lab::pair(server);
    let word = replica(server);
    lab.secondary.admin_sql(&format!("STOP {word} SQL_THREAD"));
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('RECEIVED', 'and not applied')");
    wait_received(&lab, "and not applied");
    let query = "SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'RECEIVED'";
    assert_eq!(lab.secondary.sql(query), "", "the applier is stopped");
    lab.primary.kill();
    lab.secondary.run(&["stop"]).ok();

    let fresh = lab.fresh_home("fresh");
    recover(&lab.secondary, &fresh, &lab).ok();
    fresh.run(&["start"]).ok();
    assert_eq!(fresh.sql(query), "and not applied");
    fresh.run(&["stop"]).ok();
}

/// A server drops what has its own number, so that the boot of the recovery must have that of its node.
fn a_node_that_was_the_primary_applies_what_it_received(server: &str) {
    let lab = Lab::pair(server);
    crate::harness::change::exchange(&lab.primary, &lab.secondary);
    lab.wait_alive();
    let (primary, secondary) = (&lab.secondary, &lab.primary);
    secondary.admin_sql(&format!("STOP {} SQL_THREAD", replica(server)));
    primary.sql("INSERT INTO Ptrx_Settings VALUES ('RECEIVED', 'and not applied')");
    wait_received_by(secondary, "and not applied");
    primary.kill();
    secondary.kill();

    let fresh = lab.fresh_home("fresh");
    recover(secondary, &fresh, &lab).ok();
    fresh.run(&["start"]).ok();
    assert_eq!(fresh.sql("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'RECEIVED'"), "and not applied");
}

/// A copy of a folder below the lab's, as a person would make one.
fn copy(lab: &Lab, folder: &Path, name: &str) -> String {
    let to = lab.dir().join(name);
    let done = Command::new("cp").arg("-a").args([folder, &to]).status();
    assert!(done.expect("it runs").success());
    to.to_string_lossy().into_owned()
}

const KEY_QUERY: &str = "[product]\nkey_query = \"SELECT COUNT(*) FROM Ptrx_Settings WHERE NAME = 'KEY' AND VALUE = SHA2({key}, 256)\"\n";

fn a_new_primary_grows_from_whatever_is_left_of_the_secondary(server: &str) {
    let lab = Lab::pair(server);
    let secondary = &lab.secondary;
    if server == "mariadb-11.8" {
        // Each way to copy has its server: without its tool this one is copied under a lock.
        std::fs::remove_file(secondary.path("mysql/bin/mariadb-backup")).expect("removed");
    }
    let key = lab.dir().join("carried.key");
    std::fs::copy(lab.key(), &key).expect("copied");
    let text = std::fs::read_to_string(&key).expect("a text");
    let value = text.split_once("ENCRYPTIONKEY=").expect("a key").1.trim().replace("\\=", "=");
    lab.primary.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('KEY', SHA2('{value}', 256))"));
    let rows = "SELECT (SELECT COUNT(*) FROM Ptrx_Account), (SELECT MAX(PASSWORD) FROM Ptrx_Account), (SELECT COUNT(*) FROM Ptrx_UserAudit), (SELECT GROUP_CONCAT(NAME, VALUE ORDER BY NAME) FROM Ptrx_Settings)";
    lab.wait_same(rows);

    from_a_running_one(&lab, &key, rows);
    secondary.sql("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('written after the first recovery')");
    let last = secondary.sql(rows);
    secondary.kill();
    from_its_bare_data(&lab, &key, (rows, &last), &value);
}

/// The primary is lost while the secondary has not yet applied what it has received.
fn from_a_running_one(lab: &Lab, key: &Path, rows: &str) {
    let (secondary, fresh) = (&lab.secondary, lab.fresh_home("started once"));
    fresh.run(&["start"]).ok();
    fresh.run(&["stop"]).ok();
    let (into, key) = (fresh.home.to_string_lossy(), key.to_string_lossy());
    let args = ["recover", "--into", &into, "--key", &key];
    let before = without_logs(fresh.fingerprint());
    let (pid, grants) = (secondary.pid(), secondary.sql("SHOW GRANTS"));

    // What was begun on the running secondary is taken back, and nothing is left in the new home.
    kill_in(secondary, &args, &fresh, &when("1/7", "mysql/data.pmp-ha-new"));
    fresh.run(&["resume"]).ok();
    assert_same(&before, &without_logs(fresh.fingerprint()), "a copy that was cut off");
    wait_until("replication goes on", || lab.secondary.verify() == ("Alive".into(), "Alive".into()));

    let mut holder = Db::admin(secondary);
    holder.rows("LOCK TABLES Ptrx_Settings READ");
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('RECEIVED', 'and not applied')");
    wait_received(lab, "and not applied");
    lab.primary.kill();
    let mut looks = 0;
    let ran = cut(secondary.command(&args), Signal::SIGCONT, |said| {
        if said.contains("1/7") && looks < 50 {
            let tool =
                "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'pmp_ha_admin' AND DB IS NULL";
            looks += usize::from(!holder.rows(tool).is_empty());
            assert!(!fresh.path("mysql/data.pmp-ha-new").exists(), "it is copied before all is applied");
        }
        if looks == 50 {
            holder.rows("UNLOCK TABLES");
        }
        looks == 50
    })
    .ok();
    assert!(ran.stdout.contains("the secondary kept running"), "{ran}");

    assert_eq!((secondary.pid(), secondary.sql("SHOW GRANTS")), (pid, grants), "{ran}");
    secondary.sql("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('its users go on')");
    let status = lab.replica_status(secondary);
    let runs =
        |words: [&str; 2]| words.iter().find_map(|word| status.get(*word).cloned()).unwrap_or_default();
    assert_ne!(runs(["Slave_IO_Running", "Replica_IO_Running"]), "No", "{status:?}");
    assert_eq!(runs(["Slave_SQL_Running", "Replica_SQL_Running"]), "Yes", "{status:?}");
    fresh.run(&["start"]).ok();
    assert_eq!(fresh.sql("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'RECEIVED'"), "and not applied");
    let counted = |node: &Node| {
        node.sql(&rows.replace(
            "FROM Ptrx_UserAudit",
            "FROM Ptrx_UserAudit WHERE NAME <> 'its users go on' OR NAME IS NULL",
        ))
    };
    assert_eq!(counted(&fresh), counted(secondary));
    nothing_is_left_of_the_pair(lab, &fresh);
    fresh.run(&["stop"]).ok();
}

/// A home that was never started gets the data of a secondary that crashed, of which nothing but the
/// folder mysql was saved.
fn from_its_bare_data(lab: &Lab, key: &Path, (rows, last): (&str, &str), value: &str) {
    let fresh = lab.fresh_home("never started");
    for entry in std::fs::read_dir(fresh.path("mysql/data")).expect("there").flatten() {
        if entry.path().is_dir() {
            std::fs::remove_dir_all(entry.path()).expect("removed");
        } else {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    let data = copy(lab, &lab.secondary.path("mysql"), "mysql of the secondary");
    let into = fresh.home.to_string_lossy();
    let recover = |key: &Path| {
        crate::harness::pmp_ha(&[
            "recover",
            "--from",
            &data,
            "--into",
            &into,
            "--key",
            &key.to_string_lossy(),
        ])
    };
    let dry = ["--dry-run", "recover", "--from", &data, "--into", &into, "--key", &key.to_string_lossy()];
    let ran = crate::harness::pmp_ha(&dry).ok();
    assert!(ran.stdout.contains("same build"), "{ran}");
    ran.says(&["could not check that it is the key of these data", "product.key_query"]);

    fresh.configure(KEY_QUERY);
    let before = without_logs(fresh.fingerprint());
    let ran = recover(&fresh.path("conf/pmp_key.key")).refused(&[
        "cannot use this encryption key",
        "product.key_query shows that the data are encrypted with another key",
        "All its changes are put back",
    ]);
    assert_same(&before, &without_logs(fresh.fingerprint()), &ran.to_string());
    let ran = recover(key).ok();
    assert!(!ran.to_string().contains(value), "the key is shown");
    let journal = std::fs::read_to_string(fresh.path("replication/pmp-ha-journal.jsonl")).expect("there");
    assert!(!journal.contains(value), "the key is in the journal");
    fresh.run(&["start"]).ok();
    assert_eq!(fresh.sql(rows), last, "{ran}");
    nothing_is_left_of_the_pair(lab, &fresh);
}

fn nothing_is_left_of_the_pair(lab: &Lab, fresh: &Node) {
    assert!(lab.replica_status(fresh).is_empty());
    assert_eq!(fresh.sql("SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'pmp\\_ha%'"), "0");
    assert_eq!(fresh.sql("SHOW DATABASES LIKE 'pmp\\_ha%'"), "");
    assert_eq!(fresh.sql("SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'"), "0");
    for left in ["mysql/data.pmp-ha-new", "mysql/data/#clone", "replication/pmp-ha-work"] {
        assert!(!fresh.path(left).exists(), "{left}");
    }
    fresh.sql("UPDATE Ptrx_Settings SET VALUE = 'a primary' WHERE NAME = 'TFA_TYPE'");
}

/// Waits until a text is in a relay log of the secondary.
fn wait_received(lab: &Lab, text: &str) {
    wait_received_by(&lab.secondary, text);
}

fn wait_received_by(secondary: &Node, text: &str) {
    wait_until("the row is in a relay log of the secondary", || {
        let logs = std::fs::read_dir(secondary.path("mysql/data")).expect("there");
        logs.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("pmp-ha-relay.0")).any(
            |entry| {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                bytes.windows(text.len()).any(|window| window == text.as_bytes())
            },
        )
    });
}

#[test]
fn a_note_of_the_applier_that_is_older_than_the_data_does_not_apply_anything_twice() {
    for (server, received) in [("mariadb-10.11", true), ("mariadb-11.8", true), ("mariadb-10.11", false)] {
        let lab = Lab::pair(server);
        let insert = |name: &str, value: &str| {
            lab.primary.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('{name}', '{value}')"));
        };
        let rows = "SELECT GROUP_CONCAT(NAME, VALUE ORDER BY NAME) FROM Ptrx_Settings";
        insert("A", "first");
        lab.wait_same(rows);
        let note = lab.secondary.path("mysql/data/relay-log.info");
        let old = std::fs::read(&note).expect("there");
        insert("B", "behind the note");
        lab.wait_same(rows);
        if received {
            lab.secondary.admin_sql("STOP SLAVE SQL_THREAD");
            insert("C", "only received");
            wait_received(&lab, "only received");
        }
        let wanted = lab.primary.sql(rows);
        lab.secondary.kill();
        lab.primary.kill();
        // Stopping the applier wrote the note; a power failure may take that away, too.
        assert_eq!(std::fs::read(&note).expect("there") != old, received);
        std::fs::write(&note, old).expect("written");

        let fresh = lab.fresh_home("fresh");
        recover(&lab.secondary, &fresh, &lab).ok();
        fresh.run(&["start"]).ok();
        assert_eq!(fresh.sql(rows), wanted);
    }
}

#[test]
fn recovers_from_a_copy_of_the_home_and_keeps_the_old_data_of_the_new_one() {
    let lab = Lab::installed(ANY);
    let fresh = lab.fresh_home("fresh");
    let copy = Node { home: lab.dir().join("a copy"), endpoint: lab.secondary.endpoint.clone() };
    let done = Command::new("cp").arg("-a").args([&lab.secondary.home, &copy.home]).status();
    assert!(done.expect("it runs").success());
    std::fs::remove_dir_all(&lab.secondary.home).expect("removed");
    let old = fresh.fingerprint_of(&["mysql/data/"]);

    let ran = recover(&copy, &fresh, &lab).ok();
    let kept = ran
        .stdout
        .lines()
        .find_map(|line| line.trim().strip_prefix("its old data are kept in "))
        .unwrap_or_else(|| panic!("no place in\n{ran}"));
    let name = kept.rsplit('/').next().expect("a name");
    assert!(kept.starts_with(&*fresh.home.to_string_lossy()), "{kept}");
    let kept = fresh
        .fingerprint_of(&[&format!("mysql/{name}/")])
        .into_iter()
        .map(|(path, file)| (path.replacen(name, "data", 1), file))
        .collect();
    assert_same(&old, &kept, &ran.to_string());
    fresh.run(&["start"]).ok();
    assert_ne!(fresh.sql("SELECT COUNT(*) FROM Ptrx_Account"), "0");
    fresh.run(&["stop"]).ok();

    // The new primary can begin a new pair.
    let second = lab.fresh_home("second");
    std::fs::write(second.path("conf/serverstate.conf"), "slave").expect("written");
    let peer = second.endpoint.replace("127.0.0.1", "127.0.0.2");
    fresh.run(&["pack", &fresh.endpoint, &peer]).ok();
    let pack = fresh.path("replication/HAPack.zip");
    second.run(&["install-pack", &pack.to_string_lossy()]).ok();
    second.run(&["key", &lab.key().to_string_lossy()]).ok();
    fresh.run(&["start"]).ok();
    second.run(&["start"]).ok();
    wait_until("the new pair is Alive", || second.verify() == ("Alive".into(), "Alive".into()));
}

#[test]
fn refuses_to_recover_from_or_into_what_is_not_right() {
    let lab = Lab::installed(ANY);
    let (secondary, fresh) = (&lab.secondary, lab.fresh_home("fresh"));
    let (into, key) = (fresh.home.to_string_lossy(), lab.key());
    let key = key.to_string_lossy();
    let args = ["recover", "--into", &into, "--key", &key];
    let refused = |from: &Node, args: &[&str], texts: &[&str]| {
        let before = fresh.fingerprint();
        let ran = from.refuses(args, 4, texts);
        assert_same(&before, &fresh.fingerprint(), &ran.to_string());
    };

    refused(&lab.primary, &args, &["cannot recover", "is the primary of its pair, not the secondary"]);
    refused(&fresh, &args, &["cannot recover", "the new home is the home with the data"]);
    let own = secondary.home.to_string_lossy();
    refused(
        secondary,
        &["recover", "--into", &own, "--key", &key],
        &["the new home is the home with the data", "already belongs to a pair"],
    );
    let primary = lab.primary.home.to_string_lossy();
    let before = lab.primary.fingerprint();
    refused(
        secondary,
        &["recover", "--into", &primary, "--key", &key],
        &["already belongs to a pair: it has conf/pmp-ha/pair.toml"],
    );
    assert_same(&before, &lab.primary.fingerprint(), "recover into a primary");
    refused(
        secondary,
        &["recover", "--into", "/no/such/home", "--key", &key],
        &["/no/such/home is not a PMP home"],
    );

    // The key: none and no terminal, none there, another installation's.
    let before = fresh.fingerprint();
    secondary.refuses(
        &["recover", "--into", &into],
        2,
        &["no encryption key was named", "there is no terminal to ask for it"],
    );
    assert_same(&before, &fresh.fingerprint(), "recover without a key");
    refused(
        secondary,
        &["recover", "--into", &into, "--key", "/no/such/key"],
        &["cannot use this encryption key", "/no/such/key"],
    );
    let other = fresh.path("conf/pmp_key.key");
    refused(
        secondary,
        &["recover", "--into", &into, "--key", &other.to_string_lossy()],
        &["cannot use this encryption key", "the data of this pair are encrypted with another key"],
    );

    // What is not whole, or not of the same kind.
    data_without_a_home(&lab, &fresh);
    {
        let _gone = Put::gone(secondary.path("mysql/data/ib_logfile0"));
        refused(secondary, &args, &["the data are incomplete: ib_logfile0 is missing"]);
    }
    {
        let _gone = Put::gone(secondary.path("mysql/data/mysql"));
        refused(secondary, &args, &["the data have an unknown version"]);
    }
    {
        let _jar = Put::content(secondary.path("lib/AdventNetPassTrix.jar"), "build 6303");
        refused(secondary, &args, &["the two homes have different builds of the product"]);
    }
    {
        let link = secondary.path("mysql/data/passtrix/link");
        std::os::unix::fs::symlink("/tmp", &link).expect("made");
        refused(secondary, &args, &["the data directory contains the symbolic link passtrix/link"]);
        std::fs::remove_file(&link).expect("removed");
    }
    {
        let _params =
            Put::replaced(fresh.path("conf/database_params.conf"), "encrypted=false", "encrypted=true");
        refused(secondary, &args, &["conf/database_params.conf is encrypted", "--db-password-file"]);
    }

    // What runs is never overwritten, and copied only where everything that was received is applied.
    secondary.run(&["start"]).ok();
    let pid = secondary.pid().to_string();
    secondary.admin_sql("STOP SLAVE SQL_THREAD");
    secondary.run(&args).refused(&["the running secondary does not apply what it has received"]);
    {
        let _gone = Put::gone(secondary.path("conf/pmp-ha/pair.toml"));
        secondary.run(&args).refused(&["the source of the data is in use", &pid]);
    }
    secondary.run(&["stop"]).ok();
    fresh.run(&["start"]).ok();
    let pid = fresh.pid().to_string();
    secondary.run(&args).refused(&["the database runs: process", &pid]);
    fresh.run(&["stop"]).ok();

    secondary.run(&args).ok();
}

fn data_without_a_home(lab: &Lab, fresh: &Node) {
    let (into, key) = (fresh.home.to_string_lossy(), lab.key());
    let key = key.to_string_lossy();
    let recover = |from: &str| {
        let before = without_logs(fresh.fingerprint());
        let ran = crate::harness::pmp_ha(&["recover", "--from", from, "--into", &into, "--key", &key]);
        assert_same(&before, &without_logs(fresh.fingerprint()), &ran.to_string());
        ran
    };
    let foreign = copy(lab, &lab.fresh_home("foreign").home.join("mysql"), "foreign data");
    recover(&foreign).refused(&["is not a node of a pair: its data have no schema pmp_ha"]);
    recover("/tmp").refused(&["there are no data for a recovery", "/tmp is not a home"]);
}

#[test]
fn refuses_to_recover_data_of_another_kind_of_server() {
    let lab = Lab::installed(ANY);
    let other = Lab::up("mysql-5.6");
    let before = other.primary.fingerprint();
    lab.secondary.refuses(
        &["recover", "--into", &other.primary.home.to_string_lossy(), "--key", &lab.key().to_string_lossy()],
        4,
        &["the data have the layout MariaDb, but the new installation's server writes MySql5"],
    );
    assert_same(&before, &other.primary.fingerprint(), "recover");
}

#[test]
fn a_recover_that_fails_half_way_puts_the_new_home_back_as_it_was() {
    let lab = Lab::installed(ANY);
    let fresh = lab.fresh_home("fresh");
    let unchanged = |ran: &Ran, before: &std::collections::BTreeMap<String, String>| {
        let mut now = fresh.fingerprint();
        now.retain(|path, _| !path.starts_with("logs"));
        assert_same(before, &now, &ran.to_string());
        assert_eq!(fresh.processes(), Vec::<String>::new());
    };
    let look = || {
        let mut files = fresh.fingerprint();
        files.retain(|path, _| !path.starts_with("logs"));
        files
    };
    {
        // The server refuses to start at all.
        let _script = Put::replaced(fresh.path("bin/startDB.sh"), "--port=", "--no-such-option=1 --port=");
        let before = look();
        let ran = recover(&lab.secondary, &fresh, &lab).exits(1).says(&[
            "error: the database did not start",
            "no-such-option",
            "hint: ",
            "All its changes are put back",
        ]);
        unchanged(&ran, &before);
    }
    {
        // The server starts for the work, and not as the product starts it: the port is taken.
        let port = fresh.endpoint.rsplit(':').next().expect("a port").to_owned();
        let listener = std::cell::RefCell::new(None);
        let before = look();
        let into = fresh.home.to_string_lossy();
        let key = lab.key();
        let key = key.to_string_lossy();
        let command = lab.secondary.command(&["recover", "--into", &into, "--key", &key]);
        // As harmless as a signal can be: the moment is what counts.
        let ran = crate::harness::cut(command, nix::sys::signal::Signal::SIGCONT, |said| {
            if said.contains("3/7") {
                let bound = std::net::TcpListener::bind(format!("0.0.0.0:{port}")).expect("free");
                listener.replace(Some(bound));
            }
            listener.borrow().is_some()
        })
        .exits(1)
        .says(&[
            "6/7",
            "error: the database did not start",
            "its log says: ",
            "All its changes are put back",
        ]);
        drop(listener);
        unchanged(&ran, &before);
    }
    recover(&lab.secondary, &fresh, &lab).ok();
}
