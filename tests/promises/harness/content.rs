//! What the files of a home hold, to see that nothing changed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Fails with the differences when two fingerprints are not the same.
#[track_caller]
pub fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>, what: &str) {
    let differs = |path: &&String| before.get(*path) != after.get(*path);
    let mut changed: Vec<&String> = before.keys().chain(after.keys()).filter(differs).collect();
    changed.dedup();
    assert!(changed.is_empty(), "changed: {changed:?}\nby {what}");
}

/// Every file below a folder with its mode and content.
pub fn fingerprint_of(folder: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    walk(folder, folder, &mut out);
    out
}

fn walk(dir: &Path, root: &Path, out: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        let Some(meta) = unless_gone(std::fs::symlink_metadata(&path)) else { continue };
        let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
        let mode = meta.permissions().mode();
        let content = if meta.is_file() {
            let Some(bytes) = unless_gone(std::fs::read(&path)) else { continue };
            format!("{:?}", Sha256::digest(bytes))
        } else {
            String::new()
        };
        out.insert(name, format!("{mode:o} {content}"));
        if meta.is_dir() {
            walk(&path, root, out);
        }
    }
}

/// What was read, or nothing where a server removed the file after its folder was listed.
fn unless_gone<T>(read: std::io::Result<T>) -> Option<T> {
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.expect("readable")),
    }
}
