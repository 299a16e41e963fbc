//! A small filesystem of a test's own, which can be full.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempPath;

use super::{Node, Ran};

/// Says that this process lives in a mount namespace of its own.
const INSIDE: &str = "PMP_HA_TEST_INSIDE";

/// Runs a test, `file::test` for each server, once more where it may mount a small disk that nobody
/// else sees.
#[track_caller]
pub fn in_a_namespace_of_its_own(test: &str, server: &str, inside: impl FnOnce(&str)) {
    if is_in_a_namespace() {
        return inside(server);
    }
    let name = format!("{test}::{}", server.replace(['-', '.'], "_"));
    again_in_a_namespace(&name);
}

/// As [`in_a_namespace_of_its_own`], for a test that is not one for each server.
#[track_caller]
pub fn once_in_a_namespace_of_its_own(test: &str, inside: impl FnOnce()) {
    if is_in_a_namespace() {
        return inside();
    }
    again_in_a_namespace(test);
}

/// Whether this process lives in a mount namespace of its own.
pub fn is_in_a_namespace() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// This program, to be run where it may mount.
pub fn this_program_in_a_namespace() -> Command {
    let namespace = if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" };
    let mut command = Command::new("unshare");
    command.arg(namespace).arg(std::env::current_exe().expect("a path")).env(INSIDE, "1");
    command
}

#[track_caller]
fn again_in_a_namespace(name: &str) {
    let mut command = this_program_in_a_namespace();
    command.args(["--exact", name, "--nocapture", "--include-ignored", "--test-threads=2"]);
    let ran = Ran::from_command(command).ok();
    assert!(ran.stdout.contains("1 passed"), "{ran}");
    #[expect(clippy::print_stdout, reason = "what was measured is shown when asked for")]
    {
        println!("{ran}");
    }
}

/// Moves a home onto a filesystem in memory that has so many MB of room.
pub fn of_its_own(node: &Node, room: u64) {
    let used = done(Command::new("du").args(["-sm", "--apparent-size"]).arg(&node.home));
    let used: u64 = used.split_whitespace().next().and_then(|size| size.parse().ok()).expect("a size");
    on(node, "tmpfs", &format!("size={}m,mode=700", used + room));
}

/// Moves a home onto a filesystem that knows neither `O_DIRECT` nor `fallocate`.
pub fn without_direct(node: &Node) {
    on(node, "ramfs", "mode=700");
    let file = std::fs::File::create(node.path("none-of-these")).expect("made");
    let refused = nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, 4096);
    assert_eq!(refused, Err(nix::errno::Errno::EOPNOTSUPP));
    let direct = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_DIRECT)
        .open(node.path("none-of-these"));
    assert_eq!(direct.expect_err("refused").kind(), std::io::ErrorKind::InvalidInput);
    std::fs::remove_file(node.path("none-of-these")).expect("removed");
}

fn on(node: &Node, filesystem: &str, options: &str) {
    let aside = node.home.with_extension("aside");
    std::fs::rename(&node.home, &aside).expect("moved");
    std::fs::create_dir(&node.home).expect("made");
    done(Command::new("mount").args(["-t", filesystem, "-o", options, "none"]).arg(&node.home));
    done(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&node.home));
    std::fs::remove_dir_all(&aside).expect("removed");
}

fn done(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A home as it was at a moment, to be had again.
pub struct Copy(PathBuf);

impl Copy {
    /// Copies the home to a folder that is not there yet.
    pub fn of(node: &Node, to: PathBuf) -> Self {
        done(Command::new("cp").arg("-a").arg(&node.home).arg(&to));
        Self(to)
    }

    /// Makes the home what it was.
    pub fn put_back(&self, node: &Node) {
        for entry in std::fs::read_dir(&node.home).expect("there").flatten() {
            let path = entry.path();
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.expect("removed");
        }
        done(Command::new("cp").arg("-a").arg(self.0.join(".")).arg(&node.home));
    }
}

/// A file that takes all the room there is on the disk of a home.
pub struct Filler {
    _file: TempPath,
}

impl Filler {
    pub fn of(node: &Node) -> Self {
        let filler = Self::of_what_is_left(node);
        assert!(std::fs::write(node.path("more"), vec![b'x'; 8192]).is_err(), "there is room left");
        let _ = std::fs::remove_file(node.path("more"));
        filler
    }

    /// As [`Self::of`], where somebody may be making room at this moment.
    pub fn of_what_is_left(node: &Node) -> Self {
        let mut file = tempfile::Builder::new().prefix("filler").tempfile_in(&node.home).expect("made");
        for block in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![b'x'; block]).is_ok() {}
        }
        Self { _file: file.into_temp_path() }
    }
}
