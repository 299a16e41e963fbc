//! Where a receiver is on the network, and whether something takes a connection there.

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;

use super::tls::Authorities;

/// A place that takes connections.
pub struct Place {
    host: String,
    port: u16,
    /// For TLS.
    authorities: Option<Authorities>,
}

impl Place {
    pub fn new(host: String, port: u16, authorities: Option<Authorities>) -> Self {
        Self { host, port, authorities }
    }

    /// Connects, agrees on the encryption if there is one, and sends nothing.
    pub async fn reach(&self) -> Result<()> {
        let Self { host, port, authorities } = self;
        let connecting = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            if let Some(authorities) = authorities {
                authorities.connect(host, stream).await?;
            }
            anyhow::Ok(())
        };
        connecting.await.with_context(|| format!("{host} port {port}"))
    }
}

/// Whether a name has an address. More cannot be known of a receiver that takes datagrams.
pub async fn has_address(host: &str, port: u16) -> Result<()> {
    match tokio::net::lookup_host((host, port)).await.with_context(|| format!("the name {host}"))?.next() {
        Some(_) => Ok(()),
        None => bail!("the name {host} has no address"),
    }
}
