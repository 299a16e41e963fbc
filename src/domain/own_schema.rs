//! What the tool keeps inside the database: its tables, and the events that keep the pair's pulse.
//!
//! Everything in [`OWN_SCHEMA`] exists on both nodes; the primary's changes of it are replicated,
//! and of the secondary's only its heartbeat. What belongs to one node alone lies in
//! [`LOCAL_SCHEMA`], which no filter lets through.

use super::accounts::ADMIN_USER;
use super::flavor::{DISK_ERRORS, Flavor, Watchdog};
use super::locks::{MAKE_WORD, lock_name};
use super::pair::{Claim, Role};
use super::server_event::event_named;
use super::set_up_again;
use super::settings::{LOCAL_SCHEMA, OWN_SCHEMA, Timing};
use super::sql::{Sql, quote};
use super::standing::{BinlogPlace, NodeState};
use super::turn::{Phase, Turn};

/// Whose rights are recorded, for the monitor account to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Those that the write guard leaves the application.
    OfTheApplication,
    /// Those of the account that binds the applier.
    OfTheApplier,
}

impl Rights {
    /// The view in [`OWN_SCHEMA`] that shows them as they are.
    #[must_use]
    pub fn view(self) -> &'static str {
        match self {
            Self::OfTheApplication => "rights",
            Self::OfTheApplier => "applier_rights",
        }
    }

    /// The table in [`OWN_SCHEMA`] that keeps them as they were set.
    #[must_use]
    pub fn at_setup(self) -> &'static str {
        match self {
            Self::OfTheApplication => "rights_at_setup",
            Self::OfTheApplier => "applier_rights_at_setup",
        }
    }
}

/// Requests a heartbeat of the server's own node: returns its `beat`, or 0 if it wrote none.
pub const ASK_FOR_BEAT: &str = "CALL pmp_ha.ask_for_beat()";

/// The heartbeats that somebody asks for are at least so far apart, microseconds: each takes some 300
/// bytes of binlog, and whoever holds the monitor's password may ask without end.
const ASKED_APART: u64 = 50_000;

/// A heartbeat of the event's that is so far ahead of the clock was written before that was set back,
/// microseconds.
const SET_BACK: u64 = 2_000_000;

/// The clock of the heartbeats: microseconds since 1970 in UTC, whatever the session's time zone.
pub const CLOCK: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

/// Makes both schemas and their tables, where they are not there yet.
#[must_use]
pub fn tables() -> Vec<Sql> {
    [
        format!("CREATE DATABASE IF NOT EXISTS {OWN_SCHEMA}"),
        format!("CREATE DATABASE IF NOT EXISTS {LOCAL_SCHEMA}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.pack (node INT UNSIGNED NOT NULL PRIMARY KEY, \
             pack_id VARCHAR(32) NOT NULL) ENGINE=InnoDB"
        ),
        // Each node writes its own row: when it wrote, the newest row of the other node that it had
        // applied by then, and in which epoch it is the primary, or was the last time.
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.heartbeat (node INT UNSIGNED NOT NULL PRIMARY KEY, \
             beat BIGINT NOT NULL, echo BIGINT NOT NULL, epoch BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB"
        ),
        // What each node says of itself, in its own row, which is not replicated: the other one reads it.
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.role (node INT UNSIGNED NOT NULL PRIMARY KEY, \
             epoch BIGINT UNSIGNED NOT NULL, replaces BIGINT UNSIGNED NOT NULL, role VARCHAR(9) NOT NULL, secondary_word VARCHAR(255) NULL, \
             followed_file VARCHAR(255) NULL, followed_position BIGINT UNSIGNED NULL, heard BIGINT NULL) \
             ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
        ),
        // What each node says in an exchange of roles, not replicated either.
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.turn (node INT UNSIGNED NOT NULL PRIMARY KEY, \
             run VARCHAR(32) NOT NULL, phase VARCHAR(16) NOT NULL, mark BIGINT NOT NULL, \
             refused_since BIGINT NULL, at BIGINT NOT NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
        ),
        // Up to where writes on the secondary against the rules were put right.
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.errant_cleared (node INT UNSIGNED NOT NULL PRIMARY KEY, \
             file VARCHAR(255) NOT NULL, position BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB"
        ),
        HEARTBEAT_ROWS.to_owned(),
        // The last comparison of the data, a row a range of keys: what this node found itself, and
        // what the primary found at the same point. The bounds are JSON arrays of the key's values
        // as text, bytes as 0x…; the lower one is exclusive, the upper one inclusive, NULL is open.
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.checksum (run VARCHAR(32) NOT NULL, tbl VARCHAR(64) NOT NULL, \
             chunk INT UNSIGNED NOT NULL, lower_key TEXT NULL, upper_key TEXT NULL, \
             rows_here BIGINT NOT NULL, crc_here CHAR(64) NOT NULL, \
             rows_source BIGINT NULL, crc_source CHAR(64) NULL, PRIMARY KEY (run, tbl, chunk)) \
             ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        ),
    ]
    .map(Sql::new)
    .into_iter()
    .chain(set_up_again::tables())
    .collect()
}

