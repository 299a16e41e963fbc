//! What the tool's events inside a server have in common.

use super::accounts::ADMIN_USER;
use super::pair::Role;
use super::settings::OWN_SCHEMA;
use super::sql::OWN_DEFAULTS_INSIDE;

/// Whether this node has the role, as a condition inside a stored program.
pub(super) fn role_here(role: Role) -> String {
    format!(
        "EXISTS (SELECT 1 FROM {OWN_SCHEMA}.role r WHERE r.node = @@GLOBAL.server_id AND r.role = '{role}')"
    )
}

/// An event that runs every so many seconds.
///
/// `lock` is the name of its lock, as an expression. `before` runs before it takes the lock.
pub(super) fn event_named(name: &str, lock: &str, seconds: u64, before: &str, body: &str) -> String {
    // One at a time: on a full disk each would wait, and take a connection.
    format!(
        "CREATE DEFINER='{ADMIN_USER}'@'localhost' EVENT {OWN_SCHEMA}.{name} ON SCHEDULE EVERY {seconds} SECOND \
         ON COMPLETION PRESERVE ENABLE DO BEGIN\n\
         DECLARE heard BIGINT DEFAULT 0;\n\
         DECLARE pulses BIGINT DEFAULT 0;\n\
         {OWN_DEFAULTS_INSIDE}{before}\n\
         IF GET_LOCK({lock}, 0) = 1 THEN\n{body}\n\
         DO RELEASE_LOCK({lock});\n\
         END IF;\nEND"
    )
}
