//! A link that is cut, silent or flapping, and servers that are frozen: `verify` says so, and
//! everything heals by itself.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::harness::alarm::Monitor;
use crate::harness::sql::Db;
use crate::harness::wire::Link;
use crate::harness::{
    Lab, Node, TABLE, UNDER_LOAD, Writer, everything_is_there_once, wait_for, wait_until, wait_until_or,
};
use crate::on_servers;

on_servers!(a_link_that_was_cut_or_silent_heals_by_itself: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(a_receiver_that_gave_up_is_started_again_by_the_monitor: mysql_5_6, mysql_9_7; left: mariadb_10_11, mariadb_11_8);
on_servers!(a_frozen_server_is_told_and_forgotten_when_it_goes_on: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);

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
    wait_for(&lab.secondary, &["peer-frozen"]);
    // The receiver of MySQL 5.6 never leaves such a link by itself: a watchdog makes it.
    wait_for(&lab.secondary, &["receiver-connecting"]);
    assert_eq!(lab.secondary.verify().0, "Failed");
    assert_ne!(settings(&lab.secondary), settings(&lab.primary));
    link.open();
    in_sync_again(&lab);
    lab.tables_are_equal();
}

/// Rows come in all the time, and for a moment nothing is applied, as behind a copy under a lock: that is no silence.
#[test]
fn a_receiver_goes_on_when_the_applier_was_held_up_for_a_moment() {
    let lab = Lab::pair("mysql-5.6");
    let (mut db, mut holder) = (Db::admin(&lab.primary), Db::admin(&lab.primary));
    let in_state = |db: &mut Db, state: &str| {
        db.list(&format!("SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = '{state}'"))
    };
    let receiver = |db: &mut Db| in_state(db, "Waiting for master to send event");
    let before = receiver(&mut db);
    assert_eq!(before.len(), 1);
    holder.rows("STOP SLAVE SQL_THREAD");
    // A source that has something to send sends no heartbeats.
    let mut busy = Db::of(&lab.secondary);
    wait_until("the watchdog hears nothing", || {
        busy.rows("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('busy')");
        !in_state(&mut db, "User sleep").is_empty()
    });
    holder.rows("START SLAVE SQL_THREAD");
    wait_until("the watchdog has looked again", || in_state(&mut db, "User sleep").is_empty());
    assert_eq!(receiver(&mut db), before, "the receiver was left alone");
    lab.wait_alive();
}

/// Its source does not answer its second question, which ends it: the account has asked too often.
fn a_receiver_that_gave_up_is_started_again_by_the_monitor(server: &str) {
    let lab = Lab::pair(server);
    let monitor = Monitor::over(&lab.secondary);
    monitor.sees("Alive");
    let is_new = server.starts_with("mysql-9");
    let questions = |most: u32| {
        let who = if is_new { "ALTER USER" } else { "GRANT USAGE ON *.* TO" };
        lab.primary.sql(&format!("{who} 'pmp_ha_repl'@'%' WITH MAX_QUERIES_PER_HOUR {most}"));
    };
    questions(1);
    let mut db = Db::admin(&lab.secondary);
    let word = if is_new { "REPLICA" } else { "SLAVE" };
    db.rows(&format!("STOP {word} IO_THREAD"));
    db.rows(&format!("START {word} IO_THREAD"));
    wait_until("the receiver has given up", || {
        let status = lab.replica_status(&lab.secondary);
        status["Replica_IO_Running"] == "No" && status["Last_IO_Errno"] != "0"
    });
    // In vain, and then again.
    let begun = "the monitor restarted the receiver here";
    wait_until_or("it is started in vain", || {
        let log = monitor.log();
        if log.contains(&format!("{begun} (try 2)")) { Ok(()) } else { Err(log) }
    });
    write(&lab, "while it was stopped");
    questions(0);
    in_sync_again(&lab);
    let events = lab.secondary.run(&["--json", "events"]).ok().stdout;
    assert!(events.contains("receiver_started") && events.contains(begun), "{events}");
    monitor.ends_well();
}