/// Makes the heartbeat rows that are not there.
pub const HEARTBEAT_ROWS: &str = "INSERT IGNORE INTO pmp_ha.heartbeat VALUES (1, 0, 0, 0), (2, 0, 0, 0)";

/// What a secondary says that it is while it is being promoted.
const CANDIDATE: &str = "candidate";

/// Makes this node say what it is. The statement must not be logged.
#[must_use]
pub fn say(state: &NodeState) -> Sql {
    let text = |value: Option<&str>| value.map_or_else(|| "NULL".to_owned(), quote);
    let followed = state.followed.as_ref();
    Sql::new(format!(
        "REPLACE INTO {OWN_SCHEMA}.role VALUES ({}, {}, {}, '{}', {}, {}, {}, {})",
        state.node,
        state.epoch,
        state.replaces,
        if state.candidate { CANDIDATE.to_owned() } else { state.role.to_string() },
        text(state.secondary_word.as_deref()),
        text(followed.map(|place| place.file.as_str())),
        followed.map_or_else(|| "NULL".to_owned(), |place| place.position.to_string()),
        state.heard.map_or_else(|| "NULL".to_owned(), |heard| heard.to_string())
    ))
}

/// The role that a server publishes.
pub const ASK_ROLE: &str = "SELECT node, epoch, replaces, role, secondary_word, followed_file, followed_position, heard \
     FROM pmp_ha.role WHERE node = @@GLOBAL.server_id";

/// Reads the answer to [`ASK_ROLE`]; `None` if it is empty or not understood.
pub fn read_role(column: impl Fn(&str) -> Option<String>) -> Option<NodeState> {
    let (role, candidate) = match column("role")?.as_str() {
        "primary" => (Role::Primary, false),
        "secondary" => (Role::Secondary, false),
        CANDIDATE => (Role::Secondary, true),
        _ => return None,
    };
    let followed =
        column("followed_file").zip(column("followed_position").and_then(|text| text.parse().ok()));
    Some(NodeState {
        node: column("node")?.parse().ok()?,
        epoch: Claim::read_epoch(&column("epoch")?)?,
        replaces: Claim::read_epoch(&column("replaces")?)?,
        role,
        candidate,
        secondary_word: column("secondary_word"),
        followed: followed.map(|(file, position)| BinlogPlace { file, position }),
        heard: column("heard").and_then(|text| text.parse().ok()),
    })
}

