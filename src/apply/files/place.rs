//! The place of a copy of the data, and the home around it in which the product's script boots it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use fs_err as fs;

use crate::adapters::home::Home;
use crate::adapters::home::saved::remove;
use crate::adapters::system;
use crate::domain::manifest::NODE_FILES;
use crate::domain::procedures::pack::COPY;
use crate::failure::{Failure, Kind};

/// A folder for a copy of the data.
#[derive(Clone)]
pub struct Place {
    root: PathBuf,
}

/// Whose certificate and credentials the copy uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeFiles {
    /// Those of the home.
    OfHome,
    /// Its own, which are put there later.
    OfItsOwn,
}

impl Place {
    /// The place of the copy from which a pack is made.
    pub fn of_pack(home: &Home) -> Self {
        Self::at(home.path(COPY))
    }

    /// A place elsewhere.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of the copied data.
    pub fn data(&self) -> PathBuf {
        self.root.join("mysql/data")
    }

    /// Creates the folder for the copy. The account of the server can only enter it.
    ///
    /// Where that account could make a name, it could plant a link that this account then follows.
    pub fn make(&self, home: &Home) -> Result<()> {
        make_folder(home, &self.root)?;
        make_folder(home, &self.root.join("mysql"))
    }

    /// Lets a server that copies itself make the folder of the data.
    pub fn open_for_clone(&self, home: &Home) -> Result<()> {
        system::share_with(&self.root.join("mysql"), system::owner(&home.data())?)
    }

    /// Takes that back. Refuses what is no folder of the server's, because this account works in it now.
    pub fn close_after_clone(&self, home: &Home) -> Result<()> {
        let server = system::owner(&home.data())?;
        system::show_to(&self.root.join("mysql"), server)?;
        let made = system::Folder::open(&self.data())?.owner()?;
        if !made.is_account_of(server) {
            bail!("the folder {} belongs to {}", self.data().display(), made.name());
        }
        Ok(())
    }

    /// Removes the copy with everything around it.
    pub fn drop(&self) -> Result<()> {
        remove(&self.root)
    }

    /// Creates a home around the copy. Everything except the data, and what a server writes, is
    /// `home`'s.
    pub fn around(&self, home: &Home, node_files: NodeFiles) -> Result<Home> {
        let root = &self.root;
        for folder in ["bin", "conf", "logs", "replication"] {
            make_folder(home, &root.join(folder))?;
        }
        let server = system::owner(&home.data())?;
        system::make_folder_of(&root.join("mysql"), "tmp", server)?;
        link_all(home.root(), root, &["bin", "conf", "mysql", "logs", "replication"])?;
        link_all(&home.path("bin"), &root.join("bin"), &[system::START_SCRIPT])?;
        link_all(&home.path("mysql"), &root.join("mysql"), &["data", "tmp"])?;
        let own = NODE_FILES.trim_start_matches("conf/");
        let except = if node_files == NodeFiles::OfItsOwn { &[own][..] } else { &[] };
        link_all(&home.path("conf"), &root.join("conf"), except)?;
        let script = system::read_text(&home.start_script(), system::SMALL)?;
        // A script that names its home would boot the home's own data.
        let script = script.replace(&*home.root().to_string_lossy(), &root.to_string_lossy());
        self.refuse_another_way_home(home, &script)?;
        system::write_script(&root.join("bin").join(system::START_SCRIPT), &script, None)?;
        Home::open(root)
    }

    /// Compares paths after following symbolic links, because a script may name its home by one.
    fn refuse_another_way_home(&self, home: &Home, script: &str) -> Result<()> {
        let words = script.split(|c: char| c.is_whitespace() || "\"'`=:;,()".contains(c)).map(Path::new);
        for path in words.filter(|path| path.is_absolute() && !path.starts_with(&self.root)) {
            let there = path.ancestors().find_map(|path| fs::canonicalize(path).ok());
            if there.is_some_and(|there| there.starts_with(home.root())) {
                bail!(
                    Failure::new(Kind::Refused, "a copy of the data cannot be booted").code("copy-unbootable")
                        .because(format!(
                            "{} names {}, which is in {}: it would boot the home's own data",
                            home.start_script().display(),
                            path.display(),
                            home.root().display()
                        ))
                        .hint(
                            "In the script, write the home's path as above, or derive it from the script's own path."
                        )
                );
            }
        }
        Ok(())
    }
}

/// Makes the folder for the notes of a run.
pub fn make_work(home: &Home) -> Result<()> {
    make_folder(home, &home.work())
}

fn make_folder(home: &Home, folder: &Path) -> Result<()> {
    system::private_dir(folder)?;
    system::show_to(folder, system::owner(&home.data())?)
}

fn link_all(from: &Path, to: &Path, except: &[&str]) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let link = to.join(entry.file_name());
        if !except.iter().any(|name| entry.file_name() == *name) {
            remove(&link)?;
            system::link(&entry.path(), &link)?;
        }
    }
    Ok(())
}
