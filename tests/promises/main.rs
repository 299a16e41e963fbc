//! What pmp-ha promises, tested through the binary on real servers: a file per promise.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]

mod bad_input;
mod bad_packs;
mod crash;
mod harness;
mod interrupts;
mod link;
mod main_job;
mod pair;
mod recovered;
mod recovery;
mod sql;
mod tls;
mod verify;
mod wire;
