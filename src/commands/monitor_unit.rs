//! `pmp-ha monitor --install` and `--uninstall`: the monitor as a service of systemd.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use fs_err as fs;
use serde::Serialize;

use super::{Context, page_address};
use crate::adapters::alert;
use crate::adapters::home::Home;
use crate::adapters::system;
use crate::cli::MonitorArgs;
use crate::config::{Config, ConfigFile};
use crate::domain::unit::{MonitorUnit, UNIT};
use crate::failure::{Failure, Kind};

/// Where systemd looks for the units of the administrator.
const UNITS: &str = "/etc/systemd/system";

/// What exists where systemd is in charge.
const IN_CHARGE: &str = "/run/systemd/system";

/// What will be done.
#[derive(Serialize)]
struct UnitChange {
    unit: PathBuf,
    /// The text of the file; `None` if it is removed.
    text: Option<String>,
    /// The commands that are run then.
    commands: Vec<String>,
    /// Whether it is done, or will be.
    done: bool,
}

impl fmt::Display for UnitChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.display();
        if self.done {
            return match &self.text {
                Some(_) => write!(
                    f,
                    "{unit} is in place. `systemctl status {UNIT}` and `journalctl -u {UNIT}` show its state."
                ),
                None => write!(f, "{unit} is removed."),
            };
        }
        match &self.text {
            Some(text) => {
                writeln!(f, "write {unit}:")?;
                text.lines().try_for_each(|line| writeln!(f, "  {line}"))?;
            }
            None => writeln!(f, "remove {unit}")?,
        }
        self.commands.iter().try_for_each(|command| writeln!(f, "run: {command}"))
    }
}

pub fn install(context: &Context<'_>, args: &MonitorArgs) -> Result<()> {
    let home = context.home_that_is_only_named()?;
    let root = home.root().to_string_lossy().into_owned();
    let user = system::owner(home.root())?.name();
    let program = system::this_program()?;
    require_public(&program, &user)?;
    let program = program.to_string_lossy().into_owned();
    let mut options = Vec::new();
    if let Some(config) = &context.global.config {
        options.push(("--config", super::absolute(config).to_string_lossy().into_owned()));
    }
    options.push(("--every", args.every.to_string()));
    let (config, source) = context.config_with_source(&home)?;
    page_address::listens(&config, &source, args.listen)?;
    if let Some(address) = args.listen {
        options.push(("--listen", address.to_string()));
    }
    let goes_to = channels_of(&home, &config, &source)?;
    let unit = MonitorUnit { program: &program, home: &root, user: &user, options: &options };
    let text = unit
        .text()
        .map_err(|why| refused("the monitor cannot be installed", why, "Move the home to another path."))?;
    let place = UnitPlace::of(args)?;
    let existing = place.read()?;
    if let Some(existing) = &existing
        && !unit.is_ours(existing)
    {
        bail!(place.foreign(&root));
    }
    let commands: &[&[&str]] = match existing {
        Some(_) => &[&["daemon-reload"], &["enable", UNIT], &["restart", UNIT]],
        None => &[&["daemon-reload"], &["enable", "--now", UNIT]],
    };
    let change = UnitChange {
        unit: place.file(),
        text: Some(text.clone()),
        commands: place.shown(commands),
        done: false,
    };
    context.ui.say(goes_to);
    if !agreed(context, &change)? {
        return Ok(());
    }
    system::write_atomic(&change.unit, text.as_bytes(), 0o644, None)?;
    place.run(commands)?;
    context.ui.done(&UnitChange { done: true, ..change })
}

/// Reads what the service will read at its start, and says where its alarms go.
fn channels_of(home: &Home, config: &Config, source: &ConfigFile) -> Result<String> {
    let read = || {
        let channels = alert::open(&config.alarm, source, &home.alarms())?;
        alert::dead_man(&config.alarm, source)?;
        #[cfg(feature = "page")]
        crate::adapters::page::check(&config.page, source)?;
        anyhow::Ok(channels)
    };
    let channels = match read() {
        Ok(channels) => channels,
        Err(error) if alert::needs_the_service(&error) => {
            return Ok(
                "the alarms could not be checked: only the service itself sees a credential of the service"
                    .into(),
            );
        }
        Err(error) => return Err(error),
    };
    let names: Vec<String> = channels.into_iter().map(|channel| channel.name).collect();
    Ok(match names.as_slice() {
        [] => "no alarm channel is configured: nobody will be told of a failure".into(),
        names => format!("alarms will go to {}", names.join(", ")),
    })
}

