//! What the secondary has sent to the primary, read from the primary's own relay logs.
//!
//! The filter of the return channel lets a whole statement pass if one of its tables is an audit table,
//! and every change of an audit row. Only new audit rows and the heartbeat are meant to come. Statements
//! are never shown: they may hold an encryption key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::errant::{
    Errant, Event, MOST_TABLES, emptied_by_a_server, is_of_transactions_or_upkeep, named_anew, table_id,
    table_map, words,
};
use super::pair::{Pair, Role};
use super::relay_log::{ANOTHER_LAYOUT, BEAT_OF};
use super::settings::OWN_SCHEMA;

/// How far the relay logs were read, and what was found in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// Whose relay logs they are: pair, and number of the node.
    pub history: String,
    /// Where reading continues.
    pub place: RelayPlace,
    /// The first things that are not meant to come, at most [`Returned::SHOWN`].
    pub found: Vec<Errant>,
    /// How many there were.
    pub total: u64,
    /// The last acknowledgement that was heard of, on the other node.
    #[serde(default)]
    pub cleared: String,
    /// The last event that was read of a transaction whose end was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<RelayPlace>,
    /// The tables that this transaction has named, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tables: BTreeMap<u64, String>,
    /// Whether the last look did not read everything that was there.
    #[serde(default)]
    pub behind: bool,
    /// Whether pmp-ha itself let the relay logs go, after it had read them. Then they begin anew once.
    #[serde(default)]
    let_go: bool,
    /// The identity of the server that sends, if it has one. A new server in the place of the secondary has another.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
    /// How often pmp-ha dropped them, or marked them as seen.
    ///
    /// A look that began before that stores nothing.
    #[serde(default)]
    pub turn: u64,
}

/// What is found if nobody can tell any more what was sent.
const DROPPED: &str = "relay logs that were dropped before pmp-ha had read them";

/// The last event of a transaction in a relay log.
///
/// A server may begin new relay logs with the same names, so the position alone proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayPlace {
    /// The file; empty before anything was read.
    pub file: String,
    /// Where the event begins, in bytes.
    pub position: u64,
    /// By what it is known again. The source chose all of it.
    pub mark: String,
    /// The identity of the file: a hash of what the server of this home wrote first.
    ///
    /// It is empty if only the server was queried.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub begun: String,
}

impl RelayPlace {
    /// Whether the position can be in a file with this beginning; an old note does not record it.
    #[must_use]
    pub fn may_lie_in(&self, begun: &str) -> bool {
        self.begun.is_empty() || self.begun == begun
    }
}

impl Returned {
    /// How many are remembered one by one.
    pub const SHOWN: usize = 20;

    /// Nothing was read yet.
    #[must_use]
    pub fn of(history: &str) -> Self {
        Self { history: history.to_owned(), ..Self::default() }
    }

    /// The positions at which reading can continue, the best one first.
    ///
    /// A look does not read all of a long transaction.
    #[must_use]
    pub fn places(&self) -> Vec<RelayPlace> {
        self.within.iter().chain([&self.place]).filter(|place| !place.file.is_empty()).cloned().collect()
    }

    /// Continues at one of its [places](Self::places), whose event is still there.
    pub fn continues_at(&mut self, place: &RelayPlace) {
        if self.within.as_ref() != Some(place) {
            self.within = None;
            self.tables.clear();
        }
    }

    /// Records the beginning of the file with the positions that were just read.
    pub fn lies_in(&mut self, file: &str, begun: &str) {
        for place in self.within.iter_mut().chain([&mut self.place]).filter(|place| place.file == file) {
            begun.clone_into(&mut place.begun);
        }
    }

    /// Begins with the oldest relay log, because the one that was read last is gone. What was dropped before
    /// it was read is something that was found.
    pub fn begins_anew(&mut self) {
        self.within = None;
        self.tables.clear();
        let RelayPlace { file, position, .. } = std::mem::take(&mut self.place);
        if std::mem::take(&mut self.behind) && !file.is_empty() {
            self.remember(Errant { file, position, what: DROPPED.to_owned() });
        }
    }

