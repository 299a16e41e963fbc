//! Under load on both nodes: the link fails, servers die and freeze, a disk fills, binlogs go. The
//! pair heals by itself, and loses and doubles nothing.

#![expect(
    clippy::print_stdout,
    reason = "what was measured is shown with a test that fails, or when asked for"
)]

use std::time::{Duration, Instant};

use crate::harness::disk::{self, Filler};
use crate::harness::load::Load;
use crate::harness::sql::Db;
use crate::harness::{Lab, Node, is_alive, send_signal, wait_until, wait_until_or, wait_within};
use crate::on_servers;

on_servers!(a_link_that_fails_in_any_way_heals_by_itself: mysql_9_7; left: mysql_5_6, mariadb_10_11, mariadb_11_8);
on_servers!(servers_that_die_or_freeze_go_on_where_they_were: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);
on_servers!(a_disk_of_the_secondary_that_was_full_heals_by_itself: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(a_binlog_that_is_gone_is_told_in_each_direction: mysql_9_7; left: mysql_5_6, mariadb_10_11, mariadb_11_8);

/// Rows of each writer in each phase.
const ROWS: usize = 20;

/// More tries than the ten after which `MySQL` 8.1 and later give up by default.
const MANY_TRIES: usize = 15;

/// `Failed` is promised within 10 s; the machine that runs the tests may be busy.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

fn a_link_that_fails_in_any_way_heals_by_itself(server: &str) {
    let (lab, links) = Lab::pair_through_links(server);
    let both = [&lab.primary, &lab.secondary];
    let load = Load::on(&lab);
    load.goes_on(ROWS);

    say_failed("a link that is cut", &both, || links.cut());
    load.goes_on(ROWS);
    links.open();
    load.everything_is_there_once(&lab);

    // No end of a connection is ever told: what was connected stays dead, and new ones work.
    say_failed("a silent link", &both, || links.swallow());
    load.goes_on(ROWS);
    links.open();
    load.everything_is_there_once(&lab);

    say_failed("a link that is cut again", &both, || links.cut());
    let before = links.turned_away();
    wait_until_or("each node has tried more often than any retry budget allows", || {
        let now = links.turned_away();
        let tried = now.iter().zip(before).all(|(now, before)| *now > before + 2 * MANY_TRIES);
        if tried { Ok(()) } else { Err(format!("{before:?} tries before, {now:?} now")) }
    });
    load.goes_on(ROWS);
    links.open();
    load.everything_is_there_once(&lab);
    load.goes_on(ROWS);
    load.everything_is_there_once(&lab);
}

fn servers_that_die_or_freeze_go_on_where_they_were(server: &str) {
    let lab = Lab::pair(server);
    let load = Load::on(&lab);
    load.goes_on(ROWS);

    say_failed("a primary that was killed", &[&lab.secondary], || lab.primary.kill());
    load.goes_on_at_the_secondary(ROWS);
    lab.primary.run(&["start"]).ok();
    load.goes_on(ROWS);
    load.everything_is_there_once(&lab);

    say_failed("a secondary that was killed", &[&lab.primary], || lab.secondary.kill());
    load.goes_on_at_the_primary(ROWS);
    lab.secondary.run(&["start"]).ok();
    load.goes_on(ROWS);
    load.everything_is_there_once(&lab);

    let both = [&lab.primary, &lab.secondary];
    say_failed("two that were killed at once", &both, || {
        let pids = both.map(Node::pid);
        for pid in pids {
            send_signal(pid, "KILL");
        }
        wait_until("the killed servers are gone", || !pids.into_iter().any(is_alive));
    });
    lab.secondary.run(&["start"]).ok();
    lab.primary.run(&["start"]).ok();
    load.goes_on(ROWS);
    load.everything_is_there_once(&lab);

    let mut frozen = None;
    say_failed("a primary that is frozen", &both, || frozen = Some(lab.primary.freeze()));
    load.goes_on_at_the_secondary(ROWS);
    drop(frozen);
    load.goes_on(ROWS);
    load.everything_is_there_once(&lab);
}

fn a_binlog_that_is_gone_is_told_in_each_direction(server: &str) {
    let (lab, links) = Lab::pair_through_links(server);
    // One and the same answer has the word, the code and the cure.
    let names_the_cure = |node: &Node, code: &str| {
        wait_until_or(&format!("verify says {code}, and names the new pack"), || {
            let ran = node.run(&["verify"]);
            let mut told = ran.stdout.lines().skip_while(|line| !line.contains(&format!("[{code}]")));
            let hint = told.find(|line| line.trim_start().starts_with("hint:")).unwrap_or_default();
            let failed = ran.stdout.contains("Replication Status: Failed");
            if failed && hint.contains("`pmp-ha pack`") { Ok(()) } else { Err(ran.to_string()) }
        });
    };

    links.cut();
    lab.secondary.sql("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('goes with its binlog')");
    lab.secondary.drop_old_binlogs();
    links.open();
    names_the_cure(&lab.primary, "back-binlog-gone");
    names_the_cure(&lab.secondary, "back-binlog-gone");
    // The way forth is not hindered.
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('FORTH', 'flows on')");
    lab.wait_same("SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME");

    links.cut();
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('PURGED', 'with its binlog')");
    lab.primary.drop_old_binlogs();
    links.open();
    names_the_cure(&lab.secondary, "binlog-gone");
    names_the_cure(&lab.primary, "binlog-gone");

    lab.stop();
    lab.install_through_links(&links);
    lab.start();
    lab.wait_alive();
    lab.secondary.sql("INSERT INTO Ptrx_UserAudit (NAME) VALUES ('after the new pack')");
    let rows =
        lab.wait_same("SELECT NAME FROM Ptrx_UserAudit WHERE NAME LIKE '%pack' OR NAME LIKE '%binlog'");
    assert_eq!(rows, "after the new pack");
    lab.tables_are_equal();
}

/// Sees to it that every one of `nodes` says Failed soon after a fault, and prints how soon.
#[track_caller]
fn say_failed(fault: &str, nodes: &[&Node], strike: impl FnOnce()) {
    let begun = Instant::now();
    strike();
    std::thread::scope(|scope| {
        let looks: Vec<_> = nodes
            .iter()
            .map(|node| {
                scope.spawn(move || {
                    let what = format!("{} says Failed of {fault}", node.home.display());
                    // A slow look is no late one: what counts is what a look says that began in time.
                    let mut begins = begun.elapsed();
                    wait_until_or(&what, || {
                        let ran = node.run(&["verify"]);
                        let failed = ran.stdout.starts_with("High Availability Status: Failed\n");
                        if failed && ran.code == Some(5) {
                            return Ok(());
                        }
                        assert!(
                            begins < NOTICED_WITHIN,
                            "a look after {begins:?} finds nothing of {fault}\n{ran}"
                        );
                        begins = begun.elapsed();
                        Err(ran.to_string())
                    });
                    let name = node.home.file_name().expect("a name").to_string_lossy();
                    println!("{fault}: the {name} says Failed after {:.1} s", begun.elapsed().as_secs_f64());
                })
            })
            .collect();
        for look in looks {
            if let Err(panic) = look.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// The servers wait up to a minute before they look again whether there is room.
const ROOM_IS_NOTICED: Duration = Duration::from_secs(150);

fn a_disk_of_the_secondary_that_was_full_heals_by_itself(server: &str) {
    let test = "scenarios::a_disk_of_the_secondary_that_was_full_heals_by_itself";
    disk::in_a_namespace_of_its_own(test, server, |server| {
        let lab = on_a_small_disk(server);
        let load = Load::on(&lab);
        load.goes_on(ROWS);
        load.everything_is_there_once(&lab);

        let filler = Filler::of(&lab.secondary);
        load.goes_on_at_the_primary(10 * ROWS);
        is_told(&lab);
        heals(&lab, &load, filler);
    });
}

/// Not of `MySQL` 5.6, which was seen to fail with error 1062 once, nor of `MariaDB`, which may end
/// itself when a table cannot grow.
mod an_applier_that_met_a_full_disk_goes_on_by_itself {
    #[test]
    fn mysql_9_7() {
        super::an_applier_that_met_a_full_disk_goes_on_by_itself("mysql-9.7");
    }
}

/// What was received already is worth nothing when the tables cannot grow.
fn an_applier_that_met_a_full_disk_goes_on_by_itself(server: &str) {
    let test = "scenarios::an_applier_that_met_a_full_disk_goes_on_by_itself";
    disk::in_a_namespace_of_its_own(test, server, |server| {
        let lab = on_a_small_disk(server);
        let load = Load::on(&lab);
        load.goes_on(ROWS);
        load.everything_is_there_once(&lab);

        lab.primary.sql("CREATE TABLE passtrix.big (id INT PRIMARY KEY, filler LONGBLOB) ENGINE=InnoDB");
        lab.wait_same("SELECT COUNT(*) FROM big");
        let mut db = Db::admin(&lab.secondary);
        db.rows(&lab.words("STOP SLAVE SQL_THREAD"));
        for id in 0..BIG_ROWS {
            lab.primary.sql(&format!("INSERT INTO big VALUES ({id}, REPEAT('x', {BIG_ROW}))"));
        }
        wait_until("the secondary has received it all", || {
            size_of_files(&lab.secondary, "pmp-ha-relay.0") > BIG_ROWS * BIG_ROW
        });
        // The receiver holds on to the newest relay log while it waits for room.
        db.rows("FLUSH LOCAL RELAY LOGS");
        let filler = Filler::of(&lab.secondary);
        println!("{}", db.in_time(SOON, &lab.words("START SLAVE SQL_THREAD")));
        is_told(&lab);
        heals(&lab, &load, filler);
        lab.wait_same("SELECT COUNT(*), SUM(LENGTH(filler)) FROM big");
    });
}

const BIG_ROWS: u64 = 24;
const BIG_ROW: u64 = 1_000_000;

/// What a server that is well answers in.
const SOON: Duration = Duration::from_secs(5);

fn size_of_files(node: &Node, start: &str) -> u64 {
    let files = std::fs::read_dir(node.path("mysql/data")).expect("there").flatten();
    files
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.metadata().map_or(0, |meta| meta.len()))
        .sum()
}

/// A full disk is no secret.
#[track_caller]
fn is_told(lab: &Lab) {
    let begun = Instant::now();
    let mut said = String::new();
    wait_until_or("the secondary says Failed of its full disk", || {
        let ran = lab.secondary.run(&["verify"]);
        said = ran.to_string();
        let failed = ran.code == Some(5) && ran.stdout.contains("Status: Failed\n");
        if failed && ran.stdout.contains("[disk-full]") { Ok(()) } else { Err(said.clone()) }
    });
    println!("the disk is full, and {:.1} s later:\n{said}", begun.elapsed().as_secs_f64());
    what_the_server_does(lab);
}

#[track_caller]
fn heals(lab: &Lab, load: &Load, filler: Filler) {
    let begun = Instant::now();
    let _shown = LogShown(&lab.secondary);
    drop(filler);
    if lab.server.starts_with("mariadb") {
        // InnoDB may end the server when a tablespace cannot grow; its service starts it again.
        wait_within(ROOM_IS_NOTICED, "the pair is Alive", || {
            if !lab.secondary.is_running() {
                println!("the secondary had ended by itself");
                lab.secondary.run(&["start"]).ok();
            }
            lab.all_alive()
        });
    }
    load.everything_is_there_once_within(ROOM_IS_NOTICED, lab);
    println!("healed {:.1} s after there was room", begun.elapsed().as_secs_f64());
    load.goes_on(ROWS);
    load.everything_is_there_once(lab);
}

/// A pair that is Alive, whose secondary lies on a filesystem of its own with little room.
fn on_a_small_disk(server: &str) -> Lab {
    let lab = Lab::installed(server);
    // MariaDB grows ibdata1 by 64 MB at a time.
    disk::of_its_own(&lab.secondary, 256);
    lab.start();
    lab.wait_alive();
    lab
}

/// Shows what a server has to say for itself when the test fails.
struct LogShown<'a>(&'a Node);

impl Drop for LogShown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the log of the secondary ends with\n{}", last_lines(self.0));
        }
    }
}

