//! Accounts of this machine: who runs this, whose something is, and becoming somebody else.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgroups, setresgid, setresuid, setuid};

/// Who a file belongs to.
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

/// Makes files that this process and its children create writable for nobody else.
pub fn keep_others_from_writing() {
    let now = umask(Mode::empty());
    umask(now | Mode::S_IWGRP | Mode::S_IWOTH);
}

/// Returns whether this account may act as every other one: it is root, and not only the root of a
/// namespace that somebody without rights has made.
#[must_use]
pub fn is_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
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
const APART: &str = "/usr/bin/setsid";

/// What a program of the account may know of root's environment.
const KEPT: [&str; 4] = ["PATH", "LANG", "TZ", "TERM"];

/// The command that runs another program.
///
/// Where root has become another account, the program belongs to that account, and root's terminal and
/// environment do not reach it.
#[must_use]
pub fn program(path: &Path) -> Command {
    let Some((name, user)) = BECAME.get() else { return Command::new(path) };
    let mut command = Command::new(APART);
    command.arg(path).env_clear();
    let is_kept = |word: &str| KEPT.contains(&word) || word.starts_with("LC_");
    command.envs(std::env::vars_os().filter(|(word, _)| word.to_str().is_some_and(is_kept)));
    command.env("USER", name).env("LOGNAME", name);
    command.env("HOME", user.as_ref().map_or(Path::new("/"), |user| user.dir.as_path()));
    command
}

/// Returns who besides root may change what is at this path, which is looked at without following it;
/// `None` if nobody. Of a folder that only `leads` to something it counts who may rename what is in it.
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
        Some("can be written by everybody".to_owned())
    } else if writable(0o020) && owner.gid != 0 {
        Some("can be written by its group".to_owned())
    } else {
        None
    })
}
