//! Replication is encrypted, and each side lets in nobody but the other.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mysql_async::{ClientIdentity, Error, SslOpts};
use pmp_ha::adapters::home::certificates::{Issued, issue, issue_within, make_ca};
use pmp_ha::adapters::home::{Credential, Credentials};
use pmp_ha::adapters::server::session::{Address, Session, Speaks};
use pmp_ha::domain::certificate::{Fault, Unfit};
use pmp_ha::domain::settings::TlsPaths;
use pmp_ha::domain::snapshot::{Blind, BlindReason};

use crate::harness::sql::{Db, account, credentials, replication_account};
use crate::harness::wire::holds;
use crate::harness::{Lab, Node, Put, Ran};
use crate::{on_every_server, on_servers};

on_every_server!(the_link_is_encrypted_and_shows_nothing_in_clear, only_the_two_nodes_let_each_other_in);
on_servers!(new_secrets_end_those_of_older_packs: mysql_9_7, mariadb_10_11; left: mariadb_11_8);
on_servers!(verify_asks_nobody_but_the_other_node: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);

fn the_link_is_encrypted_and_shows_nothing_in_clear(server: &str) {
    const MARKER: &str = "a-marker-that-nobody-on-the-way-may-read";
    let (lab, link) = Lab::pair_through_a_link(server);
    lab.primary.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('{MARKER}', '{}')", MARKER.repeat(4)));
    assert!(lab.wait_same("SELECT NAME FROM Ptrx_Settings ORDER BY NAME").contains(MARKER));

    let status = lab.replica_status(&lab.secondary);
    let node_file = |name: &str| lab.secondary.home.join("conf/pmp-ha").join(name);
    for (column, wanted) in [
        ("Source_SSL_Allowed", "Yes".into()),
        ("Source_SSL_Verify_Server_Cert", "Yes".into()),
        ("Source_SSL_CA_File", node_file("ca.pem")),
        ("Source_SSL_Cert", node_file("node.pem")),
        ("Source_SSL_Key", node_file("node-key.pem")),
        ("Source_Port", link.port.to_string().into()),
    ] {
        assert_eq!(PathBuf::from(&status[column]), wanted, "{column}");
    }

    // The link hears what `verify` asks the primary, too: each of its variables, for one.
    let before = link.recorded().len();
    assert_eq!(lab.secondary.findings(), Vec::<String>::new());
    let seen = link.recorded();
    assert!(seen.len() > before + 5000, "the link heard {} bytes of verify", seen.len() - before);
    // The greeting comes before TLS: the link does hear what is in clear.
    let greeting = Db::of(&lab.primary).list("SELECT VERSION()").concat();
    let version = greeting.split('-').next().expect("a word").to_owned();
    assert!(holds(&seen, version.as_bytes()), "the link heard no greeting");
    assert!(seen.len() > 5 * MARKER.len(), "the link heard {} bytes", seen.len());
    for secret in [
        MARKER,
        "Ptrx_Settings",
        "ptrx_settings",
        "pmp_ha_repl",
        "pmp_ha_monitor",
        "GLOBAL VARIABLES",
        "max_connections",
    ] {
        assert!(!holds(&seen, secret.as_bytes()), "{secret} went over the wire in clear");
    }
}

fn only_the_two_nodes_let_each_other_in(server: &str) {
    let lab = Lab::pair(server);
    let strangers = Strangers::new(&lab);
    primary_lets_in_the_secondary_only(&lab, &strangers);

    let (host, port) = ("127.0.0.1", lab.primary.port());
    let own = |name: &str| lab.secondary.home.join("conf/pmp-ha").join(name).display().to_string();
    let ours = format!(
        "MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_SSL=1, MASTER_SSL_CA='{}', MASTER_SSL_CERT='{}', MASTER_SSL_KEY='{}', MASTER_SSL_VERIFY_SERVER_CERT=1",
        own("ca.pem"),
        own("node.pem"),
        own("node-key.pem"),
    );
    let (cert, key, ca) = (&strangers.cert, &strangers.key, &strangers.ca);
    // Access denied; and a handshake that one of the two sides ends.
    let (denied, handshake): (&[&str], &[&str]) = (&["1045"], &["2026", "2013"]);
    for (why, change, errors) in [
        ("no TLS", "MASTER_SSL=0".to_owned(), denied),
        ("no client certificate", "MASTER_SSL_CERT='', MASTER_SSL_KEY=''".to_owned(), denied),
        (
            "a client certificate of another CA",
            format!("MASTER_SSL_CERT='{}', MASTER_SSL_KEY='{}'", cert.display(), key.display()),
            handshake,
        ),
        (
            "the primary's certificate is from another CA",
            format!("MASTER_SSL_CA='{}'", ca.display()),
            handshake,
        ),
        // The same server, by an address that its certificate does not carry.
        ("the host is not in the certificate", "MASTER_HOST='127.0.0.3'".to_owned(), handshake),
    ] {
        lab.change_source(&change);
        let error = lab.wait_refused(why);
        let number = error.split(':').next().unwrap_or_default();
        assert!(errors.contains(&number), "{why}: {error}");
        assert_eq!(lab.secondary.verify().0, "Failed", "{why}: {error}");
        lab.change_source(&ours);
        lab.wait_replicating();
    }
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('AFTER', 'all that')");
    lab.wait_alive();
    lab.tables_are_equal();
}

