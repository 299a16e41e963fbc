//! The names of the tool's accounts.
//!
//! Four of them are for the other node. An account has one password at a time. While a pair changes its secrets, both nodes accept the old
//! ones and the new ones, so the new accounts have names of their own: the same, with another end.

/// The account that the tool works with on a running server, and that its events run as.
pub const ADMIN_USER: &str = "pmp_ha_admin";

/// With this account the secondary reads the primary's binlog.
pub const REPLICATION_USER: &str = "pmp_ha_repl";
/// With this account the primary reads the secondary's binlog.
pub const BACK_USER: &str = "pmp_ha_back";
/// This account reads data, to compare them.
pub const READER_USER: &str = "pmp_ha_reader";
/// This account reads the state of replication, from either node.
pub const MONITOR_USER: &str = "pmp_ha_monitor";

/// The account whose rights bind the applier of the primary, where the server can do that. Nobody can
/// log in with it.
pub const APPLIER_USER: &str = "pmp_ha_applier";

/// The ends of the names. `MySQL` 5.6 stores names of 16 characters, and the longest is 14 long.
const ENDS: [&str; 4] = ["", "_b", "_c", "_d"];

/// Returns the account of a name without its ending; `None` if the other node does not use it.
#[must_use]
pub fn meant_by(user: &str) -> Option<&'static str> {
    let of = |name: &str| {
        [REPLICATION_USER, BACK_USER, MONITOR_USER, READER_USER].into_iter().find(|known| *known == name)
    };
    ENDS.iter().rev().find_map(|end| of(user.strip_suffix(end)?))
}

/// Returns an end that no account has yet.
#[must_use]
pub fn free_end(users: &[String]) -> Option<&'static str> {
    let is_taken = |end: &str| {
        users.iter().any(|user| meant_by(user).is_some_and(|known| user.strip_prefix(known) == Some(end)))
    };
    ENDS.into_iter().find(|end| !is_taken(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_accounts_have_an_end_that_no_account_has() {
        let users = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(free_end(&users(&["pmp_ha_repl", "pmp_ha_admin"])), Some("_b"));
        assert_eq!(free_end(&users(&["pmp_ha_monitor_b", "pmp_ha_applier"])), Some(""));
        assert_eq!(free_end(&users(&["pmp_ha_repl", "pmp_ha_back_b"])), Some("_c"));
        let all = ENDS.map(|end| format!("pmp_ha_reader{end}"));
        assert_eq!(free_end(&all), None);
        for user in all {
            assert_eq!(meant_by(&user), Some(READER_USER));
            assert!(user.len() <= 16, "{user}");
        }
        for other in
            ["pmp_ha_admin", "pmp_ha_admin_b", "pmp_ha_applier", "pmp_ha_boot", "root", "pmp_ha_repl_x"]
        {
            assert_eq!(meant_by(other), None, "{other}");
        }
    }
}
