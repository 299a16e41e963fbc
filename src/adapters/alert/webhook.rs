//! Webhooks, and the dead man's switch: the only file with an HTTP client.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::destination::Destination;
use super::secret::{self, Files, Secret};
use super::tls::{Authorities, provider};
use crate::adapters::bytes::digest::hmac_sha256;
use crate::adapters::clock;
use crate::config::alarm::AlarmConfig;
use crate::config::channel::{WebhookConfig, place_of_url, wrong_url};
use crate::config::show::masked;
use crate::domain::alarm::AlarmEvent;

/// How long the dead man's switch may take.
const SWITCH: Duration = Duration::from_secs(10);

/// A URL that events are posted to.
pub struct Webhook {
    url: Secretive,
    secret: Option<Secret>,
    agent: Agent,
    place: Option<Destination>,
}

/// A URL that the monitor requests after each successful check.
pub struct DeadMan {
    /// The key of the configuration that contains it.
    pub key: &'static str,
    url: Secretive,
    agent: Agent,
    place: Option<Destination>,
}

/// A URL. Its path may be a secret.
#[derive(Clone)]
struct Secretive(String);

impl Webhook {
    pub fn open(config: &WebhookConfig, files: &Files<'_>, key: &str) -> Result<Self> {
        let url = match &config.url_file {
            None => config.url.clone(),
            Some(path) => url_of(files, &format!("{key}.url_file"), path)?,
        };
        let secret = config.secret_file.as_ref();
        let secret =
            secret.map(|path| secret::read(files, &format!("{key}.secret_file"), path)).transpose()?;
        let (agent, place) = agent(files, &format!("{key}.ca_file"), &url, config.ca_file.as_deref())?;
        Ok(Self { url: Secretive(url), secret, agent, place })
    }

    /// Connects, and posts nothing.
    pub async fn reach(&self) -> Result<()> {
        reached(self.place.as_ref()).await
    }

    /// Posts an event, signed over its time and its bytes.
    pub async fn send(&self, event: &AlarmEvent, deadline: Duration) -> Result<String> {
        let body = event.json().to_string();
        let at = clock::seconds().to_string();
        let mut request = self
            .agent
            .post(&self.url.0)
            .header("Content-Type", "application/json")
            .header("X-Pmp-Ha-Event", event.name())
            .header("X-Pmp-Ha-Delivery", format!("{}-{}", event.incident, event.message))
            .header("X-Pmp-Ha-Timestamp", at.clone());
        if let Some(secret) = &self.secret {
            let signature = hmac_sha256(secret.text().as_bytes(), format!("{at}.{body}").as_bytes());
            request = request.header("X-Pmp-Ha-Signature", format!("sha256={signature}"));
        }
        let request = request.config().timeout_global(Some(deadline)).build();
        let url = self.url.clone();
        blocking(move || answered(request.send(body), &url)).await
    }
}

impl DeadMan {
    pub(super) fn open(config: &AlarmConfig, files: &Files<'_>) -> Result<Option<Self>> {
        let (key, url) = match &config.dead_man_url_file {
            Some(path) => {
                let key = "alarm.dead_man_url_file";
                (key, url_of(files, key, path)?)
            }
            None if config.dead_man_url.is_empty() => return Ok(None),
            None => ("alarm.dead_man_url", config.dead_man_url.clone()),
        };
        let (agent, place) = agent(files, key, &url, None)?;
        Ok(Some(Self { key, url: Secretive(url), agent, place }))
    }

    /// Connects, and sends no request: a request would mean that all is well.
    pub async fn reach(&self) -> Result<()> {
        let reaching = async { reached(self.place.as_ref()).await };
        tokio::time::timeout(SWITCH, reaching).await.context("it does not answer in time")?
    }

    /// Requests the URL.
    pub async fn ask(&self) -> Result<String> {
        let request = self.agent.get(&self.url.0).config().timeout_global(Some(SWITCH)).build();
        let url = self.url.clone();
        blocking(move || answered(request.call(), &url)).await
    }
}

fn url_of(files: &Files<'_>, key: &str, path: &std::path::Path) -> Result<String> {
    let url = secret::read(files, key, path)?.text().trim().to_owned();
    match wrong_url(&url) {
        None => Ok(url),
        Some(why) => Err(files.wrong(key, format!("names a file whose URL cannot be used: {why}"))),
    }
}

/// Behind a proxy, nothing can be said without a request.
async fn reached(place: Option<&Destination>) -> Result<()> {
    match place {
        Some(place) => place.reach().await,
        None => Ok(()),
    }
}

/// Returns the client for a URL, and the place to connect to if no proxy is in between.
fn agent(
    files: &Files<'_>,
    key: &str,
    url: &str,
    ca_file: Option<&std::path::Path>,
) -> Result<(Agent, Option<Destination>)> {
    let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider());
    let is_encrypted = url.starts_with("https:");
    let authorities = is_encrypted.then(|| Authorities::read(files, key, ca_file)).transpose()?;
    if let Some(authorities) = &authorities {
        let certificates: Vec<Certificate<'static>> =
            authorities.certificates().map(|der| Certificate::from_der(der).to_owned()).collect();
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
    }
    let proxy = Proxy::try_from_env();
    let place = place_of_url(url).filter(|_| proxy.is_none());
    let place = place.map(|(host, port)| Destination::new(host, port, authorities));
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .proxy(proxy)
        // A redirection would carry the event to a place that nobody configured.
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("pmp-ha/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok((Agent::new_with_config(config), place))
}

/// Runs a request on a thread that may block. It has a deadline of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("the request was ended")?
}

fn answered(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    Secretive(url): &Secretive,
) -> Result<String> {
    let shown = masked(url);
    // An error of the library may quote the URL, whose path may be a secret.
    let answer =
        answer.map_err(|error| anyhow!("{shown}: {}", error.to_string().replace(url.as_str(), &shown)))?;
    let status = answer.status();
    if !status.is_success() {
        bail!("{shown} answered {status}");
    }
    Ok(format!("{shown} answered {status}"))
}
