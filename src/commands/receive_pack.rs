//! `pmp-ha receive-pack SIZE SHA256`: what `setup --peer` runs on the other machine.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Result, bail};
use fs_err as fs;
use serde::Serialize;

use super::Context;
use crate::adapters::bytes::digest::{CHUNK, Sha256, hash_file_until};
use crate::adapters::home::{Home, entry};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::cli::ReceivePackArgs;
use crate::domain::digest::Sha256Hex;
use crate::domain::plan::Bytes;
use crate::failure::{Failure, Kind};

/// A pack that has arrived.
#[derive(Serialize)]
struct Received {
    file: String,
    size: u64,
    /// Whether it was there already.
    was_there: bool,
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.was_there { "was here already" } else { "has arrived, and is complete" };
        write!(f, "{} {how}: {}", self.file, Bytes(self.size))
    }
}

pub async fn run(context: &Context<'_>, args: ReceivePackArgs) -> Result<()> {
    let home = context.home()?;
    let wanted = Sha256Hex::try_from(args.sha256.clone())
        .map_err(|why| Failure::new(Kind::Usage, format!("{} is not a SHA-256", args.sha256)).because(why))?;
    let path = home.path(if args.encrypted { "HAPack.zip.age" } else { "HAPack.zip" });
    if context.global.dry_run {
        return context.ui.would(&format!("write {}", path.display()));
    }
    entry::require_usable(&home)?;
    let _lock = system::lock_home(home.root())?;
    let received = |was_there| Received { file: path.display().to_string(), size: args.size, was_there };
    let is_there = fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == args.size);
    let interrupt = context.interrupt.clone();
    if is_there && hash_file_until(&path, &interrupt)? == wanted {
        return context.ui.data(&received(true));
    }
    require_room(&home, args.size)?;
    let coming = system::temporary_of(&path);
    let (there, size) = (coming.clone(), args.size);
    let arrives = tokio::task::spawn_blocking(move || {
        take_in(&mut std::io::stdin().lock(), &there, size, &wanted, &interrupt)
    });
    let taken = context.interrupt.or(async { arrives.await? }).await;
    if let Err(error) = taken.and_then(|()| Ok(fs::rename(&coming, &path)?)) {
        // ignored: what is left of it is replaced by the next one
        let _ = fs::remove_file(&coming);
        return Err(error);
    }
    system::sync_dir(home.root())?;
    context.ui.data(&received(false))
}

fn require_room(home: &Home, size: u64) -> Result<()> {
    let free = system::free_space(home.root())?;
    if free >= size {
        return Ok(());
    }
    bail!(
        Failure::new(Kind::Refused, "the pack does not fit here")
            .code("no-space")
            .because(format!(
                "it has {}, and {} are free in {}",
                Bytes(size),
                Bytes(free),
                home.root().display()
            ))
            .hint("Free space there. Installing a pack also needs space for the data.")
    )
}

/// Writes what comes into a private file, and compares it with what was announced.
fn take_in(
    coming: &mut impl Read,
    path: &Path,
    size: u64,
    wanted: &Sha256Hex,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut file = system::private_file(path)?;
    let (mut hash, mut arrived) = (Sha256::default(), 0_u64);
    let mut part = vec![0; CHUNK];
    loop {
        interrupt.check()?;
        let length = coming.read(&mut part)?;
        if length == 0 || arrived > size {
            break;
        }
        hash.update(&part[..length]);
        file.write_all(&part[..length])?;
        arrived += length as u64;
    }
    let why = if arrived != size {
        format!("{arrived} of {size} bytes have arrived")
    } else if hash.finish() != *wanted {
        "its SHA-256 differs".to_owned()
    } else {
        file.sync_all()?;
        return Ok(());
    };
    bail!(not_whole(path, &why))
}

fn not_whole(path: &Path, why: &str) -> Failure {
    Failure::new(Kind::Failed, "the pack did not arrive as it was sent")
        .because(format!("{}: {why}", path.display()))
        .hint("Run `pmp-ha setup` again on the primary: it sends the pack again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_that_was_cut_off_or_altered_or_is_too_long_is_not_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pack");
        let sent = vec![7_u8; 3 * CHUNK];
        let wanted = Sha256::of(&sent);
        let taken = |bytes: &[u8]| {
            take_in(&mut &bytes[..], &path, sent.len() as u64, &wanted, &Interrupt::default())
                .map_err(|error| format!("{error:#}"))
        };
        assert_eq!(taken(&sent), Ok(()));
        assert_eq!(system::mode(&path).expect("there") & 0o777, 0o600);
        assert!(taken(&sent[1..]).is_err_and(|why| why.contains("bytes have arrived")));
        assert!(taken(&[&sent[..], b"x"].concat()).is_err_and(|why| why.contains("bytes have arrived")));
        let mut altered = sent.clone();
        altered[CHUNK] ^= 1;
        assert!(taken(&altered).is_err_and(|why| why.contains("differs")));
    }
}
