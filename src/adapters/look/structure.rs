//! Compares the tables of both nodes: which exist, which are equal, and which can be read.

use anyhow::Result;

use crate::adapters::look::catalogue::{catalogue, unreadable};
use crate::adapters::look::definitions::definitions;
use crate::adapters::look::rows::Nodes;
use crate::domain::definitions::differing;
use crate::domain::table::names::{Catalogue, sort_out};
use crate::domain::table::structure::Structure;

impl Nodes<'_> {
    /// Compares the tables of both nodes.
    ///
    /// With `settled`, a table differs only if it does so for longer than a delay of replication.
    pub async fn structure(&mut self, settled: bool) -> Result<Structure> {
        let first = self.look_at_structure().await?;
        if !settled || !first.differs() {
            return Ok(first);
        }
        let clock = self.clock_there().await?;
        self.wait_applied(clock).await?;
        let mut second = self.look_at_structure().await?;
        second.keep_what_lasts(&first);
        Ok(second)
    }

    async fn look_at_structure(&mut self) -> Result<Structure> {
        let schema = self.pair.schema.clone();
        let mut out = Structure {
            here: catalogue(&mut self.here, &schema).await?,
            there: catalogue(&mut self.there, &schema).await?,
            ..Structure::default()
        };
        let named = |catalogue: &Catalogue| catalogue.tables.keys().cloned().collect::<Vec<_>>();
        out.names = sort_out(&self.pair, &named(&out.there), &named(&out.here), out.here.folds);
        for name in out.names.both.iter().chain(&out.names.only_on_primary) {
            let there = unreadable(&mut self.there, &schema, name).await?;
            if let Some(why) = there.filter(|_| out.there.get(name).is_some()) {
                out.unreadable.push((name.clone(), format!("the primary cannot read it: {why}")));
            }
        }
        for name in out.names.both.iter().chain(&out.names.only_on_secondary) {
            if !out.is_unreadable(name)
                && let Some(why) = unreadable(&mut self.here, &schema, name).await?
            {
                out.unreadable.push((name.clone(), format!("the secondary cannot read it: {why}")));
            }
        }
        let Structure { here, there, names, unreadable, .. } = &mut out;
        for list in [&mut names.both, &mut names.only_on_primary, &mut names.only_on_secondary] {
            list.retain(|name| !unreadable.iter().any(|(bad, _)| bad == name));
        }
        let differs = |name: &&String| match (here.get(name), there.get(name)) {
            (Some(here), Some(there)) => !there.differences(here).is_empty(),
            _ => false,
        };
        out.otherwise = names.both.iter().filter(differs).cloned().collect();
        let defined = definitions(&mut self.here).await?.zip(definitions(&mut self.there).await?);
        out.definitions = defined.as_ref().map(|(here, there)| differing(there, here)).unwrap_or_default();
        out.defined = defined;
        Ok(out)
    }
}
