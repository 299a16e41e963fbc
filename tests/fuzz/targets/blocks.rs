//! Any bytes as a block of any size: refused, or exactly that size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pmp_ha::adapters::packfile::Inflater;

fuzz_target!(|input: (u16, &[u8])| {
    let (size, bytes) = input;
    let mut out = vec![0; usize::from(size)];
    let _ = Inflater::default().block(bytes, &mut out);
});
