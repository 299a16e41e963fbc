//! A binlog that somebody wrote by hand on the secondary, so that a primary executes one thing and shows another.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::harness::sql::Db;
use crate::harness::{Lab, wait_for, wait_until, wait_until_or};
use crate::on_servers;

on_servers!(what_the_primary_reads_otherwise_than_it_is_meant_to_be_read_is_found: mysql_5_6, mariadb_11_8; left: mariadb_10_11);

mod a_statement_that_empties_or_locks_the_primary_is_refused {
    // Of the servers here, the only one that can refuse it.
    #[test]
    fn mysql_9_7() {
        super::a_statement_that_empties_or_locks_the_primary_is_refused("mysql-9.7");
    }
}

const HEADER: usize = 19;
const CHECKSUM: usize = 4;

fn what_the_primary_reads_otherwise_than_it_is_meant_to_be_read_is_found(server: &str) {
    let lab = Lab::pair(server);
    let mut product = Db::of(&lab.primary);
    product.rows("INSERT INTO ptrx_useraudit (NAME) VALUES ('stays')");
    product.rows("INSERT INTO ptrx_useraudit (NAME) VALUES ('kept')");
    lab.wait_same("SELECT COUNT(*) FROM ptrx_useraudit");
    for node in [&lab.secondary, &lab.primary] {
        node.run(&["stop"]).ok();
    }
    let kept = rows_of(&lab.primary.path("mysql/data"), "ptrx_useraudit");
    let mut log = Crafted::behind(&lab.secondary.path("mysql/data"));

    // The server passes over the second name before it looks at the number, which stays the audit table's.
    log.layout(None);
    log.begins(false);
    log.add(19, &[&[77, 0, 0, 0, 0, 0], &kept.map[6..]].concat());
    log.add(19, b"\x4d\0\0\0\0\0\x01\0\x0cpmp_ha_local\0\x04role\0\x01\x08\0\0");
    log.add(kept.deletes, &[&[77, 0, 0, 0, 0, 0], &kept.row[6..]].concat());
    log.add(16, &[9; 8]);

    // The header of a statement is shorter than that of an honest server, so that its text begins elsewhere.
    let applied =
        b"UPDATE passtrix.ptrx_useraudit a, passtrix.aaalogin l SET l.NAME = 'layout', a.REASON = 'x' -- ";
    if log.gtid.is_some() {
        log.layout(Some(13 + 14));
        log.begins(true);
        log.add(2, &[b"\x07\0\0\0\0\0\0\0\0\0\0\0\0\0ANALYZE TABLE ", &applied[..]].concat());
    } else {
        log.layout(Some(11));
        let status = u16::try_from(applied.len() + 8).expect("short");
        let mut text = [b"\x07\0\0\0\0\0\0\0\x02\0\0", &status.to_le_bytes()[..], b"\0", applied].concat();
        text.resize(13 + usize::from(status), b' ');
        text.extend_from_slice(b"xxxFLUSH STATUS");
        log.add(2, &text);
    }
    if log.gtid.is_some() {
        // Too large to be shown, and read to its end by the server alone.
        log.layout(None);
        log.begins(true);
        let blanks = vec![b' '; 18 << 20];
        let text =
            [b"BEGIN", &blanks[..], b"NOT ATOMIC UPDATE passtrix.aaalogin SET NAME = 'blanks'; END"].concat();
        log.add(2, &[&b"\x07\0\0\0\0\0\0\0\0\0\0\0\0\0"[..], &text].concat());
    }
    let last = if log.gtid.is_some() { "blanks" } else { "layout" };
    log.put();

    for node in [&lab.secondary, &lab.primary] {
        node.run(&["start"]).ok();
    }
    let mut primary = Db::admin(&lab.primary);
    wait_until_or("the primary has executed it", || {
        let name = primary.list("SELECT DISTINCT NAME FROM passtrix.aaalogin").concat();
        let status = lab.replica_status(&lab.primary);
        if name == last { Ok(()) } else { Err(format!("{name} {status:?}")) }
    });
    assert!(primary.list("SELECT NAME FROM passtrix.ptrx_useraudit WHERE NAME = 'kept'").is_empty());
    let mut wanted =
        vec!["rows of passtrix.ptrx_useraudit under the number of pmp_ha_local.role", "with another layout"];
    if last == "blanks" {
        wanted.push("a statement: ");
    }
    let mut evidence = String::new();
    wait_until(&format!("{wanted:?} is found"), || {
        evidence = lab.primary.run(&["repair", "--return-channel", "--dry-run"]).stdout;
        wanted.iter().all(|text| evidence.contains(text))
    });
    assert!(lab.primary.findings().contains(&"back-foreign-write".to_owned()));
}

