//! Hashes of files, old signatures, and input and output without the system's cache.

pub mod digest;
pub mod direct;
#[cfg(feature = "old-tls")]
pub mod old_signature;
#[cfg(not(feature = "old-tls"))]
#[path = "no_old_signature.rs"]
pub mod old_signature;
pub mod tree_hash;
