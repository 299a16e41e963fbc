//! The bytes of a pack that are not content: headers and table of contents, by APPNOTE 6.3.
//!
//! They follow from the manifest alone. A writer writes them, and a reader compares them byte for
//! byte, so that no bit of a pack can change unnoticed.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Result, bail};

use super::deflate::END;
use crate::domain::manifest::{Entry, Manifest};

/// How the content of a member is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    Stored,
    /// Deflated.
    Deflated,
}

/// A file of the ZIP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path, `/` between the parts, at most 65535 bytes.
    pub name: String,
    /// How it is kept.
    pub method: Method,
    /// CRC-32 of the content.
    pub crc32: u32,
    /// Bytes of the content.
    pub size: u64,
    /// Bytes in the ZIP.
    pub packed: u64,
}

/// A line of the table of contents has some 130 bytes.
const LARGEST_TABLE: u64 = 256 * Manifest::MOST_FILES as u64;

/// The last record, and the two before it in a ZIP that needs 64-bit fields.
const END_RECORD: u64 = 22;
const LOCATOR: u64 = 20;
const WIDE_END_RECORDS: u64 = 56 + LOCATOR;

/// From this size on the content may need 64-bit fields, whatever it shrinks or grows to.
const WIDE: u64 = 0xF000_0000;

/// What a 32-bit field says whose value stands in a 64-bit one.
const ELSEWHERE: u32 = u32::MAX;

/// Readers of ZIP 2.0 know deflate.
const NARROW_VERSION: u16 = 20;

/// Readers of ZIP 4.5 know 64-bit fields.
const WIDE_VERSION: u16 = 45;

/// Made on Unix: the attributes hold a mode.
const MADE_ON_UNIX: u16 = 3 << 8;

/// A file that its owner reads and writes.
const ATTRIBUTES: u32 = 0o100_600 << 16;

/// 1980-01-01, the first day that ZIP knows: when a file was changed says nothing here.
const DATE: u16 = 1 << 5 | 1;

/// CRC-32 and sizes stand behind the content.
const DESCRIBED: u16 = 1 << 3;

/// The name is UTF-8.
const UTF8: u16 = 1 << 11;

/// The bytes of numbers, the lowest first.
#[derive(Default)]
struct LowestFirst(Vec<u8>);

