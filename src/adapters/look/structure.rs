//! The tables of both nodes side by side: which of them are there, made alike, and readable.

use anyhow::Result;

use crate::adapters::look::catalogue::{catalogue, unreadable};
use crate::adapters::look::definitions::definitions;
use crate::adapters::look::rows::Nodes;
use crate::domain::definitions::{Definitions, Differs, Named, differing};
use crate::domain::table::names::{Catalogue, Names, sort_out};

/// A table that is left out, and why.
pub type LeftOut = (String, String);

/// The tables of a secondary and of its primary.
#[derive(Debug, Default)]
pub struct Structure {
    /// On the secondary.
    pub here: Catalogue,
    /// On the primary.
    pub there: Catalogue,
    /// The tables by the nodes that have them; those that cannot be read are left out.
    pub names: Names,
    /// Those of both that are made otherwise here.
    pub otherwise: Vec<String>,
    /// Those that cannot be read on a node.
    pub unreadable: Vec<LeftOut>,
    /// The views, triggers, routines and events on the secondary, and on the primary; nothing where a
    /// node does not show them.
    pub defined: Option<(Definitions, Definitions)>,
    /// Those that are not the same.
    pub definitions: Vec<Differs>,
}

impl Structure {
    /// The tables that have to be made here: they are missing, or made otherwise.
    #[must_use]
    pub fn lacking(&self) -> Vec<String> {
        [self.names.only_on_primary.clone(), self.otherwise.clone()].concat()
    }

    /// The tables whose rows can be compared.
    #[must_use]
    pub fn alike(&self) -> Vec<String> {
        let alike = self.names.both.iter().filter(|name| !self.otherwise.contains(name));
        alike.cloned().collect()
    }

    /// The table that is meant by a name, on either node.
    #[must_use]
    pub fn meant(&self, name: &str) -> Option<String> {
        self.there.meant(name).or_else(|| self.here.meant(name)).cloned()
    }

    /// Whether a table cannot be read.
    #[must_use]
    pub fn is_unreadable(&self, name: &str) -> bool {
        self.unreadable.iter().any(|(table, _)| table == name)
    }

    /// Forgets what another look, a round of replication later, has not seen as well.
    fn keep_what_lasts(&mut self, earlier: &Self) {
        self.names.only_on_primary.retain(|name| earlier.names.only_on_primary.contains(name));
        self.names.only_on_secondary.retain(|name| earlier.names.only_on_secondary.contains(name));
        self.otherwise.retain(|name| earlier.otherwise.contains(name));
        self.definitions.retain(|found| earlier.definitions.contains(found));
    }

    fn differs(&self) -> bool {
        let names = &self.names;
        !(names.only_on_primary.is_empty()
            && names.only_on_secondary.is_empty()
            && self.otherwise.is_empty()
            && self.definitions.is_empty())
    }

    /// The triggers of these tables: here and, as they are to be, on the primary.
    #[must_use]
    pub fn triggers_of(&self, tables: &[String]) -> (Vec<Named>, Vec<Named>) {
        let of = |defined: &Definitions| -> Vec<Named> {
            let of_tables = defined.iter().filter(|(_, definition)| tables.contains(&definition.table));
            of_tables.map(|(what, _)| what.clone()).collect()
        };
        self.defined.as_ref().map(|(here, there)| (of(here), of(there))).unwrap_or_default()
    }
}

impl Nodes<'_> {
    /// Looks at the tables of both nodes; with `settled` only those differ that do so for longer than
    /// a delay of replication.
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
