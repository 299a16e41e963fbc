//! The SQL for a secondary that a pack sets up again, while its pair keeps working.
//!
//! A pack changes nothing of the pair it is made from. Until it is installed, the former secondary goes on, and
//! what it sends to the primary after the pack was made is in no binlog of the primary. So the new server
//! - never counts rows as the former one did ([`counted_on`]),
//! - is not taken for the former one by a place in its binlogs ([`event`], [`pass_what_the_former_sent`]),
//! - says that its data are to be compared, until they were ([`due`]).

use super::flavor::{Flavor, Watchdog};
use super::locks::lock_name;
use super::pair::Role;
use super::server_event::{event_named, role_here};
use super::settings::{LOCAL_SCHEMA, OWN_SCHEMA, Timing};
use super::sql::{Sql, quote, quote_name};

/// Says, in [`OWN_SCHEMA`], that the data of a node are to be compared. The table is not replicated.
const COMPARE_DUE: &str = "compare_due";

/// Which server the return channel of a node has begun anew with, in [`OWN_SCHEMA`].
const BEGUN: &str = "return_channel";

/// Accounts for the return channel that are let in only when the primary has begun it anew.
const CLOSED: &str = "return_channel_closed";

/// Statements for each start of a server that forgets how far it has counted.
const COUNTED: &str = "counted_on";

/// So many rows the former secondary and the primary may have added to a table since the pack was made.
const ROOM: u64 = 1 << 22;

/// What the receiver of an old server says when its source lets it in, and not read its binlog.
const REFUSED: &str = "% after a failed registration on master";

/// What its applier says when there is nothing to apply.
const NOTHING_LEFT: &str = "Slave has read all relay log";

/// The tables that the other node's rows may come into.
#[must_use]
pub fn tables() -> Vec<Sql> {
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.{COMPARE_DUE} (node INT UNSIGNED NOT NULL PRIMARY KEY) \
             ENGINE=InnoDB"
        )
        .into(),
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.{BEGUN} (node INT UNSIGNED NOT NULL PRIMARY KEY, \
             uuid VARCHAR(36) NOT NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8"
        )
        .into(),
        format!(
            "CREATE TABLE IF NOT EXISTS {LOCAL_SCHEMA}.{CLOSED} (account VARCHAR(32) NOT NULL PRIMARY KEY) \
             ENGINE=InnoDB DEFAULT CHARACTER SET utf8"
        )
        .into(),
        format!(
            "CREATE TABLE IF NOT EXISTS {LOCAL_SCHEMA}.{COUNTED} (tbl VARCHAR(64) NOT NULL PRIMARY KEY, \
             statement TEXT NOT NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8"
        )
        .into(),
    ]
}

/// Records that the data of this node must be compared. The statement must not be logged.
#[must_use]
pub fn due() -> Sql {
    Sql::new(format!("REPLACE INTO {OWN_SCHEMA}.{COMPARE_DUE} VALUES (@@GLOBAL.server_id)"))
}

/// Records that they were compared, and are equal. The statement must not be logged.
#[must_use]
pub fn compared() -> Sql {
    Sql::new(format!("DELETE FROM {OWN_SCHEMA}.{COMPARE_DUE} WHERE node = @@GLOBAL.server_id"))
}

/// Returns one row if the data of the server must be compared.
pub const ASK_DUE: &str = "SELECT node FROM pmp_ha.compare_due WHERE node = @@GLOBAL.server_id";

/// Lets the return account log in without reading the binlog, until the primary has begun again.
#[must_use]
pub fn close(account: &str) -> Vec<Sql> {
    vec![
        format!("REPLACE INTO {LOCAL_SCHEMA}.{CLOSED} VALUES ({})", quote(account)).into(),
        format!("UPDATE mysql.user SET Repl_slave_priv = 'N' WHERE User = {}", quote(account)).into(),
        "FLUSH NO_WRITE_TO_BINLOG PRIVILEGES".to_owned().into(),
    ]
}

/// Returns the next number of a table, so that no new row reuses a former secondary's number.
///
/// The former secondary may have added rows since the pack was made. `next` is the table's next number,
/// and `kind` the type of the column.
#[must_use]
pub fn counted_on(next: u64, kind: &str) -> u64 {
    let kind = kind.to_lowercase();
    let bits: u32 = match kind.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default() {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" | "integer" => 32,
        _ => 64,
    };
    let largest = u64::MAX >> (64 - bits) >> u32::from(!kind.contains("unsigned"));
    // A small column has no room for many secondaries.
    next.saturating_add(ROOM.min(largest.saturating_sub(next) / 64))
}

