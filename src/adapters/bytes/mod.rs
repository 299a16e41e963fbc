//! Bytes on their way: hashes of files, and input and output past the system's cache.

pub mod digest;
pub mod direct;
pub mod tree_hash;
