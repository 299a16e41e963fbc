//! How two nodes communicate in a switchover: each repeats its own turn, and reads the other's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::adapters::look;
use crate::adapters::look::other_node::Watched;
use crate::adapters::server::session::Session;
use crate::apply::database::session::admin_session;
use crate::apply::database::start;
use crate::apply::work::Runner;
use crate::domain::own_schema::say_turn;
use crate::domain::pair::Membership;
use crate::domain::snapshot::Blind;
use crate::domain::turn::{Phase, Turn};
use crate::failure::{Failure, Kind};

/// How often the other node's turn is read: writes wait meanwhile.
pub const TICK: Duration = Duration::from_millis(10);

/// How often a turn is repeated, to show the other node that this one is there.
pub const REPEAT: Duration = Duration::from_secs(1);

/// If the other node is not heard for this time, this one undoes everything. After a moment of
/// silence, a link is tried again within three seconds.
pub const UNHEARD: Duration = Duration::from_secs(6);

/// How long a word may wait for a lock that another session holds, in seconds.
const LOCKED: u32 = 5;

/// The time between two tries to continue with a server that was killed.
const REVIVED: Duration = Duration::from_millis(200);

/// What to do about a node that is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Keep waiting: it may still come.
    Borne,
    /// Give up after [`UNHEARD`].
    GivenUp,
    /// Keep waiting, because it may have decided already. Give up only if it can be asked, and has
    /// said nothing for a long time.
    Endured,
}

/// The limits of a wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub whole: Duration,
    pub silence: Silence,
}

/// The other node's turn, or why it cannot be read.
pub type Heard = Result<Option<Turn>, Blind>;

/// A session on this node's server that writes nothing to the binlog.
pub async fn session(runner: &Runner<'_>) -> Result<Session> {
    let mut session = admin_session(runner.home).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    Ok(session)
}

/// A session that says turns. A server that dies while it is opened ends any of its statements.
async fn speaking(runner: &Runner<'_>) -> Result<Session> {
    let mut here = session(runner).await?;
    if runner.flavor().await?.has_lock_wait_timeout() {
        here.run(format!("SET SESSION lock_wait_timeout = {LOCKED}")).await?;
    }
    Ok(here)
}

/// A node in a switchover, for as long as its turn stays the same.
pub struct Dialogue {
    pub here: Session,
    there: Watched,
    run: String,
    phase: Phase,
    said: Option<Instant>,
    heard: Instant,
}

impl Dialogue {
    /// Starts to say a turn.
    pub async fn begin(runner: &Runner<'_>, phase: Phase) -> Result<Self> {
        let run = runner.taking.run.clone().context("the exchange has no name")?;
        let here = match speaking(runner).await {
            Ok(here) => here,
            Err(error) if phase == Phase::CaughtUp => revived(runner, error).await?,
            Err(error) => return Err(error),
        };
        Ok(Self { here, there: runner.take_other()?, run, phase, said: None, heard: Instant::now() })
    }

    /// Stops saying it. The connection to the other node is kept.
    pub async fn end(self, runner: &Runner<'_>) {
        self.here.close().await;
        runner.keep_other(self.there);
    }

    /// Reads the other node's turn, and repeats its own whenever that is due.
    pub async fn look(&mut self, runner: &Runner<'_>) -> Result<Heard> {
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
                    // If this fails, the turn is repeated before the next look, which finds out why.
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
                let flavor = runner.flavor().await?;
                // ignored: why the word could not be said is known all the same
                if let Ok(Some(by)) = look::locks::blocked(&mut self.here, flavor).await {
                    return Err(gave_up(
                        format!("every write to the database here waits for a global read lock: {by}"),
                        "Nothing was changed. Wait until that session ends, or end it with `KILL`. Then run `pmp-ha switchover` on both nodes again.",
                    ));
                }
                return Err(error);
            }
            self.here = revived(runner, error).await?;
            self.here.run(say_turn(&self.run, self.phase)).await?;
        }
        self.said = Some(Instant::now());
        Ok(())
    }

    /// Returns whether the other node has not been heard for too long.
    pub fn is_unheard(&self) -> bool {
        self.heard.elapsed() > UNHEARD
    }

    /// Writes its turn, and reads the other node's, until `seen` is satisfied.
    pub async fn until<T>(
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
            if patience.silence == Silence::Borne {
                other_part_goes_on(runner)?;
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

/// Fails when the part of the other node was begun here, and has failed.
pub fn other_part_goes_on(runner: &Runner<'_>) -> Result<()> {
    let ended = runner.taking.other_part.as_ref().and_then(|part| part.borrow().clone());
    let Some(Err(said)) = ended else { return Ok(()) };
    Err(gave_up(
        format!("the part of the other node has failed: {said}"),
        "Everything is as it was. Do what the other node says, then run `pmp-ha switchover` again.",
    ))
}

/// Continues with a server that was killed after this node had caught up.
///
/// The primary may have handed over its role by now, and what was applied stays applied.
async fn revived(runner: &Runner<'_>, error: anyhow::Error) -> Result<Session> {
    let begun = Instant::now();
    loop {
        if runner.database().serving_pid().await?.is_none() {
            runner.ui.warn("the database here died; pmp-ha restarts it");
        }
        let up = match start::database(runner).await {
            Ok(()) => speaking(runner).await,
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
        Ok(Some(turn)) => format!("its last turn is '{}', {} s old", turn.phase, turn.age / 1_000_000),
        Ok(None) => "it says nothing".into(),
        Err(blind) => format!("cannot ask it: {}", blind.evidence),
    };
    let host = host(&runner.home.require_membership()?);
    Ok(gave_up(
        format!("{host} {what} within {} s: {told}", after.as_secs()),
        "Everything is as it was. Run `pmp-ha switchover` on both nodes again.",
    ))
}

pub fn host(membership: &Membership) -> String {
    membership.peer().host.clone()
}

pub fn gave_up(because: String, hint: &str) -> anyhow::Error {
    Failure::new(Kind::Failed, "the roles were not swapped")
        .code("roles-not-swapped")
        .because(because)
        .hint(hint.to_owned())
        .into()
}

pub fn withdrawn() -> anyhow::Error {
    gave_up(
        "the other node has withdrawn".into(),
        "Everything is as it was. Find out why there, then run `pmp-ha switchover` on both nodes again.",
    )
}
