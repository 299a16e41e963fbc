//! What pmp-ha promises, tested through the binary on real servers: a file per promise.

mod harness;
mod main_job;
