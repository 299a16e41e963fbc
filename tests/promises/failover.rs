//! The primary is gone: the secondary is promoted, and the old primary never serves again, but as
//! the secondary of the new one.

use nix::sys::signal::Signal;

use crate::harness::alarm::events;
use crate::harness::change::word;
use crate::harness::content::own_files;
use crate::harness::hook::Told;
use crate::harness::secret::accounts_demand_one_certificate;
use crate::harness::sql::{Db, stranger};
use crate::harness::{Lab, Node, Ran, cut, wait_alive_both, wait_until};
use crate::on_servers;

on_servers!(a_dead_primary_is_replaced_and_comes_back_as_the_secondary: mysql_5_6, mysql_9_7; left: mariadb_10_11, mariadb_11_8);
on_servers!(what_only_the_old_primary_has_is_saved_before_it_is_made_anew: mysql_5_6, mariadb_11_8; left: mysql_9_7, mariadb_10_11);
on_servers!(a_primary_that_comes_back_from_behind_a_cut_is_taken_down: mariadb_11_8; left: mysql_5_6, mysql_9_7, mariadb_10_11);

const SETTING: &str = "SELECT VALUE FROM Ptrx_Settings WHERE NAME = '{}'";

fn set(node: &Node, name: &str) {
    node.sql(&format!("INSERT INTO Ptrx_Settings VALUES ('{name}', 'by {name}')"));
}

fn has(node: &Node, name: &str) -> bool {
    node.sql(&SETTING.replace("{}", name)) == format!("by {name}")
}

/// What the product's own start script does, whoever calls it.
fn product_starts(node: &Node) -> Ran {
    let mut script = std::process::Command::new("/bin/sh");
    script.arg(node.path("bin/startDB.sh")).arg(node.port().to_string()).arg(node.path("mysql/tmp"));
    Ran::from_command(script)
}

fn a_dead_primary_is_replaced_and_comes_back_as_the_secondary(server: &str) {
    let lab = Lab::pair(server);
    let (old, new) = (&lab.primary, &lab.secondary);
    let secondary_word = word(new);
    old.run(&["recover", "--promote"]).refused(&["it is already the primary"]);
    new.run(&["recover", "--promote"]).refused(&["the primary", "is alive", "--fenced"]);
    old.run(&["rejoin"]).refused(&["has not replaced this node"]);
    set(old, "before");
    wait_until("the row is on the secondary", || has(new, "before"));
    let locks = Taken::on([old, new]);
    old.kill();

    // Its machine refuses connections, and so would a firewall before a primary that lives.
    new.run(&["recover", "--promote"]).refused(&[
        "cannot tell from here",
        "a refused connection proves nothing",
        "--fenced",
        "fence.command",
    ]);
    comes_back_although_it_was_fenced(old, new);
    let planned = new.run(&["--dry-run", "recover", "--promote", "--fenced"]).ok();
    assert!(planned.stdout.contains("may be lost"), "{planned}");
    assert!(planned.stdout.contains("begin epoch 3"), "{planned}");
    let promoted = new.run(&["--json", "recover", "--promote", "--fenced"]).ok();
    let told: serde_json::Value = serde_json::from_str(&promoted.stdout).expect("JSON");
    assert_eq!(told["epoch"], 3, "{promoted}");
    locks.given_back();
    assert!(told["loss"]["since"].is_string(), "{promoted}");
    assert_eq!(word(new), "master");
    set(new, "after");
    assert!(has(new, "before"), "what was received is there");

    // A second primary never comes up, whoever starts it.
    old.run(&["start"]).refused(&["this node is no longer the primary", "pmp-ha rejoin"]);
    assert!(product_starts(old).exits(4).stderr.contains("became the primary in epoch 3"));
    assert!(!old.is_running());
    old.run(&["pack", &old.endpoint, &new.endpoint]).refused(&["this node is no longer the primary"]);

    old.run(&["rejoin"]).ok();
    assert_eq!(word(old), secondary_word);
    wait_alive_both([old, new]);
    [old, new].into_iter().for_each(accounts_demand_one_certificate);
    exchanged(&lab);
    wait_until("the secondary has heard of the epoch of its primary", || {
        old.admin_sql("SELECT epoch FROM pmp_ha.heartbeat WHERE node = 2") == "3"
    });
    // Roles are for good.
    lab.stop();
    new.run(&["start"]).ok();
    assert!(product_starts(old).code == Some(0));
    wait_alive_both([old, new]);
    set(new, "later");
    wait_until("the row of the new primary is there", || has(old, "later"));
    old.run(&["rejoin"]).refused(&["is already the secondary"]);
}

