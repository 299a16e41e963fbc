//! Opens and verifies a pack. It trusts nothing before its hash is right.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::deflate::{END, ROOM};
use super::layout::{self, Member, member_of, stored_members, table_of_contents};
use crate::adapters::bytes::digest::{CHUNK, blake3_of};
use crate::adapters::bytes::direct::{DirectBuffer, DirectFile};
use crate::adapters::pack::seal::{Unsealed, is_sealed};
use crate::adapters::pack::sealed;
use crate::adapters::pack::signature::Verifier;
use crate::adapters::system;
use crate::domain::manifest::Manifest;
use crate::failure::{Failure, Kind};

/// The keys to open a pack and to check its signature.
#[derive(Clone, Default)]
pub struct Opening {
    /// The private key that opens it, if it is encrypted.
    pub identity: Option<PathBuf>,
    /// The required signer.
    pub signed_by: Option<Verifier>,
}

/// A block that is due, and what belongs to its file.
pub(super) struct DueBlock<T> {
    pub file: usize,
    pub index: usize,
    /// Where it stands in the pack.
    pub at: u64,
    /// Bytes in the pack.
    pub packed: usize,
    /// Bytes uncompressed.
    pub size: u64,
    pub target: T,
}

/// The source of a pack's bytes.
enum PackBytes {
    Plain(fs::File, DirectFile),
    /// Each worker in its turn.
    Sealed(Mutex<Box<dyn Unsealed>>),
}

impl PackBytes {
    fn open(path: &Path, identity: Option<&Path>) -> Result<Self> {
        // A pipe would be waited for.
        if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
            bail!(
                Failure::new(Kind::Refused, "cannot open the pack")
                    .code("pack-unreadable")
                    .because(format!("{} is not a file", path.display()))
                    .hint("Name the pack itself.")
            );
        }
        if is_sealed(path) {
            return Ok(Self::Sealed(Mutex::new(sealed::open(path, identity)?)));
        }
        match system::open_regular(path).and_then(|file| Ok(Self::Plain(file, DirectFile::open(path)?))) {
            Ok(source) => Ok(source),
            Err(error) => Err(Failure::new(Kind::Refused, "cannot open the pack")
                .code("pack-unreadable")
                .because(error.to_string())
                .hint(
                    "Copy HAPack.zip from the primary's folder replication into this home, or name the file.",
                )
                .into()),
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
        match self {
            Self::Plain(file, _) => system::read_exact_at(file, buffer, at),
            Self::Sealed(sealed) => {
                let mut sealed = sealed.lock().unwrap_or_else(PoisonError::into_inner);
                sealed.seek(SeekFrom::Start(at))?;
                sealed.read_exact(buffer)
            }
        }
    }