pub fn uninstall(context: &Context<'_>, args: &MonitorArgs) -> Result<()> {
    let home = context.home_that_is_only_named()?;
    let root = home.root().to_string_lossy().into_owned();
    let place = UnitPlace::of(args)?;
    let unit = MonitorUnit { program: "", home: &root, user: "", options: &[] };
    let Some(existing) = place.read()? else {
        context.ui.warn(format!("{} does not exist: there is nothing to remove", place.file().display()));
        return context.ui.done(&UnitChange {
            unit: place.file(),
            text: None,
            commands: Vec::new(),
            done: true,
        });
    };
    if !unit.is_ours(&existing) {
        bail!(place.foreign(&root));
    }
    let (before, after): (&[&str], &[&str]) = (&["disable", "--now", UNIT], &["daemon-reload"]);
    let change =
        UnitChange { unit: place.file(), text: None, commands: place.shown(&[before, after]), done: false };
    if !agreed(context, &change)? {
        return Ok(());
    }
    place.run(&[before])?;
    fs::remove_file(&change.unit)?;
    place.run(&[after])?;
    context.ui.done(&UnitChange { done: true, ..change })
}

fn agreed(context: &Context<'_>, change: &UnitChange) -> Result<bool> {
    if context.global.dry_run {
        context.ui.data(change)?;
        return Ok(false);
    }
    context.ui.say(change);
    context.ui.confirm("Do this?")?;
    Ok(true)
}

/// Where units are, and whether systemd is told.
struct UnitPlace {
    folder: PathBuf,
    is_in_charge: bool,
}

impl UnitPlace {
    fn of(args: &MonitorArgs) -> Result<Self> {
        let place = match &args.unit_dir {
            Some(folder) => Self { folder: super::absolute(folder), is_in_charge: false },
            None => Self { folder: UNITS.into(), is_in_charge: true },
        };
        if place.is_in_charge && !Path::new(IN_CHARGE).is_dir() {
            bail!(refused(
                "the monitor cannot be installed as a service",
                format!("systemd does not manage this machine: {IN_CHARGE} does not exist"),
                "Start `pmp-ha monitor` with the service manager of this machine, or run `pmp-ha monitor --once` with cron.",
            ));
        }
        if !system::is_writable_dir(&place.folder) {
            bail!(refused(
                "the monitor cannot be installed as a service",
                format!("{} cannot write to {}", system::user_name(), place.folder.display()),
                "Run this as root. The service itself runs as the owner of the home.",
            ));
        }
        Ok(place)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(UNIT)
    }

    fn read(&self) -> Result<Option<String>> {
        match system::read_text(&self.file(), system::SMALL) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn foreign(&self, home: &str) -> Failure {
        refused(
            "another unit with this name exists",
            format!("{} was not written by `pmp-ha monitor --install` for {home}", self.file().display()),
            "Move it away, or keep it and do not install this one. On a machine with two homes, the second one needs a unit with another name: see templates/pmp-ha-monitor.service.",
        )
        .code("unit-of-another")
    }

    fn shown(&self, commands: &[&[&str]]) -> Vec<String> {
        let shown = |words: &&[&str]| format!("systemctl {}", words.join(" "));
        if self.is_in_charge { commands.iter().map(shown).collect() } else { Vec::new() }
    }

    fn run(&self, commands: &[&[&str]]) -> Result<()> {
        for words in commands.iter().filter(|_| self.is_in_charge) {
            let output = system::program(Path::new("systemctl"))
                .args(*words)
                .output()
                .context("systemctl cannot be run")?;
            if !output.status.success() {
                let shown = words.join(" ");
                bail!(
                    Failure::new(Kind::Failed, format!("`systemctl {shown}` failed"))
                        .because(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " "))
                        .hint("Correct what it reports, then run this command again.")
                );
            }
        }
        Ok(())
    }
}

/// Refuses a program that the owner of the home cannot run.
fn require_public(program: &Path, user: &str) -> Result<()> {
    for path in program.ancestors() {
        let needs = if path == program { 0o005 } else { 0o001 };
        if system::mode(path)? & needs != needs && system::owner(path)?.name() != user {
            bail!(refused(
                "the home's owner cannot run this program",
                format!("{user} has no right to use {}", path.display()),
                "Put it where everybody can run it: `install -m 755 pmp-ha /usr/local/bin/pmp-ha`. Then run that one.",
            ));
        }
    }
    Ok(())
}

fn refused(what: &str, because: impl Into<String>, hint: &str) -> Failure {
    Failure::new(Kind::Refused, what).code("no-service").because(because.into()).hint(hint)
}
