//! The receiver of this server, made to connect now instead of when it tries next.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Runner, reconfigure};
use crate::adapters::mysql::Session;
use crate::adapters::snapshot;
use crate::domain::flavor::Flavor;
use crate::domain::pair::Pair;
use crate::domain::snapshot::Receiver;

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(50);

/// How long after an exchange of roles it may take until it is connected.
const CONNECTED_AFTER: Duration = Duration::from_secs(6);

/// After so long it is made to try again. Each time it gets twice as long: a login takes its time.
const FIRST_TRY: Duration = Duration::from_millis(250);

/// How long nothing may come in before the link is taken for dead, while something is on its way.
const STILL: Duration = Duration::from_secs(1);

/// Makes the receiver connect anew. What it has received stays.
async fn restart(flavor: &Flavor, session: &mut Session) -> Result<()> {
    session.run(flavor.stop_receiver()).await?;
    session.run(flavor.start_receiver()).await
}

/// Up to where the binlogs of the source have come in, as long as something is to come.
pub(super) struct Incoming {
    place: Option<[Option<String>; 2]>,
    since: Instant,
    patience: Duration,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self { place: None, since: Instant::now(), patience: STILL }
    }

    /// Makes the receiver connect anew where nothing has come in for a while: the link may have died
    /// in silence, which the server itself notices only after several seconds.
    pub(super) async fn look(&mut self, flavor: &Flavor, session: &mut Session) -> Result<()> {
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

/// After an exchange of roles: the other node may not have been ready when the receiver tried first.
/// Waits until it is connected, and makes it try again, once the other node says that it has its role.
pub(super) async fn reconnect(runner: &Runner<'_>) -> Result<()> {
    let (flavor, own) = (runner.flavor().await?, runner.home.require_membership()?);
    let mut session = reconfigure::admin_session(runner.home).await?;
    let mut other = runner.take_other()?;
    let begun = Instant::now();
    let (mut tried, mut patience) = (Instant::now(), FIRST_TRY);
    while begun.elapsed() < CONNECTED_AFTER {
        let row = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
        if snapshot::parse_replica(flavor, &row).receiver == Receiver::Connected {
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
        runner.interrupt.sleep(TICK).await?;
    }
    session.close().await;
    other.close().await;
    Ok(())
}
