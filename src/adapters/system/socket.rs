//! Sockets and addresses of this machine.

use std::fs::Permissions;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::is_writable_dir;

/// Connects to the socket of a server on this machine.
pub async fn connect_local(path: &Path) -> std::io::Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(path).await
}

/// Sends a message to a datagram socket of this machine, or over a stream socket.
pub async fn datagram_to_local(path: &Path, message: &[u8]) -> std::io::Result<()> {
    let socket = tokio::net::UnixDatagram::unbound()?;
    match socket.connect(path) {
        Ok(()) => socket.send(message).await.map(|_| ()),
        // EPROTOTYPE: some daemons of syslog listen on a stream.
        Err(error) if error.raw_os_error() == Some(nix::libc::EPROTOTYPE) => {
            let mut stream = connect_local(path).await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, message).await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"\n").await
        }
        Err(error) => Err(error),
    }
}

/// A socket for a single caller, in a folder that only this account can enter.
pub struct OneCaller {
    listener: tokio::net::UnixListener,
    path: PathBuf,
    folder: tempfile::TempDir,
}

/// Opens a socket for one caller. Needs a tokio runtime.
pub fn one_caller() -> std::io::Result<OneCaller> {
    // The path of a socket has at most 107 bytes.
    const LONGEST_FOLDER: usize = 80;
    let temporary = std::env::temp_dir();
    // The one that root's environment names may be closed to the account that root has become.
    let fits = temporary.as_os_str().len() <= LONGEST_FOLDER && is_writable_dir(&temporary);
    let folder = tempfile::Builder::new()
        .prefix("pmp-ha-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(if fits { &temporary } else { Path::new("/tmp") })?;
    let path = folder.path().join("socket");
    Ok(OneCaller { listener: tokio::net::UnixListener::bind(&path)?, path, folder })
}

impl OneCaller {
    /// The path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the caller, and removes the folder.
    pub async fn accept(self) -> std::io::Result<tokio::net::UnixStream> {
        let (stream, _) = self.listener.accept().await?;
        self.folder.close()?;
        Ok(stream)
    }
}

/// Returns whether an address belongs to this machine.
#[must_use]
pub fn is_local_address(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}
