//! Audit rows flow both ways, whatever happens in between, and nothing else ever flows back.

use std::collections::BTreeMap;
use std::time::Instant;

use mysql_async::Error;

use crate::harness::sql::{Db, account};
use crate::harness::wire::{Link, Links, holds};
use crate::harness::{Lab, Looks, Node, PATIENCE, wait_for, wait_for_only, wait_until, wait_until_or};
use crate::{on_every_server, on_servers};

on_every_server!(audit_rows_flow_both_ways_and_nothing_else_flows_back);
on_servers!(a_return_channel_that_somebody_reset_goes_on_with_the_next_pack: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);
on_servers!(a_pack_ends_nothing_before_it_is_installed_however_late_that_is: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);

/// Stands in audit rows, and in no certificate and no greeting.
const MARKER: &str = "AuditedInClearText";

fn audit_rows_flow_both_ways_and_nothing_else_flows_back(server: &str) {
    let (lab, links) = Lab::pair_through_links(server);
    let mut audit = Audit::of(&lab);

    audit.on_both("while both are there");
    audit.all_arrived();
    every_audit_table_flows_both_ways(&lab);

    lab.secondary.run(&["stop"]).ok();
    audit.row(&lab.primary, "while the secondary is down");
    lab.secondary.run(&["start"]).ok();
    lab.primary.run(&["stop"]).ok();
    audit.row(&lab.secondary, "while the primary is down");
    lab.primary.run(&["start"]).ok();
    audit.on_both("after a restart of each");
    audit.all_arrived();

    links.cut();
    audit.on_both("while the link is cut");
    for node in [&lab.secondary, &lab.primary] {
        node.run(&["stop"]).ok();
        node.run(&["start"]).ok();
        audit.on_both("while the link is cut, after a restart of one more node");
    }
    links.open();
    audit.all_arrived();

    let before = everything_but_audit_rows(&lab.primary);
    what_is_against_the_rules(&lab);
    if server == "mysql-9.7" {
        // It may not even try to create an account, and stops there.
        wait_for(&lab.primary, &["back-refused"]);
        lab.primary.run(&["repair", "--return-channel"]).ok();
    }
    audit.row(&lab.secondary, "behind all that is against the rules");
    audit.all_arrived();
    assert_eq!(everything_but_audit_rows(&lab.primary), before);
    lab.stop();
    lab.start();
    audit.on_both("after a restart of both");
    audit.all_arrived();
    assert_eq!(everything_but_audit_rows(&lab.primary), before);
    connected_and_told(&lab);

    no_event_comes_from_the_other_node(&lab);
    nothing_on_the_way_back_is_in_clear(&lab, &links);
    a_stranger_is_not_taken_for_the_secondary(&lab, &links);
    audit.on_both("after all that");
    audit.all_arrived();
}

/// The audit rows that the servers have acknowledged.
struct Audit<'a> {
    lab: &'a Lab,
    rows: BTreeMap<String, String>,
}

const ROWS: &str = "SELECT CONCAT(AUDITID, ' ', NAME) FROM Ptrx_UserAudit WHERE REASON = 'promised'";

impl<'a> Audit<'a> {
    fn of(lab: &'a Lab) -> Self {
        Self { lab, rows: BTreeMap::new() }
    }

    /// Writes an audit row as the application does.
    #[track_caller]
    fn row(&mut self, node: &Node, when: &str) {
        let mut db = Db::of(node);
        let text = format!("{MARKER} on {} {when}", node.endpoint);
        db.rows(&format!("INSERT INTO Ptrx_UserAudit (NAME, REASON) VALUES ('{text}', 'promised')"));
        let id = db.list("SELECT LAST_INSERT_ID()").concat();
        assert!(self.rows.insert(id.clone(), text).is_none(), "{id} was given twice");
    }

    #[track_caller]
    fn on_both(&mut self, when: &str) {
        let lab = self.lab;
        for node in [&lab.primary, &lab.secondary] {
            self.row(node, when);
        }
    }

