//! Accounts of this machine: the present account, owners of files, and changing the account.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, mkdirat};
use nix::unistd::{
    Gid, Uid, User, fchown, fchownat, getegid, geteuid, initgroups, setgroups, setresgid, setresuid, setuid,
};

use super::reading::{SMALL, read_text};

/// The owner of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// The owner in what was read of a file.
    pub(super) fn of(meta: &std::fs::Metadata) -> Self {
        Self { uid: meta.uid(), gid: meta.gid() }
    }

    /// Whether it is root.
    #[must_use]
    pub fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Whether it is the account that runs this.
    #[must_use]
    pub fn is_this_account(self) -> bool {
        self.uid == geteuid().as_raw()
    }

    /// Whether a file's metadata show that it belongs to this account.
    #[must_use]
    pub fn has(self, meta: &std::fs::Metadata) -> bool {
        self.uid == meta.uid()
    }

    /// The account that runs this, with its group.
    #[must_use]
    pub fn this_account() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// Whether both are the same account, whatever their groups.
    #[must_use]
    pub fn is_account_of(self, other: Self) -> bool {
        self.uid == other.uid
    }

    /// The name of the account, or its number if it has none.
    #[must_use]
    pub fn name(self) -> String {
        self.user().map_or_else(|| self.uid.to_string(), |user| user.name)
    }

    fn user(self) -> Option<User> {
        User::from_uid(Uid::from_raw(self.uid)).ok().flatten()
    }
}

/// The account that root has become.
static BECAME: OnceLock<(String, Option<User>)> = OnceLock::new();

/// Returns whether this account may act as any other account.
///
/// It must be the real root, and not only root of a user namespace.
#[must_use]
pub fn is_root() -> bool {
    let map = read_text(Path::new("/proc/self/uid_map"), SMALL).unwrap_or_default();
    let mapped: u64 = map
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok())
        .fold(0, u64::saturating_add);
    geteuid().is_root() && mapped != 1
}

/// Gives up root's rights for good. From now on this process can do what the account can, and no more.
pub fn become_account(to: Owner) -> Result<()> {
    let user = to.user();
    let name = to.name();
    let uid = Uid::from_raw(to.uid);
    let gid = user.as_ref().map_or(Gid::from_raw(to.gid), |user| user.gid);
    let context = || format!("cannot become the account {name}");
    match &user {
        Some(user) => initgroups(&CString::new(user.name.as_str())?, gid).with_context(context)?,
        None => setgroups(&[gid]).with_context(context)?,
    }
    setresgid(gid, gid, gid).with_context(context)?;
    setresuid(uid, uid, uid).with_context(context)?;
    if geteuid() != uid || setuid(Uid::from_raw(0)).is_ok() {
        bail!("the rights of root could not be given up");
    }
    // ignored: it can only be set already, by an earlier call for the same account
    let _ = BECAME.set((name, user));
    Ok(())
}

/// Returns the name of the account that root has become, if it has.
#[must_use]
pub fn became() -> Option<&'static str> {
    BECAME.get().map(|(name, _)| name.as_str())
}

/// A session of its own has no terminal: a program in it cannot type into the one that it was started from.
pub const APART: &str = "/usr/bin/setsid";

/// What a program of the account may know of root's environment.
const KEPT: [&str; 4] = ["PATH", "LANG", "TZ", "TERM"];

/// The command that runs another program.
///
/// Where root has become another account, the program belongs to that account, and root's terminal and
/// environment do not reach it.
#[must_use]
pub fn program(path: &Path) -> Command {
    match BECAME.get() {
        Some((name, user)) => apart(path, name, user.as_ref()),
        None => Command::new(path),
    }
}

/// The command that runs a program as another account, if this is root. It is as apart as in [`program`].
#[must_use]
pub fn program_as(path: &Path, owner: Owner) -> Command {
    if owner.is_this_account() || !is_root() {
        return program(path);
    }
    let user = owner.user();
    let mut command = apart(path, &owner.name(), user.as_ref());
    // Root's further groups are given up with this.
    command.uid(owner.uid).gid(user.map_or(owner.gid, |user| user.gid.as_raw()));
    command
}

