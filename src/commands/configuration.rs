//! Reads the configuration that a command goes by.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Result, bail};

use crate::adapters::system;
use crate::config::{Config, ConfigFile, unusable};

/// Reads `named`, or `<home>/conf/pmp-ha.toml`, which may be missing; with the place of each key.
pub(super) fn read(named: Option<&Path>, home: &Path) -> Result<(Config, ConfigFile)> {
    let path = named.map_or_else(|| home.join("conf/pmp-ha.toml"), Path::to_path_buf);
    let text = match system::read_text(&path, system::SMALL) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => String::new(),
        Err(error) => bail!(unusable(&path).because(error.to_string())),
    };
    Config::parse(&text, path)
}
