//! Reads a home, a pair, a server or a copy. Reading changes nothing.

pub mod asking;
pub mod binlogs;
pub mod catalogue;
pub mod copy_way;
pub mod definitions;
pub mod doctor;
pub mod errant;
pub mod home;
pub mod key_data;
pub mod left_out;
pub mod locks;
mod log_events;
pub mod other_node;
pub mod pair;
pub mod prove;
pub mod pulse;
pub mod recovery_source;
pub mod relay_files;
pub mod returned;
pub mod rows;
pub mod structure;
pub mod support;
pub mod teardown;
pub mod tfa;
pub mod upkeep;
pub mod watcher;
pub mod web;