/// It asks its source a few things before it waits for events, and waits for each answer for good.
#[test]
fn a_receiver_of_mysql_5_6_whose_link_went_silent_in_its_first_questions_connects_anew() {
    const ASKS: &str = "Checking master version";
    let (lab, link) = Lab::pair_through_a_link("mysql-5.6");
    let state = || lab.replica_status(&lab.secondary).remove("Replica_IO_State").expect("there");
    // On a busy machine the moment may be over before the link is silent: then once more.
    let met = (0..8).any(|_| {
        silent_as_soon_as(&link, "it asks", |_| state() == ASKS);
        state() == ASKS
    });
    assert!(met, "{}", state());
    heals(&lab, &link, "after its first questions");
    silent_as_soon_as(&link, "it was greeted", |known| link.recorded().len() > known);
    assert_ne!(state(), ASKS);
    heals(&lab, &link, "after the greeting");

    // As when the watchdog had stopped it, and its start failed. The operator's own stop has no mark.
    let mut db = Db::admin(&lab.secondary);
    db.rows("STOP SLAVE IO_THREAD");
    db.rows("UPDATE pmp_ha_local.watch SET stopped = TRUE");
    heals(&lab, &link, "after a stop of the watchdog");
}

/// Makes the secondary connect anew, over a link that is slow and goes silent in a certain moment:
/// `come` is told how many bytes had gone through the link before.
#[track_caller]
fn silent_as_soon_as(link: &Link, what: &str, come: impl Fn(usize) -> bool) {
    let before = (link.turned_away(), link.silenced());
    link.cut();
    wait_until("it has lost its source", || link.turned_away() > before.0);
    // So slow that there is time between a question and its answer.
    link.delay(Duration::from_millis(500));
    let known = link.recorded().len();
    link.open();
    wait_until(what, || come(known));
    link.swallow();
    wait_until("a question or an answer is lost", || link.silenced() > before.1);
}

/// What was lost stays lost; whoever connects anew gets through.
#[track_caller]
fn heals(lab: &Lab, link: &Link, value: &str) {
    link.delay(Duration::ZERO);
    link.open();
    write(lab, value);
    in_sync_again(lab);
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
    lab.wait_alive();
    lab.tables_are_equal();
}

/// The secondary may be quicker with a transaction than the primary with its own commit of it, and has
/// it in no binlog. A receiver of the primary that connects in that moment is turned away for good.
#[test]
fn a_receiver_of_mysql_9_7_that_met_its_own_servers_commits_connects_again() {
    let lab = Lab::pair("mysql-9.7");
    let (mut here, mut there) = (Db::admin(&lab.primary), Db::admin(&lab.secondary));
    let uuid = here.variable("server_uuid");
    let executed = here.variable("gtid_executed").replace('\n', "");
    let own = executed.split(',').find_map(|set| set.strip_prefix(&format!("{uuid}:"))).expect("its own");
    let last: u64 = own.rsplit(['-', ':']).next().and_then(|last| last.parse().ok()).expect("a number");
    // The heartbeats of the next seconds.
    there.rows(&format!("SET GLOBAL gtid_purged = '+{uuid}:{}-{}'", last + 2, last + 6));
    here.rows("STOP REPLICA IO_THREAD");
    here.rows("START REPLICA IO_THREAD");
    wait_until("it is turned away", || {
        let status = lab.replica_status(&lab.primary);
        (status["Replica_IO_Running"].as_str(), status["Last_IO_Errno"].as_str()) == ("No", "13114")
    });
    lab.wait_alive();
    write(&lab, "after the race");
    in_sync_again(&lab);
}

/// Whichever server is frozen, nobody who asks is kept waiting for good.
#[track_caller]
fn answers_in_bounded_time(lab: &Lab) {
    for node in [&lab.primary, &lab.secondary] {
        let begun = Instant::now();
        node.run(&["verify"]).exits(5);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
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
