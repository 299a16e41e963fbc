//! Removes the end of a deflate stream, so that another one can follow.
//!
//! libdeflate makes whole streams only. One that is a single block with codes of its own ends with the
//! word that ends every block, then zeros up to the next byte. How that word is spelt stands at the
//! block's beginning (RFC 1951, 3.2.7), so that its end is found from behind, without reading what lies
//! between.

/// What an empty stored block is behind its three bits, all zeros, and the zeros up to the next byte.
const EMPTY: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// The order in which the lengths of the codes of code lengths are given.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Of the codes of code lengths, bits.
const LONGEST_LENGTH: usize = 7;

/// Of the code of literals and lengths.
const MOST_SYMBOLS: usize = 288;

/// Of lengths, in one symbol.
const LONGEST_RUN: usize = 138;

/// The symbol that ends a block.
const END_OF_BLOCK: usize = 256;

const FINAL: u8 = 1;
const DYNAMIC: u32 = 2;

/// Opens the stream that begins at `start` of `out`, so that another one can follow.
///
/// The stream then ends at a byte, and not with a last block. Returns false, without a change of `out`,
/// if it is not a single block or its end cannot be found.
#[must_use]
pub fn open(out: &mut Vec<u8>, start: usize) -> bool {
    let Some(padding) = padding(&out[start..]) else { return false };
    out[start] &= !FINAL;
    if padding < 3 {
        out.push(0);
    }
    out.extend(EMPTY);
    true
}

/// How many bits lie behind the block.
fn padding(stream: &[u8]) -> Option<usize> {
    let mut bits = Bits { stream, at: 0 };
    if bits.take(1)? != u32::from(FINAL) || bits.take(2)? != DYNAMIC {
        return None;
    }
    let (code, length) = end_of_block(&mut bits)?;
    let total = stream.len() * 8;
    let fits = |padding: &usize| {
        let end = total - padding;
        end >= bits.at + length
            && (end..total).all(|at| bit(stream, at) == 0)
            && (0..length).all(|n| bit(stream, end - length + n) == code >> (length - 1 - n) & 1)
    };
    let mut found = (0..8).filter(fits);
    // Two can fit if the word ends in zeros itself.
    found.next().filter(|_| found.next().is_none())
}

/// How the end is spelt: the code, its first bit highest, and its length.
fn end_of_block(bits: &mut Bits<'_>) -> Option<(u32, usize)> {
    let symbols = bits.take(5)? as usize + 257;
    bits.take(5)?;
    let given = bits.take(4)? as usize + 4;
    let mut of_lengths = [0_u8; 19];
    for place in &ORDER[..given] {
        of_lengths[*place] = u8::try_from(bits.take(3)?).ok()?;
    }
    let table = table(&of_lengths);
    let mut lengths = [0_u8; MOST_SYMBOLS + LONGEST_RUN];
    let mut filled = 0;
    while filled < symbols {
        let (length, times) = match bits.symbol(&table)? {
            16 => (lengths[..filled].last().copied()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length, 1),
        };
        let run = filled..filled + times as usize;
        filled = run.end;
        lengths[run].fill(length);
    }
    // A run may go on into the distances.
    lengths[symbols..].fill(0);
    let length = usize::from(lengths[END_OF_BLOCK]);
    (length > 0).then(|| (codes(&lengths)[END_OF_BLOCK], length))
}

/// The code of each symbol, from the lengths of all (RFC 1951, 3.2.2).
fn codes<const SYMBOLS: usize>(lengths: &[u8; SYMBOLS]) -> [u32; SYMBOLS] {
    let mut count = [0_u32; 16];
    for length in lengths {
        count[usize::from(*length)] += 1;
    }
    count[0] = 0;
    let (mut next, mut code) = ([0_u32; 16], 0);
    for length in 1..16 {
        next[length] = code;
        code = (code + count[length]) << 1;
    }
    lengths.map(|length| {
        let next = &mut next[usize::from(length)];
        *next += 1;
        *next - 1
    })
}

