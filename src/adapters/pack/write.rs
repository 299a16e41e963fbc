//! Makes a pack. All cores work on one large file as well as on many.
//!
//! Each worker takes the next piece of the input and reads it; hashes it in its turn; deflates it by
//! itself; and hands it to the output, which writes in that order, from front to back. What was written
//! is made durable and read back every now and then, while the other workers go on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use super::deflate::{Deflater, END, Effort};
use super::in_order::InOrder;
use super::layout::{Member, Method, member_of, stored_members, table_of_contents};
use super::read::{Opening, Pack};
use super::seal::Sealing;
use super::workers;
use crate::adapters::bytes::digest::{Sha256, blake3_of, hash_file_until};
use crate::adapters::bytes::direct::{DirectBuffer, DirectFile};
use crate::adapters::bytes::tree_hash::{self, Part};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::pack::sealed::{self, Recipient};
use crate::adapters::pack::signature::Signer;
use crate::adapters::system;
use crate::domain::digest::Sha256Hex;
use crate::domain::manifest::{Block, DATA, Entry, Manifest, RelPath};
use crate::ui::Progress;

/// A pack, written and read back.
pub struct WrittenPack {
    /// Size of the file in bytes.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Sha256Hex,
}

/// How to make a pack.
#[derive(Default)]
pub struct Making {
    /// How much effort the compression makes.
    pub effort: Effort,
    /// The signer of its manifest.
    pub signer: Option<Signer>,
    /// The account whose files the data are. No other file is packed for one of them.
    pub data_of: Option<system::Owner>,
    /// The reader that it is sealed for. Then no plain byte of it reaches the disk.
    pub recipient: Option<Recipient>,
}

/// Writes a pack of `sources` to the file `target`, makes it durable, and reads it back.
///
/// A source has its path in the home and its path now. Only the owner can read `target`. A sealed pack
/// is sealed on its way to the disk. `describe` turns the entries into the manifest.
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
) -> Result<WrittenPack> {
    let file = system::private_file(target)?;
    let input = Mutex::new(Input::of(sources, making.data_of));
    let sink = match &making.recipient {
        None => FileSink::Plain,
        Some(reader) => FileSink::Sealed(sealed::sealing(file.try_clone()?, reader)?),
    };
    let output = InOneRow::to(&file, sink);
    // More threads than cores: each waits for the disk every now and then.
    workers::run(workers::MOST_PACKING, 4, |_| {
        let guard = output.ends_with_me();
        let done = work(&input, &output, making, progress, interrupt);
        if done.is_ok() {
            guard.is_well();
        }
        done
    })?;
    let mut state = output.finish()?;
    let manifest = describe(std::mem::take(&mut state.entries));
    manifest.check().map_err(|why| anyhow!("the pack would be wrong: {why}"))?;
    let unread = state.take_unread();
    let tail = tail(&manifest, making.signer.as_ref(), std::mem::take(&mut state.members), state.end)?;
    state.append(&file, &tail)?;
    let OutputState { sink, hash, .. } = state;
    let sealed = match sink {
        FileSink::Plain => None,
        FileSink::Sealed(sealing) => Some(sealing.finish().context("cannot write the pack")?),
    };
    file.sync_all()?;
    if sealed.is_none() {
        unread.come_back(&file, interrupt)?;
    }
    let size = file.metadata()?.len();
    system::forget_cached(&file);
    drop(file);
    // Whatever is not content has to be on the disk as well.
    let is_right = match &sealed {
        None => Pack::open(target, &Opening::default()).is_ok_and(|pack| pack.manifest() == &manifest),
        Some(sha256) => hash_file_until(target, interrupt)? == *sha256,
    };
    if !is_right {
        return Err(reads_back_differently(target));
    }
    Ok(WrittenPack { size, sha256: sealed.unwrap_or_else(|| hash.finish()) })
}

fn reads_back_differently(pack: &Path) -> anyhow::Error {
    anyhow!("{} reads back differently from what was written: check the disk", pack.display())
}

