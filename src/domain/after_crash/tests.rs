use proptest::prelude::*;

use super::*;

const SOURCE: u32 = 1;
const OWN: u32 = 2;

/// The bytes of a log, event by event.
struct LogBytes {
    log: WhichLog,
    written: Vec<u8>,
    /// Where the source is.
    there: u32,
}

impl LogBytes {
    fn new(log: WhichLog) -> Self {
        let mut out = Self { log, written: b"\xfebin".to_vec(), there: 4 };
        out.event(15, OWN, 0, b"format");
        if log == WhichLog::Relay {
            let mut body = 4_u64.to_le_bytes().to_vec();
            body.extend(b"binlog.000007");
            out.event(4, SOURCE, 0, &body);
        }
        out
    }

    fn event(&mut self, kind: u8, server_id: u32, at: u32, body: &[u8]) {
        let length = u32::try_from(19 + body.len()).expect("small");
        let here = u32::try_from(self.written.len()).expect("small") + length;
        if server_id == SOURCE && kind != 4 {
            self.there += length;
        }
        let end = if self.log == WhichLog::Own { here } else { self.there };
        self.written.extend(at.to_le_bytes());
        self.written.push(kind);
        for number in [server_id, length, end] {
            self.written.extend(number.to_le_bytes());
        }
        self.written.extend([0, 0]);
        self.written.extend(body);
    }

    fn query(&mut self, server_id: u32, at: u32, text: &str) {
        let mut body = vec![0; 13];
        body[4] = if self.log == WhichLog::Own { 3 } else { 0 }; // how long it took may differ
        body.push(0);
        body.extend(text.as_bytes());
        self.event(2, server_id, at, &body);
    }

    /// One row in one table, and its commit.
    fn row(&mut self, server_id: u32, at: u32, table: &str, row: &[u8]) {
        let number = if self.log == WhichLog::Own { 40 } else { 16 };
        self.query(server_id, at, "BEGIN");
        let mut map = vec![number, 0, 0, 0, 0, 0, 1, 0, 8];
        map.extend(b"passtrix\0");
        map.push(u8::try_from(table.len()).expect("short"));
        map.extend(table.as_bytes());
        map.extend([0, 1, 3]);
        self.event(19, server_id, at, &map);
        let mut rows = vec![number, 0, 0, 0, 0, 0, 1, 0];
        rows.extend(row);
        self.event(23, server_id, at, &rows);
        self.event(16, server_id, at, &[9; 8]);
    }
}

fn passes(table: &str) -> bool {
    takes(&["passtrix.%".to_owned()], table) && !table.ends_with("other")
}

fn relay_info(position: u64) -> RelayInfo {
    RelayInfo::parse(&format!("./relay.000001\n{position}\nbinlog.000007\n33\n")).expect("read")
}

fn master_info() -> MasterInfo {
    MasterInfo::parse("18\nbinlog.000007\n5\nhost\nuser\n").expect("read")
}

fn decide(own: &[u8], relay: &[u8], position: u64) -> Mending {
    let mut mending = Mending::default();
    let mut of_own = Scan::new(WhichLog::Own, OWN, &passes);
    walk(&mut of_own, "own.000001", own);
    cut(&mut mending, "own.000001", own.len() as u64, &of_own);
    let mut of_relay = Scan::new(WhichLog::Relay, OWN, &passes);
    walk(&mut of_relay, "relay.000001", relay);
    cut(&mut mending, "relay.000001", relay.len() as u64, &of_relay);
    let own: Vec<Transaction> = of_own.transactions.into_iter().collect();
    let infos = (Some(&relay_info(position)), Some(&master_info()));
    place(&mut mending, &own, &of_relay, &["./relay.000001".to_owned()], infos);
    mending
}

