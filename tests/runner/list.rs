//! Which tests a test program has.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The tests of a program that were asked for.
pub struct Listed {
    /// Those that run.
    pub names: Vec<String>,
    /// Those that are left to a run on every server.
    pub left: Vec<String>,
    /// Those that need two accounts, where there is only one.
    pub of_two_accounts: Vec<String>,
    /// Those of servers that nobody has brought.
    pub not_brought: Vec<String>,
}

/// The server that no registry has: whoever has it puts it into the servers' folder.
pub const BROUGHT: [&str; 1] = ["mysql-5.5"];

/// Whether a test is one of this server.
pub fn is_of(test: &str, server: &str) -> bool {
    test.ends_with(&format!("::{}", server.replace(['-', '.'], "_")))
}

fn is_brought(server: &str) -> bool {
    let folder = |var: &str| std::env::var_os(var).filter(|value| !value.is_empty()).map(PathBuf::from);
    let servers = folder("PMP_HA_SERVERS")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("pmp-ha/servers")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/pmp-ha/servers")));
    servers.is_some_and(|servers| servers.join(server).join("bin/mysqld").is_file())
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
        let (of_two_accounts, names): (Vec<String>, Vec<String>) = names
            .into_iter()
            .partition(|name| !is_root && TWO_ACCOUNTS.iter().any(|start| name.starts_with(start)));
        let absent: Vec<&str> = BROUGHT.into_iter().filter(|server| !is_brought(server)).collect();
        let (not_brought, names): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| absent.iter().any(|server| is_of(name, server)));
        Self { names, left, of_two_accounts, not_brought }
    }
}
