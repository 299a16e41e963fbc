//! From a plan to effects: each step is recorded, done, recorded again; what fails is undone.
//!
//! A command talks to the engine; the engine asks [`steps`] what a step does; the rooms do it, with
//! what [`work`] holds. No room knows the engine.

mod cut_off;
mod database;
mod engine;
mod files;
mod online;
pub mod rehearse;
pub mod repair;
mod roles;
mod steps;
mod work;

pub use cut_off::{cut_off_run, refuse_cut_off_run, refuse_half_exchanged, refuse_held_database};
pub use engine::Settled;
pub use files::node_files;
pub use work::{Cost, NewPack, Runner, Secrets};
