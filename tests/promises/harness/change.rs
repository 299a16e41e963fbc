//! Changes of roles: a command on each node, and who is what afterwards.

use std::process::{Child, Stdio};

use super::{Node, Ran};

pub fn begin(node: &Node, args: &[&str]) -> Child {
    node.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
}

pub fn end(child: Child, what: &str) -> Ran {
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran::of_parts(what.into(), output.status.code(), text(output.stdout), text(output.stderr))
}

/// Exchanges the roles, one command on each node.
pub fn exchange(from: &Node, to: &Node) -> Ran {
    let gives = begin(from, &["switchover", "--wait", "120"]);
    let takes = begin(to, &["--json", "switchover", "--wait", "120"]);
    let takes = end(takes, "switchover on the secondary").ok();
    end(gives, "switchover on the primary").ok();
    takes
}

pub fn word(node: &Node) -> String {
    std::fs::read_to_string(node.path("conf/serverstate.conf")).expect("there")
}

/// Whether its own word says that it is the primary.
pub fn is_primary(node: &Node) -> bool {
    word(node).trim() == "master"
}

/// The one that is the primary, and the one that is the secondary.
#[track_caller]
pub fn roles<'a>([a, b]: [&'a Node; 2], when: &str) -> [&'a Node; 2] {
    match [a, b].map(is_primary) {
        [true, false] => [a, b],
        [false, true] => [b, a],
        both => panic!("{when}: are they primaries? {both:?}"),
    }
}
