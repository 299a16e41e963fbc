//! The files of a home: packing and extracting data, exchanging folders, and node files.

pub mod copy;
pub mod in_place;
pub mod keep;
pub mod node_files;
pub mod pack;
pub mod place;
pub mod traces;