fn apart(path: &Path, name: &str, user: Option<&User>) -> Command {
    let mut command = Command::new(APART);
    command.arg(path).env_clear();
    let is_kept = |word: &str| KEPT.contains(&word) || word.starts_with("LC_");
    command.envs(std::env::vars_os().filter(|(word, _)| word.to_str().is_some_and(is_kept)));
    command.env("USER", name).env("LOGNAME", name);
    command.env("HOME", user.map_or(Path::new("/"), |user| user.dir.as_path()));
    command
}

/// Returns which account other than root can change what is at this path; `None` if none.
///
/// It does not follow a link. For a folder that only `leads` to something, it checks who may rename its
/// content.
pub fn changed_by(path: &Path, leads: bool) -> Result<Option<String>> {
    let meta = fs::symlink_metadata(path)?;
    let owner = Owner::of(&meta);
    let mode = meta.mode();
    // Nobody can write a link, and its mode says nothing.
    let writable = |bit: u32| !meta.is_symlink() && mode & bit != 0;
    // In such a folder everybody may add names, and nobody may take away those of others.
    let is_sticky = leads && meta.is_dir() && mode & 0o1000 != 0;
    Ok(if !owner.is_root() {
        Some(format!("belongs to {}", owner.name()))
    } else if is_sticky {
        None
    } else if writable(0o002) {
        Some("is writable for everybody".to_owned())
    } else if writable(0o020) && owner.gid != 0 {
        Some("is writable for its group".to_owned())
    } else {
        None
    })
}

/// Returns why this account must not empty a folder; `None` if it may, or if there is none.
///
/// It must be a folder of this account, no link, and nobody else may exchange it or a folder on the way
/// to it. The path must be the real one.
pub fn may_be_another_s(folder: &Path) -> Result<Option<String>> {
    let meta = match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    let owner = Owner::of(&meta);
    if !meta.is_dir() {
        return Ok(Some(format!("{} is not a folder", folder.display())));
    }
    if !owner.is_this_account() {
        return Ok(Some(format!("{} belongs to {}", folder.display(), owner.name())));
    }
    for above in folder.ancestors().skip(1) {
        let why = if geteuid().is_root() { changed_by(above, true)? } else { exchanged_by(above)? };
        if let Some(why) = why {
            return Ok(Some(format!("{} {why}", above.display())));
        }
    }
    Ok(None)
}

/// As [`changed_by`], for an account that trusts itself, root and its own groups.
fn exchanged_by(folder: &Path) -> Result<Option<String>> {
    let meta = fs::symlink_metadata(folder)?;
    let owner = Owner::of(&meta);
    Ok(if !owner.is_root() && !owner.is_this_account() {
        Some(format!("belongs to {}", owner.name()))
    } else if meta.mode() & 0o1002 == 0o002 {
        Some("is writable for everybody".to_owned())
    } else {
        None
    })
}

/// Changes the owner of a path, if necessary and if this account may. What a link names stays as it is.
pub fn give_to(path: &Path, owner: Owner) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let context = || format!("cannot change the owner of {}", path.display());
    let opened = nix::fcntl::open(path, ITSELF, Mode::empty()).with_context(context)?;
    give_itself(&opened, owner).with_context(context)
}

/// Changes the owner of an opened file, if necessary and if this account may.
pub fn give_file(file: &std::fs::File, owner: Owner) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    fchown(file, Some(uid), Some(gid)).context("cannot change the owner of a file")
}

/// Gives everything in a folder to an account, and the folder itself last: as long as it is this
/// account's alone, nobody else can change what is in it. Every change is made to what was opened, and
/// never to what a link names.
pub fn give_tree(path: &Path, owner: Owner) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let context = || format!("cannot change the owner of {}", path.display());
    let top = nix::fcntl::open(path, ITSELF, Mode::empty()).with_context(context)?;
    give_opened(&top, owner).with_context(context)
}

/// Opens what a path names, be it a link, without the right to read it.
const ITSELF: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

