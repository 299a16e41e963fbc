//! Two nodes that work exchange their roles: nothing is lost, never do both accept writes, and whatever
//! fails before the role is handed over leaves the pair as it was.

use nix::sys::signal::Signal;

use crate::harness::change::{begin, end, exchange, roles};
use crate::harness::load::Load;
use crate::harness::secret::accounts_demand_one_certificate;
use crate::harness::sql::Db;
use crate::harness::wire::Links;
use crate::harness::{Going, Lab, Node, Ran, cut, send_signal, wait_alive_both, wait_until, wait_until_or};
use crate::on_servers;

on_servers!(roles_are_exchanged_under_load_and_back_again: mysql_5_6, mysql_9_7, mariadb_11_8; left: mariadb_10_11);
on_servers!(a_fault_in_the_middle_of_a_switchover_leaves_one_primary_that_serves: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(of_two_that_were_promoted_without_knowing_of_each_other_one_stays_down: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);

fn set(node: &Node, name: &str) {
    node.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('{name}', 'by {name}')"));
}

/// Its rows may be in no binlog yet, and its end would come from nowhere.
fn a_prepared_transaction_is_in_the_way(lab: &Lab) {
    let mut db = Db::of(&lab.primary);
    let prepare = |db: &mut Db, name: &str| {
        for sql in
            ["XA START ", "INSERT INTO Ptrx_Settings VALUES (@name, 'by XA')", "XA END ", "XA PREPARE "]
        {
            db.rows(&if sql.ends_with(' ') {
                format!("{sql}'{name}'")
            } else {
                sql.replace("@name", &format!("'{name}'"))
            });
        }
    };
    prepare(&mut db, "first one");
    for dry in [&["--dry-run", "switchover"][..], &["switchover", "--wait", "1"]] {
        lab.primary.run(dry).refused(&["XA has prepared", "X'6669727374206F6E65'", "XA COMMIT"]);
    }
    db.rows("XA ROLLBACK 'first one'");
    lab.primary.run(&["--dry-run", "switchover"]).ok();
    // One that came after the plan, and of which the secondary cannot know.
    let mut gives = Going::begin(lab.primary.command(&["switchover", "--wait", "60"]));
    gives.waits_for("1/8");
    let mut db = Db::admin(&lab.primary);
    db.rows("SET SESSION sql_log_bin = 0");
    prepare(&mut db, "second");
    let takes = begin(&lab.secondary, &["switchover", "--wait", "60"]);
    gives.end().exits(1).says(&["the roles were not swapped", "XA has prepared", "'second'"]);
    end(takes, "switchover on the secondary").exits(1);
    db.rows("XA ROLLBACK 'second'");
    lab.wait_alive();
}

fn roles_are_exchanged_under_load_and_back_again(server: &str) {
    let lab = Lab::pair(server);
    let (a, b) = (&lab.primary, &lab.secondary);
    let words =
        [a, b].map(|node| std::fs::read_to_string(node.path("conf/serverstate.conf")).expect("there"));
    a_prepared_transaction_is_in_the_way(&lab);
    let load = Load::on_whoever_is_primary(&lab);
    load.goes_on(20);

    // Alone nobody does anything.
    let alone = a.run(&["switchover", "--wait", "1"]).exits(1);
    assert!(alone.stderr.contains("did not take part within 1 s"), "{alone}");
    load.goes_on(5);
    assert!(a.run(&["--dry-run", "switchover"]).ok().stdout.contains("hand over the role"));
    assert!(b.run(&["--dry-run", "switchover"]).ok().stdout.contains("apply everything that it wrote"));

    // The server itself lets it sleep on a replica.
    Db::admin(a).rows("CREATE EVENT passtrix.Nightly ON SCHEDULE EVERY 1 DAY DO SET @a = 1");
    let awake = |node: &Node| {
        let status = "SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_NAME = 'Nightly'";
        Db::admin(node).list(status).concat() == "ENABLED"
    };
    let (before, mut reader) = (a.pid(), Db::of(a));
    let taken = exchange(a, b);
    if !server.starts_with("mysql-5") {
        // That one learns its new role at a start only. The others go on: their readers come again at once.
        assert_eq!(a.pid(), before, "the new secondary was not stopped");
        assert!(reader.try_rows("SELECT 1").is_err(), "who was there before has no old rights");
        assert!(Db::of(a).try_rows("SELECT COUNT(*) FROM work").is_ok());
    }
    let told: serde_json::Value = serde_json::from_str(&taken.stdout).expect("JSON");
    assert_eq!((told["role"].as_str(), told["epoch"].as_u64()), (Some("primary"), Some(2)), "{taken}");
    assert!(told["writes_refused_seconds"].is_number(), "{taken}");
    wait_alive_both([a, b]);
    [a, b].into_iter().for_each(accounts_demand_one_certificate);
    assert!(awake(b) && !awake(a), "an event runs where the primary is");
    load.goes_on_with_audit(10);
    load.goes_on_as_the_primary_there(20);
    set(b, "on the new primary");
    wait_until("it is on the old one", || {
        a.sql("SELECT COUNT(*) FROM Ptrx_Settings WHERE NAME = 'on the new primary'") == "1"
    });
    for (node, word) in [(a, &words[1]), (b, &words[0])] {
        assert_eq!(&std::fs::read_to_string(node.path("conf/serverstate.conf")).expect("there"), word);
    }
    load.everything_is_there_once(&lab);
    b.run(&["verify", "--deep"]).ok();

    // A part of the other node that fails is not waited for.
    b.configure("[switchover]\npeer_command = [\"/bin/sh\", \"-c\", \"echo no way >&2; exit 4\"]\n");
    b.run(&["switchover"]).exits(1).says(&["the part of the other node has failed", "no way"]);

    // And back, by one command that runs the other node's part.
    let program = env!("CARGO_BIN_EXE_pmp-ha");
    let home = a.home.to_string_lossy().into_owned();
    b.configure(&format!("[switchover]\npeer_command = [\"{program}\", \"--home\", \"{home}\"]\n"));
    b.run(&["switchover"]).ok();
    wait_alive_both([a, b]);
    [a, b].into_iter().for_each(accounts_demand_one_certificate);
    assert!(awake(a) && !awake(b), "an event runs where the primary is");
    load.goes_on(10);
    load.everything_is_there_once(&lab);
    lab.stop();
    lab.start();
    wait_alive_both([a, b]);
    load.everything_is_there_once(&lab);
}

/// What disturbs a switchover, when everybody waits for the other node.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The network between the nodes loses what is on its way.
    Silence,
    /// The primary's server dies, and nobody starts it.
    PrimaryDies,
    /// It dies while it hands over the role.
    OldPrimaryDies,
    /// The secondary's server dies, and nobody starts it before the commands have ended.
    SecondaryDies,
}

