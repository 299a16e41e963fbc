//! What a pack contains: its origin, its target, its server, and every file with its hash.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::coordinates::Coordinates;
use super::datafiles::{FileClass, classify, is_link_file};
use super::digest::{Blake3Hex, Sha256Hex};
use super::flavor::ServerVersion;
use super::pair::{Pair, is_id};

/// A relative path inside a home, with `/` between its parts, none of which can lead elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

impl RelPath {
    /// Checks `path` and returns it.
    ///
    /// # Errors
    /// Says which part of the path is not allowed.
    pub fn new(path: impl Into<String>) -> Result<Self, String> {
        let path = path.into();
        let bad = |why: &str| Err(format!("the path {path:?} {why}"));
        if path.is_empty() || path.len() > 4096 {
            return bad("is empty or too long");
        }
        if path.starts_with('/') {
            return bad("is absolute");
        }
        for part in path.split('/') {
            if part.is_empty() || part == "." || part == ".." {
                return bad("has an empty part, '.' or '..'");
            }
            if part.chars().any(|c| c.is_control() || "\\:*?\"<>|".contains(c)) {
                return bad("contains a character that not every system allows");
            }
            if part.ends_with(['.', ' ']) {
                return bad("has a part that ends with a dot or a space");
            }
            if is_reserved(part) {
                return bad("has a part that is a device on Windows");
            }
        }
        Ok(Self(path))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path below `folder`, if it is there.
    #[must_use]
    pub fn below(&self, folder: &str) -> Option<&str> {
        self.0.strip_prefix(folder)?.strip_prefix('/')
    }
}

/// Names that Windows reserves for devices, with any suffix.
fn is_reserved(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    // Windows takes the small digits of Latin-1 for the plain ones.
    let is_digit = |c: char| c.is_ascii_digit() || "¹²³".contains(c);
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|rest| rest.chars().count() == 1 && rest.chars().all(is_digit))
    };
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str())
        || numbered("COM")
        || numbered("LPT")
}

impl TryFrom<String> for RelPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        Self::new(path)
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> Self {
        path.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A piece of a file's deflate stream that can be inflated on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Block {
    /// Bytes in the pack.
    pub packed: u32,
    /// Of these bytes.
    pub blake3: Blake3Hex,
}

impl Block {
    /// The largest size of a block in the pack: deflate never needs much more than its input.
    pub const MOST_PACKED: u64 = Manifest::BLOCK + Manifest::BLOCK / 64;
}

impl TryFrom<String> for Block {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once(' ').and_then(|(packed, hash)| Some((packed.parse().ok()?, hash)));
        let (packed, hash) = parts.ok_or("a block is its length, a space and its BLAKE3")?;
        Ok(Self { packed, blake3: Blake3Hex::try_from(hash.to_owned())? })
    }
}

impl From<Block> for String {
    fn from(block: Block) -> Self {
        format!("{} {}", block.packed, block.blake3)
    }
}

/// One file of the pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its path, relative to the home.
    pub path: RelPath,
    /// Bytes, uncompressed.
    pub size: u64,
    /// Of the uncompressed bytes, to check by hand or when a pack is verified but not installed.
    pub sha256: Sha256Hex,
    /// Of the uncompressed bytes, as they must come back from the disk.
    pub blake3: Blake3Hex,
    /// Of the uncompressed bytes.
    pub crc32: u32,
    /// The pieces that it is packed in, each of [`Manifest::BLOCK`] bytes except the last.
    pub blocks: Vec<Block>,
}

impl Entry {
    /// Returns the uncompressed size of block `index`.
    #[must_use]
    pub fn block_size(&self, index: usize) -> u64 {
        let start = (index as u64).saturating_mul(Manifest::BLOCK);
        self.size.saturating_sub(start).min(Manifest::BLOCK)
    }

    fn check(&self) -> Result<(), String> {
        let path = &self.path;
        match (path.below(DATA), path.below(NODE_FILES)) {
            (Some(data), _) if classify(data) != FileClass::Data || is_link_file(data) => {
                return Err(format!("its entry {path} is not part of a vault's data"));
            }
            (_, Some(own)) if !OWN_FILES.contains(&own) || self.size > Manifest::BLOCK => {
                return Err(format!("its entry {path} is not one of the tool's own files"));
            }
            (None, None) => return Err(format!("its entry {path} is outside {DATA} and {NODE_FILES}")),
            _ => {}
        }
        if self.blocks.len() as u64 != self.size.div_ceil(Manifest::BLOCK) {
            return Err(format!("its entry {path} has {} blocks for {} bytes", self.blocks.len(), self.size));
        }
        if self.blocks.iter().any(|block| u64::from(block.packed) > Block::MOST_PACKED) {
            return Err(format!("its entry {path} has a block that is larger than its content"));
        }
        Ok(())
    }
}

/// The hashes that identify the same product: no build number is public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Of `lib/AdventNetPassTrix.jar`.
    pub product: Sha256Hex,
    /// Of `mysql/bin/mysqld`.
    pub server: Sha256Hex,
}

