//! Where commits wait for the secondary, an unplanned failover loses nothing either.

use std::time::Duration;

use crate::harness::change::exchange;
use crate::harness::load::Load;
use crate::harness::sql::Db;
use crate::harness::wire::Links;
use crate::harness::{Lab, Node, wait_for, wait_for_only, wait_until, wait_until_or};
use crate::on_servers;

on_servers!(an_acknowledged_row_is_on_the_secondary_where_commits_wait_for_it: mysql_5_6, mysql_9_7, mariadb_10_11; left: mariadb_11_8);

/// So long that a machine under load does not make a commit go on without the secondary.
const ON: &str = "[replication]\nconnect_retry = 1\nsemi_sync = true\nsemi_sync_timeout = 100\n";

const ON_FOR_A_MOMENT: &str = "[replication]\nconnect_retry = 1\nsemi_sync = true\nsemi_sync_timeout = 1\n";

const OFF: &str = "[replication]\nconnect_retry = 1\n";

/// Rows that a writer has had acknowledged before the blow.
const UNDER_LOAD: usize = 20;

fn an_acknowledged_row_is_on_the_secondary_where_commits_wait_for_it(server: &str) {
    let lab = Lab::up(server);
    let links = Links::of(&lab);
    for node in [&lab.primary, &lab.secondary] {
        node.configure(ON);
    }
    lab.install_through_links(&links);
    if lab.is_mysql_5_6() {
        return a_server_that_does_not_offer_it_says_so(&lab);
    }
    lab.start();
    commits_wait(&lab, [&lab.primary, &lab.secondary]);
    let load = Load::on(&lab);
    nothing_is_lost(&lab, &links, &load, &[false, true]);
    it_goes_on_without_the_secondary_and_comes_back_by_itself(&lab, &load);

    // What is lost without it shows that the blow is one.
    reconfigured(&lab, OFF);
    load.goes_on(UNDER_LOAD);
    links.cut();
    load.goes_on_at_the_primary(UNDER_LOAD);
    lab.primary.kill();
    assert!(load.missing_on(&lab.secondary).len() >= UNDER_LOAD);
    links.open();
    lab.primary.run(&["start"]).ok();
    load.everything_is_there_once(&lab);

    // A pair that runs takes it over. A commit waits for its time then: the secondary had received it
    // before it took part, and does not say so afterwards.
    reconfigured(&lab, ON_FOR_A_MOMENT);
    commits_wait(&lab, [&lab.primary, &lab.secondary]);
    // The secondary connects anew while that time is still short.
    for node in [&lab.secondary, &lab.primary] {
        node.configure(ON);
        node.run(&["reconfigure"]).ok();
    }
    commits_wait(&lab, [&lab.primary, &lab.secondary]);
    nothing_is_lost(&lab, &links, &load, &[true]);
    drop(load);

    a_secondary_whose_commits_wait_is_set_right(&lab);

    // Who waits for whom changes with the roles.
    exchange(&lab.primary, &lab.secondary);
    commits_wait(&lab, [&lab.secondary, &lab.primary]);
}

/// Kills the primary under load, with a link that takes its time, which may be cut first.
fn nothing_is_lost(lab: &Lab, links: &Links, load: &Load, is_cut: &[bool]) {
    for &cut in is_cut {
        links.delay(Duration::from_millis(25));
        load.goes_on(UNDER_LOAD);
        if cut {
            links.cut();
        }
        lab.primary.kill();
        wait_until_or("every acknowledged row is on the secondary", || {
            let missing = load.missing_on(&lab.secondary);
            if missing.is_empty() { Ok(()) } else { Err(format!("missing: {missing:?}")) }
        });
        assert!(!lab.primary.is_running());
        links.delay(Duration::ZERO);
        links.open();
        lab.primary.run(&["start"]).ok();
        load.everything_is_there_once(lab);
    }
}

fn it_goes_on_without_the_secondary_and_comes_back_by_itself(lab: &Lab, load: &Load) {
    reconfigured(lab, ON_FOR_A_MOMENT);
    commits_wait(lab, [&lab.primary, &lab.secondary]);
    load.goes_on(UNDER_LOAD);
    lab.secondary.kill();
    load.goes_on_at_the_primary(UNDER_LOAD);
    wait_for(&lab.primary, &["semi-sync-off", "secondary-not-connected"]);
    lab.secondary.run(&["start"]).ok();
    // The audit rows that were acknowledged before the blow are among them.
    load.everything_is_there_once(lab);
    commits_wait(lab, [&lab.primary, &lab.secondary]);
}

/// As on a primary that has just given its role away: what its heartbeat changed is locked, for a long time.
fn a_secondary_whose_commits_wait_is_set_right(lab: &Lab) {
    let source = if lab.server == "mysql-9.7" { "source" } else { "master" };
    let mut db = Db::admin(&lab.secondary);
    db.rows(&format!("SET GLOBAL rpl_semi_sync_{source}_timeout = 100000"));
    db.rows(&format!("SET GLOBAL rpl_semi_sync_{source}_enabled = ON"));
    wait_until("a heartbeat waits", || {
        let rows = db.rows(&format!("SHOW STATUS LIKE 'Rpl_semi_sync_{source}_wait_sessions'"));
        rows.iter().any(|row| row["Value"] != "0")
    });
    lab.secondary.run(&["reconfigure"]).ok();
    commits_wait(lab, [&lab.primary, &lab.secondary]);
}

fn a_server_that_does_not_offer_it_says_so(lab: &Lab) {
    for node in [&lab.primary, &lab.secondary] {
        node.run(&["start"]).ok().says(&["this server has no semi-synchronous replication"]);
    }
    // Everything else is as it should be.
    lab.wait_alive();
    for node in [&lab.primary, &lab.secondary] {
        wait_for_only(node, &["semi-sync-unavailable", "semi-sync-unavailable"]);
        let ran = node.run(&["verify"]).ok();
        let evidence = "it did not load semisync_master.so and semisync_slave.so from /";
        assert!(ran.stdout.contains(evidence), "{ran}");
    }
    for node in [&lab.primary, &lab.secondary] {
        node.run(&["reconfigure"]).ok().says(&["has no semi-synchronous replication", "semisync_master.so"]);
    }
    lab.wait_alive();
}

/// Both nodes say that all is well, and each has its own side only.
fn commits_wait(lab: &Lab, [primary, secondary]: [&Node; 2]) {
    wait_until_or("commits wait for the secondary", || {
        for node in [primary, secondary] {
            let ran = node.run(&["verify"]);
            // The two words and the summary, and no finding.
            if ran.stdout.lines().count() != 3 || !ran.stdout.contains("commits wait for it") {
                return Err(ran.to_string());
            }
        }
        Ok(())
    });
    assert_eq!(sides(lab, primary), ["1", "0"]);
    assert_eq!(sides(lab, secondary), ["0", "1"]);
}

fn sides(lab: &Lab, node: &Node) -> [String; 2] {
    let words = if lab.server == "mysql-9.7" { ["source", "replica"] } else { ["master", "slave"] };
    words.map(|side| Db::admin(node).variable(&format!("rpl_semi_sync_{side}_enabled")))
}

/// Another configuration of a pair that runs, on the primary first.
fn reconfigured(lab: &Lab, text: &str) {
    for node in [&lab.primary, &lab.secondary] {
        node.configure(text);
        node.run(&["reconfigure"]).ok();
    }
}