fn a_fault_in_the_middle_of_a_switchover_leaves_one_primary_that_serves(server: &str) {
    let (lab, links) = Lab::pair_through_links(server);
    let both = [&lab.primary, &lab.secondary];
    for fault in [Fault::Silence, Fault::PrimaryDies, Fault::OldPrimaryDies, Fault::SecondaryDies] {
        let [from, to] = roles(both, "before");
        let ran = disturbed([from, to], &links, fault);
        // Whichever way it went, nothing is left to be done by anybody.
        for ran in &ran {
            assert!(matches!(ran.code, Some(0 | 1)), "{fault:?}: {ran}");
        }
        let [leads, _] = roles(both, &format!("after {fault:?}: {} {}", ran[0], ran[1]));
        let way = if leads.home == from.home { "it went back" } else { "it went on" };
        assert!(leads.is_running(), "{fault:?}, {way}: {} {}", ran[0], ran[1]);
        let name = format!("{fault:?}, {way}");
        wait_until_or("the primary takes writes", || {
            let insert = format!("INSERT INTO Ptrx_Settings VALUES ('{name}', 'by {name}')");
            Db::of(leads).try_rows(&insert).map(|_| ()).map_err(|error| error.to_string())
        });
        for node in both.into_iter().filter(|node| !node.is_running()) {
            node.run(&["start"]).ok();
        }
        wait_alive_both(both);
        let query = format!("SELECT COUNT(*) FROM Ptrx_Settings WHERE NAME = '{name}'");
        assert_eq!(lab.wait_same(&query), "1");
    }
    roles(both, "in the end")[0].run(&["verify", "--deep"]).ok();
}

/// A switchover that something disturbs while writes are refused; how both commands ended.
fn disturbed([from, to]: [&Node; 2], links: &Links, fault: Fault) -> [Ran; 2] {
    let command = |node: &Node| Going::begin(node.command(&["switchover", "--wait", "20"]));
    let (mut gives, mut takes) = (command(from), command(to));
    let lost = || links.to_primary.silenced() + links.to_secondary.silenced();
    match fault {
        Fault::Silence => {
            gives.waits_for("2/");
            let before = lost();
            links.swallow();
            wait_until("something is lost in the silence", || lost() > before);
            links.open();
        }
        Fault::PrimaryDies => {
            gives.waits_for("3/");
            send_signal(from.pid(), "KILL");
        }
        Fault::OldPrimaryDies => {
            gives.waits_for("4/");
            send_signal(from.pid(), "KILL");
        }
        Fault::SecondaryDies => {
            takes.waits_for("3/");
            send_signal(to.pid(), "KILL");
        }
    }
    [gives.end(), takes.end()]
}

fn of_two_that_were_promoted_without_knowing_of_each_other_one_stays_down(server: &str) {
    let lab = Lab::pair(server);
    let (a, b) = (&lab.primary, &lab.secondary);
    // The one that takes the role dies when it has caught up.
    let gives = begin(a, &["switchover", "--wait", "120"]);
    let taking =
        cut(b.command(&["switchover", "--wait", "120"]), Signal::SIGKILL, |said| said.contains("3/"));
    end(gives, "switchover on the primary").ok();
    assert_eq!(b.outcome(), None, "it was cut off: {taking}");
    b.kill();
    assert_eq!(promoted(a), 4, "the number of the role that nobody took is not given again");
    a.kill();

    b.run(&["resume"]).ok();
    b.run(&["start"]).ok();
    assert_eq!(promoted(b), 3, "it knows of nothing that came after its own death");
    a.run(&["start"])
        .refused(&["became the primary in epoch 3, without knowing of this one", "pmp-ha rejoin"]);
    assert!(!a.is_running());
    a.run(&["rejoin"]).ok();
    wait_alive_both([a, b]);
    set(b, "on the new primary");
    wait_until("it is on the old one", || {
        a.sql("SELECT COUNT(*) FROM Ptrx_Settings WHERE NAME = 'on the new primary'") == "1"
    });
    b.run(&["verify", "--deep"]).ok();
}

/// Promotes a node whose primary is down; the epoch that begins.
fn promoted(node: &Node) -> u64 {
    let ran = node.run(&["--json", "recover", "--promote", "--fenced"]).ok();
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    told["epoch"].as_u64().expect("a number")
}