    /// Begins with the oldest relay log, because the files of all [places](Self::places) are gone. That is
    /// found, unless pmp-ha let them go itself: then they are numbered from 1 on, and it was not behind.
    ///
    /// Whoever gets one statement executed here for a moment may have the server drop them.
    pub fn lost_its_place(&mut self, oldest: u64) {
        let within = self.within.take();
        self.tables.clear();
        let place = std::mem::take(&mut self.place);
        let known = Some(place).filter(|place| !place.file.is_empty()).or(within);
        let behind = std::mem::take(&mut self.behind);
        let explained = oldest <= 1 && (known.is_none() || (self.let_go && !behind));
        if !explained {
            let RelayPlace { file, position, .. } = known.unwrap_or_default();
            self.remember(Errant { file, position, what: DROPPED.to_owned() });
        }
    }

    /// Records that pmp-ha drops the relay logs that it has read.
    pub fn lets_go(&mut self) {
        self.let_go = true;
        self.turn += 1;
    }

    /// Notes that pmp-ha lets the relay logs go although it could not read them: what was in them is unknown.
    pub fn lets_go_unread(&mut self) {
        self.lets_go();
        self.behind = true;
    }

    /// Notes which server sends, and returns whether it is a new one in the place of the secondary. Then the
    /// return channel begins anew: a server that finds its place by file and position drops its relay logs.
    /// Whoever only has rights in a database cannot give its server another identity.
    pub fn hears(&mut self, source: &str) -> bool {
        let is_new = !source.is_empty() && !self.source.is_empty() && self.source != source;
        if !source.is_empty() {
            source.clone_into(&mut self.source);
        }
        self.let_go |= is_new;
        is_new
    }

    /// Records that the return channel will begin again with the server that was just seen.
    pub fn expects_a_beginning(&mut self) {
        self.let_go = true;
    }

    /// Returns a reading without an earlier record, because somebody altered the note in `file`.
    #[must_use]
    pub fn of_altered_note(history: &str, file: &str) -> Self {
        let mut reading = Self::of(history);
        let what = "a note of pmp-ha that cannot be read: what was found before is lost".to_owned();
        reading.remember(Errant { file: file.to_owned(), position: 0, what });
        reading
    }

    fn remember(&mut self, errant: Errant) {
        if !self.found.contains(&errant) {
            self.total += 1;
            if self.found.len() < Self::SHOWN {
                self.found.push(errant);
            }
        }
    }

    /// Processes the next event of a file.
    pub fn take(&mut self, file: &str, event: &Event, pair: &Pair) {
        let kind = event.kind.to_lowercase();
        if let Some(what) = self.judge(&kind, &event.info, pair) {
            self.remember(Errant { file: file.to_owned(), position: event.position, what });
        }
        let statement = ["query", "query_compressed"].contains(&kind.as_str());
        let begins = kind == "gtid" || (statement && words(&event.info) == "BEGIN");
        let goes_on = statement && words(&event.info) == "SAVEPOINT";
        let (file, begun) = (file.to_owned(), String::new());
        let place = RelayPlace { file, position: event.position, mark: mark_of(event), begun };
        if kind == "xid" || (statement && !goes_on && !begins) {
            self.tables.clear();
            self.within = None;
            self.place = place;
            self.let_go = false;
        } else {
            if begins {
                self.tables.clear();
            }
            self.within = Some(place);
        }
    }

