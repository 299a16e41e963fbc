//! What the secondary has sent to the primary, read from the primary's own relay logs.
//!
//! The filter of the return channel lets a whole statement pass if one of its tables is an audit table,
//! and every change of an audit row. Only new audit rows and the heartbeat are meant to come. Statements
//! are never shown: they may hold an encryption key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::errant::{
    Errant, Event, MOST_TABLES, is_of_transactions_or_upkeep, named_anew, table_id, table_map, words,
};
use super::pair::Pair;
use super::relay_log::ANOTHER_LAYOUT;
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
}

/// The last event of a transaction in a relay log. A server may begin its relay logs anew under the same
/// names, so that the place alone does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayPlace {
    /// The file; empty before anything was read.
    pub file: String,
    /// Where the event begins, in bytes.
    pub position: u64,
    /// By what it is known again. The source chose all of it.
    pub mark: String,
    /// By what the file is known again: what the server of this home wrote first, as a hash. Empty where only the
    /// server was asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub begun: String,
}

impl RelayPlace {
    /// Whether the place can lie in a file that begins like this. A note of an earlier version does not say.
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

    /// Where reading can continue, the best place first. A long transaction is not read in one look.
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

    /// Notes how the file begins in which the places lie that were read just now.
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
            let what = "relay logs that were dropped before pmp-ha had read them".to_owned();
            self.remember(Errant { file, position, what });
        }
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
        Self { history: self.history.clone(), place: self.place.clone(), ..Self::default() }
    }

    fn judge(&mut self, kind: &str, info: &str, pair: &Pair) -> Option<String> {
        match kind {
            "table_map" => {
                let (number, name) = table_map(info)?;
                if self.tables.len() >= MOST_TABLES {
                    return Some("rows of more tables than pmp-ha keeps in mind".into());
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
                (passes && !(is_beat && updates)).then(|| format!("rows of {name} were {verb}"))
            }
            "query" | "query_compressed" => {
                (!is_of_transactions_or_upkeep(info)).then(|| format!("a statement: {} …", words(info)))
            }
            kind if kind.starts_with("write_rows") => {
                // Its row is there since the pair was set up.
                let name = table_id(info).and_then(|number| self.tables.get(&number))?;
                (*name == format!("{OWN_SCHEMA}.heartbeat")).then(|| format!("rows of {name} were added"))
            }
            "format_desc" => {
                (info == ANOTHER_LAYOUT).then(|| "events that are laid out in another way".to_owned())
            }
            "xid" | "rotate" | "stop" | "previous_gtids" | "gtid" | "anonymous_gtid" | "gtid_list"
            | "binlog_checkpoint" | "annotate_rows" | "rows_query" | "intvar" | "rand" | "user var"
            | "heartbeat" | "start_encryption" => None,
            other => Some(format!("an event of kind {other}")),
        }
    }
}

/// By what the last event of a transaction is known again. A statement is not kept.
#[must_use]
pub fn mark_of(event: &Event) -> String {
    let info = if event.kind.eq_ignore_ascii_case("xid") { event.info.clone() } else { words(&event.info) };
    format!("{} {} {info}", event.kind, event.end)
}

/// Whether a server that limits its applier stops it with this error because of what it was sent: a right
/// is missing, or it is a statement instead of rows.
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
mod tests {
    use super::*;

    fn read(events: &[(&str, &str)]) -> Returned {
        let mut returned = Returned::of("p");
        for (place, (kind, info)) in (1..).zip(events) {
            let event = Event {
                position: place * 100,
                end: 0,
                kind: (*kind).to_owned(),
                server_id: 2,
                info: (*info).to_owned(),
            };
            returned.take("r.000001", &event, &Pair::example());
        }
        returned
    }

    fn found(events: &[(&str, &str)]) -> Vec<String> {
        read(events).found.into_iter().map(|found| found.what).collect()
    }

