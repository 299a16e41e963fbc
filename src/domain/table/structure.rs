//! The tables of both nodes side by side, as values.

use super::names::{Catalogue, Names};
use crate::domain::definitions::{Definitions, Differs, Named};

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
    /// The views, triggers, routines and events of both nodes; empty if a node does not show them.
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

    /// Removes what another look, a round of replication later, has not seen as well.
    pub fn keep_what_lasts(&mut self, earlier: &Self) {
        self.names.only_on_primary.retain(|name| earlier.names.only_on_primary.contains(name));
        self.names.only_on_secondary.retain(|name| earlier.names.only_on_secondary.contains(name));
        self.otherwise.retain(|name| earlier.otherwise.contains(name));
        self.definitions.retain(|found| earlier.definitions.contains(found));
    }

    /// Returns whether the nodes differ in a table or a definition.
    #[must_use]
    pub fn differs(&self) -> bool {
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