/// Makes a table count from there.
#[must_use]
pub fn count_from(schema: &str, table: &str, next: u64) -> Sql {
    Sql::new(format!("ALTER TABLE {}.{} AUTO_INCREMENT = {next}", quote_name(schema), quote_name(table)))
}

/// Stores this statement for each start of the server; `None` if it remembers its counters.
#[must_use]
pub fn at_each_start(flavor: &Flavor, table: &str, statement: &Sql) -> Option<Sql> {
    (flavor.watchdog() == Watchdog::OfReceiverAndApplier && flavor.return_channel_can_go_on()).then(|| {
        Sql::new(format!(
            "REPLACE INTO {LOCAL_SCHEMA}.{COUNTED} VALUES ({}, {})",
            quote(table),
            quote(statement.text())
        ))
    })
}

const LOCK: &str = lock_name!("return_channel");

/// Creates the event that begins the return channel again, on servers with file and position.
///
/// The account that the primary has opens the new secondary, and may not read its binlog. The receiver says so,
/// tries again and again, and has learnt by then which server it is. On the primary, the event forgets the
/// place in the former secondary's binlogs, and says with whom the channel has begun anew. That is replicated.
/// Nothing else of the channel changes: the certificate of the secondary is checked as before.
/// On the new secondary, the event reads it and lets the account in.
#[must_use]
pub fn event(timing: &Timing) -> String {
    let (primary, secondary) = (role_here(Role::Primary), role_here(Role::Secondary));
    // A server that has just started has forgotten how far it had counted.
    let young = 10 * timing.beat;
    let body = format!(
        "BEGIN\n\
         DECLARE other VARCHAR(36) DEFAULT '';\n\
         DECLARE one TEXT;\n\
         DECLARE done BOOL DEFAULT FALSE;\n\
         DECLARE statements CURSOR FOR SELECT c.statement FROM {LOCAL_SCHEMA}.{COUNTED} c;\n\
         DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE;\n\
         IF {primary} AND EXISTS (SELECT 1 FROM information_schema.PROCESSLIST p \
         WHERE p.USER = 'system user' AND p.STATE LIKE '{REFUSED}') \
         AND EXISTS (SELECT 1 FROM information_schema.PROCESSLIST p \
         WHERE p.USER = 'system user' AND p.STATE LIKE '{NOTHING_LEFT}%') THEN\n\
         BEGIN\n\
         DECLARE EXIT HANDLER FOR SQLEXCEPTION START SLAVE;\n\
         STOP SLAVE;\n\
         SELECT m.Uuid INTO other FROM mysql.slave_master_info m LIMIT 1;\n\
         IF other <> '' AND NOT EXISTS (SELECT 1 FROM {OWN_SCHEMA}.{BEGUN} b \
         WHERE b.node = @@GLOBAL.server_id AND b.uuid = other) THEN\n\
         CHANGE MASTER TO MASTER_LOG_FILE = '', MASTER_LOG_POS = 4;\n\
         REPLACE INTO {OWN_SCHEMA}.{BEGUN} VALUES (@@GLOBAL.server_id, other);\n\
         END IF;\n\
         START SLAVE;\n\
         END;\n\
         END IF;\n\
         IF {secondary} AND EXISTS (SELECT 1 FROM {LOCAL_SCHEMA}.{CLOSED}) \
         AND EXISTS (SELECT 1 FROM {OWN_SCHEMA}.{BEGUN} b \
         WHERE b.node <> @@GLOBAL.server_id AND b.uuid = @@GLOBAL.server_uuid) THEN\n\
         SET SESSION sql_log_bin = 0;\n\
         UPDATE mysql.user u SET u.Repl_slave_priv = 'Y' \
         WHERE u.User IN (SELECT c.account FROM {LOCAL_SCHEMA}.{CLOSED} c);\n\
         FLUSH NO_WRITE_TO_BINLOG PRIVILEGES;\n\
         DELETE FROM {LOCAL_SCHEMA}.{CLOSED};\n\
         SET SESSION sql_log_bin = 1;\n\
         END IF;\n\
         IF {secondary} AND EXISTS (SELECT 1 FROM information_schema.GLOBAL_STATUS s \
         WHERE s.VARIABLE_NAME = 'UPTIME' AND s.VARIABLE_VALUE + 0 < {young}) THEN\n\
         SET SESSION sql_log_bin = 0;\n\
         SET done = FALSE;\n\
         OPEN statements;\n\
         each_one: LOOP\n\
         FETCH statements INTO one;\n\
         IF done THEN LEAVE each_one; END IF;\n\
         SET @pmp_ha_counted = one;\n\
         PREPARE counted FROM @pmp_ha_counted;\n\
         EXECUTE counted;\n\
         DEALLOCATE PREPARE counted;\n\
         END LOOP;\n\
         CLOSE statements;\n\
         SET SESSION sql_log_bin = 1;\n\
         END IF;\n\
         END;"
    );
    event_named("return_channel", LOCK, timing.beat, "", &body)
}

