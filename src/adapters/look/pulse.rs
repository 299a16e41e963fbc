//! Checks whether anything comes through a link.
//!
//! The look at each node records what its receiver has got. Then the look at the other node requests a
//! heartbeat from that node's server. If it cannot, it waits for the next one.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::watch;

use crate::adapters::look::asking::{Answer, Asking};
use crate::adapters::server::session::Row;
use crate::domain::flavor::Flavor;
use crate::domain::snapshot::{Beat, Pulse};

/// How often a heartbeat that was asked for is looked for.
const SOON: Duration = Duration::from_millis(5);

/// How long it takes at most, on a healthy pair.
const PROMPT: Duration = Duration::from_millis(300);

/// How often any other one is looked for.
const LATER: Duration = Duration::from_millis(100);

/// How often a server is asked that says "not now".
const TIMES: u32 = 20;

/// What the look at one node tells the look at the other one.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    wish: BeatWish,
    beat: BeatAnswer,
}

/// What came of the question for a heartbeat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum BeatAnswer {
    /// There was none, or it was in vain.
    #[default]
    Nothing,
    /// The server has not answered yet.
    Something,
    /// The server wrote a heartbeat, at this time by its own clock.
    Beat(i64),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum BeatWish {
    /// It has not come so far.
    #[default]
    NotYet,
    /// It knows what its receiver has got: what comes now is new.
    Waits,
    /// Something came, or nothing can.
    Content,
}

/// How two looks make each other's heartbeat arrive.
pub struct Bell {
    own: watch::Sender<Said>,
    other: watch::Receiver<Said>,
    /// How often its server may still be asked.
    times: u32,
}

impl Bell {
    /// The two ends, one for the look at each node.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let ((one, hears_one), (two, hears_two)) =
            (watch::channel(Said::default()), watch::channel(Said::default()));
        let end = |own, other| Self { own, other, times: TIMES };
        (end(one, hears_two), end(two, hears_one))
    }

    /// Tells the check of the other node whether it may request a heartbeat, or that none can come.
    pub fn says_what_it_wants(&self, waits: bool) {
        let wish = if waits { BeatWish::Waits } else { BeatWish::Content };
        self.own.send_modify(|said| said.wish = wish);
    }

    /// Whether the look at the other node may still want a heartbeat of this one.
    fn may_be_wanted(&self) -> bool {
        let is_heard = self.other.has_changed().is_ok();
        is_heard && self.times > 0 && self.other.borrow().wish != BeatWish::Content
    }

    /// Asks this node's server, if the look at the other one waits.
    async fn ring(&mut self, asking: &mut Asking<'_>) -> Result<()> {
        if !self.may_be_wanted() || self.other.borrow().wish != BeatWish::Waits {
            return Ok(());
        }
        self.own.send_modify(|said| said.beat = BeatAnswer::Something);
        let answer = asking.ask_for_beat().await?;
        self.times = if answer == Answer::NotNow { self.times - 1 } else { 0 };
        let came_of_it =
            if let Answer::Wrote(beat) = answer { BeatAnswer::Beat(beat) } else { BeatAnswer::Nothing };
        self.own.send_modify(|said| said.beat = came_of_it);
        Ok(())
    }

    /// Returns whether the requested heartbeat of the other node, if any, is among `beats`.
    #[must_use]
    pub fn has_come(&self, beats: &[Beat], other: u32) -> bool {
        match self.other.borrow().beat {
            BeatAnswer::Nothing => true,
            BeatAnswer::Something => false,
            BeatAnswer::Beat(asked) => beats.iter().any(|beat| beat.node == other && beat.beat >= asked),
        }
    }
}

/// What a receiver had got when the look began.
pub struct Before {
    at: Instant,
    heartbeats: Option<String>,
    place: ReadPosition,
}

type ReadPosition = [Option<String>; 2];

fn place(flavor: &Flavor, row: &Row) -> ReadPosition {
    ["Source_Log_File", "Read_Source_Log_Pos"].map(|column| row.get(&flavor.column(column)))
}

impl Before {
    /// Records it. What arrives from now on is new.
    pub async fn note(asking: &mut Asking<'_>, flavor: &Flavor, row: &Row) -> Result<Self> {
        let at = Instant::now();
        Ok(Self { at, heartbeats: heartbeats(asking, flavor).await?, place: place(flavor, row) })
    }

    /// Whether anything came since, and the replica status now.
    async fn look(&self, asking: &mut Asking<'_>, flavor: &Flavor) -> Result<(bool, Option<Row>)> {
        let row = asking.one(flavor.show_replica_status()).await?;
        let moved = row.as_ref().is_some_and(|row| place(flavor, row) != self.place)
            || heartbeats(asking, flavor).await? != self.heartbeats;
        Ok((moved, row))
    }
}

async fn heartbeats(asking: &mut Asking<'_>, flavor: &Flavor) -> Result<Option<String>> {
    Ok(asking.one(flavor.heartbeats_query()).await?.and_then(|row| row.get("heartbeats")))
}

/// Watches a receiver until something arrives, or should have, and returns its replica status.
///
/// In the meantime, and if there is no such receiver, it serves the check of the other node.
pub async fn watch(
    asking: &mut Asking<'_>,
    flavor: &Flavor,
    before: Option<&Before>,
    bell: &mut Bell,
    patience: Duration,
) -> Result<Option<(Pulse, Option<Row>)>> {
    let begun = Instant::now();
    let mut seen = None;
    loop {
        bell.ring(asking).await?;
        if let (Some(before), None) = (before, &seen) {
            let (moved, row) = before.look(asking, flavor).await?;
            let watched = before.at.elapsed();
            if moved || watched > patience {
                seen = Some((Pulse { moved, watched }, row));
                bell.says_what_it_wants(false);
            }
        }
        let is_done = before.is_none() || seen.is_some();
        if is_done && (!bell.may_be_wanted() || begun.elapsed() > patience) {
            return Ok(seen);
        }
        tokio::time::sleep(if begun.elapsed() < PROMPT { SOON } else { LATER }).await;
    }
}
