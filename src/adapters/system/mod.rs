//! Everything specific to the operating system.
//!
//! Processes, sockets, the disk, locks, owners and modes, and the names of the product's scripts. A
//! second system would be a second module like this one.

mod account;
mod disk;
mod folder;
mod limits;
mod lock;
mod notify;
mod owned;
mod process;
mod process_table;
mod reading;
mod socket;
mod terminal;

use std::fs::Permissions;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err as fs;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, Flock, FlockArg, RenameFlags};

pub use account::{
    APART, Owner, acts_as_root, became, become_account, changed_by, give_file, give_to, give_tree, is_root,
    make_folder_of, may_be_another_s, program, program_as, require_owner, share_with, show_to,
};
pub use disk::{
    DIRECT_UNIT, allocate, forget_cached, forget_cached_part, is_direct, open_direct,
    open_direct_for_writing, read_direct_at, read_exact_at, write_all_at, write_direct_at,
};
pub use folder::Folder;
pub use limits::{ProcessLimits, limits_of, machine};
pub use lock::{DirLock, LOCK_FILE, is_dir_locked, is_home_locked, lock_dir, lock_home};
pub use notify::ServiceManager;
pub use owned::{open_for_a_cut_of, open_regular_of};
pub use process::{
    Resizes, first_line_of, host_name, is_alive, is_group_alive, kill_at_once, kill_group, on_stop_signal,
    protect_this_process, runs_program, spawn_script, spawn_self, started_at, terminate, this_program,
    wait_anew, works_in,
};
pub use process_table::{Owners, command_line_of, mentions, pick_processes, processes_with, server_of_group};
pub use reading::{
    LARGE, SMALL, open_for_a_cut, open_itself, open_regular, read_bytes, read_end, read_head, read_path,
    read_text, read_text_itself,
};
pub use socket::{OneCaller, connect_local, datagram_to_local, is_local_address, one_caller};
pub use terminal::TerminalModes;

/// The product's script that starts the bundled database: `startDB.sh PORT TMPDIR`.
pub const START_SCRIPT: &str = "startDB.sh";

/// The product's script that stops it: `stopDB.sh PORT USER TMPDIR [PASSWORD]`.
pub const STOP_SCRIPT: &str = "stopDB.sh";

/// The bundled server, from the home.
pub const SERVER: &str = "mysql/bin/mysqld";

/// The service script, whose link says where the product is installed.
pub const SERVICE_LINK: &str = "/etc/init.d/pmp-service";

/// Returns the process that holds a lock on the file, which for `ibdata1` is a running server.
pub fn lock_holder(path: &Path) -> Result<Option<u32>> {
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut lock = nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_WRLCK)?,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(file.file().as_fd(), FcntlArg::F_GETLK(&mut lock))
        .with_context(|| format!("cannot find out which process holds the lock on {}", path.display()))?;
    let free = i32::from(lock.l_type) == nix::libc::F_UNLCK;
    Ok(if free { None } else { Some(u32::try_from(lock.l_pid).unwrap_or(0)) })
}

/// Creates a file that only its owner can read, to write it and read it back.
///
/// It replaces what has its name: that may be somebody else's file, a link, or a pipe.
pub fn private_file(path: &Path) -> Result<fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    let options = fs::OpenOptions::from_options(options);
    let file = match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)?
        }
        opened => opened?,
    };
    // The mask of this process may have taken more away.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Opens a file for reading and writing; a new one only its owner can read.
pub fn open_private(path: &Path) -> Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW);
    Ok(fs::OpenOptions::from_options(options).open(path)?.into_parts().0)
}

/// Opens a file for adding to its end; a new one only its owner can read.
pub fn append_private(path: &Path) -> Result<fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    Ok(fs::OpenOptions::from_options(options).open(path)?)
}

/// Sets the mode bits of a path.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// Makes a folder that only its owner can enter, and its parents. A link is none.
pub fn private_dir(path: &Path) -> Result<()> {
    let mut maker = std::fs::DirBuilder::new();
    maker.recursive(true).mode(0o700);
    maker.create(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
    open_dir(path)?.set_permissions(Permissions::from_mode(0o700))?;
    Ok(())
}

/// Opens a folder itself, not one that a link names.
fn open_dir(path: &Path) -> Result<fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_DIRECTORY);
    Ok(fs::OpenOptions::from_options(options).open(path)?)
}