/// Returns the manifest, its signature and the table of contents, for a pack whose entries end at `end`.
fn tail(
    manifest: &Manifest,
    signer: Option<&Signer>,
    mut members: Vec<(Member, u64)>,
    end: u64,
) -> Result<Vec<u8>> {
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
    Ok(tail)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A worker that panicked ends the others by itself.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(
    input: &Mutex<Input<'_>>,
    output: &InOneRow<'_>,
    making: &Making,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut deflater = Deflater::new(making.effort);
    let mut plain = DirectBuffer::default();
    loop {
        interrupt.check()?;
        let Some(due) = lock(input).next()? else { return Ok(()) };
        let Some((chunk, plain)) = due.read(&mut plain)? else { return Ok(()) };
        let mut bytes = output.spare();
        deflater.block(plain, &mut bytes).with_context(|| format!("cannot pack {}", chunk.path))?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(plain);
        let block = (!plain.is_empty()).then(|| Block {
            packed: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            blake3: blake3_of(&bytes),
        });
        let part = Part::of(plain, chunk.index, usize::try_from(chunk.size.div_ceil(Manifest::BLOCK))?);
        progress.add(plain.len() as u64);
        let number = chunk.number;
        match output.take(number, PackedPiece { chunk, block, crc, part, bytes })? {
            Taken::Done => {}
            Taken::Much(written) => {
                // The disk works while the other cores do.
                output.file.sync_data().context("cannot write the pack")?;
                if making.recipient.is_none() {
                    written.come_back(output.file, interrupt)?;
                }
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
    /// Which piece of the file it is.
    index: usize,
    /// With the last piece of a file: the hash of it all.
    whole: Option<Sha256Hex>,
}

/// A piece of a file, ready to be written.
struct PackedPiece {
    chunk: Chunk,
    block: Option<Block>,
    /// Of the piece as it was read.
    crc: crc32fast::Hasher,
    part: Part,
    bytes: Vec<u8>,
}

/// A file that is being read.
struct BeingRead {
    source: DirectFile,
    path: RelPath,
    size: u64,
    hashed: InOrder,
}

impl BeingRead {
    fn at(path: &RelPath, source: &Path, data_of: Option<system::Owner>) -> Result<Self> {
        let source = DirectFile::open(source)?;
        if let Some(owner) = data_of.filter(|_| path.below(DATA).is_some()) {
            system::require_owner(source.file(), owner)?;
        }
        let size = source.file().metadata()?.len();
        Ok(Self { source, path: path.clone(), size, hashed: InOrder::default() })
    }

    fn changed(&self, now: u64) -> anyhow::Error {
        let path = self.source.file().path().display();
        anyhow!("{path} changed while it was packed: it had {} bytes, then {now}", self.size)
    }
}

/// Hands out the pieces of all files.
struct Input<'a> {
    sources: std::slice::Iter<'a, (RelPath, PathBuf)>,
    /// The file that is being read, and its next piece.
    open: Option<(Arc<BeingRead>, usize)>,
    number: u64,
    data_of: Option<system::Owner>,
}

impl<'a> Input<'a> {
    fn of(sources: &'a [(RelPath, PathBuf)], data_of: Option<system::Owner>) -> Self {
        Self { sources: sources.iter(), open: None, number: 0, data_of }
    }

    /// The next piece; none is left after the last file.
    fn next(&mut self) -> Result<Option<DuePiece>> {
        let (open, index) = match self.open.take() {
            Some(open) => open,
            None => match self.sources.next() {
                Some((path, source)) => (Arc::new(BeingRead::at(path, source, self.data_of)?), 0),
                None => return Ok(None),
            },
        };
        let start = index as u64 * Manifest::BLOCK;
        let bytes = start..(start + Manifest::BLOCK).min(open.size);
        if bytes.end < open.size {
            self.open = Some((Arc::clone(&open), index + 1));
        }
        let number = self.number;
        self.number += 1;
        Ok(Some(DuePiece { open, number, index, bytes }))
    }
}

/// A piece that somebody has to read.
struct DuePiece {
    open: Arc<BeingRead>,
    number: u64,
    index: usize,
    bytes: Range<u64>,
}

impl DuePiece {
    /// Reads it, and hashes it after all that come before it; nothing, if one of them has failed.
    fn read(self, buffer: &mut DirectBuffer) -> Result<Option<(Chunk, &[u8])>> {
        let Self { open, number, index, bytes } = self;
        let turn = open.hashed.turn(index);
        let is_last = bytes.end == open.size;
        // Whether it ends there, as well.
        let read = open.source.read(bytes.start..bytes.end + u64::from(is_last), buffer)?;
        let now = bytes.start + read.len() as u64;
        if now != bytes.end {
            return Err(open.changed(now));
        }
        let Some(hash) = turn.hash(read) else { return Ok(None) };
        let whole = is_last.then(|| hash.finish());
        let chunk = Chunk { number, path: open.path.clone(), size: open.size, index, whole };
        Ok(Some((chunk, read)))
    }
}

/// Where the pieces are put one behind the other.
struct InOneRow<'a> {
    state: Mutex<OutputState>,
    /// A piece was written, or all is over.
    moved: Condvar,
    file: &'a fs::File,
}

/// How bytes get into the file.
#[derive(Default)]
enum FileSink {
    /// As they are.
    #[default]
    Plain,
    /// Sealed, one behind the other.
    Sealed(Box<dyn Sealing>),
}

#[derive(Default)]
struct OutputState {
    sink: FileSink,
    /// The number of the piece that is written next.
    next: u64,
    waiting: BTreeMap<u64, PackedPiece>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// Where the next byte goes.
    end: u64,
    /// Of all before that.
    hash: Sha256,
    /// What was not sent to the disk yet.
    unread: Unread,
    current: Option<BeingWritten>,
    entries: Vec<Entry>,
    members: Vec<(Member, u64)>,
    has_failed: bool,
}

/// The file that is being written.
struct BeingWritten {
    /// Where its local header stands.
    at: u64,
    crc: crc32fast::Hasher,
    parts: Vec<Part>,
    blocks: Vec<Block>,
}

/// What was written and has to come back from the disk.
#[derive(Default)]
struct Unread {
    /// Where it begins and ends.
    part: Range<u64>,
    /// As it was in memory.
    checksum: crc32fast::Hasher,
}

impl Unread {
    /// Reads what is durable from the disk.
    fn come_back(self, file: &fs::File, interrupt: &Interrupt) -> Result<()> {
        system::forget_cached_part(file, self.part.clone());
        let disk = DirectFile::open(file.path())?;
        let mut buffer = DirectBuffer::default();
        let mut checksum = crc32fast::Hasher::new();
        let mut at = self.part.start;
        while at < self.part.end {
            interrupt.check()?;
            // Parts of the pack begin anywhere, and whole units are read.
            let end = (at + Manifest::BLOCK).min(self.part.end);
            let bytes = disk.read(at..end, &mut buffer).context("cannot read the pack back")?;
            checksum.update(bytes);
            at = end;
        }
        if checksum.finalize() != self.checksum.finalize() {
            return Err(reads_back_differently(file.path()));
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
const SEND_AT_ONCE: u64 = 32 << 20;

/// Pieces that may wait for an earlier one, besides those that the workers hold.
const MOST_WAITING: usize = 8;

impl<'a> InOneRow<'a> {
    fn to(file: &'a fs::File, sink: FileSink) -> Self {
        Self {
            state: Mutex::new(OutputState { sink, ..OutputState::default() }),
            moved: Condvar::new(),
            file,
        }
    }

    fn spare(&self) -> Vec<u8> {
        lock(&self.state).spare.pop().unwrap_or_default()
    }

    /// Takes a piece as soon as it may wait here, and writes whatever is due.
    fn take(&self, number: u64, packed: PackedPiece) -> Result<Taken> {
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

    fn finish(self) -> Result<OutputState> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !state.waiting.is_empty() || state.current.is_some() {
            bail!("the pack lacks a piece");
        }
        Ok(state)
    }
}

/// Lets nobody wait for a worker that has failed.
struct EndsWithMe<'a, 'b> {
    output: &'a InOneRow<'b>,
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
        let next = Unread { part: self.end..self.end, checksum: crc32fast::Hasher::new() };
        let mut unread = std::mem::replace(&mut self.unread, next);
        unread.part.end = self.end;
        unread
    }

    fn append(&mut self, file: &fs::File, bytes: &[u8]) -> Result<()> {
        match &mut self.sink {
            FileSink::Plain => {
                system::write_all_at(file, bytes, self.end).context("cannot write the pack")?;
                self.hash.update(bytes);
                self.unread.checksum.update(bytes);
            }
            FileSink::Sealed(sealing) => sealing.write_all(bytes).context("cannot write the pack")?,
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn write(&mut self, file: &fs::File, packed: PackedPiece) -> Result<()> {
        let PackedPiece { chunk, block, crc, part, mut bytes } = packed;
        if chunk.index == 0 {
            self.current = Some(BeingWritten {
                at: self.end,
                crc: crc32fast::Hasher::new(),
                parts: Vec::new(),
                blocks: Vec::new(),
            });
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
        current.parts.push(part);
        current.blocks.extend(block);
        self.append(file, &bytes)?;
        bytes.clear();
        self.spare.push(bytes);
        let Some(sha256) = chunk.whole else { return Ok(()) };
        let Some(current) = self.current.take() else { return Ok(()) };
        let entry = Entry {
            path: chunk.path,
            size: chunk.size,
            sha256,
            blake3: tree_hash::whole(&current.parts),
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
