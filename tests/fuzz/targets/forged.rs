//! A pack whose manifest says anything, and whose every byte besides the content follows from it:
//! refused, unless what it says of its files is true.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pmp_ha::domain::manifest::{Entry, Manifest};
use pmp_ha_fuzz::{manifest, packed, read};

/// Replaces some bytes of the entries' text by others.
fn forged(entries: &[Entry], changes: &[(u16, u8)]) -> Option<Vec<Entry>> {
    let mut text = serde_json::to_vec(entries).expect("writable");
    for (at, by) in changes {
        let at = usize::from(*at) % text.len();
        text[at] = *by;
    }
    serde_json::from_slice(&text).ok()
}

fuzz_target!(|changes: Vec<(u16, u8)>| {
    let dir = tempfile::tempdir().expect("a folder");
    let mut real = Vec::new();
    let describe = |entries: Vec<Entry>| -> Manifest {
        let said = forged(&entries, &changes).unwrap_or_else(|| entries.clone());
        real = entries;
        manifest(said)
    };
    let path = packed(dir.path(), describe);
    let read = path.and_then(|path| read(&path));
    if let Ok(manifest) = read {
        assert_eq!(manifest.files, real);
    }
});
