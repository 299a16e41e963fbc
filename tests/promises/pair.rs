//! What a pair is made of: who may write, what replicates, which accounts and files there are.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::secret::accounts_demand_one_certificate;
use crate::harness::sql::{Db, credentials};
use crate::harness::{Lab, Node};
use crate::on_every_server;

on_every_server!(a_pair_shares_the_vault_and_nothing_else);

fn a_pair_shares_the_vault_and_nothing_else(server: &str) {
    let lab = Lab::pair(server);
    the_nodes_count_apart_and_only_the_primary_writes(&lab);
    only_the_vault_replicates_and_the_rest_stops_nothing(&lab);
    the_accounts_may_do_what_they_need_and_no_more(&lab);
    secrets_are_for_the_owner_only(&lab);
    lab.tables_are_equal();
}

fn the_nodes_count_apart_and_only_the_primary_writes(lab: &Lab) {
    let (mut primary, mut secondary) = (Db::of(&lab.primary), Db::of(&lab.secondary));
    for (db, number) in [(&mut primary, "1"), (&mut secondary, "2")] {
        assert_eq!(db.variable("server_id"), number);
        assert_eq!(db.variable("auto_increment_increment"), "2");
        assert_eq!(db.variable("auto_increment_offset"), number);
        // The product's own insert of an audit row, not kept.
        db.rows("BEGIN");
        db.rows("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('who counts')");
        let id: u64 = db.list("SELECT LAST_INSERT_ID()")[0].parse().expect("an id");
        assert_eq!((id % 2).to_string(), if number == "1" { "1" } else { "0" });
        db.rows("ROLLBACK");
    }
    // The guard is the application's rights: read_only would stop its audit rows, too.
    for statement in ["INSERT INTO Ptrx_Settings VALUES ('READER', 'wrote')", "DELETE FROM Ptrx_UserAudit"] {
        let refused = secondary.try_rows(statement).expect_err("a write on the secondary").to_string();
        assert!(refused.contains("command denied"), "{refused}");
    }
}

fn only_the_vault_replicates_and_the_rest_stops_nothing(lab: &Lab) {
    let mut primary = Db::of(&lab.primary);
    for statement in [
        "CREATE USER 'somebody'@'localhost' IDENTIFIED BY 'Long-enough-1'",
        "GRANT SELECT ON *.* TO 'somebody'@'localhost'",
        "SET PASSWORD FOR 'somebody'@'localhost' = 'Long-enough-2'",
        "REVOKE SELECT ON *.* FROM 'somebody'@'localhost'",
        "CREATE DATABASE other",
        "CREATE TABLE other.t (id INT PRIMARY KEY)",
        "INSERT INTO other.t VALUES (1)",
        "USE other",
        "UPDATE t SET id = 2",
        "ALTER TABLE t ADD COLUMN more INT",
        "FLUSH PRIVILEGES",
        "INSERT INTO passtrix.Ptrx_Settings VALUES ('FROM_ANOTHER_SCHEMA', 'arrives')",
        "CREATE TABLE passtrix.made_from_another_schema (id INT PRIMARY KEY)",
        "USE passtrix",
        "DROP TABLE other.t",
        "CREATE VIEW passtrix.seen AS SELECT NAME FROM passtrix.Ptrx_Settings",
        "INSERT INTO Ptrx_Settings VALUES ('LAST', 'arrives, too')",
    ] {
        // 5.6 wants a hash where the others want the password.
        let old = lab.server.starts_with("mysql-5") || lab.server.starts_with("mariadb");
        primary.rows(&if old {
            statement.replace("= 'Long-enough-2'", "= PASSWORD('Long-enough-2')")
        } else {
            statement.to_owned()
        });
    }
    let settings = lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
    assert!(settings.contains("FROM_ANOTHER_SCHEMA\tarrives"), "{settings}");
    assert!(settings.contains("LAST\tarrives, too"), "{settings}");
    lab.wait_alive();
    let mut secondary = Db::admin(&lab.secondary);
    let tables = secondary.list("SHOW TABLES FROM passtrix");
    for name in ["made_from_another_schema", "seen"] {
        assert!(tables.iter().any(|table| table == name), "no {name} in {tables:?}");
    }
    // Another schema is kept in step as an empty shell: a statement that names it must not stop the applier.
    assert_eq!(secondary.list("SHOW TABLES FROM other"), Vec::<String>::new());
    let accounts = secondary.list("SELECT User FROM mysql.user");
    assert!(!accounts.contains(&"somebody".to_owned()), "{accounts:?}");
    // What exists only here must not be missed there.
    primary.rows("DROP VIEW seen");
    primary.rows("DROP USER 'somebody'@'localhost'");
    primary.rows("DROP DATABASE other");
    primary.rows("INSERT INTO Ptrx_Settings VALUES ('DROPPED', 'all of it')");
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
    lab.wait_alive();
}