/// The first thing read from a pack, and the last written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the pack, [`Manifest::FORMAT`].
    pub format: u32,
    /// Random, different for each pack.
    pub pack_id: String,
    /// When it was made, RFC 3339, UTC.
    pub made_at: String,
    /// The version of the tool that made it.
    pub made_by: String,
    /// The server whose data these are.
    pub server: ServerVersion,
    /// The installation they come from.
    pub fingerprint: Fingerprint,
    /// The name of the application's database account.
    pub application_account: String,
    /// A salted hash of the primary's encryption key, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
    /// Both nodes.
    pub pair: Pair,
    /// The coordinates from which the secondary replicates.
    pub coordinates: Coordinates,
    /// Whether the return channel keeps working with the present secondary until the installation.
    ///
    /// With a first pack, it begins with the pack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub return_channel_goes_on: bool,
    /// Every other file of the pack.
    pub files: Vec<Entry>,
}

/// The folder of the data files in a home and in a pack.
pub const DATA: &str = "mysql/data";

/// The folder of a node's own files in a home and in a pack.
pub const NODE_FILES: &str = "conf/pmp-ha";

/// The tool's own files that are in a pack; all are small.
pub const OWN_FILES: [&str; 5] = ["ca.pem", "ca-key.pem", "credentials.toml", "node.pem", "node-key.pem"];

impl Manifest {
    /// The format that this version reads and writes.
    pub const FORMAT: u32 = 4;

    /// Bytes of a file that are packed by themselves.
    pub const BLOCK: u64 = 1 << 20;

    /// The path of the manifest in a pack.
    pub const PATH: &str = "replication/manifest.json";

    /// The path of the manifest's signature in a signed pack.
    pub const SIGNATURE: &str = "replication/manifest.sig";

    /// The largest size of a manifest: it needs about 80 bytes for each megabyte.
    pub const LARGEST: u64 = 256 << 20;

    /// The largest size of a signature, which is a line of hexadecimal digits.
    pub const LARGEST_SIGNATURE: u64 = 1 << 10;

    /// The largest number of files in a pack.
    pub const MOST_FILES: usize = 500_000;

    /// Returns the sum of all file sizes, in bytes.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        self.files.iter().map(|entry| entry.size).fold(0, u64::saturating_add)
    }

    /// Checks what a reader relies on: the format, and a separate valid path for every file.
    ///
    /// # Errors
    /// Names the entry that is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.format != Self::FORMAT {
            return Err(format!(
                "it has format {}, but this version reads format {}",
                self.format,
                Self::FORMAT
            ));
        }
        if !is_id(&self.pack_id) {
            return Err("its id is not valid".into());
        }
        self.pair.check()?;
        self.check_words()?;
        if self.files.len() > Self::MOST_FILES {
            return Err(format!("it lists more than {} files", Self::MOST_FILES));
        }
        let mut seen = BTreeSet::new();
        for entry in &self.files {
            entry.check()?;
            if !seen.insert(entry.path.as_str().to_lowercase()) {
                return Err(format!("its entry {} occurs twice", entry.path));
            }
        }
        for entry in &self.files {
            let path = entry.path.as_str().to_lowercase();
            let mut folders = path.match_indices('/').map(|(end, _)| &path[..end]);
            if let Some(file) = folders.find(|folder| seen.contains(*folder)) {
                return Err(format!("its entry {} is inside {file}, which is a file", entry.path));
            }
        }
        Ok(())
    }

    /// Checks that a text which is shown, or becomes a line of a file, is one line.
    fn check_words(&self) -> Result<(), String> {
        let coordinates = self.coordinates.to_string();
        for (name, text) in [
            ("made_at", Some(self.made_at.as_str())),
            ("made_by", Some(&self.made_by)),
            ("application_account", Some(&self.application_account)),
            ("coordinates", Some(&coordinates)),
            ("key_fingerprint", self.key_fingerprint.as_deref()),
        ] {
            if text.is_some_and(|text| text.chars().any(char::is_control)) {
                return Err(format!("its {name} contains a character that cannot be shown"));
            }
        }
        // This one is a whole file of the product, which may have several lines.
        let odd = |c: char| c.is_control() && !"\n\r\t".contains(c);
        if self.pair.secondary_word.as_ref().is_some_and(|word| word.contains(odd)) {
            return Err("its secondary_word contains a character that cannot be shown".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_lead_out_of_the_home_is_no_path() {
        for good in ["mysql/data/ibdata1", "mysql/data/#innodb_redo/#ib_redo1", "a b/c@d.ibd"] {
            assert!(RelPath::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "a/../b",
            "..",
            "./a",
            "a//b",
            "a\\b",
            "c:/x",
            "a/\n",
            "a/b.",
            "a /b",
            "a/nul.frm",
            "Com1",
            "lpt9.x/a",
            "com¹",
            "a/LPT².ibd",
            "conin$",
        ] {
            assert!(RelPath::new(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<RelPath>("\"../x\"").is_err());
    }
}
