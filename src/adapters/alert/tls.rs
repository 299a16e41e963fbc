//! TLS to receivers of alarms: by rustls, with the authorities of the system or of a file.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::secret::Files;
use crate::adapters::{clock, system};
use crate::domain::certificate::day;

/// The cryptography of rustls.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Returns why a certificate is of no use now, if its dates say so.
pub fn untimely(der: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let now = i64::try_from(clock::seconds()).ok()?;
    let validity = certificate.validity();
    let (begins, ends) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if now > ends {
        Some(format!("ended on {}", day(ends)))
    } else if now < begins {
        Some(format!("is not valid before {}", day(begins)))
    } else {
        None
    }
}

/// The authorities that a receiver's certificate may come from.
#[derive(Clone)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads them from a file, or takes those of the system.
    pub fn read(files: &Files<'_>, key: &str, file: Option<&Path>) -> Result<Self> {
        let found = match file {
            None => rustls_native_certs::load_native_certs().certs,
            Some(path) => {
                let wrong = |why: String| files.wrong(key, format!("names {}, and {why}", path.display()));
                let text = system::read_bytes(path, system::SMALL)
                    .map_err(|error| wrong(format!("it cannot be read: {error}")))?;
                let blocks =
                    pem::parse_many(&text).map_err(|error| wrong(format!("it is not PEM: {error}")))?;
                let is_certificate = |block: &pem::Pem| block.tag() == "CERTIFICATE";
                let der = |block: pem::Pem| CertificateDer::from(block.into_contents());
                blocks.into_iter().filter(is_certificate).map(der).collect()
            }
        };
        let mut store = RootCertStore::empty();
        let usable: Vec<_> = found.into_iter().filter(|der| store.add(der.clone()).is_ok()).collect();
        if usable.is_empty() {
            let whose = file.map_or("the system has".into(), |path| format!("{} has", path.display()));
            return Err(files.wrong(key, format!("is needed: {whose} no certificate of an authority")));
        }
        if let Some(path) = file {
            let faults: Vec<String> = usable.iter().filter_map(|der| untimely(der)).collect();
            if let Some(first) = faults.first().filter(|_| faults.len() == usable.len()) {
                let why = format!("names {}, whose certificate {first}", path.display());
                return Err(files.wrong(key, why));
            }
        }
        Ok(Self(usable))
    }

    /// The certificates, DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Encrypts a connection, and checks that it leads to `host`.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.0.iter().cloned());
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).context("not a host name")?;
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }
}
