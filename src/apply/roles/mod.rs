//! Changes of the roles: promotion, switchover, and the rejoin of an old primary.

mod dialogue;
pub mod exchange;
pub mod hook;
pub mod promote;
mod receiver;
pub mod rejoin;
