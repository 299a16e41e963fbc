//! A small pack that is whole, for the targets that begin with one.

use std::path::{Path, PathBuf};

use pmp_ha::adapters::interrupt::Interrupt;
use pmp_ha::adapters::pack::{Making, Opening, Pack, write};
use pmp_ha::domain::coordinates::Coordinates;
use pmp_ha::domain::digest::Sha256Hex;
use pmp_ha::domain::flavor::ServerVersion;
use pmp_ha::domain::manifest::{Entry, Fingerprint, Manifest, RelPath};
use pmp_ha::domain::pair::Pair;
use pmp_ha::ui::Progress;

/// A manifest of these files.
pub fn manifest(files: Vec<Entry>) -> Manifest {
    let hash = || Sha256Hex::from_bytes([1; 32]);
    let pair = r#"{
      "id": "p", "schema": "passtrix", "audit_tables": ["*audit"], "local_tables": [], "primary": 1,
      "nodes": [
        {"number": 1, "host": "a.example", "db_port": 2345, "local_port": null, "web_port": null},
        {"number": 2, "host": "b.example", "db_port": 2345, "local_port": null, "web_port": null}
      ]
    }"#;
    let pair: Pair = serde_json::from_str(pair).expect("a pair");
    Manifest {
        format: Manifest::FORMAT,
        pack_id: "p".into(),
        made_at: "2026-01-01T00:00:00Z".into(),
        made_by: "pmp-ha".into(),
        server: ServerVersion::parse("5.6.24").expect("a version"),
        fingerprint: Fingerprint { product: hash(), server: hash() },
        application_account: "root".into(),
        key_fingerprint: None,
        pair,
        coordinates: Coordinates::FilePosition { file: "b.000001".into(), position: 4 },
        return_channel_goes_on: false,
        files,
    }
}

/// Packs three files in a folder, one of them empty, and returns the pack's path.
///
/// # Errors
/// Those of packing; `describe` may say what it wants of the files.
pub fn packed(dir: &Path, describe: impl FnOnce(Vec<Entry>) -> Manifest) -> anyhow::Result<PathBuf> {
    let contents = ["a row of a table; ".repeat(40), "\0".repeat(20_000), String::new()];
    let mut sources = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        let path = dir.join(number.to_string());
        fs_err::write(&path, content)?;
        sources.push((RelPath::new(format!("mysql/data/{number}")).map_err(anyhow::Error::msg)?, path));
    }
    let target = dir.join("pack.zip");
    write(&target, &sources, &Making::default(), describe, &Progress::none(), &Interrupt::default())?;
    Ok(target)
}

/// Reads a pack and looks at every byte of it.
///
/// # Errors
/// What is wrong with it.
pub fn read(path: &Path) -> anyhow::Result<Manifest> {
    let pack = Pack::open(path, &Opening::default())?;
    pack.verify(&Progress::none(), &Interrupt::default())?;
    Ok(pack.manifest().clone())
}
