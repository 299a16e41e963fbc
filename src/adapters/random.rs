//! Random names and passwords.

use rand::RngExt;

const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// Returns a password: 32 letters and digits, 186 bits. `MySQL` 5.6 stores no more for a source.
#[must_use]
pub fn password() -> String {
    token(32)
}

/// Returns an identifier of 16 letters and digits.
#[must_use]
pub fn id() -> String {
    token(16)
}

/// Returns a number that distinguishes a server from its predecessors. Nodes have 1 and 2.
#[must_use]
pub fn history() -> u32 {
    rand::rng().random_range(1000..=u32::MAX)
}

/// Returns bytes that nobody can foresee.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    rand::random()
}

fn token(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
}
