//! High availability for Password Manager Pro with its bundled MySQL.
//!
//! The map: [`cli`] and [`commands`] take what was asked for; [`adapters`] look at the world;
//! [`domain`] decides, purely; [`apply`] carries out a plan, journalled; [`ui`] is the only door
//! for output and [`failure`] the only place that chooses an exit code. `docs/architecture.md` is the guide.

pub mod adapters;
pub mod apply;
pub mod cli;
pub mod commands;
pub mod config;
pub mod deep;
pub mod domain;
pub mod failure;
pub mod lab;
pub mod ui;
