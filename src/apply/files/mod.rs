//! The files of a home: data into a pack, out of a pack, beside each other, and what a node is made of.

pub mod copy;
pub mod in_place;
pub mod keep;
pub mod node_files;
pub mod pack;
pub mod place;
pub mod traces;
