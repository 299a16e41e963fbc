//! Looks at a home, a pair, a server or a copy. Looking changes nothing.

pub mod asking;
pub mod binlogs;
pub mod copy_way;
pub mod errant;
pub mod home;
pub mod other_node;
pub mod pair;
pub mod prove;
pub mod pulse;
pub mod recovery_source;
pub mod rows;
pub mod tfa;