#[test]
fn a_note_that_is_behind_the_data_moves_to_where_the_data_are() {
    let (mut own, mut relay) = (LogBytes::new(WhichLog::Own), LogBytes::new(WhichLog::Relay));
    let mut ends = Vec::new();
    for at in 0..12 {
        relay.row(SOURCE, at, "a", &[7]);
        ends.push((relay.written.len(), relay.there));
        relay.row(SOURCE, at, "other", &[7]); // a filter stops it
        if at < 10 {
            own.row(SOURCE, at, "a", &[7]);
            own.row(OWN, at, "audit", &[8]); // the node's own
        }
    }
    let (here, there) = ends[9];
    let mending = decide(&own.written, &relay.written, ends[8].0 as u64);
    assert_eq!(mending.relay_info, Some(format!("./relay.000001\n{here}\nbinlog.000007\n{there}\n")));
    let end = relay.there;
    assert_eq!(mending.master_info, Some(format!("18\nbinlog.000007\n{end}\nhost\nuser\n")));
    assert_eq!(mending.cuts, []);

    // One that is right, or farther on because a filter stopped what followed, stays.
    assert_eq!(decide(&own.written, &relay.written, here as u64).relay_info, None);
    assert_eq!(decide(&own.written, &relay.written, ends[9].0 as u64 + 200).relay_info, None);
}

#[test]
fn what_cannot_be_told_apart_or_is_not_there_changes_nothing() {
    let (mut own, mut relay) = (LogBytes::new(WhichLog::Own), LogBytes::new(WhichLog::Relay));
    assert_eq!(decide(&own.written, &relay.written, 4).relay_info, None, "nothing of the source");
    for _ in 0..3 {
        relay.row(SOURCE, 1, "a", &[7]);
    }
    own.row(SOURCE, 1, "a", &[7]);
    assert_eq!(decide(&own.written, &relay.written, 4).relay_info, None, "one of three that are alike");
    own.row(SOURCE, 2, "a", &[7]);
    assert_eq!(decide(&own.written, &relay.written, 4).relay_info, None, "the last one is in no relay log");
}

#[test]
fn a_statement_counts_as_applied_only_where_the_own_binlog_has_it() {
    let (mut own, mut relay) = (LogBytes::new(WhichLog::Own), LogBytes::new(WhichLog::Relay));
    relay.row(SOURCE, 1, "a", &[1]);
    own.row(SOURCE, 1, "a", &[1]);
    let before = relay.written.len() as u64;
    relay.query(SOURCE, 2, "ALTER TABLE a ADD b INT");
    let altered = relay.written.len();
    assert_eq!(decide(&own.written, &relay.written, before).relay_info, None);
    own.query(SOURCE, 2, "ALTER TABLE a ADD b INT");
    let there = relay.there;
    let moved = decide(&own.written, &relay.written, before).relay_info;
    assert_eq!(moved, Some(format!("./relay.000001\n{altered}\nbinlog.000007\n{there}\n")));
    // A filter stopped one between two rows.
    relay.query(SOURCE, 3, "DROP TABLE elsewhere.t");
    relay.row(SOURCE, 4, "a", &[2]);
    own.row(SOURCE, 4, "a", &[2]);
    let moved = decide(&own.written, &relay.written, before).relay_info.expect("moved");
    assert!(moved.starts_with(&format!("./relay.000001\n{}\n", relay.written.len())), "{moved}");
}

#[test]
fn a_table_of_another_engine_and_a_statement_format_are_followed() {
    let (mut own, mut relay) = (LogBytes::new(WhichLog::Own), LogBytes::new(WhichLog::Relay));
    for log in [&mut own, &mut relay] {
        log.row(SOURCE, 1, "a", &[1]);
    }
    let before = relay.written.len() as u64;
    for log in [&mut own, &mut relay] {
        log.event(5, SOURCE, 2, &[2, 1, 0, 0, 0, 0, 0, 0, 0]);
        log.query(SOURCE, 2, "BEGIN");
        log.query(SOURCE, 2, "INSERT INTO m VALUES (NULL)");
        log.query(SOURCE, 2, "COMMIT");
    }
    let moved = decide(&own.written, &relay.written, before).relay_info.expect("moved");
    assert!(moved.starts_with(&format!("./relay.000001\n{}\n", relay.written.len())), "{moved}");
}

