//! The files that were unpacked by hand over a home, checked against their manifest.
//!
//! Only the content of a file counts: the unpacking program chose owners and modes.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::adapters::bytes::digest::{hash_file_until, pump};
use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::pack::signature::Verifier;
use crate::adapters::system;
use crate::domain::manifest::{Entry, Manifest, RelPath};
use crate::failure::{Failure, Kind};
use crate::ui::Progress;

/// The number of files that a message names; the others are counted.
const NAMED: usize = 5;

/// The files of a pack in place in a home, and their manifest.
pub struct Unpacked {
    root: PathBuf,
    manifest: Manifest,
}

impl Unpacked {
    /// Reads the manifest in the folder `replication` of a home.
    ///
    /// # Errors
    /// Refuses when there is none, it is not a whole one, or not signed by whom it must be.
    pub fn open(home: &Home, signed_by: Option<&Verifier>) -> Result<Self> {
        let path = home.path(Manifest::PATH);
        let text = match system::read_bytes(&path, Manifest::LARGEST) {
            Ok(text) => text,
            Err(error) => {
                return Err(Failure::new(Kind::Refused, "no pack was unpacked in this home").code("not-unpacked")
                    .because(error.to_string())
                    .hint("Unzip HAPack.zip completely in the secondary's home, or run `pmp-ha install-pack` without --in-place.")
                    .into());
            }
        };
        if let Some(wanted) = signed_by {
            let signature = system::read_bytes(&home.path(Manifest::SIGNATURE), Manifest::LARGEST_SIGNATURE)
                .ok()
                .and_then(|text| String::from_utf8(text).ok());
            wanted.demand(&path, &text, signature.as_deref())?;
        }
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| wrong(vec![format!("{} cannot be read: {error}", Manifest::PATH)]))?;
        manifest.check().map_err(|why| wrong(vec![format!("{} is wrong: {why}", Manifest::PATH)]))?;
        Ok(Self { root: home.root().to_path_buf(), manifest })
    }

    /// Returns the manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Checks that every file is there and is the packed one.
    ///
    /// # Errors
    /// Refuses with the files that are not.
    pub fn verify(&self, progress: &Progress, interrupt: &Interrupt) -> Result<()> {
        let sizes = self.manifest.files.iter().filter_map(|entry| self.wrong_size(entry));
        refuse(sizes.collect())?;
        let mut differ = Vec::new();
        for entry in &self.manifest.files {
            differ.extend(self.pump(entry, &mut std::io::sink(), progress, interrupt)?);
        }
        refuse(differ)
    }

    /// Copies every file to the path that `place` returns for it, checks it, and makes it durable.
    ///
    /// Then it reads the file back.
    pub fn copy(
        &self,
        place: impl Fn(&RelPath) -> Option<PathBuf>,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        for entry in &self.manifest.files {
            let Some(target) = place(&entry.path) else {
                bail!("the entry {} does not belong in a home", entry.path)
            };
            if let Some(folder) = target.parent() {
                system::private_dir(folder)?;
            }
            let mut file = system::private_file(&target)?;
            refuse(self.pump(entry, &mut file, progress, interrupt)?.into_iter().collect())?;
            file.sync_all()?;
            system::forget_cached(&file);
            drop(file);
            if hash_file_until(&target, interrupt)? != entry.sha256 {
                bail!("{} reads back differently from what was written: check the disk", target.display());
            }
        }
        Ok(())
    }

    fn path(&self, entry: &Entry) -> PathBuf {
        self.root.join(entry.path.as_str())
    }

    fn wrong_size(&self, entry: &Entry) -> Option<String> {
        let meta = match fs::metadata(self.path(entry)) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Some(format!("{} is missing", entry.path));
            }
            Err(error) => return Some(error.to_string()),
        };
        if !meta.is_file() {
            return Some(format!("{} is not a file", entry.path));
        }
        (meta.len() != entry.size)
            .then(|| format!("{} has {} bytes instead of {}", entry.path, meta.len(), entry.size))
    }

    /// Reads a file into `out`. Returns how it differs from the one that was packed.
    fn pump(
        &self,
        entry: &Entry,
        out: &mut impl std::io::Write,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<Option<String>> {
        let path = self.path(entry);
        let mut file = match system::open_regular(&path) {
            Ok(file) => file,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let (size, sha256) = pump(&mut file, out, entry.size, progress, interrupt)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let same = size == entry.size && sha256 == entry.sha256;
        Ok((!same).then(|| format!("{} is not the packed file: its SHA-256 differs", entry.path)))
    }
}

fn refuse(mut differ: Vec<String>) -> Result<()> {
    if differ.is_empty() {
        return Ok(());
    }
    let more = differ.len().saturating_sub(NAMED);
    differ.truncate(NAMED);
    if more > 0 {
        differ.push(format!("{more} more files differ"));
    }
    Err(wrong(differ))
}

fn wrong(because: Vec<String>) -> anyhow::Error {
    let mut failure = Failure::new(Kind::Refused, "the files unpacked in this home are not a complete pack")
        .code("unpacked-incomplete");
    failure.because = because;
    failure
        .hint("Unzip HAPack.zip over the home again, or run `pmp-ha install-pack` with the file itself.")
        .into()
}
