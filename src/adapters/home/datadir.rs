//! The data directory as a whole: listed, copied, exchanged, kept.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::adapters::bytes::digest::CHUNK;
use crate::adapters::home::Home;
use crate::adapters::home::saved::remove;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::domain::datafiles::{FileClass, classify, is_link_file};
use crate::domain::manifest::RelPath;
use crate::domain::procedures::DataFile;
use crate::domain::settings::history_of_index;
use crate::ui::Progress;

/// The files below a folder, and what is neither a file nor a folder.
pub struct Listing {
    /// Paths from the folder, sizes in bytes, sorted by path.
    pub files: Vec<DataFile>,
    /// Described for a message.
    pub odd: Vec<String>,
    /// Files that this account cannot read.
    pub unreadable: Vec<String>,
}

/// Returns the running server that holds the lock on a data directory.
pub fn holder(data: &Path) -> Result<Option<u32>> {
    match system::lock_holder(&data.join("ibdata1"))? {
        Some(pid) => Ok(Some(pid)),
        None => second_holder(data),
    }
}

/// Returns the process that holds the doublewrite files of `MySQL` 8 and later.
///
/// A process lets go of its lock on a file as soon as it closes any handle of it: a server that has
/// copied itself by CLONE holds its tablespaces no more, but still these, which are not copied. They
/// also keep a second server from starting.
pub fn second_holder(data: &Path) -> Result<Option<u32>> {
    for entry in fs::read_dir(data).into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("#ib_")
            && name.ends_with(".dblwr")
            && let Some(pid) = system::lock_holder(&entry.path())?
        {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// The history that the binlogs in a data directory are named after, if they are named after one.
#[must_use]
pub fn history(data: &Path) -> Option<u32> {
    let entries = fs::read_dir(data).into_iter().flatten().flatten();
    entries.filter_map(|entry| history_of_index(&entry.file_name().to_string_lossy())).flatten().next()
}

/// Lists a data directory.
pub fn list(data: &Path) -> Result<Listing> {
    let mut out = Listing { files: Vec::new(), odd: Vec::new(), unreadable: Vec::new() };
    // Root reads nothing there that the account of the server could not read itself.
    let owner = Some(system::owner(data)?).filter(|owner| system::is_root() && !owner.is_root());
    walk(data, "", owner, &mut out)?;
    out.files.sort();
    Ok(out)
}

fn walk(dir: &Path, prefix: &str, owner: Option<system::Owner>, out: &mut Listing) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let shown = format!("{prefix}{}", name.to_string_lossy());
        let kind = entry.file_type()?;
        if !kind.is_dir() && classify(&shown) == FileClass::Own {
            // Never copied: what it is does not matter.
        } else if kind.is_dir() {
            walk(&entry.path(), &format!("{shown}/"), owner, out)?;
        } else if kind.is_symlink() {
            out.odd.push(format!("the symbolic link {shown}"));
        } else if is_link_file(&shown) {
            out.odd.push(format!("the link {shown} to a tablespace elsewhere"));
        } else if kind.is_file() {
            if !system::is_readable(&entry.path()) && entry.path().exists() {
                out.unreadable.push(entry.path().display().to_string());
            }
            match RelPath::new(shown.as_str()) {
                Ok(path) if name.to_str().is_some() => match entry.metadata() {
                    Ok(meta) => {
                        if let Some(other) = owner.filter(|owner| !owner.has(&meta)) {
                            out.odd
                                .push(format!("the file {shown}, which does not belong to {}", other.name()));
                        }
                        out.files.push((path, meta.len()));
                    }
                    // A running server removes files of its own while they are listed.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                },
                _ => out.odd.push(format!("the file {shown:?}, whose name a pack cannot contain")),
            }
        }
        // Sockets, pipes and devices hold no data.
    }
    Ok(())
}

/// Returns the staging folder, beside the data directory and on the same filesystem.
#[must_use]
pub fn staging(home: &Home) -> PathBuf {
    sibling(home, "data.pmp-ha-new")
}

fn old(home: &Home) -> PathBuf {
    sibling(home, "data.pmp-ha-old")
}

fn sibling(home: &Home, name: &str) -> PathBuf {
    real(home).with_file_name(name)
}

/// Returns the real parent folder of the data directory.
#[must_use]
pub fn parent(home: &Home) -> PathBuf {
    real(home).parent().map_or_else(|| home.root().to_path_buf(), Path::to_path_buf)
}

/// Returns the data directory itself, if `mysql/data` is a link.
///
/// During an exchange it may be missing; the link still names its path.
fn real(home: &Home) -> PathBuf {
    let data = home.data();
    fs::canonicalize(&data).unwrap_or_else(|_| {
        let next = |path: &PathBuf| Some(path.parent()?.join(fs::read_link(path).ok()?));
        std::iter::successors(Some(data), next).take(MOST_LINKS).last().unwrap_or_else(|| home.data())
    })
}

/// The longest chain of links, as in the system itself.
const MOST_LINKS: usize = 40;

/// Returns whether the data directory is a mount point.
#[must_use]
pub fn is_mount_point(home: &Home) -> bool {
    let real = real(home);
    let device = |path: &Path| system::identity(path).map(|(device, _)| device).ok();
    device(&real) != real.parent().and_then(device)
}

/// Copies files below `from` to `to`, with progress, and makes them durable.
pub fn copy(
    from: &Path,
    to: &Path,
    files: &[DataFile],
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    copy_quickly(from, to, files, progress, interrupt)?;
    sync(to, files, interrupt)
}

/// Makes a copy durable that something else has made.
pub fn make_durable(copy: &Path, interrupt: &Interrupt) -> Result<()> {
    sync(copy, &list(copy)?.files, interrupt)
}

fn sync(folder: &Path, files: &[DataFile], interrupt: &Interrupt) -> Result<()> {
    for (path, _) in files {
        interrupt.check()?;
        system::open_regular(&folder.join(path.as_str()))?.sync_all()?;
    }
    Ok(())
}

/// Copies files below `from` to `to`, with progress. The copy shares their blocks if the filesystem
/// can.
pub fn copy_quickly(
    from: &Path,
    to: &Path,
    files: &[DataFile],
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    let owner = system::owner(from)?;
    let folder = system::Folder::private(to)?;
    for (path, _) in files {
        let mut source = system::open_regular(&from.join(path.as_str()))?;
        system::require_owner(&source, owner)?;
        let mut file = folder.private_file(path.as_str().as_ref())?;
        if share_blocks(&source, &file) {
            progress.add(file.metadata()?.len());
            continue;
        }
        loop {
            interrupt.check()?;
            let n = source.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            file.write_all(&buffer[..n])?;
            progress.add(n as u64);
        }
    }
    Ok(())
}

/// Makes an empty file share its blocks with the original. Returns whether the filesystem can.
fn share_blocks(from: &fs::File, to: &fs::File) -> bool {
    reflink_copy::reflink_file(from.file(), to.file()).is_ok()
}

/// Returns whether copies of the data in `folder` share their blocks, and so need no time or space.
///
/// It copies a small file there and removes it.
#[must_use]
pub fn shares_blocks(home: &Home, folder: &Path) -> bool {
    let (from, to) = (home.path("conf/serverstate.conf"), folder.join(".pmp-ha-shares-blocks"));
    let same = |a: &Path, b: &Path| {
        let device = |path: &Path| system::identity(path).map(|(device, _)| device).ok();
        device(a) == device(b)
    };
    if !same(&home.data(), folder) || !same(&from, folder) || remove(&to).is_err() {
        return false;
    }
    let shares = reflink_copy::reflink(&from, &to).is_ok();
    // ignored: a file that was not made is not there
    let _ = remove(&to);
    shares
}

/// Gives `to` the empty folders, owner and modes of the data directory `like`, for the server.
pub fn adopt(to: &Path, like: &Path) -> Result<()> {
    let owner = system::owner(like)?;
    let folder = to.join("tmp");
    // The product's scripts write their output there, where it exists.
    if like.join("tmp").is_dir() && !folder.exists() {
        system::private_dir(&folder)?;
    }
    system::give_tree(to, owner)?;
    sync_tree(to)
}

/// Makes the names in a folder and in all folders below it durable.
fn sync_tree(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    system::sync_dir(path)
}

/// Records which folder is the old data directory, before the exchange.
pub fn remember_old(home: &Home) -> Result<()> {
    let (_, inode) = system::identity(&home.data())?;
    let note = note(home);
    if note.exists() {
        return Ok(());
    }
    system::private_dir(&home.work())?;
    system::write_atomic(&note, inode.to_string().as_bytes(), 0o600, None)
}

fn note(home: &Home) -> PathBuf {
    home.work().join("old-data-inode")
}

fn remembered(home: &Home) -> Result<Option<u64>> {
    match system::read_text(&note(home), system::SMALL) {
        Ok(text) => Ok(Some(text.trim().parse().context("cannot read the note on the old data")?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn has_inode(path: &Path, inode: u64) -> bool {
    system::identity(path).is_ok_and(|(_, found)| found == inode)
}

/// Swaps in the staged data; the old data stay beside them. Can be repeated.
pub fn swap(home: &Home) -> Result<()> {
    require_unlocked(home)?;
    remember_old(home)?;
    let inode = remembered(home)?.context("the note on the old data is gone")?;
    let (data, new, old) = (real(home), staging(home), old(home));
    if has_inode(&data, inode) && !system::exchange(&data, &new)? {
        // Two steps where one is not to be had; the note tells a later run which is which.
        fs::rename(&data, &old)?;
        fs::rename(&new, &data)?;
    }
    if has_inode(&new, inode) {
        fs::rename(&new, &old)?;
    }
    sync_parent(&data)
}

/// Restores the old data directory after an interrupted exchange, and removes the new one.
pub fn swap_back(home: &Home) -> Result<()> {
    let Some(inode) = remembered(home)? else {
        return Ok(());
    };
    let (data, new, old) = (real(home), staging(home), old(home));
    if !has_inode(&data, inode) {
        let Some(place) = [&old, &new].into_iter().find(|path| has_inode(path, inode)) else {
            bail!("the old data directory is neither at {} nor at {}", old.display(), new.display());
        };
        if data.exists() {
            if !system::exchange(&data, place)? {
                let aside = sibling(home, "data.pmp-ha-failed");
                fs::rename(&data, &aside)?;
                fs::rename(place, &data)?;
                remove(&aside)?;
            }
        } else {
            fs::rename(place, &data)?;
        }
    }
    sync_parent(&data)?;
    for path in [new, old] {
        remove(&path)?;
    }
    Ok(())
}

/// Fails if a server uses the folder, which must then not be moved.
fn require_unlocked(home: &Home) -> Result<()> {
    match holder(&home.data())? {
        None => Ok(()),
        Some(pid) => bail!("process {pid} holds the lock on {}", home.data().join("ibdata1").display()),
    }
}

/// Removes the old data, which are no longer needed.
pub fn drop_old(home: &Home) -> Result<()> {
    remove(&old(home))
}

/// Keeps the old data under another name beside the data directory.
pub fn keep_old(home: &Home, name: &str) -> Result<()> {
    let from = old(home);
    if from.exists() {
        fs::rename(&from, sibling(home, name))?;
    }
    sync_parent(&real(home))
}

/// Removes the staging folder.
pub fn drop_staged(home: &Home) -> Result<()> {
    if let Some(inode) = remembered(home)?
        && has_inode(&staging(home), inode)
    {
        bail!("{} holds the old data", staging(home).display());
    }
    remove(&staging(home))
}

fn sync_parent(path: &Path) -> Result<()> {
    system::sync_dir(path.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_where_the_data_belong_while_they_are_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(folder.path()).expect("there");
        for name in ["home/bin", "home/conf", "home/mysql", "disk/data"] {
            fs::create_dir_all(root.join(name)).expect("made");
        }
        let home = Home::open(&root.join("home")).expect("a home");
        system::link(Path::new("disk/data"), &root.join("second")).expect("linked");
        for target in ["../../disk/data", "../../second", &root.join("disk/data").to_string_lossy()] {
            system::link(Path::new(target), &home.data()).expect("linked");
            let seen = || {
                (
                    fs::canonicalize(parent(&home)).expect("there"),
                    staging(&home).file_name().map(ToOwned::to_owned),
                )
            };
            let there = seen();
            assert_eq!(there.0, root.join("disk"));
            // As between the two renames of an exchange.
            fs::rename(root.join("disk/data"), root.join("disk/old")).expect("renamed");
            assert_eq!(seen(), there);
            fs::rename(root.join("disk/old"), root.join("disk/data")).expect("renamed");
            fs::remove_file(home.data()).expect("removed");
        }
    }
}
