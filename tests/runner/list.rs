//! Which tests a test program has.

use std::path::Path;
use std::process::Command;

/// The tests of a program that were asked for.
pub struct Listed {
    /// Those that run.
    pub names: Vec<String>,
    /// Those that are left to a run on every server.
    pub left: Vec<String>,
    /// Those that need two accounts, where there is only one.
    pub of_two_accounts: Vec<String>,
}

/// How the names of the tests begin that need two accounts. An sshd is one of two itself.
const TWO_ACCOUNTS: [&str; 2] = ["accounts::", "setup_over_ssh::"];

impl Listed {
    pub fn of(program: &Path, filters: &[String], skip: &[String], every_server: bool) -> Self {
        let wanted = |name: &String| {
            let holds = |words: &[String]| words.iter().any(|word| name.contains(word.as_str()));
            (filters.is_empty() || holds(filters)) && !holds(skip)
        };
        let list = |more: &[&str]| -> Vec<String> {
            let output = Command::new(program)
                .args(["--list", "--format", "terse"])
                .args(more)
                .output()
                .expect("the test program runs");
            let text = String::from_utf8(output.stdout).expect("names");
            text.lines()
                .filter_map(|line| line.strip_suffix(": test"))
                .map(ToOwned::to_owned)
                .filter(wanted)
                .collect()
        };
        let (mut names, mut left) = (list(&[]), list(&["--ignored"]));
        if every_server {
            left.clear();
        }
        names.retain(|name| !left.contains(name));
        // A space that somebody without rights makes has one account.
        let is_root = nix::unistd::geteuid().is_root();
        let (of_two_accounts, names) = names.into_iter().partition(|name| {
            let needs_two = TWO_ACCOUNTS.iter().any(|start| name.starts_with(start));
            !is_root && needs_two
        });
        Self { names, left, of_two_accounts }
    }
}
