//! Syslog: over UDP, TCP and TLS, and to the socket of this machine.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

use super::destination::{self, Destination};
use super::secret::Files;
use super::tls::Authorities;
use crate::adapters::{clock, system};
use crate::config::channel::{SyslogConfig, SyslogFormat, SyslogReceiver};
use crate::domain::alarm::AlarmEvent;
use crate::domain::alarm::syslog::{SyslogOrigin, rfc3164, rfc5424};

/// So long a machine may take to say that nobody listens at a port of UDP.
const REFUSAL: Duration = Duration::from_millis(200);

/// A receiver.
pub struct Syslog {
    receiver: SyslogReceiver,
    format: SyslogFormat,
    facility: u8,
    authorities: Option<Authorities>,
}

impl Syslog {
    pub fn open(config: &SyslogConfig, files: &Files<'_>, key: &str) -> Result<Self> {
        let receiver = config.receiver().map_err(|why| files.wrong(&format!("{key}.receiver"), why))?;
        let authorities = match receiver {
            SyslogReceiver::Tls(..) => {
                Some(Authorities::read(files, &format!("{key}.ca_file"), config.ca_file.as_deref())?)
            }
            SyslogReceiver::Udp(..) | SyslogReceiver::Tcp(..) | SyslogReceiver::Unix(_) => None,
        };
        let facility = config.facility_number().unwrap_or(4);
        Ok(Self { receiver, format: config.format, facility, authorities })
    }

    /// Connects, or looks for the address if it takes datagrams.
    pub async fn reach(&self) -> Result<()> {
        match &self.receiver {
            SyslogReceiver::Unix(path) if path.exists() => Ok(()),
            SyslogReceiver::Unix(path) => bail!("{} does not exist", path.display()),
            SyslogReceiver::Udp(host, port) => destination::has_address(host, *port).await,
            SyslogReceiver::Tcp(host, port) | SyslogReceiver::Tls(host, port) => {
                Destination::new(host.clone(), *port, self.authorities.clone()).reach().await
            }
        }
    }

    pub async fn send(&self, event: &AlarmEvent) -> Result<String> {
        let host = system::host_name();
        let origin = SyslogOrigin {
            host: (!matches!(self.receiver, SyslogReceiver::Unix(_))).then_some(host.as_str()),
            pid: std::process::id(),
            ahead: clock::ahead_of_utc(),
            facility: self.facility,
        };
        let line = match self.format {
            SyslogFormat::Rfc3164 => rfc3164(event, &origin),
            SyslogFormat::Rfc5424 => rfc5424(event, &origin),
        };
        match &self.receiver {
            SyslogReceiver::Unix(path) => {
                let sent = system::datagram_to_local(path, line.as_bytes()).await;
                sent.with_context(|| format!("cannot write to {}", path.display()))?;
                Ok(format!("{} took it", path.display()))
            }
            SyslogReceiver::Udp(host, port) => {
                by_udp(host, *port, line.as_bytes())
                    .await
                    .with_context(|| format!("cannot send to {host} port {port} by UDP"))?;
                Ok(format!("it was sent to {host} port {port} by UDP, which confirms nothing"))
            }
            SyslogReceiver::Tcp(host, port) => {
                let sent = async {
                    let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
                    stream.write_all(format!("{line}\n").as_bytes()).await?;
                    stream.shutdown().await
                };
                sent.await.with_context(|| format!("cannot send to {host} port {port} by TCP"))?;
                Ok(format!("{host} port {port} accepted it by TCP"))
            }
            SyslogReceiver::Tls(host, port) => {
                let authorities =
                    self.authorities.as_ref().context("no certificate authorities were read")?;
                let sent = async {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    let mut stream = authorities.connect(host, stream).await?;
                    // RFC 5425: the length goes before the message.
                    stream.write_all(format!("{} {line}", line.len()).as_bytes()).await?;
                    stream.flush().await?;
                    stream.shutdown().await?;
                    anyhow::Ok(())
                };
                sent.await.with_context(|| format!("cannot send to {host} port {port} by TLS"))?;
                Ok(format!("{host} port {port} accepted it by TLS"))
            }
        }
    }
}

/// Sends a datagram, and waits a moment for a refusal.
async fn by_udp(host: &str, port: u16, message: &[u8]) -> Result<()> {
    let address = tokio::net::lookup_host((host, port)).await?.next().context("the name has no address")?;
    let local = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(address).await?;
    socket.send(message).await?;
    let mut answer = [0; 1];
    match tokio::time::timeout(REFUSAL, socket.recv(&mut answer)).await {
        Ok(Err(error)) => Err(error.into()),
        // A receiver says nothing.
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}
