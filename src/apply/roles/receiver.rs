//! Makes the receiver of this server connect now, instead of at its next try.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::adapters::look;
use crate::adapters::server::session::Session;
use crate::apply::database::session::admin_session;
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::pair::Pair;
use crate::domain::snapshot::Receiver;

/// The time between two checks.
const TICK: Duration = Duration::from_millis(50);

/// The time limit for its connection after a switchover.
const CONNECTED_AFTER: Duration = Duration::from_secs(6);

/// The time until it must try again. The time doubles with each try, because a login takes a while.
const FIRST_TRY: Duration = Duration::from_millis(250);

/// If nothing comes in for this time while something is due, the link is assumed to be dead.
const STILL: Duration = Duration::from_secs(1);

/// Makes the receiver connect again. What it has received stays.
async fn restart(flavor: &Flavor, session: &mut Session) -> Result<()> {
    session.run(flavor.stop_receiver()).await?;
    session.run(flavor.start_receiver()).await
}

/// How far the binlogs of the source have come in, while something is due.
pub struct Incoming {
    place: Option<[Option<String>; 2]>,
    since: Instant,
    patience: Duration,
}

impl Incoming {
    pub fn new() -> Self {
        Self { place: None, since: Instant::now(), patience: STILL }
    }

    /// Makes the receiver connect again if nothing has come in for a while.
    ///
    /// The link may have died in silence, which the server notices only after several seconds.
    pub async fn look(&mut self, flavor: &Flavor, session: &mut Session) -> Result<()> {
        let row = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
        let column = |name: &str| row.get(&flavor.column(name));
        let place = Some([column("Source_Log_File"), column("Read_Source_Log_Pos")]);
        if place != self.place {
            (self.place, self.since) = (place, Instant::now());
        } else if self.since.elapsed() > self.patience {
            restart(flavor, session).await?;
            self.since = Instant::now();
            self.patience *= 2;
        }
        Ok(())
    }
}

impl Runner<'_> {
    /// Waits, after a switchover, until the receiver here is connected.
    ///
    /// The other node may not have been ready at the receiver's first try. The receiver must try
    /// again once the other node says that it has its role.
    pub async fn reconnect(&self) -> Result<()> {
        let (flavor, own) = (self.flavor().await?, self.home.require_membership()?);
        let mut session = admin_session(self.home).await?;
        let mut other = self.take_other()?;
        let _waiting = self.ui.spinner("waiting until replication is connected");
        let begun = Instant::now();
        let (mut tried, mut patience) = (Instant::now(), FIRST_TRY);
        while begun.elapsed() < CONNECTED_AFTER {
            let row = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
            if look::pair::parse_replica(flavor, &row).receiver == Receiver::Connected {
                break;
            }
            if tried.elapsed() > patience {
                let said = other.says().await.ok().flatten();
                let ready = said.is_some_and(|said| {
                    said.role == Pair::peer_of(own.role) && said.epoch == own.pair.epoch && !said.candidate
                });
                if ready {
                    restart(flavor, &mut session).await?;
                    patience *= 2;
                    tried = Instant::now();
                }
            }
            self.interrupt.sleep(TICK).await?;
        }
        session.close().await;
        other.close().await;
        Ok(())
    }
}
