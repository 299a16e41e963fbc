//! A lab that belongs to another account than the one that runs the test, which is root.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Lab, NOBODY, Node, Ran, is_root};

/// Two accounts that work on the same lab: root, and one without rights.
pub struct Accounts {
    /// The binary, where both can run it.
    program: PathBuf,
    /// Where the server is, and where both see it.
    fetched: PathBuf,
    server: PathBuf,
}

impl Accounts {
    /// Makes the lab usable for both. Whose it is stays as it was.
    ///
    /// # Panics
    /// Where there is only one account: the runner leaves these tests out there, and says so.
    pub fn of(lab: &Lab) -> Self {
        assert!(is_root(), "only root can be two accounts: run the tests as root");
        assert!(super::disk::is_in_a_namespace(), "it mounts: run the tests with scripts/test");
        let open = |path: &Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
        };
        // The folders of the build and of the servers may be closed to others.
        let program = lab.dir().join("pmp-ha-of-both");
        std::fs::copy(env!("CARGO_BIN_EXE_pmp-ha"), &program).expect("copied");
        let fetched = fetched(&lab.primary);
        let server = seen_by_both(&fetched);
        for path in [lab.dir(), &lab.root, &program] {
            open(path);
        }
        let both = Self { program, fetched, server };
        for node in [&lab.primary, &lab.secondary] {
            both.can_run_the_server(node);
        }
        both
    }

    /// Makes a home run the server from where both can reach it.
    pub fn can_run_the_server(&self, node: &Node) {
        point_to(node, &self.fetched, &self.server);
    }

    /// The binary on a home, as root.
    pub fn root(&self, node: &Node, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(&node.home).args(args);
        command.env_remove("PMP_HOME").stdin(Stdio::null()).current_dir("/");
        command
    }

    /// The binary on a home, as the account without rights.
    pub fn nobody(&self, node: &Node, args: &[&str]) -> Command {
        let mut command = self.root(node, args);
        // The folder of the test is closed to it.
        command.uid(NOBODY).gid(NOBODY).env_remove("TMPDIR");
        command
    }

    /// Runs the binary on a home, as root.
    pub fn as_root(&self, node: &Node, args: &[&str]) -> Ran {
        Ran::from_command(self.root(node, args))
    }

    /// Runs the binary on a home, as the account without rights.
    pub fn as_nobody(&self, node: &Node, args: &[&str]) -> Ran {
        Ran::from_command(self.nobody(node, args))
    }
}

/// Gives a home, or a part of it, to the account without rights.
pub fn give(path: &Path) {
    done(Command::new("chown").args(["-R", "--no-dereference", &format!("{NOBODY}:{NOBODY}")]).arg(path));
}

/// What in a folder belongs to somebody else, from the folder.
pub fn of_others(folder: &Path, owner: u32) -> Vec<String> {
    let mut out = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("readable").flatten() {
            let path = entry.path();
            let Ok(meta) = path.symlink_metadata() else { continue };
            if meta.uid() != owner {
                out.push(path.strip_prefix(folder).expect("below").display().to_string());
            }
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    out.sort();
    out
}

/// Shows a folder where both can reach it. It is nowhere below a lab, which is removed with all that is
/// in it, and nothing can be written or removed there: it is still the folder that every test uses.
fn seen_by_both(folder: &Path) -> PathBuf {
    let there = std::env::temp_dir().join("server-of-both");
    std::fs::create_dir(&there).expect("made");
    done(Command::new("mount").args(["-o", "bind,ro"]).arg(folder).arg(&there));
    let refused = std::fs::write(there.join("not-to-be-written"), "").expect_err("refused");
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    there
}

/// Where the server of a lab was fetched to.
fn fetched(node: &Node) -> PathBuf {
    let script = std::fs::read_to_string(node.path("mysql/bin/mysqld")).expect("there");
    let named = script.split('"').nth(1).expect("a path in quotes");
    PathBuf::from(named.strip_suffix("/bin/mysqld").expect("the server"))
}

/// Makes a home run the server from elsewhere.
fn point_to(node: &Node, from: &Path, to: &Path) {
    let script = node.path("mysql/bin/mysqld");
    let text = std::fs::read_to_string(&script).expect("there");
    let text = text.replace(&*from.to_string_lossy(), &to.to_string_lossy());
    std::fs::write(&script, text).expect("written");
    let tool = node.path("mysql/bin/mariadb-backup");
    if tool.is_symlink() {
        std::fs::remove_file(&tool).expect("removed");
        std::os::unix::fs::symlink(to.join("bin/mariadb-backup"), &tool).expect("linked");
    }
}

pub fn done(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
}
