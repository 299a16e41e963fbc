//! Makes a pack: all cores deflate one file as they do many.
//!
//! Each worker takes the next chunk of the input, under a lock that keeps the order and feeds the
//! file's hash; deflates it by itself; and hands it to the output, which writes in that order, from
//! front to back. What was written is made durable and read back every now and then, while the other
//! workers go on.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use super::deflate::{Deflater, END, Effort};
use super::layout::{Member, Method, table_of_contents};
use super::read::{Opening, Pack};
use super::workers;
use crate::adapters::digest::{CHUNK, Sha256};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::signature::Signer;
use crate::adapters::system;
use crate::domain::manifest::{Block, Entry, Manifest, RelPath, Sha256Hex};
use crate::ui::Progress;

/// A pack that was written and read back.
pub struct Written {
    /// Bytes of the file.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Sha256Hex,
}

/// How a pack is made.
#[derive(Default)]
pub struct Making {
    /// How hard it is compressed.
    pub effort: Effort,
    /// Who signs its manifest.
    pub signer: Option<Signer>,
}

/// Writes a pack of `sources` (where each belongs, where it is now) to `target`, a file that is
/// readable for its owner only, makes it durable and reads it back from the disk. `describe` turns
/// the entries into the manifest.
///
/// # Errors
/// What cannot be read or written; a source that changes meanwhile.
pub fn write(
    target: &Path,
    sources: &[(RelPath, PathBuf)],
    making: &Making,
    describe: impl FnOnce(Vec<Entry>) -> Manifest,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Written> {
    let file = system::private_file(target)?;
    let input = Mutex::new(Input::of(sources));
    let output = Output::to(&file);
    // One thread more than cores: now and then each waits for the disk.
    workers::run(workers::MOST_PACKING, 1, |_| {
        let guard = output.ends_with_me();
        let done = work(&input, &output, making.effort, progress, interrupt);
        if done.is_ok() {
            guard.is_well();
        }
        done
    })?;
    let Filled { entries, members, end, hash, unread } = output.finish()?;
    let manifest = describe(entries);
    manifest.check().map_err(|why| anyhow!("the pack would be wrong: {why}"))?;
    let sha256 = close(&file, &manifest, making.signer.as_ref(), members, end, hash)?;
    file.sync_all()?;
    unread.come_back(&file, interrupt)?;
    let size = file.metadata()?.len();
    system::forget_cached(&file);
    drop(file);
    // Whatever is not content has to be on the disk as well.
    if Pack::open(target, &Opening::default())?.manifest() != &manifest {
        return Err(reads_back_differently(target));
    }
    Ok(Written { size, sha256 })
}

fn reads_back_differently(pack: &Path) -> anyhow::Error {
    anyhow!("{} reads back differently from what was written: look at the disk", pack.display())
}

/// Adds the manifest, its signature and the table of contents, and returns the hash of it all.
fn close(
    file: &fs::File,
    manifest: &Manifest,
    signer: Option<&Signer>,
    mut members: Vec<(Member, u64)>,
    end: u64,
    mut hash: Sha256,
) -> Result<Sha256Hex> {
    let text = serde_json::to_vec_pretty(manifest)?;
    let signature = signer.map(|signer| signer.sign(&text));
    let mut tail = Vec::new();
    for (member, content) in stored_members(&text, signature.as_deref()) {
        let at = end + tail.len() as u64;
        tail.extend(member.local_header());
        tail.extend(content);
        members.push((member, at));
    }
    let start = end + tail.len() as u64;
    tail.extend(table_of_contents(members.iter().map(|(member, at)| (member, *at)), start));
    system::write_all_at(file, &tail, end).context("cannot finish the pack")?;
    hash.update(&tail);
    Ok(hash.finish())
}

/// The manifest and its signature as members: stored, so that every bit of them counts.
pub(super) fn stored_members<'a>(manifest: &'a [u8], signature: Option<&'a str>) -> Vec<(Member, &'a [u8])> {
    let member = |name: &str, content: &'a [u8]| {
        let size = content.len() as u64;
        let crc32 = crc32fast::hash(content);
        (Member { name: name.into(), method: Method::Stored, crc32, size, packed: size }, content)
    };
    let signature = signature.map(|text| member(Manifest::SIGNATURE, text.as_bytes()));
    std::iter::once(member(Manifest::PATH, manifest)).chain(signature).collect()
}

