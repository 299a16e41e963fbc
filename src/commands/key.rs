//! `pmp-ha key [PATH]`

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;

use super::Context;
use crate::adapters::home::{Home, entry};
use crate::adapters::server::process::Database;
use crate::adapters::{look, system};
use crate::cli::KeyArgs;
use crate::config::Config;
use crate::domain::home::KeyFile;
use crate::domain::pair::Membership;
use crate::domain::procedures::key::{AskedData, Expected, KeyScene, check, proved};
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
            "conf/manage_key.conf names {key}. It must be readable at each start; you can take it offline afterwards."
        )?;
        write!(f, "next: {}", self.next)
    }
}

pub fn run(context: &Context<'_>, args: KeyArgs) -> Result<()> {
    let home = context.home()?;
    let expected = expected(home.membership()?.as_ref());
    let key = examined(context, &home, args.path, expected)?;
    if context.global.dry_run {
        return context.ui.would(&format!("write {key} into conf/manage_key.conf"));
    }
    entry::require_usable(&home)?;
    let _lock = system::lock_home(home.root())?;
    home.write_conf("conf/manage_key.conf", &key)?;
    context.ui.done(&Chosen { key, next: "pmp-ha start" })
}

fn expected(membership: Option<&Membership>) -> Expected {
    membership.map_or(Expected::NoPair, |own| Expected::from(own.key_fingerprint.clone()))
}

/// Tells whether the key in the configuration, or another one, is the one of these data.
pub async fn check_only(context: &Context<'_>, args: KeyArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let membership = home.membership()?;
    let path = args.path.or_else(|| home.key_path()).ok_or_else(|| {
        Failure::new(Kind::Refused, "there is no encryption key to check")
            .code("key-unnamed")
            .because("conf/manage_key.conf is empty, and no path was given")
            .hint("Name it: `pmp-ha key --check PATH`.")
    })?;
    let scene = look::home::key(&home, &path, expected(membership.as_ref()));
    check(&scene).map_err(Failure::from)?;
    let asked = tokio::select! {
        asked = asked_data(context, &home, &config, membership.as_ref(), &scene) => asked?,
        () = context.interrupt.wanted() => bail!(Failure::interrupted()),
    };
    context.ui.data(&proved(&scene, asked).map_err(Failure::from)?)
}

async fn asked_data(
    context: &Context<'_>,
    home: &Home,
    config: &Config,
    membership: Option<&Membership>,
    scene: &KeyScene,
) -> Result<AskedData> {
    let not = |why: &str| Ok(AskedData::Not(why.to_owned()));
    let query = config.product.key_query.trim();
    if query.is_empty() {
        return not("product.key_query in conf/pmp-ha.toml is empty");
    }
    let Some(membership) = membership else { return not("this home is in no pair") };
    if Database::of(home, &context.interrupt).serving_pid().await?.is_none() {
        return not("the database here does not run");
    }
    let Ok(KeyFile::Key(keys)) = &scene.file else { return not("the file contains no key") };
    look::key_data::ask(home, &membership.pair.schema, keys, query).await
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
