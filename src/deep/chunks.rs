//! Walking a table piece by piece, and narrowing down a piece that differs.

use anyhow::{Context, Result};

use super::run::Comparison;
use super::servers::Compared;
use super::task::Table;
use crate::adapters::server::session::Session;
use crate::domain::deep::crc::{self, Piece};
use crate::domain::deep::report::What;
use crate::domain::deep::{LEAF_ROWS, MOST_RANGES, next_size};
use crate::domain::table::Key;
use crate::domain::table::range::{Bound, Range, boundary_query, greatest_query, read_key};
use crate::domain::table::rows::Rows;

/// From here on a table without a key is worth a word: it takes a second or more.
const LARGE: u64 = 64 << 20;

/// A table while it is walked.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub(super) rows: &'a Rows<'a>,
    pub(super) key: &'a Key,
}

impl<'a> Walk<'a> {
    pub(super) fn piece(self, range: &'a Range) -> Piece<'a> {
        Piece { rows: self.rows, range }
    }

    pub(super) fn table(self) -> &'a str {
        &self.rows.shape.name
    }
}

async fn one_key(session: &mut Session, key: &Key, query: crate::domain::sql::Sql) -> Result<Option<Bound>> {
    let Some(row) = session.one(query).await? else { return Ok(None) };
    read_key(key, |name| row.get(name)).context("a key cannot be read").map(Some)
}

