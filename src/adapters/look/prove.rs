//! Proves that rows flow both ways: writes a heartbeat here and waits for its echo.
//!
//! If the other node can be asked, it echoes at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look;
use crate::adapters::server::session::{Address, Row, Session};
use crate::domain::own_schema::{ASK_FOR_BEAT, beat_now};
use crate::domain::pair::Membership;
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::snapshot::RoundTrip;

/// The time between two checks for the echo.
const TICK: Duration = Duration::from_millis(20);

const LOGIN_DEADLINE: Duration = Duration::from_secs(2);

/// Writes a heartbeat with the tool's own account, and waits until its echo is back.
///
/// It waits for at most `patience`. If the other node can be queried, it also waits for the heartbeat
/// there.
pub async fn prove(
    home: &Home,
    membership: &Membership,
    patience: Duration,
    interrupt: &Interrupt,
) -> Result<RoundTrip> {
    let credentials = home.credentials()?;
    let open = async |address: &Address, account| {
        Session::open(address, account, LOGIN_DEADLINE)
            .await
            .map(|session| session.with_deadline(LOGIN_DEADLINE))
    };
    let here = open(&Address::Socket(home.socket()), &credentials.admin).await;
    let mut here = here.map_err(|blind| {
        anyhow!("the account {} cannot log in here: {}", credentials.admin.user, blind.evidence)
    })?;
    let mut there = open(&look::pair::peer_address(home, membership).await, &credentials.monitor).await.ok();
    let (this, other) = (membership.this().number, membership.peer().number);

    let begun = Instant::now();
    here.run(beat_now()).await?;
    let written = value(&mut here, "beat", this).await?;
    let mut proof = RoundTrip { there: None, back: None, waited: patience };
    let mut echoes = true;
    while begun.elapsed() < patience && proof.back.is_none() {
        if let (Some(session), None) = (&mut there, proof.there)
            && value(session, "beat", this)
                .await
                .is_ok_and(|seen| RoundTrip::tells_of(seen, written, begun.elapsed()))
        {
            proof.there = Some(begun.elapsed());
        }
        if let (Some(session), Some(_), true) = (&mut there, proof.there, echoes) {
            echoes = session.one(ASK_FOR_BEAT).await.is_ok_and(|row| wrote_none(row.as_ref()));
        }
        if RoundTrip::tells_of(value(&mut here, "echo", other).await?, written, begun.elapsed()) {
            proof.back = Some(begun.elapsed());
        }
        interrupt.sleep(TICK).await?;
    }
    here.close().await;
    if let Some(session) = there {
        session.close().await;
    }
    Ok(proof)
}

/// Whether the server wrote no heartbeat now, because its last one is too new.
fn wrote_none(row: Option<&Row>) -> bool {
    row.and_then(|row| row.get("beat")).as_deref() == Some("0")
}

async fn value(session: &mut Session, column: &str, node: u32) -> Result<i64> {
    let row = session
        .one(format!("SELECT {column} AS value FROM {OWN_SCHEMA}.heartbeat WHERE node = {node}"))
        .await?;
    row.and_then(|row| row.get("value")?.parse().ok()).context("there is no heartbeat row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_from_the_future_proves_nothing() {
        let told = |value| RoundTrip::tells_of(value, 5_000_000, Duration::from_millis(20));
        assert_eq!([4_999_999, 5_000_000, 5_900_000].map(told), [false, true, true]);
        assert_eq!([7_000_000, i64::MAX].map(told), [false, false]);
    }
}
