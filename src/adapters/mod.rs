//! Each adapter hides one thing of the outside world and speaks in the types of the domain.

pub mod datadir;
pub mod digest;
pub mod home;
pub mod interrupt;
pub mod journal_file;
pub mod mysql;
pub mod mysqld;
pub mod names;
pub mod observe;
pub mod packfile;
pub mod random;
pub mod saved;
pub mod snapshot;
pub mod system;
pub mod template;
pub mod tls;