    /// Reads so many bytes, and has [`ROOM`] behind them.
    fn read_block<'a>(
        &self,
        at: u64,
        length: usize,
        buffer: &'a mut DirectBuffer,
    ) -> std::io::Result<&'a mut [u8]> {
        match self {
            // More than that stands behind every block.
            Self::Plain(_, disk) => {
                let bytes = disk.read(at..at + (length + ROOM) as u64, buffer)?;
                if bytes.len() < length + ROOM { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
            }
            Self::Sealed(_) => {
                let bytes = buffer.of(length + ROOM)?;
                self.read_exact_at(&mut bytes[..length], at)?;
                Ok(bytes)
            }
        }
    }

    fn contents(&mut self) -> Result<Contents> {
        match self {
            Self::Plain(file, _) => Contents::read(file),
            Self::Sealed(sealed) => Contents::read(sealed.get_mut().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Whether these bytes stand there.
    fn holds(&self, at: u64, bytes: &[u8]) -> Result<bool, String> {
        let mut found = vec![0; bytes.len().min(CHUNK)];
        for (index, wanted) in bytes.chunks(CHUNK).enumerate() {
            let found = &mut found[..wanted.len()];
            match self.read_exact_at(found, at + (index * CHUNK) as u64) {
                Ok(()) if found == wanted => {}
                Ok(()) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(format!("it cannot be read: {error}")),
            }
        }
        Ok(true)
    }
}

/// What a reader of ZIP files sees in a pack.
struct Contents {
    /// Size of the file in bytes.
    size: u64,
    names: BTreeSet<String>,
    /// The text of the manifest.
    manifest: Vec<u8>,
    signature: Option<String>,
}

impl Contents {
    fn read(mut file: impl Read + Seek) -> Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        if size == 0 {
            bail!("it is empty");
        }
        layout::check_end(&mut file, size)?;
        file.rewind()?;
        let mut zip =
            ZipArchive::new(file).map_err(|error| anyhow!("it is not a complete ZIP file: {error}"))?;
        let names: Result<BTreeSet<String>, _> =
            zip.file_names().map(|name| name.map(std::borrow::Cow::into_owned)).collect();
        let names = names.map_err(|error| anyhow!("cannot read one of its names: {error}"))?;
        let manifest = stored(&mut zip, Manifest::PATH, Manifest::LARGEST)?
            .context("it has no manifest: it was not made by pmp-ha")?;
        let signature = stored(&mut zip, Manifest::SIGNATURE, Manifest::LARGEST_SIGNATURE)?;
        let signature = signature.map(String::from_utf8).transpose().context("its signature is damaged")?;
        Ok(Self { size, names, manifest, signature })
    }
}

/// A pack whose bytes outside the content match its manifest.
pub struct Pack {
    source: PackBytes,
    pub(super) manifest: Manifest,
    is_signed: bool,
    /// The offset of each file's content.
    pub(super) starts: Vec<u64>,
    path: PathBuf,
}

fn damaged(path: &Path, why: impl Into<String>) -> anyhow::Error {
    Failure::new(Kind::Refused, format!("cannot use the pack {}", path.display())).code("pack-damaged")
        .because(why)
        .hint("Copy HAPack.zip from the primary again, and compare its SHA-256 with the one that `pmp-ha pack` printed.")
        .into()
}

impl Pack {
    /// Opens a pack and compares everything except the content with its manifest.
    ///
    /// # Errors
    /// Refuses whatever is missing, too much, doubled, altered, or not where a pack may write; a
    /// signature that is not the one that is demanded; a key that does not open it.
    pub fn open(path: &Path, opening: &Opening) -> Result<Self> {
        let mut source = PackBytes::open(path, opening.identity.as_deref())?;
        let contents = source.contents().map_err(|error| damaged(path, format!("{error:#}")))?;
        if let Some(wanted) = &opening.signed_by {
            wanted.demand(path, &contents.manifest, contents.signature.as_deref())?;
        }
        let manifest: Manifest = serde_json::from_slice(&contents.manifest)
            .map_err(|error| damaged(path, format!("cannot read its manifest: {error}")))?;
        manifest.check().map_err(|why| damaged(path, format!("its manifest is wrong: {why}")))?;
        same_names(&contents, &manifest).map_err(|why| damaged(path, why))?;
        let starts = same_layout(&source, &contents, &manifest).map_err(|why| damaged(path, why))?;
        let is_signed = contents.signature.is_some();
        Ok(Self { source, manifest, is_signed, starts, path: path.to_path_buf() })
    }

    /// Returns whether it is signed, by anybody.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// Returns the manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads a block that is the one in the manifest, with [`ROOM`] behind it.
    pub(super) fn read_block<'a, T>(
        &self,
        block: &DueBlock<T>,
        buffer: &'a mut DirectBuffer,
    ) -> Result<&'a mut [u8]> {
        let read = self.source.read_block(block.at, block.packed, buffer);
        let bytes = read.map_err(|error| self.wrong(block.file, format!("it cannot be read: {error}")))?;
        if blake3_of(&bytes[..block.packed]) != self.manifest.files[block.file].blocks[block.index].blake3 {
            let why = format!("block {} differs from the manifest", block.index);
            return Err(self.wrong(block.file, why));
        }
        Ok(bytes)
    }

    pub(super) fn wrong(&self, file: usize, why: impl std::fmt::Display) -> anyhow::Error {
        let entry = &self.manifest.files[file].path;
        damaged(&self.path, format!("its entry {entry} is damaged: {why}"))
    }
}