fn the_accounts_may_do_what_they_need_and_no_more(lab: &Lab) {
    let mut monitor = set(match lab.server.as_str() {
        "mysql-5.1" | "mysql-5.5" | "mysql-5.6" => {
            &["REPLICATION CLIENT, REPLICATION SLAVE ON *.*", "SELECT ON `pmp\\_ha`.*"]
        }
        "mysql-9.7" => &[
            "REPLICATION CLIENT, REPLICATION SLAVE ON *.*",
            "SELECT ON `performance_schema`.`replication_applier_configuration`",
            "SELECT ON `performance_schema`.`replication_applier_status_by_worker`",
            "SELECT ON `performance_schema`.`replication_connection_status`",
            "SELECT ON `performance_schema`.`tls_channel_status`",
            "SELECT ON `pmp\\_ha`.*",
        ],
        _ => &["BINLOG MONITOR, SLAVE MONITOR ON *.*", "SELECT ON `pmp\\_ha`.*"],
    });
    for procedure in [
        "ask_for_beat",
        "left_prepared",
        "receivers",
        "announce_start",
        "is_starting",
        "announce_watch",
        "is_watched",
        "binary_logs",
    ] {
        monitor.insert(format!("EXECUTE ON PROCEDURE `pmp_ha`.`{procedure}`"));
    }
    let reader = set(&[
        "EXECUTE ON PROCEDURE `pmp_ha`.`definition`",
        "EXECUTE ON PROCEDURE `pmp_ha`.`definitions`",
        "SELECT, SHOW VIEW ON `passtrix`.*",
        "SELECT ON `pmp\\_ha`.*",
    ]);
    for node in [&lab.primary, &lab.secondary] {
        let mut db = Db::admin(node);
        let accounts = db.rows("SELECT User AS user, Host AS host, ssl_type AS demands FROM mysql.user WHERE User LIKE 'pmp%' ORDER BY User, Host");
        let shown: Vec<String> = accounts
            .iter()
            .map(|row| format!("{}@{} {}", row["user"], row["host"], row["demands"]))
            .collect();
        let mut expected = vec![
            "pmp_ha_admin@localhost ",
            "pmp_ha_back@% SPECIFIED",
            "pmp_ha_monitor@% SPECIFIED",
            "pmp_ha_monitor@localhost ",
            "pmp_ha_reader@% SPECIFIED",
            "pmp_ha_reader@localhost ",
            "pmp_ha_repl@% SPECIFIED",
        ];
        if lab.server == "mysql-9.7" {
            // Nobody logs in with it: it binds the applier of the primary.
            expected.insert(1, "pmp_ha_applier@localhost ");
            let locked = "SELECT account_locked FROM mysql.user WHERE User = 'pmp_ha_applier'";
            assert_eq!(db.list(locked), ["Y"]);
        }
        assert_eq!(shown, expected);
        accounts_demand_one_certificate(node);
        let names = "SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'pmp%' AND x509_subject <> '' AND x509_issuer <> ''";
        assert_eq!(db.list(names), ["4"]);
        for user in ["repl", "back"] {
            let granted = grants(&mut db, &format!("'pmp_ha_{user}'@'%'"));
            assert_eq!(granted, set(&["REPLICATION SLAVE ON *.*"]));
        }
        for host in ["%", "localhost"] {
            assert_eq!(grants(&mut db, &format!("'pmp_ha_monitor'@'{host}'")), monitor);
            assert_eq!(grants(&mut db, &format!("'pmp_ha_reader'@'{host}'")), reader);
        }
    }
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// What an account is granted, as `PRIVILEGES ON OBJECT`, privileges sorted, USAGE left out.
fn grants(db: &mut Db, account: &str) -> BTreeSet<String> {
    let shown = db.list(&format!("SHOW GRANTS FOR {account}"));
    let parse = |line: &String| {
        assert!(!line.contains("GRANT OPTION"), "{account}: {line}");
        let (what, _) = line.strip_prefix("GRANT ")?.split_once(" TO ")?;
        let (privileges, object) = what.split_once(" ON ").expect("no roles");
        let mut privileges: Vec<&str> = privileges.split(',').map(str::trim).collect();
        privileges.sort_unstable();
        (privileges != ["USAGE"]).then(|| format!("{} ON {object}", privileges.join(", ")))
    };
    shown.iter().filter_map(parse).collect()
}

fn secrets_are_for_the_owner_only(lab: &Lab) {
    for node in [&lab.primary, &lab.secondary] {
        let dir = node.home.join("conf/pmp-ha");
        let mode = |path: &Path| {
            let meta = std::fs::metadata(path).expect("there");
            format!("{:o}", meta.permissions().mode() & 0o7777)
        };
        assert_eq!(mode(&dir), "700");
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&dir).expect("readable").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert_eq!(mode(&entry.path()), "600", "{name}");
            names.insert(name);
        }
        let mut wanted =
            set(&["ca.pem", "credentials.toml", "mysqld.cnf", "node-key.pem", "node.pem", "pair.toml"]);
        if node.home == lab.primary.home {
            // It never leaves the node on which it was made.
            wanted.insert("ca-key.pem".into());
        }
        assert_eq!(names, wanted);
        no_password_lies_about(node);
    }
    let pack = std::fs::metadata(lab.pack_file()).expect("there");
    assert_eq!(pack.permissions().mode() & 0o7777, 0o600);
}

/// Looks for the passwords in every file outside the data, and in the binlogs.
fn no_password_lies_about(node: &Node) {
    let made = credentials(node);
    let passwords = [made.replication, made.back, made.monitor, made.reader, made.admin]
        .map(|account| account.password.clone());
    let mut looked_at = 0;
    let mut folders = vec![node.home.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let is_log = path.extension().is_some_and(|kind| kind == "err");
            let in_data = folder.starts_with(node.home.join("mysql/data"));
            let skipped = name == "credentials.toml" || (in_data && !name.starts_with("pmp-ha-") && !is_log);
            if !kind.is_file() || skipped {
                continue;
            }
            looked_at += 1;
            let bytes = std::fs::read(&path).expect("readable");
            for password in &passwords {
                assert!(
                    !crate::harness::wire::holds(&bytes, password.as_bytes()),
                    "a password stands in {}",
                    path.display()
                );
            }
        }
    }
    assert!(looked_at > 10, "only {looked_at} files");
}
