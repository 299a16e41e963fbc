//! SNMP notifications, version 2c and 3: the only file that uses async-snmp.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_snmp::v3::{AuthoritativeEngine, PersistedAuthoritativeEngine};
use async_snmp::{Auth, AuthProtocol, Client, Oid, PrivProtocol, Retry, UsmConfig, VarBind};
use serde::{Deserialize, Serialize};

use super::destination;
use super::secret::{self, Files, Secret};
use crate::adapters::bytes::digest::hex_of;
use crate::adapters::{clock, random, system};
use crate::config::channel::{SnmpAuth, SnmpConfig, SnmpPriv, SnmpVersion};
use crate::domain::alarm::AlarmEvent;
use crate::domain::alarm::trap::{self, Value};

/// The file that a sender of version 3 traps must remember.
const ENGINE: &str = "snmp-engine.json";

/// A receiver.
pub struct Snmp {
    receiver: (String, u16),
    inform: bool,
    base: Vec<u32>,
    auth: Auth,
    /// Where the engine of version 3 traps is remembered; nothing for the others.
    engine: Option<PathBuf>,
    deadline: Duration,
}

/// Who this sender is in version 3, and how often it was started.
#[derive(Serialize, Deserialize)]
struct Engine {
    /// Hex.
    id: String,
    boots: u32,
}

impl Snmp {
    pub fn open(config: &SnmpConfig, files: &Files<'_>, key: &str) -> Result<Self> {
        let read = |field: &str, path: &Option<PathBuf>| -> Result<Option<Secret>> {
            path.as_ref().map(|path| secret::read(files, &format!("{key}.{field}"), path)).transpose()
        };
        let auth = match config.version {
            SnmpVersion::V2c => {
                let community = read("community_file", &config.community_file)?.context("no community")?;
                Auth::v2c(community.text())
            }
            SnmpVersion::V3 => {
                let user = UsmConfig::new(config.user.clone().unwrap_or_default());
                let wrong = |field: &str, error: &dyn std::fmt::Display| {
                    files.wrong(&format!("{key}.{field}"), error)
                };
                let first = read("auth_password_file", &config.auth_password_file)?;
                let second = read("priv_password_file", &config.priv_password_file)?;
                for (field, password) in [("auth_password_file", &first), ("priv_password_file", &second)] {
                    if password.as_ref().is_some_and(|password| password.text().len() < 8) {
                        return Err(wrong(field, &"names a password with fewer than 8 characters"));
                    }
                }
                match (config.auth.zip(first), config.privacy.zip(second)) {
                    (Some((auth, password)), None) => user.auth(protocol(auth), password.text()),
                    (Some((auth, first)), Some((privacy, second))) => {
                        user.auth_priv(protocol(auth), first.text(), encryption(privacy), second.text())
                    }
                    (None, _) => Ok(user),
                }
                .map_err(|error| wrong("auth", &error))?
                .into()
            }
        };
        let needs_engine = config.version == SnmpVersion::V3 && !config.inform;
        Ok(Self {
            receiver: config.address().map_err(|why| files.wrong(&format!("{key}.receiver"), why))?,
            inform: config.inform,
            base: config.base().map_err(|why| files.wrong(&format!("{key}.oid"), why))?,
            auth,
            engine: needs_engine.then(|| files.folder.join(ENGINE)),
            deadline: Duration::from_secs(config.deadline),
        })
    }

    /// Looks for its address. A receiver of traps answers nothing.
    pub async fn reach(&self) -> Result<()> {
        destination::has_address(&self.receiver.0, self.receiver.1).await
    }

