//! `pmp-ha may-start`: the start script runs it before it starts the database.

use std::time::Duration;

use anyhow::{Result, bail};

use super::Context;
use crate::adapters::home::{Home, after_crash, remembered};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::{other_node, relay_files};
use crate::adapters::server::process::Database;
use crate::adapters::server::session::greeting_of_socket;
use crate::adapters::system;
use crate::apply::{cut_off_run, refuse_cut_off_run};
use crate::cli::MayStartArgs;
use crate::domain::pair::{Membership, Role};
use crate::domain::settings::strange_option;
use crate::domain::snapshot::Blind;
use crate::domain::standing::{Standing, standing};
use crate::failure::{Failure, Kind};

/// The time limit until a server locks its data, and again until it answers.
const SERVER_GRACE: Duration = Duration::from_secs(30);
const ANSWER_GRACE: Duration = Duration::from_secs(1800);

/// The time limit for the answer that the start waits for.
const VERDICT_GRACE: Duration = Duration::from_secs(6);

const TICK: Duration = Duration::from_millis(50);

/// The answers that the asking process sends to the waiting one.
const MAY: &str = "may";
const MAY_NOT: &str = "no";
const WAIT: &str = "wait";

pub async fn run(context: &Context<'_>, args: &MayStartArgs) -> Result<()> {
    let home = context.home()?;
    let Some(membership) = home.membership()? else { return Ok(()) };
    require_our_options(&home)?;
    if membership.role == Role::Secondary {
        is_guarded(&home)?;
        mend(context, &home);
        return Ok(());
    }
    if cut_off_run(&home)?.is_some_and(|run| run.plan.is_rejoin()) {
        // The other node may become its secondary, where neither knew of the other, if it finds it up.
        return refuse_cut_off_run(&home);
    }
    if args.hold {
        return hold(context, &home, &membership).await;
    }
    mend(context, &home);
    let root = home.root().to_string_lossy().into_owned();
    let mut child = system::spawn_self(&["--home", &root, "may-start", "--hold"])?;
    let verdict = tokio::task::spawn_blocking(move || system::first_line_of(&mut child));
    // Who cannot ask is not kept from serving: a primary works without its secondary.
    if let Ok(Ok(Ok(verdict))) = tokio::time::timeout(VERDICT_GRACE, verdict).await {
        match verdict.split_once(' ') {
            Some((MAY_NOT, why)) => bail!(refusal(&membership, why)),
            Some((WAIT, why)) => bail!(starts_already(why)),
            _ => {}
        }
    }
    // Meanwhile it may have become the secondary.
    match home.membership()? {
        Some(own) if own.role == Role::Secondary => is_guarded(&home),
        Some(own) => {
            let read = relay_files::before_a_start(&home, &own, cut_off_run(&home)?.is_none());
            if let Ok(Some(reading)) = read {
                // ignored: no primary is kept from serving because its relay logs cannot be read or noted
                let _ = remembered::returned::store(&home, &reading);
            }
            Ok(())
        }
        None => Ok(()),
    }
}

/// Makes the files of a killed server fit its data again, where it does not do that itself.
fn mend(context: &Context<'_>, home: &Home) {
    let options = system::read_text(&home.option_file(), system::SMALL).unwrap_or_default();
    match after_crash::mend(home, &options) {
        Ok(said) => said.iter().for_each(|line| context.ui.say(format!("after the crash: {line}"))),
        // Without it, the server is no worse off, and `verify` says what stopped.
        Err(error) => {
            context.ui.warn(format!("the logs that the crash damaged cannot be repaired: {error:#}"));
        }
    }
}

