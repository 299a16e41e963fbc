//! Secrets: in files that only their owner can read, or among the credentials of a systemd service.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::adapters::system;
use crate::config::ConfigFile;
use crate::config::place::Complaint;

/// The files that channels are made from.
pub struct Files<'a> {
    /// The configuration.
    pub source: &'a ConfigFile,
    /// A folder that only this account can enter, for what a channel remembers.
    pub folder: &'a Path,
}

impl Files<'_> {
    /// The failure that a value cannot be used.
    pub fn wrong(&self, key: &str, why: impl std::fmt::Display) -> anyhow::Error {
        self.source.wrong(&Complaint { key: key.to_owned(), why: why.to_string() }).into()
    }
}

/// A text that is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Reads the first line of a file.
///
/// A name without a folder is a credential of the service, or a file next to the configuration.
pub fn read(files: &Files<'_>, key: &str, named: &Path) -> Result<Secret> {
    let (path, is_credential) = place(files, named);
    let wrong = |why: String| files.wrong(key, format!("names the secret {}, and {why}", path.display()));
    let text = system::read_text(&path, system::SMALL).map_err(|error| wrong(unreadable(&error, named)))?;
    // systemd gives a service its credentials by an access list, whose mask looks like a group.
    if !is_credential && system::mode(&path)? & 0o077 != 0 {
        return Err(wrong("other users than its owner can read it: run chmod 600".into()));
    }
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret(line.to_owned())),
        _ => Err(wrong("its first line is empty".into())),
    }
}

/// Nobody else sees what systemd gives a service.
pub(super) const CREDENTIAL: &str = "only the service itself sees a credential of the service";

/// Why a secret cannot be read. One that is not there may be a credential of the service.
fn unreadable(error: &std::io::Error, named: &Path) -> String {
    let is_bare = named.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    let is_service = std::env::var_os("CREDENTIALS_DIRECTORY").is_some();
    if is_bare && !is_service && error.kind() == std::io::ErrorKind::NotFound {
        return format!("it cannot be read: {error} ({CREDENTIAL})");
    }
    format!("it cannot be read: {error}")
}

/// Returns where a named secret is, and whether it is a credential of the service: its own rules keep others away.
pub fn place(files: &Files<'_>, named: &Path) -> (PathBuf, bool) {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    if named.is_absolute() {
        let is_below = folder.is_some_and(|folder| named.parent() == Some(&*folder));
        return (named.to_owned(), is_below);
    }
    let credentials = folder.map(|folder| folder.join(named));
    if let Some(path) = credentials.filter(|path| path.is_file()) {
        return (path, true);
    }
    (files.source.path.with_file_name("").join(named), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_not_there_may_be_a_credential_of_the_service() {
        let told = |kind: std::io::ErrorKind, named: &str| {
            unreadable(&kind.into(), Path::new(named)).contains(CREDENTIAL)
        };
        assert!(told(std::io::ErrorKind::NotFound, "password"));
        assert!(!told(std::io::ErrorKind::NotFound, "/etc/password"));
        assert!(!told(std::io::ErrorKind::PermissionDenied, "password"));
    }
}