/// No server logs them. One that limits its applier to rows limits it to what tables hold; the rest is a matter of
/// rights.
fn a_statement_that_empties_or_locks_the_primary_is_refused(server: &str) {
    let lab = Lab::pair(server);
    for node in [&lab.secondary, &lab.primary] {
        node.run(&["stop"]).ok();
    }
    let data = lab.secondary.path("mysql/data");
    let mut log = Crafted::behind(&data);
    let mut gtids = Gtids::of(&data);
    log.layout(None);
    let evil = [&b"RESET BINARY LOGS AND GTIDS"[..], b"FLUSH TABLES WITH READ LOCK", b"FLUSH TABLES"];
    log.add(35, &gtids.before());
    for statement in evil {
        log.add(33, &gtids.next());
        log.add(2, &[b"\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", statement].concat());
    }
    log.put();
    let before = binlogs(&lab.primary.path("mysql/data"));
    for node in [&lab.secondary, &lab.primary] {
        node.run(&["start"]).ok();
    }
    wait_for(&lab.primary, &["back-refused"]);
    let ran = lab.primary.run(&["repair", "--return-channel"]);
    assert_eq!(ran.to_string().matches("left out: ").count(), evil.len(), "{ran}");
    let after = binlogs(&lab.primary.path("mysql/data"));
    assert!(before.iter().all(|file| after.contains(file)), "{before:?} {after:?}");
    // The secondary's own binlog tells of it as well, and goes on telling: no comparison of rows puts that right.
    wait_until("only the secondary's binlog tells of it", || lab.primary.findings() == ["errant-write"]);
}

/// The GTIDs that a server of `MySQL` 9 has given, and the form of their events.
struct Gtids {
    event: Vec<u8>,
    before: Vec<u8>,
    last: i64,
}

impl Gtids {
    fn of(data: &Path) -> Self {
        let all = binlogs(data);
        let files: Vec<Vec<u8>> = all.iter().map(|path| std::fs::read(path).expect("a binlog")).collect();
        let find = |bytes: &[Vec<u8>], kind: u8| -> Vec<u8> {
            let events: Vec<&[u8]> = bytes.iter().flat_map(|bytes| events(bytes)).collect();
            let found = events.iter().rev().find(|event| event[4] == kind);
            found.map(|event| body(event).to_vec()).expect("such an event")
        };
        let (event, before) = (find(&files, 33), find(&files, 35));
        let last = i64::from_le_bytes(event[17..25].try_into().expect("eight"));
        Self { event, before, last }
    }

    /// What a file says that comes behind all transactions of this server.
    fn before(&self) -> Vec<u8> {
        let server = &self.event[1..17];
        let mut out = self.before.clone();
        let number = |bytes: &[u8], at: usize| {
            usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"))).expect("small")
        };
        let (mut at, next) = (8, (self.last + 1).to_le_bytes());
        for _ in 0..number(&out, 0) {
            let intervals = number(&out, at + 16);
            if &out[at..at + 16] == server {
                let end = at + 24 + 16 * (intervals - 1) + 8;
                out[end..end + 8].copy_from_slice(&next);
                return out;
            }
            at += 24 + 16 * intervals;
        }
        let servers = u64::try_from(number(&out, 0) + 1).expect("few").to_le_bytes();
        out[..8].copy_from_slice(&servers);
        out.extend([server, &1_u64.to_le_bytes(), &1_u64.to_le_bytes(), &next].concat());
        out
    }

    /// The event of the next transaction.
    fn next(&mut self) -> Vec<u8> {
        self.last += 1;
        let mut event = self.event.clone();
        event[0] = 1;
        event[17..25].copy_from_slice(&self.last.to_le_bytes());
        event
    }
}

/// Of a binlog: how a table is named, and a row that was added to it.
struct Rows {
    map: Vec<u8>,
    row: Vec<u8>,
    /// The kind of event that deletes what this one adds.
    deletes: u8,
}

fn events(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut at, mut out) = (4, Vec::new());
    while let Some(length) = bytes.get(at + 9..at + 13) {
        let length = u32::from_le_bytes(length.try_into().expect("four")) as usize;
        out.push(&bytes[at..at + length]);
        at += length;
    }
    out
}

fn body(event: &[u8]) -> &[u8] {
    &event[HEADER..event.len() - CHECKSUM]
}

fn binlogs(data: &Path) -> Vec<PathBuf> {
    let index = std::fs::read_to_string(data.join("pmp-ha-binlog.index")).expect("an index");
    index.lines().map(|line| data.join(line.rsplit('/').next().expect("a name"))).collect()
}

fn rows_of(data: &Path, table: &str) -> Rows {
    let files: Vec<Vec<u8>> =
        binlogs(data).iter().map(|path| std::fs::read(path).expect("a binlog")).collect();
    let all: Vec<&[u8]> = files.iter().flat_map(|bytes| events(bytes)).collect();
    let is_named = |event: &[u8]| {
        let name = event.to_ascii_lowercase();
        event[4] == 19 && name.windows(table.len()).any(|window| window == table.as_bytes())
    };
    let pair = all.windows(2).rev().find(|pair| is_named(pair[0]) && [23, 30].contains(&pair[1][4]));
    let pair = pair.expect("a row was added");
    Rows { map: body(pair[0]).to_vec(), row: body(pair[1]).to_vec(), deletes: pair[1][4] + 2 }
}

