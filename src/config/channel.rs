//! The channels of alarms: what can be configured of each, and what is wrong with it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::alarm::trap;

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// From the first byte on.
    Tls,
    /// It begins in clear, and goes on encrypted or not at all.
    #[default]
    Starttls,
    /// Not at all.
    None,
}

/// A channel `[[alarm.email]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// The name of the channel.
    #[serde(default)]
    pub name: String,
    /// The server that takes the messages.
    pub server: String,
    /// Its port; 587 for STARTTLS, 465 for TLS, 25 in clear.
    pub port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default)]
    pub tls: MailTls,
    /// The authorities that its certificate may come from; those of the system by default.
    pub ca_file: Option<PathBuf>,
    /// The login, if it wants one.
    pub user: Option<String>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
    /// The sender.
    pub from: String,
    /// The receivers.
    pub to: Vec<String>,
    /// Seconds that a message may take.
    #[serde(default = "deadline")]
    pub deadline: u64,
}

/// The versions of SNMP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum SnmpVersion {
    /// Version 2c.
    #[default]
    #[serde(rename = "2c")]
    V2c,
    /// Version 3.
    #[serde(rename = "3")]
    V3,
}

/// How a user of SNMP v3 proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum SnmpAuth {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// How SNMP v3 encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum SnmpPriv {
    Aes128,
    Aes192,
    Aes256,
}

/// A channel `[[alarm.snmp]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SnmpConfig {
    /// The name of the channel.
    #[serde(default)]
    pub name: String,
    /// Who receives the notifications: HOST or HOST:PORT.
    pub receiver: String,
    /// The version.
    #[serde(default)]
    pub version: SnmpVersion,
    /// Whether the receiver acknowledges them.
    #[serde(default)]
    pub inform: bool,
    /// For 2c: the file with the community.
    pub community_file: Option<PathBuf>,
    /// For 3: the user.
    pub user: Option<String>,
    /// For 3: how the user proves who it is.
    pub auth: Option<SnmpAuth>,
    /// The file with the password for that.
    pub auth_password_file: Option<PathBuf>,
    /// For 3: how the notifications are encrypted.
    #[serde(rename = "priv")]
    pub privacy: Option<SnmpPriv>,
    /// The file with the password for that.
    pub priv_password_file: Option<PathBuf>,
    /// Where our objects are.
    #[serde(default = "oid")]
    pub oid: String,
    /// Seconds that a notification may take.
    #[serde(default = "deadline")]
    pub deadline: u64,
}

/// The forms of a message of syslog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum SyslogFormat {
    /// The one of Password Manager Pro.
    #[default]
    #[serde(rename = "rfc3164")]
    Rfc3164,
    /// The newer one.
    #[serde(rename = "rfc5424")]
    Rfc5424,
}

/// A channel `[[alarm.syslog]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// The name of the channel.
    #[serde(default)]
    pub name: String,
    /// `udp://HOST:PORT`, `tcp://HOST:PORT`, `tls://HOST:PORT`, or `unix:/dev/log`.
    #[serde(default = "own_syslog")]
    pub receiver: String,
    /// The form of the messages.
    #[serde(default)]
    pub format: SyslogFormat,
    /// The facility.
    #[serde(default = "auth")]
    pub facility: String,
    /// For TLS: the authorities that the receiver's certificate may come from.
    pub ca_file: Option<PathBuf>,
    /// Seconds that a message may take.
    #[serde(default = "deadline")]
    pub deadline: u64,
}

/// A channel `[[alarm.webhook]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The name of the channel.
    #[serde(default)]
    pub name: String,
    /// Where the event is posted to.
    #[serde(default)]
    pub url: String,
    /// The file with the URL, if the URL is a secret.
    pub url_file: Option<PathBuf>,
    /// The file with the secret that signs the event.
    pub secret_file: Option<PathBuf>,
    /// The authorities that the server's certificate may come from.
    pub ca_file: Option<PathBuf>,
    /// Seconds that a request may take.
    #[serde(default = "deadline")]
    pub deadline: u64,
}

/// A channel `[[alarm.command]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The name of the channel.
    #[serde(default)]
    pub name: String,
    /// The program, with its arguments. It gets the event on standard input.
    pub command: Vec<String>,
    /// Seconds that it may take.
    #[serde(default = "deadline")]
    pub deadline: u64,
}

fn deadline() -> u64 {
    10
}

fn oid() -> String {
    trap::BASE.to_owned()
}

fn own_syslog() -> String {
    "unix:/dev/log".to_owned()
}

fn auth() -> String {
    "auth".to_owned()
}

/// The facilities of syslog, by their number.
pub(super) const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// Where syslog messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogReceiver {
    /// A datagram each.
    Udp(String, u16),
    /// Over a connection.
    Tcp(String, u16),
    /// Over an encrypted connection.
    Tls(String, u16),
    /// A socket of this machine.
    Unix(PathBuf),
}

