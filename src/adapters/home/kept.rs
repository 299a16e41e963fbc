//! The kept state of a home on disk.
//!
//! The data are next to the data directory, and the small files in `replication/pmp-ha-kept`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::adapters::home::saved::{Saved, remove};
use crate::adapters::home::{Home, datadir};
use crate::adapters::system;
use crate::domain::kept::Kept;

/// Where the small files of the kept state are, and the note on it.
fn slot(home: &Home) -> PathBuf {
    home.path("replication/pmp-ha-kept")
}

fn note(slot: &Path) -> PathBuf {
    slot.join("kept.json")
}

/// Reads the kept state, if there is one.
pub fn read(home: &Home) -> Result<Option<Kept>> {
    let path = note(&slot(home));
    let text = match system::read_bytes(&path, system::SMALL) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let kept: Kept =
        serde_json::from_slice(&text).with_context(|| format!("{} cannot be read", path.display()))?;
    if kept.format != Kept::FORMAT {
        bail!("{} has format {}, and this version reads {}", path.display(), kept.format, Kept::FORMAT);
    }
    if Path::new(&kept.data).file_name().is_none_or(|name| name != kept.data.as_str()) {
        bail!("{} names {:?}, which is not a name next to the data directory", path.display(), kept.data);
    }
    Ok(Some(kept))
}

/// The small files of the kept state.
#[must_use]
pub fn files(home: &Home) -> Saved {
    Saved::of(home.root(), &slot(home))
}

/// Makes `kept` the kept state, its small files those that `saved` holds. What was kept before is
/// forgotten; its data stay until they are dropped. Doing it again changes nothing.
pub fn write(home: &Home, kept: &Kept, saved: &Saved) -> Result<()> {
    let slot = slot(home);
    let new = slot.with_extension("new");
    remove(&new)?;
    if read(home)?.is_some_and(|old| old.data == kept.data) {
        return Ok(());
    }
    system::private_dir(&new)?;
    saved.copy_store(&new)?;
    system::write_atomic(&note(&new), &serde_json::to_vec_pretty(kept)?, 0o600, None)?;
    system::give_to(&new, system::owner(&home.replication())?)?;
    if !slot.exists() {
        fs::rename(&new, &slot)?;
    } else if !system::exchange(&new, &slot)? {
        remove(&slot)?;
        fs::rename(&new, &slot)?;
    }
    remove(&new)?;
    system::sync_dir(&home.replication())
}

/// Returns an unused name beside the data directory.
#[must_use]
pub fn free_name(home: &Home, wanted: &str) -> String {
    let parent = datadir::parent(home);
    let taken = |name: &String| parent.join(name).symlink_metadata().is_ok();
    let numbered = (2..).map(|number: u32| format!("{wanted}-{number}"));
    std::iter::once(wanted.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

/// Records which folder is the data directory and which the kept one, before the exchange.
#[derive(Serialize, Deserialize)]
struct ExchangeNote {
    data: PathBuf,
    current: u64,
    kept: u64,
}

impl ExchangeNote {
    fn path(home: &Home) -> PathBuf {
        home.work().join("kept-exchange.json")
    }

    fn read(home: &Home) -> Result<Option<Self>> {
        match system::read_bytes(&Self::path(home), system::SMALL) {
            Ok(text) => {
                Ok(Some(serde_json::from_slice(&text).context("the note on the exchange is damaged")?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn begin(home: &Home, name: &str) -> Result<Self> {
        if let Some(begun) = Self::read(home)? {
            return Ok(begun);
        }
        let inode = |path: &Path| system::identity(path).map(|(_, inode)| inode);
        // `mysql/data` may be a link.
        let data = fs::canonicalize(home.data())?;
        let begun = Self { current: inode(&data)?, kept: inode(&data.with_file_name(name))?, data };
        system::private_dir(&home.work())?;
        system::write_atomic(&Self::path(home), &serde_json::to_vec(&begun)?, 0o600, None)?;
        Ok(begun)
    }

    /// Makes the folder of this inode the data directory and the other one `name`, from whatever
    /// place of the exchange it was cut off at.
    fn arrange(&self, name: &str, inode: u64) -> Result<()> {
        let (data, beside) = (&self.data, self.data.with_file_name(name));
        let spare = self.data.with_file_name("data.pmp-ha-spare");
        let is_it = |path: &Path| system::identity(path).is_ok_and(|(_, found)| found == inode);
        if !is_it(data) {
            let Some(place) = [&beside, &spare].into_iter().find(|path| is_it(path)) else {
                bail!("the data directory is neither at {} nor at {}", beside.display(), spare.display());
            };
            if !data.exists() {
                fs::rename(place, data)?;
            } else if !system::exchange(data, place)? {
                // Two steps where one is not to be had; the note tells a later run which is which.
                fs::rename(data, if place == &spare { &beside } else { &spare })?;
                fs::rename(place, data)?;
            }
        }
        if spare.exists() {
            fs::rename(&spare, &beside)?;
        }
        system::sync_dir(data.parent().unwrap_or(Path::new("/")))
    }
}

/// Exchanges the data directory and the kept one. Can be repeated.
pub fn swap(home: &Home, name: &str) -> Result<()> {
    for data in [home.data(), datadir::parent(home).join(name)] {
        if let Some(pid) = system::lock_holder(&data.join("ibdata1"))? {
            bail!("process {pid} holds the lock on {}", data.join("ibdata1").display());
        }
    }
    let begun = ExchangeNote::begin(home, name)?;
    begun.arrange(name, begun.kept)
}

/// Undoes the exchange.
pub fn swap_back(home: &Home, name: &str) -> Result<()> {
    match ExchangeNote::read(home)? {
        Some(begun) => begun.arrange(name, begun.current),
        None => Ok(()),
    }
}
