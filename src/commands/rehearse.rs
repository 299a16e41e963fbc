//! `pmp-ha rehearse [--pack [FILE]]`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use super::install_pack::find_pack;
use super::{Context, absolute, opening};
use crate::adapters::clock::now;
use crate::adapters::home::Home;
use crate::adapters::look;
use crate::adapters::look::recovery_source::{self, SourcePaths};
use crate::adapters::pack::seal::is_sealed;
use crate::adapters::pack::{Opening, Pack};
use crate::adapters::server::process::Database;
use crate::apply::rehearse::{Gathered, RehearsalFolder, damaged, packs, run as carry_out, topics};
use crate::apply::{Runner, refuse_half_exchanged};
use crate::cli::RehearseArgs;
use crate::domain::chronicle::occurrence::Happening;
use crate::domain::flavor::Flavor;
use crate::domain::pair::Role;
use crate::domain::plan::KeyCheck;
use crate::domain::procedures::Scene;
use crate::domain::procedures::rehearse::{Rehearsal, RehearseScene, With, plan};
use crate::domain::rehearsal::check::{Check, CheckResult, Topic};
use crate::domain::rehearsal::checks;
use crate::domain::rehearsal::report::{RehearsalReport, SCHEMA};
use crate::domain::snapshot::BlindReason;
use crate::domain::words::one_line;
use crate::failure::{Failure, Kind};

/// A running server may remove a log during the check: a file counts as missing only if two checks
/// miss it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What to boot, or why there is nothing to boot.
enum ToBoot {
    With(Box<With>, Option<Box<Pack>>),
    Defect(Check),
}

pub async fn run(context: &Context<'_>, args: RehearseArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    refuse_half_exchanged(&home)?;
    let folder = RehearsalFolder::of(&home, args.dir.as_deref().map(absolute).as_deref());
    if !context.global.dry_run {
        folder.clear(&runner).await?;
    }
    let scene = look::home::scene(&home, &context.interrupt).await?;
    let runs = Database::of(&home, &context.interrupt).serving_pid().await?.is_some();
    let found = match &args.pack {
        Some(named) => open(&home, named.as_deref(), &opening(args.opening, &config.pack)?)?,
        None => data(context, &home, &scene, runs).await?,
    };
    let (with, pack) = match found {
        ToBoot::With(with, pack) => (with, pack),
        ToBoot::Defect(check) => {
            return told(context, &home, "what is there", vec![check], Gathered::default());
        }
    };
    let path = args.key.or_else(|| home.key_path());
    let key = path.map(|path| look::home::key(&home, &path, expected_key(&scene, &with).into()));
    let key_is_right = checks::key(key.as_ref());
    let query = config.product.key_query.trim();
    let asks = key_is_right.result == CheckResult::Passed && !query.is_empty();
    let key_check = key.filter(|_| asks).map(|key| KeyCheck { key: key.path, query: query.to_owned() });
    let scene = RehearseScene { home: scene, with: *with, folder: folder.look(&home)?, key_check };
    let plan = plan(&scene).map_err(Failure::refused)?;
    if context.global.dry_run {
        return context.ui.data(&plan);
    }
    context.ui.detail(&plan);
    for warning in &plan.warnings {
        context.ui.warn(one_line(warning));
    }
    let mut checks = vec![key_is_right];
    checks.extend(first_checks(context, &home, &scene, runs).await?);
    let hopeless = |check: &Check| {
        check.result == CheckResult::Failed && matches!(check.check, Topic::Version | Topic::Files)
    };
    let proof = if checks.iter().any(hopeless) {
        Gathered::default()
    } else {
        carry_out(runner, &folder, &plan, pack.map(|pack| *pack)).await?
    };
    checks.extend(not_reached(&plan, &checks, &proof));
    told(context, &home, &plan.with, checks, proof)
}

/// Opens a pack. A missing pack, or one that cannot be opened here, is a refusal. A damaged one is
/// a defect.
fn open(home: &Home, named: Option<&Path>, opening: &Opening) -> Result<ToBoot> {
    let file: PathBuf = find_pack(home, named)?;
    let readable = file.is_file() && (!is_sealed(&file) || opening.identity.is_some());
    match Pack::open(&file, opening) {
        Ok(pack) => {
            let (file, manifest) = (file.to_string_lossy().into_owned(), Box::new(pack.manifest().clone()));
            Ok(ToBoot::With(Box::new(With::Pack { file, manifest }), Some(Box::new(pack))))
        }
        Err(error) if readable => Ok(ToBoot::Defect(damaged(Failure::from_error(error)))),
        Err(error) => Err(error),
    }
}

