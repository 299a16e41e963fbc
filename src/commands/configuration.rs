//! Reads the configuration that a command goes by.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Result, bail};
use fs_err as fs;

use crate::adapters::home::entry;
use crate::adapters::system;
use crate::config::{Config, ConfigFile, unusable};
use crate::failure::{Failure, Kind};

/// Reads `named`, or `<home>/conf/pmp-ha.toml`, which may be missing; with the place of each key.
pub(super) fn read(named: Option<&Path>, home: &Path) -> Result<(Config, ConfigFile)> {
    let path = named.map_or_else(|| home.join("conf/pmp-ha.toml"), Path::to_path_buf);
    let unusable = |error: std::io::Error| unusable(&path).because(error.to_string());
    // What is read is what was checked, not what a link names by then.
    let real = if named.is_some() { fs::canonicalize(&path).map_err(unusable)? } else { path.clone() };
    // One in the home was looked at with the home. Whoever may write one elsewhere would direct root.
    if named.is_some()
        && let Some(why) = entry::changed_on_the_way(&real)?
    {
        bail!(
            Failure::new(Kind::Refused, "root cannot use this configuration safely")
                .code("unsafe-for-root")
                .because(why)
                .hint("Make root the owner of the file and of each folder on its path, and let nobody else write to them. Or run pmp-ha as the owner of the file.")
        );
    }
    let text = match system::read_text(&real, system::SMALL) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => String::new(),
        Err(error) => bail!(unusable(error)),
    };
    Config::parse(&text, path)
}
