//! `conf/pmp-ha.toml`: optional, read once, validated once, unknown keys refused.

pub mod alarm;
mod bounds;
pub mod channel;
pub mod hooks;
pub mod page;
pub mod place;
pub mod said;
pub mod show;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use self::alarm::AlarmConfig;
use self::hooks::HooksConfig;
use self::page::PageConfig;
use self::place::{Complaint, Places};
use crate::domain::flavor::SemiSync;
use crate::domain::health::Limits;
use crate::domain::plan::KEY_PLACEHOLDER;
use crate::domain::settings::{Choices, Timing};
use crate::domain::tables::TablePatterns;
use crate::failure::{Failure, Kind};

/// What can be configured. `templates/pmp-ha.toml` explains each key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
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
    /// What is run around a change of roles, and when a status turns.
    pub hooks: HooksConfig,
    /// What is announced, and through which channels.
    pub alarm: AlarmConfig,
    /// Where the monitor's page is served.
    pub page: PageConfig,
}

/// A file of settings, read.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// The position of each key; empty if there is no file.
    pub places: Places,
}

impl ConfigFile {
    /// The failure that a value of the file cannot be used: file, line and key.
    #[must_use]
    pub fn wrong(&self, complaint: &Complaint) -> Failure {
        unusable(&self.path).because(self.located(complaint))
    }

    /// The failure that several values cannot be used.
    #[must_use]
    pub fn all_wrong(&self, complaints: &[Complaint]) -> Option<Failure> {
        let (first, others) = complaints.split_first()?;
        let mut failure = self.wrong(first);
        failure.because.extend(others.iter().map(|complaint| self.located(complaint)));
        Some(failure)
    }

    /// Where a key stands: file, line and key.
    #[must_use]
    pub fn place_of(&self, key: &str) -> String {
        let line = self.places.line(key).map(|line| format!(":{line}")).unwrap_or_default();
        format!("{}{line}: {}", self.path.display(), place::shown(key))
    }

    fn located(&self, complaint: &Complaint) -> String {
        format!("{} {}", self.place_of(&complaint.key), complaint.why)
    }
}

/// The failure that a configuration cannot be used at all.
#[must_use]
pub fn unusable(path: &Path) -> Failure {
    Failure::new(Kind::Usage, format!("cannot use the configuration {}", path.display()))
        .hint("docs/configuration.md explains every key. `pmp-ha config check` checks the file again.")
}

/// The section `[switchover]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchoverConfig {
    /// The program that runs `pmp-ha` on the other node, with its arguments; empty if you do it.
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProductConfig {
    /// Whether pmp-ha checks the web port of Password Manager Pro on both nodes.
    pub watch_web_port: bool,
    /// The query that reads the TFA setting; empty if it is not watched.
    pub tfa_query: String,
    /// The query that returns 1 for the data's key; empty for no query.
    pub key_query: String,
}

impl Default for ProductConfig {
    fn default() -> Self {
        Self { watch_web_port: true, tfa_query: String::new(), key_query: String::new() }
    }
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
            return Some("must be one SELECT, without a semicolon");
        }
        let quoted = ["'", "\"", "`"].iter().any(|q| query.contains(&format!("{q}{KEY_PLACEHOLDER}")));
        if quoted || !query.contains(KEY_PLACEHOLDER) {
            return Some("must contain {key}, without quotes around it");
        }
        None
    }
}

/// The section `[pack]`: key files, none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
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
    /// Every program that the file names, with its key.
    #[must_use]
    pub fn programs(&self) -> Vec<(String, &[String])> {
        let mut out: Vec<(String, &[String])> =
            self.hooks.all().into_iter().map(|(key, command)| (key.to_owned(), command)).collect();
        out.push(("fence.command".into(), &self.fence.command));
        out.push(("switchover.peer_command".into(), &self.switchover.peer_command));
        let alarms = self.alarm.command.iter().enumerate();
        out.extend(
            alarms.map(|(n, channel)| (format!("alarm.command.{n}.command"), channel.command.as_slice())),
        );
        out
    }

    /// Returns the settings in a text, and the position of each key.
    ///
    /// # Errors
    /// Names file, line and key.
    pub fn parse(text: &str, path: PathBuf) -> Result<(Self, ConfigFile)> {
        let source = ConfigFile { places: Places::of(text), path };
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let key = source.places.key_at(at).map(|key| format!("{}: ", place::shown(key)));
            unusable(&source.path).because(format!(
                "{}:{}: {}{}",
                source.path.display(),
                place::line_of(text, at),
                key.unwrap_or_else(|| "the TOML is wrong: ".into()),
                said::plainly(error.message())
            ))
        })?;
        config.alarm.name_channels();
        if let Some(failure) = source.all_wrong(&config.complaints()) {
            bail!(failure);
        }
        Ok((config, source))
    }

    /// Returns everything that is wrong with the values.
    fn complaints(&self) -> Vec<Complaint> {
        let r = &self.replication;
        let mut out = bounds::complaints(self);
        let mut wrong = |key: &str, why: &str| out.push(Complaint { key: key.into(), why: why.into() });
        if r.heartbeat >= r.net_timeout {
            wrong("replication.heartbeat", "must be smaller than replication.net_timeout");
        }
        if let Some(why) = self.product.wrong_key_query() {
            wrong("product.key_query", why);
        }
        out.extend(self.hooks.complaints());
        out.extend(self.alarm.complaints());
        out.extend(self.page.complaints());
        out
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

    fn refused(text: &str) -> String {
        Config::parse(text, "/conf/pmp-ha.toml".into()).expect_err(text).to_string()
    }

    #[test]
    fn what_is_wrong_is_named_with_file_line_and_key() {
        for (text, wanted) in [
            ("this is no TOML", ".toml:1: the TOML is wrong: "),
            ("[health]\nmaxlag = 3\n", ".toml:2: health.maxlag: there is no key `maxlag`"),
            ("[health]\n\nmax_lag = \"x\"\n", ".toml:3: health.max_lag: it is the text"),
            ("[replication]\nbeat = 0\n", ".toml:2: replication.beat must be between 1 and 3600"),
            ("[replication]\nheartbeat = 5\n", ".toml:2: replication.heartbeat must be smaller"),
            ("[replication]\nnet_timeout = 1\n", ".toml:1: replication.heartbeat must be smaller"),
            (
                "[alarm]\ncalm = 900\n[[alarm.email]]\nserver = \"a b\"\nfrom = \"x@y\"\nto = [\"x@y\"]\n",
                ".toml:4: alarm.email.server a host name",
            ),
            ("[[alarm.email]]\nserver = \"a\"\nfrom = \"x@y\"\n", ".toml:1: alarm.email: `to` is missing"),
            ("[hooks]\nbefore = [\"x\"]\n", ".toml:2: hooks.before must name its program with the full path"),
            ("[hooks]\ndeadline = 0\n", ".toml:2: hooks.deadline must be between 1 and 3600"),
            (
                "[[alarm.snmp]]\nreceiver = \"a\"\nversion = \"4\"\n",
                ".toml:3: alarm.snmp.version: it is `4`, and must be one of",
            ),
        ] {
            let told = refused(text);
            assert!(told.contains(wanted), "{text}: {told}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(toml::from_str::<Config>("[health]\nmaxlag = 3\n").is_err());
    }
}