impl Comparison<'_> {
    /// Compares a table without a key, in one statement.
    pub(super) async fn as_a_whole(&mut self, table: &Table, rows: &Rows<'_>) -> Result<()> {
        let range = Range::default();
        let piece = Piece { rows, range: &range };
        if table.bytes > LARGE {
            self.task.ui.warn(format!(
                "{} has no key: pmp-ha compares it in one statement, and nobody can write to it during that time",
                table.name
            ));
        }
        let mut compared = self.compared(&piece).await?;
        if !compared.same() && self.is_audit(&table.name) {
            compared = self.settled(&piece, compared).await?;
        }
        self.counted(compared.here.rows)?;
        if !compared.same() {
            self.differs(&table.name, What::rows(None, &range, compared.here.rows, compared.there.rows));
        }
        self.progress.add(table.bytes);
        Ok(())
    }

    /// Compares a table by the ranges of its key.
    pub(super) async fn by_key(&mut self, table: &Table, rows: &Rows<'_>, key: &Key) -> Result<()> {
        let walk = Walk { rows, key };
        let audit = self.is_audit(&table.name);
        let current = self.state.current.as_ref().context("no table is walked")?;
        let (mut lower, mut size, mut end) = (current.lower.clone(), current.size, current.end.clone());
        if audit && end.is_none() {
            end = self.greatest(walk).await?;
            if end.is_none() {
                return Ok(());
            }
        }
        let mut shown = 0;
        loop {
            let rest = Range { lower: lower.take(), upper: end.clone() };
            let from = rows.from();
            let query = boundary_query(&from, key, &rest, size - 1);
            let next = one_key(&mut self.servers.here, key, query).await?;
            let last = next.is_none() || next == end;
            let range = Range { lower: rest.lower, upper: next.or_else(|| end.clone()) };
            let piece = walk.piece(&range);
            let mut compared = self.compared(&piece).await?;
            size = next_size(size, compared.took);
            if !compared.same() && audit {
                compared = self.settled(&piece, compared).await?;
            }
            let (rows, same) = (compared.here.rows, compared.same());
            if !same {
                self.narrow(walk, range.clone(), compared, audit).await?;
            }
            self.counted(rows)?;
            let advance = (rows * table.row_bytes).min(table.bytes - shown);
            shown += advance;
            self.progress.add(advance);
            if last {
                self.progress.add(table.bytes - shown);
                return Ok(());
            }
            lower.clone_from(&range.upper);
            let current = self.state.current.as_mut().context("no table is walked")?;
            (current.lower, current.size, current.end) = (lower.clone(), size, end.clone());
            current.next_chunk = self.chunk;
            self.notebook.write_now_and_then(&self.state)?;
            self.task.interrupt.sleep(self.task.pause).await?;
        }
    }

    /// Compares a piece with its own number.
    pub(super) async fn compared(&mut self, piece: &Piece<'_>) -> Result<Compared> {
        self.task.interrupt.check()?;
        let chunk = self.chunk;
        self.chunk += 1;
        self.servers.compare(self.task, &self.state.run, piece, chunk).await
    }

    /// Takes back what was noted of a piece.
    pub(super) async fn forget(&mut self, table: &str, compared: &Compared) -> Result<()> {
        self.servers.here.run(crc::drop_one(&self.state.run, table, compared.chunk)).await
    }

    fn counted(&mut self, rows: u64) -> Result<()> {
        self.state.current.as_mut().context("no table is walked")?.rows += rows;
        Ok(())
    }

    /// The greatest key of the table on either node: what both write later is not compared.
    async fn greatest(&mut self, walk: Walk<'_>) -> Result<Option<Bound>> {
        let from = walk.rows.from();
        let query = greatest_query(&from, walk.key);
        let there = one_key(&mut self.servers.there, walk.key, query.clone()).await?;
        let here = one_key(&mut self.servers.here, walk.key, query).await?;
        let (Some(here), Some(there)) = (&here, &there) else { return Ok(here.or(there)) };
        // Which of the two is greater only the server knows, by its collation.
        let above = Range { lower: Some(there.clone()), upper: None };
        let query = boundary_query(&from, walk.key, &above, 0);
        let more = one_key(&mut self.servers.here, walk.key, query).await?.is_some();
        Ok(Some(if more { here.clone() } else { there.clone() }))
    }

    /// Halves a piece that differs until each part that does is small, and reports these.
    async fn narrow(&mut self, walk: Walk<'_>, range: Range, compared: Compared, audit: bool) -> Result<()> {
        let mut leaves = Vec::new();
        let mut due = vec![(range, compared)];
        while let Some((range, compared)) = due.pop() {
            let enough = self.ranges_of(walk.table()) + leaves.len() >= MOST_RANGES;
            let middle = if enough || compared.most_rows() <= LEAF_ROWS {
                None
            } else {
                self.middle(walk, &range, &compared).await?
            };
            let Some(middle) = middle.filter(|middle| Some(middle) != range.upper.as_ref()) else {
                leaves.push((range, compared));
                continue;
            };
            let low = Range { lower: range.lower.clone(), upper: Some(middle.clone()) };
            let high = Range { lower: Some(middle), upper: range.upper.clone() };
            let of_low = self.compared(&walk.piece(&low)).await?;
            let of_high = self.compared(&walk.piece(&high)).await?;
            self.forget(walk.table(), &compared).await?;
            // The low one is looked at first.
            let parts = [(high, of_high), (low, of_low)];
            due.extend(parts.into_iter().filter(|(_, compared)| !compared.same()));
        }
        if audit {
            leaves = self.lasting(walk, leaves).await?;
        }
        for (range, compared) in leaves {
            let what = What::rows(Some(walk.key), &range, compared.here.rows, compared.there.rows);
            self.differs(walk.table(), what);
        }
        Ok(())
    }

    fn ranges_of(&self, table: &str) -> usize {
        self.state.differences.iter().filter(|difference| difference.table == table).count()
    }

    /// The key in the middle of a range, on the node that has more rows in it.
    async fn middle(&mut self, walk: Walk<'_>, range: &Range, compared: &Compared) -> Result<Option<Bound>> {
        let query =
            boundary_query(&walk.rows.from(), walk.key, range, (compared.most_rows() / 2).saturating_sub(1));
        let servers = &mut self.servers;
        let fuller =
            if compared.here.rows >= compared.there.rows { &mut servers.here } else { &mut servers.there };
        one_key(fuller, walk.key, query).await
    }
}