fn give_opened(at: &OwnedFd, owner: Owner) -> Result<()> {
    let stat = fstat(at)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut folder = Dir::openat(at, ".", flags, Mode::empty())?;
        let names: Vec<CString> =
            folder.iter().map(|entry| Ok(entry?.file_name().to_owned())).collect::<nix::Result<_>>()?;
        for name in names.iter().filter(|name| ![c".", c".."].contains(&name.as_c_str())) {
            match openat(at, name.as_c_str(), ITSELF, Mode::empty()) {
                Ok(inside) => give_opened(&inside, owner)?,
                // A server that runs removes files of its own.
                Err(Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    give_itself(at, owner)
}

/// Gives what was opened, be it a link, and never a file that has another name elsewhere: an account can
/// give a file of somebody else's a name in a folder of its own.
fn give_itself(at: &OwnedFd, owner: Owner) -> Result<()> {
    let stat = fstat(at)?;
    let is_folder = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
    if !is_folder && stat.st_nlink > 1 && stat.st_uid != owner.uid {
        bail!("a file has another name elsewhere, and belongs to account {}", stat.st_uid);
    }
    if (stat.st_uid, stat.st_gid) != (owner.uid, owner.gid) {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        fchownat(at, c"", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?;
    }
    Ok(())
}

/// Lets the group of an account read a file, or enter a folder, that stays this account's own.
pub fn show_to(path: &Path, reader: Owner) -> Result<()> {
    share(path, reader, 0o640, 0o710)
}

/// Lets the group of an account make files in a folder that stays this account's own. It can change
/// nothing there that is not its own.
pub fn share_with(folder: &Path, writer: Owner) -> Result<()> {
    share(folder, writer, 0o640, 0o1770)
}

fn share(path: &Path, with: Owner, file: u32, folder: u32) -> Result<()> {
    if with.is_this_account() || !geteuid().is_root() {
        return Ok(());
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let context = || format!("cannot change the rights to {}", path.display());
    let opened = nix::fcntl::open(path, flags, Mode::empty()).with_context(context)?;
    let is_dir = SFlag::from_bits_truncate(fstat(&opened)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
    fchown(&opened, Some(geteuid()), Some(Gid::from_raw(with.gid))).with_context(context)?;
    let mode = Mode::from_bits_truncate(if is_dir { folder } else { file });
    fchmod(&opened, mode).with_context(context)
}

/// Creates a folder in the folder of an account, for that account alone.
///
/// It replaces what the account has there. It follows no link, because the account may have planted
/// one.
pub fn make_folder_of(parent: &Path, name: &str, owner: Owner) -> Result<()> {
    let context = || format!("cannot make the folder {}", parent.join(name).display());
    let folder = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let parent = nix::fcntl::open(parent, folder, Mode::empty()).with_context(context)?;
    match mkdirat(&parent, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(error).with_context(context),
    }
    let made = openat(&parent, name, folder, Mode::empty()).with_context(context)?;
    let found = fstat(&made)?;
    if geteuid().is_root() && found.st_uid != owner.uid {
        if !Uid::from_raw(found.st_uid).is_root() {
            bail!("{}: it belongs to account {}", context(), found.st_uid);
        }
        fchown(&made, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
            .with_context(context)?;
    }
    fchmod(&made, Mode::S_IRWXU).with_context(context)
}

/// Refuses an opened file that is not a file of this account.
///
/// Root opens files in the account's folder. The account may have put a link to a file of root's there.
pub fn require_owner(file: &fs::File, owner: Owner) -> std::io::Result<()> {
    let meta = file.metadata()?;
    if geteuid().is_root() && (meta.uid() != owner.uid || !meta.is_file()) {
        let (path, name) = (file.path().display(), owner.name());
        return Err(std::io::Error::other(format!(
            "{path} is not a file of the account {name}: find out why"
        )));
    }
    Ok(())
}

/// Returns whether a process acts as root, be it only later on. One that has ended does not.
#[must_use]
pub fn acts_as_root(pid: u32) -> bool {
    // The owner of its folder says nothing: of a process that has given up rights that is root, too.
    let status = read_text(Path::new(&format!("/proc/{pid}/status")), SMALL).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.is_some_and(|ids| ids.split_whitespace().any(|id| id == "0"))
}
