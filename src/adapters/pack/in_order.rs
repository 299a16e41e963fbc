//! Hashes a file in order while all workers read it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::adapters::bytes::digest::Sha256;

/// Hashes blocks in their order, whichever worker has read them.
#[derive(Default)]
pub(super) struct InOrder {
    state: Mutex<Hashed>,
    moved: Condvar,
}

#[derive(Default)]
struct Hashed {
    next: usize,
    hash: Sha256,
    has_failed: bool,
}

impl InOrder {
    /// Whose turn it is after all blocks before this one.
    pub fn turn(&self, index: usize) -> HashTurn<'_> {
        HashTurn { of: self, index, is_over: false }
    }
}

/// The worker that must hash a block. Later blocks wait for it, unless it was dropped.
pub(super) struct HashTurn<'a> {
    of: &'a InOrder,
    index: usize,
    is_over: bool,
}

impl HashTurn<'_> {
    /// Hashes the block, and returns the hash of all up to it; none if an earlier block has failed.
    pub fn hash(mut self, bytes: &[u8]) -> Option<Sha256> {
        let mut state = lock(&self.of.state);
        while state.next != self.index {
            if state.has_failed {
                return None;
            }
            state = self.of.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.hash.update(bytes);
        state.next += 1;
        self.is_over = true;
        let hash = state.hash.clone();
        drop(state);
        self.of.moved.notify_all();
        Some(hash)
    }
}

impl Drop for HashTurn<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            lock(&self.of.state).has_failed = true;
            self.of.moved.notify_all();
        }
    }
}

fn lock(mutex: &Mutex<Hashed>) -> MutexGuard<'_, Hashed> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_hashed_in_their_order_whoever_has_read_them() {
        let in_order = InOrder::default();
        let blocks: Vec<Vec<u8>> = (0..64_u8).map(|n| vec![n; 100]).collect();
        let hashes: Vec<_> = std::thread::scope(|scope| {
            let hash = |index: usize| in_order.turn(index).hash(&blocks[index]);
            let workers: Vec<_> =
                (0..blocks.len()).rev().map(|index| scope.spawn(move || hash(index))).collect();
            workers.into_iter().map(|worker| worker.join().expect("hashed")).collect()
        });
        let last = hashes.into_iter().next().flatten().expect("none has failed");
        assert_eq!(last.finish(), Sha256::of(&blocks.concat()));
    }

    #[test]
    fn nobody_waits_for_a_block_that_has_failed() {
        let in_order = InOrder::default();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| in_order.turn(1).hash(b"behind it"));
            drop(in_order.turn(0));
            assert!(waits.join().expect("it ends").is_none());
        });
        // A turn that was dropped before anybody waits is known as well.
        assert!(in_order.turn(2).hash(b"later").is_none());
    }
}