/// For whoever reads the output: how a server behaves whose disk is full.
fn what_the_server_does(lab: &Lab) {
    let node = &lab.secondary;
    let pid = std::fs::read_to_string(node.path("mysql/data/mysql.pid")).unwrap_or_default();
    println!("its process {}: {}", pid.trim(), pid.trim().parse().is_ok_and(is_alive));
    if pid.trim().parse().is_ok_and(is_alive) {
        // A connection that got no answer is of no use any more.
        for statement in [
            "SELECT ID, USER, COMMAND, TIME, STATE, INFO FROM information_schema.PROCESSLIST",
            &lab.words("SHOW SLAVE STATUS"),
        ] {
            // A MySQL 5.6 whose disk is full may let nobody in.
            match Db::try_admin(node) {
                Ok(mut db) => println!("{}", db.in_time(SOON, statement)),
                Err(error) => println!("nobody is let in: {error}"),
            }
        }
    }
    println!("{}", last_lines(node));
}

fn last_lines(node: &Node) -> String {
    let logs = std::fs::read_dir(node.path("mysql/data")).expect("there").flatten().map(|entry| entry.path());
    let logs = logs.filter(|path| path.extension().is_some_and(|kind| kind == "err"));
    let tail = |path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("Aborted connection")).collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    };
    logs.map(tail).collect::<Vec<_>>().join("\n")
}