    #[test]
    fn new_audit_rows_and_heartbeats_are_meant_to_come() {
        let come = [
            ("Format_desc", "Server ver: 5.6.24-log, Binlog ver: 4"),
            ("Rotate", "pmp-ha-binlog.000002;pos=4"),
            ("Query", "BEGIN"),
            ("Table_map", "table_id: 108 (passtrix.Ptrx_UserAudit)"),
            ("Write_rows", "table_id: 108 flags: STMT_END_F"),
            ("Xid", "COMMIT /* xid=1 */"),
            ("Gtid", "BEGIN GTID 2-2-5"),
            ("Table_map", "table_id: 9 (pmp_ha.heartbeat)"),
            ("Update_rows_v1", "table_id: 9 flags: STMT_END_F"),
            ("Query", "COMMIT"),
            ("Query", "FLUSH RELAY LOGS"),
            ("Query", "use `passtrix`; ANALYZE TABLE ptrx_account"),
        ];
        assert_eq!(found(&come), Vec::<String>::new());
        // The filter keeps out what the secondary may write for itself, and what it may not.
        let filtered =
            [("Table_map", "table_id: 7 (passtrix.ptrx_account)"), ("Delete_rows", "table_id: 7 flags: X")];
        assert_eq!(found(&filtered), Vec::<String>::new());
    }

    #[test]
    fn a_transaction_that_is_longer_than_a_look_hides_nothing() {
        let first = read(&[
            ("Query", "BEGIN"),
            ("Table_map", "table_id: 1 (passtrix.ptrx_useraudit)"),
            ("Write_rows", "table_id: 1 flags: STMT_END_F"),
        ]);
        // As it is remembered between two looks.
        let text = serde_json::to_string(&Returned { behind: true, ..first }).expect("JSON");
        let mut next: Returned = serde_json::from_str(&text).expect("the same");
        let [within] = next.places().try_into().expect("one place");
        assert_eq!(within.position, 300);
        next.continues_at(&within);
        let rows = |kind: &str, position| Event {
            position,
            end: 0,
            kind: kind.to_owned(),
            server_id: 2,
            info: "table_id: 1 flags: STMT_END_F".to_owned(),
        };
        next.take("r.000001", &rows("Delete_rows", 400), &Pair::example());
        assert_eq!(next.found[0].what, "rows of passtrix.ptrx_useraudit were deleted");

        // Who drops it before it was read does not hide it either.
        let mut gone: Returned = serde_json::from_str(&text).expect("the same");
        gone.place = RelayPlace {
            file: "r.000001".into(),
            position: 4,
            mark: "Rotate 0 SOMETHING".into(),
            ..RelayPlace::default()
        };
        gone.begins_anew();
        assert_eq!(gone.found[0].what, "relay logs that were dropped before pmp-ha had read them");
        // A look that had no time to read anything of the new ones has lost nothing.
        gone.behind = true;
        gone.begins_anew();
        assert_eq!(gone.total, 1);
    }

