//! `key`: which files are taken as the encryption key, and what is written.

use std::os::unix::fs::PermissionsExt;

use crate::harness::sql::Db;
use crate::harness::{Lab, Ran, assert_same, command_of_nobody};
use crate::on_servers;

const ANY: &str = "mariadb-10.11";

#[test]
fn takes_the_key_of_the_pair_and_no_other_file() {
    let lab = Lab::up(ANY);
    let node = &lab.secondary;
    let path = |name: &str| lab.dir().join(name).to_string_lossy().into_owned();
    let file = |name: &str, content: &[u8]| {
        std::fs::write(path(name), content).expect("written");
        path(name)
    };
    let refused = |key: &str, why: &str| {
        node.refuses(&["key", key], 4, &["cannot use this encryption key", why]);
    };
    refused(&path("missing"), "No such file");
    refused(&lab.dir().to_string_lossy(), "is not a file");
    refused(&file("empty", b""), "is not a PMP key: it is empty");
    refused(&file("text", b"hello"), "it has no entry ENCRYPTIONKEY");
    refused(&file("no-value", b"ENCRYPTIONKEY=\n"), "its entry ENCRYPTIONKEY is empty");
    refused(&file("bytes", &[0xff; 64]), "it is not a text file");
    refused(&file("large", &vec![b'a'; (1 << 20) + 1]), "it is far too large");
    refused(&file("line\nbreak", b"ENCRYPTIONKEY=abc\n"), "a control character");
    refused(&file("space ", b"ENCRYPTIONKEY=abc\n"), "ends with a space");
    node.refuses(&["key"], 2, &["no encryption key was named", "there is no terminal to ask for it"]);

    // Before there is a pair, nothing can tell whether it is the right one.
    let other = file("other", b"#x\nENCRYPTIONKEY=c29tZXRoaW5n\\=\n");
    node.run(&["--dry-run", "key", &other]).ok();
    lab.pack().ok();
    lab.carry();
    node.run(&["install-pack"]).ok();
    refused(&other, "is a PMP key, but the data of this pair are encrypted with another key");
    let own = node.path("conf/pmp_key.key");
    refused(&own.to_string_lossy(), "the data of this pair are encrypted with another key");

    let conf = node.path("conf/manage_key.conf");
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(&conf, mode).expect("set");
    let good = std::fs::read_to_string(lab.key()).expect("there");
    let taken = |key: &str| {
        let ran = node.run(&["key", key]).ok();
        assert_eq!(std::fs::read_to_string(&conf).expect("there"), key);
        let meta = std::fs::metadata(&conf).expect("there");
        assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
        ran
    };
    let quiet = taken(&file("carried.key", good.as_bytes()));
    assert!(!quiet.stderr.contains("warning"), "{quiet}");
    taken(&file("with a space.key", good.as_bytes()));
    let value = good.lines().find_map(|line| line.strip_prefix("ENCRYPTIONKEY="));
    let rotated = format!("ENCRYPTIONKEY=bmV3\\=\nOLD={}\n", value.expect("a key"));
    taken(&file("rotated.key", rotated.as_bytes()));
    let inside = node.path("conf/inside.key");
    std::fs::write(&inside, &good).expect("written");
    taken(&inside.to_string_lossy()).says(&["warning: ", "is inside the installation"]);

    let before = node.fingerprint();
    let ran = node.run(&["--dry-run", "key", &path("carried.key")]).ok();
    assert_same(&before, &node.fingerprint(), &ran.to_string());
}

#[test]
fn refuses_a_key_that_this_account_cannot_read() {
    let lab = Lab::up(ANY);
    let key = lab.dir().join("closed.key");
    std::fs::copy(lab.key(), &key).expect("copied");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o000)).expect("set");
    let mut root = std::process::Command::new("chmod");
    root.args(["-R", "a+rX"]).arg(&lab.root);
    assert!(root.status().expect("it runs").success());
    let before = lab.secondary.fingerprint();
    let home = lab.secondary.home.to_string_lossy();
    let ran = Ran::from_command(command_of_nobody(&lab, &["--home", &home, "key", &key.to_string_lossy()]))
        .refused(&["cannot use this encryption key", "Permission denied"]);
    assert_same(&before, &lab.secondary.fingerprint(), &ran.to_string());
}

on_servers!(the_running_data_say_whether_the_key_is_theirs: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

fn the_running_data_say_whether_the_key_is_theirs(server: &str) {
    let lab = Lab::pair(server);
    let node = &lab.secondary;
    let files = ["bin", "conf", "replication", "logs"];
    let key = std::fs::read_to_string(lab.key()).expect("there");
    let key = key.lines().find_map(|line| line.strip_prefix("ENCRYPTIONKEY=")).expect("a key");
    let key = key.replace("\\=", "=");
    let check = |query: &str| {
        node.configure(&format!("[product]\nkey_query = \"{query}\"\n"));
        let before = node.fingerprint_of(&files);
        let ran = node.run(&["key", "--check"]);
        assert_same(&before, &node.fingerprint_of(&files), &ran.to_string());
        assert!(!ran.to_string().contains(&key), "{ran}");
        ran
    };
    // Whatever a server writes down of its statements.
    let mut db = Db::admin(node);
    db.rows("SET GLOBAL log_output = 'TABLE'");
    db.rows("SET GLOBAL general_log = ON");

    check("").shows(&[
        "is the key with which the pair was set up",
        "product.key_query in conf/pmp-ha.toml is empty",
    ]);
    check("SELECT {key} <> 'another'").shows(&["is the key of these data"]);
    check("SELECT {key} = 'another'")
        .refused(&["is not the encryption key of these data", "key_query shows"]);
    // After a rotation on the primary, the secondary's file opens nothing any more: `verify` says so.
    assert_eq!(node.findings(), ["old-key"]);
    node.run(&["verify"]).shows(&[
        "High Availability Status: Alive",
        "[old-key]",
        "run `pmp-ha key PATH` there",
    ]);
    node.configure("[product]\nkey_query = \"SELECT {key} <> 'another'\"\n");
    assert_eq!(node.findings(), Vec::<String>::new());
    check("SELECT {key} FROM nowhere").refused(&["cannot check", "does not work: error 1146"]);
    db.rows("SET GLOBAL slow_query_log = ON");
    check("SELECT {key} <> 'another'").shows(&["The data were not checked", "slow_query_log"]);
    db.rows("SET GLOBAL slow_query_log = OFF");

    let logged = db.list("SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log");
    assert!(logged.iter().any(|line| line.contains("SHOW GLOBAL VARIABLES")), "{logged:?}");
    let digests = db.list(
        "SHOW COLUMNS FROM performance_schema.events_statements_summary_by_digest LIKE 'QUERY_SAMPLE_TEXT'",
    );
    let samples = if digests.is_empty() {
        Vec::new()
    } else {
        db.list("SELECT QUERY_SAMPLE_TEXT FROM performance_schema.events_statements_summary_by_digest")
    };
    let of_the_key = |line: &&String| line.contains(&key);
    assert_eq!(logged.iter().chain(&samples).filter(of_the_key).collect::<Vec<_>>(), Vec::<&String>::new());

    let other = lab.dir().join("other");
    std::fs::write(&other, b"#x\nENCRYPTIONKEY=c29tZXRoaW5n\\=\n").expect("written");
    node.run(&["key", "--check", &other.to_string_lossy()]).refused(&["encrypted with another key"]);
    node.kill();
    check("SELECT {key} <> 'another'").shows(&["the database here does not run"]);
}
