//! Which node may serve what, as load balancers ask it.

use std::fmt;

use super::PageView;
use crate::domain::alarm::UnixSeconds;
use crate::domain::pair::Role;

/// What a load balancer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Reads and writes.
    Writes,
    /// Reads, beside the primary.
    Reads,
}

/// Why a node does not serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotServed {
    /// The monitor has not looked yet, or not for a while.
    NotLooked,
    /// It is the other node.
    OtherRole(Role),
    /// The database of this node does not answer.
    DatabaseGone,
    /// This node was replaced, or two nodes claim to be the primary.
    Replaced,
    /// Its database refuses the writes of Password Manager Pro.
    RefusesWrites,
}

impl fmt::Display for NotServed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLooked => f.write_str("the monitor has not checked the pair for a while"),
            Self::OtherRole(role) => write!(f, "this node is the {role}"),
            Self::DatabaseGone => f.write_str("the database of this node does not answer"),
            Self::Replaced => f.write_str("this node must not serve as the primary"),
            Self::RefusesWrites => f.write_str("the database of this node refuses writes"),
        }
    }
}

/// The findings with which a primary must not serve.
const REPLACED: [&str; 2] = ["superseded", "two-primaries"];

/// The findings with which a primary cannot serve writes.
const REFUSES: [&str; 2] = ["writes-refused", "writes-blocked"];

/// Returns whether the node of the monitor serves it at `now`.
///
/// # Errors
/// Says why not. What is not known is not served.
pub fn serves(view: Option<&PageView>, service: Service, now: UnixSeconds) -> Result<(), NotServed> {
    let view = view.filter(|view| !view.is_stale(now)).ok_or(NotServed::NotLooked)?;
    let here = view.here();
    let wanted = match service {
        Service::Writes => Role::Primary,
        Service::Reads => Role::Secondary,
    };
    if here.role != wanted {
        return Err(NotServed::OtherRole(here.role));
    }
    if here.database.is_err() {
        return Err(NotServed::DatabaseGone);
    }
    let is_found =
        |codes: &[&str]| view.report.health.findings.iter().any(|finding| codes.contains(&finding.code));
    if service == Service::Writes && is_found(&REPLACED) {
        return Err(NotServed::Replaced);
    }
    if service == Service::Writes && is_found(&REFUSES) {
        return Err(NotServed::RefusesWrites);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    #[test]
    fn a_node_serves_what_its_role_allows_and_nothing_that_is_not_known() {
        let view = hostile();
        let asked = |view: &PageView, service, later| serves(Some(view), service, view.at + later);
        // The primary serves without its secondary: that is what high availability is for.
        assert_eq!(asked(&view, Service::Writes, 0), Ok(()));
        assert_eq!(asked(&view, Service::Reads, 0), Err(NotServed::OtherRole(Role::Primary)));
        assert_eq!(asked(&view, Service::Writes, 21), Err(NotServed::NotLooked));
        assert_eq!(serves(None, Service::Writes, 0), Err(NotServed::NotLooked));
        let mut replaced = view.clone();
        replaced.report.health.findings[0].code = "superseded";
        assert_eq!(asked(&replaced, Service::Writes, 0), Err(NotServed::Replaced));
        for code in REFUSES {
            let mut refuses = view.clone();
            refuses.report.health.findings[0].code = code;
            assert_eq!(asked(&refuses, Service::Writes, 0), Err(NotServed::RefusesWrites));
        }
        let mut down = view.clone();
        down.nodes[0].database = Err("no process".into());
        assert_eq!(asked(&down, Service::Writes, 0), Err(NotServed::DatabaseGone));
        let mut secondary = view;
        (secondary.nodes[0].is_here, secondary.nodes[1].is_here) = (false, true);
        assert_eq!(asked(&secondary, Service::Reads, 0), Err(NotServed::DatabaseGone));
        secondary.nodes[1].database = Ok("8".into());
        assert_eq!(asked(&secondary, Service::Reads, 0), Ok(()));
        assert_eq!(asked(&secondary, Service::Writes, 0), Err(NotServed::OtherRole(Role::Secondary)));
    }
}
