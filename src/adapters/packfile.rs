//! HAPack.zip: written and read against its manifest. The only place that knows ZIP.
//!
//! Only what the manifest lists is ever read, and nothing is believed before its hash is right.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::adapters::digest::{WriteError, hash_file, pump};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::domain::manifest::{Entry, Manifest, RelPath, Sha256Hex};
use crate::failure::{Failure, Kind};
use crate::ui::Progress;

/// A manifest larger than this is not one: it lists about 150 bytes a file.
const LARGEST_MANIFEST: u64 = 256 << 20;

/// Fast, and within a few percent of the smallest for pages of a database.
const DEFLATE_LEVEL: i64 = 3;

/// A pack that was written and read back.
pub struct Written {
    /// Bytes of the file.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Sha256Hex,
}

/// Writes a pack of `sources` (where each belongs, where it is now) to `target`, a file that is
/// readable for its owner only, and makes it durable. `describe` turns the entries into the manifest.
pub fn write(
    target: &Path,
    sources: &[(RelPath, PathBuf)],
    describe: impl FnOnce(Vec<Entry>) -> Manifest,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Written> {
    let file = system::private_file(target)?;
    let mut zip = ZipWriter::new(file);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(DEFLATE_LEVEL))
        .large_file(true)
        .unix_permissions(0o600);
    let mut entries = Vec::with_capacity(sources.len());
    for (path, source) in sources {
        let mut file = fs::File::open(source)?;
        let size = file.metadata()?.len();
        zip.start_file(path.as_str(), options).with_context(|| format!("cannot add {path} to the pack"))?;
        let (read, sha256) = pump(&mut file, &mut zip, u64::MAX, progress, interrupt)
            .with_context(|| format!("cannot pack {path}"))?;
        if read != size {
            bail!("{} changed while it was packed: it had {size} bytes, then {read}", source.display());
        }
        entries.push(Entry { path: path.clone(), size, sha256 });
    }
    let manifest = describe(entries);
    manifest.check().map_err(|why| anyhow!("the pack would be wrong: {why}"))?;
    zip.start_file(Manifest::PATH, options)?;
    zip.write_all(&serde_json::to_vec_pretty(&manifest)?)?;
    let file = zip.finish().context("cannot finish the pack")?;
    file.sync_all()?;
    let size = file.metadata()?.len();
    drop(file);
    // What counts is what is on the disk, not what was meant to be there.
    let mut written = Pack::open(target)?;
    if written.manifest() != &manifest {
        bail!("the pack that was written reads back differently");
    }
    written.verify(&Progress::none(), interrupt)?;
    Ok(Written { size, sha256: hash_file(target)? })
}

/// A pack whose table of contents agrees with its manifest.
pub struct Pack {
    zip: ZipArchive<fs::File>,
    manifest: Manifest,
    path: PathBuf,
}

fn damaged(path: &Path, why: impl Into<String>) -> anyhow::Error {
    Failure::new(Kind::Refused, format!("cannot use the pack {}", path.display()))
        .because(why)
        .hint("Copy HAPack.zip from the primary again, and compare its SHA-256 with the one that `pmp-ha pack` printed.")
        .into()
}