/// The primary's side, asked by a client of this test.
fn primary_lets_in_the_secondary_only(lab: &Lab, strangers: &Strangers) {
    let login = |tls: Option<SslOpts>| {
        let opts = replication_account(&lab.primary, "127.0.0.1", lab.primary.port(), tls);
        Db::open(opts).and_then(|mut db| db.try_rows("SELECT CURRENT_USER() AS me"))
    };
    let refused = login(None).expect_err("a login without TLS");
    assert!(is_denied(&refused), "{refused}");
    if lab.is_mysql_5_6() {
        return old_primary_lets_in_the_secondary_only(lab, strangers);
    }
    let node_file = |name: &str| lab.secondary.home.join("conf/pmp-ha").join(name);
    let tls = |identity: Option<(&Path, &Path)>| {
        let identity = identity
            .map(|(cert, key)| ClientIdentity::new(cert.to_path_buf().into(), key.to_path_buf().into()));
        SslOpts::default()
            .with_root_certs(vec![node_file("ca.pem").into()])
            .with_disable_built_in_roots(true)
            .with_client_identity(identity)
    };
    let refused = login(Some(tls(None))).expect_err("a login without a client certificate");
    assert!(is_denied(&refused), "{refused}");
    let refused = login(Some(tls(Some((&strangers.cert, &strangers.key)))));
    let refused = refused.expect_err("a login with a certificate of another CA");
    assert!(matches!(refused, Error::Io(_)), "a handshake that fails: {refused}");

    let (cert, key) = (node_file("node.pem"), node_file("node-key.pem"));
    let me = login(Some(tls(Some((&cert, &key))))).expect("the secondary's own certificate");
    assert_eq!(me[0]["me"], "pmp_ha_repl@%");
    // It opens the primary, and not the node that it names.
    let there =
        replication_account(&lab.primary, "127.0.0.2", lab.secondary.port(), Some(tls(Some((&cert, &key)))));
    let refused = Db::open(there).and_then(|mut db| db.try_rows("SELECT 1")).expect_err("a refusal");
    assert!(is_denied(&refused), "{refused}");
}

/// The same over TLS 1.0, for which the driver of this test needs the bridge of pmp-ha.
fn old_primary_lets_in_the_secondary_only(lab: &Lab, strangers: &Strangers) {
    let text = |path: &Path| path.display().to_string();
    let file = |name: &str| text(&lab.secondary.home.join("conf/pmp-ha").join(name));
    let login = |host: &str, ca: &str, cert: &str, key: &str| {
        let tls = TlsPaths { ca: ca.to_owned(), cert: cert.to_owned(), key: key.to_owned() };
        let address =
            Address::Tls { host: host.to_owned(), port: lab.primary.port(), tls, speaks: Speaks::Old };
        let account = credentials(&lab.primary).replication;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut session = Session::open(&address, &account, Duration::from_secs(30)).await?;
            let me = session.one("SELECT CURRENT_USER() AS me").await.expect("an answer");
            let cipher = session.one("SHOW STATUS LIKE 'Ssl_cipher'").await.expect("an answer");
            session.close().await;
            Ok((me.and_then(|row| row.get("me")), cipher.and_then(|row| row.get("Value"))))
        })
    };
    let (ca, cert, key) = (file("ca.pem"), file("node.pem"), file("node-key.pem"));
    let refused = |login: Result<_, Blind>| login.expect_err("a refusal");
    let strange = refused(login("127.0.0.1", &ca, &text(&strangers.cert), &text(&strangers.key)));
    let of_another_ca = Unfit { fault: Fault::WrongCa, ours: true };
    assert_eq!(strange.why, BlindReason::Certificate(of_another_ca), "{}", strange.evidence);
    let strange = refused(login("127.0.0.1", &text(&strangers.ca), &cert, &key));
    assert!(strange.evidence.starts_with("certificate verify failed: "), "{}", strange.evidence);
    let strange = refused(login("127.0.0.3", &ca, &cert, &key));
    assert_eq!(strange.evidence, "certificate verify failed: IP address mismatch");
    let strange = refused(login("localhost", &ca, &cert, &key));
    assert_eq!(strange.evidence, "certificate verify failed: hostname mismatch");

    let (me, cipher) = login("127.0.0.1", &ca, &cert, &key).expect("the secondary's own certificate");
    assert_eq!(me.as_deref(), Some("pmp_ha_repl@%"));
    assert!(cipher.as_ref().is_some_and(|cipher| cipher.starts_with("AES")), "{cipher:?}");
}

