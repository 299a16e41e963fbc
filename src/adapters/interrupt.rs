//! Ctrl-C and termination signals: recorded here, checked between steps and inside long loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::Notify;

use crate::adapters::system;
use crate::failure::Failure;

/// Tells whether the operator wants to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    is_there: AtomicBool,
    bell: Notify,
}

impl Interrupt {
    /// Starts to listen for signals. Needs a tokio runtime.
    pub fn listen() -> Result<Self> {
        let this = Self::default();
        let wish = Arc::clone(&this.0);
        system::on_stop_signal(move || {
            wish.is_there.store(true, Ordering::SeqCst);
            wish.bell.notify_waiters();
        })?;
        Ok(this)
    }

    /// Fails when the operator wants to stop.
    pub fn check(&self) -> Result<()> {
        if self.0.is_there.load(Ordering::SeqCst) {
            bail!(Failure::interrupted());
        }
        Ok(())
    }

    /// Ends as soon as the operator wants to stop, to be raced with something that takes time.
    pub async fn wanted(&self) {
        let mut rings = std::pin::pin!(self.0.bell.notified());
        // From here on it hears the bell, which rings only once.
        rings.as_mut().enable();
        if self.check().is_ok() {
            rings.await;
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
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.wanted() => {}
        }
        self.check()
    }
}