/// Writes or repeats a turn of a switchover. The statement must not be logged.
#[must_use]
pub fn say_turn(run: &str, phase: Phase) -> Sql {
    Sql::new(format!(
        "INSERT INTO {OWN_SCHEMA}.turn (node, run, phase, mark, at) VALUES (@@GLOBAL.server_id, {run}, '{phase}', 0, {CLOCK}) \
         ON DUPLICATE KEY UPDATE mark = IF(run = VALUES(run), mark, 0), \
         refused_since = IF(run = VALUES(run), refused_since, NULL), \
         run = VALUES(run), phase = VALUES(phase), at = VALUES(at)",
        run = quote(run)
    ))
}

/// Deletes the turn of a switchover.
#[must_use]
pub fn withdraw_turn() -> Sql {
    Sql::new(format!(
        "UPDATE {OWN_SCHEMA}.turn SET phase = '{}', at = {CLOCK} WHERE node = @@GLOBAL.server_id",
        Phase::Withdrawn
    ))
}

/// The turn of the server, with its age by its own clock.
#[must_use]
pub fn ask_turn() -> Sql {
    Sql::new(format!(
        "SELECT run, phase, mark, {CLOCK} - at AS age, {CLOCK} - IFNULL(refused_since, {CLOCK}) AS refusing_for \
         FROM {OWN_SCHEMA}.turn WHERE node = @@GLOBAL.server_id"
    ))
}

/// Reads the answer to [`ask_turn`]; `None` if it is empty or not understood.
pub fn read_turn(column: impl Fn(&str) -> Option<String>) -> Option<Turn> {
    let number = |name: &str| column(name)?.parse().ok();
    Some(Turn {
        run: column("run")?,
        phase: Phase::parse(&column("phase")?)?,
        mark: number("mark")?,
        age: number("age")?,
        refusing_for: number("refusing_for")?,
    })
}

/// Writes this node's heartbeat now.
#[must_use]
pub fn beat_now() -> Sql {
    Sql::new(format!("UPDATE {OWN_SCHEMA}.heartbeat SET beat = {CLOCK} WHERE node = @@GLOBAL.server_id"))
}

/// Creates the events of a node again: the heartbeat, and the watchdog if needed.
///
/// An event keeps the time zone of the session that makes it. In one with summer time it would stand still
/// for an hour in autumn, when the same times come again.
#[must_use]
pub fn events(flavor: &Flavor, timing: &Timing) -> Vec<Sql> {
    let mut out = vec![
        "SET SESSION time_zone = '+00:00'".to_owned(),
        format!("DROP EVENT IF EXISTS {OWN_SCHEMA}.beat"),
        format!("DROP EVENT IF EXISTS {OWN_SCHEMA}.watchdog"),
        format!("DROP EVENT IF EXISTS {OWN_SCHEMA}.return_channel"),
        beat_event(timing.beat),
    ];
    match flavor.watchdog() {
        Watchdog::None => {}
        Watchdog::OfApplier => out.push(watchdog_of_new_servers(timing)),
        Watchdog::OfReceiverAndApplier => out.extend([
            format!("DROP TABLE IF EXISTS {LOCAL_SCHEMA}.watch"),
            format!(
                "CREATE TABLE {LOCAL_SCHEMA}.watch (node INT UNSIGNED NOT NULL PRIMARY KEY, \
                 beat BIGINT NOT NULL, pulses BIGINT NOT NULL, at BIGINT NOT NULL, \
                 stopped BOOL NOT NULL) ENGINE=InnoDB"
            ),
            watchdog_of_old_servers(timing),
        ]),
    }
    if flavor.watchdog() == Watchdog::OfReceiverAndApplier && flavor.return_channel_can_go_on() {
        out.push(set_up_again::event(timing));
    }
    out.push("SET SESSION time_zone = DEFAULT".to_owned());
    out.into_iter().map(Sql::new).collect()
}

/// The names of the locks of the events, as expressions.
const BEAT_LOCK: &str = lock_name!("beat");
const WATCHDOG_LOCK: &str = lock_name!("watchdog");

