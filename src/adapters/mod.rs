//! Each adapter hides one part of the outside world behind the types of the domain.
//!
//! From the lowest floor up: [`bytes`] hashes, [`system`] is Linux, [`server`] talks to a database
//! server, [`home`] reads and writes an installation, [`pack`] is the archive, [`alert`] sends alarms,
//! [`page`] serves the page, and [`look`] gathers what a plan or a verdict needs. [`chronicle`] keeps what
//! happened.

#[cfg(feature = "alarms")]
pub mod alert;
#[cfg(not(feature = "alarms"))]
#[path = "no_alerts.rs"]
pub mod alert;
pub mod bundle;
pub mod bytes;
pub mod chronicle;
pub mod clock;
pub mod home;
pub mod interrupt;
pub mod look;
pub mod pack;
#[cfg(feature = "page")]
pub mod page;
pub mod program;
pub mod random;
pub mod remote;
pub mod server;
pub mod system;
