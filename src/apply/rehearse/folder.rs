//! The folder of a throw-away server, which is marked, noted in the home, and locked.
//!
//! So the next run finds and removes what a killed one has left.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use fs_err as fs;

use crate::adapters::home::saved::remove;
use crate::adapters::home::{Home, datadir, entry};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::adapters::system;
use crate::apply::files::place::Place;
use crate::apply::online;
use crate::apply::work::{Runner, make_replication};
use crate::domain::procedures::rehearse;
use crate::failure::{Failure, Kind};

const NAME: &str = "pmp-ha-rehearsal";

/// The mark of a rehearsal's folder.
const MARK: &str = ".pmp-ha-rehearsal";

/// The folder of a rehearsal.
pub struct RehearsalFolder {
    place: Place,
    note: PathBuf,
}

impl RehearsalFolder {
    /// The folder below `dir`, by default below the folder `replication` of the home.
    #[must_use]
    pub fn of(home: &Home, dir: Option<&Path>) -> Self {
        Self::at(home, dir.map_or_else(|| home.replication(), Path::to_path_buf).join(NAME))
    }

    /// The folder at its real path: a link on the way to it may name another one in a moment.
    fn at(home: &Home, root: PathBuf) -> Self {
        let real = root.parent().and_then(|parent| fs::canonicalize(parent).ok());
        let root = real.map_or(root, |parent| parent.join(NAME));
        Self { place: Place::at(root), note: home.replication().join("pmp-ha-rehearsal.note") }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    fn root(&self) -> &Path {
        self.place.root()
    }

    /// Checks whether a throw-away server can be there.
    pub fn look(&self, home: &Home) -> Result<rehearse::ServerFolder> {
        let root = self.root();
        // The folder `replication` is made where it is missing.
        let parent = root.ancestors().skip(1).find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        let mut unfit = Vec::new();
        let given = root.parent().unwrap_or(parent);
        if given != parent && given != home.replication() {
            unfit.push(format!("there is no folder {}", given.display()));
        }
        if !system::is_writable_dir(parent) {
            unfit.push(format!("{} cannot be written to", parent.display()));
        }
        unfit.extend(entry::unsafe_for_root(parent)?);
        unfit.extend(system::may_be_another_s(root)?.filter(|_| unfit.is_empty()));
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if real(parent).starts_with(real(&home.data())) {
            unfit.push(format!("{} is inside the home's data", parent.display()));
        }
        if !self.is_ours()? {
            unfit.push(format!("{} exists already and does not belong to a rehearsal", root.display()));
        }
        Ok(rehearse::ServerFolder {
            path: root.to_string_lossy().into_owned(),
            free: system::free_space(parent)?,
            shares_blocks: datadir::shares_blocks(home, parent),
            unfit,
        })
    }

    /// Whether the folder is not there, or was made for a rehearsal.
    fn is_ours(&self) -> Result<bool> {
        let root = self.root();
        if root.symlink_metadata().is_err() {
            return Ok(true);
        }
        if !root.is_dir() || root.is_symlink() {
            return Ok(false);
        }
        let is_marked = root.join(MARK).symlink_metadata().is_ok_and(|mark| mark.is_file());
        Ok(is_marked || fs::read_dir(root)?.next().is_none())
    }

    /// Creates it and takes its lock.
    pub(super) fn make(&self, home: &Home) -> Result<system::DirLock> {
        make_replication(home)?;
        system::write_atomic(&self.note, self.root().to_string_lossy().as_bytes(), 0o600, None)?;
        self.place.make(home)?;
        system::write_atomic(&self.root().join(MARK), b"", 0o600, None)?;
        system::lock_dir(self.root())
    }

    /// Ends the throw-away server, and removes all of it.
    pub(super) async fn remove(&self) -> Result<()> {
        // Without a whole home in it no server was ever booted there.
        if let Ok(around) = Home::open(self.root()) {
            Database::of(&around, &Interrupt::default()).kill_offline_boot().await?;
        }
        for entry in fs::read_dir(self.root()).into_iter().flatten() {
            let path = entry?.path();
            // The mark goes last: a run that is killed here is still known.
            if !path.ends_with(MARK) {
                remove(&path)?;
            }
        }
        remove(&self.note)?;
        remove(self.root())
    }

    /// Removes what a killed rehearsal has left behind, here or at the place in the home's note.
    ///
    /// # Errors
    /// Refuses while another rehearsal is running, and to remove what another account may have put there.
    pub async fn clear(&self, runner: &Runner<'_>) -> Result<()> {
        let noted =
            system::read_text(&self.note, system::SMALL).ok().map(|root| Self::at(runner.home, root.into()));
        for left in noted.iter().chain([self]) {
            if !left.root().exists() || !left.is_ours()? {
                continue;
            }
            if let Some(why) = system::may_be_another_s(left.root())? {
                bail!(
                    Failure::new(Kind::Refused, "pmp-ha cannot safely remove the folder of an earlier rehearsal")
                        .code("rehearsal-not-removed")
                        .because(format!("{why}: another account could make pmp-ha remove other files"))
                        .hint(format!(
                            "Check the content of {}, and move it away. For --dir, choose a folder that only this account can write to.",
                            left.root().display()
                        ))
                );
            }
            let Ok(_lock) = system::lock_dir(left.root()) else {
                bail!(
                    Failure::new(Kind::Refused, "another rehearsal is running")
                        .code("home-busy")
                        .because(format!("it holds the lock on {}", left.root().display()))
                        .hint("Wait until it has finished.")
                );
            };
            runner
                .ui
                .say("An earlier `pmp-ha rehearse` was interrupted; pmp-ha removes its remainder first.");
            online::end_copy_for_rehearsal(runner, &left.place).await?;
            left.remove().await?;
        }
        remove(&self.note)
    }
}