/// Only the other node of the pair counts, whatever rows there are; 0 where its row is missing.
const HEARD: &str = "SELECT IFNULL(MAX(h.beat), 0) INTO heard FROM pmp_ha.heartbeat h \
     WHERE h.node IN (1, 2) AND h.node <> @@GLOBAL.server_id;";

/// Writes the whole row of this node, from inside a stored program that has read [`HEARD`].
///
/// The secondary may write into the table, so it can take rows away on both nodes. The primary makes them
/// again on both: what it writes here is replicated. The secondary makes none, for the other node's
/// applier may only update them.
fn beat(clock: &str) -> String {
    format!(
        "IF EXISTS (SELECT 1 FROM {OWN_SCHEMA}.role r WHERE r.node = @@GLOBAL.server_id AND r.role = '{primary}') \
         AND (SELECT COUNT(*) FROM {OWN_SCHEMA}.heartbeat h WHERE h.node IN (1, 2)) < 2 THEN\n\
         {HEARTBEAT_ROWS};\nEND IF;\n\
         UPDATE {OWN_SCHEMA}.heartbeat SET beat = {clock}, echo = heard, epoch = IFNULL((SELECT r.epoch \
         FROM {OWN_SCHEMA}.role r WHERE r.node = @@GLOBAL.server_id AND r.role = '{primary}'), epoch) \
         WHERE node = @@GLOBAL.server_id;",
        primary = Role::Primary
    )
}

fn beat_event(seconds: u64) -> String {
    event_named("beat", BEAT_LOCK, seconds, MAKE_WORD, &format!("{HEARD}\n{}", beat(CLOCK)))
}

/// Creates the procedure of [`ASK_FOR_BEAT`] again. That revokes all rights to it.
///
/// It runs with the rights of [`ADMIN_USER`], so that nothing of the caller's session may matter: a
/// transaction ends first, and the clock is the server's own, whatever the caller has set. It takes
/// turns with the event, and waits for nobody: of many calls on a full disk one waits.
///
/// A server whose event has stopped is not well, however often it is asked: when the event wrote last
/// is kept beside, in a row that is not logged.
///
/// A server plans an event by its clock: set back by an hour, it would wait for an hour. Then the event
/// is planned anew.
#[must_use]
pub fn procedure(timing: &Timing) -> Vec<Sql> {
    let lock = BEAT_LOCK;
    let latest = format!(
        "SELECT h.beat INTO latest FROM {OWN_SCHEMA}.heartbeat h WHERE h.node = @@GLOBAL.server_id;\n\
         SET clock = {CLOCK};"
    );
    let apart = format!("latest NOT BETWEEN clock - {ASKED_APART} AND clock");
    let body = format!(
        "DECLARE heard, latest, clock, written BIGINT DEFAULT 0;\n\
         DECLARE logged BOOL DEFAULT @@SESSION.sql_log_bin;\n\
         DECLARE zone VARCHAR(64) DEFAULT @@SESSION.time_zone;\n\
         DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN\n\
         ROLLBACK;\nSET SESSION sql_log_bin = logged;\nDO RELEASE_LOCK({lock});\nRESIGNAL;\nEND;\n\
         COMMIT;\n\
         SET SESSION timestamp = DEFAULT;\n\
         {latest}\n\
         IF {apart} THEN\n\
         IF GET_LOCK({lock}, 0) = 1 THEN\n\
         COMMIT;\n\
         {latest}\n\
         IF {apart} THEN\n\
         COMMIT;\n\
         SET SESSION sql_log_bin = 0;\n\
         INSERT INTO {OWN_SCHEMA}.asked VALUES (@@GLOBAL.server_id, clock, 0, latest) ON DUPLICATE KEY UPDATE \
         by_event = IF(latest IN (beat, beat_before), by_event, latest), beat_before = beat, beat = clock;\n\
         COMMIT;\n\
         IF EXISTS (SELECT 1 FROM {OWN_SCHEMA}.asked a WHERE a.node = @@GLOBAL.server_id \
         AND a.by_event > clock + {SET_BACK}) THEN\n\
         SET SESSION time_zone = '+00:00';\n\
         ALTER EVENT {OWN_SCHEMA}.beat ON SCHEDULE EVERY {} SECOND;\n\
         SET SESSION time_zone = zone;\n\
         END IF;\n\
         COMMIT;\n\
         SET SESSION sql_log_bin = logged;\n\
         {HEARD}\n{}\nCOMMIT;\n\
         SET written = clock;\n\
         END IF;\n\
         DO RELEASE_LOCK({lock});\n\
         END IF;\nEND IF;\n\
         COMMIT;\n\
         SELECT written AS beat;",
        timing.beat,
        beat("clock")
    );
    [
        // The last two heartbeats that somebody asked for, and the last one before them that nobody did.
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.asked (node INT UNSIGNED NOT NULL PRIMARY KEY, \
             beat BIGINT NOT NULL, beat_before BIGINT NOT NULL, by_event BIGINT NOT NULL) ENGINE=InnoDB"
        ),
        format!("DROP PROCEDURE IF EXISTS {OWN_SCHEMA}.ask_for_beat"),
        format!(
            "CREATE DEFINER='{ADMIN_USER}'@'localhost' PROCEDURE {OWN_SCHEMA}.ask_for_beat() \
             MODIFIES SQL DATA SQL SECURITY DEFINER BEGIN\n{body}\nEND"
        ),
    ]
    .map(Sql::new)
    .into()
}