/// Refuses an option file that would give the server another account, or let another file do so.
fn require_our_options(home: &Home) -> Result<()> {
    let file = home.option_file();
    let text = system::read_text(&file, system::SMALL)?;
    match strange_option(&text, home.account_of_server()?.as_deref(), home.own_option_file().as_deref()) {
        None => Ok(()),
        Some(line) => bail!(
            Failure::new(Kind::Refused, "the option file of the server was altered")
                .code("option-file-altered")
                .because(format!("{} has the line {:?}", file.display(), line.trim()))
                .hint("Find out who wrote it. `pmp-ha start` writes the file again.")
        ),
    }
}

/// Refuses an old primary whose database does not know its new role yet: it has no write guard.
fn is_guarded(home: &Home) -> Result<()> {
    match cut_off_run(home)? {
        Some(run) if run.is_ahead_of_the_database() => refuse_cut_off_run(home),
        _ => Ok(()),
    }
}

/// Asks, reports the verdict, and holds the starting lock until the database answers.
async fn hold(context: &Context<'_>, home: &Home, membership: &Membership) -> Result<()> {
    let asked = async {
        let mut session = other_node::open(home, membership).await?;
        let blind = |error: anyhow::Error| Blind {
            why: crate::domain::snapshot::BlindReason::Silent,
            evidence: format!("{error:#}"),
        };
        let announced = other_node::announce_start(&mut session).await.map_err(blind)?;
        let said = other_node::says(&mut session).await.map_err(blind)?;
        let standing = said.map_or(Standing::Holds, |said| standing(membership, &said));
        Ok::<_, Blind>((session, announced, standing))
    };
    let (session, announced, standing) = match asked.await {
        Ok(asked) => asked,
        Err(blind) => {
            context.ui.text(&format!("{MAY} (the other node could not be asked: {})\n", blind.evidence))?;
            return Ok(());
        }
    };
    if let Some(why) = why_not(standing) {
        context.ui.text(&format!("{MAY_NOT} {why}\n"))?;
        session.close().await;
        return Ok(());
    }
    if !announced {
        // That one's announcement may end before this server answers: a promotion would not see it.
        let peer = membership.peer();
        context.ui.text(&format!("{WAIT} {peer} knows of another start that has not ended yet\n"))?;
        session.close().await;
        return Ok(());
    }
    context.ui.text(&format!("{MAY}\n"))?;
    until_it_answers(home, &context.interrupt).await?;
    session.close().await;
    Ok(())
}

/// A signal ends it, too: that of whoever stops the server while it starts.
async fn until_it_answers(home: &Home, interrupt: &Interrupt) -> Result<()> {
    let uninterrupted = Interrupt::default();
    let database = Database::of(home, &uninterrupted);
    let begun = tokio::time::Instant::now();
    let mut seen = false;
    while begun.elapsed() < if seen { ANSWER_GRACE } else { SERVER_GRACE } {
        let holds = database.pid()?.is_some();
        // One that has ended does not come.
        if seen && !holds {
            return Ok(());
        }
        seen |= holds;
        if holds && greeting_of_socket(&home.socket(), Duration::from_secs(1)).await.is_ok() {
            return Ok(());
        }
        if interrupt.sleep(TICK).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns why a node must not serve writes.
pub(super) fn why_not(standing: Standing) -> Option<String> {
    match standing {
        Standing::Holds => None,
        Standing::Superseded { by } => Some(format!("the other node became the primary in epoch {by}")),
        Standing::Disputed { by } => {
            Some(format!("the other node became the primary in epoch {by}, without knowing of this one"))
        }
    }
}

fn starts_already(why: &str) -> Failure {
    Failure::new(Kind::Refused, "this database is already starting")
        .code("already-starting")
        .because(why)
        .hint("If it does not come up, try again in half a minute.")
}

/// Returns the refusal for an old primary.
pub(super) fn refusal(membership: &Membership, why: &str) -> Failure {
    Failure::new(Kind::Refused, "this node is no longer the primary")
        .code("replaced")
        .because(format!("{why}, and this one is in epoch {}: {}", membership.pair.epoch, membership.peer()))
        .hint("Run `pmp-ha rejoin` here: it makes this node the secondary of the other one.")
}
