//! Another account of the machine: it reads what everybody may, runs what it likes, and stops nothing.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Lab, NOBODY, Node, Put, is_root, wait_until};

const ANY: &str = "mariadb-10.11";

/// A process of another account, with words of its own choice. It ends with this.
struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        // ignored: it may have ended already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stranger {
    /// Runs a program that waits, under another name.
    fn named(name: &str, words: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.arg0(name).args(["-c", "read line"]).args(words);
        Self::running(command, words.last().expect("words"))
    }

    fn running(mut command: Command, word: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let child = command.spawn().expect("it runs");
        let line = format!("/proc/{}/cmdline", child.id());
        wait_until("the stranger has its words", || {
            std::fs::read_to_string(&line).is_ok_and(|text| text.contains(word))
        });
        Self(child)
    }
}

#[test]
fn nobody_else_on_the_machine_can_stop_it() {
    let lab = Lab::up(ANY);
    let node = &lab.primary;
    // As installers leave it: readable for everybody.
    let open = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
    };
    let mut folder = node.home.as_path();
    while folder.starts_with(std::env::temp_dir()) && folder != std::env::temp_dir() {
        open(folder);
        folder = folder.parent().expect("a parent");
    }
    let home = node.home.to_string_lossy().into_owned();

    // The lock on the folder.
    let mut flock = Command::new("flock");
    flock.args([&home, "sh", "-c", "read line"]);
    let locked = Stranger::running(flock, &home);
    wait_until("the stranger holds the lock", || {
        let again = Command::new("flock").args(["-n", &home, "true"]).status().expect("it runs");
        !again.success()
    });
    node.run(&["--dry-run", "pack", &lab.primary.endpoint, &lab.secondary.endpoint]).ok();
    // The words of Password Manager Pro, and those of an offline boot and of a server.
    let boot = format!("--defaults-file={home}/replication/pmp-ha-work/boot.cnf");
    let data = format!("--datadir={home}/mysql/data");
    let socket = format!("--socket={home}/mysql/tmp/mysql.sock");
    let strangers = [
        Stranger::named("/opt/jre/bin/java", &["-Dserver.home", &home]),
        Stranger::named("mysqld", &[&boot, &data, &socket]),
    ];
    lab.pack().ok();
    let begun = Instant::now();
    node.run(&["start"]).ok();
    node.run(&["stop"]).ok();
    node.run(&["stop"]).ok().says(&["was not running"]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    drop((locked, strangers));

    // Not even one of our own counts by its words alone: its program is another one.
    let own = Command::new("sh")
        .arg0("mysqld")
        .args(["-c", "read line", &boot, &data])
        .stdin(Stdio::piped())
        .spawn()
        .map(Stranger)
        .expect("it runs");
    node.run(&["start"]).ok();
    drop(own);
    node.run(&["stop"]).ok();

    // Nor a Java of our own that names this home and works elsewhere; the same one in the home counts.
    let java = lab.dir().join("java");
    std::fs::copy("/bin/sh", &java).expect("copied");
    let of_our_own = |folder: &Path| {
        let mut java = Command::new(&java);
        java.args(["-c", "read line", "-Dserver.home", &home]).stdin(Stdio::piped()).current_dir(folder);
        java.spawn().map(Stranger).expect("it runs")
    };
    let pack = ["--dry-run", "pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    let elsewhere = of_our_own(Path::new("/"));
    node.run(&pack).ok();
    drop(elsewhere);
    let here = of_our_own(&node.home);
    node.run(&pack).refused(&["Password Manager Pro"]);
    drop(here);
}

#[test]
fn no_file_is_waited_for_or_read_without_end() {
    let lab = Lab::pair(ANY);
    let node = &lab.secondary;
    let pipe = lab.dir().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
    let pipe = pipe.to_string_lossy().into_owned();
    let soon = |node: &Node, args: &[&str], texts: &[&str]| {
        let begun = Instant::now();
        let ran = node.run(args);
        assert_ne!(ran.code, Some(0), "{ran}");
        ran.says(texts);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    };
    let odd = "is not a regular file";
    soon(node, &["--config", &pipe, "verify"], &[odd]);
    for file in [pipe.as_str(), "/dev/zero"] {
        soon(node, &["install-pack", "--db-password-file", file], &["cannot use the password file", odd]);
        soon(node, &["install-pack", "--signed-by", file], &["cannot use the key", odd]);
        soon(node, &["inspect", file], &["is not a file"]);
    }
    let larger = "larger than 1048576 bytes";
    for file in ["conf/pmp-ha/pair.toml", "conf/pmp-ha.toml", "conf/pmp-ha/credentials.toml"] {
        let _large = Put::content(node.path(file), "#".repeat(2 << 20));
        soon(node, &["recover", "--promote"], &[larger, file]);
    }
    for file in ["conf/pmp-ha/pair.toml", "conf/pmp-ha.toml", "replication/pmp-ha-journal.jsonl"] {
        let _gone = node.path(file).exists().then(|| Put::gone(node.path(file)));
        nix::unistd::mkfifo(&node.path(file), nix::sys::stat::Mode::S_IRWXU).expect("made");
        soon(node, &["recover", "--promote"], &[odd, file]);
        std::fs::remove_file(node.path(file)).expect("removed");
    }

    // A pipe and 6 GB that look like the server's newest log.
    node.run(&["stop"]).ok();
    let [pipe, large] = ["pipe.err", "large.err"].map(|name| node.path("mysql/data").join(name));
    let sparse = std::fs::File::create(&large).expect("made");
    sparse.set_len(6 << 30).expect("sparse");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
    let begun = Instant::now();
    node.run(&["start"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    for file in [pipe, large] {
        std::fs::remove_file(file).expect("removed");
    }
}
