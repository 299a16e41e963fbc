//! `conf/pmp-ha.toml`: optional, read once, validated once, unknown keys refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::adapters::system;
use crate::domain::flavor::SemiSync;
use crate::domain::health::Limits;
use crate::domain::plan::KEY_PLACEHOLDER;
use crate::domain::settings::{Choices, Timing};
use crate::domain::tables::TablePatterns;
use crate::failure::{Failure, Kind};

/// What can be configured. `templates/pmp-ha.toml` explains each key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How the bundled database is handled.
    pub database: DatabaseConfig,
    /// How packs are protected.
    pub pack: PackConfig,
    /// How the pair replicates.
    pub replication: ReplicationConfig,
    /// The limits between healthy and not.
    pub health: HealthConfig,
    /// The queries about the product's tables.
    pub product: ProductConfig,
    /// How to keep the other node from serving when this one is promoted.
    pub fence: FenceConfig,
    /// How two working nodes swap their roles.
    pub switchover: SwitchoverConfig,
}

/// The section `[switchover]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchoverConfig {
    /// The program that runs `pmp-ha` on the other node, with its arguments; empty if the operator
    /// does it.
    pub peer_command: Vec<String>,
    /// Seconds that writes may be refused before everything is put back.
    pub refuse_at_most: u64,
}

impl Default for SwitchoverConfig {
    fn default() -> Self {
        Self { peer_command: Vec::new(), refuse_at_most: 8 }
    }
}

/// The section `[fence]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FenceConfig {
    /// The program and its arguments; empty if the operator fences by hand.
    pub command: Vec<String>,
    /// Seconds that it may take.
    pub deadline: u64,
}

impl Default for FenceConfig {
    fn default() -> Self {
        Self { command: Vec::new(), deadline: 60 }
    }
}

/// The section `[product]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProductConfig {
    /// The query that reads the TFA setting; empty if it is not watched.
    pub tfa_query: String,
    /// The query that returns 1 for the data's key; empty if the data are not asked.
    pub key_query: String,
}

impl ProductConfig {
    /// Returns why the key query cannot be used. It runs with all rights, and contains the key.
    fn wrong_key_query(&self) -> Option<&'static str> {
        let query = self.key_query.trim();
        if query.is_empty() {
            return None;
        }
        let is_select = query.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("select "));
        if !is_select || query.contains(';') {
            return Some("product.key_query must be one SELECT, without a semicolon");
        }
        let quoted = ["'", "\"", "`"].iter().any(|q| query.contains(&format!("{q}{KEY_PLACEHOLDER}")));
        if quoted || !query.contains(KEY_PLACEHOLDER) {
            return Some("product.key_query must contain {key}, without quotes around it");
        }
        None
    }
}

