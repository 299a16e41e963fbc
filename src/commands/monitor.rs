//! `pmp-ha monitor`

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Context, interrupted_here, may_start, monitor_unit, page_address};
use crate::adapters::clock::now;
use crate::adapters::home::{Home, remembered};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::{self, other_node};
use crate::adapters::server::process::Database;
use crate::adapters::system::{self, DirLock, ServiceManager};
use crate::apply::{start_receiver_again, tell_hook};
use crate::cli::MonitorArgs;
use crate::config::Config;
use crate::domain::alarm::outbox::AlarmFigures;
use crate::domain::alarm::{AlarmEvent, Reason};
use crate::domain::chronicle::occurrence::{Happening, Occurrence};
use crate::domain::judge::judge;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{HookChange, HookEvent};
use crate::domain::receiver::Restarts;
use crate::domain::report::{PairNode, Report, Verdict, Watch as Changes};
use crate::domain::snapshot::Snapshot;
use crate::failure::{Failure, Kind};
use crate::watch::{Announcer, Glance, TransitionHook, Witness};

/// How long the end of the monitor waits for a hook that runs.
const GOOD_BYE: Duration = Duration::from_secs(5);

/// How long the start of a receiver may take.
const START: Duration = Duration::from_secs(10);

/// Checks until Ctrl-C, prints each status change, and announces it. Stops a primary that was replaced.
pub async fn run(context: &Context<'_>, args: MonitorArgs) -> Result<()> {
    match (args.install, args.uninstall) {
        (true, _) => return monitor_unit::install(context, &args),
        (_, true) => return monitor_unit::uninstall(context, &args),
        (false, false) => {}
    }
    let home = context.home()?;
    let (config, source) = context.config_with_source(&home)?;
    let announces = !context.global.dry_run;
    let pause = Duration::from_secs(args.every);
    let address = page_address::listens(&config, &source, args.listen)?;
    #[cfg(feature = "page")]
    if address.is_some() {
        crate::adapters::page::check(&config.page, &source)?;
    }
    // Beside the service, which announces and keeps everything, it only writes the metrics.
    let is_beside = args.once && args.textfile.is_some() && system::is_dir_locked(&home.alarms());
    let announces = announces && !is_beside;
    let watch =
        announces.then(|| Announcer::open(&home, &config, &source, !args.once)).transpose()?.flatten();
    // Before anything is kept, or announced.
    home.require_membership()?;
    if args.once {
        return Box::pin(once(context, &home, &config, watch, args, is_beside)).await;
    }
    let mut witness = announces.then(|| Witness::open(&home, Some(pause)));
    if let Some((witness, address)) = witness.as_mut().zip(address) {
        let url = witness.serve(address, &config, &source).await?;
        context.ui.say(format!("the page is at {url}"));
    }
    if announces {
        say_who_hears(context, watch.as_ref());
    }
    let hook = announces.then(|| TransitionHook::open(&config.hooks)).flatten();
    let manager = ServiceManager::from_environment();
    let mut monitor = Monitor { context, home, config, watch, witness, hook, manager };
    let ended = Box::pin(monitor.run(pause)).await;
    monitor.manager.say("STOPPING=1");
    if let Some(watch) = monitor.watch {
        warn(context, watch.end().await);
    }
    if let Some(hook) = monitor.hook {
        warn(context, hook.end(GOOD_BYE).await);
    }
    if let Some(witness) = monitor.witness {
        warn(context, witness.end(ended.is_ok()).await);
    }
    ended
}

/// Says through what alarms are sent, or that nobody is told.
fn say_who_hears(context: &Context<'_>, watch: Option<&Announcer>) {
    let channels = watch.map(Announcer::figures).unwrap_or_default().channels;
    let names: Vec<String> = channels.into_iter().map(|(name, _)| name).collect();
    if names.is_empty() {
        context.ui.warn("no alarm channel is configured: nobody is told of a failure");
    } else {
        context.ui.say(format!("alarms go to {}", names.join(", ")));
    }
}

/// Checks once, and sends what is due.
async fn once(
    context: &Context<'_>,
    home: &Home,
    config: &Config,
    watch: Option<Announcer>,
    args: MonitorArgs,
    is_beside: bool,
) -> Result<()> {
    let begun = Instant::now();
    let (report, snapshot) = Box::pin(context.interrupt.or(look(home, config, &context.interrupt))).await?;
    let took = begun.elapsed();
    let (announced, alarms) = match watch {
        Some(watch) => announce(context, watch, &report).await?,
        None => (Vec::new(), AlarmFigures::default()),
    };
    if !context.global.dry_run {
        let mut witness = Witness::open(home, None);
        let look =
            Glance { report: &report, snapshot: &snapshot, took, alarms: (!is_beside).then_some(&alarms) };
        if !is_beside {
            witness.see(look, &announced).await;
        }
        if let Some(file) = &args.textfile {
            witness.write_metrics(look, file)?;
        }
        warn(context, witness.end(false).await);
    }
    if report.verdict() == Verdict::ALIVE {
        return Ok(());
    }
    context.ui.data(&report)?;
    bail!(Failure::new(Kind::NotAlive, "the pair is not Alive"))
}