/// The tool's own login to the other node, by the files that it has now: the servers have read theirs.
fn verify_asks_nobody_but_the_other_node(server: &str) {
    let lab = Lab::pair(server);
    let strangers = Strangers::new(&lab);
    let text = |path: &Path| std::fs::read_to_string(path).expect("readable");
    let file = |name: &str| lab.primary.home.join("conf/pmp-ha").join(name);
    lab.primary.run(&["verify"]).ok();
    let refused = |why: &str, evidence: &str| {
        let ran = lab.primary.run(&["verify"]).exits(5);
        assert!(ran.stdout.contains(evidence), "{why}: {ran}");
        assert!(ran.stdout.starts_with("High Availability Status: Failed\n"), "{why}: {ran}");
    };

    let put = Put::content(file("ca.pem"), text(&strangers.ca));
    refused("the peer's certificate is from another CA", "[certificate-wrong-ca]");
    drop(put);
    let put = [
        Put::content(file("node.pem"), text(&strangers.cert)),
        Put::content(file("node-key.pem"), text(&strangers.key)),
    ];
    refused("our certificate is from another CA", "[certificate-wrong-ca]");
    drop(put);
    for host in ["127.0.0.3", "localhost"] {
        let put = Put::replaced(file("pair.toml"), "127.0.0.2", host);
        refused("the host is not in the peer's certificate", "[certificate-wrong-host]");
        drop(put);
    }
    lab.primary.run(&["verify"]).ok();
    the_other_node_s_certificate_is_judged(&lab, &strangers);
}

/// The secondary serves with a certificate that has each of the faults, and with one that ends soon.
fn the_other_node_s_certificate_is_judged(lab: &Lab, strangers: &Strangers) {
    const DAY: Duration = Duration::from_secs(86_400);
    let file = |name: &str| lab.secondary.home.join("conf/pmp-ha").join(name);
    let text = |path: PathBuf| std::fs::read_to_string(path).expect("readable");
    let (ca, ca_key) = (text(file("ca.pem")), text(lab.primary.home.join("conf/pmp-ha/ca-key.pem")));
    let now = SystemTime::now();
    let ours = |host: &str, valid| issue_within(&ca, &ca_key, host, valid).expect("a certificate");
    let stranger = Issued { cert: text(strangers.cert.clone()), key: text(strangers.key.clone()) };
    // MySQL 5.6 breaks off every handshake if its own certificate is not valid now, and does not say why.
    let (ended, not_begun) = if lab.is_mysql_5_6() {
        ("certificate-not-in-time", "certificate-not-in-time")
    } else {
        ("certificate-expired", "certificate-not-yet-valid")
    };
    for (issued, code, exit, there) in [
        (ours("127.0.0.2", now - 9 * DAY..now - DAY), ended, 5, "certificate-ends"),
        (ours("127.0.0.2", now + DAY..now + 9 * DAY), not_begun, 5, "certificate-not-yet-valid"),
        (ours("127.0.0.3", now - DAY..now + 99 * DAY), "certificate-wrong-host", 5, ""),
        (stranger, "certificate-wrong-ca", 5, "certificate-wrong-ca"),
        (ours("127.0.0.2", now - DAY..now + 20 * DAY), "certificate-ends", 0, "certificate-ends"),
    ] {
        lab.secondary.run(&["stop"]).ok();
        let put =
            [Put::content(file("node.pem"), &issued.cert), Put::content(file("node-key.pem"), &issued.key)];
        lab.secondary.run(&["start"]).ok();
        if exit == 0 {
            lab.wait_alive();
        }
        let ran = lab.primary.run(&["verify"]).exits(exit);
        assert!(ran.stdout.contains(&format!("[{code}]")), "{code}: {ran}");
        assert!(ran.stdout.contains("the certificate of 127.0.0.2"), "{code}: {ran}");
        let ran = lab.secondary.run(&["verify"]);
        assert!(there.is_empty() || ran.stdout.contains(&format!("[{there}]")), "{there}: {ran}");
        lab.secondary.run(&["stop"]).ok();
        drop(put);
    }
}

#[test]
fn verify_says_nothing_in_clear_to_an_old_server_without_tls() {
    let lab = Lab::pair("mysql-5.6");
    lab.secondary.run(&["stop"]).ok();
    // A 5.6 whose key is in a form that it cannot read switches TLS off, and starts.
    let put = Put::content(lab.secondary.home.join("conf/pmp-ha/node-key.pem"), "not a key");
    lab.secondary.run(&["start"]).ok();
    let ran = lab.primary.run(&["verify"]).exits(5);
    assert!(ran.stdout.contains("[peer-refused]") && ran.stdout.contains("does not offer TLS"), "{ran}");
    lab.secondary.run(&["stop"]).ok();
    drop(put);
    lab.secondary.run(&["start"]).ok();
    lab.wait_alive();
    lab.primary.run(&["verify"]).ok();
}