/// The names of the tool's locks, taken in both servers by a login without a right: neither a start, nor a
/// promotion, nor a heartbeat minds.
struct Taken<'a> {
    nodes: [&'a Node; 2],
    sessions: Vec<Db>,
}

impl<'a> Taken<'a> {
    fn on(nodes: [&'a Node; 2]) -> Self {
        let mut sessions = Vec::new();
        for node in nodes {
            Self::unlogged(node, "CREATE USER nobody_at_all@localhost");
            // A session of MySQL 5.6 has one lock.
            for name in ["primary_starts", "primary_watches", "beat", "watchdog", "deep"] {
                let mut session = Db::open(stranger(node, "nobody_at_all")).expect("it logs in");
                let got = session.list(&format!("SELECT CAST(GET_LOCK('pmp_ha.{name}', 5) AS CHAR)"));
                assert_eq!(got, ["1"], "{name}");
                assert!(session.try_rows("SELECT word FROM pmp_ha_local.lock_word").is_err());
                sessions.push(session);
            }
            for question in ["is_starting", "is_watched"] {
                assert_eq!(node.admin_sql(&format!("CALL pmp_ha.{question}()")), "0", "{question}");
            }
            let mut ours = Db::admin(node);
            assert_eq!(ours.list("CALL pmp_ha.announce_watch()"), ["1"]);
            assert_eq!(node.admin_sql("CALL pmp_ha.is_watched()"), "1");
            assert_eq!(ours.list("CALL pmp_ha.announce_watch()"), ["1"]);
        }
        Self { nodes, sessions }
    }

    fn given_back(self) {
        drop(self.sessions);
        Self::unlogged(self.nodes[1], "DROP USER nobody_at_all@localhost");
    }

    fn unlogged(node: &Node, statement: &str) {
        let mut db = Db::admin(node);
        db.rows("SET SESSION sql_log_bin = 0");
        db.rows(statement);
    }
}

/// What fences the dead primary starts it instead: the promotion is undone, and the primary serves.
/// Before, its port was silent, as that of a machine is that is switched off.
fn comes_back_although_it_was_fenced(old: &Node, new: &Node) {
    let silent = std::net::TcpListener::bind(&old.endpoint).expect("its port is free");
    new.run(&["recover", "--promote"]).refused(&["cannot tell from here", "no greeting", "--fenced"]);
    let (fencing, free) = (new.path("fencing"), new.path("free"));
    let script = format!(
        "touch '{}'; n=0; until [ -e '{}' ] || [ $n = 100 ]; do n=$((n+1)); sleep 0.1; done; \
         '{}' --home '{}' start && echo fenced",
        fencing.display(),
        free.display(),
        env!("CARGO_BIN_EXE_pmp-ha"),
        old.home.display()
    );
    new.configure(&format!("[fence]\ncommand = [\"/bin/sh\", \"-c\", \"{script}\"]\n"));
    std::thread::spawn(move || {
        wait_until("it is being fenced", || fencing.exists());
        drop(silent);
        std::fs::write(free, "").expect("written");
    });
    new.run(&["recover", "--promote"])
        .refused(&["the other node came back during the promotion", "its server greets"]);
    new.configure("");
    wait_alive_both([old, new]);
    old.kill();
}

/// The pair works with its roles exchanged.
fn exchanged(lab: &Lab) {
    let (old, new) = (&lab.primary, &lab.secondary);
    wait_until("what was written meanwhile is there", || has(old, "after"));
    old.sql("INSERT INTO Ptrx_UserAudit (NAME, OPERATIONTYPE) VALUES ('x', 'login on the new secondary')");
    wait_until("its audit rows flow back", || {
        new.sql("SELECT COUNT(*) FROM Ptrx_UserAudit WHERE OPERATIONTYPE = 'login on the new secondary'")
            == "1"
    });
    let refused = crate::harness::pmp_ha(&[
        "lab",
        "sql",
        &old.home.to_string_lossy(),
        "INSERT INTO Ptrx_Settings VALUES ('stray', 'x')",
    ]);
    assert!(refused.stderr.contains("1142"), "{refused}");
    new.run(&["verify", "--deep"]).ok();
}

fn what_only_the_old_primary_has_is_saved_before_it_is_made_anew(server: &str) {
    let lab = Lab::pair(server);
    let (old, new) = (&lab.primary, &lab.secondary);
    let stop = if server.starts_with("mysql-9") { "STOP REPLICA IO_THREAD" } else { "STOP SLAVE IO_THREAD" };
    new.admin_sql(stop);
    set(old, "lost");
    old.sql("INSERT INTO Ptrx_UserAudit (NAME, OPERATIONTYPE) VALUES ('x', 'login before the end')");
    // Alive, and nothing comes from it: only who has switched it off may go on.
    new.run(&["recover", "--promote"]).refused(&["is alive"]);
    new.run(&["recover", "--promote", "--fenced"]).ok();
    assert!(!has(new, "lost"), "it never reached this node");
    let verified = old.run(&["verify"]).exits(5);
    assert!(verified.stdout.contains("[superseded]"), "{verified}");

    let refused = old.run(&["rejoin"]).refused(&["has rows that", "ptrx_settings", "lost", "rejoin --pack"]);
    let file = refused.stderr.split("saved in ").nth(1).and_then(|rest| rest.split(',').next());
    let file = std::path::PathBuf::from(file.expect("a file"));
    let hex = "by lost".bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02X}"));
    let saved = std::fs::read_to_string(&file).expect("saved");
    assert!(saved.to_uppercase().contains(&hex), "{saved}");
    assert!(!old.is_running(), "an old primary stays down");