/// Returns the owner of a file or folder.
pub fn owner(path: &Path) -> Result<Owner> {
    Ok(Owner::of(&fs::metadata(path)?))
}

/// The mode bits of a file.
pub fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// Returns the temporary path of [`write_atomic`]. A killed run may leave it behind.
#[must_use]
pub fn temporary_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.pmp-ha-new"))
}

/// Replaces a file atomically. The new file has `mode` and the owner of `like`.
///
/// Readers see either the old text or the new one, and so does a restart after a crash.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32, like: Option<Owner>) -> Result<()> {
    let temporary = temporary_of(path);
    let written = (|| -> Result<()> {
        let mut file = private_file(&temporary)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        if let Some(owner) = like {
            give_file(file.file(), owner)?;
        }
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        Ok(())
    })();
    if written.is_err() {
        // ignored: the write failed already, and a leftover is overwritten by the next one
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_dir(path.parent().unwrap_or(Path::new("/")))
}

/// Makes the names in a folder durable.
pub fn sync_dir(path: &Path) -> Result<()> {
    fs::File::open(path)?.sync_all()?;
    Ok(())
}

/// Exchanges two paths of one filesystem atomically. Returns whether the filesystem can.
pub fn exchange(a: &Path, b: &Path) -> Result<bool> {
    match nix::fcntl::renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL | Errno::ENOSYS) => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("cannot exchange {} and {}", a.display(), b.display()))
        }
    }
}

/// Device and inode of a path.
pub fn identity(path: &Path) -> Result<(u64, u64)> {
    let meta = fs::metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// Returns the bytes that this account can still write below `path`.
///
/// If the filesystem does not count, this is the largest number.
pub fn free_space(path: &Path) -> Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)
        .with_context(|| format!("cannot find out the free space of {}", path.display()))?;
    // A filesystem has some size, or says nothing.
    if stat.blocks() == 0 {
        return Ok(u64::MAX);
    }
    Ok(stat.blocks_available() * stat.fragment_size())
}

/// Returns whether this account can create files in the folder.
#[must_use]
pub fn is_writable_dir(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK).is_ok()
}

/// Returns whether this account can write to what is at this path.
#[must_use]
pub fn is_writable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// Returns whether this account can run the program.
#[must_use]
pub fn is_runnable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// Returns whether this account can run a program, by its path or by its name in `PATH`.
#[must_use]
pub fn can_be_run(program: &str) -> bool {
    if program.contains('/') { is_runnable(program.as_ref()) } else { found_in_path(program).is_some() }
}

/// Returns where a program is that is called by its name.
#[must_use]
pub fn found_in_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(program));
    paths.find(|path| path.is_file() && is_runnable(path))
}

/// Returns whether this account can read the file.
#[must_use]
pub fn is_readable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::R_OK).is_ok()
}

/// Returns who runs this, for the journal: the account, and whether it was root before.
#[must_use]
pub fn acting_name() -> String {
    if became().is_some() { format!("root as {}", user_name()) } else { user_name() }
}

/// The account of the operating system that runs this.
#[must_use]
pub fn user_name() -> String {
    let uid = nix::unistd::getuid();
    nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// Opens or creates a private file and waits for its lock, which the handle holds.
pub fn lock_private_file(path: &Path) -> Result<Flock<std::fs::File>> {
    let mut options = fs::OpenOptions::new();
    options.options_mut().mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?.into_parts().0;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| format!("cannot lock {}", path.display()))
}

/// Returns the home that the service script's link points to.
#[must_use]
pub fn home_of_service() -> Option<PathBuf> {
    let script = fs::canonicalize(SERVICE_LINK).ok()?;
    Some(script.parent()?.parent()?.to_path_buf())
}

/// Makes a symbolic link.
pub fn link(to: &Path, at: &Path) -> Result<()> {
    Ok(fs::os::unix::fs::symlink(to, at)?)
}

/// Makes a file that a shell can run, readable for nobody else.
pub fn write_script(path: &Path, text: &str, like: Option<Owner>) -> Result<()> {
    write_atomic(path, text.as_bytes(), 0o700, like)
}
