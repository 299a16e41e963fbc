//! Replication is encrypted, and each side lets in nobody but the other.

use std::path::{Path, PathBuf};

use mysql_async::{ClientIdentity, Error, SslOpts};
use pmp_ha::adapters::tls::{Issued, issue, make_ca};

use crate::harness::Lab;
use crate::on_every_server;
use crate::sql::{Db, replication_account};
use crate::wire::holds;

on_every_server!(the_link_is_encrypted_and_shows_nothing_in_clear, only_the_two_nodes_let_each_other_in,);

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

    let seen = link.recorded();
    // The greeting comes before TLS: the link does hear what is in clear.
    let greeting = Db::of(&lab.primary).list("SELECT VERSION()").concat();
    let version = greeting.split('-').next().expect("a word").to_owned();
    assert!(holds(&seen, version.as_bytes()), "the link heard no greeting");
    assert!(seen.len() > 5 * MARKER.len(), "the link heard {} bytes", seen.len());
    for secret in [MARKER, "Ptrx_Settings", "ptrx_settings", "pmp_ha_repl"] {
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
            "the primary's certificate is of another CA",
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
    if lab.speaks_old_tls_only() {
        // No client of today speaks TLS 1.0; the secondary's own server is the client below.
        return;
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