    #[test]
    fn whatever_else_the_primary_may_execute_is_found() {
        let rows = [
            ("Table_map", "table_id: 1 (passtrix.ptrx_useraudit)"),
            ("Update_rows_compressed_v1", "table_id: 1 flags: STMT_END_F"),
            ("Delete_rows", "table_id: 1 flags: STMT_END_F"),
            ("Delete_rows", "table_id: 2 flags: STMT_END_F"),
            ("Table_map", "table_id: 3 (pmp_ha.heartbeat)"),
            ("Delete_rows", "table_id: 3 flags: STMT_END_F"),
            // A server passes over a table that its filter keeps out, before it looks at the number.
            ("Table_map", "table_id: 4 (passtrix.ptrx_useraudit)"),
            ("Table_map", "table_id: 4 (passtrix.ptrx_useraudit)"),
            ("Table_map", "table_id: 4 (pmp_ha_local.role)"),
            ("Delete_rows", "table_id: 4 flags: STMT_END_F"),
            ("Format_desc", ANOTHER_LAYOUT),
        ];
        assert_eq!(
            found(&rows),
            [
                "rows of passtrix.ptrx_useraudit were changed",
                "rows of passtrix.ptrx_useraudit were deleted",
                "rows of a table that is not named were deleted",
                "rows of pmp_ha.heartbeat were deleted",
                "rows of passtrix.ptrx_useraudit under the number of pmp_ha_local.role",
                "rows of passtrix.ptrx_useraudit were deleted",
                "events that are laid out in another way",
            ]
        );
        for (statement, told) in [
            ("use `passtrix`; UPDATE ptrx_useraudit a, aaalogin l SET l.NAME='secret'", "UPDATE"),
            ("CREATE DEFINER=`x`@`y` TRIGGER t BEFORE INSERT ON ptrx_useraudit", "CREATE"),
            ("INSERT INTO ptrx_useraudit VALUES ('secret')", "INSERT INTO"),
            ("/*!50000 UPDATE ptrx_useraudit */ FLUSH, aaalogin SET x = 'secret'", "SOMETHING"),
            ("/*M! UPDATE ptrx_useraudit */ BEGIN, aaalogin SET x = 'secret'", "SOMETHING"),
            ("ANALYZE UPDATE ptrx_useraudit a, aaalogin l SET l.x = 'secret'", "ANALYZE UPDATE"),
            ("ANALYZE/**/UPDATE ptrx_useraudit a, aaalogin l SET l.x = 'secret'", "SOMETHING"),
            ("BEGIN NOT ATOMIC UPDATE ptrx_useraudit a, aaalogin l SET l.x = 1; END", "BEGIN"),
            ("XA START 'x'", "XA START"),
        ] {
            let found = found(&[("Query", statement)]).concat();
            assert!(found.contains(told) && !found.contains("secret"), "{statement}: {found}");
        }
        assert_eq!(found(&[("Execute_load_query", ";file_id=1")]), ["an event of kind execute_load_query"]);
    }

    #[test]
    fn reading_continues_behind_a_whole_transaction_even_over_two_files() {
        let mut returned = read(&[("Query", "BEGIN"), ("Xid", "COMMIT /* xid=7 */"), ("Query", "BEGIN")]);
        assert_eq!(
            (returned.place.position, returned.place.mark.as_str()),
            (200, "Xid 0 COMMIT /* xid=7 */")
        );
        let event = |kind: &str, info: &str| Event {
            position: 4,
            end: 0,
            kind: kind.into(),
            server_id: 2,
            info: info.into(),
        };
        returned.take("r.1", &event("Table_map", "table_id: 1 (passtrix.ptrx_useraudit)"), &Pair::example());
        returned.take("r.2", &event("Rotate", "b;pos=4"), &Pair::example());
        returned.take("r.2", &event("Delete_rows", "table_id: 1 flags: X"), &Pair::example());
        assert_eq!(returned.found[0].what, "rows of passtrix.ptrx_useraudit were deleted");
        assert_eq!(returned.place.position, 200);
        let again = returned.clone();
        returned.take("r.2", &event("Delete_rows", "table_id: 1 flags: X"), &Pair::example());
        assert_eq!(returned.total, again.total, "the same event is told once");
        let after = returned.acknowledged();
        assert_eq!((after.total, after.found.len(), after.place), (0, 0, returned.place));
    }

    #[test]
    fn a_file_that_was_begun_anew_under_its_name_is_another_one() {
        let mut returned = read(&[("Query", "BEGIN"), ("Xid", "COMMIT /* xid=7 */"), ("Query", "BEGIN")]);
        assert!(returned.places().iter().all(|place| place.may_lie_in("any")));
        returned.lies_in("r.000002", "another");
        returned.lies_in("r.000001", "first");
        for place in returned.places() {
            // Kind, end and number of the transaction are the source's choice, and can be those again.
            assert!(place.may_lie_in("first") && !place.may_lie_in("second"), "{place:?}");
        }
        assert_eq!(returned.places().len(), 2);
    }

    #[test]
    fn a_statement_is_never_quoted() {
        let message = "error 1227: Error 'Access denied' on query. Default database: ''. Query: 'CREATE USER x IDENTIFIED BY 'secret''";
        assert_eq!(without_statement(message), "error 1227: Error 'Access denied' on query.");
        assert_eq!(without_statement("UPDATE command denied"), "UPDATE command denied");
        let both = "Coordinator stopped … or others, if any.; Worker 1 failed; UPDATE command denied";
        assert_eq!(without_statement(both), "Worker 1 failed; UPDATE command denied");
    }
}
