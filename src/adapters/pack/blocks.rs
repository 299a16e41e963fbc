//! The blocks of a pack, processed by all cores.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::read::{DueBlock, Pack};
use super::workers;
use crate::adapters::interrupt::Interrupt;

/// Hands out the blocks of files in order.
pub(super) struct Blocks<'a, T> {
    pack: &'a Pack,
    order: std::vec::IntoIter<usize>,
    current: Option<BlockPlace<T>>,
}

struct BlockPlace<T> {
    file: usize,
    index: usize,
    at: u64,
    target: T,
}

impl<'a, T: Clone + Send + Sync> Blocks<'a, T> {
    /// All blocks of these files of the manifest.
    pub fn of(pack: &'a Pack, order: Vec<usize>) -> Self {
        Self { pack, order: order.into_iter(), current: None }
    }

    /// Works on every block, with a thread for each core and `more` threads.
    ///
    /// `start` makes the state of a thread. `begin` makes the state of a file from its number, in
    /// order.
    ///
    /// # Errors
    /// The first one. The other workers end then.
    pub fn work_off<S>(
        self,
        more: usize,
        interrupt: &Interrupt,
        begin: impl Fn(usize) -> Result<T> + Sync,
        start: impl Fn() -> Result<S> + Sync,
        work: impl Fn(&DueBlock<T>, &mut S) -> Result<()> + Sync,
    ) -> Result<()> {
        let failed = AtomicBool::new(false);
        let blocks = Mutex::new(self);
        workers::run(workers::MOST_UNPACKING, more, |_| {
            let mut state = start().inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            while !failed.load(Ordering::Relaxed) {
                interrupt.check()?;
                let next = blocks.lock().unwrap_or_else(PoisonError::into_inner).next(&begin);
                let done = next.and_then(|due| due.map(|due| work(&due, &mut state)).transpose());
                if done.inspect_err(|_| failed.store(true, Ordering::Relaxed))?.is_none() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn next(&mut self, begin: impl Fn(usize) -> Result<T>) -> Result<Option<DueBlock<T>>> {
        loop {
            if let Some(place) = &mut self.current {
                let entry = &self.pack.manifest.files[place.file];
                if let Some(block) = entry.blocks.get(place.index) {
                    let due = DueBlock {
                        file: place.file,
                        index: place.index,
                        at: place.at,
                        packed: usize::try_from(block.packed)?,
                        size: entry.block_size(place.index),
                        target: place.target.clone(),
                    };
                    place.index += 1;
                    place.at += u64::from(block.packed);
                    return Ok(Some(due));
                }
            }
            let Some(file) = self.order.next() else { return Ok(None) };
            self.current =
                Some(BlockPlace { file, index: 0, at: self.pack.starts[file], target: begin(file)? });
        }
    }
}
