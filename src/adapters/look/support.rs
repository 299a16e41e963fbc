//! Collects what support asks for: logs cut to size, and the configuration, all without a secret.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::adapters::home::rotation::NextSecrets;
use crate::adapters::home::{Credentials, Home, KEY_FILE, read_key};
use crate::adapters::system;
use crate::domain::home::KeyFile;
use crate::domain::support::mask::{KnownSecrets, masked};
use crate::domain::support::{BundleEntry, CONFIGURATION, LOG, LOG_FOLDERS, LOGS, STATE, from_a_whole_line};

/// What was collected.
#[derive(Debug, Default)]
pub struct Collected {
    /// The names of files in the bundle, and their texts without secrets.
    pub files: Vec<(String, String)>,
    /// The same, for people.
    pub entries: Vec<BundleEntry>,
    /// What is not in it, and why.
    pub left_out: Vec<String>,
    known: KnownSecrets,
}

impl Collected {
    /// Begins with the secrets that this home knows.
    #[must_use]
    pub fn of(home: &Home, configuration: &Path) -> Self {
        Self { known: known_secrets(home, configuration), ..Self::default() }
    }

    /// Adds a text that pmp-ha has made.
    pub fn add(&mut self, name: &str, text: &str) {
        self.put(name.to_owned(), text, false);
    }

    fn put(&mut self, name: String, text: &str, cut: bool) {
        let text = masked(text, &self.known);
        self.entries.push(BundleEntry { name: name.clone(), bytes: text.len(), cut });
        self.files.push((name, text));
    }

    /// Adds the end of a file of the home. What is not there is passed over.
    fn file(&mut self, home: &Home, path: &Path) {
        let shown = path.strip_prefix(home.root()).unwrap_or(path).to_string_lossy().into_owned();
        let name = format!("home/{}", shown.trim_start_matches('/'));
        let size = match path.metadata() {
            Ok(meta) => meta.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => return self.left_out.push(format!("{shown}: {error}")),
        };
        match system::read_end(path, 0, LOG) {
            Ok(bytes) => {
                let cut = size > bytes.len() as u64;
                let text = String::from_utf8_lossy(from_a_whole_line(&bytes, cut)).into_owned();
                self.put(name, &text, cut);
            }
            Err(error) => self.left_out.push(format!("{shown}: {error}")),
        }
    }

    /// Adds the configuration, what pmp-ha remembers, and the logs.
    pub fn home(&mut self, home: &Home, configuration: &Path) {
        let own = home.own_option_file().map(PathBuf::from);
        let paths = [home.database_params_path(), configuration.to_path_buf()];
        let mut all: Vec<PathBuf> = paths.into_iter().chain(own).collect();
        all.extend(CONFIGURATION.iter().chain(&STATE).map(|path| home.path(path)));
        let mut seen = Vec::new();
        for path in all {
            if !seen.contains(&path) {
                self.file(home, &path);
                seen.push(path);
            }
        }
        let mut logs = logs(home);
        logs.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
        for (_, path) in logs.iter().skip(LOGS) {
            self.left_out.push(format!("{}: an older log", path.display()));
        }
        for (_, path) in logs.iter().take(LOGS) {
            self.file(home, path);
        }
    }
}

fn logs(home: &Home) -> Vec<(SystemTime, PathBuf)> {
    let mut out = Vec::new();
    for (folder, ends) in LOG_FOLDERS {
        // The account of the server may have put a link to anywhere in its place.
        if !is_in_place(home, folder) {
            continue;
        }
        let entries = fs_err::read_dir(home.path(folder)).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A link may lead anywhere.
            let Some(meta) = entry.path().symlink_metadata().ok().filter(std::fs::Metadata::is_file) else {
                continue;
            };
            if ends.is_empty() || ends.iter().any(|end| name.ends_with(end)) {
                out.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
            }
        }
    }
    out
}

/// Whether a folder of logs is one, and no link. The data may lie elsewhere: a link to them is the home's owner's.
fn is_in_place(home: &Home, folder: &str) -> bool {
    let path = home.path(folder);
    path == home.path("mysql/data") || path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// Every secret that this home can read: none of them is in the bundle, wherever it stands.
fn known_secrets(home: &Home, configuration: &Path) -> KnownSecrets {
    let mut known = KnownSecrets::default();
    for credentials in [home.credentials(), NextSecrets::of(home).credentials()].into_iter().flatten() {
        let Credentials { replication, back, monitor, reader, admin } = &credentials;
        for account in [replication, back, monitor, reader, admin] {
            known.add(&account.password);
        }
    }
    if let Ok(params) = home.database_params() {
        known.add(&params.password);
    }
    // Whatever else somebody has written there: each line may be the path.
    let named = system::read_text(&home.path(KEY_FILE), system::SMALL).unwrap_or_default();
    let paths = named.lines().map(|line| PathBuf::from(line.trim()));
    for key in paths.chain([home.path("conf/pmp_key.key")]) {
        if let Ok(KeyFile::Key(entries)) = read_key(&key) {
            for entry in &entries {
                known.add(entry);
            }
        }
    }
    let text = system::read_text(configuration, system::SMALL).unwrap_or_default();
    let folder = configuration.parent().unwrap_or(Path::new("/"));
    if let Ok(table) = text.parse::<toml::Table>() {
        let mut named = Vec::new();
        files_named_in(&toml::Value::Table(table), &mut named);
        for name in named {
            let secret = system::read_text(&folder.join(name), system::SMALL).unwrap_or_default();
            known.add(secret.lines().next().unwrap_or_default());
        }
    }
    known
}

/// The files of secrets that a configuration names.
fn files_named_in(value: &toml::Value, out: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                match value {
                    toml::Value::String(path) if key.ends_with("_file") => out.push(path.clone()),
                    other => files_named_in(other, out),
                }
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| files_named_in(value, out)),
        _ => {}
    }
}
