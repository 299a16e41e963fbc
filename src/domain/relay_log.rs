//! The events of a relay log, read from its bytes.
//!
//! It returns what `SHOW RELAYLOG EVENTS` would show about the kind and the table of an event.
//!
//! A server that starts may drop its relay logs. They are read before.

use super::errant::Event;
use super::settings::RELAY_LOG;

/// How a relay log begins.
pub const MAGIC: &[u8; 4] = b"\xfebin";

/// The length of an event's header, in bytes.
pub const HEADER: usize = 19;

/// How much of a statement is read at most, in bytes. One that goes on is understood as none that is meant to come.
const STATEMENT: usize = 256 << 10;

/// How much of another event is read, in bytes: the numbers and names of tables, and lengths, are in it.
const BEGINNING: usize = 4 << 10;

/// The number in the name of a relay log.
#[must_use]
pub fn number_of(file: &str) -> Option<u64> {
    file.strip_prefix(RELAY_LOG)?.strip_prefix('.')?.parse().ok()
}

/// The header of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    kind: u8,
    server_id: u32,
    /// When it was written, in seconds since 1970.
    pub timestamp: u32,
    /// The length of the event with its header, in bytes.
    pub length: u32,
    /// Where it ends in the log of the server that wrote it first.
    pub end: u32,
}

/// The checksum at the end of each event, in bytes.
const CHECKSUM: usize = 4;

/// Where the length of the headers begins in a description of the format: behind the version of the log, that of
/// the server, and a time. The lengths of each kind's own header follow.
const FORMS: usize = 2 + 50 + 4;

/// The text of an event that defines another layout than that of the server itself.
pub const ANOTHER_LAYOUT: &str = "another layout";

/// How the events of a server are laid out, as it describes that itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLayout(Vec<u8>);

impl EventLayout {
    /// Whether events of the other layout are read as those of this one. Later versions may add kinds of events.
    #[must_use]
    pub fn reads(&self, other: &Self) -> bool {
        !other.0.is_empty() && self.0.iter().zip(&other.0).all(|(ours, theirs)| ours == theirs)
    }
}

impl Header {
    /// Reads a header; `None` if it is none.
    #[must_use]
    pub fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let header = Self {
            kind: bytes[4],
            server_id: number(5)?,
            timestamp: number(0)?,
            length: number(9)?,
            end: number(13)?,
        };
        (usize::try_from(header.length).ok()? >= HEADER).then_some(header)
    }

    /// How much of its body is to be read, in bytes.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let most = if self.kind == QUERY { STATEMENT } else { BEGINNING };
        most.min(usize::try_from(self.length).unwrap_or(usize::MAX).saturating_sub(HEADER))
    }

    /// The number of its kind.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Whether only the server can read what follows.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        self.kind == START_ENCRYPTION
    }

    /// The number of the node that wrote it first.
    #[must_use]
    pub fn server_id(&self) -> u32 {
        self.server_id
    }

    /// Whether the events after this one end with a checksum; `None` if unknown.
    #[must_use]
    pub fn checksums(&self, body: &[u8]) -> Option<bool> {
        (self.kind == FORMAT).then(|| {
            body.len().checked_sub(CHECKSUM + 1).and_then(|at| body.get(at)).is_some_and(|kind| *kind == 1)
        })
    }

    /// The layout that it describes, if it describes one.
    #[must_use]
    pub fn layout(&self, body: &[u8]) -> Option<EventLayout> {
        let ends = body.len().saturating_sub(CHECKSUM + 1);
        (self.kind == FORMAT).then(|| EventLayout(body.get(FORMS..ends).unwrap_or_default().to_vec()))
    }

    /// Names the event.
    #[must_use]
    pub fn event(&self, position: u64, body: &[u8], checksums: bool) -> Event {
        let whole = usize::try_from(self.length).is_ok_and(|length| length - HEADER == body.len());
        let cut = if whole && checksums { body.len().saturating_sub(CHECKSUM) } else { body.len() };
        let body = body.get(..cut).unwrap_or_default();
        let kind = kind_of(self.kind);
        let info = match kind.as_str() {
            // A statement that was not read to its end may be any.
            "Query" => statement(body).map(|text| if whole { text } else { text + CUT }),
            "Xid" => body.first_chunk().map(|xid| format!("COMMIT /* xid={} */", u64::from_le_bytes(*xid))),
            "Table_map" => table_map(body),
            rows if rows.contains("_rows") && rows != "Annotate_rows" && rows != "Rows_query" => {
                let beats = if rows == "Update_rows" { beats(self.kind, body) } else { String::new() };
                table_id(body).map(|number| format!("table_id: {number} flags{beats}"))
            }
            _ => None,
        };
        Event {
            position,
            end: self.end.into(),
            kind,
            server_id: self.server_id,
            info: info.unwrap_or_default(),
        }
    }
}

