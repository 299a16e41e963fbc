//! What a server's error numbers mean for the operator.

use crate::domain::pair::Role;

/// Returns what to do about an error of the receiver or applier on the `at` node.
///
/// `None` for an unknown number.
pub(super) fn explain(number: u32, at: Role) -> Option<&'static str> {
    Some(match (number, at) {
        (1062 | 1032 | 1146 | 1054 | 1136, Role::Secondary) => {
            "The rows of the two nodes differ. Run `pmp-ha repair` on the secondary: it shows what differs and makes the secondary equal to the primary."
        }
        (1062 | 1032 | 1146 | 1054 | 1136, Role::Primary) => {
            "The primary cannot apply an audit row of the secondary; nothing is lost while it waits. A new pack makes both equal: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary. `install-pack` keeps the secondary's old data, with the rows that only it has."
        }
        (1236 | 13114, Role::Secondary) => {
            "Install a new pack: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary."
        }
        (1236 | 13114, Role::Primary) => {
            "Some audit rows of the secondary can no longer flow back. Install a new pack: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary. `install-pack` keeps the secondary's old data, with these rows."
        }
        (1045, Role::Secondary) => {
            "The primary rejected the replication account. Check that both nodes were set up with the same pack. Or the primary chose an account without a name instead: see `SELECT Host FROM mysql.user WHERE User = ''`, and drop that account."
        }
        (1045, Role::Primary) => {
            "The secondary has other secrets: they were changed since its pack was made. Install the latest pack there with `pmp-ha install-pack`. Or its server chose an account without a name instead of pmp-ha's: see `SELECT Host FROM mysql.user WHERE User = ''`, and drop that account."
        }
        (1104, _) => {
            "The other node's server rejects each query that reads more rows than its max_join_size. Raise it there: `SET GLOBAL max_join_size = DEFAULT`. Then run `pmp-ha repair` on the secondary."
        }
        (1792, _) => {
            "Read-only transactions are the default of this server, and this stops its applier. Run `pmp-ha stop` and `pmp-ha start` there."
        }
        (1593 | 13117, _) => {
            "Both servers have the same identity, or the applier could not begin. The server's error log shows which. If it is the identity, remove auto.cnf from the secondary's data directory and restart its database."
        }
        (2003 | 2002 | 2013 | 2005, _) => {
            "The other node cannot be reached. The receiver reconnects by itself."
        }
        (2026, _) => {
            "The TLS handshake failed. If a certificate is the cause, `pmp-ha verify` on both nodes names it: expired, not valid yet, for another host or from another CA."
        }
        (2061, _) => {
            "The server requires TLS for this account. Install a new pack: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary, which keeps its old data."
        }
        (1227 | 1290, _) => {
            "A right is missing, or the server is read-only. Check whether somebody changed it by hand."
        }
        (1040, _) => "The other node is alive but has no connection left.",
        (1114 | 1021 | 1026 | 1030 | 3675 | 3 | 28, _) => {
            "The disk is probably full. Free space there: the applier then resumes by itself. If it does not within a minute, restart the database there."
        }
        _ => return None,
    })
}
