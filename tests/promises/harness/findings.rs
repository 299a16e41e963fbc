//! Waiting for what `verify` finds.

use super::node::Node;
use super::wait::wait_until;

/// Waits until `verify` finds all of `codes`.
#[track_caller]
pub fn wait_for(node: &Node, codes: &[&str]) {
    let mut found = Vec::new();
    wait_until(&format!("verify finds {codes:?}"), || {
        found = node.findings();
        codes.iter().all(|code| found.iter().any(|f| f == code))
    });
}

/// Waits until `verify` finds just `codes`.
#[track_caller]
pub fn wait_for_only(node: &Node, codes: &[&str]) {
    let mut found = Vec::new();
    wait_until(&format!("verify finds just {codes:?}"), || {
        found = node.findings();
        found == codes
    });
}