/// A member that is stored as it is, if it is there.
fn stored<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
    let file = match zip.by_name(name) {
        Ok(file) => file,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(error) => bail!("cannot read its entry {name}: {error}"),
    };
    if file.compression() != CompressionMethod::Stored {
        bail!("its entry {name} is compressed: it was not made by this version of pmp-ha");
    }
    if file.size() > most {
        bail!("its entry {name} is too large");
    }
    let mut text = Vec::with_capacity(usize::try_from(file.size())?);
    file.take(most).read_to_end(&mut text).with_context(|| format!("its entry {name} is damaged"))?;
    Ok(Some(text))
}

fn same_names(contents: &Contents, manifest: &Manifest) -> Result<(), String> {
    let signature = contents.signature.as_ref().map(|_| Manifest::SIGNATURE);
    let own = std::iter::once(Manifest::PATH).chain(signature);
    let wanted: BTreeSet<&str> = manifest.files.iter().map(|e| e.path.as_str()).chain(own).collect();
    if let Some(missing) = wanted.iter().find(|name| !contents.names.contains(**name)) {
        return Err(format!("its entry {missing} is missing"));
    }
    if let Some(spare) = contents.names.iter().find(|name| !wanted.contains(name.as_str())) {
        return Err(format!("its entry {spare:?} is not in its manifest"));
    }
    Ok(())
}

/// Compares every byte that is not content with what follows from the manifest, and returns where
/// the content of each file begins.
fn same_layout(source: &PackBytes, contents: &Contents, manifest: &Manifest) -> Result<Vec<u64>, String> {
    let mut starts = Vec::with_capacity(manifest.files.len());
    let mut members: Vec<(Member, u64)> = Vec::with_capacity(manifest.files.len() + 2);
    let mut at = 0;
    for entry in &manifest.files {
        let member = member_of(entry);
        let header = member.local_header();
        let start = at + header.len() as u64;
        let end = start.saturating_add(member.packed);
        if end > contents.size || !source.holds(at, &header)? {
            return Err(format!("its entry {} does not begin as the manifest says", entry.path));
        }
        let behind = [&END[..], &member.descriptor()].concat();
        if !source.holds(end - END.len() as u64, &behind)? {
            return Err(format!("its entry {} does not end as the manifest says", entry.path));
        }
        members.push((member, at));
        starts.push(start);
        at = end + (behind.len() - END.len()) as u64;
    }
    for (member, content) in stored_members(&contents.manifest, contents.signature.as_deref()) {
        let header = member.local_header();
        let start = at + header.len() as u64;
        if !source.holds(at, &header)? || !source.holds(start, content)? {
            return Err(format!("its entry {} is not where it should be", member.name));
        }
        members.push((member, at));
        at = start + content.len() as u64;
    }
    let table = table_of_contents(members.iter().map(|(member, at)| (member, *at)), at);
    if contents.size != at + table.len() as u64 || !source.holds(at, &table)? {
        return Err(match differing_line(source, at, &members)? {
            Some(name) => format!("its entry {name} is wrong in its table of contents"),
            None => "its table of contents ends wrongly".into(),
        });
    }
    Ok(starts)
}

/// The first member whose line in the table of contents is another one than it should be.
fn differing_line<'a>(
    source: &PackBytes,
    start: u64,
    members: &'a [(Member, u64)],
) -> Result<Option<&'a str>, String> {
    let mut at = start;
    for (member, offset) in members {
        let line = member.central_header(*offset);
        if !source.holds(at, &line)? {
            return Ok(Some(&member.name));
        }
        at += line.len() as u64;
    }
    Ok(None)
}