/// Returns the heartbeat rows, and in `by_event` when the server's event wrote its own row.
///
/// The data of a pair that an earlier version set up have no such column.
pub const BEATS: [&str; 2] = [
    "SELECT h.node, h.beat, h.echo, h.epoch, IF(h.beat IN (a.beat, a.beat_before), a.by_event, h.beat) AS by_event \
     FROM pmp_ha.heartbeat h LEFT JOIN pmp_ha.asked a ON a.node = h.node AND a.node = @@GLOBAL.server_id",
    "SELECT node, beat, echo, epoch, beat AS by_event FROM pmp_ha.heartbeat",
];

/// The procedure that writes a heartbeat on request, in [`OWN_SCHEMA`].
pub const ASK_FOR_BEAT_PROCEDURE: &str = "ask_for_beat";

/// What a receiver of an old server does once it is connected: it asks a few things of its source, and
/// then waits for events. In none of it does it ever notice that the link is silent.
const CONNECTED: [&str; 4] = [
    "Checking master version",
    "Registering slave on master",
    "Requesting binlog dump",
    "Waiting for master to send event",
];

/// Two things do not heal by themselves on old servers.
///
/// A receiver that believes that it is connected or that is about to be, while neither a row nor a
/// heartbeat has come in since the last look, is made to connect anew. One that somebody has stopped
/// is left alone; one that the watchdog itself has stopped, and could not start, is started.
///
/// While somebody holds a global read lock, nothing is applied. So nothing is heard, though rows come in all
/// the time and no heartbeats with them. The events wait as well, and the watchdog is as quick as the applier when the lock goes. So it
/// looks once more a beat later. Before, it writes, which waits for a lock that came meanwhile.
///
/// An applier that met a full disk has stopped. Why it stopped cannot be read from inside the
/// server, but while the disk is full the watchdog itself fails; so after a gap the applier is
/// started. It goes on where it stopped: nothing is skipped.
fn watchdog_of_old_servers(timing: &Timing) -> String {
    let seconds = timing.net_timeout.max(2 * timing.beat + 1);
    let gap = 3_000_000 * seconds;
    let states = CONNECTED.map(|state| format!("'{state}'")).join(", ");
    let look = format!(
        "{HEARD}\n\
         SET pulses = IFNULL((SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
         WHERE VARIABLE_NAME = 'SLAVE_RECEIVED_HEARTBEATS'), 0);"
    );
    let is_silent = format!(
        "EXISTS (SELECT 1 FROM {LOCAL_SCHEMA}.watch w WHERE w.beat = heard AND w.pulses = pulses) \
         AND EXISTS (SELECT 1 FROM information_schema.PROCESSLIST \
         WHERE USER = 'system user' AND STATE IN ({states}))"
    );
    let body = format!(
        "{look}\n\
         IF EXISTS (SELECT 1 FROM {LOCAL_SCHEMA}.watch w WHERE w.at < {CLOCK} - {gap}) THEN\n\
         START SLAVE SQL_THREAD;\nEND IF;\n\
         IF EXISTS (SELECT 1 FROM {LOCAL_SCHEMA}.watch w WHERE w.stopped) THEN\n\
         START SLAVE IO_THREAD;\nEND IF;\n\
         IF {is_silent} THEN\n\
         UPDATE {LOCAL_SCHEMA}.watch SET stopped = stopped;\n\
         DO SLEEP({beat});\n{look}\n\
         IF {is_silent} THEN\n\
         UPDATE {LOCAL_SCHEMA}.watch SET stopped = TRUE;\n\
         STOP SLAVE IO_THREAD;\nSTART SLAVE IO_THREAD;\nEND IF;\nEND IF;\n\
         REPLACE INTO {LOCAL_SCHEMA}.watch VALUES (@@GLOBAL.server_id, heard, pulses, {CLOCK}, FALSE);",
        beat = timing.beat
    );
    event_named("watchdog", WATCHDOG_LOCK, seconds, "", &body)
}

