//! `setup --peer`: both halves from one machine, through a real sshd on loopback.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Lab, Node, Ran, assert_same, cut, free_port, listens, wait_until_or};
use crate::on_servers;

on_servers!(one_run_sets_up_both_nodes: mariadb_11_8; left: mysql_5_6, mysql_9_7, mariadb_10_11);

const SSHD: &str = "/usr/sbin/sshd";

/// A real sshd, with a key of its own. It lets root of this machine in, and ends with the test.
struct Sshd {
    child: Child,
    /// The configuration of a client that may come in.
    config: PathBuf,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // ignored: it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    fn begin(dir: &Path) -> Self {
        let dir = dir.join("ssh");
        std::fs::create_dir(&dir).expect("made");
        // sshd wants this folder, which its service would make.
        std::fs::create_dir_all("/run/sshd").expect("made");
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        for key in ["host", "user"] {
            let mut made = Command::new("ssh-keygen");
            made.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
            assert!(made.status().expect("ssh-keygen: run scripts/prerequisites --tests").success());
        }
        let port = free_port();
        let write = |name: &str, text: String| std::fs::write(dir.join(name), text).expect("written");
        let host = std::fs::read_to_string(dir.join("host.pub")).expect("made");
        write("known", format!("[127.0.0.1]:{port} {host}"));
        write(
            "sshd",
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
                 UsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n",
                path("host"),
                path("user.pub")
            ),
        );
        write(
            "client",
            format!(
                "Host pmp-b\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
                 UserKnownHostsFile {}\n  StrictHostKeyChecking yes\nHost nobody-there\n  HostName 127.0.0.1\n  Port 1\n",
                path("user"),
                path("known")
            ),
        );
        let log = std::fs::File::create(dir.join("log")).expect("a file");
        let mut command = Command::new(SSHD);
        command
            .args(["-D", "-e", "-f", &path("sshd")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{SSHD}: {error}: run scripts/prerequisites --tests"));
        let mut this = Self { child, config: dir.join("client") };
        wait_until_or("sshd listens", || {
            let ended = this.child.try_wait().expect("a child");
            let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "sshd ended:\n{log}");
            if listens(port) { Ok(()) } else { Err(log) }
        });
        this
    }
}

/// What may not change before the first step. The log tells of every run.
fn state(lab: &Lab) -> [std::collections::BTreeMap<String, String>; 2] {
    let own = ["bin", "conf", "replication", "HAPack.zip", "mysql/data"];
    [&lab.primary, &lab.secondary].map(|node: &Node| node.fingerprint_of(&own))
}

fn one_run_sets_up_both_nodes(server: &str) {
    let lab = Lab::up(server);
    let sshd = Sshd::begin(lab.dir());
    let [primary, secondary] = [&lab.primary, &lab.secondary];
    let (config, home) = (sshd.config.to_string_lossy(), secondary.home.to_string_lossy());
    // A path that a shell would take apart.
    let key = lab.dir().join("the key's folder; and more/pmp_key.key");
    std::fs::create_dir(key.parent().expect("a folder")).expect("made");
    std::fs::copy(lab.key(), &key).expect("copied");
    let key = key.to_string_lossy();
    let program = env!("CARGO_BIN_EXE_pmp-ha");
    let names = ["setup", "--primary", &primary.endpoint, "--secondary", &secondary.endpoint];
    let over = |target, home: &str, program: &str, more: &[&str]| {
        let ssh = ["--peer", target, "--ssh-config", &config, "--peer-home", home, "--peer-program", program];
        primary.command(&[&names[..], &ssh, more].concat())
    };
    let run = |target, home: &str, program: &str, more: &[&str]| {
        Ran::from_command(over(target, home, program, more))
    };

    // Whatever is wrong on the way is said before the first change.
    let before = state(&lab);
    run("nobody-there", &home, program, &["--key", &key])
        .refused(&["cannot reach nobody-there with ssh", "no-ssh"]);
    run("pmp-b", &home, "/no/such/pmp-ha", &["--key", &key])
        .refused(&["cannot run /no/such/pmp-ha on pmp-b", "--peer-program"]);
    run("pmp-b", &primary.home.to_string_lossy(), program, &["--key", &key])
        .refused(&["the installation there is a primary", "--peer-home"]);
    run("pmp-b", "/no/such/home", program, &["--key", &key]).refused(&["is not a PMP home"]);
    run("pmp-b", &home, program, &[]).exits(2).says(&["Pass --key."]);
    run("-oProxyCommand=x", &home, program, &[]).exits(2);
    let after = state(&lab);
    for (before, after) in before.iter().zip(&after) {
        assert_same(before, after, "what was refused");
    }

    // Cut off while the other half runs, nothing is begun again: that half goes on to its end.
    let begun = over("pmp-b", &home, program, &["--key", &key]);
    let ran = cut(begun, Signal::SIGKILL, |said| said.contains("Step 3 of 6: install"));
    assert_eq!(ran.code, None, "{ran}");
    // Each command is shown as it is run there.
    let ssh = format!("  $ ssh -F {config} -o BatchMode=yes pmp-b '{program} --home {home} ");
    for what in [
        &format!("--json doctor --peer {}'", primary.endpoint),
        "--json receive-pack ",
        "--yes setup --pack ",
    ] {
        assert!(ran.stderr.contains(&format!("{ssh}{what}")), "no {ssh}{what} in {ran}");
    }
    lab.wait_alive();
    let mode = std::fs::metadata(secondary.path("HAPack.zip")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A look at a busy moment may come too late to say Alive, and then the guide asks there.
    wait_until_or("nothing is due", || {
        let ran = run("pmp-b", &home, program, &[]).ok();
        if ran.stderr.contains("$ ssh") {
            Err(format!("{ran}\n{}", primary.run(&["verify"])))
        } else {
            Ok(())
        }
    });

    // What is missing there is done, and the pack is not sent twice.
    secondary.run(&["stop"]).ok();
    let ran = run("pmp-b", &home, program, &["--json"])
        .says(&["HAPack.zip was there already", "start the database."])
        .ok();
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error} in\n{ran}"));
    assert_eq!(
        (told["high_availability"].as_str(), told["replication"].as_str()),
        (Some("Alive"), Some("Alive"))
    );
    assert!(!ran.stderr.contains("make the pack."), "{ran}");
}
