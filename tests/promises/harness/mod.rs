//! Labs, commands and conditions for the tests: a file for each.

pub mod alarm;
#[cfg(target_arch = "x86_64")]
pub mod both;
pub mod change;
mod command;
pub mod content;
pub mod disk;
mod findings;
pub mod forge;
pub mod hook;
pub mod json;
mod lab;
pub mod load;
mod looks;
mod moment;
mod node;
pub mod pack;
mod pristine;
mod process;
mod put;
mod receiver;
pub mod secret;
pub mod sql;
mod terminal;
#[cfg(target_arch = "x86_64")]
pub mod trace;
#[cfg(target_arch = "x86_64")]
pub mod treasure;
mod wait;
pub mod wire;
mod writer;

pub use command::{Going, NOBODY, Ran, command, command_of_nobody, cut, is_root, pmp_ha};
pub use content::assert_same;
pub use findings::{wait_for, wait_for_only};
#[allow(unused_imports, reason = "the proof by chaos looks so")]
pub use lab::alive;
pub use lab::{Lab, wait_alive_both};
#[allow(unused_imports, reason = "the proof by chaos has watchers of its own")]
pub use looks::Looks;
pub use moment::{BOOTED, at, kill_in, left_behind, nothing_runs, when, without_logs};
pub use node::Node;
pub use pristine::pristine;
pub use process::{command_lines, is_alive, send_signal};
pub use put::Put;
#[allow(unused_imports, reason = "the proof by chaos sends no alarms")]
pub use receiver::{Bare, Receiver, free_port, listens};
pub use terminal::OnTerminal;
pub use wait::{PATIENCE, wait_until, wait_until_or, wait_within};
pub use writer::{TABLE, UNDER_LOAD, Writer, everything_is_there_once};

/// Makes one test for each server out of a function that takes the server's name.
///
/// A server that is not there makes its tests fail; `scripts/test` leaves such tests out, says
/// so in its last lines, and fails itself when fewer than three servers are there.
#[macro_export]
macro_rules! on_every_server {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            #[test]
            fn mysql_5_6() { super::$name("mysql-5.6"); }
            #[test]
            fn mysql_9_7() { super::$name("mysql-9.7"); }
            #[test]
            fn mariadb_10_11() { super::$name("mariadb-10.11"); }
            #[test]
            fn mariadb_11_8() { super::$name("mariadb-11.8"); }
        }
    )+ };
}

/// Makes one test more for the server that no registry has, for what was seen on it.
///
/// Where nobody has put it into the servers' folder, the runner leaves its tests out, and names it.
#[macro_export]
macro_rules! on_old_servers {
    ($($name:ident),+ $(,)?) => {
        mod old { $(
            mod $name {
                #[test]
                fn mysql_5_5() { super::super::$name("mysql-5.5"); }
            }
        )+ }
    };
}

/// As [`on_every_server!`], for what is the tool's own work more than a server's: `left` names the
/// servers that only `scripts/test --every-server` runs it on.
#[macro_export]
macro_rules! on_servers {
    ($name:ident: $($server:ident),+; left: $($left:ident),+) => {
        mod $name {
            $(
                #[test]
                fn $server() { super::$name($crate::harness::server_called(stringify!($server))); }
            )+
            $(
                #[test]
                #[ignore = "left to scripts/test --every-server"]
                fn $left() { super::$name($crate::harness::server_called(stringify!($left))); }
            )+
        }
    };
}

/// The server that a test is named after.
pub fn server_called(test: &str) -> &'static str {
    let servers = ["mysql-5.5", "mysql-5.6", "mysql-9.7", "mariadb-10.11", "mariadb-11.8"];
    let named = servers.into_iter().find(|server| server.replace(['-', '.'], "_") == test);
    named.expect("the name of a server")
}

/// Whether each chosen point is tried, or every fourth one: `scripts/test --every-server` tries each.
pub fn is_thorough() -> bool {
    std::env::var_os("PMP_HA_TESTS_EVERY_SERVER").is_some()
}