    /// Waits until both nodes hold just these rows, each once, under the id that it was given.
    #[track_caller]
    fn all_arrived(&self) {
        let mut wanted: Vec<String> = self.rows.iter().map(|(id, text)| format!("{id} {text}")).collect();
        wanted.sort_unstable();
        for node in [&self.lab.primary, &self.lab.secondary] {
            let begun = Instant::now();
            wait_until_or(&format!("every audit row is on {}, and once", node.endpoint), || {
                let mut found = Db::of(node).list(ROWS);
                found.sort_unstable();
                let differ = || {
                    let [found, wanted] = [&found, &wanted].map(|rows| rows.join("\n"));
                    let is_late = begun.elapsed() > PATIENCE / 2;
                    let why = if is_late { node.run(&["verify"]).to_string() } else { String::new() };
                    format!("found\n{found}\nwanted\n{wanted}\n{why}")
                };
                if found == wanted { Ok(()) } else { Err(differ()) }
            });
        }
    }
}

fn every_audit_table_flows_both_ways(lab: &Lab) {
    for (table, insert) in [
        ("Ptrx_ResourceAudit", "(OPERATIONTYPE) VALUES ('Resource viewed')"),
        ("AaaAccSession", "(ACCOUNT_ID, OPENTIME, STATUS) VALUES (1, 2, 'ACTIVE')"),
    ] {
        for node in [&lab.primary, &lab.secondary] {
            node.sql(&format!("INSERT INTO {table} {insert}"));
        }
        let rows = format!("SELECT COUNT(*), MIN(1) FROM {table}");
        wait_until(&format!("both rows of {table} are on both nodes"), || {
            [&lab.primary, &lab.secondary].iter().all(|node| node.sql(&rows) == "2\t1")
        });
    }
}

/// The pair is connected, and both nodes know of what was written against the rules.
fn connected_and_told(lab: &Lab) {
    for node in [&lab.primary, &lab.secondary] {
        wait_until("it is connected, and the writes are told", || {
            let found = node.findings();
            // The secondary has not looked before the servers were stopped.
            let sees = lab.server != "mysql-9.7" && node.home == lab.primary.home;
            let sent = !sees || found.contains(&"back-foreign-write".to_owned());
            node.verify().0 == "Alive" && found.first().is_some_and(|first| first == "errant-write") && sent
        });
    }
}

/// Does on the secondary, with every right there is, what nobody should.
fn what_is_against_the_rules(lab: &Lab) {
    let mut db = Db::admin(&lab.secondary);
    for statement in [
        "INSERT INTO Ptrx_Settings VALUES ('STRAY', 'written on the secondary')",
        "INSERT INTO Ptrx_Resource VALUES (900001, 'stray.example.com', 'Linux', 'nowhere')",
        "UPDATE AaaLogin SET NAME = 'stray' WHERE LOGIN_ID = 1",
        "DELETE FROM Ptrx_Settings WHERE NAME = 'MAIL_SERVER'",
        "CREATE TABLE passtrix.stray_table (id INT PRIMARY KEY)",
        "INSERT INTO passtrix.stray_table VALUES (1)",
        "ALTER TABLE Ptrx_Settings ADD COLUMN STRAY INT",
        "CREATE VIEW passtrix.stray_view AS SELECT 1 AS one",
        "CREATE DATABASE stray",
        "CREATE TABLE stray.t (id INT PRIMARY KEY)",
        "INSERT INTO stray.t VALUES (1)",
        "CREATE USER 'stray'@'localhost' IDENTIFIED BY 'Long-enough-1'",
        "GRANT ALL PRIVILEGES ON *.* TO 'stray'@'localhost'",
        "REPLACE INTO pmp_ha.pack VALUES (2, 'stray')",
        "CREATE TABLE pmp_ha.stray_table (id INT PRIMARY KEY)",
        "SET SESSION binlog_format = STATEMENT",
        "INSERT INTO Ptrx_Settings (NAME, VALUE) VALUES ('STRAY2', 'as a statement')",
        "USE stray",
        "INSERT INTO passtrix.stray_table VALUES (2)",
        "UPDATE passtrix.Ptrx_Settings SET VALUE = 'as a statement' WHERE NAME = 'TFA_TYPE'",
        "CREATE TABLE passtrix.stray_table_2 (id INT PRIMARY KEY)",
    ] {
        db.rows(statement);
    }
}

