//! Start scripts as administrators write them: understood, or refused with everything as it was.

use crate::harness::{Lab, Node, Put, wait_for};
use crate::on_servers;

on_servers!(an_option_that_leaves_changes_out_is_refused_or_told: mysql_5_6, mysql_9_7, mariadb_11_8; left: mariadb_10_11);
on_servers!(an_option_file_of_the_installation_is_taken_in_with_its_precedence: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);

/// The start line of a lab's script, without its `&`.
fn start_line(node: &Node) -> String {
    let script = std::fs::read_to_string(node.path("bin/startDB.sh")).expect("a script");
    let line = script.lines().find(|line| line.contains("--no-defaults")).expect("a start");
    line.trim_end_matches(" &").to_owned()
}

#[test]
fn what_does_not_reach_the_server_ends_it_and_everything_is_as_it_was() {
    let lab = Lab::up_with("mysql-5.6", "my lab", 1);
    let node = &lab.primary;
    let script = node.path("bin/startDB.sh");
    let options = start_line(node);
    let (_, options) = options.split_once(' ').expect("options");
    let plain = options.replace('"', "");
    let before = node.fingerprint();
    {
        // A variable that the shell splits at each space cannot carry the path of this home.
        let text = format!("cd \"$(dirname \"$0\")/../mysql\"\nOPTS=\"{plain}\"\nbin/mysqld $OPTS &\n");
        let _script = Put::content(script.clone(), text);
        lab.pack().refused(&["cannot use the start script", "in a variable or in quotes"]);
    }
    assert_eq!(node.fingerprint(), before);
    {
        let _script = Put::replaced(script.clone(), "--no-defaults", "--no-defaults --skip-grant-tables");
        lab.pack().refused(&["accepts every login", "startDB.sh has --skip-grant-tables"]);
    }
    assert_eq!(node.fingerprint(), before);
    for (lost, said) in [
        ("run() { shift; exec \"$DB_HOME/bin/mysqld\" \"$@\"; }\n", "it was not given --defaults-file="),
        (
            "run() {\n  for o in \"$@\"; do\n    case $o in\n      --lower*) ;;\n      *) set -- \"$@\" \"$o\" ;;\n    esac\n    shift\n  done\n  exec \"$DB_HOME/bin/mysqld\" \"$@\"\n}\n",
            "it was not given --lower-case-table-names=1",
        ),
    ] {
        let whole = std::fs::read_to_string(&script).expect("a script");
        let text = whole.replace("\"$DB_HOME/bin/mysqld\"", "run");
        let text = text.replacen("BIN=", &format!("{lost}BIN="), 1);
        let _script = Put::content(script.clone(), text);
        let ran = lab.pack().exits(1).says(&["does not pass the options", said, "was ended"]);
        assert!(!ran.stderr.contains("is not complete"), "{ran}");
        assert!(!node.is_running() && node.processes().is_empty(), "{:?}", node.processes());
    }
    assert_eq!(node.outcome().as_deref(), Some("rolled_back"));
    lab.pack().ok();
}

