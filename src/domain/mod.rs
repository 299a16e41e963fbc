//! The rules about a pair, as values: parsing, deciding and planning.
//!
//! Nothing here acts: no file, network, process, clock, randomness or output. Facts come in as
//! arguments, and decisions go out as values.

pub mod accounts;
pub mod acting;
pub mod after_crash;
pub mod alarm;
pub mod built_in;
pub mod certificate;
pub mod chronicle;
pub mod coordinates;
pub mod datafiles;
pub mod datastore;
pub mod deep;
pub mod definitions;
pub mod digest;
pub mod errant;
pub mod flavor;
pub mod handbook;
pub mod health;
pub mod history;
pub mod home;
pub mod journal;
pub mod judge;
pub mod kept;
pub mod lag;
pub mod manifest;
pub mod nagios;
pub mod own_schema;
pub mod page;
pub mod pair;
pub mod plan;
pub mod procedures;
pub mod properties;
pub mod redo;
pub mod refusal;
pub mod rehearsal;
pub mod relay_log;
pub mod report;
pub mod returned;
pub mod rotation;
pub mod settings;
pub mod settling;
pub mod snapshot;
pub mod sql;
pub mod standing;
pub mod start_script;
pub mod table;
pub mod tables;
pub mod turn;
pub mod unit;
pub mod web;
pub mod words;
