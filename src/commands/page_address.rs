//! Where the monitor serves its page.

use std::net::SocketAddr;

use anyhow::{Result, bail};

use crate::config::page::listen_address;
use crate::config::{Config, ConfigFile};
use crate::failure::{Failure, Kind};

/// The address of the page: from the command line, otherwise from the configuration.
pub(super) fn listens(
    config: &Config,
    source: &ConfigFile,
    named: Option<SocketAddr>,
) -> Result<Option<SocketAddr>> {
    let address = match named {
        Some(address) => Some(address),
        None if config.page.listen.is_empty() => None,
        // It was checked when the file was read.
        None => listen_address(&config.page.listen).ok(),
    };
    let is_protected = config.page.files().iter().all(|(_, file)| file.is_some());
    if let Some(address) = address.filter(|address| !address.ip().is_loopback() && !is_protected) {
        bail!(
            Failure::new(Kind::Usage, format!("cannot serve the page at {address}"))
                .because("other machines can reach this address, and the page has no certificate and no token")
                .hint(format!(
                    "Set certificate_file, key_file and token_file in the section [page] of {}, or listen on 127.0.0.1.",
                    source.path.display()
                ))
        );
    }
    Ok(address)
}
