//! What pmp-ha promises, tested through the binary on real servers: a file per promise.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "the names are those of the server and of the tool"
)]
#![allow(clippy::needless_pass_by_value, reason = "a test hands over what it made for the purpose")]

mod bad_input;
mod bad_packs;
mod cli;
mod crash;
mod harness;
mod interrupts;
mod key;
mod lab;
mod link;
mod main_job;
mod pack_content;
mod pair;
mod recovered;
mod recovery;
mod service;
mod sql;
mod tls;
mod verify;
mod way_back;
mod wire;