impl LowestFirst {
    fn u16(mut self, n: u16) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn u32(mut self, n: u32) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn u64(mut self, n: u64) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

/// A value for a 32-bit field, if it fits below the mark.
fn narrow(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(ELSEWHERE)
}

fn short(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

impl Member {
    fn is_wide(&self) -> bool {
        self.size >= WIDE
    }

    /// What is deflated is written from front to back: what becomes of it is known behind it.
    fn is_described(&self) -> bool {
        self.method == Method::Deflated
    }

    /// The fields that both headers share, from the flags to the sizes.
    fn fields(&self, bytes: LowestFirst, crc32: u32, sizes: [u32; 2]) -> LowestFirst {
        let method = if self.method == Method::Deflated { 8 } else { 0 };
        let described = if self.is_described() { DESCRIBED } else { 0 };
        let utf8 = if self.name.is_ascii() { 0 } else { UTF8 };
        bytes
            .u16(described | utf8)
            .u16(method)
            .u16(0)
            .u16(DATE)
            .u32(crc32)
            .u32(sizes[0])
            .u32(sizes[1])
            .u16(short(self.name.len()))
    }

    fn needs(&self) -> u16 {
        if self.is_wide() { WIDE_VERSION } else { NARROW_VERSION }
    }

    /// The bytes before the content. For deflated data, they follow from name and size alone.
    #[must_use]
    pub fn local_header(&self) -> Vec<u8> {
        let [crc32, packed, size] =
            if self.is_described() { [0; 3] } else { [self.crc32.into(), self.packed, self.size] };
        let (sizes, extra) = if self.is_wide() {
            ([ELSEWHERE; 2], LowestFirst::default().u16(1).u16(16).u64(size).u64(packed).0)
        } else {
            ([narrow(packed), narrow(size)], Vec::new())
        };
        let bytes = LowestFirst::default().u32(0x0403_4b50).u16(self.needs());
        self.fields(bytes, narrow(crc32), sizes)
            .u16(short(extra.len()))
            .bytes(self.name.as_bytes())
            .bytes(&extra)
            .0
    }

    /// The bytes after the content.
    #[must_use]
    pub fn descriptor(&self) -> Vec<u8> {
        if !self.is_described() {
            return Vec::new();
        }
        let bytes = LowestFirst::default().u32(0x0807_4b50).u32(self.crc32);
        let sized = if self.is_wide() {
            bytes.u64(self.packed).u64(self.size)
        } else {
            bytes.u32(narrow(self.packed)).u32(narrow(self.size))
        };
        sized.0
    }

    /// Its line in the table of contents.
    pub(super) fn central_header(&self, offset: u64) -> Vec<u8> {
        let far = offset >= u64::from(ELSEWHERE);
        let mut wide = LowestFirst::default();
        let mut sizes = [narrow(self.packed), narrow(self.size)];
        if self.is_wide() {
            wide = wide.u64(self.size).u64(self.packed);
            sizes = [ELSEWHERE; 2];
        }
        if far {
            wide = wide.u64(offset);
        }
        let extra = if wide.0.is_empty() {
            Vec::new()
        } else {
            LowestFirst::default().u16(1).u16(short(wide.0.len())).bytes(&wide.0).0
        };
        let needs = if far { WIDE_VERSION } else { self.needs() };
        let bytes = LowestFirst::default().u32(0x0201_4b50).u16(MADE_ON_UNIX | WIDE_VERSION).u16(needs);
        self.fields(bytes, self.crc32, sizes)
            .u16(short(extra.len()))
            .u16(0) // comment
            .u16(0) // disk
            .u16(0) // internal attributes
            .u32(ATTRIBUTES)
            .u32(narrow(offset))
            .bytes(self.name.as_bytes())
            .bytes(&extra)
            .0
    }
}

/// Returns the table of contents for a ZIP in which it begins at `start`.
///
/// Each member has the offset of its local header.
#[must_use]
pub fn table_of_contents<'a>(members: impl IntoIterator<Item = (&'a Member, u64)>, start: u64) -> Vec<u8> {
    let mut count = 0_u64;
    let mut out = Vec::new();
    for (member, offset) in members {
        count += 1;
        out.extend(member.central_header(offset));
    }
    let size = out.len() as u64;
    let most = u64::from(ELSEWHERE);
    if count >= u64::from(u16::MAX) || size >= most || start >= most {
        let record = LowestFirst::default()
            .u32(0x0606_4b50)
            .u64(44)
            .u16(MADE_ON_UNIX | WIDE_VERSION)
            .u16(WIDE_VERSION)
            .u32(0)
            .u32(0)
            .u64(count)
            .u64(count)
            .u64(size)
            .u64(start);
        let locator = LowestFirst::default().u32(0x0706_4b50).u32(0).u64(start + size).u32(1);
        out.extend(record.0);
        out.extend(locator.0);
    }
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    let end = LowestFirst::default().u32(0x0605_4b50).u16(0).u16(0).u16(count).u16(count);
    out.extend(end.u32(narrow(size)).u32(narrow(start)).u16(0).0);
    out
}

