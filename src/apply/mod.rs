//! Carries out a plan: records each step, does it, records it again, and undoes what fails.
//!
//! A command talks to the engine. The engine asks [`steps`] what a step does. The other modules do
//! it, with the context in [`work`]. None of them knows the engine.

mod cut_off;
mod database;
mod engine;
mod files;
mod online;
pub mod rehearse;
pub mod repair;
mod roles;
mod secrets;
mod steps;
mod work;

pub use cut_off::{cut_off_run, refuse_cut_off_run, refuse_half_exchanged, refuse_held_database};
pub use database::receiver::start_again as start_receiver_again;
pub use engine::Settled;
pub use files::node_files;
pub use roles::hook::tell as tell_hook;
pub use work::{Cost, NewPack, OtherPart, Runner, Secrets};
