//! `pmp-ha rotate [FILE]`

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use super::protection::Protection;
use super::{Context, absolute, opening};
use crate::adapters::home::Home;
use crate::adapters::home::rotation::{NextSecrets, OFFER};
use crate::adapters::look::rows::open_here;
use crate::adapters::pack::Opening;
use crate::adapters::pack::offer::Offer;
use crate::adapters::server::process::Database;
use crate::adapters::{look, random};
use crate::apply::{Runner, Secrets, Settled};
use crate::cli::RotateArgs;
use crate::config::Config;
use crate::domain::judge::{judge, no_pair};
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{Command, Plan, Renewal, Step};
use crate::domain::procedures::rotate::{Next, RotateScene, next};
use crate::domain::questions::RECEIVERS;
use crate::domain::rotation::Rotation;
use crate::failure::{Failure, Kind};

/// How often the other node is looked for.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Rotated {
    home: String,
    /// Whether this node accepts the new secrets only.
    done: bool,
    next: String,
}

impl fmt::Display for Rotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: it now accepts only the pair's new secrets.", self.home)?;
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: RotateArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let keys = Protection::of(args.sign_with.as_ref(), args.encrypt_to.as_ref(), &config.pack)?;
    let opening = opening(args.opening, &config.pack)?;
    if let Settled::Finished(plan) = context.settled(&mut runner).await?
        && is_last(&plan)
    {
        return done(context, &home, &plan);
    }
    context.still_primary(&home).await?;
    let (begun, mut asked) = (Instant::now(), false);
    loop {
        let mut scene = Box::pin(observe(context, &home, &config)).await?;
        scene.cancel = args.cancel;
        scene.file = keys.named(&home.replication().join(OFFER));
        (scene.sign_with, scene.encrypt_to) = (keys.sign_with.clone(), keys.encrypt_to.clone());
        scene.offered = offered(&home, &scene, args.file.as_ref(), &opening)?;
        let (plan, last) = match next(&scene).map_err(Failure::refused)? {
            Next::Part(plan) => (plan, false),
            Next::Last(plan) => (plan, true),
            Next::Wait => {
                let waited = begun.elapsed() >= Duration::from_secs(args.wait);
                if context.global.dry_run || waited {
                    bail!(not_yet(&home, &scene)?);
                }
                let _waiting = context.ui.spinner("waiting until the other node uses the new secrets");
                let until = begun + Duration::from_secs(args.wait);
                while Instant::now() < until && !is_connected(&home, scene.awaited.as_deref()).await? {
                    context.interrupt.sleep(LOOK).await?;
                }
                continue;
            }
        };
        // What follows when the other node is ready belongs to what was agreed to.
        if !asked && !context.agreed(&plan)? {
            return Ok(());
        }
        asked = true;
        runner.with_secrets(Secrets { db_password: None, opening: opening.clone() });
        runner.drive(&plan).await?;
        if last {
            return done(context, &home, &plan);
        }
        context.ui.say(format!("next: {}", what_next(&home.require_membership()?, &scene.file)));
    }
}

fn is_last(plan: &Plan) -> bool {
    plan.command == Command::Rotate
        && matches!(plan.steps.last(), Some(Step::Renew(Renewal::EndOld { .. } | Renewal::Withdraw { .. })))
}

/// What this node waits for.
fn what_next(membership: &Membership, file: &str) -> String {
    let other = &membership.peer().host;
    match membership.role {
        Role::Primary => format!(
            "copy {file} into the secondary's home on {other}, and run there: pmp-ha rotate. It contains secrets: protect it while you copy it"
        ),
        Role::Secondary => format!("run `pmp-ha rotate` on {other}, unless it already waits there"),
    }
}

fn not_yet(home: &Home, scene: &RotateScene) -> Result<Failure> {
    let membership = home.require_membership()?;
    let because = match membership.role {
        Role::Primary => "the secondary does not use the new secrets yet",
        Role::Secondary => "the primary does not use the new secrets yet",
    };
    let then = what_next(&membership, &scene.file);
    Ok(Failure::new(Kind::Incomplete, "the rotation is in progress: both nodes still accept the old secrets")
        .because(because)
        .hint(format!("Next, {then}. Then run `pmp-ha rotate` here again.")))
}

