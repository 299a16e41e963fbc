//! What is made once and copied for every test: to make databases, and a pair, takes longer than most
//! of what is tested afterwards. A new build of the binary makes it again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use nix::fcntl::{Flock, FlockArg};

use super::command::pmp_ha;
use super::lab::Lab;
use super::node::Node;

/// Names the folder of a space that a test has to itself, with its own network and processes. Copies of
/// a pair have the same path and the same ports, so each needs a space of its own.
const SPACE: &str = "PMP_HA_TEST_SPACE";

/// The names by which the nodes of a pair reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Their own.
    Own,
    /// The one of the primary leads through a link.
    LinkToPrimary,
    /// Both lead through links.
    Links,
}

impl Names {
    fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::LinkToPrimary => "link",
            Self::Links => "links",
        }
    }
}

/// A lab that is never started.
pub fn pristine(server: &str, megabytes: u64) -> PathBuf {
    let build = time_of(Path::new(env!("CARGO_BIN_EXE_pmp-ha")));
    made_once(&format!("{server}-{megabytes}"), &build, |half| {
        let size = megabytes.to_string();
        pmp_ha(&["lab", "up", &half.to_string_lossy(), "--server", server, "--size", &size]).ok();
    })
}

/// A lab with a pair that was never started, at the path of all copies. `None` outside a space, and if
/// the space has such a lab already.
///
/// `make` makes the pair there, once for each build, and returns the endpoints of its links.
pub fn pair(
    server: &str,
    names: Names,
    make: impl FnOnce(&Lab) -> Vec<String>,
) -> Option<(Lab, Vec<String>)> {
    let space = PathBuf::from(std::env::var_os(SPACE)?);
    let folder = space.join("pair");
    if folder.exists() {
        return None;
    }
    let program = std::env::current_exe().expect("a path");
    let build = [Path::new(env!("CARGO_BIN_EXE_pmp-ha")), &program].map(time_of).join("-");
    let stored = made_once(&format!("pair-{server}-{}", names.word()), &build, |half| {
        let lab = Lab::up_in(server, folder.clone(), "lab", 1);
        let links = make(&lab);
        let ends = [&[lab.primary.endpoint.clone(), lab.secondary.endpoint.clone()][..], &links].concat();
        std::fs::create_dir(half).expect("made");
        std::fs::write(half.join("ends"), ends.join("\n")).expect("written");
        copy(&lab.root, &half.join("lab"));
        for register in registers(&space) {
            copy(&register, &half.join(register.file_name().expect("a name")));
        }
    });
    let ends = std::fs::read_to_string(stored.join("ends")).expect("there");
    let mut ends = ends.lines().map(ToOwned::to_owned);
    std::fs::create_dir(&folder).expect("made");
    let root = folder.join("lab");
    copy(&stored.join("lab"), &root);
    // The ports belong to these homes, as if they had been made here.
    for register in registers(&stored) {
        let here = space.join(register.file_name().expect("a name"));
        let before = std::fs::read_to_string(&here).unwrap_or_default();
        let lines = std::fs::read_to_string(&register).expect("there");
        std::fs::write(&here, before + &lines).expect("written");
        copy_mode(&register, &here);
    }
    let mut node = |name: &str| Node { home: root.join(name), endpoint: ends.next().expect("an endpoint") };
    let (primary, secondary) = (node("primary"), node("secondary"));
    Some((Lab::at(server, folder, root.clone(), primary, secondary), ends.collect()))
}

/// The files in which labs write down whose port is whose.
fn registers(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pmp-ha-lab-ports"))
        })
        .collect()
}

/// Copies without holes: a server whose disk is full can still write into the files that it has.
fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    let copied = command.args(["-a", "--sparse=never"]).arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{command:?}");
}

fn copy_mode(from: &Path, to: &Path) {
    let mode = std::fs::metadata(from).expect("there").permissions();
    std::fs::set_permissions(to, mode).expect("set");
}

/// The folder of this name for this build: `make` makes it, unless it is there.
fn made_once(name: &str, build: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let labs = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = labs.join(name);
    let whole = folder.join(build);
    // Every test may run in a process of its own.
    let lock = std::fs::File::create(labs.join(format!("{name}.lock"))).expect("made");
    let _alone = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).expect("locked");
    if whole.exists() {
        return whole;
    }
    // Of an older binary.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("removed");
    }
    std::fs::create_dir_all(&folder).expect("made");
    // A run that is cut off leaves no half lab under the name.
    let half = folder.join("half");
    make(&half);
    std::fs::rename(&half, &whole).expect("renamed");
    whole
}

/// When a program was built.
fn time_of(program: &Path) -> String {
    let built = std::fs::metadata(program).and_then(|meta| meta.modified());
    built.expect("a time").duration_since(UNIX_EPOCH).expect("after 1970").as_nanos().to_string()
}
