//! What `MySQL` 5.5 leaves behind when it is killed is mended before it starts.

use std::io::Write;

use crate::harness::{Lab, Node};
use crate::on_old_servers;

on_old_servers!(what_a_killed_server_leaves_behind_is_mended_before_it_starts);

const ROWS: &str = "SELECT NAME, VALUE FROM Ptrx_Settings ORDER BY NAME";

fn what_a_killed_server_leaves_behind_is_mended_before_it_starts(server: &str) {
    let lab = Lab::pair(server);
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('COUNTED', '0')");
    lab.wait_same(ROWS);

    // The note of the applier's place is behind the data: with an insert that fails when it is done twice,
    // and with a counter that does not.
    let note = lab.secondary.path("mysql/data/relay-log.info");
    let behind = std::fs::read(&note).expect("there");
    lab.primary.sql("UPDATE Ptrx_Settings SET VALUE = VALUE + 1 WHERE NAME = 'COUNTED'");
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('ONCE', 'only')");
    lab.wait_same(ROWS);
    lab.secondary.kill();
    std::fs::write(&note, &behind).expect("written");
    lab.secondary.run(&["start"]).ok();
    lab.primary.sql("UPDATE Ptrx_Settings SET VALUE = VALUE + 1 WHERE NAME = 'COUNTED'");
    assert!(lab.wait_same(ROWS).contains("COUNTED\t2\n"));
    lab.wait_alive();
    assert_eq!(kept(&lab.secondary, "-relay-log.info"), 1);

    // Part of an event at the end of the newest binlog.
    lab.primary.kill();
    let binlog = newest_binlog(&lab.primary);
    let whole = std::fs::metadata(&binlog).expect("there").len();
    tear(&binlog);
    lab.primary.run(&["start"]).ok();
    assert_eq!(std::fs::metadata(&binlog).expect("there").len(), whole);
    lab.primary.sql("INSERT INTO Ptrx_Settings VALUES ('AFTER', 'the tear')");
    lab.wait_same(ROWS);
    lab.wait_alive();
    assert_eq!(kept(&lab.primary, &format!("-from-{whole}")), 1);
    lab.tables_are_equal();
}

fn newest_binlog(node: &Node) -> std::path::PathBuf {
    let data = node.path("mysql/data");
    let index = std::fs::read_to_string(data.join("pmp-ha-binlog.index")).expect("there");
    data.join(index.lines().last().expect("a binlog").rsplit('/').next().expect("a name"))
}

/// Writes the beginning of an event with rows behind the last one.
fn tear(binlog: &std::path::Path) {
    const WRITE_ROWS: u8 = 23;
    const LENGTH: u32 = 1000;
    let at = u32::try_from(std::fs::metadata(binlog).expect("there").len()).expect("small");
    let mut event = [&1_700_000_000_u32.to_le_bytes()[..], &[WRITE_ROWS]].concat();
    for number in [1, LENGTH, at + LENGTH] {
        event.extend(number.to_le_bytes());
    }
    event.extend([0; 300]);
    let mut file = std::fs::OpenOptions::new().append(true).open(binlog).expect("opened");
    file.write_all(&event).expect("written");
}

/// How many files of this kind were kept as they were before a mending.
fn kept(node: &Node, ending: &str) -> usize {
    let files = std::fs::read_dir(node.path("replication/pmp-ha-mended")).expect("a folder");
    files
        .filter(|file| file.as_ref().is_ok_and(|f| f.file_name().to_string_lossy().ends_with(ending)))
        .count()
}
