//! Views, triggers, routines and events: they are not compared through replication, but read.

use anyhow::Result;

use super::run::Comparison;
use crate::adapters::look::definitions::definitions;
use crate::domain::deep::report::{TableDifference, What};
use crate::domain::definitions::{Differs, differing};

impl Comparison<'_> {
    /// What is not defined the same on both nodes, and is more than a delay.
    pub(super) async fn definitions(&mut self) -> Result<Vec<TableDifference>> {
        let Some(first) = self.look_at_definitions().await? else {
            self.task.ui.warn(
                "views, triggers, routines and events are not compared: this pair is of an earlier version. A new pack changes that.",
            );
            return Ok(Vec::new());
        };
        if first.is_empty() {
            return Ok(Vec::new());
        }
        self.servers.secondary_caught_up(self.task).await?;
        let second = self.look_at_definitions().await?.unwrap_or_default();
        let lasting = second.into_iter().filter(|found| first.contains(found));
        let difference = |Differs { what: (of, table), evidence, .. }: Differs| TableDifference {
            table,
            what: What::Definition { of, evidence },
        };
        Ok(lasting.map(difference).collect())
    }

    async fn look_at_definitions(&mut self) -> Result<Option<Vec<Differs>>> {
        let here = definitions(&mut self.servers.here).await?;
        let there = definitions(&mut self.servers.there).await?;
        Ok(here.zip(there).map(|(here, there)| differing(&here, &there)))
    }
}
