//! Inside one running or offline server: accounts, guard, channel, role, and the boot around them.

pub mod accounts;
pub mod align;
pub mod backlog;
pub mod boot;
pub mod channel;
pub mod guard;
pub mod key_query;
pub mod limit;
pub mod options;
pub mod receiver;
pub mod role;
pub mod semi_sync;
pub mod sent;
pub mod session;
mod set_up_again;
pub mod source;
pub mod source_state;
pub mod start;
mod stored;