impl Pack {
    /// Opens a pack and compares its table of contents with its manifest.
    ///
    /// # Errors
    /// Refuses whatever is missing, too much, doubled, or not where a pack may write.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) => {
                return Err(Failure::new(Kind::Refused, "there is no pack to install")
                    .because(error.to_string())
                    .hint("Copy HAPack.zip from the primary's folder replication into this home, or name the file.")
                    .into());
            }
        };
        let size = file.seek(SeekFrom::End(0))?;
        if size == 0 {
            return Err(damaged(path, "it is empty"));
        }
        file.rewind()?;
        let mut zip = ZipArchive::new(file)
            .map_err(|error| damaged(path, format!("it is not a whole ZIP file: {error}")))?;
        let manifest = read_manifest(&mut zip).map_err(|error| damaged(path, format!("{error:#}")))?;
        manifest.check().map_err(|why| damaged(path, format!("its manifest is wrong: {why}")))?;

        let wanted: BTreeSet<&str> =
            manifest.files.iter().map(|e| e.path.as_str()).chain([Manifest::PATH]).collect();
        let found: Result<BTreeSet<String>, _> =
            zip.file_names().map(|name| name.map(std::borrow::Cow::into_owned)).collect();
        let found =
            found.map_err(|error| damaged(path, format!("one of its names cannot be read: {error}")))?;
        if let Some(missing) = wanted.iter().find(|name| !found.contains(**name)) {
            return Err(damaged(path, format!("its entry {missing} is missing")));
        }
        if let Some(spare) = found.iter().find(|name| !wanted.contains(name.as_str())) {
            return Err(damaged(path, format!("its entry {spare:?} is not in its manifest")));
        }
        Ok(Self { zip, manifest, path: path.to_path_buf() })
    }

    /// What the pack says that it contains.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Inflates and hashes every entry, writing nothing.
    pub fn verify(&mut self, progress: &Progress, interrupt: &Interrupt) -> Result<()> {
        for entry in self.manifest.files.clone() {
            self.inflate(&entry, &mut std::io::sink(), progress, interrupt)?;
        }
        Ok(())
    }

    /// Extracts every entry to the place that `place` names for it, makes it durable, and reads it back.
    pub fn extract(
        &mut self,
        place: impl Fn(&RelPath) -> Option<PathBuf>,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        for entry in self.manifest.files.clone() {
            let Some(target) = place(&entry.path) else {
                bail!("the entry {} has no place in a home", entry.path)
            };
            if let Some(folder) = target.parent() {
                system::private_dir(folder)?;
            }
            let mut file = system::private_file(&target)?;
            self.inflate(&entry, &mut file, progress, interrupt)?;
            file.sync_all()?;
            if hash_file(&target)? != entry.sha256 {
                bail!("{} reads back differently from what was written: look at the disk", target.display());
            }
        }
        Ok(())
    }

    fn inflate(
        &mut self,
        entry: &Entry,
        out: &mut impl Write,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let path = self.path.clone();
        let wrong = |why: String| damaged(&path, format!("its entry {} is damaged: {why}", entry.path));
        let mut file = self.zip.by_name(entry.path.as_str()).map_err(|error| wrong(error.to_string()))?;
        if file.is_dir() || file.is_symlink() {
            return Err(wrong("it is not a file".into()));
        }
        if file.size() != entry.size {
            return Err(wrong(format!("the ZIP says {} bytes and the manifest {}", file.size(), entry.size)));
        }
        let (size, sha256) = match pump(&mut file, out, entry.size, progress, interrupt) {
            Ok(done) => done,
            Err(error) if error.is::<Failure>() || error.is::<WriteError>() => return Err(error),
            Err(error) => return Err(wrong(error.to_string())),
        };
        if size != entry.size {
            return Err(wrong(format!("it has {size} bytes and not {}", entry.size)));
        }
        if sha256 != entry.sha256 {
            return Err(wrong("its SHA-256 is not the one in the manifest".into()));
        }
        Ok(())
    }
}

fn read_manifest(zip: &mut ZipArchive<fs::File>) -> Result<Manifest> {
    let file = zip
        .by_name(Manifest::PATH)
        .map_err(|_| anyhow!("it holds no manifest: it was not made by pmp-ha"))?;
    let mut text = Vec::new();
    file.take(LARGEST_MANIFEST).read_to_end(&mut text).context("its manifest is damaged")?;
    serde_json::from_slice(&text).context("its manifest cannot be read")
}

/// The files that go into a pack: where each belongs, and where it is.
#[must_use]
pub fn sources(data: &Path, files: &[RelPath], more: BTreeMap<RelPath, PathBuf>) -> Vec<(RelPath, PathBuf)> {
    let of_data = files.iter().filter_map(|path| {
        let place = RelPath::new(format!("{}/{path}", crate::domain::manifest::DATA)).ok()?;
        Some((place, data.join(path.as_str())))
    });
    of_data.chain(more).collect()
}