/// All that the primary holds besides audit rows and heartbeats, as text.
fn everything_but_audit_rows(node: &Node) -> Vec<String> {
    let mut db = Db::admin(node);
    let mut out = db.list("SHOW DATABASES");
    out.extend(db.list("SELECT CONCAT(User, '@', Host) FROM mysql.user ORDER BY User, Host"));
    for schema in ["passtrix", "pmp_ha"] {
        for table in db.list(&format!("SHOW TABLES FROM {schema}")) {
            let columns = db.rows(&format!("SHOW COLUMNS FROM {schema}.{table}"));
            out.extend(columns.into_iter().map(|column| format!("{schema}.{table}.{}", column["Field"])));
            let lower = table.to_lowercase();
            if !lower.ends_with("audit") && !["aaaaccsession", "heartbeat", "asked"].contains(&lower.as_str())
            {
                let row = db.rows(&format!("CHECKSUM TABLE {schema}.{table}")).remove(0);
                out.push(format!("{schema}.{table} {}", row["Checksum"]));
            }
        }
    }
    assert!(out.len() > 20, "{out:?}");
    out
}

/// Neither node passes on what it got: no loop can arise.
fn no_event_comes_from_the_other_node(lab: &Lab) {
    for (node, number) in [(&lab.primary, "1"), (&lab.secondary, "2")] {
        let mut db = Db::admin(node);
        let mut events = 0;
        for log in db.rows("SHOW BINARY LOGS") {
            for event in db.rows(&format!("SHOW BINLOG EVENTS IN '{}'", log["Log_name"])) {
                assert_eq!(event["Server_id"], number, "{event:?} in {}", log["Log_name"]);
                events += 1;
            }
        }
        assert!(events > 50, "only {events} events on {}", node.endpoint);
    }
}

fn nothing_on_the_way_back_is_in_clear(lab: &Lab, links: &Links) {
    // In the binlog the rows lie as they are; a link that did not encrypt would show them.
    let in_binlogs = |node: &Node| {
        std::fs::read_dir(node.path("mysql/data")).expect("there").flatten().any(|entry| {
            entry.file_name().to_string_lossy().starts_with("pmp-ha-binlog.0")
                && holds(&std::fs::read(entry.path()).expect("readable"), MARKER.as_bytes())
        })
    };
    for (link, from) in [(&links.to_secondary, &lab.secondary), (&links.to_primary, &lab.primary)] {
        assert!(in_binlogs(from), "no audit row in the binlogs of {}", from.endpoint);
        let recorded = link.recorded();
        // The greeting is in clear, so that what is in clear would have been seen.
        let version = Db::admin(from).list("SELECT VERSION()").concat();
        let greeted = holds(&recorded, &version.as_bytes()[..version.len().min(5)]);
        assert!(greeted, "no greeting in {} bytes", recorded.len());
        assert!(recorded.len() > 10_000, "only {} bytes", recorded.len());
        assert!(!holds(&recorded, MARKER.as_bytes()), "an audit row went over the link in clear");
    }
    let status = lab.replica_status(&lab.primary);
    assert_eq!(status["Source_SSL_Allowed"], "Yes", "{status:?}");
    assert_eq!(status["Source_SSL_Verify_Server_Cert"], "Yes", "{status:?}");
}

/// Who answers by another name than that of the certificate is not believed, and who has no
/// certificate of the pair is not let in.
fn a_stranger_is_not_taken_for_the_secondary(lab: &Lab, links: &Links) {
    let other_name = Link::at("127.0.0.3", &lab.secondary.endpoint);
    lab.change_source_of(&lab.primary, &format!("MASTER_HOST='127.0.0.3', MASTER_PORT={}", other_name.port));
    let refused = lab.wait_refused_at(&lab.primary, "the certificate names another host");
    wait_for(&lab.primary, &["back-wrong-source"]);
    let ours = links.to_secondary.port;
    lab.change_source_of(&lab.primary, &format!("MASTER_HOST='127.0.0.2', MASTER_PORT={ours}"));
    connected_and_told(lab);
    // The number of a TLS error, or 9.7's text under the number of any failed login.
    assert!(refused.starts_with("2026") || refused.contains("SSL"), "{refused}");

    let back = crate::harness::sql::credentials(&lab.primary).back;
    let without_tls = Db::open(account(&back, "127.0.0.2", lab.secondary.port(), None));
    match without_tls.map(|_| ()) {
        Err(Error::Server(error)) => assert_eq!(error.code, 1045, "{error}"),
        other => panic!("a login without a certificate: {other:?}"),
    }
}

