//! A folder that was opened once. What is made below it is where it was opened, whatever its path names
//! later.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::account::Owner;
use super::private_dir;

/// Opens a folder itself, and nothing that a link names.
const ITSELF: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// An opened folder, to make files below it.
pub struct Folder {
    opened: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Makes a folder that only this account can enter, and opens it.
    ///
    /// # Errors
    /// If there is a link, or something of another account.
    pub fn private(path: &Path) -> Result<Self> {
        private_dir(path)?;
        let folder = Self::open(path)?;
        if !folder.owner()?.is_this_account() {
            bail!("the folder {} belongs to {}", path.display(), folder.owner()?.name());
        }
        Ok(folder)
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// If there is none, or a link.
    pub fn open(path: &Path) -> Result<Self> {
        let opened = nix::fcntl::open(path, ITSELF, Mode::empty())
            .with_context(|| format!("cannot open the folder {}", path.display()))?;
        Ok(Self { opened, path: path.to_path_buf() })
    }

    /// Its owner.
    pub fn owner(&self) -> Result<Owner> {
        let stat = fstat(&self.opened)?;
        Ok(Owner { uid: stat.st_uid, gid: stat.st_gid })
    }

    /// Makes a new file below it that only its owner can read, and the folders on the way to it.
    ///
    /// It follows no link, and replaces what has the file's name.
    pub fn private_file(&self, below: &Path) -> Result<fs::File> {
        let path = self.path.join(below);
        let context = || format!("cannot make {}", path.display());
        let name = below.file_name().with_context(context)?;
        let mut folder: Option<OwnedFd> = None;
        for part in below.parent().into_iter().flat_map(Path::components) {
            let Component::Normal(part) = part else { bail!(context()) };
            let at = folder.as_ref().unwrap_or(&self.opened);
            match mkdirat(at, part, Mode::S_IRWXU) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error).with_context(context),
            }
            folder = Some(openat(at, part, ITSELF, Mode::empty()).with_context(context)?);
        }
        let at = folder.as_ref().unwrap_or(&self.opened);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let only_its_owner = Mode::S_IRUSR | Mode::S_IWUSR;
        let opened = match openat(at, name, flags, only_its_owner) {
            Err(Errno::EEXIST) => {
                unlinkat(at, name, UnlinkatFlags::NoRemoveDir).with_context(context)?;
                openat(at, name, flags, only_its_owner)
            }
            opened => opened,
        };
        let file = fs::File::from_parts(opened.with_context(context)?.into(), path);
        // The mask of this process may have taken more away.
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::system::link;

    #[test]
    fn a_file_is_made_where_the_folder_was_opened_and_behind_no_link() {
        let held = tempfile::tempdir().expect("a folder");
        let (folder, elsewhere) = (held.path().join("copy"), held.path().join("elsewhere"));
        fs::create_dir_all(&elsewhere).expect("made");
        let copy = Folder::private(&folder).expect("made");
        copy.private_file(Path::new("a/b/file")).expect("made");
        copy.private_file(Path::new("a/b/file")).expect("made anew");
        link(&elsewhere, &folder.join("linked")).expect("planted");
        assert!(copy.private_file(Path::new("linked/file")).is_err());
        for out in ["../file", "/file", ".."] {
            assert!(copy.private_file(Path::new(out)).is_err(), "{out}");
        }
        fs::rename(&folder, held.path().join("aside")).expect("renamed");
        link(&elsewhere, &folder).expect("planted");
        copy.private_file(Path::new("later")).expect("made");
        assert!(held.path().join("aside/later").exists() && held.path().join("aside/a/b/file").exists());
        assert_eq!(fs::read_dir(&elsewhere).expect("there").count(), 0);
        assert!(Folder::private(&folder).is_err() && Folder::open(&folder).is_err());
    }
}
