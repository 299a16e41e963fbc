//! Any bytes as a pack: refused or whole, never a panic, and never more memory than it may take.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pmp_ha::adapters::interrupt::Interrupt;
use pmp_ha::adapters::pack::{Opening, Pack};
use pmp_ha::domain::manifest::Manifest;
use pmp_ha::ui::Progress;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
        let _ = manifest.check();
        let text = serde_json::to_vec(&manifest).expect("writable");
        assert_eq!(serde_json::from_slice::<Manifest>(&text).expect("readable"), manifest);
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs_err::write(file.path(), bytes).expect("written");
    if let Ok(pack) = Pack::open(file.path(), &Opening::default()) {
        let _ = pack.verify(&Progress::none(), &Interrupt::default());
    }
});
