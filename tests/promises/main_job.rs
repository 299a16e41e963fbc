//! The four steps of the manual, a killed primary, a lost primary.

use crate::harness::disk;
use crate::harness::{Lab, wait_until};
use crate::{on_every_server, on_old_servers};

on_every_server!(the_manual_from_the_pack_to_the_recovery);
on_old_servers!(the_manual_from_the_pack_to_the_recovery);

#[test]
fn a_pair_is_made_where_no_file_can_pass_the_cache() {
    disk::once_in_a_namespace_of_its_own("main_job::a_pair_is_made_where_no_file_can_pass_the_cache", || {
        let lab = Lab::up("mariadb-10.11");
        disk::without_direct(&lab.primary);
        disk::without_direct(&lab.secondary);
        lab.set_up(&lab.primary.endpoint);
    });
}

fn the_manual_from_the_pack_to_the_recovery(server: &str) {
    let lab = Lab::pair(server);
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('WRITTEN', 'while alive')");
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");

    lab.primary.kill();
    wait_until("verify says Failed", || lab.secondary.verify().0 == "Failed");
    assert_eq!(lab.secondary.sql("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'WRITTEN'"), "while alive");
    lab.secondary.run(&["verify"]).exits(5);

    lab.primary.run(&["start"]).ok();
    lab.wait_alive();
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('AFTER', 'it was back')");
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");

    let fresh = lab.fresh_home("fresh");
    let rows = "SELECT (SELECT COUNT(*) FROM Ptrx_Account), (SELECT MAX(PASSWORD) FROM Ptrx_Account), (SELECT COUNT(*) FROM Ptrx_UserAudit), (SELECT GROUP_CONCAT(VALUE ORDER BY NAME) FROM Ptrx_Settings)";
    let before = lab.wait_same(rows);
    let key = lab.dir().join("carried.key");
    std::fs::copy(lab.key(), &key).expect("copied");
    lab.primary.kill();
    lab.secondary.run(&["stop"]).ok();
    let into = fresh.home.to_string_lossy();
    lab.secondary.run(&["recover", "--into", &into, "--key", &key.to_string_lossy()]).ok();
    fresh.run(&["start"]).ok();
    assert_eq!(fresh.sql(rows), before);
    fresh.sql("INSERT INTO Ptrx_Settings VALUES ('NEW', 'the new primary is writable')");
    assert_eq!(std::fs::read_to_string(fresh.home.join("conf/serverstate.conf")).expect("there"), "master");
    assert_eq!(
        std::fs::read_to_string(fresh.home.join("conf/manage_key.conf")).expect("there"),
        key.to_string_lossy()
    );
}
