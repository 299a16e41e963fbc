//! A whole pack, altered anywhere in any way: refused.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pmp_ha_fuzz::{manifest, packed, read};

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    fs_err::read(packed(dir.path(), manifest).expect("packed")).expect("readable")
});

fuzz_target!(|input: (Vec<(u16, u8)>, u16, &[u8])| {
    let (changes, cut, more) = input;
    let mut bytes = WHOLE.clone();
    for (at, with) in changes {
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= with;
    }
    bytes.truncate(bytes.len() - usize::from(cut) % bytes.len());
    bytes.extend(more);
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs_err::write(file.path(), &bytes).expect("written");
    assert_eq!(read(file.path()).is_ok(), bytes == *WHOLE);
});
