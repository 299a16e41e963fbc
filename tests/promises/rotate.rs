//! New secrets for a working pair: nothing stops for them, and nothing of the old ones opens anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use pmp_ha::adapters::home::certificates::issue;
use pmp_ha::adapters::home::{Credential, Credentials};
use pmp_ha::adapters::server::session::{Address, Session, Speaks};
use pmp_ha::domain::settings::TlsPaths;

use crate::harness::sql::{Db, credentials};
use crate::harness::trace::{Then, traced};
use crate::harness::{Lab, Node};
use crate::on_servers;
#[cfg(target_arch = "x86_64")]

on_servers!(nothing_of_an_old_pack_opens_anything_after_a_rotation: mysql_5_6, mysql_9_7, mariadb_10_11; left: mariadb_11_8);
#[cfg(target_arch = "x86_64")]
on_servers!(a_rotation_that_was_killed_anywhere_is_finished_or_put_back: mysql_9_7, mariadb_10_11; left: mysql_5_6, mariadb_11_8);

/// What somebody holds who has an old pack and, worse, the key of the pair's CA.
struct Theft {
    folder: PathBuf,
    accounts: Credentials,
    speaks: Speaks,
}

impl Theft {
    fn of(lab: &Lab) -> Self {
        let folder = lab.dir().join("stolen");
        fs::create_dir(&folder).expect("made");
        for name in ["ca.pem", "node.pem", "node-key.pem"] {
            let from = lab.secondary.path("conf/pmp-ha").join(name);
            fs::copy(from, folder.join(name)).expect("copied");
        }
        let text = |path: PathBuf| fs::read_to_string(path).expect("readable");
        let key = text(lab.primary.path("conf/pmp-ha/ca-key.pem"));
        for (name, host) in [("one", "127.0.0.1"), ("two", "127.0.0.2")] {
            let forged = issue(&text(folder.join("ca.pem")), &key, host).expect("a certificate");
            fs::write(folder.join(format!("{name}.pem")), &forged.cert).expect("written");
            fs::write(folder.join(format!("{name}-key.pem")), &forged.key).expect("written");
        }
        let speaks = if lab.is_mysql_5_6() { Speaks::Old } else { Speaks::Modern };
        Self { folder, accounts: credentials(&lab.secondary), speaks }
    }

    /// Logs in as whoever knows the public certificate of the CA that the node has now.
    fn login(
        &self,
        node: &Node,
        host: &str,
        who: &Credential,
        files: &Path,
        name: &str,
    ) -> Result<(), String> {
        let path = |path: PathBuf| path.display().to_string();
        let tls = TlsPaths {
            ca: path(node.path("conf/pmp-ha/ca.pem")),
            cert: path(files.join(format!("{name}.pem"))),
            key: path(files.join(format!("{name}-key.pem"))),
        };
        let address = Address::Tls { host: host.into(), port: node.port(), tls, speaks: self.speaks };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let opened = Session::open(&address, who, Duration::from_secs(10)).await;
            let mut session = opened.map_err(|blind| blind.evidence)?;
            // MySQL with TLS 1.3 refuses a certificate only after its side has logged in.
            let answer = session.one("SELECT 1 AS one").await.map_err(|error| error.to_string());
            session.close().await;
            answer.map(|_| ())
        })
    }
}

/// Each node, the address in its certificate, and the other one, whose certificate it takes.
fn nodes(lab: &Lab) -> [(&Node, &'static str, &Node); 2] {
    [(&lab.primary, "127.0.0.1", &lab.secondary), (&lab.secondary, "127.0.0.2", &lab.primary)]
}

fn used_elsewhere(from: &Credentials) -> [Credential; 4] {
    [from.replication.clone(), from.back.clone(), from.monitor.clone(), from.reader.clone()]
}

/// Carries the file over, as a person would.
fn carry(lab: &Lab) {
    let from = lab.primary.path("replication/HASecrets.toml");
    fs::copy(from, lab.secondary.path("HASecrets.toml")).expect("copied");
}

/// The file for the secondary has no key of a CA, neither the present one nor the next one.
fn no_key_of_a_ca_travels(lab: &Lab) {
    let body = |text: &str| {
        let lines: Vec<String> =
            text.lines().map(str::trim).filter(|line| line.len() > 40).map(ToOwned::to_owned).collect();
        assert!(!lines.is_empty(), "no key in {text:?}");
        lines
    };
    let sent = fs::read_to_string(lab.secondary.path("HASecrets.toml")).expect("readable");
    assert!(sent.contains("PRIVATE KEY"), "the node's own key travels");
    let (mut folders, mut keys) = (vec![lab.primary.home.clone()], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.ends_with("ca-key.pem") {
                let key = fs::read_to_string(&path).expect("readable");
                assert!(body(&key).iter().all(|line| !sent.contains(line)), "{} travels", path.display());
                keys += 1;
            }
        }
    }
    assert!(keys >= 2, "{keys} keys of a CA");
}