    // Its first pack brings a CA of its own. One that is cut off leaves none.
    let before = own_files(new);
    let online = ["pack", "--online", &new.endpoint, &old.endpoint];
    if server == "mysql-5.6" {
        new.run(&online).refused(&["trusts a new CA only after a start"]);
    } else {
        cut(new.command(&online), Signal::SIGINT, |said| said.contains("2/4")).exits(130);
    }
    assert!(own_files(new) == before, "files differ");
    new.run(&["stop"]).ok();
    new.run(&["pack", "--restart", &new.endpoint, &old.endpoint]).ok();
    let pack = new.path("replication/HAPack.zip");
    let rejoined = old.run(&["rejoin", "--pack", &pack.to_string_lossy()]).ok();
    assert!(rejoined.stderr.contains("ptrx_settings"), "{rejoined}");
    wait_alive_both([old, new]);
    set(new, "after");
    wait_until("the new primary is followed", || has(old, "after") && !has(old, "lost"));

    // What the node was is kept, its role too, and as an old primary it is not started.
    let words = [word(old), "master".into()];
    old.run(&["stop"]).ok();
    for word_now in [&words[1], &words[0]] {
        old.run(&["rollback"]).ok();
        assert_eq!(word(old), *word_now);
        let started = old.run(&["start"]);
        if word_now == "master" {
            started.refused(&["this node is no longer the primary"]);
        } else {
            started.ok();
        }
    }
    wait_alive_both([old, new]);
    the_ca_of_the_old_primary_ends(old, new);
}

/// The lost disk of a primary has the key of its CA: `verify` says so until it opens nothing any more.
fn the_ca_of_the_old_primary_ends(old: &Node, new: &Node) {
    for node in [old, new] {
        let verified = node.run(&["verify"]).ok();
        assert!(verified.stdout.contains("[two-cas]"), "{verified}");
    }
    new.run(&["rotate", "--wait", "0"]).exits(3);
    let file = "replication/HASecrets.toml";
    std::fs::rename(new.path(file), old.path(file)).expect("carried");
    wait_alive_both([old, new]);
    old.run(&["rotate", "--wait", "0"]).exits(3);
    for node in [new, old] {
        // A server with old TLS restarts for it.
        wait_alive_both([old, new]);
        node.run(&["rotate", "--wait", "0"]).ok();
    }
    wait_alive_both([old, new]);
    for node in [old, new] {
        let verified = node.run(&["verify"]).ok();
        assert!(!verified.stdout.contains("two-cas"), "{verified}");
        accounts_demand_one_certificate(node);
    }
    // What the primary was before could not ask any more whether it was replaced.
    old.run(&["stop"]).ok();
    old.refuses(&["rollback"], 4, &["a primary that was replaced", "would serve as a second primary"]);
    old.run(&["start"]).ok();
    wait_alive_both([old, new]);
}