/// Announces what is due, and waits until it was tried.
async fn announce(
    context: &Context<'_>,
    mut watch: Announcer,
    report: &Report,
) -> Result<(Vec<AlarmEvent>, AlarmFigures)> {
    let mut announced = watch.see(report).await;
    let settled = async {
        watch.settled().await;
        Ok(())
    };
    context.interrupt.or(settled).await?;
    announced.extend(watch.news());
    let figures = watch.figures();
    warn(context, watch.end().await);
    Ok((announced, figures))
}

fn warn(context: &Context<'_>, warnings: Vec<String>) {
    for warning in warnings {
        context.ui.warn(warning);
    }
}

struct Monitor<'a> {
    context: &'a Context<'a>,
    home: Home,
    config: Config,
    watch: Option<Announcer>,
    witness: Option<Witness>,
    hook: Option<TransitionHook>,
    manager: ServiceManager,
}

impl Monitor<'_> {
    async fn run(&mut self, pause: Duration) -> Result<()> {
        let Self { context, home, config, watch, hook, witness, manager } = self;
        let mut changes = Changes::default();
        let (mut restarts, clock) = (Restarts::default(), Instant::now());
        let (mut first, mut waits) = (true, false);
        loop {
            let is_replaced = replaced(home).await?.is_some();
            waits &= is_replaced;
            if is_replaced && let Some(why) = replaced_for_good(context, home, &mut waits).await? {
                manager.say("STATUS=stopping a primary that was replaced");
                if why.1.is_some() {
                    tell_of_the_stop(context, home, watch.as_mut(), witness.as_mut(), &why.0).await?;
                }
                return Box::pin(alive_during(manager, take_down(context, home, config, why))).await;
            }
            let begun = Instant::now();
            let looked = tokio::select! {
                looked = look(home, config, &context.interrupt) => looked,
                () = context.interrupt.wanted() => return Ok(()),
            };
            let (mut report, snapshot) = looked?;
            let took = begun.elapsed();
            changes.next(&mut report);
            if first || report.has_changed() {
                let told = if context.global.json {
                    context.ui.line(&report)?
                } else {
                    context.ui.text(&format!("{}\n", changes.entry(&report)))?
                };
                if !told {
                    return Ok(());
                }
            }
            manager.say(&format!("READY=1\nWATCHDOG=1\nSTATUS={}", report.verdict()));
            first = false;
            let mut announced = Vec::new();
            if let Some(watch) = watch {
                announced = watch.see(&report).await;
                for event in &announced {
                    context.ui.say(format!("announced: {}", event.title()));
                }
                warn(context, watch.warnings());
            }
            if let Some(witness) = witness {
                let alarms = watch.as_ref().map(Announcer::figures).unwrap_or_default();
                let look = Glance { report: &report, snapshot: &snapshot, took, alarms: Some(&alarms) };
                witness.see(look, &announced).await;
                warn(context, witness.warnings());
            }
            let here = snapshot.local.seen().and_then(|server| server.replica.as_ref());
            let now = clock.elapsed().as_secs();
            if !context.global.dry_run && restarts.is_due(here, now) {
                let started = start_receiver(context, home, &mut restarts, now).await;
                if let Some((happening, witness)) = started.zip(witness.as_mut()) {
                    witness.note(happening);
                }
            }
            if let Some(hook) = hook {
                warn(context, hook.see(&report).into_iter().collect());
                warn(context, hook.warnings());
            }
            if rest(&context.interrupt, pause, manager).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Starts the receiver here, which stopped with an error that may pass. Whoever holds the home's lock works on
/// it: then the next look is soon enough.
async fn start_receiver(
    context: &Context<'_>,
    home: &Home,
    restarts: &mut Restarts,
    now: u64,
) -> Option<Happening> {
    let lock = system::lock_home(home.root()).ok()?;
    let starting = start_receiver_again(home, &context.interrupt);
    let started = match tokio::time::timeout(START, starting).await {
        Ok(started) => started,
        Err(_) => Err(anyhow::anyhow!("the database did not answer within {} s", START.as_secs())),
    };
    drop(lock);
    match started {
        Ok(None) => None,
        Ok(Some((error, message))) => {
            let happening = Happening::ReceiverStarted { error, message, tries: restarts.tried(now) };
            context.ui.say(Occurrence { at: 0, what: happening.clone() }.text());
            Some(happening)
        }
        Err(error) => {
            restarts.tried(now);
            context.ui.warn(format!("the receiver cannot be restarted: {error:#}"));
            None
        }
    }
}

/// Waits for the next look. Systemd hears meanwhile that the monitor is alive.
async fn rest(interrupt: &Interrupt, pause: Duration, manager: &ServiceManager) -> Result<()> {
    let mut left = pause;
    while !left.is_zero() {
        let part = manager.watchdog().map_or(left, |limit| left.min(limit / 3).max(Duration::from_millis(1)));
        interrupt.sleep(part.min(left)).await?;
        left = left.saturating_sub(part);
        manager.say("WATCHDOG=1");
    }
    Ok(())
}

/// Tells systemd that the monitor is alive while something takes minutes, and has a deadline of its own.
async fn alive_during<T>(manager: &ServiceManager, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let Some(limit) = manager.watchdog() else { return work.await };
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(limit / 3) => manager.say("WATCHDOG=1"),
        }
    }
}