impl SyslogConfig {
    /// The number of the facility.
    #[must_use]
    pub fn facility_number(&self) -> Option<u8> {
        let at = FACILITIES.iter().position(|name| *name == self.facility)?;
        u8::try_from(at).ok()
    }

    /// Reads the address of the receiver.
    pub fn receiver(&self) -> Result<SyslogReceiver, String> {
        let forms = "write udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:/PATH";
        if let Some(path) = self.receiver.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(SyslogReceiver::Unix(path.into()))
            } else {
                Err(forms.into())
            };
        }
        let (scheme, rest) = self.receiver.split_once("://").ok_or(forms)?;
        let port = match scheme {
            "udp" => 514,
            "tcp" => 601,
            "tls" => 6514,
            _ => return Err(forms.into()),
        };
        let (host, port) = host_and_port(rest, port)?;
        Ok(match scheme {
            "udp" => SyslogReceiver::Udp(host, port),
            "tcp" => SyslogReceiver::Tcp(host, port),
            _ => SyslogReceiver::Tls(host, port),
        })
    }
}

impl SnmpConfig {
    /// Reads the address of the receiver.
    pub fn address(&self) -> Result<(String, u16), String> {
        host_and_port(&self.receiver, 162)
    }

    /// Reads the object identifier.
    pub fn base(&self) -> Result<Vec<u32>, String> {
        let wrong = || format!("'{}' is not an object identifier such as {}", self.oid, trap::BASE);
        let parts: Option<Vec<u32>> = self.oid.split('.').map(|part| part.parse().ok()).collect();
        let parts = parts.ok_or_else(wrong)?;
        let begins_well = matches!(parts.as_slice(), [0 | 1, 0..=39, ..] | [2, ..]);
        if !begins_well || !(4..=100).contains(&parts.len()) {
            return Err(wrong());
        }
        Ok(parts)
    }
}

impl EmailConfig {
    /// The port of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            MailTls::Tls => 465,
            MailTls::Starttls => 587,
            MailTls::None => 25,
        })
    }
}

pub(super) fn host_and_port(text: &str, port: u16) -> Result<(String, u16), String> {
    let endpoint: crate::domain::pair::Endpoint = text.parse()?;
    Ok((endpoint.host, endpoint.port.unwrap_or(port)))
}

/// Whether a host is this machine itself, so that what is sent there leaves it never.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the host and the port of a URL that was checked.
#[must_use]
pub fn place_of_url(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    host_and_port(authority, if scheme == "https" { 443 } else { 80 }).ok()
}

/// Returns why a URL cannot be used: it must be encrypted, unless it is on this machine.
#[must_use]
pub fn wrong_url(url: &str) -> Option<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some("it is not a URL: write https://HOST/PATH".into());
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("a URL must not contain a login".into());
    }
    let host = match host_and_port(authority, 443) {
        Ok((host, _)) => host,
        Err(why) => return Some(why),
    };
    match scheme {
        "https" => None,
        "http" if is_loopback(&host) => None,
        "http" => Some("it must begin with https://, because the event would be sent unencrypted".into()),
        _ => Some(format!("'{scheme}' is not https")),
    }
}

impl SnmpConfig {
    /// What is missing, or too much, for the version.
    pub(super) fn wrong_security(&self) -> Vec<(&'static str, &'static str)> {
        let mut out = Vec::new();
        match self.version {
            SnmpVersion::V2c => {
                if self.community_file.is_none() {
                    out.push(("community_file", "is missing; version 2c needs a community"));
                }
                if self.user.is_some() || self.auth.is_some() || self.privacy.is_some() {
                    out.push(("version", "user, auth and priv need version = \"3\""));
                }
            }
            SnmpVersion::V3 => {
                if self.user.as_ref().is_none_or(String::is_empty) {
                    out.push(("user", "is missing; version 3 needs a user"));
                }
                if self.community_file.is_some() {
                    out.push(("community_file", "belongs to version 2c"));
                }
            }
        }
        if self.auth.is_some() != self.auth_password_file.is_some() {
            out.push(("auth", "auth and auth_password_file belong together"));
        }
        if self.privacy.is_some() != self.priv_password_file.is_some() {
            out.push(("priv", "priv and priv_password_file belong together"));
        }
        if self.privacy.is_some() && self.auth.is_none() {
            out.push(("priv", "priv needs auth"));
        }
        out
    }
}

/// Whether a text is an address, or a name and an address in angle brackets.
pub(super) fn looks_like_an_address(text: &str) -> bool {
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    let good = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
    !text.contains(char::is_control)
        && address
            .rsplit_once('@')
            .is_some_and(|(user, host)| good(user) && good(host) && !user.contains('@'))
}
