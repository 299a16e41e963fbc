//! Each adapter hides one thing of the outside world and speaks in the types of the domain.

pub mod backup_tool;
pub mod binlogs;
pub mod compare;
pub mod datadir;
pub mod digest;
pub mod direct;
pub mod errant;
pub mod home;
pub mod interrupt;
pub mod journal_file;
pub mod kept;
#[cfg(not(all(feature = "old-tls", feature = "sealed")))]
mod left_out;
pub mod mysql;
pub mod mysqld;
pub mod names;
pub mod observe;
#[cfg(feature = "old-tls")]
pub mod old_tls;
pub mod online;
pub mod other_node;
pub mod packfile;
pub mod prove;
pub mod random;
pub mod recovery_source;
pub mod saved;
pub mod seal;
#[cfg(feature = "sealed")]
pub mod sealed;
pub mod signature;
pub mod snapshot;
pub mod system;
pub mod template;
pub mod tfa;
pub mod tls;
pub mod tree_hash;
pub mod undo_file;
pub mod unpacked;

#[cfg(not(feature = "old-tls"))]
pub use left_out::old_tls;
#[cfg(not(feature = "sealed"))]
pub use left_out::sealed;
