//! Bad input to every command, and to `pack`: a clear error, the right exit code, an untouched home.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::harness::{Lab, Node, Put, Ran, assert_same, command, command_of_nobody, pmp_ha, wait_until};

/// A server for what does not depend on the server.
const ANY: &str = "mariadb-10.11";

#[test]
fn refuses_what_is_no_home() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "x").expect("written");
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    for (place, why) in [
        (&dir.path().join("missing"), "No such file"),
        (&empty, "it has no folder bin"),
        (&file, "it has no folder bin"),
    ] {
        let place = place.to_string_lossy();
        for rest in [
            &["pack", "a", "b"][..],
            &["install-pack"],
            &["key", "x"],
            &["start"],
            &["stop"],
            &["verify"],
            &["recover", "--into", "x"],
            &["pack", "a", "b", "--dry-run"],
        ] {
            pmp_ha(&[&["--home", &place], rest].concat())
                .refused(&[&format!("{place} is not a PMP home"), why]);
        }
    }
    let mut left: Vec<_> =
        std::fs::read_dir(dir.path()).expect("there").flatten().map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, ["empty", "file"]);
    assert_eq!(std::fs::read_dir(&empty).expect("there").count(), 0);
}

#[test]
fn finds_the_home_around_the_current_folder_and_the_one_that_the_environment_names() {
    let lab = Lab::up(ANY);
    let stop = |change: &dyn Fn(&mut Command)| {
        let mut command = command(&["stop"]);
        change(&mut command);
        Ran::from_command(command)
    };
    let (primary, secondary) = (&lab.primary.home, &lab.secondary.home);
    let says = |home: &std::path::Path| format!("The database of {} was not running", home.display());
    stop(&|c| {
        c.current_dir(primary.join("mysql/data"));
    })
    .ok()
    .says(&[&says(primary)]);
    stop(&|c| {
        c.env("PMP_HOME", secondary);
    })
    .ok()
    .says(&[&says(secondary)]);
    // What is named counts more than where one stands.
    stop(&|c| {
        c.current_dir(primary).env("PMP_HOME", secondary);
    })
    .ok()
    .says(&[&says(secondary)]);
    stop(&|c| {
        c.current_dir("/").env("PMP_HOME", "");
    })
    .exits(2)
    .says(&["error: no PMP home was named", "because ", "hint: ", "PMP_HOME"]);
}

#[test]
fn refuses_a_command_line_or_a_configuration_that_is_wrong_with_exit_code_2() {
    let lab = Lab::up(ANY);
    let before = lab.primary.fingerprint();
    for endpoint in ["", ":1", "a:0", "a:70000", "a:b", "::1", "a b", "a'b", "[::1", "[::1]x"] {
        lab.primary.run(&["pack", "--", endpoint, "b"]).exits(2).says(&["error: "]);
        lab.primary.run(&["pack", "--", "a", endpoint]).exits(2).says(&["error: "]);
    }
    for wrong in [
        &["pack", "one"][..],
        &["pack"],
        &["no-such-command"],
        &["recover"],
        &["start", "--no-such-option"],
        &["verify", "--quiet", "--verbose"],
    ] {
        lab.primary.run(wrong).exits(2).says(&["error: "]);
    }
    assert_same(&before, &lab.primary.fingerprint(), "wrong command lines");

    for (text, why) in [
        ("[health]\nmaxlag = 3\n", "maxlag"),
        ("[database]\nstart_deadline = \"long\"\n", "start_deadline"),
        ("[database]\nstart_deadline = 0\n", "must be between 1 and 86400"),
        (
            "[replication]\nbeat = 9223372036854775807\n",
            "pmp-ha.toml:2: replication.beat must be between 1 and 3600",
        ),
        ("[replication]\nheartbeat = 5\n", "replication.heartbeat must be smaller"),
        ("this is no TOML", "TOML"),
    ] {
        let _config = Put::content(lab.primary.path("conf/pmp-ha.toml"), text);
        for rest in [
            &["pack", &lab.primary.endpoint, &lab.secondary.endpoint][..],
            &["install-pack"],
            &["start"],
            &["stop"],
            &["verify"],
        ] {
            lab.primary.refuses(rest, 2, &["cannot use the configuration", "conf/pmp-ha.toml", why]);
        }
    }
    lab.primary.refuses(
        &["stop", "--config", "/no/such/file"],
        2,
        &["cannot use the configuration /no/such/file"],
    );
}

