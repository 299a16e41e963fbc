//! `pmp-ha support-bundle [FILE]`

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Context, absolute, doctor};
use crate::adapters::chronicle::Chronicle;
use crate::adapters::clock::now;
use crate::adapters::home::Home;
use crate::adapters::home::journal_file::JournalFile;
use crate::adapters::look::support::Collected;
use crate::adapters::server::process::Database;
use crate::adapters::{bundle, look, system};
use crate::cli::SupportBundleArgs;
use crate::config::Config;
use crate::domain::chronicle::occurrence::Occurrences;
use crate::domain::history::runs;
use crate::domain::judge::judge;
use crate::domain::report::Report;
use crate::domain::support::{Bundle, list};
use crate::failure::{Failure, Kind};

/// How many of the newest events are collected.
const EVENTS: usize = 500;

pub async fn run(context: &Context<'_>, args: SupportBundleArgs) -> Result<()> {
    let home = context.home()?;
    let file = args.file.as_deref().map_or_else(|| file_by_default(&home), absolute);
    if file.symlink_metadata().is_ok() {
        bail!(
            Failure::new(Kind::Refused, "the bundle is not written")
                .code("exists")
                .because(format!("{} is there already", file.display()))
                .hint("Name another file, or move that one away.")
        );
    }
    if context.global.dry_run {
        let act = format!(
            "collect logs, configuration without secrets, statuses and history of {} into {}",
            home.root().display(),
            file.display()
        );
        return context.ui.would(&act);
    }
    let spinner = context.ui.spinner("collecting");
    let collected = tokio::select! {
        collected = Box::pin(collected(context, &home)) => collected,
        () = context.interrupt.wanted() => bail!(Failure::interrupted()),
    };
    drop(spinner);
    let Collected { mut files, entries, left_out, .. } = collected;
    files.insert(0, ("contents.txt".to_owned(), list(&entries, &left_out)));
    let size = bundle::write(&file, &files).map_err(|error| {
        Failure::new(Kind::Failed, "the bundle is not written").because(format!("{error:#}")).hint(format!(
            "Name a file in a folder with free space that {} can write to: `pmp-ha support-bundle /tmp/pmp.zip`.",
            system::acting_name()
        ))
    })?;
    context.ui.data(&Bundle { file: file.display().to_string(), size, entries, left_out })
}

fn file_by_default(home: &Home) -> PathBuf {
    let stamp: String = now().chars().filter(|c| !"-:".contains(*c)).collect();
    let folder = if home.replication().is_dir() { home.replication() } else { home.root().to_path_buf() };
    folder.join(format!("pmp-ha-support-{stamp}.zip"))
}

async fn collected(context: &Context<'_>, home: &Home) -> Collected {
    let configuration = context.global.config.clone().unwrap_or_else(|| home.path("conf/pmp-ha.toml"));
    let mut all = Collected::of(home, &configuration);
    all.add("versions.txt", &versions(context, home).await);
    all.add("machine.txt", &system::machine());
    let config = context.config(home).unwrap_or_else(|error| {
        let why = Failure::from_error(error).because.join("; ");
        all.left_out.push(format!("the settings in effect: {why}; verify and doctor used the defaults"));
        Config::default()
    });
    statuses(context, home, &config, &mut all).await;
    match JournalFile::at(home.journal()).read() {
        Ok(records) => {
            let lines: Vec<String> = runs(&records, false).iter().map(ToString::to_string).collect();
            all.add("history.txt", &lines.join("\n"));
        }
        Err(error) => all.left_out.push(format!("history: {error:#}")),
    }
    events(home, &mut all);
    all.home(home, &configuration);
    all
}

async fn versions(context: &Context<'_>, home: &Home) -> String {
    let server = match Database::of(home, &context.interrupt).version().await {
        Ok(version) => version.to_string(),
        Err(error) => format!("unknown: {error:#}"),
    };
    let product = match home.fingerprint() {
        Ok(Some(found)) => format!("product {}\nmysqld  {}", found.product, found.server),
        Ok(None) => "product unknown: its files are missing".into(),
        Err(error) => format!("product unknown: {error:#}"),
    };
    let role = home.role_word();
    format!(
        "pmp-ha  {}\nhome    {}\nrole    {}\nserver  {server}\n{product}\n",
        crate::domain::built_in::long_version(),
        home.root().display(),
        role.trim()
    )
}

async fn statuses(context: &Context<'_>, home: &Home, config: &Config, all: &mut Collected) {
    match home.membership() {
        Ok(Some(membership)) => {
            match Box::pin(look::pair::take(home, membership, config, &context.interrupt)).await {
                Ok(seen) => {
                    let health = judge(&seen, config.limits());
                    let report = Report::new(health, now(), env!("CARGO_PKG_VERSION")).about(&seen);
                    all.add("verify.txt", &report.to_string());
                    add_json(all, "verify.json", &report);
                }
                Err(error) => all.left_out.push(format!("verify: {error:#}")),
            }
        }
        Ok(None) => all.left_out.push("verify: this home is in no pair".into()),
        Err(error) => all.left_out.push(format!("verify: {error:#}")),
    }
    match Box::pin(doctor::examined(context, home, config, None)).await {
        Ok(report) => {
            all.add("doctor.txt", &report.to_string());
            add_json(all, "doctor.json", &report);
        }
        Err(error) => all.left_out.push(format!("doctor: {error:#}")),
    }
}

fn events(home: &Home, all: &mut Collected) {
    let chronicle = Chronicle::at(home.chronicle());
    if !chronicle.has_begun() {
        return all.left_out.push("events: no monitor has watched this home".into());
    }
    match chronicle.read(u64::MAX, 0) {
        Ok(kept) => {
            let first = kept.occurrences.len().saturating_sub(EVENTS);
            let newest = kept.occurrences.into_iter().skip(first).collect::<Vec<_>>();
            all.add("events.txt", &Occurrences::from(newest).to_string());
        }
        Err(error) => all.left_out.push(format!("events: {error:#}")),
    }
}

fn add_json(all: &mut Collected, name: &str, value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => all.add(name, &text),
        Err(error) => all.left_out.push(format!("{name}: {error}")),
    }
}
