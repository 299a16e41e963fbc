//! What is true about a pair, as values: parsing, deciding and planning.
//!
//! Nothing in here acts. There is no file, no network, no process, no clock, no
//! randomness and no printing; facts come in as arguments and decisions go out as values.

pub mod coordinates;
pub mod datafiles;
pub mod flavor;
pub mod health;
pub mod home;
pub mod journal;
pub mod judge;
pub mod manifest;
pub mod pair;
pub mod plan;
pub mod procedures;
pub mod properties;
pub mod refusal;
pub mod settings;
pub mod snapshot;
pub mod sql;
pub mod start_script;
