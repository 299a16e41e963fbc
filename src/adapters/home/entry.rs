//! Entering a home: as whom, and whether its files can be used.
//!
//! Root becomes the home's owner. In a home of its own, root stays root, where nobody else may write
//! what directs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use fs_err as fs;

use super::{DATABASE_PARAMS, Home, KEY_FILE, ROLE_FILE, datadir};
use crate::adapters::system;
use crate::domain::acting::{Acting, SystemAccount, acting, left_by_others, not_root_s_alone};
use crate::domain::manifest::Manifest;
use crate::failure::{Failure, Kind};

/// Folders of which root runs or reads any file, from the home.
const TRUSTED: [&str; 2] = ["bin", "conf/pmp-ha"];

/// Folders from which the server's programs load while they are root, at any depth.
const PROGRAMS: [&str; 2] = ["mysql/bin", "mysql/lib"];

/// What else directs root, from the home: files that it reads, and folders that it writes to.
const DIRECTING: [&str; 10] = [
    "conf",
    "conf/pmp-ha.toml",
    "conf/server.xml",
    "conf/wrapper.conf",
    "conf/wrapper_lin.conf",
    ROLE_FILE,
    KEY_FILE,
    DATABASE_PARAMS,
    "mysql",
    "replication",
];

/// The names of the tool's own files and folders below `replication` and `logs`.
const OWN: &str = "pmp-ha-";

/// Gives up root's rights, if this is root and the home is not.
///
/// # Errors
/// Refuses a home in which somebody else would direct what root does, with the command that helps.
pub fn enter(home: &Home) -> Result<()> {
    if !system::is_root() {
        return Ok(());
    }
    let owner = system::owner(home.root())?;
    let data = system::owner(&home.data()).ok();
    let account = |owner: system::Owner| SystemAccount { name: owner.name(), is_root: owner.is_root() };
    let path = home.root().to_string_lossy();
    match acting(&path, &account(owner), data.map(account).as_ref())
        .map_err(|why| Failure::refused(vec![why]))?
    {
        Acting::AsOwner => {
            system::become_account(owner)?;
            require_program(&owner.name())
        }
        Acting::AsRoot => require_root_s_alone(home),
    }
}

/// Becomes the owner of a folder that is no home, if this is root and the folder is there.
pub fn enter_folder(folder: &Path) -> Result<()> {
    match system::owner(folder) {
        Ok(owner) if system::is_root() && !owner.is_root() => system::become_account(owner),
        _ => Ok(()),
    }
}

/// Returns why root cannot safely create a folder here; `None` if it can.
///
/// It cannot if another account may rename a folder on the path.
pub fn unsafe_for_root(folder: &Path) -> Result<Option<String>> {
    if !system::is_root() {
        return Ok(None);
    }
    changed_on_the_way(&fs::canonicalize(folder)?)
}

/// Returns why root cannot safely go by what is at this path; `None` if it can.
///
/// The path must be the real one, which has no links. Where nobody else can write to a folder on it, it
/// names the same file from then on.
pub fn changed_on_the_way(real: &Path) -> Result<Option<String>> {
    if !system::is_root() {
        return Ok(None);
    }
    for path in real.ancestors() {
        if let Some(why) = system::changed_by(path, true)? {
            return Ok(Some(format!("{} {why}", path.display())));
        }
    }
    Ok(None)
}

/// Refuses a source of a recovery that could direct root: its server and its tools are run.
///
/// The new home was entered before. Its owner reads of the source what he may read.
pub fn require_safe_source(from: &Home) -> Result<()> {
    if !system::is_root() {
        return Ok(());
    }
    let owner = system::owner(from.root())?;
    if owner.is_root() {
        return require_root_s_alone(from);
    }
    bail!(
        Failure::new(Kind::Refused, "root cannot work on these homes safely").code("unsafe-for-root")
            .because(format!("{} belongs to {}, and the new home to root", from.root().display(), owner.name()))
            .hint(format!(
                "Give the new home to {0}: `chown -R --no-dereference {0} NEW_HOME`. Or recover from a copy that belongs to root.",
                owner.name()
            ))
    )
}

/// Refuses if the account cannot run this program: the start script asks it, as that account.
fn require_program(owner: &str) -> Result<()> {
    let program = system::this_program()?;
    if system::is_runnable(&program) {
        return Ok(());
    }
    bail!(
        Failure::new(Kind::Refused, "the home's owner cannot run this program")
            .code("program-not-runnable")
            .because(format!("{owner} has no right to run {}", program.display()))
            .hint(format!(
                "Put it where everybody can run it: `install -m 755 {} /usr/local/bin/pmp-ha`.",
                program.display()
            ))
    )
}