/// Checks the last records of a ZIP of so many bytes before anything else of it is read.
///
/// They must be where [`table_of_contents`] puts them, and within the limits of a pack.
///
/// # Errors
/// Says what is wrong.
pub fn check_end(file: &mut (impl Read + Seek), size: u64) -> Result<()> {
    let mut record = |from_end: u64, signature: u32| -> Result<Option<[u8; 56]>> {
        let mut bytes = [0; 56];
        let Some(at) = size.checked_sub(from_end) else { return Ok(None) };
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut bytes[..usize::try_from(from_end.min(56))?])?;
        Ok(bytes.starts_with(&signature.to_le_bytes()).then_some(bytes))
    };
    let Some(end) = record(END_RECORD, 0x0605_4b50)? else {
        bail!("it is not a complete ZIP file: it does not end with a table of contents");
    };
    let mut number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let narrow = [&end[8..10], &end[10..12], &end[12..16], &end[16..20]].map(&mut number);
    let is_wide = narrow[..2].contains(&u64::from(u16::MAX)) || narrow[2..].contains(&u64::from(ELSEWHERE));
    let ([here, count, length, start], behind) = if is_wide {
        let records = END_RECORD + WIDE_END_RECORDS;
        let wide = record(records, 0x0606_4b50)?;
        let locator = record(END_RECORD + LOCATOR, 0x0706_4b50)?;
        match (wide, locator) {
            // Whoever follows the locator comes to the same record.
            (Some(wide), Some(locator)) if size.checked_sub(records) == Some(number(&locator[8..16])) => {
                let fields = [&wide[24..32], &wide[32..40], &wide[40..48], &wide[48..56]];
                (fields.map(&mut number), records)
            }
            _ => bail!(
                "it is not a complete ZIP file: the last records of its table of contents are in the wrong place"
            ),
        }
    } else {
        (narrow, END_RECORD)
    };
    // The manifest and its signature come on top.
    if count.max(here) > Manifest::MOST_FILES as u64 + 2 || length > LARGEST_TABLE {
        bail!("it has more entries than a pack can have");
    }
    if start.checked_add(length).and_then(|end| end.checked_add(behind)) != Some(size) {
        bail!("it is not a complete ZIP file: its table of contents is not where it should be");
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn member(size: u64) -> Member {
        Member { name: "mysql/data/ibdata1".into(), method: Method::Deflated, crc32: 1, size, packed: size }
    }

    #[test]
    fn what_stands_before_deflated_content_does_not_depend_on_what_becomes_of_it() {
        for size in [0, 1, WIDE - 1, WIDE, 1 << 40] {
            let before = Member { packed: 0, crc32: 0, ..member(size) };
            assert_eq!(before.local_header(), member(size).local_header());
        }
    }

    #[test]
    fn wide_fields_come_where_narrow_ones_end() {
        assert_eq!(member(WIDE - 1).local_header().len() + 20, member(WIDE).local_header().len());
        assert_eq!(member(WIDE - 1).descriptor().len() + 8, member(WIDE).descriptor().len());
        let near = table_of_contents([(&member(1), 0)], 100);
        let far = table_of_contents([(&member(1), 1 << 32)], (1 << 32) + 100);
        assert_eq!(near.len() + 12 + 56 + 20, far.len());
        let many: Vec<_> = (0..70_000).map(|n| (member(1), n)).collect();
        let table = table_of_contents(many.iter().map(|(member, at)| (member, *at)), 100);
        assert_eq!(table[table.len() - 22..][8..12], [0xFF; 4]);
        // Of the last records: what they are, how many bytes the table has, where it stands, and where
        // the wide ones are looked for; each from the end.
        let (narrow, wide) = (&[22, 10, 6][..], &[98, 42, 34, 58, 50][..]);
        for (start, table, fields) in [(100, near, narrow), ((1 << 32) + 100, far, wide), (100, table, wide)]
        {
            let size = start + table.len() as u64;
            let check = |table: &[u8]| check_end(&mut AtTheEnd { start, table: table.to_vec(), at: 0 }, size);
            check(&table).expect("it is ours");
            for field in fields {
                let mut altered = table.clone();
                let place = altered.len() - field;
                altered[place] ^= 1;
                assert!(check(&altered).is_err(), "{field} from the end of {size}");
            }
        }
    }

    /// The format's description demands this order: size, packed size, place.
    #[test]
    fn a_giant_far_away_says_its_size_its_packed_size_and_its_place_in_wide_fields() {
        let giant = Member { packed: (3 << 32) + 2, ..member((5 << 32) + 1) };
        let header = giant.central_header((7 << 32) + 3);
        let wide =
            LowestFirst::default().u16(1).u16(24).u64((5 << 32) + 1).u64((3 << 32) + 2).u64((7 << 32) + 3);
        assert!(header.ends_with(&wide.0), "{header:?}");
        assert_eq!((&header[20..28], &header[42..46]), (&[0xFF; 8][..], &[0xFF; 4][..]));
    }

    /// A file of nothing but its table of contents, at a place.
    struct AtTheEnd {
        start: u64,
        table: Vec<u8>,
        at: u64,
    }

    impl Read for AtTheEnd {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let from = usize::try_from(self.at - self.start).expect("in the table");
            (&self.table[from..]).read(buffer)
        }
    }

    impl Seek for AtTheEnd {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            let SeekFrom::Start(at) = to else { panic!("from the start only") };
            self.at = at;
            Ok(at)
        }
    }
}