/// The codes of what `verify` finds on both nodes.
fn wrong(lab: &Lab) -> Vec<String> {
    [&lab.primary, &lab.secondary].into_iter().flat_map(Node::findings).collect()
}

fn write_on_both(lab: &Lab, rows: &mut usize) {
    *rows += 1;
    lab.primary.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('ROTATED {rows}', 'x')"));
    lab.secondary.sql(&format!("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('ROTATED {rows}')"));
}

/// The files below `conf`: those of a running server change.
fn conf(node: &Node) -> BTreeMap<String, String> {
    let mut files = node.fingerprint();
    files.retain(|path, _| path.starts_with("conf/"));
    files
}

fn own_accounts(node: &Node) -> Vec<String> {
    Db::admin(node).list("SELECT CONCAT(User, '@', Host) AS who FROM mysql.user WHERE User LIKE 'pmp\\_ha\\_%' AND Host = '%' ORDER BY 1")
}

fn nothing_of_an_old_pack_opens_anything_after_a_rotation(server: &str) {
    let lab = Lab::pair(server);
    let theft = Theft::of(&lab);
    let old = used_elsewhere(&theft.accounts);
    let who = &theft.accounts.monitor;
    theft.login(&lab.primary, "127.0.0.1", who, &theft.folder, "node").expect("an old pack opens the pair");
    let reloads = !lab.is_mysql_5_6();
    let pids = || [lab.primary.pid(), lab.secondary.pid()];
    let (before, mut rows) = (pids(), 0);

    let files = conf(&lab.primary);
    let shown = lab.primary.run(&["rotate", "--dry-run"]).ok();
    assert_eq!(shown.stdout.contains("this restarts the database"), !reloads, "{shown}");
    assert_eq!(conf(&lab.primary), files, "a dry run changes nothing");
    lab.secondary.run(&["rotate"]).refused(&["there is no file with new secrets"]);

    // New secrets that are not wanted any more.
    lab.primary.run(&["rotate", "--wait", "0"]).exits(3).says(&["HASecrets.toml"]);
    carry(&lab);
    lab.primary
        .run(&["pack", "--online", "127.0.0.1", "127.0.0.2"])
        .refused(&["rotation of the pair's secrets"]);
    lab.primary.run(&["rotate", "--cancel"]).ok();
    lab.wait_alive();
    lab.secondary.run(&["rotate"]).refused(&["the primary does not accept these secrets"]);
    lab.wait_alive();
    assert_eq!(wrong(&lab), Vec::<String>::new());
    let accounts = ["pmp_ha_back@%", "pmp_ha_monitor@%", "pmp_ha_reader@%", "pmp_ha_repl@%"];
    assert_eq!(own_accounts(&lab.secondary), accounts);

    lab.primary.run(&["rotate", "--wait", "0"]).exits(3);
    write_on_both(&lab, &mut rows);
    carry(&lab);
    no_key_of_a_ca_travels(&lab);
    lab.wait_alive();
    assert_eq!(wrong(&lab), ["secrets-change"], "the primary accepts both");
    lab.secondary.run(&["rotate", "--wait", "0"]).exits(3);
    write_on_both(&lab, &mut rows);
    lab.wait_alive();
    assert_eq!(wrong(&lab), ["secrets-change"; 2], "the secondary uses the new secrets");
    while_both_are_trusted(&lab, &theft);
    let kept = lab.dir().join("HASecrets.toml");
    fs::copy(lab.secondary.path("HASecrets.toml"), &kept).expect("copied");
    lab.primary.run(&["rotate"]).ok();
    write_on_both(&lab, &mut rows);
    lab.wait_alive();
    lab.secondary.run(&["rotate"]).ok();
    write_on_both(&lab, &mut rows);
    lab.wait_alive();
    assert_eq!(wrong(&lab), Vec::<String>::new());
    if reloads {
        assert_eq!(pids(), before, "no server was restarted");
    }
    lab.wait_same("SELECT NAME FROM Ptrx_Settings ORDER BY NAME");
    lab.wait_same("SELECT NAME FROM Ptrx_UserAudit ORDER BY NAME");
    let marked = lab.wait_same("SELECT COUNT(*) FROM Ptrx_UserAudit WHERE NAME LIKE 'ROTATED %'");
    assert_eq!(marked, rows.to_string());

    let new = used_elsewhere(&credentials(&lab.primary));
    // Each node takes the certificate of the other one: that is what would be forged for it.
    for ((node, host, other), forged) in nodes(&lab).into_iter().zip(["two", "one"]) {
        assert_eq!(own_accounts(node).len(), 4, "{:?}", own_accounts(node));
        let own = other.path("conf/pmp-ha");
        // A handshake fails whoever would log in: one account tries each certificate of the old CA.
        for cert in ["node", forged] {
            for who in [&old[2], &new[2]] {
                let opened = theft.login(node, host, who, &theft.folder, cert);
                opened.expect_err("a certificate of the old CA");
            }
        }
        for (old, new) in old.iter().zip(&new) {
            assert_ne!(old.password, new.password);
            theft.login(node, host, new, &own, "node").expect("the new secrets");
            // An old password, and a new one under the old name.
            theft.login(node, host, old, &own, "node").expect_err("an old account");
            let mixed = Credential { user: old.user.clone(), password: new.password.clone() };
            theft.login(node, host, &mixed, &own, "node").expect_err("an old account");
        }
        for left in
            ["conf/pmp-ha/next", "conf/pmp-ha/rotation.toml", "HASecrets.toml", "replication/HASecrets.toml"]
        {
            assert!(!node.path(left).exists(), "{left}");
        }
    }
    assert!(!lab.secondary.path("conf/pmp-ha/ca-key.pem").exists(), "the CA's key is on one node");
    assert_ne!(credentials(&lab.primary).admin.password, credentials(&lab.secondary).admin.password);
    // The file of a change that has ended changes nothing.
    let files = conf(&lab.secondary);
    let kept = kept.to_string_lossy().into_owned();
    lab.secondary.run(&["rotate", &kept]).refused(&["this node already uses these secrets"]);
    assert_eq!(conf(&lab.secondary), files);
    lab.wait_alive();
}