/// The section `[pack]`: key files, none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackConfig {
    /// The private key that signs packs.
    pub sign_with: Option<PathBuf>,
    /// The public key of the node that packs are encrypted to.
    pub encrypt_to: Option<PathBuf>,
    /// The public key that must have signed a pack.
    pub signed_by: Option<PathBuf>,
    /// The private key that opens packs.
    pub identity: Option<PathBuf>,
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
    /// Seconds of silence after which the secondary reconnects.
    pub net_timeout: u64,
    /// Seconds between two attempts to connect.
    pub connect_retry: u64,
    /// Seconds between two heartbeats on a quiet link.
    pub heartbeat: u64,
    /// Seconds between two heartbeat rows of each node.
    pub beat: u64,
    /// Days that binlogs are kept; 0 keeps all.
    pub keep_binlogs_days: u32,
    /// Whether commits wait until the secondary has received them.
    pub semi_sync: bool,
    /// Seconds after which such a commit continues without the secondary.
    pub semi_sync_timeout: u64,
    /// The tables whose rows both nodes write.
    pub audit_tables: TablePatterns,
    /// More tables into which the application may insert on the secondary.
    pub local_tables: TablePatterns,
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self {
            net_timeout: 5,
            connect_retry: 2,
            heartbeat: 1,
            beat: 2,
            keep_binlogs_days: 0,
            semi_sync: false,
            semi_sync_timeout: 10,
            audit_tables: TablePatterns::new(["*audit", "aaaaccsession"]),
            local_tables: TablePatterns::default(),
        }
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
    /// Reads `named`, or `<home>/conf/pmp-ha.toml`, which may be missing.
    pub fn read(named: Option<&Path>, home: &Path) -> Result<Self> {
        let path: PathBuf = named.map_or_else(|| home.join("conf/pmp-ha.toml"), Path::to_path_buf);
        let wrong = |why: String| {
            Failure::new(Kind::Usage, format!("cannot use the configuration {}", path.display()))
                .because(why)
                .hint("templates/pmp-ha.toml in the project explains every key.")
        };
        let text = match system::read_text(&path, system::SMALL) {
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
            || r.beat == 0
            || r.semi_sync_timeout == 0
            || config.database.start_deadline == 0
        {
            bail!(wrong("a time must be at least 1 second".into()));
        }
        if r.heartbeat >= r.net_timeout {
            bail!(wrong("replication.heartbeat must be smaller than replication.net_timeout".into()));
        }
        if let Some(why) = config.product.wrong_key_query() {
            bail!(wrong(why.into()));
        }
        Ok(config)
    }

    /// How quickly the pair notices a failure and reconnects.
    #[must_use]
    pub fn timing(&self) -> Timing {
        let r = &self.replication;
        Timing {
            net_timeout: r.net_timeout,
            connect_retry: r.connect_retry,
            heartbeat: r.heartbeat,
            beat: r.beat,
        }
    }

    /// Whether commits wait for the secondary.
    #[must_use]
    pub fn semi_sync(&self) -> Option<SemiSync> {
        let r = &self.replication;
        r.semi_sync.then_some(SemiSync { timeout: r.semi_sync_timeout })
    }

    /// Returns the configured settings of a node's server.
    #[must_use]
    pub fn choices(&self) -> Choices {
        Choices {
            timing: self.timing(),
            keep_binlogs_days: self.replication.keep_binlogs_days,
            semi_sync: self.semi_sync(),
        }
    }

    /// Between two heartbeats of a quiet link.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.replication.heartbeat)
    }

    /// The limits between healthy and not.
    #[must_use]
    pub fn limits(&self) -> Limits {
        // A heartbeat row waits for the secondary like any other.
        let wait = self.semi_sync().map_or(0, |semi_sync| semi_sync.timeout);
        Limits { lag: self.health.max_lag, heartbeat: (5 * self.replication.beat).max(10) + wait }
    }

    /// Returns the time limit for the echo of a heartbeat: each node writes its own row once a
    /// beat.
    #[must_use]
    pub fn proof_patience(&self) -> Duration {
        Duration::from_secs(3 * self.replication.beat + 4)
    }

    /// Returns the time limit of a start.
    #[must_use]
    pub fn start_deadline(&self) -> Duration {
        Duration::from_secs(self.database.start_deadline)
    }

    /// Returns the time limit of a stop.
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
    fn a_query_about_the_key_is_one_select_with_a_place_for_the_key() {
        let wrong = |query: &str| {
            ProductConfig { key_query: query.into(), ..ProductConfig::default() }.wrong_key_query().is_some()
        };
        for good in ["", " ", "SELECT COUNT(*) FROM k WHERE h = SHA2({key}, 256)", "select {key} = 'x'"] {
            assert!(!wrong(good), "{good}");
        }
        for bad in
            ["DELETE FROM k WHERE k = {key}", "SELECT {key}; DROP TABLE k", "SELECT 1", "SELECT '{key}' = k"]
        {
            assert!(wrong(bad), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(toml::from_str::<Config>("[health]\nmaxlag = 3\n").is_err());
    }
}