/// For whatever bits follow: the symbol that they begin with, and its length; no length, if there is none.
fn table(lengths: &[u8; 19]) -> [(u8, u8); 1 << LONGEST_LENGTH] {
    let mut table = [(0, 0); 1 << LONGEST_LENGTH];
    for ((symbol, length), code) in
        (0..).zip(lengths).zip(codes(lengths)).filter(|((_, length), _)| **length > 0)
    {
        // Bits are read lowest first, and codes are written highest first.
        let first = code.reverse_bits() >> (32 - u32::from(*length));
        for entry in table.iter_mut().skip(first as usize).step_by(1 << length) {
            *entry = (symbol, *length);
        }
    }
    table
}

fn bit(stream: &[u8], at: usize) -> u32 {
    u32::from(stream[at / 8] >> (at % 8) & 1)
}

struct Bits<'a> {
    stream: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next nine bits at least, the first one lowest; zeros follow the last one.
    fn peek(&self) -> u32 {
        let byte = |n: usize| u32::from(self.stream.get(self.at / 8 + n).copied().unwrap_or(0));
        (byte(0) | byte(1) << 8) >> (self.at % 8)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= self.stream.len() * 8).then_some(())
    }

    /// The next bits as a number, the first one lowest: seven at most.
    fn take(&mut self, count: usize) -> Option<u32> {
        let number = self.peek() & ((1 << count) - 1);
        self.skip(count)?;
        Some(number)
    }

    /// The next symbol of a code.
    fn symbol(&mut self, table: &[(u8, u8); 1 << LONGEST_LENGTH]) -> Option<u8> {
        let (symbol, length) = table[self.peek() as usize % table.len()];
        (length > 0).then_some(())?;
        self.skip(usize::from(length))?;
        Some(symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress, Status};
    use libdeflater::{CompressionLvl, Compressor};

    fn stream_of(plain: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::new(1).expect("a level"));
        let mut out = vec![0; compressor.deflate_compress_bound(plain.len())];
        let size = compressor.deflate_compress(plain, &mut out).expect("it fits");
        out.truncate(size);
        out
    }

    fn text(seed: usize, bytes: usize) -> Vec<u8> {
        let line = |n: usize| format!("{:x} row {} of {seed}; ", n * n * seed, n % (seed + 3)).into_bytes();
        (0..).flat_map(line).take(bytes).collect()
    }

    #[test]
    fn whatever_is_opened_goes_on_with_the_next() {
        let (mut stream, mut all, mut opened, mut paddings) = (Vec::new(), Vec::new(), 0, [0; 8]);
        for seed in 1..400 {
            let plain = text(seed, 300 + seed * 97);
            let start = stream.len();
            stream.extend(stream_of(&plain));
            let found = padding(&stream[start..]);
            if !open(&mut stream, start) {
                stream.truncate(start);
                continue;
            }
            paddings[found.expect("it was opened")] += 1;
            opened += 1;
            all.extend(plain);
        }
        assert!(opened > 390, "{opened}");
        assert!(paddings.iter().all(|times| *times > 0), "{paddings:?}");
        stream.extend(super::super::deflate::END);
        let mut back = vec![0; all.len()];
        let mut inflate = Decompress::new(false);
        let status = inflate.decompress(&stream, &mut back, FlushDecompress::Finish).expect("inflated");
        assert_eq!((status, inflate.total_in()), (Status::StreamEnd, stream.len() as u64));
        assert!(back == all);
    }

    #[test]
    fn what_is_not_one_block_with_codes_of_its_own_stays_as_it_is() {
        // Fixed codes, and stored.
        for plain in [&b"a"[..], &b"abc"[..], &[0xC3; 1], &text(7, 200_000)] {
            let whole = stream_of(plain);
            let mut out = [&b"before"[..], &whole].concat();
            if whole[0] & 7 != 5 {
                assert!(!open(&mut out, 6), "{plain:?}");
                assert_eq!(&out[6..], whole);
            }
        }
        for cut in 0..40 {
            let mut cut = stream_of(&text(5, 1000))[..cut].to_vec();
            // No end, or one that happens to look like it: it never reads beyond.
            let _ = open(&mut cut, 0);
        }
    }
}
