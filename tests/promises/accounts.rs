//! Root gives nothing away: on a home of another account it works as that account, and whoever owns the
//! home can make it do nothing that he could not do himself.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Accounts, Lab, Node, Ran, of_others};
use crate::trace::{Then, traced};

const ANY: &str = "mariadb-10.11";

/// A folder of root's that nobody else may touch.
struct Treasure {
    folder: PathBuf,
    before: Vec<String>,
}

impl Treasure {
    fn beside(lab: &Lab) -> Self {
        let folder = lab.dir().join("of-root");
        std::fs::create_dir_all(folder.join("folder")).expect("made");
        for name in ["file", "folder/file", "ibdata1", "mysqld.cnf", "data"] {
            std::fs::write(folder.join(name), "of root").expect("written");
            std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).expect("set");
        }
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("set");
        let before = Self::look(&folder);
        Self { folder, before }
    }

    fn look(folder: &Path) -> Vec<String> {
        let mut out = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(next) = folders.pop() {
            let meta = next.symlink_metadata().expect("there");
            out.push(format!("{} {}:{} {:o}", next.display(), meta.uid(), meta.gid(), meta.mode()));
            if meta.is_dir() {
                folders
                    .extend(std::fs::read_dir(&next).expect("readable").flatten().map(|entry| entry.path()));
            } else {
                out.push(std::fs::read_to_string(&next).expect("readable"));
            }
        }
        out.sort();
        out
    }

    #[track_caller]
    fn is_untouched(&self, after: &Ran) {
        assert_eq!(Self::look(&self.folder), self.before, "{after}");
    }
}

/// A lab whose homes belong to an account without rights.
fn lab_of_nobody(server: &str) -> (Lab, Accounts) {
    let lab = Lab::up(server);
    let accounts = Accounts::of(&lab);
    accounts.give(&lab.root);
    (lab, accounts)
}

fn pack_args(lab: &Lab) -> [&str; 3] {
    ["pack", &lab.primary.endpoint, &lab.secondary.endpoint]
}

#[test]
fn what_a_home_s_owner_plants_reaches_nothing_of_root_s() {
    let (lab, accounts) = lab_of_nobody(ANY);
    let node = &lab.primary;
    let treasure = Treasure::beside(&lab);

    // The whole folder of the tool, and each name below it.
    symlink(&treasure.folder, node.path("conf/pmp-ha")).expect("planted");
    let ran = accounts.as_root(node, &pack_args(&lab));
    treasure.is_untouched(&ran);
    std::fs::remove_file(node.path("conf/pmp-ha")).expect("removed");

    // Whatever it writes, found by watching it.
    let pristine = lab.dir().join("pristine");
    copy(&node.home, &pristine);
    let mut names = BTreeSet::new();
    let mut as_root = Vec::new();
    let whole = traced(accounts.root(node, &pack_args(&lab)), &node.home, |change| {
        let paths = change.paths();
        let inside = paths.iter().filter_map(|path| path.strip_prefix(&node.home).ok());
        names.extend(inside.map(Path::to_path_buf));
        if change.account() != accounts.owner() && paths.iter().any(|path| path.starts_with(&node.home)) {
            as_root.push(paths);
        }
        Then::Go
    });
    whole.ran.ok();
    assert!(as_root.is_empty(), "{as_root:?}");
    assert_eq!(of_others(&node.home, accounts.owner()), Vec::<String>::new());
    assert!(names.len() > 40 && names.contains(Path::new("replication/HAPack.zip.part")), "{names:#?}");

    const RUNS: usize = 6;
    for run in 0..RUNS {
        put_back(&pristine, &node.home);
        for name in names.iter().skip(run).step_by(RUNS) {
            let at = node.home.join(name);
            let kind = if name.extension().is_some() { "file" } else { "folder" };
            // Nobody can plant anything in a folder of root's.
            let inside =
                at.parent().is_some_and(|folder| folder.canonicalize().is_ok_and(|real| real == folder));
            if inside && at.symlink_metadata().is_err() {
                symlink(treasure.folder.join(kind), &at).expect("planted");
            }
        }
        let ran = accounts.as_root(node, &pack_args(&lab));
        treasure.is_untouched(&ran);
        let settled = accounts.as_root(node, &["resume"]);
        treasure.is_untouched(&settled);
    }
}

fn copy(from: &Path, to: &Path) {
    crate::harness::done(Command::new("cp").arg("-a").arg(from).arg(to));
}

fn put_back(pristine: &Path, home: &Path) {
    std::fs::remove_dir_all(home).expect("removed");
    copy(pristine, home);
}

#[test]
fn a_folder_exchanged_in_the_middle_reaches_nothing_of_root_s() {
    let (lab, accounts) = lab_of_nobody(ANY);
    accounts.as_nobody(&lab.primary, &pack_args(&lab)).ok();
    lab.carry();
    let (node, treasure) = (&lab.secondary, Treasure::beside(&lab));
    accounts.as_root(node, &["install-pack"]).refused(&[
        "Permission denied",
        "root works on this home as its owner, nobody",
        "with chown",
    ]);
    accounts.give(&node.path("HAPack.zip"));
    let staging = node.path("mysql/data.pmp-ha-new");
    let mut exchanged = false;
    let whole = traced(accounts.root(node, &["install-pack"]), &node.home, |_| {
        if !exchanged && staging.join("ibdata1").exists() {
            std::fs::rename(&staging, staging.with_extension("aside")).expect("renamed");
            symlink(&treasure.folder, &staging).expect("planted");
            exchanged = true;
        }
        Then::Go
    });
    assert!(exchanged, "{}", whole.ran);
    treasure.is_untouched(&whole.ran);
}
