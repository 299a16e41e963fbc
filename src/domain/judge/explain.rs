//! What a server's error numbers mean for the operator.

use crate::domain::pair::Role;

/// What to do about an error of the receiver or the applier of the node that plays `at`; `None`
/// for a number that is not known here.
pub(super) fn explain(number: u32, at: Role) -> Option<&'static str> {
    Some(match (number, at) {
        (1062 | 1032 | 1146 | 1054 | 1136, Role::Secondary) => {
            "The rows of the two nodes differ. Run `pmp-ha repair` on the secondary: it shows what differs and makes the secondary equal to the primary."
        }
        (1062 | 1032 | 1146 | 1054 | 1136, Role::Primary) => {
            "An audit row of the secondary does not fit in here; nothing is lost while it waits. A new pack puts both in step (`pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary) and replaces the secondary's rows: save first what only the secondary has."
        }
        (1236 | 13114, Role::Secondary) => {
            "A new pack is due: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary."
        }
        (1236 | 13114, Role::Primary) => {
            "Audit rows of the secondary can no longer flow back by themselves. A new pack is due: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary."
        }
        (1045, Role::Secondary) => {
            "The primary turned the replication account away: were both nodes set up by the same pack?"
        }
        (1045, Role::Primary) => {
            "The secondary was set up by another pack: install the last one there with `pmp-ha install-pack`."
        }
        (1593 | 13117, _) => {
            "Both servers have the same identity. Remove auto.cnf from the data of the secondary and restart it."
        }
        (2003 | 2002 | 2013 | 2005, _) => "The other node cannot be reached. It connects again by itself.",
        (2026, _) => {
            "The TLS handshake failed: the certificates must come from the same pack and carry the hosts' names."
        }
        (2061, _) => "The server wants TLS for this account: set the pair up anew.",
        (1227 | 1290, _) => "A right is missing or the server is read-only: was it changed by hand?",
        (1040, _) => "The other node has no connection left; it is alive.",
        (1114 | 1021 | 1026 | 1030 | 3675 | 3 | 28, _) => {
            "The disk is probably full. Free space there: the applier then goes on by itself. If it does not within a minute, restart the database there."
        }
        _ => return None,
    })
}