fn a_pack_ends_nothing_before_it_is_installed_however_late_that_is(server: &str) {
    let lab = Lab::pair(server);
    let mut audit = Audit::of(&lab);
    let looks = Looks::begin(&lab);
    let packs = ["first", "second"].map(|when| {
        let args = ["pack", "--online", &lab.primary.endpoint, &lab.secondary.endpoint];
        lab.primary.run(&args).ok().says(&["nothing else of the pair changes", "answers: its server is"]);
        let kept = lab.dir().join(format!("{when}.zip"));
        std::fs::copy(lab.pack_file(), &kept).expect("copied");
        audit.on_both(&format!("after the {when} pack"));
        audit.all_arrived();
        (when, kept)
    });
    looks.found_nothing();

    // The older one first.
    for (when, pack) in packs {
        lab.secondary.run(&["stop"]).ok();
        std::fs::copy(pack, lab.secondary.home.join("HAPack.zip")).expect("copied");
        install(&lab);
        lab.wait_alive();
        // No number is given twice, though rows of the former secondary are not here.
        audit.on_both(&format!("under the {when} pack"));
        wait_for_only(&lab.primary, &["compare-due"]);
        wait_for_only(&lab.secondary, &["compare-due"]);
        lab.secondary.run(&["repair"]).ok();
        audit.all_arrived();
        assert_eq!(lab.primary.findings(), [""; 0]);
    }

    // One of a stopped database ends nothing either. Both stay down until it is installed: nothing is lacking.
    lab.stop();
    lab.pack().ok();
    lab.start();
    lab.wait_alive();
    audit.on_both("after a pack of the stopped database");
    audit.all_arrived();
    lab.stop();
    lab.pack().ok();
    lab.carry();
    install(&lab);
    lab.primary.run(&["start"]).ok();
    lab.wait_alive();
    for when in ["under it", "after a restart"] {
        audit.on_both(when);
        lab.stop();
        lab.start();
    }
    lab.secondary.run(&["repair"]).ok();
    audit.all_arrived();
    lab.tables_are_equal();
}

fn a_return_channel_that_somebody_reset_goes_on_with_the_next_pack(server: &str) {
    let lab = Lab::pair(server);
    let (primary, secondary) = (&lab.primary, &lab.secondary);
    let mut audit = Audit::of(&lab);
    audit.on_both("before the reset");
    audit.all_arrived();
    if server == "mysql-5.6" {
        // What the channel once began with is not there any more.
        secondary.drop_old_binlogs();
    }
    let mut db = Db::admin(primary);
    let word = if server == "mysql-9.7" { "REPLICA" } else { "SLAVE" };
    for statement in [format!("STOP {word}"), format!("RESET {word} ALL")] {
        db.rows(&statement);
    }
    wait_for(primary, &["back-not-a-replica"]);

    let args = ["pack", "--online", &primary.endpoint, &secondary.endpoint];
    primary.run(&args).ok().says(&["the return channel was removed"]);
    // The former secondary is the secondary until then.
    audit.on_both("after the pack");
    audit.all_arrived();
    // Who removed the channel removed what it had read.
    primary.run(&["repair", "--return-channel"]).ok();
    lab.wait_alive();

    secondary.run(&["stop"]).ok();
    audit.row(primary, "meanwhile");
    lab.carry();
    install(&lab);
    lab.wait_alive();
    audit.on_both("under the pack");
    secondary.run(&["repair"]).ok();
    audit.all_arrived();
    lab.tables_are_equal();
    wait_for_only(primary, &[]);
}

/// Installs the pack that was carried over, and starts the secondary.
fn install(lab: &Lab) {
    lab.secondary.run(&["install-pack"]).ok();
    lab.secondary.run(&["key", &lab.key().to_string_lossy()]).ok();
    lab.secondary.run(&["start"]).ok();
}
