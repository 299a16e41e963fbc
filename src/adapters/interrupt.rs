//! Ctrl-C and termination signals: recorded here, checked between steps and inside long loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::adapters::system;
use crate::failure::Failure;

/// How long a stop may go unnoticed in a sleep.
const SLICE: Duration = Duration::from_millis(20);

/// Tells whether the operator wants to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to listen for signals. Needs a tokio runtime.
    pub fn listen() -> Result<Self> {
        let this = Self::default();
        let flag = Arc::clone(&this.0);
        system::on_stop_signal(move || flag.store(true, Ordering::SeqCst))?;
        Ok(this)
    }

    /// Fails when the operator wants to stop.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::SeqCst) {
            bail!(Failure::interrupted());
        }
        Ok(())
    }

    /// Ends as soon as the operator wants to stop, to be raced with something that takes time.
    pub async fn wanted(&self) {
        while self.check().is_ok() {
            tokio::time::sleep(SLICE).await;
        }
    }

    /// Runs a future, and drops it as soon as the operator wants to stop.
    pub async fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            () = self.wanted() => Err(Failure::interrupted().into()),
        }
    }

    /// Sleeps, and fails as soon as the operator wants to stop.
    pub async fn sleep(&self, time: Duration) -> Result<()> {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            self.check()?;
            tokio::time::sleep(SLICE.min(until - tokio::time::Instant::now())).await;
        }
        self.check()
    }
}
