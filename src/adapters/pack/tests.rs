use fs_err as fs;

use super::*;
use crate::adapters::interrupt::Interrupt;
use crate::domain::coordinates::Coordinates;
use crate::domain::digest::Sha256Hex;
use crate::domain::flavor::ServerVersion;
use crate::domain::manifest::{Fingerprint, Manifest};
use crate::domain::pair::Pair;
use crate::ui::Progress;

fn manifest() -> Manifest {
    let hash = || Sha256Hex::from_bytes([1; 32]);
    Manifest {
        format: Manifest::FORMAT,
        pack_id: "p".into(),
        made_at: "2026-01-01T00:00:00Z".into(),
        made_by: "pmp-ha".into(),
        server: ServerVersion::parse("5.6.24").expect("a version"),
        fingerprint: Fingerprint { product: hash(), server: hash() },
        application_account: "root".into(),
        key_fingerprint: None,
        pair: Pair::example(),
        coordinates: Coordinates::FilePosition { file: "b.000001".into(), position: 4 },
        return_channel_goes_on: false,
        files: vec![],
    }
}

fn making(effort: Effort) -> Making {
    Making { effort, ..Making::default() }
}

/// Packs contents under the names 0, 1, …, and returns the file.
fn packed(dir: &Path, contents: &[Vec<u8>], effort: Effort) -> PathBuf {
    let source = |number: usize| dir.join(format!("source{number}"));
    let sources: Vec<(RelPath, PathBuf)> = contents
        .iter()
        .enumerate()
        .map(|(number, content)| {
            fs::write(source(number), content).expect("written");
            (RelPath::new(format!("{DATA}/{number}")).expect("a path"), source(number))
        })
        .collect();
    let target = dir.join("pack.zip");
    let describe = |files| Manifest { files, ..manifest() };
    let written =
        write(&target, &sources, &making(effort), describe, &Progress::none(), &Interrupt::default());
    assert_eq!(written.expect("written").size, fs::metadata(&target).expect("there").len());
    target
}

fn extracted(pack: &Path, dir: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let pack = Pack::open(pack, &Opening::default())?;
    pack.verify(&Progress::none(), &Interrupt::default())?;
    let place = |path: &RelPath| path.below(DATA).map(|name| dir.join("out").join(name));
    pack.extract(place, &Progress::none(), &Interrupt::default())?;
    let read = |number: usize| fs::read(dir.join("out").join(number.to_string()));
    Ok((0..pack.manifest().files.len()).map(read).collect::<Result<_, _>>()?)
}

/// Contents of every kind and of sizes around every boundary, drawn by `seed`.
fn drawn(seed: u64) -> Vec<Vec<u8>> {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    let mut rng = StdRng::seed_from_u64(seed);
    let sizes = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1 << 20, (1 << 20) + 1, 2_500_000];
    (0..rng.random_range(1..6))
        .map(|_| {
            let size = sizes[rng.random_range(0..sizes.len())] + rng.random_range(0..3);
            let mut out: Vec<u8> = Vec::with_capacity(size + 50_000);
            while out.len() < size {
                let run = rng.random_range(1..50_000);
                match rng.random_range(0..3) {
                    0 => out.extend(vec![0; run]),
                    1 => out.extend((0..run).map(|_| rng.random::<u8>())),
                    _ => out.extend(b"a row of a table; ".iter().cycle().take(run)),
                }
            }
            out.truncate(size);
            out
        })
        .collect()
}

#[test]
fn whatever_goes_in_comes_out() {
    for seed in 0..40 {
        let dir = tempfile::tempdir().expect("a folder");
        let contents = drawn(seed);
        let effort = if seed % 2 == 0 { Effort::Quick } else { Effort::Dense };
        let pack = packed(dir.path(), &contents, effort);
        let back = extracted(&pack, dir.path()).unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
        assert!(back == contents, "seed {seed}");
    }
}

#[test]
fn no_bit_can_be_flipped_and_no_byte_be_missing_or_too_much() {
    let dir = tempfile::tempdir().expect("a folder");
    let contents = [b"a row of a table; ".repeat(20), vec![], vec![0; 40_000]];
    let good = fs::read(packed(dir.path(), &contents, Effort::Quick)).expect("there");
    let bad = dir.path().join("bad.zip");
    let is_refused = |bytes: &[u8]| {
        fs::write(&bad, bytes).expect("written");
        Pack::open(&bad, &Opening::default())
            .and_then(|pack| pack.verify(&Progress::none(), &Interrupt::default()))
            .is_err_and(|error| error.is::<crate::failure::Failure>())
    };
    assert!(!is_refused(&good));
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(is_refused(&bytes), "bit {bit} of {}", good.len() * 8);
    }
    for length in 0..good.len() {
        assert!(is_refused(&good[..length]), "{length} bytes of {}", good.len());
    }
    for more in [&b"\0"[..], b"PK\x05\x06", &good] {
        assert!(is_refused(&[&good[..], more].concat()));
        assert!(is_refused(&[more, &good[..]].concat()));
    }
}

#[test]
fn a_source_that_changes_while_it_is_packed_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    // Its size is said to be nothing, and there is something to read.
    let sources = [(RelPath::new("mysql/data/x").expect("a path"), PathBuf::from("/proc/version"))];
    let describe = |files| Manifest { files, ..manifest() };
    let target = dir.path().join("pack.zip");
    let (progress, interrupt) = (Progress::none(), Interrupt::default());
    let written = write(&target, &sources, &making(Effort::Quick), describe, &progress, &interrupt);
    let error = format!("{:#}", written.err().expect("an error"));
    assert!(error.contains("changed while it was packed: it had 0 bytes"), "{error}");
}