/// A file of the manifest as a member.
pub(super) fn member_of(entry: &Entry) -> Member {
    let blocks: u64 = entry.blocks.iter().map(|block| u64::from(block.packed)).sum();
    Member {
        name: entry.path.as_str().into(),
        method: Method::Deflated,
        crc32: entry.crc32,
        size: entry.size,
        packed: blocks + END.len() as u64,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A worker that panicked ends the others by itself.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(
    input: &Mutex<Input<'_>>,
    output: &Output<'_>,
    effort: Effort,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut deflater = Deflater::new(effort);
    let mut plain = vec![0; CHUNK];
    loop {
        interrupt.check()?;
        let Some(chunk) = lock(input).next(&mut plain)? else { return Ok(()) };
        let plain = &plain[..chunk.length];
        let mut bytes = output.spare();
        deflater.block(plain, &mut bytes).with_context(|| format!("cannot pack {}", chunk.path))?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(plain);
        let block = (chunk.length > 0).then(|| Block {
            packed: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            sha256: Sha256::of(&bytes),
        });
        let checksum = crc32fast::hash(&bytes);
        progress.add(chunk.length as u64);
        let number = chunk.number;
        match output.take(number, Packed { chunk, block, crc, bytes, checksum })? {
            Taken::Done => {}
            Taken::Much(written) => {
                // The disk works while the other cores do.
                output.file.sync_data().context("cannot write the pack")?;
                written.come_back(output.file, interrupt)?;
            }
            Taken::Failed => return Ok(()),
        }
    }
}

/// A piece of a file, as it was read.
struct Chunk {
    /// Counts through the whole pack.
    number: u64,
    path: RelPath,
    /// The size of the whole file.
    size: u64,
    is_first: bool,
    length: usize,
    /// With the last piece of a file: the hash of it all.
    whole: Option<Sha256Hex>,
}

/// A piece of a file, ready to be written.
struct Packed {
    chunk: Chunk,
    block: Option<Block>,
    /// Of the piece as it was read.
    crc: crc32fast::Hasher,
    bytes: Vec<u8>,
    /// CRC-32 of the bytes.
    checksum: u32,
}

/// A file that is being read.
struct Open {
    file: fs::File,
    path: RelPath,
    size: u64,
    read: u64,
    hash: Sha256,
}

struct Input<'a> {
    sources: std::slice::Iter<'a, (RelPath, PathBuf)>,
    open: Option<Open>,
    number: u64,
}

impl<'a> Input<'a> {
    fn of(sources: &'a [(RelPath, PathBuf)]) -> Self {
        Self { sources: sources.iter(), open: None, number: 0 }
    }

    /// Reads the next piece into `buffer`; none is left after the last file.
    fn next(&mut self, buffer: &mut [u8]) -> Result<Option<Chunk>> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.sources.next() {
                Some((path, source)) => Open::at(path, source)?,
                None => return Ok(None),
            },
        };
        let is_first = open.read == 0;
        let length = open.fill(buffer)?;
        let at_end = open.read == open.size;
        let number = self.number;
        self.number += 1;
        let (path, size) = (open.path.clone(), open.size);
        let whole = if at_end {
            open.refuse_more()?;
            Some(open.hash.finish())
        } else {
            self.open = Some(open);
            None
        };
        Ok(Some(Chunk { number, path, size, is_first, length, whole }))
    }
}

impl Open {
    fn at(path: &RelPath, source: &Path) -> Result<Self> {
        let file = fs::File::open(source)?;
        let size = file.metadata()?.len();
        system::will_read_through(&file);
        Ok(Self { file, path: path.clone(), size, read: 0, hash: Sha256::default() })
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = usize::try_from(self.size - self.read).unwrap_or(usize::MAX).min(buffer.len());
        let mut length = 0;
        while length < wanted {
            let n = self.file.read(&mut buffer[length..wanted])?;
            if n == 0 {
                return Err(self.changed(self.read + length as u64));
            }
            length += n;
        }
        self.read += length as u64;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }

    fn refuse_more(&mut self) -> Result<()> {
        if self.file.read(&mut [0; 1])? > 0 {
            return Err(self.changed(self.file.metadata()?.len()));
        }
        Ok(())
    }

    fn changed(&self, now: u64) -> anyhow::Error {
        let path = self.file.path().display();
        anyhow!("{path} changed while it was packed: it had {} bytes, then {now}", self.size)
    }
}

/// Where the pieces are put one behind the other.
struct Output<'a> {
    state: Mutex<OutputState>,
    /// A piece was written, or all is over.
    moved: Condvar,
    file: &'a fs::File,
}

#[derive(Default)]
struct OutputState {
    /// The number of the piece that is written next.
    next: u64,
    waiting: BTreeMap<u64, Packed>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// Where the next byte goes.
    end: u64,
    /// Of all before that.
    hash: Sha256,
    /// What was not sent to the disk yet.
    unread: Unread,
    current: Option<Current>,
    entries: Vec<Entry>,
    members: Vec<(Member, u64)>,
    has_failed: bool,
}

/// The file that is being written.
struct Current {
    /// Where its local header stands.
    at: u64,
    crc: crc32fast::Hasher,
    blocks: Vec<Block>,
}

/// What was written and has to come back from the disk.
#[derive(Default)]
struct Unread {
    /// Where it begins and ends.
    part: Range<u64>,
    pieces: Vec<Piece>,
}

/// Bytes of the pack, with the CRC-32 that they had in memory.
struct Piece {
    at: u64,
    length: usize,
    crc32: u32,
}

