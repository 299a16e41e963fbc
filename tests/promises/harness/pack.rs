//! What is in a pack, and the keys that sign and seal it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Lab, Node};

pub fn manifest(pack: &Path) -> Value {
    let mut zip =
        zip::ZipArchive::new(std::fs::File::open(pack).expect("there")).expect("a complete ZIP file");
    let file = zip.by_name("replication/manifest.json").expect("a manifest");
    serde_json::from_reader(file).expect("JSON")
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// A pair of keys: the private and the public file.
pub fn keys(lab: &Lab, node: &Node, purpose: &str, name: &str) -> [String; 2] {
    let private = lab.dir().join(name);
    let named = private.to_string_lossy().into_owned();
    node.run(&["keygen", purpose, &named]).ok();
    let mode = std::fs::metadata(&private).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    node.refuses(&["keygen", purpose, &named], 4, &["already exists"]);
    [named.clone(), format!("{named}.pub")]
}