#[test]
fn verify_knows_an_old_server_by_its_host_name_and_leaves_no_folder_behind() {
    let lab = Lab::up("mysql-5.6");
    lab.set_up(&format!("localhost:{}", lab.primary.port()));
    let temporary = lab.dir().join("temporary");
    std::fs::create_dir(&temporary).expect("made");
    let mut command = lab.secondary.command(&["--json", "verify"]);
    command.env("TMPDIR", &temporary);
    Ran::from_command(command).ok();
    assert_eq!(std::fs::read_dir(&temporary).expect("readable").count(), 0);
}

fn is_denied(error: &Error) -> bool {
    matches!(error, Error::Server(server) if server.code == 1045)
}

/// A CA that the pair does not know, and a certificate of it for the secondary's address.
struct Strangers {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Strangers {
    fn new(lab: &Lab) -> Self {
        let ca = make_ca("another").expect("a CA");
        let Issued { cert, key } = issue(&ca.cert, &ca.key, "127.0.0.2").expect("a certificate");
        let file = |name: &str, text: &str| {
            let path = lab.dir().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        Self {
            ca: file("stranger-ca.pem", &ca.cert),
            cert: file("stranger.pem", &cert),
            key: file("stranger-key.pem", &key),
        }
    }
}

/// Somebody holds an older pack, and so all its secrets, also the key of its CA.
fn new_secrets_end_those_of_older_packs(server: &str) {
    let lab = Lab::pair(server);
    let folder = lab.dir().join("stolen");
    std::fs::create_dir(&folder).expect("made");
    for file in std::fs::read_dir(lab.secondary.home.join("conf/pmp-ha")).expect("readable") {
        let file = file.expect("an entry");
        std::fs::copy(file.path(), folder.join(file.file_name())).expect("copied");
    }
    let text = |path: PathBuf| std::fs::read_to_string(path).expect("readable");
    // A pack of an older version held this key, too.
    let ca_key = text(lab.primary.home.join("conf/pmp-ha/ca-key.pem"));
    let forged = issue(&text(folder.join("ca.pem")), &ca_key, "127.0.0.2").expect("a certificate");
    std::fs::write(folder.join("attacker.pem"), &forged.cert).expect("written");
    std::fs::write(folder.join("attacker-key.pem"), &forged.key).expect("written");
    let login = |node: &Node, who: &Credential, files: &Path, cert: &str| {
        let (cert, key) = (files.join(format!("{cert}.pem")), files.join(format!("{cert}-key.pem")));
        let tls = SslOpts::default()
            .with_danger_accept_invalid_certs(true)
            .with_client_identity(Some(ClientIdentity::new(cert.into(), key.into())));
        let opts = account(who, "127.0.0.1", node.port(), Some(tls));
        Db::open(opts).and_then(|mut db| db.try_rows("SELECT CURRENT_USER() AS me"))
    };
    let accounts = |from: &Credentials| {
        [from.replication.clone(), from.back.clone(), from.monitor.clone(), from.reader.clone()]
    };
    let old = accounts(&credentials(&lab.primary));
    for who in &old {
        login(&lab.primary, who, &folder, "attacker").expect("the theft works until there are new secrets");
    }

    lab.stop();
    let (primary, secondary) = (lab.primary.endpoint.clone(), lab.secondary.endpoint.clone());
    lab.primary.run(&["pack", "--new-secrets", &primary, &secondary]).ok();
    lab.carry();
    lab.secondary.run(&["install-pack"]).ok();
    lab.secondary.run(&["key", &lab.key().to_string_lossy()]).ok();
    lab.start();
    lab.wait_alive();
    let new = accounts(&credentials(&lab.primary));
    for (node, other) in [(&lab.primary, &lab.secondary), (&lab.secondary, &lab.primary)] {
        let own = other.home.join("conf/pmp-ha");
        for (old, new) in old.iter().zip(&new) {
            assert_ne!(old.password, new.password, "{}", old.user);
            for cert in ["node", "attacker"] {
                login(node, old, &folder, cert).expect_err("an old password and certificate");
                login(node, new, &folder, cert).expect_err("a certificate of the old CA");
            }
            let refused = login(node, old, &own, "node").expect_err("an old password");
            assert!(is_denied(&refused), "{refused}");
            login(node, new, &own, "node").expect("the secrets of the new pack");
        }
    }
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('AFTER', 'the new secrets')");
    lab.wait_alive();
    lab.tables_are_equal();
}
