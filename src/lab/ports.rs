//! The ports of lab homes.
//!
//! A home keeps its port while it is stopped, so a file lists the ports in use, for all labs of
//! this account.

use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::RngExt;

use crate::adapters::system;

/// Below those that the kernel gives to connections.
const RANGE: Range<u16> = 20_000..30_000;

/// Reserves a port for the home `root`, whose folder exists, until the folder is gone.
pub(super) fn claim(root: &Path) -> Result<u16> {
    let register = std::env::temp_dir().join(format!("pmp-ha-lab-ports.{}", system::user_name()));
    claim_of(RANGE, root, &register)
}

fn claim_of(range: Range<u16>, root: &Path, register: &Path) -> Result<u16> {
    let mut file = system::lock_private_file(register)?;
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("cannot read {}", register.display()))?;
    let mut claims: Vec<(u16, PathBuf)> = text.lines().filter_map(read).collect();
    claims.retain(|(_, root)| root.is_dir());

    // From a random one on, and round.
    let first = rand::rng().random_range(range.clone());
    let is_free = |port: &u16| {
        claims.iter().all(|(taken, _)| taken != port)
            && TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok()
    };
    let port =
        (first..range.end).chain(range.start..first).find(is_free).context("no free port was found")?;
    claims.push((port, std::path::absolute(root)?));

    let lines: Vec<String> = claims.iter().map(|(port, root)| format!("{port} {}", root.display())).collect();
    file.rewind()?;
    file.set_len(0)?;
    file.write_all((lines.join("\n") + "\n").as_bytes())
        .with_context(|| format!("cannot write {}", register.display()))?;
    Ok(port)
}

fn read(line: &str) -> Option<(u16, PathBuf)> {
    let (port, root) = line.split_once(' ')?;
    Some((port.parse().ok()?, PathBuf::from(root)))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn a_port_belongs_to_a_home_until_the_home_is_gone() {
        let dir = tempfile::tempdir().expect("a folder");
        let register = dir.path().join("register");
        // Where the kernel gives none to others.
        let listener =
            (10_000..20_000).step_by(5).find_map(|n| TcpListener::bind((Ipv4Addr::UNSPECIFIED, n)).ok());
        let busy = listener.as_ref().expect("a port").local_addr().expect("an address").port();
        let range = busy - 2..busy + 3;
        let mut taken = Vec::new();
        while let Ok(port) = claim_of(range.clone(), dir.path(), &register) {
            taken.push(port);
        }
        assert!(!taken.is_empty() && !taken.contains(&busy), "{taken:?}");
        let all = taken.len();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), all, "each once");

        let text = fs::read_to_string(&register).expect("there");
        let gone = dir.path().join("gone");
        let moved = text.replacen(&dir.path().display().to_string(), &gone.display().to_string(), 1);
        fs::write(&register, moved).expect("written");
        let first: u16 = text.split(' ').next().expect("a port").parse().expect("a number");
        assert_eq!(claim_of(range.clone(), dir.path(), &register).expect("free again"), first);
        claim_of(range, dir.path(), &register).expect_err("none is left");
    }
}
