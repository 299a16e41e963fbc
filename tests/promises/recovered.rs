//! The new primary after a disaster: a server of its own, whose data are safe, and from which a
//! pair can be built again.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::harness::sql::Db;
use crate::harness::{Lab, Node, TABLE, Writer, wait_alive_both, wait_until};
use crate::on_servers;

on_servers!(a_recovered_primary_keeps_what_it_commits_and_can_be_paired_again: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);

fn a_recovered_primary_keeps_what_it_commits_and_can_be_paired_again(server: &str) {
    let lab = Lab::pair(server);
    let key = lab.dir().join("carried.key");
    std::fs::copy(lab.key(), &key).expect("copied");
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('BEFORE', 'the disaster')");
    let rows = "SELECT NAME, VALUE FROM passtrix.Ptrx_Settings ORDER BY NAME";
    let before = lab.wait_same(rows);
    lab.primary.kill();
    lab.secondary.run(&["stop"]).ok();

    let fresh = lab.fresh_home("fresh");
    let (into, key) = (fresh.home.to_string_lossy(), key.to_string_lossy());
    lab.secondary.run(&["recover", "--into", &into, "--key", &key]).ok();
    fresh.run(&["start"]).ok();
    assert_eq!(fresh.sql(rows), before);
    nothing_is_left_of_the_old_pair(&lab, &fresh);
    commits_survive_a_crash(&fresh);
    a_new_pair_grows_from_it(&lab, &fresh, &key);
}

fn nothing_is_left_of_the_old_pair(lab: &Lab, fresh: &Node) {
    let mut db = Db::of(fresh);
    assert!(lab.replica_status(fresh).is_empty());
    let accounts = db.list("SELECT User FROM mysql.user");
    assert!(accounts.contains(&"root".to_owned()), "{accounts:?}");
    assert!(!accounts.iter().any(|user| user.starts_with("pmp_ha")), "{accounts:?}");
    let schemas = db.list("SHOW DATABASES");
    assert!(schemas.contains(&"passtrix".to_owned()), "{schemas:?}");
    assert!(!schemas.contains(&"pmp_ha".to_owned()), "{schemas:?}");
    assert_eq!(db.variable("read_only"), "0");
    assert!(!fresh.home.join("conf/pmp-ha").exists());
}

/// Copied files whose log sequence numbers lie in the future would lose them without a word.
fn commits_survive_a_crash(fresh: &Node) {
    fresh.sql(TABLE);
    let writer = Writer::start(fresh, &Arc::new(AtomicU64::new(1)));
    writer.wait_for(300);
    fresh.kill();
    let acknowledged = writer.end();
    fresh.run(&["start"]).ok();
    let mut db = Db::of(fresh);
    let there = db.list("SELECT id FROM passtrix.x ORDER BY id");
    for id in acknowledged {
        assert!(there.contains(&id.to_string()), "{id} was acknowledged and is lost");
    }
    for table in db.list("SHOW TABLES FROM passtrix") {
        let checked = db.rows(&format!("CHECK TABLE passtrix.{table}"));
        assert!(checked.iter().all(|row| row["Msg_text"] == "OK"), "{checked:?}");
    }
    for entry in std::fs::read_dir(fresh.home.join("mysql/data")).expect("readable").flatten() {
        if entry.path().extension().is_some_and(|kind| kind == "err") {
            let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
            assert!(!log.contains("in the future"), "{log}");
        }
    }
}

fn a_new_pair_grows_from_it(lab: &Lab, primary: &Node, key: &str) {
    let secondary = lab.fresh_home("again");
    std::fs::write(secondary.home.join("conf/serverstate.conf"), "slave").expect("written");
    let second = format!("127.0.0.2:{}", secondary.port());
    primary.run(&["stop"]).ok();
    primary.run(&["pack", &primary.endpoint, &second]).ok();
    let pack = primary.home.join("replication/HAPack.zip");
    std::fs::copy(pack, secondary.home.join("HAPack.zip")).expect("copied");
    secondary.run(&["install-pack"]).ok();
    secondary.run(&["key", key]).ok();
    primary.run(&["start"]).ok();
    secondary.run(&["start"]).ok();
    wait_alive_both([primary, &secondary]);
    primary.sql("INSERT INTO Ptrx_Settings VALUES ('AGAIN', 'a pair')");
    for table in ["passtrix.x", "passtrix.ptrx_settings", "passtrix.ptrx_account"] {
        let sum = format!("CHECKSUM TABLE {table}");
        wait_until(&format!("{sum} gives the same on both"), || primary.sql(&sum) == secondary.sql(&sum));
    }
}
