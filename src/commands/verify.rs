//! `pmp-ha verify`

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Context, interrupted_here};
use crate::adapters::clock::now;
use crate::adapters::home::{Home, remembered};
use crate::adapters::look::prove::prove;
use crate::adapters::{look, system};
use crate::apply::refuse_cut_off_run;
use crate::cli::VerifyArgs;
use crate::config::Config;
use crate::domain::judge::{judge, no_pair};
use crate::domain::nagios::{self, PluginState};
use crate::domain::report::{Report, Verdict, Watch};
use crate::failure::{Failure, Kind};
use crate::ui::screen::Screen;

pub async fn run(context: &Context<'_>, args: VerifyArgs) -> Result<()> {
    // clap does not see that they meet when one of them stands before the command.
    if args.nagios && context.global.json {
        bail!(Failure::new(Kind::Usage, "you cannot combine --nagios and --json").hint("Omit one of them."));
    }
    let home = context.home()?;
    let config = context.config(&home)?;
    match args.watch {
        Some(seconds) => Box::pin(watch(context, &home, &config, &args, Duration::from_secs(seconds))).await,
        None => once(context, &home, &config, &args).await,
    }
}

async fn once(context: &Context<'_>, home: &Home, config: &Config, args: &VerifyArgs) -> Result<()> {
    let for_nagios = args.nagios;
    let cut_off = cut_off(home);
    // The two words come first whatever happens; what is said here goes to stderr.
    if let Some(cut_off) = cut_off.as_ref().filter(|_| !for_nagios) {
        context.ui.warn(cut_off);
    }
    let Some(report) = look(context, home, config, args.prove).await? else {
        bail!(Failure::interrupted());
    };
    if for_nagios {
        context.ui.data(&nagios::lines(&report, config.limits(), cut_off.as_slice()))?;
        return match PluginState::of(&report.health) {
            PluginState::Ok => Ok(()),
            state => bail!(Failure::new(Kind::Plugin(state), "the pair has a problem")),
        };
    }
    if args.prove && context.global.dry_run {
        context.ui.say("a dry run writes no row: --prove has proved nothing");
    }
    context.ui.data(&report)?;
    if report.verdict() != Verdict::ALIVE {
        bail!(Failure::new(Kind::NotAlive, "the pair is not Alive"));
    }
    Ok(())
}

/// Repeats the check until Ctrl-C, or until the reader of the output is gone. Both end with
/// success.
async fn watch(
    context: &Context<'_>,
    home: &Home,
    config: &Config,
    args: &VerifyArgs,
    pause: Duration,
) -> Result<()> {
    let (mut watch, mut warned) = (Watch::default(), None);
    let mut screen = Screen::open(context.ui)?;
    loop {
        let cut_off = cut_off(home);
        let is_new = cut_off.as_ref().filter(|text| warned.as_ref() != Some(*text));
        if let (Some(cut_off), None) = (is_new, &screen) {
            context.ui.warn(cut_off);
        }
        let looked = Box::pin(look(context, home, config, args.prove));
        let looked = match &mut screen {
            Some(screen) => screen.during(looked).await?,
            None => looked.await?,
        };
        let Some(mut report) = looked else { return Ok(()) };
        watch.next(&mut report);
        let is_read = match &mut screen {
            Some(screen) => {
                let warning = cut_off.as_ref().map(|text| format!("warning: {text}\n")).unwrap_or_default();
                screen.show(format!("{}{warning}", watch.screen(&report)))?
            }
            None if context.global.json => context.ui.line(&report)?,
            None => context.ui.text(&format!("{}\n", watch.entry(&report)))?,
        };
        let rests = context.interrupt.sleep(pause);
        let rested = match &mut screen {
            Some(screen) => screen.during(rests).await,
            None => rests.await,
        };
        if !is_read || rested.is_err() {
            return Ok(());
        }
        warned = cut_off;
    }
}

/// Says that a run on this home was interrupted, where no finding says it: the home is in no pair, or the
/// journal cannot be believed. A run that works at this moment holds the lock.
fn cut_off(home: &Home) -> Option<String> {
    let cut_off = refuse_cut_off_run(home).err()?;
    let is_a_finding = interrupted_here(home).is_some() && matches!(home.membership(), Ok(Some(_)));
    (!is_a_finding && !system::is_home_locked(home.root())).then(|| cut_off.to_string())
}

/// Checks once; `None` if the operator interrupted it.
pub(super) async fn look(
    context: &Context<'_>,
    home: &Home,
    config: &Config,
    wants_proof: bool,
) -> Result<Option<Report>> {
    let tool = env!("CARGO_PKG_VERSION");
    let Some(membership) = home.membership()? else {
        let health = no_pair(&format!("{} has no conf/pmp-ha/pair.toml", home.root().display()));
        return Ok(Some(Report::new(health, now(), tool)));
    };
    let looked = async {
        let mut seen = look::pair::take(home, membership, config, &context.interrupt).await?;
        seen.open_run = interrupted_here(home);
        if !context.global.dry_run {
            remembered::remember(home, &seen);
        }
        if wants_proof && !context.global.dry_run {
            let _waiting = context.ui.spinner("waiting until a heartbeat has come back");
            let proof = prove(home, &seen.membership, config.proof_patience(), &context.interrupt).await;
            seen.proof = Some(proof.map_err(|error| format!("{error:#}")));
        }
        anyhow::Ok(seen)
    };
    let seen = tokio::select! {
        seen = looked => seen?,
        () = context.interrupt.wanted() => return Ok(None),
    };
    Ok(Some(Report::new(judge(&seen, config.limits()), now(), tool).about(&seen)))
}
