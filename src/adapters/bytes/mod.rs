//! Bytes in motion: hashes of files, and input and output that bypass the system's cache.

pub mod digest;
pub mod direct;
pub mod tree_hash;
