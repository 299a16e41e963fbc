//! The effective settings, each with its origin. Secrets are masked.

use std::fmt;

use serde::Serialize;

use super::{Config, ConfigFile};

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// The key, with the tables around it. Channels are numbered from 0.
    pub key: String,
    /// Its value.
    pub value: serde_json::Value,
    /// The line of the file; `None` for a default.
    pub line: Option<usize>,
}

/// The effective settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effective {
    /// The file.
    pub file: String,
    /// The settings, in the order of their keys.
    pub settings: Vec<Shown>,
}

impl Effective {
    /// Returns the settings in effect, and where each comes from.
    #[must_use]
    pub fn of(config: &Config, source: &ConfigFile) -> Self {
        let mut settings = Vec::new();
        // A configuration has only texts, numbers and lists: nothing can go wrong.
        add("", &serde_json::to_value(config).unwrap_or_default(), source, &mut settings);
        Self { file: source.path.display().to_string(), settings }
    }
}

fn add(key: &str, value: &serde_json::Value, source: &ConfigFile, out: &mut Vec<Shown>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                add(&below(name), value, source, out);
            }
        }
        serde_json::Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {
            for (number, value) in items.iter().enumerate() {
                add(&below(&number.to_string()), value, source, out);
            }
        }
        value => {
            let value = match value.as_str() {
                Some(url) if key.ends_with("url") => masked(url).into(),
                _ => value.clone(),
            };
            out.push(Shown { key: key.to_owned(), value, line: source.places.exact(key) });
        }
    }
}

/// A URL without the part that may be a secret.
#[must_use]
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.is_empty() { String::new() } else { "…".into() };
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host == rest { url.to_owned() } else { format!("{scheme}://{host}/…") }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Shown { key, value, line } in &self.settings {
            let value = if value.is_null() { "(not set)".to_owned() } else { value.to_string() };
            match line {
                Some(line) => writeln!(f, "{key} = {value}  # {}:{line}", self.file)?,
                None => writeln!(f, "{key} = {value}  # default")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::place::Places;

    #[test]
    fn each_value_has_its_origin_and_no_secret_is_shown() {
        let text =
            "[health]\nmax_lag = 3\n[[alarm.webhook]]\nurl = \"https://hooks.example.com/T0/secret\"\n";
        let config: Config = toml::from_str(text).expect("TOML");
        let source = ConfigFile { path: "/home/conf/pmp-ha.toml".into(), places: Places::of(text) };
        let shown = Effective::of(&config, &source).to_string();
        for line in [
            "health.max_lag = 3  # /home/conf/pmp-ha.toml:2",
            "replication.beat = 2  # default",
            "alarm.webhook.0.url = \"https://hooks.example.com/…\"  # /home/conf/pmp-ha.toml:4",
            "alarm.webhook.0.secret_file = (not set)  # default",
        ] {
            assert!(shown.contains(line), "no {line} in {shown}");
        }
        assert!(!shown.contains("secret\""), "{shown}");
    }
}
