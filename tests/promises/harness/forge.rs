//! A pack taken apart, changed, and put together again by code that shares nothing with the tool's.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const MANIFEST: &str = "replication/manifest.json";

/// What ends the deflate stream of an entry.
const END: [u8; 5] = [1, 0, 0, 0xFF, 0xFF];

/// Bytes of a file in one block.
const BLOCK: usize = 1 << 20;

const FILE: u32 = 0o100_600;

/// An entry as it stands in the ZIP.
#[derive(Clone)]
pub struct Piece {
    pub name: String,
    /// Packed.
    pub raw: Vec<u8>,
    pub crc32: u32,
    pub size: usize,
    /// Type and permissions.
    pub mode: u32,
    is_stored: bool,
}

impl Piece {
    /// A file with this content, its blocks stored.
    pub fn of(name: &str, content: &[u8]) -> Self {
        let mut raw: Vec<u8> = content.chunks(BLOCK).flat_map(stored).collect();
        raw.extend(END);
        let crc32 = crc32fast::hash(content);
        Self { name: name.into(), raw, crc32, size: content.len(), mode: FILE, is_stored: false }
    }

    /// CRC-32 and sizes.
    fn sizes(&self) -> Vec<u8> {
        [self.crc32, narrow(self.raw.len()), narrow(self.size)].iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    /// What both headers say, with these CRC-32 and sizes.
    fn fields(&self, sizes: &[u8]) -> Vec<u8> {
        let (flags, method) = if self.is_stored { (0, 0) } else { (8, 8) };
        let mut out = Vec::new();
        for number in [flags, method, 0, 0x21] {
            out.extend(u16::to_le_bytes(number));
        }
        out.extend(sizes);
        out.extend(u16::try_from(self.name.len()).expect("short").to_le_bytes());
        out
    }

    /// The piece as it stands in the ZIP; what is deflated has its sizes behind it.
    fn whole(&self) -> Vec<u8> {
        let (before, behind) = if self.is_stored {
            (self.sizes(), Vec::new())
        } else {
            (vec![0; 12], [&b"PK\x07\x08"[..], &self.sizes()].concat())
        };
        let header = [&b"PK\x03\x04\x14\0"[..], &self.fields(&before), &[0, 0]].concat();
        [&header[..], self.name.as_bytes(), &self.raw, &behind].concat()
    }
}

/// A deflate block without compression, as many as it takes.
pub fn stored(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in content.chunks(65_535) {
        let length = u16::try_from(part.len()).expect("short");
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(part);
    }
    out
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("small")
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// What the manifest says of a block.
fn block(packed: &[u8]) -> String {
    format!("{} {}", packed.len(), blake3::hash(packed).to_hex())
}

/// The entries of a pack and its manifest, to be changed and written anew.
pub struct Forged {
    pub pieces: Vec<Piece>,
    pub manifest: Value,
}

impl Forged {
    pub fn from(pack: &Path) -> Self {
        let mut zip =
            zip::ZipArchive::new(std::fs::File::open(pack).expect("there")).expect("a complete ZIP file");
        let mut pieces = Vec::new();
        for index in 0..zip.len() {
            let mut file = zip.by_index_raw(index).expect("an entry");
            let mut piece = Piece {
                name: file.name().expect("a name").into_owned(),
                raw: Vec::new(),
                crc32: file.crc32(),
                size: usize::try_from(file.size()).expect("small"),
                mode: FILE,
                is_stored: false,
            };
            file.read_to_end(&mut piece.raw).expect("readable");
            pieces.push(piece);
        }
        let manifest = pieces.pop().expect("the manifest is the last");
        assert_eq!(manifest.name, MANIFEST);
        Self { pieces, manifest: serde_json::from_slice(&manifest.raw).expect("JSON") }
    }

    /// Adds an entry that its manifest knows.
    pub fn add(&mut self, path: &str, content: &[u8]) {
        self.pieces.push(Piece::of(path, content));
        self.list(path, content);
    }

    /// Lists a file in the manifest.
    pub fn list(&mut self, path: &str, content: &[u8]) {
        let blocks: Vec<String> = content.chunks(BLOCK).map(stored).map(|packed| block(&packed)).collect();
        let entry = json!({
            "path": path,
            "size": content.len(),
            "sha256": hex(content),
            "blake3": blake3::hash(content).to_hex().as_str(),
            "crc32": crc32fast::hash(content),
            "blocks": blocks,
        });
        self.manifest["files"].as_array_mut().expect("files").push(entry);
    }

    /// The piece of a name.
    pub fn piece(&mut self, name: &str) -> &mut Piece {
        self.pieces.iter_mut().find(|piece| piece.name == name).expect("there")
    }

    /// What the manifest says of a file.
    pub fn listed(&mut self, name: &str) -> &mut Value {
        let files = self.manifest["files"].as_array_mut().expect("files");
        files.iter_mut().find(|entry| entry["path"] == name).expect("listed")
    }

    /// Gives a file another packed content, and the manifest its blocks; what it says of the content
    /// stays.
    pub fn repack(&mut self, name: &str, blocks: &[Vec<u8>]) {
        let lines: Vec<String> = blocks.iter().map(|packed| block(packed)).collect();
        self.listed(name)["blocks"] = json!(lines);
        self.piece(name).raw = [&blocks.concat()[..], &END].concat();
    }

    pub fn write(&self, target: &Path) {
        let text = serde_json::to_vec(&self.manifest).expect("JSON");
        let manifest = Piece {
            name: MANIFEST.into(),
            crc32: crc32fast::hash(&text),
            size: text.len(),
            raw: text,
            mode: FILE,
            is_stored: true,
        };
        let (mut out, mut table) = (Vec::new(), Vec::new());
        let pieces: Vec<&Piece> = self.pieces.iter().chain([&manifest]).collect();
        for piece in &pieces {
            let at = narrow(out.len());
            out.extend(piece.whole());
            table.extend(b"PK\x01\x02\x2d\x03\x14\0");
            table.extend(piece.fields(&piece.sizes()));
            table.extend([0; 8]);
            table.extend((piece.mode << 16).to_le_bytes());
            table.extend(at.to_le_bytes());
            table.extend(piece.name.as_bytes());
        }
        let start = narrow(out.len());
        let count = u16::try_from(pieces.len()).expect("few").to_le_bytes();
        out.extend(&table);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend([count, count].concat());
        out.extend(narrow(table.len()).to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend([0, 0]);
        std::fs::write(target, out).expect("written");
    }
}