fn require_root_s_alone(home: &Home) -> Result<()> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let mut look = |path: &Path, leads: bool| -> Result<()> {
        let why = match system::changed_by(path, leads) {
            // A command at work takes its files away again.
            Err(error) if is_gone(&error) => None,
            why => why?,
        };
        if seen.insert(path.to_path_buf())
            && let Some(why) = why
        {
            wrong.push((path.to_string_lossy().into_owned(), format!("{} {why}", path.display())));
        }
        Ok(())
    };
    let mut directing = directing(home)?;
    directing.push(home.root().to_path_buf());
    // What a link names counts as well.
    let linked =
        directing.iter().filter(|path| path.is_symlink()).filter_map(|path| fs::canonicalize(path).ok());
    let linked: Vec<PathBuf> = linked.collect();
    for path in directing.iter().chain(&linked) {
        look(path, false)?;
    }
    // The data may lie elsewhere.
    let parent = datadir::parent(home);
    let above = |path: &'_ Path| path.ancestors().skip(1).map(Path::to_path_buf).collect::<Vec<_>>();
    let ways =
        linked.iter().flat_map(|path| above(path)).chain(above(home.root())).chain(above(&parent.join("x")));
    for folder in ways.filter(|folder| !folder.starts_with(home.root())) {
        look(&folder, true)?;
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let (paths, evidence): (Vec<_>, Vec<_>) = wrong.into_iter().unzip();
    bail!(Failure::refused(vec![not_root_s_alone(&home.root().to_string_lossy(), &evidence, &paths)]))
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Everything by which the home tells root what to do.
fn directing(home: &Home) -> Result<Vec<PathBuf>> {
    let mut out: Vec<PathBuf> = Vec::new();
    let is_unpacked = home.path(Manifest::PATH).exists() && !home.node_files().join("pair.toml").exists();
    for folder in TRUSTED.map(|folder| home.path(folder)) {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            // What was unpacked by hand is verified, and written anew; folders in it direct nobody.
            let is_verified = is_unpacked && folder.ends_with("conf/pmp-ha") && is_of_a_pack(&path);
            if !path.is_dir() && !is_verified {
                out.push(path);
            }
        }
        out.push(folder);
    }
    for folder in PROGRAMS.map(|folder| home.path(folder)) {
        // Where the folder is a link, what it names is what the programs load.
        if let Ok(real) = fs::canonicalize(&folder) {
            tree(&real, None, &mut out)?;
            out.push(folder);
        }
    }
    out.extend(DIRECTING.map(|path| home.path(path)));
    own_files(&home.replication(), &mut out)?;
    out.push(home.database_params_path());
    out.retain(|path| path.symlink_metadata().is_ok());
    Ok(out)
}

/// Whether a file of `conf/pmp-ha` comes with a pack, and is verified before it is used.
fn is_of_a_pack(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "pem")
}

/// Adds the tool's own files and folders in a folder, and all that is in them.
fn own_files(folder: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(OWN) {
            // A copy of the data that a killed run has left is the server's. It is removed, or made anew.
            tree(&entry.path(), Some("mysql"), out)?;
        }
    }
    Ok(())
}

/// Adds a path and everything below it, without what has the name `except`. It follows no link.
fn tree(path: &Path, except: Option<&str>, out: &mut Vec<PathBuf>) -> Result<()> {
    out.push(path.to_path_buf());
    if path.is_dir() && !path.is_symlink() {
        // A folder that cannot be listed is named itself.
        for entry in fs::read_dir(path).into_iter().flatten() {
            let entry = entry?;
            if except.is_none_or(|name| entry.file_name() != name) {
                tree(&entry.path(), except, out)?;
            }
        }
    }
    Ok(())
}

/// Refuses before the first step if the home's owner cannot use its own files.
///
/// An older version that ran as root may have left them to root.
pub fn require_usable(home: &Home) -> Result<()> {
    let owner = system::owner(home.root())?;
    if !owner.is_this_account() || owner.is_root() {
        return Ok(());
    }
    let mut touched: Vec<PathBuf> = [ROLE_FILE, KEY_FILE, DATABASE_PARAMS, "bin/startDB.sh", "bin/stopDB.sh"]
        .into_iter()
        .chain(["bin", "conf", "logs", "mysql", "mysql/tmp", "replication"])
        .map(|path| home.path(path))
        .collect();
    tree(&home.node_files(), None, &mut touched)?;
    own_files(&home.replication(), &mut touched)?;
    let closed = |path: &PathBuf| {
        let Ok(meta) = path.symlink_metadata() else { return false };
        let needs_more = if meta.is_dir() { !system::is_writable_dir(path) } else { *path == home.journal() };
        !meta.is_symlink() && (!system::is_readable(path) || (needs_more && !system::is_writable(path)))
    };
    let closed: Vec<String> =
        touched.into_iter().filter(closed).map(|path| path.to_string_lossy().into_owned()).collect();
    if closed.is_empty() {
        return Ok(());
    }
    bail!(Failure::refused(vec![left_by_others(&owner.name(), &closed)]))
}
