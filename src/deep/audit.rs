//! Tables that both nodes write: what differs may be on its way back. Only what stays different
//! over a whole round trip of the heartbeats is different.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::chunks::Walk;
use super::run::Comparison;
use super::servers::{Compared, in_time};
use crate::adapters::server::session::{Row, Session};
use crate::domain::deep::crc::Piece;
use crate::domain::table::equality::{Prints, differing};
use crate::domain::table::range::{Bound, Range};

/// Between two looks.
const TICK: Duration = Duration::from_millis(250);

impl Comparison<'_> {
    /// Compares a differing piece again, until it is equal or all rows in transit have arrived.
    pub(super) async fn settled(&mut self, piece: &Piece<'_>, first: Compared) -> Result<Compared> {
        let since = self.servers.clock().await?;
        let begun = Instant::now();
        let mut compared = first;
        loop {
            self.task.interrupt.sleep(TICK).await?;
            let all_came = self.servers.has_come_back(since).await?;
            self.forget(piece.table(), &compared).await?;
            compared = self.compared(piece).await?;
            if compared.same() || all_came {
                return Ok(compared);
            }
            in_time(self.task, begun, "no heartbeat of the secondary came back")?;
        }
    }

    /// Keeps only ranges in which a row differs in the same way before and after a round trip.
    ///
    /// Under load, other rows are always in transit.
    pub(super) async fn lasting(
        &mut self,
        walk: Walk<'_>,
        leaves: Vec<(Range, Compared)>,
    ) -> Result<Vec<(Range, Compared)>> {
        let mut first = Vec::new();
        for (range, _) in &leaves {
            first.push(self.different_rows(walk, range).await?);
        }
        self.round_trip().await?;
        let mut out = Vec::new();
        for ((range, compared), first) in leaves.into_iter().zip(first) {
            let still = self.different_rows(walk, &range).await?;
            if first.iter().any(|(key, values)| still.get(key) == Some(values)) {
                out.push((range, compared));
            } else {
                self.forget(walk.table(), &compared).await?;
            }
        }
        Ok(out)
    }

    async fn round_trip(&mut self) -> Result<()> {
        let since = self.servers.clock().await?;
        let begun = Instant::now();
        while !self.servers.has_come_back(since).await? {
            in_time(self.task, begun, "no heartbeat of the secondary came back")?;
            self.task.interrupt.sleep(TICK).await?;
        }
        Ok(())
    }

    /// The rows of a range that are not the same on both nodes: on the primary, on the secondary.
    async fn different_rows(
        &mut self,
        walk: Walk<'_>,
        range: &Range,
    ) -> Result<BTreeMap<Bound, [Option<String>; 2]>> {
        let here = prints(&mut self.servers.here, walk, range).await?;
        let there = prints(&mut self.servers.there, walk, range).await?;
        let different = differing(&here, &there).into_iter();
        Ok(different.map(|row| (row.id, [row.here, row.there])).collect())
    }
}

async fn prints(session: &mut Session, walk: Walk<'_>, range: &Range) -> Result<Prints> {
    let rows = session.query(walk.rows.prints(range)).await?;
    let one = |row: &Row| {
        let key = walk.rows.read_id(|name| row.get(name)).context("a key cannot be read")?;
        Ok((key, row.get("digest").context("a row without a digest")?))
    };
    rows.iter().map(one).collect()
}