fn a_primary_that_comes_back_from_behind_a_cut_is_taken_down(server: &str) {
    let (lab, links) = Lab::pair_through_links(server);
    let (old, new) = (&lab.primary, &lab.secondary);
    // A firewall rejects what goes to a primary that serves.
    links.reject();
    let connected = std::net::TcpStream::connect(&links.to_primary.endpoint);
    assert_eq!(connected.expect_err("refused").kind(), std::io::ErrorKind::ConnectionRefused);
    set(old, "behind a firewall");
    new.run(&["recover", "--promote"]).refused(&["a refused connection proves nothing", "--fenced"]);
    let planned = new.run(&["--dry-run", "recover", "--promote", "--fenced"]).ok();
    assert!(planned.stdout.contains("check that the other node has not come back"), "{planned}");
    links.open();
    wait_until("it arrives when the firewall lets it", || has(new, "behind a firewall"));
    links.cut();
    // Behind a cut nobody can tell; what fences is believed only if it says so.
    new.run(&["recover", "--promote"]).refused(&["cannot tell from here", "--fenced"]);
    let fence = |command: &str| {
        new.configure(&format!("[replication]\nconnect_retry = 1\n[fence]\ncommand = {command}\n"));
    };
    for (command, why) in [
        (r#"["/bin/true"]"#, "did not print the line `fenced`"),
        (r#"["/bin/sh", "-c", "echo fenced; exit 3"]"#, "exit status: 3"),
        (r#"["/nowhere/fence"]"#, "cannot be run"),
    ] {
        fence(command);
        new.run(&["recover", "--promote"]).refused(&["the other node is not fenced", why]);
    }
    new.run(&["verify"]).exits(5);
    assert!(
        new.run(&["lab", "sql", &new.home.to_string_lossy(), "INSERT INTO Ptrx_Settings VALUES ('x', 'x')"])
            .stderr
            .contains("1142")
    );

    let (hooks, alarms) = (Told::of(&lab, old, "hooks"), old.path("logs/alarms.json"));
    let configured = std::fs::read_to_string(old.path("conf/pmp-ha.toml")).expect("there");
    let channel = format!("command = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n", alarms.display());
    old.configure(&format!("{configured}[[alarm.command]]\n{channel}"));
    let mut monitor = Watched::over(old);
    fence(r#"["/bin/sh", "-c", "echo $PMP_HA_OTHER_NODE >&2; echo fenced"]"#);
    new.run(&["recover", "--promote"]).ok();
    set(new, "on the new primary");
    // Whoever is at work on the home may be putting it right: he is waited for.
    let at_work = old.lock();
    links.open();
    monitor.waits_after("another pmp-ha is working on this home");
    drop(at_work);
    let said = monitor.ends_with(6);
    assert!(said.contains("became the primary in epoch 3"), "{said}");
    assert!(!old.is_running());
    the_stop_was_announced(old, &alarms);
    // An address that the old primary has leaves with it.
    let told: Vec<String> =
        hooks.lines().into_iter().filter(|line| !line.starts_with("transition")).collect();
    assert_eq!(told, ["before", "after"]);
    old.run(&["rejoin"]).ok();
    wait_alive_both([old, new]);
    wait_until("the new primary is followed", || has(old, "on the new primary"));
}

/// Its channel got one message of it, and the history has it.
fn the_stop_was_announced(old: &Node, alarms: &std::path::Path) {
    let told = events(alarms);
    let stops =
        told.iter().filter(|(_, event)| event["reasons"][0]["what"].as_str().is_some_and(stops_its_database));
    let [(name, event)] = stops.collect::<Vec<_>>()[..] else { panic!("{told:?}") };
    assert_eq!(
        (name.as_str(), &event["reasons"][0]["code"]),
        ("High Availability Failed", &"superseded".into())
    );
    let evidence = event["reasons"][0]["evidence"].as_str().expect("a text");
    assert!(evidence.contains("became the primary in epoch 3"), "{event}");
    let history = old.run(&["events"]).ok().stdout;
    assert!(history.contains("  stop        the monitor stops the database of this node: "), "{history}");
}

fn stops_its_database(what: &str) -> bool {
    what.ends_with("the monitor stops its database")
}

/// A `pmp-ha monitor` that runs, and the file with what it says of itself.
struct Watched(std::process::Child, std::path::PathBuf);

impl Watched {
    fn over(node: &Node) -> Self {
        let mut command = node.command(&["monitor", "--every", "1"]);
        let file = node.path("logs/monitor");
        let said = std::fs::File::create(&file).expect("made");
        command.stdout(std::process::Stdio::null()).stderr(said);
        Self(command.spawn().expect("it runs"), file)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.1).expect("readable")
    }

    fn waits_after(&mut self, words: &str) {
        wait_until("the monitor says that it waits, or ends", || {
            self.said().contains(words) || self.0.try_wait().expect("known").is_some()
        });
        assert!(self.said().contains(words), "{}", self.said());
    }

    fn ends_with(mut self, code: i32) -> String {
        let status = self.0.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{}", self.said());
        self.said()
    }
}