    /// What remains when everything that was found is acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> Self {
        let mut rest = Self { found: Vec::new(), total: 0, cleared: String::new(), ..self.clone() };
        rest.turn += 1;
        rest.behind = false;
        if !rest.place.file.is_empty() {
            rest.within = None;
            rest.tables.clear();
        }
        rest
    }

    fn judge(&mut self, kind: &str, info: &str, pair: &Pair) -> Option<String> {
        match kind {
            "table_map" => {
                let (number, name) = table_map(info)?;
                if self.tables.len() >= MOST_TABLES {
                    return Some("rows of more tables than pmp-ha can store".into());
                }
                named_anew(&mut self.tables, number, &name)
            }
            kind if kind.starts_with("update_rows") || kind.starts_with("delete_rows") => {
                let updates = kind.starts_with("update");
                let verb = if updates { "changed" } else { "deleted" };
                let Some(name) = table_id(info).and_then(|number| self.tables.get(&number)) else {
                    return Some(format!("rows of a table that is not named were {verb}"));
                };
                let is_beat = *name == format!("{OWN_SCHEMA}.heartbeat");
                let (schema, table) = name.split_once('.').unwrap_or(("", name));
                // The filter keeps the rows of all other tables out.
                let passes = is_beat
                    || (schema.eq_ignore_ascii_case(&pair.schema) && pair.audit_tables.contains(table));
                if is_beat && updates {
                    return beats_of_others(info, pair)
                        .then(|| format!("rows of {name} of another node were {verb}"));
                }
                passes.then(|| format!("rows of {name} were {verb}"))
            }
            // A server empties its tables in memory when it has started. The filter lets none but audit tables pass.
            "query" | "query_compressed" if is_kept_out(info, pair) => None,
            "query" | "query_compressed" => {
                (!is_of_transactions_or_upkeep(info)).then(|| format!("a statement: {} …", words(info)))
            }
            kind if kind.starts_with("write_rows") => {
                // Its row is there since the pair was set up.
                let name = table_id(info).and_then(|number| self.tables.get(&number))?;
                (*name == format!("{OWN_SCHEMA}.heartbeat")).then(|| format!("rows of {name} were added"))
            }
            "format_desc" => (info == ANOTHER_LAYOUT).then(|| "events with another layout".to_owned()),
            "xid" | "rotate" | "stop" | "previous_gtids" | "gtid" | "anonymous_gtid" | "gtid_list"
            | "binlog_checkpoint" | "annotate_rows" | "rows_query" | "intvar" | "rand" | "user var"
            | "heartbeat" | "start_encryption" => None,
            other => Some(format!("an event of kind {other}")),
        }
    }
}

/// Whether a statement is about one table only, which the filter of the return channel does not let pass.
fn is_kept_out(info: &str, pair: &Pair) -> bool {
    emptied_by_a_server(info).is_some_and(|(schema, table)| {
        let is_audit = pair.audit_tables.contains(table);
        let passes = schema.eq_ignore_ascii_case(OWN_SCHEMA)
            || (is_audit && schema.eq_ignore_ascii_case(&pair.schema));
        !passes
    })
}

/// Whether an update changes other heartbeats than those of the node that sends it. A server that shows its relay
/// logs does not say whose they are.
fn beats_of_others(info: &str, pair: &Pair) -> bool {
    let own = pair.node(Role::Secondary).number.to_string();
    info.split(BEAT_OF).skip(1).any(|node| node != own)
}

/// By what the last event of a transaction is known again. A statement is not kept.
#[must_use]
pub fn mark_of(event: &Event) -> String {
    let info = if event.kind.eq_ignore_ascii_case("xid") { event.info.clone() } else { words(&event.info) };
    format!("{} {} {info}", event.kind, event.end)
}

/// Returns whether a server with a limited applier stops it because of what it was sent.
///
/// A right is missing, or it got a statement instead of rows.
#[must_use]
pub fn is_refusal(number: u32) -> bool {
    // 1397 is the end of a transaction of two phases whose first was refused, 6038 a GTID with a tag.
    matches!(number, 1044 | 1045 | 1095 | 1142 | 1143 | 1227 | 1370 | 1397 | 1410 | 1419 | 3944 | 6038)
}

/// An applier's message without the statement that it quotes: that may hold a key.
#[must_use]
pub fn without_statement(message: &str) -> String {
    // The worker says more than the coordinator.
    let message = message.split_once("if any.; ").map_or(message, |(_, worker)| worker);
    ["Default database:", "Query:", "query:"]
        .iter()
        .filter_map(|word| message.find(word))
        .min()
        .map_or_else(|| message.to_owned(), |at| message[..at].trim_end().to_owned())
}

#[cfg(test)]
mod tests;