fn an_option_file_of_the_installation_is_taken_in_with_its_precedence(server: &str) {
    let lab = Lab::up(server);
    for (node, option) in [(&lab.primary, "--defaults-file"), (&lab.secondary, "--defaults-extra-file")] {
        let own = node.path("mysql/own.cnf");
        std::fs::create_dir(node.path("mysql/own.d")).expect("made");
        let more = node.path("mysql/own.d").display().to_string();
        let text = format!(
            "[client]\nuser = nobody\n[mysqld]\ninteractive_timeout = 77\nserver_id = 9\nwait_timeout = 700\n!includedir {more}\n"
        );
        std::fs::write(&own, text).expect("written");
        std::fs::write(node.path("mysql/own.d/more.cnf"), "[mysqld]\nwait_timeout = 800\nport = 1\n")
            .expect("written");
        let script = node.path("bin/startDB.sh");
        let text = std::fs::read_to_string(&script).expect("a script");
        let text = text.replace("--no-defaults", &format!("{option}=\"$DB_HOME/own.cnf\""));
        std::fs::write(&script, text).expect("written");
    }
    {
        let more = lab.primary.path("mysql/own.d/more.cnf");
        let _everybody = Put::content(more, "[mysqld]\nskip_grant_tables\n");
        lab.pack().refused(&["accepts every login", "more.cnf has skip-grant-tables"]);
        let told = lab.primary.run(&["doctor"]).exits(5).stdout;
        assert!(told.contains("[skip-grant-tables]"), "{told}");
    }
    lab.install();
    lab.start();
    lab.wait_alive();
    for (node, number) in [(&lab.primary, "1"), (&lab.secondary, "2")] {
        let seen = node.admin_sql(
            "SELECT CONCAT(@@GLOBAL.interactive_timeout, ' ', @@GLOBAL.wait_timeout, ' ', @@server_id, ' ', @@port)",
        );
        assert_eq!(seen, format!("77 800 {number} {}", node.port()));
    }
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('OWN', 'options')");
    lab.wait_same("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'OWN'");

    // An edit is told, and is in effect after a restart. So is one of a file that it takes in.
    {
        let _edited = Put::replaced(lab.secondary.path("mysql/own.d/more.cnf"), "800", "801");
        assert_eq!(lab.secondary.findings(), ["own-options-changed"]);
    }
    assert_eq!(lab.secondary.findings(), [""; 0]);
    let own = lab.secondary.path("mysql/own.cnf");
    let text = std::fs::read_to_string(&own).expect("there");
    std::fs::write(&own, text.replace("= 77", "= 78")).expect("written");
    let told = lab.secondary.run(&["verify"]).ok().stdout;
    assert!(told.contains("[own-options-changed]") && told.contains("own.cnf"), "{told}");
    lab.secondary.run(&["stop"]).ok();
    lab.secondary.run(&["start"]).ok();
    lab.wait_alive();
    assert!(lab.secondary.findings().is_empty(), "{:?}", lab.secondary.findings());
    assert_eq!(lab.secondary.admin_sql("SELECT @@GLOBAL.interactive_timeout"), "78");

    // A server that asks nobody who they are is no member of a pair.
    {
        let text = "[mysqld]\nwait_timeout = 800\nskip-grant-tables\n";
        let _everybody = Put::content(lab.secondary.path("mysql/own.d/more.cnf"), text);
        lab.secondary.run(&["stop"]).ok();
        lab.secondary.run(&["start"]).ok();
        let told = lab.secondary.run(&["verify"]).exits(5).stdout;
        assert!(told.contains("[everybody-let-in]"), "{told}");
        lab.secondary.run(&["install-pack"]).exits(4).says(&["more.cnf has skip-grant-tables"]);
    }

    // Whoever points the script at another file gets no server without knowing why.
    lab.secondary.run(&["stop"]).ok();
    let script = lab.secondary.path("bin/startDB.sh");
    let _other = Put::replaced(script, "\"$DB_HOME/own.cnf\" -ef", "\"$DB_HOME/other.cnf\" -ef");
    lab.secondary.run(&["start"]).exits(1).says(&["pmp-ha takes in another option file"]);
}

/// Without an error, the nodes would differ.
fn an_option_that_leaves_changes_out_is_refused_or_told(server: &str) {
    let lab = Lab::up(server);
    let with = |options: &str| format!("--no-defaults {options}");
    {
        let options = with("--binlog-ignore-db=passtrix");
        let _script = Put::replaced(lab.primary.path("bin/startDB.sh"), "--no-defaults", &options);
        lab.pack().exits(1).says(&["leaves changes out of its binlog", "binlog-ignore-db = passtrix"]);
    }
    let give = |node: &Node, options: &str| {
        let script = node.path("bin/startDB.sh");
        let text = std::fs::read_to_string(&script).expect("a script");
        std::fs::write(&script, text.replace("--no-defaults", &with(options))).expect("written");
    };
    give(&lab.primary, "--replicate-ignore-table=passtrix.ptrx_useraudit");
    give(&lab.secondary, "--replicate-wild-ignore-table=passtrix.ptrx_s%");
    lab.pack().ok();
    lab.carry();
    {
        let skip =
            if server == "mysql-9.7" { "--replica-skip-errors=1062" } else { "--slave-skip-errors=1062" };
        let script = lab.secondary.path("bin/startDB.sh");
        let _script = Put::replaced(script, "--no-defaults", &with(skip));
        lab.secondary.run(&["install-pack"]).exits(1).says(&["_skip_errors is 1062 instead of OFF"]);
    }
    lab.secondary.run(&["install-pack"]).ok();
    lab.secondary.run(&["key", &lab.key().to_string_lossy()]).ok();
    lab.start();
    lab.wait_replicating();
    wait_for(&lab.primary, &["changes-left-out"]);
    let told = lab.secondary.run(&["verify"]).exits(5).stdout;
    for text in [
        "Replication Status: Failed",
        "replicate-wild-ignore-table = passtrix.ptrx_s%",
        "replicate-ignore-table = passtrix.ptrx_useraudit",
    ] {
        assert!(told.contains(text), "no {text:?} in\n{told}");
    }
}