/// Reads what the rehearsal needs to know of this home's data.
async fn data(context: &Context<'_>, home: &Home, scene: &Scene, runs: bool) -> Result<ToBoot> {
    let secondary = scene.membership.as_ref().is_some_and(|pair| pair.role == Role::Secondary);
    let version = scene.server.as_ref().ok();
    let flavor = version.and_then(|version| Some((version, Flavor::of(version)?)));
    let (true, true, Some((version, flavor))) = (runs, secondary, flavor) else {
        let origin = SourcePaths::Home(home.clone());
        let source = recovery_source::look(&origin, false, home, &context.interrupt).await?;
        return Ok(ToBoot::With(Box::new(With::Stopped(Box::new(source))), None));
    };
    match look::rows::open_here(home).await? {
        Ok(mut session) => {
            let way = look::copy_way::way(home, flavor, version, &mut session, true).await?;
            session.close().await;
            Ok(ToBoot::With(Box::new(With::Running(way)), None))
        }
        Err(blind) if blind.why == BlindReason::TurnedAway => {
            let defect = checks::missing_accounts(format!(
                "the running database refuses the tool's account: {}",
                blind.evidence
            ));
            Ok(ToBoot::Defect(Check::of(Topic::Accounts, vec![defect], "")))
        }
        Err(blind) => bail!(
            Failure::new(Kind::Refused, "cannot rehearse a recovery")
                .code("login-refused")
                .because(format!("the running database does not answer: {}", blind.evidence))
                .hint(
                    "Find out what keeps it busy, or stop it: a rehearsal also works with a stopped database."
                )
        ),
    }
}

/// Returns the fingerprint of the data's key, if it is known.
fn expected_key(home: &Scene, with: &With) -> Option<String> {
    match with {
        With::Pack { manifest, .. } => manifest.key_fingerprint.clone(),
        With::Running(_) | With::Stopped(_) => home.membership.as_ref()?.key_fingerprint.clone(),
    }
}

/// Returns the checks of the data or the pack that need no server.
async fn first_checks(
    context: &Context<'_>,
    home: &Home,
    scene: &RehearseScene,
    runs: bool,
) -> Result<Vec<Check>> {
    let mut out = Vec::new();
    match &scene.with {
        With::Pack { manifest, .. } => {
            out.push(checks::version(manifest, &scene.home.server, scene.home.fingerprint.as_ref()));
            out.push(checks::age(manifest, &packs(home, manifest, runs).await?));
        }
        With::Stopped(source) => out.push(checks::files(&source.missing)),
        With::Running(_) => {
            let mut missing = recovery_source::missing_files(&home.data());
            if !missing.is_empty() {
                context.interrupt.sleep(LOOK_AGAIN).await?;
                let again = recovery_source::missing_files(&home.data());
                missing.retain(|name| again.contains(name));
            }
            out.push(checks::files(&missing));
        }
    }
    Ok(out)
}

/// Returns the checks that no part reached.
fn not_reached(plan: &Rehearsal, checks: &[Check], proof: &Gathered) -> Vec<Check> {
    let done = |topic: &Topic| checks.iter().chain(&proof.checks).any(|check| check.check == *topic);
    let because = "an earlier failure leaves nothing to check";
    topics(&plan.parts)
        .iter()
        .filter(|topic| !done(topic))
        .map(|topic| Check::not_done(*topic, because))
        .collect()
}

fn told(
    context: &Context<'_>,
    home: &Home,
    with: &str,
    mut checks: Vec<Check>,
    proof: Gathered,
) -> Result<()> {
    checks.extend(proof.checks);
    checks.sort_by_key(|check| check.check);
    let passed = checks.iter().all(|check| check.result != CheckResult::Failed);
    context.ui.data(&RehearsalReport {
        schema: SCHEMA,
        at: now(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        home: home.root().to_string_lossy().into_owned(),
        rehearsed: with.to_owned(),
        passed,
        checks,
        expected_recovery_seconds: proof.seconds.recovery(),
        seconds: proof.seconds,
        waited_seconds: proof.waited,
        tables: proof.tables,
    })?;
    let result = if passed {
        "a rehearsal of the recovery found no defect"
    } else {
        "a rehearsal of the recovery found a defect"
    };
    context.remember(home, Happening::Rehearsed { good: passed, result: result.into() });
    if !passed {
        bail!(Failure::new(Kind::NotAlive, "the rehearsal found a defect"));
    }
    Ok(())
}
