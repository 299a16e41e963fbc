//! High availability for Password Manager Pro and its bundled MySQL.
//!
//! [`cli`] and [`commands`] take the request. [`adapters`] read the outside world, [`domain`]
//! decides without I/O, [`apply`] carries out a plan with a
//! journal, and [`watch`] announces what the monitor sees. All output goes through
//! [`ui`], and only [`failure`] chooses an exit code. `docs/architecture.md` is the guide.

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
pub mod watch;