/// A binlog behind those of a server that does not run.
struct Crafted {
    data: PathBuf,
    layout: Vec<u8>,
    bytes: Vec<u8>,
    name: String,
    /// Where the server has `MariaDB`'s GTIDs.
    gtid: Option<Numbering>,
}

/// The transactions of the secondary.
#[derive(Clone)]
struct Numbering {
    domain: u32,
    /// Of the last one.
    number: u64,
    /// What the server has noted of all domains.
    noted: String,
}

impl Numbering {
    fn of(noted: String) -> Self {
        let of_the_secondary = |line: &str| {
            let [domain, server, number] = line.split('-').collect::<Vec<_>>().try_into().ok()?;
            (server == "2").then(|| Some((domain.parse().ok()?, number.parse().ok()?)))?
        };
        let last = noted.lines().filter_map(of_the_secondary).next_back();
        let (domain, number) = last.expect("a GTID of the secondary");
        Self { domain, number, noted }
    }
}

impl Crafted {
    fn behind(data: &Path) -> Self {
        let last = binlogs(data).pop().expect("a binlog");
        let bytes = std::fs::read(&last).expect("readable");
        let layout = events(&bytes)[0].to_vec();
        assert_eq!(layout[layout.len() - 5], 1, "the events have checksums");
        let number: u32 = last.extension().expect("a number").to_string_lossy().parse().expect("a number");
        let gtid = std::fs::read_to_string(data.join("pmp-ha-binlog.state")).ok().map(Numbering::of);
        let name = format!("pmp-ha-binlog.{:06}", number + 1);
        Self { data: data.to_owned(), layout, bytes: b"\xfebin".to_vec(), name, gtid }
    }

    /// Adds an event that the secondary wrote.
    fn add(&mut self, kind: u8, body: &[u8]) {
        let length = HEADER + body.len() + CHECKSUM;
        let end = u32::try_from(self.bytes.len() + length).expect("small");
        let length = u32::try_from(length).expect("small");
        let mut event = [&1_700_000_000_u32.to_le_bytes()[..], &[kind], &2_u32.to_le_bytes()].concat();
        event.extend([length, end].iter().flat_map(|number| number.to_le_bytes()));
        event.extend([0, 0]);
        event.extend(body);
        self.put_with_checksum(event);
    }

    fn put_with_checksum(&mut self, event: Vec<u8>) {
        let checksum = crc32fast::hash(&event);
        self.bytes.extend(event);
        self.bytes.extend(checksum.to_le_bytes());
    }

    /// Describes the events behind it as the server does, but for the length of a statement's own header.
    fn layout(&mut self, of_statements: Option<u8>) {
        let mut event = self.layout[..self.layout.len() - CHECKSUM].to_vec();
        // Nobody writes to the file any more.
        event[17..HEADER].fill(0);
        if let Some(length) = of_statements {
            event[HEADER + 2 + 50 + 4 + 1 + 1] = length;
        }
        self.put_with_checksum(event);
        if let Some(Numbering { noted, .. }) = self.gtid.clone() {
            let numbers = |line: &str| -> Vec<u64> {
                line.split('-').map(|number| number.parse().expect("a GTID")).collect()
            };
            let all: Vec<Vec<u64>> = noted.split_whitespace().map(numbers).collect();
            let mut list = u32::try_from(all.len()).expect("few").to_le_bytes().to_vec();
            for gtid in all {
                for part in &gtid[..2] {
                    list.extend(u32::try_from(*part).expect("small").to_le_bytes());
                }
                list.extend(gtid[2].to_le_bytes());
            }
            self.add(163, &list);
        }
    }

    /// Begins a transaction, or a statement that stands alone.
    fn begins(&mut self, alone: bool) {
        if let Some(Numbering { number, domain, .. }) = &mut self.gtid {
            *number += 1;
            let body =
                [&number.to_le_bytes()[..], &domain.to_le_bytes(), &[u8::from(alone)], &[0; 6]].concat();
            self.add(162, &body);
        } else if !alone {
            self.add(2, b"\x07\0\0\0\0\0\0\0\0\0\0\0\0\0BEGIN");
        }
    }

    /// Puts the file where the server takes it for its newest one.
    fn put(mut self) {
        self.add(3, b"");
        let index = self.data.join("pmp-ha-binlog.index");
        let text = std::fs::read_to_string(&index).expect("an index");
        let last = text.lines().last().expect("a binlog");
        let folder = last.rfind('/').map_or("", |at| &last[..=at]);
        std::fs::write(&index, format!("{text}{folder}{}\n", self.name)).expect("written");
        let path = self.data.join(&self.name);
        std::fs::write(&path, &self.bytes).expect("written");
        let like = std::fs::metadata(&index).expect("there");
        chown(&path, Some(like.uid()), Some(like.gid())).expect("given");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        if let Some(Numbering { domain, number, noted }) = self.gtid {
            let own = format!("{domain}-2-");
            let renewed = |line: &str| {
                if line.starts_with(&own) { format!("{own}{number}\n") } else { format!("{line}\n") }
            };
            let text: String = noted.lines().map(renewed).collect();
            std::fs::write(self.data.join("pmp-ha-binlog.state"), text).expect("written");
        }
    }
}