#[test]
fn refuses_to_pack_a_home_that_is_not_whole_or_no_primary() {
    let lab = Lab::up(ANY);
    let node = &lab.primary;
    let names = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    let cannot = |texts: &[&str]| {
        node.refuses(&names, 4, &[&["cannot make a pack"], texts].concat());
    };

    lab.secondary.refuses(&names, 4, &["this home is not a primary: conf/serverstate.conf says 'slave'"]);
    for file in [
        "bin/startDB.sh",
        "bin/stopDB.sh",
        "conf/database_params.conf",
        "conf/serverstate.conf",
        "conf/manage_key.conf",
        "lib/AdventNetPassTrix.jar",
        "mysql/bin/mysqld",
        "mysql/data",
        "mysql/data/ibdata1",
        "mysql/data/ib_logfile0",
    ] {
        let _gone = Put::gone(node.path(file));
        cannot(&[&format!("the home is incomplete: {file} is missing")]);
    }
    {
        let _gone = Put::gone(node.path("mysql/data/mysql"));
        cannot(&["the data directory has an unknown version"]);
    }
    {
        let _gone = Put::gone(node.path("mysql/data/passtrix"));
        cannot(&["no folder for the schema"]);
    }
    for (text, why) in [
        ("", "cannot use conf/database_params.conf"),
        ("username=root\npassword=x\n", "url"),
        ("username=root\nurl=jdbc:postgresql://h:1/x\n", "url"),
        ("url=jdbc:mysql://localhost:2345/PassTrix\n", "username"),
        ("username=root\nurl=jdbc:mysql://localhost:99999/PassTrix\n", "does not have the form"),
    ] {
        let _params = Put::content(node.path("conf/database_params.conf"), text);
        cannot(&["cannot use conf/database_params.conf", why]);
    }
    {
        let _script = Put::replaced(node.path("bin/startDB.sh"), "--no-defaults", "");
        cannot(&["cannot use the start script: none of its lines"]);
    }
    {
        let text = std::fs::read_to_string(node.path("bin/startDB.sh")).expect("there");
        let line = text.lines().find(|line| line.contains("--no-defaults")).expect("a line");
        let other = line.replace("--no-defaults", "--defaults-file=\"$DB_HOME/own.cnf\"");
        let _own = Put::content(node.path("mysql/own.cnf"), "[mysqld]\n");
        let _script = Put::content(node.path("bin/startDB.sh"), format!("{text}\n{other}\n"));
        cannot(&[
            "cannot use the start script: its lines that start mysqld do not read the same option files",
        ]);
    }
    for (server, why) in [
        (
            "echo 'mysqld  Ver 5.0.96 for unknown-linux-gnu on x86_64 (MySQL Community Server)'",
            "the bundled server is MySQL 5.0.96, which pmp-ha does not know",
        ),
        (
            "echo 'mysqld  Ver 5.6.24 for linux-glibc2.5 on x86_64'",
            "the data directory was not written by MySQL 5.6",
        ),
        ("echo something else", "cannot read the version of the bundled server"),
        ("exit 1", "cannot read the version of the bundled server"),
    ] {
        let _server = Put::content(node.path("mysql/bin/mysqld"), format!("#!/bin/sh\n{server}\n"));
        cannot(&[why]);
    }
    let link = node.path("mysql/data/elsewhere");
    std::os::unix::fs::symlink("/tmp", &link).expect("made");
    cannot(&["the data directory contains the symbolic link elsewhere"]);
    std::fs::remove_file(&link).expect("removed");
    {
        let _link = Put::content(node.path("mysql/data/passtrix/x.isl"), "/elsewhere/x.ibd");
        cannot(&["passtrix/x.isl to a tablespace elsewhere"]);
    }

    // It was all put back, and what is good is accepted.
    lab.pack().ok();
}

