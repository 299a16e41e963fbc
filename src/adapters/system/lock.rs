//! Locks that no other account can take, and which process holds one.
//!
//! Whoever can read a folder can lock it. So a home is locked by a file that only its owner can open.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::failure::{Failure, Kind};

/// The lock of a home, in the home.
pub const LOCK_FILE: &str = ".pmp-ha.lock";

/// A lock, held until it is dropped, so that two runs never meet.
#[derive(Debug)]
pub struct DirLock {
    _lock: Flock<std::fs::File>,
}

/// Takes the lock of a home, or of a copy of one. A folder in which this account cannot write, which
/// it can only read from, is locked itself.
pub fn lock_home(home: &Path) -> Result<DirLock> {
    let path = home.join(LOCK_FILE);
    match open_lock(&path, home) {
        Ok(file) => take(file, &path),
        Err(error)
            if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&error.kind()) =>
        {
            lock_dir(home)
        }
        Err(error) => Err(Failure::new(Kind::Refused, "cannot lock this home").code("files-of-others")
            .because(error.to_string())
            .hint(format!("{} must be a regular file of the home's owner with mode 0600. Remove it if it is not, and run pmp-ha as that owner.", path.display()))
            .into()),
    }
}

/// Takes the lock on a folder that only its owner can enter.
pub fn lock_dir(path: &Path) -> Result<DirLock> {
    take(fs::File::open(path)?, path)
}

fn open_lock(path: &Path, home: &Path) -> std::io::Result<fs::File> {
    let open = |is_new: bool| {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create_new(is_new);
        options.options_mut().mode(0o600).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
        options.open(path)
    };
    let file = match open(true) {
        Ok(file) => {
            // A run as root must not lock out the account of the product.
            if nix::unistd::geteuid().is_root() {
                let like = fs::metadata(home)?;
                std::os::unix::fs::fchown(file.file(), Some(like.uid()), Some(like.gid()))?;
            }
            file
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open(false)?,
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    let (mode, uid) = (meta.mode() & 0o777, meta.uid());
    let is_trusted = uid == 0 || uid == nix::unistd::geteuid().as_raw() || uid == fs::metadata(home)?.uid();
    if !meta.is_file() || mode & 0o077 != 0 || !is_trusted {
        let why = format!("{} has mode {mode:o} and belongs to the account {uid}", path.display());
        return Err(std::io::Error::new(ErrorKind::InvalidInput, why));
    }
    Ok(file)
}

fn take(file: fs::File, path: &Path) -> Result<DirLock> {
    match Flock::lock(file.into_parts().0, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(DirLock { _lock: lock }),
        Err((_, Errno::EWOULDBLOCK)) => bail!(
            Failure::new(Kind::Refused, "another pmp-ha is working on this home")
                .code("home-busy")
                .because(match holder(path) {
                    Some(holder) => format!("{holder} holds the lock on {}", path.display()),
                    None => format!("it holds the lock on {}", path.display()),
                })
                .hint("Wait until it has finished.")
        ),
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Returns whether somebody holds the lock of a home. Creates nothing.
#[must_use]
pub fn is_home_locked(home: &Path) -> bool {
    let path = home.join(LOCK_FILE);
    let mut options = fs::OpenOptions::new();
    options.read(true).options_mut().custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
    match options.open(&path) {
        Ok(file) => Flock::lock(file.into_parts().0, FlockArg::LockSharedNonblock).is_err(),
        Err(_) => pid_of_holder(&path).is_some(),
    }
}

/// Returns whether somebody holds the lock on a folder that [`lock_dir`] takes.
#[must_use]
pub fn is_dir_locked(path: &Path) -> bool {
    let Ok(file) = fs::File::open(path) else { return false };
    let shared = Flock::lock(file.into_parts().0, FlockArg::LockSharedNonblock);
    matches!(shared, Err((_, Errno::EWOULDBLOCK)))
}

/// The process that holds a lock, with the words that it was started with.
fn holder(path: &Path) -> Option<String> {
    let pid = pid_of_holder(path).filter(|pid| *pid != 0)?;
    let line = super::process_table::command_line_of(pid);
    let words: Vec<String> = line.iter().map(|word| word.escape_debug().to_string()).collect();
    Some(format!("process {pid} ({})", words.join(" ")))
}

/// As the kernel lists it in `/proc/locks`; 0 in another container. Source: proc(5).
fn pid_of_holder(path: &Path) -> Option<u32> {
    let meta = fs::metadata(path).ok()?;
    let (major, minor) = (nix::sys::stat::major(meta.dev()), nix::sys::stat::minor(meta.dev()));
    let (device, inode) = (format!("{major:02x}:{minor:02x}"), meta.ino().to_string());
    let table = fs::read_to_string("/proc/locks").ok()?;
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (found, number) = words.get(5)?.rsplit_once(':')?;
        if words.get(1) != Some(&"FLOCK") || number != inode {
            return None;
        }
        let pid = u32::try_from(words.get(4)?.parse::<i64>().ok()?).unwrap_or(0);
        // Some filesystems call their device otherwise here; then the process itself must have the file.
        (found == device || has_open(pid, path)).then_some(pid)
    })
}

fn has_open(pid: u32, path: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_locked_by_a_private_file_whose_holder_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().expect("a folder");
        assert!(!is_home_locked(home.path()));
        let held = lock_home(home.path()).expect("free");
        let file = home.path().join(LOCK_FILE);
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o600);
        let refused = lock_home(home.path()).expect_err("held").to_string();
        let named = format!("process {} (", std::process::id());
        assert!(refused.contains("another pmp-ha is working on this home"), "{refused}");
        assert!(refused.contains(&named) && is_home_locked(home.path()), "{refused}");
        drop(held);
        assert!(lock_home(home.path()).is_ok() && !is_home_locked(home.path()));

        // A lock on the folder itself, which any account can take, is none.
        let _stranger = lock_dir(home.path()).expect("free");
        assert!(lock_home(home.path()).is_ok());
        // What others could open is not trusted, and nothing is followed or waited for.
        fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("set");
        assert!(lock_home(home.path()).expect_err("readable").to_string().contains("mode 644"));
        fs::remove_file(&file).expect("removed");
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("made");
        assert!(lock_home(home.path()).is_err());
        fs::remove_file(&file).expect("removed");
        fs::os::unix::fs::symlink("/etc/passwd", &file).expect("made");
        assert!(lock_home(home.path()).is_err());
    }
}