    pub async fn send(&self, event: &AlarmEvent) -> Result<String> {
        let engine = self.engine.as_deref().map(started).transpose()?;
        let id = engine.as_ref().map(|engine| hex_of(engine.engine_id()));
        let third = (self.deadline / 3).max(Duration::from_millis(300));
        let mut builder = Client::builder(self.receiver.clone(), self.auth.clone())
            .request_timeout(third)
            .send_timeout(third)
            .retry(Retry::fixed(2, Duration::ZERO).map_err(|error| anyhow!("{error}"))?);
        if let Some(engine) = engine {
            builder = builder.local_authoritative_engine(engine);
        }
        let (host, port) = &self.receiver;
        let failed = |error: &dyn std::fmt::Display| anyhow!("cannot send to {host} port {port}: {error}");
        let client = builder.connect().await.map_err(|error| failed(&error))?;
        let oid = |parts: &[u32]| Oid::from_slice(&[self.base.as_slice(), parts].concat());
        let notification = oid(&[0, trap::notification(event)]);
        let values = trap::objects(event)
            .into_iter()
            .map(|(number, value)| {
                let value = match value {
                    Value::Text(text) => async_snmp::Value::from(text.as_str()),
                    Value::Number(number) => async_snmp::Value::Gauge32(number),
                };
                VarBind::new(oid(&[1, number, 0]), value)
            })
            .collect();
        // Hundredths of seconds since 1970, of which 32 bits are kept: it grows, as an uptime does.
        let uptime = u32::try_from((clock::seconds() * 100) & u64::from(u32::MAX)).unwrap_or(0);
        if self.inform {
            client.send_inform(&notification, uptime, values).await.map_err(|error| failed(&error))?;
            return Ok(format!("{host} port {port} confirmed it"));
        }
        client.send_trap(&notification, uptime, values).await.map_err(|error| failed(&error))?;
        let id = id.map(|id| format!("; the engine ID is 0x{id}")).unwrap_or_default();
        Ok(format!("it was sent to {host} port {port}, and a trap is not confirmed{id}"))
    }
}

/// Starts the engine again, as often as something is sent: no receiver takes a message from before
/// the last start that it knows of, and several processes send.
fn started(path: &Path) -> Result<AuthoritativeEngine> {
    let lock = system::lock_private_file(&path.with_extension("lock"))?;
    let wrong = |error: &dyn std::fmt::Display| anyhow!("cannot use {}: {error}", path.display());
    let started = match system::read_text(path, system::SMALL) {
        Ok(text) => {
            let engine: Engine = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
            let id = bytes(&engine.id).ok_or_else(|| wrong(&"its engine ID is not hexadecimal"))?;
            let before =
                PersistedAuthoritativeEngine::new(id, engine.boots).map_err(|error| wrong(&error))?;
            AuthoritativeEngine::restart(before, keep(path))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // RFC 3411: the number of Net-SNMP with the first bit set, 5 for bytes of one's own, the bytes.
            let mut id = vec![0x80, 0x00, 0x1f, 0x88, 0x05];
            id.extend(random::bytes::<12>());
            AuthoritativeEngine::install(id, keep(path))
        }
        Err(error) => return Err(error.into()),
    };
    drop(lock);
    started.map_err(|error| wrong(&error))
}

/// Remembers an engine in a file.
fn keep(path: &Path) -> impl FnMut(&PersistedAuthoritativeEngine) -> std::io::Result<()> + Send + use<> {
    let path = path.to_owned();
    move |engine| {
        let engine = Engine { id: hex_of(engine.engine_id()), boots: engine.engine_boots() };
        let text = serde_json::to_string(&engine)?;
        system::write_atomic(&path, text.as_bytes(), 0o600, None)
            .map_err(|error| std::io::Error::other(format!("{error:#}")))
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.len();
    (0..digits).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

fn protocol(auth: SnmpAuth) -> AuthProtocol {
    match auth {
        SnmpAuth::Md5 => AuthProtocol::Md5,
        SnmpAuth::Sha1 => AuthProtocol::Sha1,
        SnmpAuth::Sha224 => AuthProtocol::Sha224,
        SnmpAuth::Sha256 => AuthProtocol::Sha256,
        SnmpAuth::Sha384 => AuthProtocol::Sha384,
        SnmpAuth::Sha512 => AuthProtocol::Sha512,
    }
}

fn encryption(privacy: SnmpPriv) -> PrivProtocol {
    match privacy {
        SnmpPriv::Aes128 => PrivProtocol::Aes128,
        SnmpPriv::Aes192 => PrivProtocol::Aes192Blumenthal,
        SnmpPriv::Aes256 => PrivProtocol::Aes256Blumenthal,
    }
}