#[test]
fn refuses_to_pack_for_names_that_name_no_pair_of_machines() {
    let lab = Lab::up(ANY);
    let node = &lab.primary;
    for (first, second, why) in [
        ("127.0.0.1", "pmp.invalid", "the name pmp.invalid does not resolve"),
        ("pmp.invalid", "127.0.0.2", "the name pmp.invalid does not resolve"),
        ("127.0.0.1", "127.0.0.1", "primary and secondary have the same name, 127.0.0.1"),
        ("Localhost", "localhost", "primary and secondary have the same name"),
        ("localhost", "127.0.0.1", "are the same machine, 127.0.0.1"),
        ("localhost:4000", "127.0.0.1:4000", "are the same machine, 127.0.0.1"),
        ("localhost", "198.51.100.2", "localhost leads each machine to itself, so 198.51.100.2 cannot reach"),
        ("127.0.0.1", "198.51.100.2", "127.0.0.1 leads each machine to itself"),
    ] {
        node.refuses(&["pack", first, second], 4, &["cannot make a pack", why]);
    }
    let long = format!("{}.example.com", "a".repeat(245));
    node.refuses(&["pack", "127.0.0.1", &long], 4, &["characters, but this server stores at most"]);
    // Two ports of one machine are two servers, and an address of another machine is a warning.
    node.run(&["pack", "--dry-run", "localhost:4000", "127.0.0.1:4001"]).ok();
    node.run(&["pack", "--dry-run", "198.51.100.1", "198.51.100.2"]).ok();
    let plan = node.run(&["pack", "--dry-run", "198.51.100.1", "198.51.100.2"]);
    assert!(plan.stdout.contains("warning: 198.51.100.1 is not an address of this machine"), "{plan}");
}

#[test]
fn refuses_to_touch_a_home_that_is_in_use_and_says_by_whom() {
    let lab = Lab::up(ANY);
    let node = &lab.primary;
    let names = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];

    let java = java_of(node);
    node.refuses(&names, 4, &[&format!("Password Manager Pro runs: process {} (java)", java.0.id())]);
    drop(java);
    lab.pack().ok();

    for (file, start, name) in
        [("conf/server.xml", "port=\"", "web"), ("conf/database_params.conf", "localhost:", "database")]
    {
        let port = number_after(node, file, start);
        let _listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("free");
        node.refuses(&names, 4, &[&format!("something answers on the {name} port {port} of this machine")]);
    }

    // The lock of another run; it ends with the file.
    {
        let _lock = node.lock();
        let holder = format!("process {} (", std::process::id());
        for rest in [&names[..], &["install-pack"], &["stop"], &["start"]] {
            node.refuses(rest, 4, &["another pmp-ha is working on this home", &holder]);
        }
    }

    node.run(&["start"]).ok();
    let pid = node.pid();
    node.run(&names).refused(&[
        "cannot make a pack",
        &format!("the database runs: process {pid} holds the lock on"),
        "pmp-ha stop",
    ]);
    node.run(&["install-pack"]).refused(&[&format!("the database runs: process {pid} holds the lock on")]);
    assert_eq!(node.pid(), pid);
    node.run(&["stop"]).ok();
    lab.pack().ok();
}

#[test]
fn refuses_a_home_that_this_account_cannot_write_to() {
    let lab = Lab::up(ANY);
    let node = &lab.primary;
    // For everybody to read, and for nobody but root to write.
    let chmod = |what: &str| {
        let done = Command::new("chmod").args(["-R", what]).arg(&lab.root).status();
        assert!(done.expect("it runs").success());
    };
    chmod("a+rX,a-w");
    let before = node.fingerprint();
    let home = node.home.to_string_lossy();
    let ran = Ran::from_command(command_of_nobody(
        &lab,
        &["--home", &home, "pack", &lab.primary.endpoint, &lab.secondary.endpoint],
    ))
    .refused(&[
        &format!("{home}/bin cannot be written to"),
        &format!("{home}/conf cannot be written to"),
        &format!("{home}/mysql/data cannot be written to"),
        &format!("{home}/replication cannot be written to"),
        "Run the command as the account that owns the installation",
    ]);
    assert_same(&before, &node.fingerprint(), &ran.to_string());
    chmod("u+w");
    let now = std::fs::metadata(node.path("conf")).expect("there");
    assert_eq!(now.permissions().mode() & 0o200, 0o200);
}

