//! The channels of alarms. Each takes one event, and says whether it was sent.

mod command;
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

use self::secret::Files;
pub use self::webhook::DeadMan;

/// A channel, ready to send: its secrets and certificates were read.
pub struct AlarmChannel {
    /// Its name.
    pub name: String,
    /// How long a message may take.
    deadline: Duration,
    way: Way,
}

enum Way {
    Email(Box<email::Email>),
    Snmp(snmp::Snmp),
    Syslog(syslog::Syslog),
    Webhook(webhook::Webhook),
    Command(command::Program),
}

/// Makes every channel ready. What cannot be used is named with its file, line and key.
pub fn open(config: &AlarmConfig, source: &ConfigFile, folder: &Path) -> Result<Vec<AlarmChannel>> {
    let files = Files { source, folder };
    let mut out = Vec::new();
    let mut add = |name: &str, deadline, way| {
        out.push(AlarmChannel { name: name.to_owned(), deadline: Duration::from_secs(deadline), way });
    };
    for (number, channel) in config.email.iter().enumerate() {
        let email = email::Email::open(channel, &files, &format!("alarm.email.{number}"))?;
        add(&channel.name, channel.deadline, Way::Email(Box::new(email)));
    }
    for (number, channel) in config.snmp.iter().enumerate() {
        let snmp = snmp::Snmp::open(channel, &files, &format!("alarm.snmp.{number}"))?;
        add(&channel.name, channel.deadline, Way::Snmp(snmp));
    }
    for (number, channel) in config.syslog.iter().enumerate() {
        let syslog = syslog::Syslog::open(channel, &files, &format!("alarm.syslog.{number}"))?;
        add(&channel.name, channel.deadline, Way::Syslog(syslog));
    }
    for (number, channel) in config.webhook.iter().enumerate() {
        let webhook = webhook::Webhook::open(channel, &files, &format!("alarm.webhook.{number}"))?;
        add(&channel.name, channel.deadline, Way::Webhook(webhook));
    }
    for channel in &config.command {
        add(&channel.name, channel.deadline, Way::Command(command::Program::of(channel)));
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
                Way::Email(email) => email.send(event).await,
                Way::Snmp(snmp) => snmp.send(event).await,
                Way::Syslog(syslog) => syslog.send(event).await,
                Way::Webhook(webhook) => webhook.send(event, self.deadline).await,
                Way::Command(program) => program.run(event).await,
            }
        };
        match tokio::time::timeout(self.deadline, sending).await {
            Ok(sent) => sent,
            Err(_) => bail!("not done within {} s", self.deadline.as_secs()),
        }
    }
}
