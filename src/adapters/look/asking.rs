//! A session for a look at a server.
//!
//! It leaves a trail, so that a look that runs out of time can report how far it got. It also survives
//! a query that the server does not answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::adapters::home::Credential;
use crate::adapters::server::session::{Address, Row, Session, StatementFailed, lacks_procedure};
use crate::domain::own_schema::ASK_FOR_BEAT;
use crate::domain::questions::Question;
use crate::domain::snapshot::{Blind, BlindReason};
use crate::domain::sql::Sql;

/// The time limit for the login, and for the answer to each statement.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// How much longer than any answer before it a server may take to write a heartbeat. Its disk may be
/// full, somebody may hold a lock, or its commits may wait for a secondary that does not answer.
const WRITING: Duration = Duration::from_millis(250);

/// How long at most: the look has to end in time, too.
const WRITING_AT_MOST: Duration = Duration::from_secs(1);

/// How far a look has got.
#[derive(Default)]
pub struct Trail {
    place: Mutex<String>,
    answered: AtomicBool,
}

impl Trail {
    /// Records where the look is now.
    pub fn is_at(&self, place: String) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Records whether the server has answered the first query: then it is not frozen.
    pub fn has_answered(&self, answered: bool) {
        self.answered.store(answered, Ordering::Relaxed);
    }

    /// Why a look that did not end in time has seen nothing.
    #[must_use]
    pub fn why(&self) -> BlindReason {
        if self.answered.load(Ordering::Relaxed) { BlindReason::Slow } else { BlindReason::Silent }
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The answer of a server to a request for a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It wrote one, at this time by its own clock, microseconds since 1970, UTC.
    Wrote(i64),
    /// It wrote none: the last one is too new, or it is writing one.
    NotNow,
    /// It does not know the question, or may not be asked, or did not answer in time.
    Cannot,
}

/// The server rejects a second login of the look.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.evidence)]
pub struct NotLetIn(pub Blind);

/// A session that leaves a trail.
pub struct Asking<'a> {
    session: Session,
    address: &'a Address,
    account: &'a Credential,
    trail: &'a Trail,
    asked: usize,
    /// How long its longest answer took.
    slowest: Duration,
}

impl<'a> Asking<'a> {
    /// Logs in.
    pub async fn open(
        address: &'a Address,
        account: &'a Credential,
        trail: &'a Trail,
    ) -> Result<Self, Blind> {
        let session = log_in(address, account).await?;
        Ok(Self { session, address, account, trail, asked: 0, slowest: Duration::ZERO })
    }

    /// Returns whether the server uses the account with which this session logged in.
    ///
    /// A server with `skip-grant-tables` reports another account, or none.
    #[must_use]
    pub fn is_login_of(&self, account: &str) -> bool {
        account.rsplit_once('@').is_some_and(|(user, _)| user == self.account.user)
    }

    /// Records a statement on the trail.
    pub fn asks(&mut self, statement: &str) {
        self.asked += 1;
        let number = self.asked;
        self.trail.is_at(format!("it accepted the login, and statement number {number} was `{statement}`"));
    }

    /// Runs a statement and returns its rows.
    pub async fn query(&mut self, sql: impl Into<Sql>) -> Result<Vec<Row>> {
        let sql = sql.into();
        self.asks(&sql.name());
        if self.asked == 1 {
            self.session.set_own_defaults().await?;
            self.trail.has_answered(true);
        }
        let begun = Instant::now();
        let rows = self.session.query(sql).await;
        self.slowest = self.slowest.max(begun.elapsed());
        if rows.is_ok() {
            self.trail.has_answered(true);
        }
        rows
    }

    /// Calls a procedure, or queries the server directly if the pair has no such procedure.
    pub async fn told(&mut self, question: &Question) -> Result<Vec<Row>> {
        match self.query(question.call()).await {
            Err(error) if lacks_procedure(&error) => self.query(question.query).await,
            answer => answer,
        }
    }

    /// Runs a statement that answers with at most one row.
    pub async fn one(&mut self, sql: impl Into<Sql>) -> Result<Option<Row>> {
        Ok(self.query(sql).await?.into_iter().next())
    }

    /// `SHOW GLOBAL VARIABLES`, names in lower case.
    pub async fn variables(&mut self) -> Result<BTreeMap<String, String>> {
        self.asks("SHOW GLOBAL VARIABLES");
        self.session.variables().await
    }

    /// Requests a heartbeat.
    ///
    /// If the server cannot write one, the look continues: it abandons the query with its session.
    pub async fn ask_for_beat(&mut self) -> Result<Answer> {
        let patience = WRITING_AT_MOST.min(WRITING + 2 * self.slowest);
        match tokio::time::timeout(patience, self.one(ASK_FOR_BEAT)).await {
            Ok(Ok(row)) => {
                let beat = row.and_then(|row| row.get("beat")?.parse().ok()).filter(|beat| *beat > 0);
                Ok(beat.map_or(Answer::NotNow, Answer::Wrote))
            }
            Ok(Err(error)) if is_an_answer(&error) => Ok(Answer::Cannot),
            Ok(Err(_)) | Err(_) => {
                self.session = log_in(self.address, self.account).await.map_err(NotLetIn)?;
                Ok(Answer::Cannot)
            }
        }
    }

    /// The session itself, for more than one statement in a row.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Closes the session.
    pub async fn close(self) {
        self.session.close().await;
    }
}

async fn log_in(address: &Address, account: &Credential) -> Result<Session, Blind> {
    Session::open(address, account, DEADLINE)
        .await
        .map(|session| session.with_deadline(DEADLINE).for_a_look())
}

/// Whether the server itself said no: the session goes on then.
fn is_an_answer(error: &anyhow::Error) -> bool {
    error.downcast_ref::<StatementFailed>().is_some_and(|failed| failed.code.is_some())
}
