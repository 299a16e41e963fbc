//! `conf/pmp-ha.toml`: optional, read once, validated once, unknown keys refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use fs_err as fs;
use serde::Deserialize;

use crate::domain::health::Limits;
use crate::domain::settings::Timing;
use crate::failure::{Failure, Kind};

/// What can be configured. `templates/pmp-ha.toml` explains each key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How the bundled database is handled.
    pub database: DatabaseConfig,
    /// How the pair replicates.
    pub replication: ReplicationConfig,
    /// Where good ends.
    pub health: HealthConfig,
}

/// The section `[database]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// Seconds that a start may take.
    pub start_deadline: u64,
    /// Seconds that a stop may take.
    pub stop_deadline: u64,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { start_deadline: 120, stop_deadline: 300 }
    }
}

/// The section `[replication]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplicationConfig {
    /// Seconds of silence after which the secondary connects anew.
    pub net_timeout: u64,
    /// Seconds between two tries to connect.
    pub connect_retry: u64,
    /// Seconds between two heartbeats on a quiet link.
    pub heartbeat: u64,
    /// Days that binlogs are kept; 0 keeps all.
    pub keep_binlogs_days: u32,
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self { net_timeout: 5, connect_retry: 2, heartbeat: 1, keep_binlogs_days: 0 }
    }
}

/// The section `[health]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// Seconds that the secondary may be behind.
    pub max_lag: u64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { max_lag: 30 }
    }
}

impl Config {
    /// Reads `named`, or `<home>/conf/pmp-ha.toml`, which need not be there.
    pub fn read(named: Option<&Path>, home: &Path) -> Result<Self> {
        let path: PathBuf = named.map_or_else(|| home.join("conf/pmp-ha.toml"), Path::to_path_buf);
        let wrong = |why: String| {
            Failure::new(Kind::Usage, format!("the configuration {} cannot be used", path.display()))
                .because(why)
                .hint("templates/pmp-ha.toml of the project lists every key with its meaning.")
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => bail!(wrong(error.to_string())),
        };
        let config: Self =
            toml::from_str(&text).map_err(|error| wrong(error.to_string().trim().replace('\n', " ")))?;
        let r = &config.replication;
        if r.net_timeout == 0
            || r.connect_retry == 0
            || r.heartbeat == 0
            || config.database.start_deadline == 0
        {
            bail!(wrong("a time of 0 seconds makes no sense".into()));
        }
        if r.heartbeat >= r.net_timeout {
            bail!(wrong("replication.heartbeat must be smaller than replication.net_timeout".into()));
        }
        Ok(config)
    }

    /// How quickly the pair notices and heals.
    #[must_use]
    pub fn timing(&self) -> Timing {
        let r = &self.replication;
        Timing { net_timeout: r.net_timeout, connect_retry: r.connect_retry, heartbeat: r.heartbeat }
    }

    /// Between two heartbeats of a quiet link.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.replication.heartbeat)
    }

    /// Where good ends.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits { lag: self.health.max_lag }
    }

    /// How long a start may take.
    #[must_use]
    pub fn start_deadline(&self) -> Duration {
        Duration::from_secs(self.database.start_deadline)
    }

    /// How long a stop may take.
    #[must_use]
    pub fn stop_deadline(&self) -> Duration {
        Duration::from_secs(self.database.stop_deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid_and_says_the_defaults() {
        let template = include_str!("../templates/pmp-ha.toml");
        assert_eq!(toml::from_str::<Config>(template).expect("valid"), Config::default());
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(toml::from_str::<Config>("[health]\nmaxlag = 3\n").is_err());
    }
}
