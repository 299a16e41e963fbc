//! Any bytes as a block of any size, and whole blocks that were altered: refused, or exactly that size.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pmp_ha::adapters::pack::{Deflater, Effort, Inflater, MARK, ROOM};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Any {
        size: u16,
        bytes: &'a [u8],
    },
    /// What this content is packed in, with other bits here and there, cut off, and more behind it.
    Altered {
        dense: bool,
        content: &'a [u8],
        repeats: u8,
        changes: Vec<(u16, u8)>,
        cut: u8,
        more: &'a [u8],
    },
}

fuzz_target!(|input: Input| {
    let (size, mut bytes) = match input {
        Input::Any { size, bytes } => (usize::from(size), bytes.to_vec()),
        Input::Altered { dense, content, repeats, changes, cut, more } => {
            let content = content.repeat(usize::from(repeats % 32) + 1);
            let mut bytes = Vec::new();
            let effort = if dense { Effort::Dense } else { Effort::Quick };
            Deflater::new(effort).block(&content, &mut bytes).expect("deflated");
            for (at, with) in changes {
                let at = usize::from(at) % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= with;
                }
            }
            bytes.truncate(bytes.len().saturating_sub(usize::from(cut)));
            bytes.extend(more);
            (content.len(), bytes)
        }
    };
    bytes.extend([0; ROOM]);
    let mut out = vec![0; size + MARK];
    if let Ok(plain) = Inflater::default().block(&mut bytes, &mut out) {
        assert_eq!(plain.len(), size);
    }
});
