//! Scans a log of a killed server: what it contains from the other node, and whether it is torn.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::domain::relay_log::{HEADER, Header};

/// The transactions that a scan remembers.
///
/// Heartbeats with a clock are among them, so that each sequence is unique.
pub const DEPTH: usize = 256;

/// The transactions behind the applier's place that are looked at.
const AHEAD: usize = 100_000;

/// The longest event that a server writes, in bytes.
const LONGEST: u64 = 1 << 30;

/// The highest number of an event that these servers write.
const LAST_KIND: u8 = 27;

/// Which log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichLog {
    /// The node's own binlog: each event says where it ends.
    Own,
    /// What the receiver wrote down: each event says where it ended on the source.
    Relay,
}

/// How a log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Behind a whole event.
    Whole,
    /// Part of an event stands behind the last whole one.
    Torn,
    /// What stands there is neither.
    Strange(String),
}

/// A place in a log of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPlace {
    /// The log.
    pub file: String,
    /// The byte.
    pub position: u64,
}

/// What one transaction of the source did, as far as it can be told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Each change: a fingerprint.
    pub prints: Vec<u64>,
    /// Whether a statement is in it, of which nobody knows here whether a filter stopped it.
    pub statement: bool,
    /// The file in which it ends, and the position after it.
    pub here: LogPlace,
    /// Where it ends on the source.
    pub source: Option<LogPlace>,
}

impl Transaction {
    fn does_the_same(&self, other: &Self) -> bool {
        self.prints == other.prints
    }
}

/// Returns the place in `relay` of the last transaction that `own` holds, too.
///
/// The last transactions of both must be the same ones, in the same order, as far back as both reach.
/// A statement of the relay log may be missing in the own one: a filter may have stopped it.
/// `None` if there is no such place, or more than one.
#[must_use]
pub fn applied(own: &[Transaction], relay: &[Transaction]) -> Option<usize> {
    let mut found = (0..relay.len()).filter(|at| ends_alike(own, &relay[..=*at]));
    match (found.next(), found.next()) {
        (Some(at), None) => Some(at),
        _ => None,
    }
}

fn ends_alike(own: &[Transaction], relay: &[Transaction]) -> bool {
    let (Some(last), Some(same)) = (own.last(), relay.last()) else { return false };
    if !last.does_the_same(same) {
        return false;
    }
    let mut own = own.iter().rev().skip(1);
    let mut wanted = own.next();
    for there in relay.iter().rev().skip(1) {
        let Some(here) = wanted else { break };
        if here.does_the_same(there) {
            wanted = own.next();
        } else if !there.statement {
            return false;
        }
    }
    true
}

/// What the next bytes of a log are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// The head of an event, whose body has so many bytes.
    Body(usize),
    /// Nothing that can be read on.
    Stop,
}

/// A walk through the logs of one kind, one file after the other.
pub struct Scan<'a> {
    log: WhichLog,
    own_id: u32,
    passes: &'a dyn Fn(&str) -> bool,
    file: String,
    size: u64,
    position: u64,
    header: Option<Header>,
    end: End,
    open: Option<Unfinished>,
    before: Vec<u64>,
    tables: BTreeMap<String, bool>,
    source_file: Option<String>,
    mark: Option<LogPlace>,
    behind_mark: usize,
    /// What it found, the oldest first.
    pub transactions: VecDeque<Transaction>,
    /// The end of the last whole event of the source, on the source.
    pub received: Option<LogPlace>,
}

#[derive(Default)]
struct Unfinished {
    prints: Vec<u64>,
    statement: bool,
}

impl<'a> Scan<'a> {
    /// Begins a walk for the events that the node `own_id` did not write. `passes` says of a table, as `schema.table`,
    /// whether this node takes its rows.
    #[must_use]
    pub fn new(log: WhichLog, own_id: u32, passes: &'a dyn Fn(&str) -> bool) -> Self {
        Self {
            log,
            own_id,
            passes,
            file: String::new(),
            size: 0,
            position: 0,
            header: None,
            end: End::Whole,
            open: None,
            before: Vec::new(),
            tables: BTreeMap::new(),
            source_file: None,
            mark: None,
            behind_mark: 0,
            transactions: VecDeque::new(),
            received: None,
        }
    }

    /// Goes on with another file, of `size` bytes, whose magic number was read.
    pub fn begin(&mut self, file: &str, size: u64) {
        file.clone_into(&mut self.file);
        (self.size, self.position, self.end, self.header) = (size, 4, End::Whole, None);
        if self.log == WhichLog::Own {
            // A server that starts rolls back what was not ended.
            self.tables.clear();
            self.open = None;
            self.before.clear();
        }
    }

    /// Sets the known position of the applier: little is stored of what comes before it.
    pub fn known_up_to(&mut self, place: &LogPlace) {
        self.mark = Some(place.clone());
    }

    /// Sets the source's log that contains the events, until an event names it.
    pub fn source_is(&mut self, file: &str) {
        self.source_file.get_or_insert_with(|| file.to_owned());
    }

    /// The position after the last complete event, and how the log ends.
    #[must_use]
    pub fn end(&self) -> (u64, &End) {
        (self.position, &self.end)
    }

