//! A whole pack, altered anywhere in any way: refused.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pmp_ha::adapters::interrupt::Interrupt;
use pmp_ha::adapters::packfile::{Making, Opening, Pack, write};
use pmp_ha::domain::manifest::{Manifest, RelPath};
use pmp_ha::ui::Progress;

const MANIFEST: &str = r#"{
  "format": 4, "pack_id": "p", "made_at": "2026-01-01T00:00:00Z", "made_by": "pmp-ha",
  "server": {"family": "MySQL", "number": [5, 6, 24]},
  "fingerprint": {"product": "HASH", "server": "HASH"},
  "application_account": "root",
  "pair": {
    "id": "p", "schema": "passtrix", "audit_tables": ["*audit"], "local_tables": [], "primary": 1,
    "nodes": [
      {"number": 1, "host": "a.example", "db_port": 2345, "local_port": null, "web_port": null},
      {"number": 2, "host": "b.example", "db_port": 2345, "local_port": null, "web_port": null}
    ]
  },
  "coordinates": {"kind": "file_position", "file": "b.000001", "position": 4},
  "files": []
}"#;

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    let sources: Vec<(RelPath, PathBuf)> = ["a row of a table; ".repeat(40), "\0".repeat(20_000)]
        .iter()
        .enumerate()
        .map(|(number, content)| {
            let path = dir.path().join(number.to_string());
            std::fs::write(&path, content).expect("written");
            (RelPath::new(format!("mysql/data/{number}")).expect("a path"), path)
        })
        .collect();
    let text = MANIFEST.replace("HASH", &"0".repeat(64));
    let manifest: Manifest = serde_json::from_str(&text).expect("a manifest");
    let target = dir.path().join("pack.zip");
    let describe = |files| Manifest { files, ..manifest };
    write(&target, &sources, &Making::default(), describe, &Progress::none(), &Interrupt::default())
        .expect("packed");
    std::fs::read(&target).expect("readable")
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
    std::fs::write(file.path(), &bytes).expect("written");
    let read = Pack::open(file.path(), &Opening::default())
        .and_then(|pack| pack.verify(&Progress::none(), &Interrupt::default()));
    assert_eq!(read.is_ok(), bytes == *WHOLE);
});