/// An applier that met a full disk has stopped, and is started again. It goes on where it stopped:
/// nothing is skipped. One that stopped for any other reason is left alone.
///
/// A receiver that connected while a commit of this very server was on its way has stopped as well:
/// the other node had applied that already, and it is in no binlog there.
fn watchdog_of_new_servers(timing: &Timing) -> String {
    let errors = DISK_ERRORS.map(|number| number.to_string()).join(", ");
    let body = format!(
        "IF EXISTS (SELECT 1 FROM performance_schema.replication_applier_status_by_worker \
         WHERE SERVICE_STATE = 'OFF' AND LAST_ERROR_NUMBER IN ({errors})) THEN\n\
         START REPLICA SQL_THREAD;\nEND IF;\n\
         IF EXISTS (SELECT 1 FROM performance_schema.replication_connection_status \
         WHERE SERVICE_STATE = 'OFF' \
         AND LAST_ERROR_MESSAGE LIKE CONCAT('%the missing transactions are ''', @@GLOBAL.server_uuid, ':%')) THEN\n\
         START REPLICA IO_THREAD;\nEND IF;\n{}",
        set_up_again::pass_what_the_former_sent()
    );
    event_named("watchdog", WATCHDOG_LOCK, timing.net_timeout.max(2 * timing.beat + 1), "", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_makes_missing_heartbeat_rows_again_and_only_the_pair_is_heard() {
        let event = beat_event(2);
        let (makes, writes) = (event.find("INSERT IGNORE"), event.find("UPDATE pmp_ha.heartbeat"));
        assert!(makes.is_some() && makes < writes, "{event}");
        assert!(event.contains("r.role = 'primary') AND (SELECT COUNT(*)"), "{event}");
        assert!(event.contains("IFNULL(MAX(h.beat), 0)") && event.contains("h.node IN (1, 2)"), "{event}");
    }

    #[test]
    fn what_a_node_says_with_an_epoch_that_is_not_plausible_is_not_said() {
        let said = |epoch: &str| {
            read_role(|name| match name {
                "epoch" => Some(epoch.to_owned()),
                "role" => Some("primary".into()),
                "node" | "replaces" => Some("1".into()),
                _ => None,
            })
        };
        assert_eq!(said("5").map(|said| said.epoch), Some(5));
        for epoch in ["9223372036854775806", "18446744073709551615", "281474976710657"] {
            assert_eq!(said(epoch), None, "{epoch}");
        }
    }
}
