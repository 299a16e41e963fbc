//! Changes of the roles: promotion, the exchange of two nodes, the return of an old primary.

pub mod exchange;
pub mod promote;
pub mod rejoin;
