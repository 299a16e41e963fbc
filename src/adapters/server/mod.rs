//! A database server: a session with it, its process, its TLS, its name and its backup program.

pub mod backup_tool;
pub mod names;
pub mod old_tls;
pub mod process;
pub mod session;
