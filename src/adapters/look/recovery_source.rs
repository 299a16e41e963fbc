//! The source of a recovery: a node's home, a copy of it, or a copy of its data.
//!
//! A secondary may be stopped or running, a primary is stopped. The source is only read, never changed.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use fs_err as fs;

use crate::adapters::home::{Home, datadir};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look;
use crate::adapters::server::process::Database;
use crate::adapters::system;
use crate::domain::datafiles::Layout;
use crate::domain::pair::Role;
use crate::domain::procedures::recover::{Activity, Source, is_copied, is_copied_live};
use crate::domain::settings::{OWN_SCHEMA, RELAY_LOG, binlog_named};
use crate::failure::{Failure, Kind};

/// The source's paths.
pub enum SourcePaths {
    /// A whole home.
    Home(Home),
    /// Data without a home around them.
    Data {
        /// The folder that was named.
        folder: PathBuf,
        /// The data directory in it.
        data: PathBuf,
    },
}

impl SourcePaths {
    /// Finds the data in a home, or in a copy of a home, of its folder `mysql` or of `mysql/data`.
    pub fn find(named: &Path) -> Result<Self> {
        let none = |why: String| {
            Failure::new(Kind::Refused, "there are no data for a recovery")
                .code("data-incomplete")
                .because(why)
                .hint("Name the secondary's home, a copy of it, or a copy of its folder mysql with --from.")
        };
        let folder = fs::canonicalize(named).map_err(|error| none(error.to_string()))?;
        // The data of a home stand for the home: it may be at work.
        for inside in ["", "mysql", "mysql/data"] {
            let root = folder.ancestors().find(|root| root.join(inside) == folder);
            if let Some(root) = root.filter(|root| Home::is_at(root)) {
                return Ok(Self::Home(Home::open(root)?));
            }
        }
        let places = [folder.clone(), folder.join("data"), folder.join("mysql/data")];
        match places.into_iter().find(|place| place.join("ibdata1").is_file()) {
            Some(data) => Ok(Self::Data { folder, data }),
            None => bail!(none(format!("{} is not a home and has no ibdata1", folder.display()))),
        }
    }

    /// The home, if it is one.
    #[must_use]
    pub fn home(&self) -> Option<&Home> {
        match self {
            Self::Home(home) => Some(home),
            Self::Data { .. } => None,
        }
    }

    /// The folder that nothing else may use during the recovery.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self {
            Self::Home(home) => home.root(),
            Self::Data { folder, .. } => folder,
        }
    }

    fn data(&self) -> PathBuf {
        match self {
            Self::Home(home) => home.data(),
            Self::Data { data, .. } => data.clone(),
        }
    }
}

/// Reads it as the source of a recovery into `into`. `is_named`: the operator named it.
pub async fn look(
    origin: &SourcePaths,
    is_named: bool,
    into: &Home,
    interrupt: &Interrupt,
) -> Result<Source> {
    let data = origin.data();
    let home = origin.home();
    let membership = home.map(Home::membership).transpose()?.flatten();
    let activity = match home {
        Some(home) => {
            let is_secondary = membership.as_ref().is_some_and(|m| m.role == Role::Secondary);
            activity_of_home(home, is_secondary, into, interrupt).await?
        }
        None => match datadir::holder(&data)? {
            Some(pid) => Activity::Taken(vec![look::home::held(&data, pid)]),
            None => Activity::AtRest,
        },
    };
    let layout = Layout::detect(|name| data.join(name).exists());
    let listing = if data.is_dir() {
        datadir::list(&data)?
    } else {
        datadir::Listing { files: Vec::new(), odd: Vec::new(), unreadable: Vec::new() }
    };
    let is_live = matches!(activity, Activity::Live(_));
    let wanted = if is_live { is_copied_live } else { is_copied };
    let copied: Vec<u64> =
        listing.files.iter().filter(|(path, _)| wanted(path.as_str())).map(|(_, size)| *size).collect();
    let is_primary = membership.as_ref().is_some_and(|membership| membership.role == Role::Primary);
    let missing = if is_live {
        look::home::lacking(&data, layout)
    } else if is_primary {
        // A primary that never heard of its secondary has no relay logs.
        missing_logs_of(&data, &[&binlog_named(datadir::history(&data))])
    } else {
        missing_files(&data)
    };
    Ok(Source {
        place: origin.folder().to_string_lossy().into_owned(),
        data_path: data.to_string_lossy().into_owned(),
        activity,
        layout,
        to_copy: (copied.len(), copied.iter().sum()),
        odd_data: listing.odd,
        missing,
        fingerprint: home.map(Home::fingerprint).transpose()?.flatten(),
        membership,
        of_a_pair: data.join(OWN_SCHEMA).is_dir(),
        unreadable: listing.unreadable,
        is_named,
    })
}

async fn activity_of_home(
    home: &Home,
    is_secondary: bool,
    into: &Home,
    interrupt: &Interrupt,
) -> Result<Activity> {
    if is_secondary && let Some(pid) = Database::of(home, interrupt).serving_pid().await? {
        return Ok(match look::copy_way::look_at_secondary(home, into, interrupt).await {
            Ok(live) => Activity::Live(live),
            Err(error) => Activity::Taken(vec![
                look::home::held(&home.data(), pid),
                format!("it cannot be copied while it runs: {error:#}"),
            ]),
        });
    }
    let evidence = look::home::processes(home, interrupt)?;
    Ok(if evidence.is_empty() { Activity::AtRest } else { Activity::Taken(evidence) })
}

/// What a data directory lacks that recovery needs.
#[must_use]
pub fn missing_files(data: &Path) -> Vec<String> {
    missing_logs_of(data, &[&binlog_named(datadir::history(data)), RELAY_LOG])
}

fn missing_logs_of(data: &Path, bases: &[&str]) -> Vec<String> {
    let layout = Layout::detect(|name| data.join(name).exists());
    let mut out = look::home::lacking(data, layout);
    if layout.is_some() {
        out.extend(bases.iter().flat_map(|base| lacking_logs(data, base)));
    }
    out
}

/// What an index of binlogs or relay logs in this data directory names, and is not there.
fn lacking_logs(data: &Path, base: &str) -> Vec<String> {
    let index = format!("{base}.index");
    match system::read_text(&data.join(&index), system::LARGE) {
        Err(_) => vec![index],
        Ok(text) => text
            .lines()
            .map(|line| line.rsplit('/').next().unwrap_or(line).to_owned())
            .filter(|name| !name.is_empty() && !data.join(name).exists())
            .collect(),
    }
}
