//! One file a command: arguments, observe, decide, show or apply.

mod install_pack;
mod key;
mod lab;
mod pack;
mod recover;
mod service;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use fs_err as fs;

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::apply::{Runner, Settled, refuse_cut_off_run};
use crate::cli::{Cli, Command, Global};
use crate::config::Config;
use crate::domain::plan::Plan;
use crate::failure::{Failure, Kind};
use crate::ui::Ui;

/// What a command works with.
struct Context<'a> {
    ui: &'a Ui,
    interrupt: Interrupt,
    global: Global,
}

/// Runs the command that was asked for.
pub async fn run(cli: Cli, ui: &Ui) -> Result<()> {
    let context = Context { ui, interrupt: Interrupt::listen()?, global: cli.global };
    match cli.command {
        Command::Pack(args) => pack::run(&context, args).await,
        Command::InstallPack(args) => install_pack::run(&context, args).await,
        Command::Key(args) => key::run(&context, args),
        Command::Start => service::start(&context).await,
        Command::Stop => service::stop(&context).await,
        Command::Verify => verify::run(&context).await,
        Command::Recover(args) => recover::run(&context, args).await,
        Command::Lab(command) => lab::run(&context, command).await,
    }
}

impl Context<'_> {
    /// The home that the command is about.
    fn home(&self) -> Result<Home> {
        if let Some(named) = self.global.home.as_ref().filter(|path| !path.as_os_str().is_empty()) {
            return Home::open(named);
        }
        let here = std::env::current_dir().unwrap_or_default();
        if let Some(around) = here.ancestors().find(|folder| Home::is_at(folder)) {
            return Home::open(around);
        }
        match system::home_of_service() {
            Some(root) => Home::open(&root),
            None => bail!(
                Failure::new(Kind::Usage, "no PMP home was named")
                    .because(format!(
                        "neither {} nor a folder above it is one, and there is no {}",
                        here.display(),
                        system::SERVICE_LINK
                    ))
                    .hint("Name the installation folder with --home or PMP_HOME.")
            ),
        }
    }

    fn config(&self, home: &Home) -> Result<Config> {
        Config::read(self.global.config.as_deref(), home.root())
    }

    /// Puts right what an earlier run left behind; a dry run only says so.
    async fn settled(&self, runner: &mut Runner<'_>) -> Result<Settled> {
        if self.global.dry_run {
            refuse_cut_off_run(runner.home())?;
            return Ok(Settled::Nothing);
        }
        runner.settle().await
    }

    /// Shows the plan and asks for agreement. Returns whether it is to be carried out.
    fn agreed(&self, plan: &Plan) -> Result<bool> {
        if self.global.dry_run {
            self.ui.data(plan)?;
            return Ok(false);
        }
        self.ui.detail(plan);
        for warning in &plan.warnings {
            self.ui.warn(warning);
        }
        if self.ui.can_ask() {
            self.ui.say(plan);
        }
        self.ui.confirm("Do this?")?;
        Ok(true)
    }
}

/// Reads a password from a file that only its owner may read.
fn read_password_file(path: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    let refused = |why: String| {
        Failure::new(Kind::Refused, "cannot use the password file")
            .because(why)
            .hint("Give a file of mode 0600 whose first line is the password.")
    };
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    if system::mode(path)? & 0o077 != 0 {
        bail!(refused(format!("{} can be read by others than its owner", path.display())));
    }
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
        _ => bail!(refused(format!("{} is empty", path.display()))),
    }
}

/// An absolute path, whether or not something is there.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