async fn look(home: &Home, config: &Config, interrupt: &Interrupt) -> Result<(Report, Snapshot)> {
    // The roles may have changed since the last look.
    let mut seen = look::pair::take(home, home.require_membership()?, config, interrupt).await?;
    seen.open_run = interrupted_here(home);
    remembered::remember(home, &seen);
    let report = Report::new(judge(&seen, config.limits()), now(), env!("CARGO_PKG_VERSION"));
    Ok((report.about(&seen), seen))
}

/// Returns why this node must not serve, if it is a replaced primary.
async fn replaced(home: &Home) -> Result<Option<String>> {
    let membership = home.require_membership()?;
    if membership.role != Role::Primary {
        return Ok(None);
    }
    // Who cannot ask goes on: a primary works without its secondary.
    Ok(other_node::standing_of(home, &membership).await.ok().and_then(may_start::why_not))
}

/// Checks again while it holds the home's lock. Another run may be making this node the secondary:
/// wait for it.
async fn replaced_for_good(
    context: &Context<'_>,
    home: &Home,
    waits: &mut bool,
) -> Result<Option<(String, Option<DirLock>)>> {
    let wanted = (!context.global.dry_run).then(|| system::lock_home(home.root()));
    let lock = match wanted.transpose() {
        Ok(lock) => lock,
        Err(error) => {
            let failure = Failure::from_error(error);
            if failure.kind != Kind::Refused {
                bail!(failure);
            }
            if !std::mem::replace(waits, true) {
                context.ui.warn("this node was replaced, but another pmp-ha is working on this home; waiting for it to finish");
            }
            return Ok(None);
        }
    };
    Ok(replaced(home).await?.map(|why| (why, lock)))
}

/// Announces that the database is stopped, and stores it, before that is done.
async fn tell_of_the_stop(
    context: &Context<'_>,
    home: &Home,
    watch: Option<&mut Announcer>,
    witness: Option<&mut Witness>,
    why: &str,
) -> Result<()> {
    let membership = home.require_membership()?;
    let reason = Reason {
        code: "superseded".into(),
        what: "this node is no longer the primary, so the monitor stops its database".into(),
        evidence: why.to_owned(),
        hint: "Run `pmp-ha rejoin` here: it makes this node the secondary of the other one. If nobody promoted that one, read `pmp-ha explain superseded` first.".into(),
    };
    let event = watch.and_then(|watch| watch.replaced(reason, PairNode::of(&membership)));
    if let Some(event) = &event {
        context.ui.say(format!("announced: {}", event.title()));
    }
    if let Some(witness) = witness {
        if let Some(event) = &event {
            witness.announced(event);
        }
        witness.note_at_once(Happening::StoppedReplaced { why: why.to_owned() }).await;
    }
    Ok(())
}

/// Stops the database of a replaced primary.
async fn take_down(
    context: &Context<'_>,
    home: &Home,
    config: &Config,
    (why, lock): (String, Option<DirLock>),
) -> Result<()> {
    let membership = home.require_membership()?;
    if lock.is_none() {
        context.ui.say(format!("would stop the database: {why}"));
    } else {
        tell(context, config, &membership, HookEvent::Before).await;
        Database::of(home, &Interrupt::default()).stop(config.stop_deadline()).await?;
        context.ui.warn(format!("the database was stopped: {why}"));
        tell(context, config, &membership, HookEvent::After).await;
    }
    bail!(Failure { kind: Kind::Replaced, ..may_start::refusal(&membership, &why) })
}

/// Tells a hook that a replaced primary is taken down. The other node has its role already: a hook that
/// fails keeps nothing from being stopped.
async fn tell(context: &Context<'_>, config: &Config, membership: &Membership, event: HookEvent) {
    let (key, command) = match event {
        HookEvent::Before => ("hooks.before", &config.hooks.before),
        HookEvent::After | HookEvent::PutBack => ("hooks.after", &config.hooks.after),
    };
    if command.is_empty() {
        return;
    }
    let change = HookChange {
        command: "monitor",
        node: membership.this(),
        peer: membership.peer(),
        from: membership.role,
        to: None,
        epoch: membership.pair.epoch,
    };
    if let Err(error) = tell_hook(config, command, event, &change).await {
        context.ui.warn(format!("the hook {key} failed: {error:#}"));
    }
}