#[test]
fn a_transaction_goes_on_in_the_next_relay_log() {
    let mut first = LogBytes::new(WhichLog::Relay);
    first.row(SOURCE, 1, "a", &[1]);
    let whole = first.written.clone();
    let xid = first.written.split_off(whole.len() - 27);
    let mut second = b"\xfebin".to_vec();
    second.extend(&xid);
    let mut scan = Scan::new(WhichLog::Relay, OWN, &passes);
    walk(&mut scan, "relay.000001", &first.written);
    walk(&mut scan, "relay.000002", &second);
    let last = scan.transactions.back().expect("one");
    assert_eq!(last.here, LogPlace { file: "relay.000002".into(), position: 31 });
    assert_eq!(last.source.as_ref().map(|place| place.file.as_str()), Some("binlog.000007"));
}

#[test]
fn a_binlog_says_whether_it_was_closed() {
    let mut open = LogBytes::new(WhichLog::Own).written;
    assert!(!is_open(&open));
    open[FLAGS] = IN_USE;
    assert!(is_open(&open));
    assert!(!is_open(b"\xfebi"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever a log ends, what is left behind the last whole event goes, and nothing before it.
    #[test]
    fn a_log_is_cut_behind_its_last_whole_event(rows in 0_u32..6, keep in 0.0..1.0_f64) {
        let mut log = LogBytes::new(WhichLog::Own);
        let mut ends = vec![4, log.written.len()];
        for at in 0..rows {
            for kind in [2, 19, 23, 16] {
                log.event(kind, SOURCE, at, &[5; 30]);
                ends.push(log.written.len());
            }
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a small share")]
        let size = 4 + ((log.written.len() - 4) as f64 * keep) as usize;
        let bytes = &log.written[..size];
        let mut scan = Scan::new(WhichLog::Own, OWN, &passes);
        walk(&mut scan, "own.000001", bytes);
        let mut mending = Mending::default();
        cut(&mut mending, "own.000001", size as u64, &scan);
        let whole = ends.iter().copied().filter(|end| *end <= size).max().expect("the first");
        let wanted = (whole < size).then(|| Cut { file: "own.000001".into(), at: whole as u64 });
        prop_assert_eq!(mending.cuts, wanted.into_iter().collect::<Vec<_>>());
    }

    /// However far the note was behind: nothing that the data hold is applied again, and nothing is
    /// passed over. The rows are often the same; the clock moves now and then.
    #[test]
    fn the_applier_goes_on_exactly_where_the_data_end(
        rows in proptest::collection::vec((0_u32..2, 0_u8..2), 1..40), applied in 0_usize..40, behind in 0_usize..4,
    ) {
        let applied = applied.min(rows.len());
        let (mut own, mut relay) = (LogBytes::new(WhichLog::Own), LogBytes::new(WhichLog::Relay));
        let mut ends = vec![relay.written.len()];
        let mut clock = 0;
        for (number, (ticks, row)) in rows.iter().enumerate() {
            clock += ticks;
            relay.row(SOURCE, clock, "a", &[*row]);
            ends.push(relay.written.len());
            if number < applied {
                own.row(SOURCE, clock, "a", &[*row]);
            }
        }
        let before = ends[applied.saturating_sub(behind)] as u64;
        let mending = decide(&own.written, &relay.written, before);
        if let Some(info) = mending.relay_info {
            let position = RelayInfo::parse(&info).expect("ours").relay.position;
            prop_assert_eq!(position, ends[applied] as u64);
        }
    }

    /// Bytes that are no log lead to no change of the place, and to no panic.
    #[test]
    fn any_bytes_are_borne(own in proptest::collection::vec(any::<u8>(), 0..300), relay in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mending = decide(&own, &relay, 4);
        prop_assert_eq!(mending.relay_info, None);
    }
}
