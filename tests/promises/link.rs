//! A link that is cut, silent or flapping, and servers that are frozen: `verify` says so, and
//! everything heals by itself.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::crash::{TABLE, UNDER_LOAD, Writer, everything_is_there_once};
use crate::harness::{Lab, Node, wait_until};
use crate::on_every_server;
use crate::sql::Db;
use crate::verify::wait_for;

on_every_server!(
    a_link_that_was_cut_or_silent_heals_by_itself,
    a_frozen_server_is_told_and_forgotten_when_it_goes_on,
);

/// More tries than the ten after which `MySQL` 8.1 and later give up by default.
const MANY_TRIES: usize = 15;

fn a_link_that_was_cut_or_silent_heals_by_itself(server: &str) {
    let (lab, link) = Lab::pair_through_a_link(server);

    link.cut();
    write(&lab, "while the link was cut");
    wait_for(&lab.secondary, &["peer-unreachable", "receiver-connecting"]);
    lab.secondary.run(&["verify"]).exits(5);
    wait_for(&lab.primary, &["secondary-not-connected"]);
    let before = link.turned_away();
    wait_until("the secondary has tried more than ten times", || link.turned_away() > before + MANY_TRIES);
    write(&lab, "after many tries");
    assert_ne!(settings(&lab.secondary), settings(&lab.primary));
    link.open();
    in_sync_again(&lab);

    // Cut in the middle of whatever is on its way.
    lab.primary.sql(TABLE);
    let writer = Writer::start(&lab.primary, &Arc::new(AtomicU64::new(1)));
    for _ in 0..5 {
        writer.wait_for(writer.count() + UNDER_LOAD);
        link.cut();
        let before = link.turned_away();
        wait_until("the secondary has noticed", || link.turned_away() > before);
        link.open();
        lab.wait_replicating();
    }
    everything_is_there_once(&lab, &writer.end().into_iter().collect());

    link.swallow();
    write(&lab, "into the silence");
    // The receiver of MySQL 5.6 never leaves such a link: only the missing heartbeats tell.
    let told: &[&str] = if lab.speaks_old_tls_only() { &["link-silent"] } else { &["receiver-connecting"] };
    wait_for(&lab.secondary, &["peer-frozen"]);
    wait_for(&lab.secondary, told);
    assert_eq!(lab.secondary.verify().0, "Failed");
    assert_ne!(settings(&lab.secondary), settings(&lab.primary));
    link.open();
    if lab.speaks_old_tls_only() {
        // New connections work, and it holds on to the dead one until that is ended.
        assert!(lab.secondary.findings().contains(&"link-silent".into()));
        link.end_connections();
    }
    in_sync_again(&lab);
    lab.tables_are_equal();
}

fn a_frozen_server_is_told_and_forgotten_when_it_goes_on(server: &str) {
    let lab = Lab::pair(server);

    let frozen = lab.primary.freeze();
    wait_for(&lab.secondary, &["peer-frozen"]);
    assert_eq!(lab.secondary.verify().0, "Failed");
    wait_until("the link is told to be silent or gone", || {
        let found = lab.secondary.findings();
        found.contains(&"link-silent".into()) || found.contains(&"receiver-connecting".into())
    });
    wait_for(&lab.primary, &["local-frozen"]);
    answers_in_bounded_time(&lab);
    assert!(!settings(&lab.secondary).is_empty(), "the secondary goes on serving reads");
    drop(frozen);
    lab.wait_alive();
    write(&lab, "after the freeze");
    in_sync_again(&lab);

    let frozen = lab.secondary.freeze();
    wait_for(&lab.primary, &["peer-frozen"]);
    lab.primary.run(&["verify"]).exits(5);
    wait_for(&lab.secondary, &["local-frozen"]);
    answers_in_bounded_time(&lab);
    write(&lab, "while the secondary was frozen");
    drop(frozen);
    in_sync_again(&lab);
    assert_eq!(lab.primary.verify().0, "Alive");
    lab.tables_are_equal();
}

/// Whichever server is frozen, nobody who asks is kept waiting for good.
#[track_caller]
fn answers_in_bounded_time(lab: &Lab) {
    for node in [&lab.primary, &lab.secondary] {
        let begun = Instant::now();
        node.run(&["verify"]).exits(5);
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
}

fn write(lab: &Lab, value: &str) {
    lab.primary.sql(&format!("REPLACE INTO Ptrx_Settings VALUES (LEFT('{value}', 100), '{value}')"));
}

fn settings(node: &Node) -> Vec<String> {
    Db::of(node).list("SELECT NAME FROM Ptrx_Settings ORDER BY NAME")
}

#[track_caller]
fn in_sync_again(lab: &Lab) {
    lab.wait_alive();
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");
}
