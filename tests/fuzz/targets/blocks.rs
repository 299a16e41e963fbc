//! Any bytes as a block of any size: refused, or exactly that size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pmp_ha::adapters::packfile::{Inflater, MARK, ROOM};

fuzz_target!(|input: (u16, &[u8])| {
    let (size, bytes) = input;
    let mut out = vec![0; usize::from(size) + MARK];
    if let Ok(plain) = Inflater::default().block(&mut [bytes, &[0; ROOM]].concat(), &mut out) {
        assert_eq!(plain.len(), usize::from(size));
    }
});