impl Unread {
    /// Reads what is durable from the disk.
    fn come_back(&self, file: &fs::File, interrupt: &Interrupt) -> Result<()> {
        system::forget_cached_part(file, self.part.clone());
        let mut bytes = Vec::new();
        for piece in &self.pieces {
            interrupt.check()?;
            bytes.resize(piece.length, 0);
            system::read_exact_at(file, &mut bytes, piece.at).context("cannot read the pack back")?;
            if crc32fast::hash(&bytes) != piece.crc32 {
                return Err(reads_back_differently(file.path()));
            }
        }
        Ok(())
    }
}

/// What became of a piece.
enum Taken {
    /// It is written, or waits to be.
    Done,
    /// So much is written that it has to be sent to the disk, and to come back.
    Much(Unread),
    /// Another worker has failed.
    Failed,
}

/// Bytes of the pack after which they are sent to the disk.
const SEND_AT_ONCE: u64 = 64 << 20;

/// Pieces that may wait for an earlier one, besides those that the workers hold.
const MOST_WAITING: usize = 8;

impl<'a> Output<'a> {
    fn to(file: &'a fs::File) -> Self {
        Self { state: Mutex::default(), moved: Condvar::new(), file }
    }

    fn spare(&self) -> Vec<u8> {
        lock(&self.state).spare.pop().unwrap_or_default()
    }

    /// Takes a piece as soon as it may wait here, and writes whatever is due.
    fn take(&self, number: u64, packed: Packed) -> Result<Taken> {
        let mut state = lock(&self.state);
        while !state.has_failed && number != state.next && state.waiting.len() >= MOST_WAITING {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.has_failed {
            return Ok(Taken::Failed);
        }
        state.waiting.insert(number, packed);
        loop {
            let next = state.next;
            let Some(packed) = state.waiting.remove(&next) else { break };
            state.write(self.file, packed)?;
            state.next += 1;
        }
        let written = state.end - state.unread.part.start;
        let taken = if written >= SEND_AT_ONCE { Taken::Much(state.take_unread()) } else { Taken::Done };
        drop(state);
        self.moved.notify_all();
        Ok(taken)
    }

    fn ends_with_me(&self) -> EndsWithMe<'_, 'a> {
        EndsWithMe { output: self, is_well: false.into() }
    }

    fn finish(self) -> Result<Filled> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !state.waiting.is_empty() || state.current.is_some() {
            bail!("the pack lacks a piece");
        }
        let unread = state.take_unread();
        Ok(Filled {
            entries: state.entries,
            members: state.members,
            end: state.end,
            hash: state.hash,
            unread,
        })
    }
}

/// What was written, and where it ends.
struct Filled {
    entries: Vec<Entry>,
    members: Vec<(Member, u64)>,
    end: u64,
    /// Of all before the end.
    hash: Sha256,
    unread: Unread,
}

/// Lets nobody wait for a worker that has failed.
struct EndsWithMe<'a, 'b> {
    output: &'a Output<'b>,
    is_well: std::cell::Cell<bool>,
}

impl EndsWithMe<'_, '_> {
    fn is_well(&self) {
        self.is_well.set(true);
    }
}

impl Drop for EndsWithMe<'_, '_> {
    fn drop(&mut self) {
        if !self.is_well.get() {
            lock(&self.output.state).has_failed = true;
            self.output.moved.notify_all();
        }
    }
}

impl OutputState {
    fn take_unread(&mut self) -> Unread {
        let next = Unread { part: self.end..self.end, pieces: Vec::new() };
        let mut unread = std::mem::replace(&mut self.unread, next);
        unread.part.end = self.end;
        unread
    }

    fn append(&mut self, file: &fs::File, bytes: &[u8]) -> Result<()> {
        system::write_all_at(file, bytes, self.end).context("cannot write the pack")?;
        self.hash.update(bytes);
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn write(&mut self, file: &fs::File, packed: Packed) -> Result<()> {
        let Packed { chunk, block, crc, mut bytes, checksum } = packed;
        if chunk.is_first {
            self.current = Some(Current { at: self.end, crc: crc32fast::Hasher::new(), blocks: Vec::new() });
            let unknown = Member {
                name: chunk.path.as_str().into(),
                method: Method::Deflated,
                crc32: 0,
                size: chunk.size,
                packed: 0,
            };
            self.append(file, &unknown.local_header())?;
        }
        let current = self.current.as_mut().context("a piece without a file")?;
        current.crc.combine(&crc);
        current.blocks.extend(block);
        self.unread.pieces.push(Piece { at: self.end, length: bytes.len(), crc32: checksum });
        self.append(file, &bytes)?;
        bytes.clear();
        self.spare.push(bytes);
        let Some(sha256) = chunk.whole else { return Ok(()) };
        let Some(current) = self.current.take() else { return Ok(()) };
        let entry = Entry {
            path: chunk.path,
            size: chunk.size,
            sha256,
            crc32: current.crc.finalize(),
            blocks: current.blocks,
        };
        let member = member_of(&entry);
        self.append(file, &[&END[..], &member.descriptor()].concat())?;
        self.entries.push(entry);
        self.members.push((member, current.at));
        Ok(())
    }
}
