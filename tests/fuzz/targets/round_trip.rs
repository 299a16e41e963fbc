//! Any content, repeated and padded with zeros as pages are: what comes out is what went in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pmp_ha::adapters::pack::{Deflater, Effort, Inflater, MARK, ROOM};

const PAGE: usize = 16 << 10;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (repeats, zeros, bytes) = input;
    let mut plain = bytes.repeat(usize::from(repeats % 8) + 1);
    plain.resize(plain.len() + PAGE * usize::from(zeros % 8), 0);
    plain.extend(bytes);
    for effort in [Effort::Quick, Effort::Dense] {
        let mut packed = Vec::new();
        Deflater::new(effort).block(&plain, &mut packed).expect("deflated");
        packed.extend([0; ROOM]);
        let mut back = vec![0; plain.len() + MARK];
        assert!(Inflater::default().block(&mut packed, &mut back).expect("inflated") == plain);
    }
});
