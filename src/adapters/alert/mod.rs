//! The alarm channels. Each sends one event, and reports whether it was sent.

mod command;
mod destination;
mod email;
pub(in crate::adapters) mod secret;
mod snmp;
mod syslog;
pub(in crate::adapters) mod tls;
mod webhook;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::config::ConfigFile;
use crate::config::alarm::AlarmConfig;
use crate::domain::alarm::AlarmEvent;

use self::secret::{CREDENTIAL, Files};
pub use self::webhook::DeadMan;

/// A channel, ready to send: its secrets and certificates were read.
pub struct AlarmChannel {
    /// Its name.
    pub name: String,
    /// The key of the configuration that names its receiver.
    pub receiver: String,
    /// How long a message may take.
    deadline: Duration,
    way: Transport,
}

enum Transport {
    Email(Box<email::Email>),
    Snmp(snmp::Snmp),
    Syslog(syslog::Syslog),
    Webhook(webhook::Webhook),
    Command(command::Program),
}

/// Whether a secret is missing that may be a credential of the service: nobody else sees it.
#[must_use]
pub fn needs_the_service(error: &anyhow::Error) -> bool {
    format!("{error:?}").contains(CREDENTIAL)
}

/// Makes every channel ready. What cannot be used is named with its file, line and key.
pub fn open(config: &AlarmConfig, source: &ConfigFile, folder: &Path) -> Result<Vec<AlarmChannel>> {
    let files = Files { source, folder };
    let mut out = Vec::new();
    let mut add = |name: &str, receiver: String, deadline, way| {
        let deadline = Duration::from_secs(deadline);
        out.push(AlarmChannel { name: name.to_owned(), receiver, deadline, way });
    };
    for (number, channel) in config.email.iter().enumerate() {
        let key = format!("alarm.email.{number}");
        let email = email::Email::open(channel, &files, &key)?;
        add(&channel.name, format!("{key}.server"), channel.deadline, Transport::Email(Box::new(email)));
    }
    for (number, channel) in config.snmp.iter().enumerate() {
        let key = format!("alarm.snmp.{number}");
        let snmp = snmp::Snmp::open(channel, &files, &key)?;
        add(&channel.name, format!("{key}.receiver"), channel.deadline, Transport::Snmp(snmp));
    }
    for (number, channel) in config.syslog.iter().enumerate() {
        let key = format!("alarm.syslog.{number}");
        let syslog = syslog::Syslog::open(channel, &files, &key)?;
        add(&channel.name, format!("{key}.receiver"), channel.deadline, Transport::Syslog(syslog));
    }
    for (number, channel) in config.webhook.iter().enumerate() {
        let key = format!("alarm.webhook.{number}");
        let webhook = webhook::Webhook::open(channel, &files, &key)?;
        let field = if channel.url_file.is_some() { "url_file" } else { "url" };
        add(&channel.name, format!("{key}.{field}"), channel.deadline, Transport::Webhook(webhook));
    }
    for (number, channel) in config.command.iter().enumerate() {
        add(
            &channel.name,
            format!("alarm.command.{number}.command"),
            channel.deadline,
            Transport::Command(command::Program::of(channel)),
        );
    }
    Ok(out)
}

/// Makes the dead man's switch ready, if one is configured.
pub fn dead_man(config: &AlarmConfig, source: &ConfigFile) -> Result<Option<DeadMan>> {
    DeadMan::open(config, &Files { source, folder: Path::new("") })
}

impl AlarmChannel {
    /// Sends one event. Returns what was done, for people.
    pub async fn send(&self, event: &AlarmEvent) -> Result<String> {
        let sending = async {
            match &self.way {
                Transport::Email(email) => email.send(event).await,
                Transport::Snmp(snmp) => snmp.send(event).await,
                Transport::Syslog(syslog) => syslog.send(event).await,
                Transport::Webhook(webhook) => webhook.send(event, self.deadline).await,
                Transport::Command(program) => program.run(event).await,
            }
        };
        self.within(sending).await
    }

    /// Tries to reach its receiver, as far as that is possible without sending something.
    pub async fn reach(&self) -> Result<()> {
        let reaching = async {
            match &self.way {
                Transport::Email(email) => email.reach().await,
                Transport::Snmp(snmp) => snmp.reach().await,
                Transport::Syslog(syslog) => syslog.reach().await,
                Transport::Webhook(webhook) => webhook.reach().await,
                // It is run for an event, and for nothing else.
                Transport::Command(_) => Ok(()),
            }
        };
        self.within(reaching).await
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.deadline, work).await {
            Ok(done) => done,
            Err(_) => bail!("not done within {} s", self.deadline.as_secs()),
        }
    }
}
