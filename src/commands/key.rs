//! `pmp-ha key [PATH]`

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::adapters::home::{Home, entry};
use crate::adapters::{look, system};
use crate::cli::KeyArgs;
use crate::domain::procedures::key::{Expected, check};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Chosen {
    key: String,
    next: &'static str,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        writeln!(
            f,
            "conf/manage_key.conf names {key}. It must be readable at each start; you may take it offline afterwards."
        )?;
        write!(f, "next: {}", self.next)
    }
}

pub fn run(context: &Context<'_>, args: KeyArgs) -> Result<()> {
    let home = context.home()?;
    let expected = home.membership()?.and_then(|membership| membership.key_fingerprint);
    let key = examined(context, &home, args.path, expected)?;
    if context.global.dry_run {
        return context.ui.would(&format!("write {key} into conf/manage_key.conf"));
    }
    entry::require_usable(&home)?;
    let _lock = system::lock_home(home.root())?;
    home.write_conf("conf/manage_key.conf", &key)?;
    context.ui.done(&Chosen { key, next: "pmp-ha start" })
}

/// Asks for the key if none was named, checks it, and prints warnings about it.
pub(super) fn examined(
    context: &Context<'_>,
    home: &Home,
    named: Option<PathBuf>,
    expected: impl Into<Expected>,
) -> Result<String> {
    let path = if let Some(path) = named {
        path
    } else {
        let missing = Failure::new(Kind::Usage, "no encryption key was named")
            .because("there is no terminal to ask for it")
            .hint("Give the full path of the primary's pmp_key.key.");
        PathBuf::from(context.ui.ask("Full path of the primary's pmp_key.key", missing)?)
    };
    let scene = look::home::key(home, &path, expected.into());
    for warning in check(&scene).map_err(Failure::from)? {
        context.ui.warn(warning);
    }
    Ok(scene.path)
}
