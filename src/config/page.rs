//! The section `[page]`: where the monitor's page is served, and to whom.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::place::Complaint;

/// The port without one: next to those of the product.
const PORT: u16 = 7273;

/// The section `[page]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageConfig {
    /// The address to listen at; empty for no page.
    pub listen: String,
    /// The certificate, with those between it and the authority, PEM.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// The token that every client must send.
    pub token_file: Option<PathBuf>,
}

impl PageConfig {
    /// The files for an address that is not this machine's own, with their keys.
    #[must_use]
    pub fn files(&self) -> [(&'static str, Option<&PathBuf>); 3] {
        [
            ("page.certificate_file", self.certificate_file.as_ref()),
            ("page.key_file", self.key_file.as_ref()),
            ("page.token_file", self.token_file.as_ref()),
        ]
    }

    /// Returns everything that is wrong with the values.
    pub(super) fn complaints(&self) -> Vec<Complaint> {
        let mut out = Vec::new();
        let mut wrong = |key: &str, why: String| out.push(Complaint { key: key.into(), why });
        let files = self.files();
        let given = files.iter().filter(|(_, file)| file.is_some()).count();
        match listen_address(&self.listen) {
            _ if self.listen.is_empty() => {}
            Err(why) => wrong("page.listen", why),
            Ok(address) if given == 0 && !address.ip().is_loopback() => wrong(
                "page.listen",
                "is not an address of this machine alone: it needs certificate_file, key_file and token_file"
                    .into(),
            ),
            Ok(_) => {}
        }
        if given > 0 && given < files.len() {
            for (key, _) in files.iter().filter(|(_, file)| file.is_none()) {
                wrong(key, "is missing: certificate_file, key_file and token_file go together".into());
            }
        }
        out
    }
}

/// Parses an address to listen at: `PORT`, `IP`, `IP:PORT` or `[IPV6]:PORT`.
///
/// # Errors
/// Says what is wrong.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if let Ok(port) = text.parse::<u16>() {
        return if port == 0 { Err("0 is not a port".into()) } else { Ok(SocketAddr::new(here, port)) };
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, PORT));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(address),
        _ => {
            Err(format!("'{text}' is not an address: write a port, or an IP address with or without a port"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_port_an_ip_or_both() {
        for (text, address) in [
            ("8080", "127.0.0.1:8080"),
            ("0.0.0.0", "0.0.0.0:7273"),
            ("::1", "[::1]:7273"),
            ("[::1]:80", "[::1]:80"),
            ("10.0.0.7:443", "10.0.0.7:443"),
        ] {
            assert_eq!(listen_address(text).map(|address| address.to_string()), Ok(address.into()), "{text}");
        }
        for text in ["", "0", "99999", "localhost", "10.0.0.7:0", "10.0.0.7:x", "http://10.0.0.7"] {
            assert!(listen_address(text).is_err(), "{text}");
        }
    }
}
