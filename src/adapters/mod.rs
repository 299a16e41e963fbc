//! Each adapter hides one thing of the outside world and speaks in the types of the domain.
//!
//! The rooms, from the lowest floor up: [`bytes`] hashes, [`system`] is Linux, [`server`] talks to a
//! database server, [`home`] reads and writes an installation, [`pack`] is the archive, and [`look`]
//! gathers what a plan or a verdict is decided upon.

pub mod bytes;
pub mod clock;
pub mod home;
pub mod interrupt;
pub mod look;
pub mod pack;
pub mod random;
pub mod server;
pub mod system;
