//! Changes of the roles: promotion, switchover, and the rejoin of an old primary.

pub mod exchange;
pub mod promote;
pub mod rejoin;
