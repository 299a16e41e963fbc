//! Stands in for the alarm channels in a build without `alarms`.
//!
//! It has the same functions, which report the missing part.

use std::path::Path;

use anyhow::Result;

use crate::config::ConfigFile;
use crate::config::alarm::AlarmConfig;
use crate::domain::alarm::AlarmEvent;
use crate::domain::built_in::Feature;
use crate::failure::{Failure, Kind};

/// A channel. There is none.
pub struct AlarmChannel {
    /// Its name.
    pub name: String,
    /// The key that says where its receiver is.
    pub receiver: String,
    none: Nobody,
}

enum Nobody {}

/// Whether a secret is missing that only the service sees. Without channels, none is read.
#[must_use]
pub fn needs_the_service(_error: &anyhow::Error) -> bool {
    false
}

/// The dead man's switch. There is none.
pub struct DeadMan {
    /// The key that says where it is.
    pub key: &'static str,
    none: Nobody,
}

fn refused(source: &ConfigFile) -> anyhow::Error {
    Failure::new(Kind::Refused, "cannot send alarms")
        .code("not-built-in")
        .because(format!(
            "{} names an alarm channel, and {}",
            source.path.display(),
            Feature::Alarms.absent()
        ))
        .hint(Feature::Alarms.hint())
        .into()
}

/// Refuses, if a channel is configured.
pub fn open(config: &AlarmConfig, source: &ConfigFile, _folder: &Path) -> Result<Vec<AlarmChannel>> {
    if config.has_channels() { Err(refused(source)) } else { Ok(Vec::new()) }
}

/// Refuses, if one is configured.
pub fn dead_man(config: &AlarmConfig, source: &ConfigFile) -> Result<Option<DeadMan>> {
    if config.has_dead_man() { Err(refused(source)) } else { Ok(None) }
}

impl AlarmChannel {
    /// Is never asked.
    #[expect(clippy::unused_async, reason = "the other build waits for the network here")]
    pub async fn send(&self, _event: &AlarmEvent) -> Result<String> {
        match self.none {}
    }

    /// Is never asked.
    #[expect(clippy::unused_async, reason = "the other build waits for the network here")]
    pub async fn reach(&self) -> Result<()> {
        match self.none {}
    }
}

impl DeadMan {
    /// Is never asked.
    #[expect(clippy::unused_async, reason = "the other build waits for the network here")]
    pub async fn ask(&self) -> Result<String> {
        match self.none {}
    }

    /// Is never asked.
    #[expect(clippy::unused_async, reason = "the other build waits for the network here")]
    pub async fn reach(&self) -> Result<()> {
        match self.none {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::channel::CommandConfig;

    #[test]
    fn alarms_that_cannot_be_sent_are_refused() {
        let source = ConfigFile { path: "pmp-ha.toml".into(), places: Default::default() };
        let mut config = AlarmConfig::default();
        assert!(open(&config, &source, Path::new("/")).is_ok_and(|channels| channels.is_empty()));
        assert!(dead_man(&config, &source).is_ok_and(|switch| switch.is_none()));
        config.command.push(CommandConfig { name: String::new(), command: vec!["true".into()], deadline: 1 });
        config.dead_man_url = "https://127.0.0.1/".into();
        let refusals = [open(&config, &source, Path::new("/")).err(), dead_man(&config, &source).err()];
        for refusal in refusals {
            let said = format!("{:?}", refusal.expect("a refusal"));
            assert!(said.contains("built without `alarms`"), "{said}");
        }
    }
}