const QUERY: u8 = 2;
const FORMAT: u8 = 15;
const UPDATE_2: u8 = 31;
const START_ENCRYPTION: u8 = 164;

/// Ends a text that goes on. No statement that is understood has this letter.
const CUT: &str = "…";

fn kind_of(number: u8) -> String {
    match number {
        QUERY => "Query",
        3 => "Stop",
        4 => "Rotate",
        5 => "Intvar",
        13 => "RAND",
        14 => "User var",
        FORMAT => "Format_desc",
        16 => "Xid",
        19 => "Table_map",
        23 | 30 => "Write_rows",
        24 | 31 => "Update_rows",
        25 | 32 => "Delete_rows",
        27 => "Heartbeat",
        29 => "Rows_query",
        33 | 162 => "Gtid",
        34 => "Anonymous_Gtid",
        35 => "Previous_gtids",
        160 => "Annotate_rows",
        161 => "Binlog_checkpoint",
        163 => "Gtid_list",
        // What it holds cannot be told here: it counts as a statement that is not meant to come.
        165 => "Query_compressed",
        166 | 169 => "Write_rows_compressed",
        167 | 170 => "Update_rows_compressed",
        168 | 171 => "Delete_rows_compressed",
        other => return format!("number {other}"),
    }
    .to_owned()
}

