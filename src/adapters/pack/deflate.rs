//! Blocks of a deflate stream.
//!
//! All cores make and read them, and together they are one ordinary stream.
//!
//! Each block begins without history and ends at a byte boundary.

use anyhow::{Result, bail};
use flate2::{Compress, Compression, FlushCompress};
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};

use super::splice;
use crate::adapters::random;

/// The unit in which `InnoDB` writes. Pages are classified by their content.
const PAGE: usize = 16 << 10;

/// The end of a stream of blocks: one more block, empty and final.
pub const END: [u8; 5] = [1, 0, 0, 0xFF, 0xFF];

/// The largest size of a stored block.
const MOST_STORED: usize = 65_535;

/// How much effort the compression makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Effort {
    /// As small as `zip -6`, within 3 %, and much faster.
    #[default]
    Quick,
    /// As small as `zip -6`.
    Dense,
}

impl Effort {
    /// For zlib-rs, which makes all of a dense pack, and of a quick one what cannot be spliced.
    fn level(self) -> Compression {
        Compression::new(match self {
            Self::Quick => 2,
            Self::Dense => 5,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Only zeros: their stream is made once.
    Zeros,
    /// Already encrypted or compressed: stored.
    Noise,
    /// Deflated.
    Text,
}

/// Makes blocks.
pub struct Deflater {
    deflate: Compress,
    /// libdeflate, which is faster, but makes only whole streams.
    quick: Option<Compressor>,
    /// The stream of so many pages of zeros, made when first needed.
    zeros: Vec<Vec<u8>>,
}

impl Deflater {
    /// Makes blocks with this effort.
    #[must_use]
    pub fn new(effort: Effort) -> Self {
        let level = CompressionLvl::new(1).ok().filter(|_| effort == Effort::Quick);
        let quick = level.map(Compressor::new);
        Self { deflate: Compress::new(effort.level(), false), quick, zeros: Vec::new() }
    }

    /// Appends `plain` to `out` as one block.
    ///
    /// # Errors
    /// Only if the library fails.
    pub fn block(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut pages = plain.chunks(PAGE).map(|page| (page.len(), classify(page))).peekable();
        let mut rest = plain;
        while let Some((mut run, class)) = pages.next() {
            while let Some((more, _)) = pages.next_if(|(_, next)| *next == class) {
                run += more;
            }
            let (these, others) = rest.split_at(run);
            match class {
                Class::Zeros => self.zeros(these.len() / PAGE, out)?,
                Class::Noise => stored(these, out),
                Class::Text => self.text(these, out)?,
            }
            rest = others;
        }
        Ok(())
    }

    fn text(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if self.quick.is_none() {
            return self.flushed(plain, out);
        }
        // At its first level, and with so little, libdeflate makes one block; a page at a time is quickest.
        for piece in plain.chunks(PAGE) {
            if !self.spliced(piece, out)? {
                self.flushed(piece, out)?;
            }
        }
        Ok(())
    }

    /// Deflates with libdeflate, unless nothing can follow on what it makes.
    fn spliced(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(quick) = &mut self.quick else { return Ok(false) };
        let start = out.len();
        // Not `resize`, which fills byte by byte in a build for tests.
        out.extend_from_slice(&BLANK[..quick.deflate_compress_bound(plain.len())]);
        let size = quick.deflate_compress(plain, &mut out[start..])?;
        out.truncate(start + size);
        let opened = splice::open(out, start);
        if !opened {
            out.truncate(start);
        }
        Ok(opened)
    }

    /// Deflates with zlib-rs, which can end a block at a byte by itself.
    fn flushed(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.deflate.reset();
        let mut done = 0;
        loop {
            out.reserve(plain.len() - done + PAGE);
            let before = self.deflate.total_in();
            self.deflate.compress_vec(&plain[done..], out, FlushCompress::Sync)?;
            done += usize::try_from(self.deflate.total_in() - before)?;
            // The flush is complete when there was room to spare.
            if done == plain.len() && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }

    fn zeros(&mut self, pages: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.zeros.len() <= pages {
            self.zeros.resize(pages + 1, Vec::new());
        }
        if self.zeros[pages].is_empty() {
            let mut made = Vec::new();
            self.text(&vec![0; pages * PAGE], &mut made)?;
            self.zeros[pages] = made;
        }
        out.extend(&self.zeros[pages]);
        Ok(())
    }
}

/// More than libdeflate needs for a page, whatever is on it.
static BLANK: [u8; 2 * PAGE] = [0; 2 * PAGE];

fn stored(plain: &[u8], out: &mut Vec<u8>) {
    for part in plain.chunks(MOST_STORED) {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(part);
    }
}

/// How many bytes of a page are sampled, and in how many places.
const SAMPLES: usize = 8;
const SAMPLE: usize = 256;

/// The sum of the squares of how often each byte occurs in the samples: 18 424 is expected of noise,
/// with a deviation of 181; of base64 it is 67 000.
const NOISE: u32 = 19_200;

fn classify(page: &[u8]) -> Class {
    if page.len() < PAGE {
        return Class::Text;
    }
    if page.iter().step_by(PAGE / 64).all(|byte| *byte == 0) && page.iter().all(|byte| *byte == 0) {
        return Class::Zeros;
    }
    let mut counts = [0_u16; 256];
    for sample in page.chunks_exact(PAGE / SAMPLES) {
        // Past the header that every page has.
        for byte in &sample[64..64 + SAMPLE] {
            counts[usize::from(*byte)] += 1;
        }
    }
    let squares: u32 = counts.iter().map(|count| u32::from(*count) * u32::from(*count)).sum();
    if squares < NOISE { Class::Noise } else { Class::Text }
}

/// Bytes that a block inflates to beyond its size, because a mark follows it.
pub const MARK: usize = 8;

/// Bytes after a block that the mark needs.
pub const ROOM: usize = MARK + 5;

/// Reads blocks.
pub struct Inflater {
    inflate: Decompressor,
    /// The last block of a stream, which stores a mark that nobody can foresee: where it comes out, all
    /// before it was whole blocks, and none of them was the last.
    end: [u8; ROOM],
}

impl Default for Inflater {
    fn default() -> Self {
        let mut end = [1, 8, 0, !8, !0, 0, 0, 0, 0, 0, 0, 0, 0];
        end[5..].copy_from_slice(&random::bytes::<MARK>());
        Self { inflate: Decompressor::new(), end }
    }
}

impl Inflater {
    /// Inflates one block into `out`, which has exactly its size and [`MARK`] bytes more.
    ///
    /// The block has [`ROOM`] bytes for the mark after it.
    ///
    /// # Errors
    /// Whatever is not one whole block of that size.
    pub fn block<'a>(&mut self, packed: &mut [u8], out: &'a mut [u8]) -> Result<&'a [u8]> {
        let Some(room) = packed.last_chunk_mut() else { bail!("there is no room behind it") };
        *room = self.end;
        let made = self.inflate.deflate_decompress(packed, out);
        match made {
            Err(DecompressionError::BadData) => bail!("it cannot be decompressed"),
            Err(DecompressionError::InsufficientSpace) => bail!("it contains more than it should"),
            Ok(made) if made < out.len() => bail!("it contains less than it should"),
            Ok(_) if !out.ends_with(&self.end[5..]) => bail!("it ends its stream"),
            Ok(_) => Ok(&out[..out.len() - MARK]),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress, Status};

    use super::*;

    fn noise(bytes: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        let mut out = Vec::with_capacity(bytes);
        while out.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            out.extend(state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
        }
        out.truncate(bytes);
        out
    }

    fn text(bytes: usize) -> Vec<u8> {
        (0..).flat_map(|n: u32| format!("row {n} of a table; ").into_bytes()).take(bytes).collect()
    }

    fn mixed() -> Vec<u8> {
        [text(PAGE), vec![0; 3 * PAGE], noise(5 * PAGE, 7), text(2 * PAGE), vec![0; PAGE], noise(777, 9)]
            .concat()
    }

    #[test]
    fn pages_are_told_apart() {
        assert_eq!(classify(&[0; PAGE]), Class::Zeros);
        assert_eq!(classify(&text(PAGE)), Class::Text);
        for seed in 1..200 {
            assert_eq!(classify(&noise(PAGE, seed)), Class::Noise, "seed {seed}");
        }
        let mut nearly = vec![0; PAGE];
        nearly[PAGE - 1] = 1;
        assert_eq!(classify(&nearly), Class::Text);
        let base64: Vec<u8> = noise(PAGE, 3).into_iter().map(|byte| b'0' + byte % 64).collect();
        assert_eq!(classify(&base64), Class::Text);
    }

    #[test]
    fn what_goes_in_comes_out_block_by_block_and_as_one_stream() {
        for effort in [Effort::Quick, Effort::Dense] {
            let mut deflater = Deflater::new(effort);
            let mut inflater = Inflater::default();
            let (mut stream, mut all) = (Vec::new(), Vec::new());
            for plain in [mixed(), noise(100_000, 5), vec![0; 1 << 20], text(1), text(70_000), mixed()] {
                let mut packed = Vec::new();
                deflater.block(&plain, &mut packed).expect("deflated");
                stream.extend(&packed);
                let mut back = vec![0; plain.len() + MARK];
                packed.extend([0; ROOM]);
                assert!(inflater.block(&mut packed, &mut back).expect("inflated") == plain);
                all.extend(plain);
            }
            stream.extend(END);
            let mut back = vec![0; all.len()];
            let mut whole = Decompress::new(false);
            let status = whole.decompress(&stream, &mut back, FlushDecompress::Finish).expect("inflated");
            assert_eq!((status, whole.total_in()), (Status::StreamEnd, stream.len() as u64));
            assert!(back == all);
        }
    }

    #[test]
    fn a_block_of_another_size_is_refused() {
        let mut packed = Vec::new();
        Deflater::new(Effort::Quick).block(&text(5000), &mut packed).expect("deflated");
        let mut inflater = Inflater::default();
        let mut inflate = |packed: &[u8], size| {
            let mut out = vec![0; size + MARK];
            inflater.block(&mut [packed, &[0; ROOM]].concat(), &mut out).map(<[u8]>::to_vec)
        };
        for size in [0, 4999, 5001, 5000 + MARK] {
            assert!(inflate(&packed, size).is_err(), "{size}");
        }
        assert!(inflate(&packed[..packed.len() - 1], 5000).is_err());
        let twice = [&packed[..], &packed[..]].concat();
        assert!(inflate(&twice, 5000).is_err());
        let ended = [&packed[..], &END[..]].concat();
        assert!(inflate(&ended, 5000).is_err());
        // As much as with the mark, but not the mark.
        let longer = [&packed[..], &[1, 8, 0, !8, !0], &[0; MARK], b"and more"].concat();
        assert!(inflate(&longer, 5000).is_err());
        assert!(inflate(&packed, 5000).is_ok_and(|plain| plain == text(5000)));
    }
}
