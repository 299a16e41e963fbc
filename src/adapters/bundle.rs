//! Writes texts into a ZIP that only its owner can read.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::adapters::system;

/// Writes the ZIP. Returns its size in bytes.
///
/// # Errors
/// If it cannot be written. Then it is not there.
pub fn write(path: &Path, files: &[(String, String)]) -> Result<u64> {
    let written = write_all(path, files);
    if written.is_err() {
        // ignored: the error says more
        let _ = fs_err::remove_file(path);
    }
    written
}

fn write_all(path: &Path, files: &[(String, String)]) -> Result<u64> {
    let mut zip = ZipWriter::new(system::private_file(path)?);
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).unix_permissions(0o600);
    for (name, text) in files {
        zip.start_file(name.as_str(), options)?;
        zip.write_all(text.as_bytes())?;
    }
    let file = zip.finish()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