fn statement(body: &[u8]) -> Option<String> {
    let schema = usize::from(*body.get(8)?);
    let status = usize::from(u16::from_le_bytes(body.get(11..13)?.try_into().ok()?));
    let text = body.get(13 + status + schema + 1..)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn table_id(body: &[u8]) -> Option<u64> {
    let mut number = [0; 8];
    number[..6].copy_from_slice(body.get(..6)?);
    Some(u64::from_le_bytes(number))
}

fn table_map(body: &[u8]) -> Option<String> {
    let (number, names) = (table_id(body)?, body.get(8..)?);
    let (schema, rest) = name(names)?;
    let (table, _) = name(rest)?;
    Some(format!("table_id: {number} ({schema}.{table})"))
}

/// The columns of the heartbeat table, in bytes; the first one is the number of the node.
const BEAT: [usize; 4] = [4, 8, 8, 8];

/// Whose heartbeats an update changes, if it is one of that table. Where that cannot be told, it says so.
fn beats(kind: u8, body: &[u8]) -> String {
    match nodes(kind, body) {
        Some(nodes) => nodes.iter().fold(String::new(), |told, node| told + BEAT_OF + &node.to_string()),
        None => BEAT_OF.to_owned(),
    }
}

/// Stands before the number of a node whose row is changed.
pub const BEAT_OF: &str = " beat of ";

fn nodes(kind: u8, body: &[u8]) -> Option<Vec<u32>> {
    let mut at = 8;
    // The second version of these events has something more before the columns.
    if kind == UPDATE_2 {
        at += usize::from(u16::from_le_bytes(*body.get(at..)?.first_chunk()?));
    }
    let [width, before, after] = *body.get(at..)?.first_chunk()?;
    at += 3;
    if usize::from(width) != BEAT.len() {
        return None;
    }
    let mut nodes = Vec::new();
    while at < body.len() {
        for (image, must) in [(before & 0b1111, true), (after & 0b1111, false)] {
            // No column may be empty. The bits behind those of the columns are set.
            let empty = u32::from(*body.get(at)?) & ((1 << image.count_ones()) - 1);
            if empty != 0 {
                return None;
            }
            at += 1;
            if image & 1 == 1 {
                nodes.push(u32::from_le_bytes(*body.get(at..)?.first_chunk()?));
            } else if must {
                return None;
            }
            let columns = BEAT.iter().enumerate().filter(|(number, _)| image >> number & 1 == 1);
            at += columns.map(|(_, bytes)| bytes).sum::<usize>();
        }
    }
    (at == body.len()).then_some(nodes)
}

/// A name with its length before it and a zero behind it.
fn name(bytes: &[u8]) -> Option<(String, &[u8])> {
    let length = usize::from(*bytes.first()?);
    let name = String::from_utf8_lossy(bytes.get(1..=length)?).into_owned();
    Some((name, bytes.get(length + 2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u8, body: &[u8], checksums: bool) -> Event {
        let mut bytes = [0; HEADER];
        bytes[4] = kind;
        bytes[5] = 2;
        let length = u32::try_from(HEADER + body.len()).expect("small");
        bytes[9..13].copy_from_slice(&length.to_le_bytes());
        bytes[13] = 77;
        Header::read(&bytes).expect("a header").event(4, body, checksums)
    }

    #[test]
    fn an_event_is_named_as_the_server_names_it() {
        let xid = event(16, &[59, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], true);
        assert_eq!((xid.kind.as_str(), xid.info.as_str(), xid.end), ("Xid", "COMMIT /* xid=59 */", 77));
        let map = event(19, b"\x12\0\0\0\0\0\x01\0\x08passtrix\0\x01a\0rest", false);
        assert_eq!(map.info, "table_id: 18 (passtrix.a)");
        let rows = event(25, b"\x12\0\0\0\0\0\x01\0", false);
        assert_eq!((rows.kind.as_str(), rows.info.as_str()), ("Delete_rows", "table_id: 18 flags"));
        let query = event(2, b"\0\0\0\0\0\0\0\0\x02\0\0\x01\0Sdb\0COMMIT1234", true);
        assert_eq!(query.info, "COMMIT");
    }

    #[test]
    fn an_update_of_heartbeats_names_the_nodes_whose_rows_it_changes() {
        let image = |node: u8| [&[0xf0, node, 0, 0, 0][..], &[7; 24]].concat();
        let head = b"\x12\0\0\0\0\0\x01\0";
        let old = |rows: &[u8]| event(24, &[&head[..], &[4, 0xff, 0xff], rows].concat(), false).info;
        assert_eq!(old(&[image(2), image(2)].concat()), "table_id: 18 flags beat of 2 beat of 2");
        assert_eq!(old(&[image(2), image(1)].concat()), "table_id: 18 flags beat of 2 beat of 1");
        let newer = [&head[..], &[2, 0, 4, 0xff, 0xff], &image(1), &image(1)].concat();
        assert_eq!(event(31, &newer, false).info, "table_id: 18 flags beat of 1 beat of 1");
        // Only what is needed: the key before, and the beat after.
        let few = [&head[..], &[4, 0b1, 0b10], &[0xfe, 2, 0, 0, 0], &[0xfe], &[7; 8]].concat();
        assert_eq!(event(24, &few, false).info, "table_id: 18 flags beat of 2");
        for unknown in [&[][..], &image(2), &[1; 40]] {
            let told = event(24, &[&head[..], &[4, 0b1110, 0xff], unknown, &[0]].concat(), false).info;
            assert_eq!(told, "table_id: 18 flags beat of ", "{unknown:?}");
        }
    }

    #[test]
    fn a_statement_that_goes_on_says_so() {
        let body = b"\0\0\0\0\0\0\0\0\x02\0\0\x01\0Sdb\0BEGIN   ";
        let mut bytes = [0; HEADER];
        bytes[4] = 2;
        bytes[9..13].copy_from_slice(&9_999_999_u32.to_le_bytes());
        let event = Header::read(&bytes).expect("a header").event(4, body, false);
        assert_eq!(event.info, "BEGIN   …");
    }

    #[test]
    fn only_a_layout_like_our_own_is_read() {
        let of = |lengths: &[u8]| {
            let mut bytes = [0; HEADER];
            (bytes[4], bytes[9]) = (FORMAT, 99);
            let body = [&[4; FORMS][..], lengths, &[1, 0, 0, 0, 0]].concat();
            Header::read(&bytes).expect("a header").layout(&body).expect("a layout")
        };
        let own = of(&[19, 56, 13, 0, 8]);
        assert!(own.reads(&own) && own.reads(&of(&[19, 56, 13, 0, 8, 4])) && own.reads(&of(&[19, 56, 13])));
        for other in [&[19, 56, 11, 0, 8][..], &[20, 56, 13, 0, 8], &[]] {
            assert!(!own.reads(&of(other)), "{other:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_no_harmless_event() {
        assert_eq!(event(2, b"\0\0", false).info, "");
        assert_eq!(event(40, b"", false).kind, "number 40");
        assert_eq!(Header::read(&[0; HEADER]), None);
        assert_eq!(event(19, b"\x12\0\0\0\0\0\x01\0\xffpasstrix", false).info, "");
    }
}
