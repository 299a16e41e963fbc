//! What the files of a home hold, to see that nothing changed.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::Node;
use super::sql::Db;

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
            let Some(digest) = digest(&path, &meta) else { continue };
            digest
        } else {
            String::new()
        };
        out.insert(name, format!("{mode:o} {content}"));
        if meta.is_dir() {
            walk(&path, root, out);
        }
    }
}

/// A file with one state of it: device, inode, size, and the time of its last change in nanoseconds.
type FileState = (u64, u64, u64, i64, i64);

/// The digest of a file. One that has not changed since it was read the last time is not read again: whatever
/// changes a file changes this time, too, which nobody can set. A file that changed a moment ago is always
/// read, because the kernel's clock has ticks.
fn digest(path: &Path, meta: &std::fs::Metadata) -> Option<String> {
    const TICKS: Duration = Duration::from_millis(200);
    static KNOWN: Mutex<BTreeMap<FileState, String>> = Mutex::new(BTreeMap::new());
    let state = (meta.dev(), meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec());
    let changed =
        Duration::new(meta.ctime().try_into().unwrap_or(0), meta.ctime_nsec().try_into().unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let at_rest = now.saturating_sub(changed) > TICKS;
    if at_rest && let Some(digest) = KNOWN.lock().expect("whole").get(&state) {
        return Some(digest.clone());
    }
    let digest = format!("{:?}", Sha256::digest(unless_gone(std::fs::read(path))?));
    if at_rest {
        KNOWN.lock().expect("whole").insert(state, digest.clone());
    }
    Some(digest)
}

/// What was read, or nothing where a server removed the file after its folder was listed.
fn unless_gone<T>(read: std::io::Result<T>) -> Option<T> {
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.expect("readable")),
    }
}

/// The tool's own files of a node and its start script. (The home of a running database cannot be
/// compared as a whole.)
pub fn own_files(node: &Node) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for folder in ["conf/pmp-ha", "bin"] {
        for entry in std::fs::read_dir(node.path(folder)).expect("readable").flatten() {
            let content = std::fs::read(entry.path()).expect("readable");
            out.push((entry.path().to_string_lossy().into_owned(), content));
        }
    }
    out.sort();
    out
}

/// What a pack sets for a while.
pub fn variables(node: &Node) -> Vec<String> {
    let mut db = Db::admin(node);
    [
        "innodb_io_capacity",
        "innodb_io_capacity_max",
        "innodb_max_dirty_pages_pct",
        "innodb_max_dirty_pages_pct_lwm",
    ]
    .map(|name| db.variable(name))
    .into()
}