/// What the watchdog of a secondary does on servers with GTIDs.
///
/// What the former secondary sent to the primary since the pack was made is in no binlog there. The
/// watchdog marks it as received. The data must then be compared.
///
/// The primary's own transactions never count so.
#[must_use]
pub fn pass_what_the_former_sent() -> String {
    const LIST: &str = "the missing transactions are ''";
    let secondary = role_here(Role::Secondary);
    format!(
        "IF {secondary} THEN\n\
         BEGIN\n\
         DECLARE missing TEXT DEFAULT '';\n\
         SELECT IFNULL(MAX(SUBSTRING_INDEX(SUBSTRING_INDEX(c.LAST_ERROR_MESSAGE, '{LIST}', -1), '''', 1)), '') \
         INTO missing FROM performance_schema.replication_connection_status c \
         WHERE c.SERVICE_STATE = 'OFF' AND c.SOURCE_UUID <> '' AND c.LAST_ERROR_MESSAGE LIKE '%{LIST}%' \
         AND LOCATE(c.SOURCE_UUID, SUBSTRING_INDEX(c.LAST_ERROR_MESSAGE, '{LIST}', -1)) = 0 \
         AND LOCATE(@@GLOBAL.server_uuid, SUBSTRING_INDEX(c.LAST_ERROR_MESSAGE, '{LIST}', -1)) = 0;\n\
         IF missing <> '' THEN\n\
         SET SESSION sql_log_bin = 0;\n\
         {};\n\
         SET SESSION sql_log_bin = 1;\n\
         SET GLOBAL gtid_purged = CONCAT('+', missing);\n\
         START REPLICA IO_THREAD;\n\
         END IF;\n\
         END;\n\
         END IF;",
        due().text()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_of_the_new_secondary_gets_a_number_of_the_former_one() {
        assert_eq!(counted_on(10, "bigint(20)"), 10 + ROOM);
        assert_eq!(counted_on(10, "int(10) unsigned"), 10 + ROOM);
        assert_eq!(counted_on(10, "INT"), 10 + ROOM);
        // A small one keeps room for the next secondaries.
        assert_eq!(counted_on(100, "tinyint"), 100);
        assert_eq!(counted_on(767, "smallint(6)"), 767 + 500);
        assert_eq!(counted_on(u64::MAX, "bigint unsigned"), u64::MAX);
        assert_eq!(counted_on(1 << 40, "mediumint"), 1 << 40, "whatever a server says");
    }

    #[test]
    fn the_primarys_own_transactions_never_count_as_had() {
        let sql = pass_what_the_former_sent();
        assert!(sql.contains("LOCATE(c.SOURCE_UUID") && sql.contains("compare_due"), "{sql}");
    }

    #[test]
    fn the_place_is_forgotten_before_it_is_said_that_the_channel_begins_anew() {
        let event = event(&Timing { net_timeout: 5, connect_retry: 3, heartbeat: 1, beat: 2 });
        let at = |words: &str| event.find(words).unwrap_or_else(|| panic!("no {words} in {event}"));
        assert!(at("STOP SLAVE;") < at("SELECT m.Uuid") && at("SELECT m.Uuid") < at("CHANGE MASTER"));
        assert!(at("CHANGE MASTER") < at("REPLACE INTO pmp_ha.return_channel"));
        // `RESET SLAVE` would also forget that the secondary's certificate is checked.
        assert!(!event.contains("RESET SLAVE"), "{event}");
        assert!(at("b.uuid = @@GLOBAL.server_uuid") < at("Repl_slave_priv = 'Y'"));
    }
}
