//! What pmp-ha promises, tested through the binary on real servers: a file per promise.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]

mod crash;
mod harness;
mod link;
mod main_job;
mod pair;
mod recovered;
mod sql;
mod tls;
mod verify;
mod wire;