    /// Takes the next bytes, at most a head, of which fewer are left only at the end of the file.
    pub fn head(&mut self, bytes: &[u8]) -> Coming {
        let left = self.size.saturating_sub(self.position);
        if left == 0 {
            return Coming::Stop;
        }
        let Some(head) = bytes.first_chunk::<HEADER>().filter(|_| left >= HEADER as u64) else {
            self.end = End::Torn;
            return Coming::Stop;
        };
        if head.iter().all(|byte| *byte == 0) {
            // What a file system leaves of a write that the power did not outlast.
            self.end = End::Torn;
            return Coming::Stop;
        }
        let strange = || End::Strange(format!("no event begins at byte {} of {}", self.position, self.file));
        let Some(header) = Header::read(head).filter(|header| self.is_likely(header)) else {
            self.end = strange();
            return Coming::Stop;
        };
        let length = u64::from(header.length);
        if length > left {
            self.end = End::Torn;
            return Coming::Stop;
        }
        self.header = Some(header);
        usize::try_from(length).map_or(Coming::Stop, |length| Coming::Body(length - HEADER))
    }

    fn is_likely(&self, header: &Header) -> bool {
        let length = u64::from(header.length);
        let ends_there = self.log == WhichLog::Relay
            || u64::from(header.end) == (self.position + length) & u64::from(u32::MAX);
        (1..=LAST_KIND).contains(&header.kind()) && length <= LONGEST && ends_there
    }

    /// Takes the body of the event whose head came last.
    pub fn body(&mut self, body: &[u8]) {
        let Some(header) = self.header.take() else { return };
        self.position += u64::from(header.length);
        if header.server_id() == self.own_id {
            return;
        }
        let event = header.event(self.position, body, false);
        if self.log == WhichLog::Relay && event.kind == "Rotate" {
            if let Some((position, name)) = rotation(body) {
                self.received = Some(LogPlace { file: name.clone(), position });
                self.source_file = Some(name);
            }
            return;
        }
        if self.log == WhichLog::Relay && event.end != 0 && event.kind != "Format_desc" {
            self.received = self.source_file.clone().map(|file| LogPlace { file, position: event.end });
        }
        let print = |what: &[u8]| {
            let mut hasher = DefaultHasher::new();
            (header.timestamp, header.kind(), what).hash(&mut hasher);
            hasher.finish()
        };
        match event.kind.as_str() {
            "Format_desc" | "Rotate" | "Stop" => {}
            "Query" => match (event.info.as_str(), &mut self.open) {
                ("BEGIN", _) => {
                    self.open =
                        Some(Unfinished { prints: std::mem::take(&mut self.before), statement: false });
                }
                ("COMMIT", Some(_)) => self.close(event.end),
                ("ROLLBACK", Some(_)) => self.open = None,
                (text, Some(open)) => {
                    open.prints.push(print(text.as_bytes()));
                    open.statement = true;
                }
                (text, None) => {
                    let mut prints = std::mem::take(&mut self.before);
                    prints.push(print(text.as_bytes()));
                    self.open = Some(Unfinished { prints, statement: true });
                    self.close(event.end);
                }
            },
            "Xid" => self.close(event.end),
            "Table_map" => {
                if let Some((number, name)) = table(&event.info) {
                    let passes = self.log == WhichLog::Own || (self.passes)(name);
                    self.tables.insert(number.to_owned(), passes);
                }
            }
            rows if rows.ends_with("_rows") => {
                let number = event.info.strip_prefix("table_id: ").and_then(|rest| rest.split(' ').next());
                let passes = number.and_then(|number| self.tables.get(number)).copied().unwrap_or(true);
                if let (true, Some(open), Some(rest)) = (passes, &mut self.open, body.get(6..)) {
                    open.prints.push(print(rest));
                }
            }
            _ => {
                let of_statement = print(body);
                match &mut self.open {
                    Some(open) => {
                        open.prints.push(of_statement);
                        open.statement = true;
                    }
                    None => self.before.push(of_statement),
                }
            }
        }
    }

    fn close(&mut self, end: u64) {
        let Some(open) = self.open.take() else { return };
        if open.prints.is_empty() {
            return; // nothing of it is for this node
        }
        let is_behind_mark = self.behind_mark > 0
            || self.mark.as_ref().is_some_and(|mark| {
                super::base(&mark.file) == super::base(&self.file) && self.position > mark.position
            });
        if is_behind_mark {
            self.behind_mark += 1;
            if self.behind_mark > AHEAD {
                return;
            }
        } else if self.transactions.len() == DEPTH {
            self.transactions.pop_front();
        }
        self.transactions.push_back(Transaction {
            prints: open.prints,
            statement: open.statement,
            here: LogPlace { file: self.file.clone(), position: self.position },
            source: self.source_file.clone().map(|file| LogPlace { file, position: end }),
        });
    }
}

/// The table's number and its name, of an event's words: `table_id: 16 (passtrix.audit)`.
fn table(info: &str) -> Option<(&str, &str)> {
    let (number, rest) = info.strip_prefix("table_id: ")?.split_once(" (")?;
    Some((number, rest.strip_suffix(')')?))
}

fn rotation(body: &[u8]) -> Option<(u64, String)> {
    let position = u64::from_le_bytes(*body.first_chunk()?);
    Some((position, String::from_utf8(body.get(8..)?.to_vec()).ok().filter(|name| !name.is_empty())?))
}

/// Walks through the bytes of one whole file; of one that is no log, nothing is read.
pub fn walk(scan: &mut Scan<'_>, file: &str, bytes: &[u8]) {
    scan.begin(file, bytes.len() as u64);
    loop {
        let at = usize::try_from(scan.end().0).unwrap_or(usize::MAX);
        let rest = bytes.get(at..).unwrap_or_default();
        match scan.head(&rest[..rest.len().min(HEADER)]) {
            Coming::Body(length) => scan.body(rest.get(HEADER..HEADER + length).unwrap_or_default()),
            Coming::Stop => return,
        }
    }
}
