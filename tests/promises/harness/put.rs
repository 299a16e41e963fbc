//! Files that are other than they should be, for a while.

use std::path::{Path, PathBuf};

/// A file with another content, or a path that is not there, for as long as this lives.
pub struct Put {
    path: PathBuf,
    aside: Option<PathBuf>,
}

impl Put {
    /// Something else, or nothing, in the place of `path`; what was there comes back.
    fn aside(path: &Path) -> Self {
        let name = path.file_name().expect("a name").to_string_lossy();
        let aside = path.with_file_name(format!("{name}.put-aside"));
        let was_there = path.symlink_metadata().is_ok();
        if was_there {
            std::fs::rename(path, &aside).expect("moved");
        }
        Self { path: path.to_path_buf(), aside: was_there.then_some(aside) }
    }

    /// Takes a file or a folder away.
    pub fn gone(path: PathBuf) -> Self {
        Self::aside(&path)
    }

    /// Gives a file another content; its mode stays.
    pub fn content(path: PathBuf, content: impl AsRef<[u8]>) -> Self {
        let mode = std::fs::metadata(&path).map(|meta| meta.permissions()).ok();
        let put = Self::aside(&path);
        std::fs::write(&path, content).expect("written");
        if let Some(mode) = mode {
            std::fs::set_permissions(&path, mode).expect("set");
        }
        put
    }

    /// Exchanges a text in a file, which must be in it.
    #[track_caller]
    pub fn replaced(path: PathBuf, from: &str, to: &str) -> Self {
        let text = std::fs::read_to_string(&path).expect("a text");
        assert!(text.contains(from), "no {from:?} in {text}");
        Self::content(path, text.replace(from, to))
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        if self.path.is_dir() && !self.path.is_symlink() {
            std::fs::remove_dir_all(&self.path).expect("removed");
        } else if self.path.symlink_metadata().is_ok() {
            std::fs::remove_file(&self.path).expect("removed");
        }
        if let Some(aside) = &self.aside {
            std::fs::rename(aside, &self.path).expect("moved back");
        }
    }
}
