//! TLS of the page, by rustls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::adapters::alert::secret::{Files, place};
use crate::adapters::alert::tls::{provider, untimely};
use crate::adapters::system;
use crate::config::ConfigFile;
use crate::config::page::PageConfig;

/// The certificate and its key, ready.
pub struct PageTls(TlsAcceptor);

impl PageTls {
    /// Reads both files.
    pub fn open(config: &PageConfig, source: &ConfigFile) -> Result<Self> {
        let files = Files { source, folder: Path::new("") };
        let [(certificate_key, certificate), (private_key, key), _] = config.files();
        let chain: Vec<CertificateDer<'static>> = read(&files, certificate_key, certificate)?
            .into_iter()
            .filter(|block| block.tag() == "CERTIFICATE")
            .map(|block| CertificateDer::from(block.into_contents()))
            .collect();
        if chain.is_empty() {
            return Err(files.wrong(certificate_key, "names a file without a certificate"));
        }
        if let Some(why) = chain.iter().find_map(|der| untimely(der)) {
            return Err(files.wrong(certificate_key, format!("names a file whose certificate {why}")));
        }
        let blocks = read(&files, private_key, key)?;
        if let Some((path, is_credential)) = key.map(|path| place(&files, path))
            && !is_credential
            && system::mode(&path)? & 0o077 != 0
        {
            return Err(files
                .wrong(private_key, "names a file that other users than its owner can read: run chmod 600"));
        }
        let Some(key) = blocks.into_iter().find_map(key_of) else {
            return Err(files.wrong(private_key, "names a file without a private key"));
        };
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| files.wrong(private_key, format!("does not fit the certificate: {error}")))?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Encrypts a connection.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        Ok(self.0.accept(stream).await?)
    }
}

fn key_of(block: pem::Pem) -> Option<PrivateKeyDer<'static>> {
    match block.tag() {
        "PRIVATE KEY" => Some(PrivateKeyDer::Pkcs8(block.into_contents().into())),
        "RSA PRIVATE KEY" => Some(PrivateKeyDer::Pkcs1(block.into_contents().into())),
        "EC PRIVATE KEY" => Some(PrivateKeyDer::Sec1(block.into_contents().into())),
        _ => None,
    }
}

fn read(files: &Files<'_>, key: &str, named: Option<&PathBuf>) -> Result<Vec<pem::Pem>> {
    let Some(named) = named else { return Err(files.wrong(key, "is missing")) };
    let (path, _) = place(files, named);
    let wrong = |why: String| files.wrong(key, format!("names {}, and {why}", path.display()));
    let text = system::read_bytes(&path, system::SMALL)
        .map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    pem::parse_many(&text).map_err(|error| wrong(format!("it is not PEM: {error}")))
}
