//! What belongs to root, and homes that belong to somebody else.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::both::{Accounts, done, give};
use super::{Lab, Node, Ran};

/// A folder of root's that nobody else may touch.
pub struct Treasure {
    pub folder: PathBuf,
    before: Vec<String>,
}

impl Treasure {
    pub fn beside(lab: &Lab) -> Self {
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
                out.push(String::from_utf8_lossy(&std::fs::read(&next).expect("readable")).into_owned());
            }
        }
        out.sort();
        out
    }

    #[track_caller]
    pub fn is_untouched(&self, after: &Ran) {
        assert_eq!(Self::look(&self.folder), self.before, "{after}");
    }
}

/// A lab whose homes belong to an account without rights.
pub fn lab_of_nobody(server: &str) -> (Lab, Accounts) {
    let lab = Lab::up(server);
    let accounts = Accounts::of(&lab);
    give(&lab.root);
    (lab, accounts)
}

pub fn pack_args(lab: &Lab) -> [&str; 3] {
    ["pack", &lab.primary.endpoint, &lab.secondary.endpoint]
}

pub fn copy(from: &Path, to: &Path) {
    done(Command::new("cp").arg("-a").arg(from).arg(to));
}

pub fn put_back(pristine: &Path, home: &Path) {
    std::fs::remove_dir_all(home).expect("removed");
    copy(pristine, home);
}

/// A lab whose homes are root's, and whose data belong to the account of the server.
pub fn lab_of_root(server: &str) -> (Lab, Accounts) {
    let lab = Lab::up(server);
    let accounts = Accounts::of(&lab);
    for node in [&lab.primary, &lab.secondary] {
        given_to_the_server(node);
    }
    (lab, accounts)
}

/// Gives the data of a home of root's to the account of the server.
pub fn given_to_the_server(node: &Node) {
    for open in [node.home.clone(), node.path("conf")] {
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o711)).expect("set");
    }
    for given in ["mysql/data", "mysql/tmp"] {
        give(&node.path(given));
    }
    let script = node.path("bin/startDB.sh");
    let text = std::fs::read_to_string(&script).expect("there");
    assert!(text.contains("--user=root"), "{text}");
    std::fs::write(&script, text.replace("--user=root", "--user=nobody")).expect("written");
}
