//! Random numbers that are the same for the same seed, on every machine and for good.

use std::time::Duration;

/// The generator `SplitMix64`. A crate might draw otherwise in its next version, and a seed that
/// somebody wrote down would mean another round.
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to `n`, without it.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time between two numbers of milliseconds.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// One of some values.
    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        let len = u64::try_from(values.len()).expect("a number");
        values[usize::try_from(self.below(len)).expect("a number")]
    }
}