/// Both CAs are trusted, so a handshake succeeds with a certificate of either: the accounts decide.
fn while_both_are_trusted(lab: &Lab, theft: &Theft) {
    let pairs = |from: &Credentials| [from.replication.clone(), from.back.clone()];
    // The other two accounts have a part for this machine, from which everything comes in a test.
    let (old, new) = (pairs(&theft.accounts), pairs(&credentials(&lab.secondary)));
    for (node, host, other) in nodes(lab) {
        let forged = if host == "127.0.0.1" { "two" } else { "one" };
        for (old, new) in old.iter().zip(&new) {
            // The same subject by the old CA, which is still trusted.
            theft.login(node, host, old, &theft.folder, forged).expect("the old secrets still open it");
            let refused = theft.login(node, host, new, &theft.folder, forged).expect_err("the old CA's");
            assert!(refused.contains("1045"), "{refused}");
        }
        // On the primary, the other node has its new certificate already.
        if host == "127.0.0.1" {
            let own = other.path("conf/pmp-ha");
            for (old, new) in old.iter().zip(&new) {
                theft.login(node, host, new, &own, "node").expect("the new secrets");
                let refused = theft.login(node, host, old, &own, "node").expect_err("the new CA's");
                assert!(refused.contains("1045"), "{refused}");
            }
        }
    }
}

/// Each of the four commands is killed before some of its changes, and given again.
#[cfg(target_arch = "x86_64")]
fn a_rotation_that_was_killed_anywhere_is_finished_or_put_back(server: &str) {
    let lab = Lab::pair(server);
    let (mut counts, mut rows, mut killed) = ([0; 4], 0, 0);
    for round in 0..3 {
        for (part, count) in counts.iter_mut().enumerate() {
            let node = if part % 2 == 0 { &lab.primary } else { &lab.secondary };
            let command = node.command(&["rotate", "--wait", "0"]);
            // The first round is not killed, and tells how many changes there are.
            let at = (round > 0).then(|| *count * (2 * round - 1) / 4);
            let run =
                traced(
                    command,
                    &node.home,
                    |change| {
                        if Some(change.number) == at { Then::Kill } else { Then::Go }
                    },
                );
            let done = if part < 2 { 3 } else { 0 };
            killed += usize::from(run.killed);
            if run.killed {
                node.run(&["resume"]).ok();
                lab.wait_alive();
                write_on_both(&lab, &mut rows);
                // It was put back, or it is finished.
                if node.path("conf/pmp-ha/rotation.toml").exists() != (part < 2) {
                    node.run(&["rotate", "--wait", "0"]).exits(done);
                }
            } else {
                assert_eq!(run.ran.code, Some(done), "{}", run.ran);
            }
            if round == 0 {
                *count = run.changes.len();
            }
            if part == 0 {
                carry(&lab);
            }
            lab.wait_alive();
        }
        assert_eq!(wrong(&lab), Vec::<String>::new(), "round {round}");
        let accounts = [&lab.primary, &lab.secondary].map(own_accounts);
        assert_eq!(accounts[0].len(), 4, "{accounts:?}");
        assert_eq!(accounts[0], accounts[1]);
    }
    assert!(killed >= 6, "only {killed} of 8 runs were killed");
    lab.tables_are_equal();
}
