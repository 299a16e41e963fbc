//! What pmp-ha promises, tested through the binary on real servers: a file per promise.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "the names are those of the server and of the tool"
)]
#![allow(clippy::needless_pass_by_value, reason = "a test hands over what it made for the purpose")]

#[cfg(target_arch = "x86_64")]
mod accounts;
mod agreement;
mod alarms;
mod asking;
mod audit_rows;
mod bad_input;
mod bad_packs;
mod by_cron;
mod cli;
mod crafted_log;
mod crash;
mod cut_off_changes;
mod deep;
mod doctor;
mod errant;
mod failover;
mod guard;
mod guides;
mod harness;
mod hooks;
mod in_place;
mod interrupts;
mod kept;
mod key;
#[cfg(target_arch = "x86_64")]
mod kill_points;
mod lab;
mod link;
mod main_job;
mod mended;
mod online;
mod ordinary_sql;
mod pack_content;
mod page;
mod pair;
mod product;
mod protected;
mod readers;
mod reconfigure;
mod recovered;
mod recovery;
mod rehearse;
mod repair;
mod resume;
mod return_channel;
mod rollback;
mod rotate;
mod runbook;
mod scenarios;
mod screen;
mod semi_sync;
mod service;
mod setup;
mod setup_over_ssh;
mod start_script;
mod strangers;
mod support;
mod switchover;
#[cfg(target_arch = "x86_64")]
mod teardown;
mod tls;
mod told_once;
#[cfg(target_arch = "x86_64")]
mod two_accounts;
mod unit;
mod verify;
mod verify_output;
mod waits;
mod way_back;
