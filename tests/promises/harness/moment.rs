//! Moments at which a command is cut off.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use super::command::cut;
use super::node::Node;

/// When a command is cut off: the step whose line it has said, and what has to be there besides.
#[derive(Debug)]
pub struct Moment {
    step: String,
    there: Option<&'static str>,
}

pub fn at(step: impl Into<String>) -> Moment {
    Moment { step: step.into(), there: None }
}

pub fn when(step: &'static str, there: &'static str) -> Moment {
    Moment { step: step.into(), there: Some(there) }
}

impl Moment {
    pub fn has_come(&self, said: &str, node: &Node) -> bool {
        let there = |path| node.path(path).exists();
        said.contains(&self.step) && self.there.is_none_or(there)
    }
}

/// Where the database is while it is booted: it has written its pid, and answers.
pub const BOOTED: &str = "mysql/tmp/boot/mysql.sock";

/// No server of this home runs, and no script that could still bring one up.
#[track_caller]
pub fn nothing_runs(node: &Node) {
    assert_eq!(left_behind(node), Vec::<String>::new());
}

/// The processes of this home, but for a stop script, which looks a last time whether the server is gone.
pub fn left_behind(node: &Node) -> Vec<String> {
    let mut left = node.processes();
    left.retain(|line| !line.contains("/bin/stopDB.sh"));
    left
}

/// What a start of the database wrote to `logs` is no change.
pub fn without_logs(mut files: BTreeMap<String, String>) -> BTreeMap<String, String> {
    files.retain(|path, _| !path.starts_with("logs"));
    files
}

/// Kills the tool at a moment, and proves by the journal of `changed` that a run was cut off.
#[track_caller]
pub fn kill_in(node: &Node, args: &[&str], changed: &Node, moment: &Moment) {
    let ran = cut(node.command(args), Signal::SIGKILL, |said| moment.has_come(said, changed));
    assert_eq!(ran.code, None, "{ran}");
    assert_eq!(changed.outcome(), None, "the run had ended: {ran}");
    if moment.there.is_some() {
        let step: u64 = moment.step[..1].parse().expect("a number");
        assert_eq!(changed.cut_in_step(), Some(step), "{ran}");
    }
}
