//! A database server: a session with it, its process, its TLS, its name and its backup program.

pub mod backup_tool;
mod error_log;
pub mod names;
mod offline;
#[cfg(feature = "old-tls")]
pub mod old_tls;
#[cfg(not(feature = "old-tls"))]
#[path = "no_old_tls.rs"]
pub mod old_tls;
pub mod process;
pub mod quiet;
pub mod session;