fn done(context: &Context<'_>, home: &Home, plan: &Plan) -> Result<()> {
    let cancelled = matches!(plan.steps.last(), Some(Step::Renew(Renewal::Withdraw { .. })));
    let membership = home.require_membership()?;
    let next = match membership.role {
        _ if cancelled => "delete every copy of the file with the new secrets; pmp-ha verify".into(),
        Role::Primary => format!(
            "wait until `pmp-ha rotate` has ended on {} as well: until then, that node accepts the old secrets",
            membership.peer().host
        ),
        Role::Secondary => {
            "delete every copy of the file with the secrets, and all older packs; pmp-ha verify".into()
        }
    };
    context.ui.data(&Rotated { home: home.root().display().to_string(), done: !cancelled, next })
}

async fn observe(context: &Context<'_>, home: &Home, config: &Config) -> Result<RotateScene> {
    let scene = look::home::scene(home, &context.interrupt).await?;
    let mut out = RotateScene {
        running: Database::of(home, &context.interrupt).serving_pid().await?.is_some(),
        health: no_pair("it was not checked"),
        open: home.rotation()?,
        connected: Vec::new(),
        awaited: None,
        offered: None,
        file: String::new(),
        new_id: random::id(),
        sign_with: None,
        encrypt_to: None,
        cancel: false,
        home: scene,
    };
    let Some(own) = out.home.membership.clone().filter(|_| out.running) else { return Ok(out) };
    if out.open.is_none() {
        let seen = look::pair::take(home, own.clone(), config, &context.interrupt).await?;
        out.health = judge(&seen, config.limits());
    }
    let next = NextSecrets::of(home);
    out.awaited = match own.role {
        Role::Primary if next.are_there() => Some(next.credentials()?.replication.user.clone()),
        Role::Primary => None,
        Role::Secondary => Some(home.credentials()?.back.user.clone()),
    };
    out.connected = connected(home).await?;
    Ok(out)
}

/// The accounts with which receivers are connected to the database here.
async fn connected(home: &Home) -> Result<Vec<String>> {
    let mut session = match open_here(home).await? {
        Err(blind) => bail!("the database here does not answer: {}", blind.evidence),
        Ok(session) => session,
    };
    let rows = session.told(&RECEIVERS).await?;
    session.close().await;
    Ok(rows.iter().filter_map(|row| row.get("user")).collect())
}

async fn is_connected(home: &Home, user: Option<&str>) -> Result<bool> {
    let Some(user) = user else { return Ok(false) };
    // A database that restarts just now is asked again.
    Ok(connected(home).await.is_ok_and(|users| users.iter().any(|known| known == user)))
}

/// The file that the secondary is to take, with the name of its change.
fn offered(
    home: &Home,
    scene: &RotateScene,
    named: Option<&PathBuf>,
    opening: &Opening,
) -> Result<Option<(String, String)>> {
    let is_secondary = |own: &&Membership| own.role == Role::Secondary;
    let Some(own) = scene.home.membership.as_ref().filter(is_secondary).filter(|_| scene.open.is_none())
    else {
        return Ok(None);
    };
    let found = match named {
        Some(path) => Some(absolute(path)),
        None => home.offers().into_iter().find(|path| path.exists()),
    };
    let Some(path) = found else { return Ok(None) };
    let offer = Offer::open(&path, opening, own)?;
    if offer.monitor == home.credentials()?.monitor {
        bail!(
            Failure::new(Kind::Refused, format!("there is nothing new in {}", path.display()))
                .code("secrets-used")
                .because("this node already uses these secrets")
                .hint(
                    "Delete the file. To change the secrets again, begin with `pmp-ha rotate` on the primary."
                )
        );
    }
    Ok(Some((path.to_string_lossy().into_owned(), offer.id)))
}

/// The change of the secrets that forbids another command, if one does.
pub(super) fn refuse_while_secrets_change(home: &Home, what: &str) -> Result<()> {
    let Some(Rotation { .. }) = home.rotation()? else { return Ok(()) };
    bail!(
        Failure::new(Kind::Refused, format!("cannot {what} now"))
            .code("rotation-open")
            .because("a rotation of the pair's secrets is in progress")
            .hint("Run `pmp-ha rotate` on both nodes until it has ended, or `pmp-ha rotate --cancel` on the primary.")
    )
}