#[test]
fn refuses_to_pack_or_install_where_there_is_no_space() {
    let lab = Lab::up(ANY);
    lab.pack().ok();
    for (megabytes, node, rest) in [
        (70, &lab.primary, format!("pack {} {}", lab.primary.endpoint, lab.secondary.endpoint)),
        (70, &lab.secondary, format!("install-pack {}", lab.pack_file().display())),
    ] {
        on_a_small_disk(&lab, node, megabytes, &rest)
            .refused(&["there is no space: ", "may be needed", "Free "])
            .says(&["the home is as it was"]);
    }
}

#[test]
fn a_disk_that_fills_up_half_way_leaves_the_home_as_it_was() {
    let lab = Lab::up(ANY);
    lab.pack().ok();
    let node = &lab.secondary;
    let before = node.fingerprint();
    // No file may grow beyond 4 MB: the write fails as on a full disk, behind every check.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_pmp-ha"))
        .arg("--home")
        .arg(&node.home)
        .arg("install-pack")
        .arg(lab.pack_file());
    let ran = Ran::from_command(limited).exits(1).says(&[
        "error: ",
        "File too large",
        "All its changes are put back",
    ]);
    assert_same(&before, &node.fingerprint(), &ran.to_string());
    assert_eq!(node.outcome().as_deref(), Some("rolled_back"));

    node.run(&["install-pack", &lab.pack_file().to_string_lossy()]).ok();
}

/// Runs the binary on a copy of a home on a filesystem of so many MB, mounted for this run only.
fn on_a_small_disk(lab: &Lab, node: &Node, megabytes: u64, rest: &str) -> Ran {
    let script = format!(
        "set -e
        look() {{ (cd \"$DISK/home\" && find . -mindepth 1 ! -name pmp-ha-journal.jsonl ! -name .pmp-ha.lock ! -name pmp-ha.log -printf '%p %m %y\\n' | sort && find . -type f ! -name pmp-ha-journal.jsonl ! -name .pmp-ha.lock ! -name pmp-ha.log -exec sha256sum {{}} + | sort); }}
        mount -t tmpfs -o size={megabytes}m none \"$DISK\"
        cp -a \"$HOME_DIR\" \"$DISK/home\"
        look > \"$OUT.before\"
        code=0; \"$BIN\" --home \"$DISK/home\" {rest} || code=$?
        look > \"$OUT.after\"
        cmp \"$OUT.before\" \"$OUT.after\" && echo 'the home is as it was' >&2
        exit $code"
    );
    let disk = lab.dir().join("small-disk");
    std::fs::create_dir_all(&disk).expect("made");
    let namespace = if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" };
    let mut command = Command::new("unshare");
    command
        .args([namespace, "sh", "-c", &script])
        .env("DISK", &disk)
        .env("OUT", lab.dir().join("look"))
        .env("HOME_DIR", &node.home)
        .env("BIN", env!("CARGO_BIN_EXE_pmp-ha"))
        .env_remove("PMP_HOME");
    Ran::from_command(command)
}

/// A process that looks like the product's. It ends with this.
struct Java(Child);

impl Drop for Java {
    fn drop(&mut self) {
        // ignored: it may have ended already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn java_of(node: &Node) -> Java {
    // Any program that waits, under the name and at the place of the product's own.
    let program = node.path("jre/bin/java");
    if !program.exists() {
        std::fs::create_dir_all(node.path("jre/bin")).expect("made");
        std::fs::copy("/bin/sh", &program).expect("copied");
    }
    let java = Command::new(&program)
        .args(["-c", "read line", "-Dserver.home", &node.home.to_string_lossy()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it runs");
    let line = format!("/proc/{}/cmdline", java.id());
    wait_until("the process has its name", || {
        std::fs::read_to_string(&line).is_ok_and(|text| text.contains("jre/bin/java"))
    });
    Java(java)
}

fn number_after(node: &Node, file: &str, start: &str) -> u16 {
    let text = std::fs::read_to_string(node.path(file)).expect("there");
    text.match_indices(start)
        .find_map(|(at, _)| {
            let digits: String = text[at + start.len()..].chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().filter(|port| *port >= 20_000)
        })
        .expect("a port")
}
