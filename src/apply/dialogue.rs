//! Two nodes that exchange their roles talk: each repeats its own word, and looks at the other's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Runner, reconfigure, start};
use crate::adapters::mysql::Session;
use crate::adapters::other_node::Watched;
use crate::domain::own_schema::say_turn;
use crate::domain::pair::Membership;
use crate::domain::snapshot::Blind;
use crate::domain::turn::{Phase, Turn};
use crate::failure::{Failure, Kind};

/// How often the other node's turn is read: writes wait meanwhile.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// How often a word is repeated, so that the other node sees that who said it is there.
pub(super) const REPEAT: Duration = Duration::from_secs(1);

/// How long the other node may not be heard before this one takes everything back. A link that was
/// silent for a moment is asked again within three seconds.
pub(super) const UNHEARD: Duration = Duration::from_secs(6);

/// Between two tries to go on with a server that was killed.
const REVIVED: Duration = Duration::from_millis(200);

/// What is made of a node that is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// It may come yet.
    Borne,
    /// After [`UNHEARD`] it is waited for no longer.
    GivenUp,
    /// It may have decided already, and is waited for unless it can be asked, and has long said nothing.
    Endured,
}

/// How long a wait may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) whole: Duration,
    pub(super) silence: Silence,
}

/// What the other node's turn is, or why it cannot be asked.
pub(super) type Heard = Result<Option<Turn>, Blind>;

/// A session on this node's server, of which nothing is logged.
pub(super) async fn session(runner: &Runner<'_>) -> Result<Session> {
    let mut session = reconfigure::admin_session(runner.home).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    Ok(session)
}

/// A node in an exchange, as long as it says one word.
pub(super) struct Dialogue {
    pub(super) here: Session,
    there: Watched,
    run: String,
    phase: Phase,
    said: Option<Instant>,
    heard: Instant,
}

impl Dialogue {
    /// Begins to say a word.
    pub(super) async fn begin(runner: &Runner<'_>, phase: Phase) -> Result<Self> {
        let run = runner.taking.run.clone().context("the exchange has no name")?;
        let here = match session(runner).await {
            Ok(here) => here,
            Err(error) if phase == Phase::CaughtUp => revived(runner, error).await?,
            Err(error) => return Err(error),
        };
        Ok(Self { here, there: runner.take_other()?, run, phase, said: None, heard: Instant::now() })
    }

    /// Says no more; the connection to the other node is kept.
    pub(super) async fn end(self, runner: &Runner<'_>) {
        self.here.close().await;
        runner.keep_other(self.there);
    }

    /// Looks at the other node's turn, and repeats the own word whenever that is due.
    pub(super) async fn look(&mut self, runner: &Runner<'_>) -> Result<Heard> {
        if self.said.is_none_or(|at| at.elapsed() > REPEAT) {
            self.repeat(runner).await?;
        }
        let Self { here, there, run, phase, said, heard } = self;
        let asked = there.turn();
        tokio::pin!(asked);
        let turn = loop {
            tokio::select! {
                turn = &mut asked => break turn,
                () = tokio::time::sleep(REPEAT) => {
                    // What cannot be said now is said again before the next look, which finds out why.
                    if here.run(say_turn(run, *phase)).await.is_ok() {
                        *said = Some(Instant::now());
                    } else {
                        *said = None;
                    }
                }
            }
        };
        if turn.as_ref().is_ok_and(|turn| turn.as_ref().is_some_and(|turn| turn.is_of(run))) {
            *heard = Instant::now();
        }
        Ok(turn)
    }

    async fn repeat(&mut self, runner: &Runner<'_>) -> Result<()> {
        if let Err(error) = self.here.run(say_turn(&self.run, self.phase)).await {
            if self.phase != Phase::CaughtUp {
                return Err(error);
            }
            self.here = revived(runner, error).await?;
            self.here.run(say_turn(&self.run, self.phase)).await?;
        }
        self.said = Some(Instant::now());
        Ok(())
    }

    /// Whether the other node has not been heard for too long.
    pub(super) fn is_unheard(&self) -> bool {
        self.heard.elapsed() > UNHEARD
    }

    /// Says the word, and looks, until `seen` is satisfied.
    pub(super) async fn until<T>(
        &mut self,
        runner: &Runner<'_>,
        patience: Patience,
        what: &str,
        mut seen: impl FnMut(Option<&Turn>) -> Result<Option<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            let turn = self.look(runner).await?;
            if let Some(out) = seen(turn.as_ref().ok().and_then(Option::as_ref))? {
                return Ok(out);
            }
            let in_vain = match patience.silence {
                Silence::Borne => false,
                Silence::GivenUp => self.is_unheard(),
                Silence::Endured => {
                    turn.as_ref().is_ok_and(|turn| turn.as_ref().is_some_and(|turn| turn.is_gone(&self.run)))
                }
            };
            if in_vain || begun.elapsed() > patience.whole {
                return Err(not_heard(runner, what, begun.elapsed(), &turn)?);
            }
            runner.interrupt.sleep(TICK).await?;
        }
    }
}

/// Goes on with a server that was killed after this node had caught up: the primary may have handed
/// its role over by now, and what was applied stays applied.
async fn revived(runner: &Runner<'_>, error: anyhow::Error) -> Result<Session> {
    let begun = Instant::now();
    loop {
        if runner.database().serving_pid().await?.is_none() {
            runner.ui.warn("the database here has died, and is started again");
        }
        let up = match start::database(runner).await {
            Ok(()) => session(runner).await,
            Err(error) => Err(error),
        };
        match up {
            Ok(session) => return Ok(session),
            Err(_) if begun.elapsed() > runner.config.start_deadline() => return Err(error),
            Err(_) => runner.interrupt.sleep(REVIVED).await?,
        }
    }
}

fn not_heard(runner: &Runner<'_>, what: &str, after: Duration, turn: &Heard) -> Result<anyhow::Error> {
    let told = match turn {
        Ok(Some(turn)) => format!("its last word is '{}', {} s old", turn.phase, turn.age / 1_000_000),
        Ok(None) => "it says nothing".into(),
        Err(blind) => format!("it cannot be asked: {}", blind.evidence),
    };
    let host = host(&runner.home.require_membership()?);
    Ok(gave_up(
        format!("{host} {what} within {} s: {told}", after.as_secs()),
        "Everything is as it was. Run `pmp-ha switchover` on both nodes again.",
    ))
}

pub(super) fn host(membership: &Membership) -> String {
    membership.peer().host.clone()
}

pub(super) fn gave_up(because: String, hint: &str) -> anyhow::Error {
    Failure::new(Kind::Failed, "the roles were not exchanged").because(because).hint(hint.to_owned()).into()
}

pub(super) fn withdrawn() -> anyhow::Error {
    gave_up(
        "the other node has withdrawn".into(),
        "Everything is as it was. See there why, then run `pmp-ha switchover` on both nodes again.",
    )
}
