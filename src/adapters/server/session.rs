//! A session with a server: the only file that uses the driver.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Column, Conn, Opts, OptsBuilder, SslOpts, Value};
use tokio::io::AsyncReadExt;

use crate::adapters::home::Credential;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::old_tls::Bridge;
use crate::domain::certificate;
use crate::domain::dialect::Dialect;
use crate::domain::questions::{BINARY_LOGS, Question};
use crate::domain::settings::TlsPaths;
use crate::domain::snapshot::{Blind, BlindReason};
use crate::domain::sql::{OWN_DEFAULTS, Sql};
use crate::domain::words::{cut, printable};

/// The default time limit of a statement.
pub const STATEMENT_DEADLINE: Duration = Duration::from_secs(60);

/// The largest answer to a statement. No question of this tool has one nearly as large, whatever the
/// data are; but the other node's server may answer anything.
const MOST: Bounds = Bounds { rows: 4_000_000, bytes: 1 << 30 };

/// The largest answer to a question about the state of a node: variables, replication, accounts.
const MOST_OF_A_LOOK: Bounds = Bounds { rows: 100_000, bytes: 64 << 20 };

/// What is said before the first statement has no answer at all.
const MOST_OF_A_SETTING: Bounds = Bounds { rows: 1, bytes: 4096 };

/// The largest packet of a server. A larger row does not end well, whoever asks.
const LARGEST_PACKET: usize = 1 << 30;

/// A server has at most 4096 columns in a table, and names of 64 characters. A column that nobody
/// named is called as it is computed, and then a server cuts its name at 256 bytes.
const MOST_COLUMNS: usize = 4096;
const LONGEST_NAME: usize = 1024;

/// What a value takes in memory besides its bytes, and a row besides its values.
const OF_A_VALUE: usize = 48;

/// Rows that are at hand are read without waiting for anything. After so many, a time limit gets its
/// turn.
const ROWS_IN_ONE_GO: usize = 1000;

/// What a server says in an error is cut after so many characters.
const LONGEST_ERROR: usize = 500;

/// How large an answer may be.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    rows: usize,
    bytes: usize,
}

/// What the driver would ask the server otherwise. Nothing here waits for so long.
const WAIT_TIMEOUT: usize = 28_800;

/// Where a server is.
#[derive(Debug, Clone)]
pub enum Address {
    /// On this machine, through its socket.
    Socket(PathBuf),
    /// Elsewhere, over TLS with both certificates checked.
    Tls {
        /// The name in its certificate.
        host: String,
        /// Its port.
        port: u16,
        /// This node's TLS files.
        tls: TlsPaths,
        /// Which TLS its server knows.
        speaks: Speaks,
    },
}

/// Which TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// 1.2 or newer, by the driver itself.
    Modern,
    /// The best that there is from 1.0 on, over a bridge.
    Old,
}

/// A row: column names to values as text, `None` for NULL. All rows of an answer share their names.
#[derive(Debug, Clone, Default)]
pub struct Row {
    names: Arc<[String]>,
    values: Vec<Option<String>>,
}

impl Row {
    /// Returns the value of a column; `None` if it is NULL or absent.
    ///
    /// Upper and lower case in the name do not matter.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<String> {
        let index = self.names.iter().position(|name| name.eq_ignore_ascii_case(column))?;
        self.values.get(index)?.clone()
    }

    /// The values, in the order of the columns.
    pub fn values(&self) -> impl Iterator<Item = Option<&str>> {
        self.values.iter().map(|value| value.as_deref())
    }
}

/// A connection.
pub struct Session {
    /// Until it is closed.
    conn: Option<Conn>,
    /// Whether it no longer has the server's defaults, which an administrator may have set for everybody.
    has_own_defaults: bool,
    deadline: Duration,
    /// What ends a wait for an answer before its time.
    interrupt: Option<Interrupt>,
    bounds: Bounds,
    /// What the connection runs over, and ends with it.
    bridge: Option<Bridge>,
}

impl Session {
    /// Logs in.
    pub async fn open(address: &Address, account: &Credential, deadline: Duration) -> Result<Self, Blind> {
        tokio::time::timeout(deadline, Self::log_in(address, account)).await.unwrap_or_else(|_| {
            Err(Blind {
                why: BlindReason::Silent,
                evidence: format!("no answer within {:.1} s", deadline.as_secs_f64()),
            })
        })
    }

    async fn log_in(address: &Address, account: &Credential) -> Result<Self, Blind> {
        let base = OptsBuilder::default()
            .user(Some(&account.user))
            .pass(Some(&account.password))
            .prefer_socket(false)
            // Not as large as the server says: one row of the other node could be as large as it likes.
            .max_allowed_packet(Some(LARGEST_PACKET))
            .wait_timeout(Some(WAIT_TIMEOUT))
            .tcp_nodelay(true);
        let through = |socket: &Path| Some(socket.to_string_lossy().into_owned());
        let mut bridge = None;
        let opts: Opts = match address {
            Address::Socket(path) => base.socket(through(path)).into(),
            Address::Tls { host, port, tls, speaks: Speaks::Old } => {
                let bridge = bridge.insert(Bridge::to(host, *port, tls).await?);
                base.socket(through(bridge.socket())).into()
            }
            Address::Tls { host, port, tls, speaks: Speaks::Modern } => {
                let path = |text: &str| PathBuf::from(text);
                let identity = ClientIdentity::new(path(&tls.cert).into(), path(&tls.key).into());
                let ssl = SslOpts::default()
                    .with_root_certs(vec![path(&tls.ca).into()])
                    .with_disable_built_in_roots(true)
                    .with_client_identity(Some(identity));
                base.ip_or_hostname(host.clone()).tcp_port(*port).ssl_opts(Some(ssl)).into()
            }
        };
        match Conn::new(opts).await {
            Ok(conn) => Ok(Self {
                conn: Some(conn),
                has_own_defaults: false,
                deadline: STATEMENT_DEADLINE,
                interrupt: None,
                bounds: MOST,
                bridge,
            }),
            Err(error) => {
                // What the driver saw is only that its side was closed.
                if let Some(mut bridge) = bridge {
                    bridge.ended().await?;
                }
                Err(blind(&error))
            }
        }
    }

    /// Sets how long a statement may take from now on.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// From now on, a signal ends each wait for an answer, and the session with it. What takes something
    /// back needs another session.
    #[must_use]
    pub fn until(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = Some(interrupt.clone());
        self
    }

    /// For questions about the state of a node, whose answers are small.
    #[must_use]
    pub fn for_a_look(mut self) -> Self {
        self.bounds = MOST_OF_A_LOOK;
        self
    }

    /// For answers of any size from now on.
    pub fn at_length(&mut self) -> &mut Self {
        self.bounds = MOST;
        self
    }

    /// Runs a statement and returns its rows.
    pub async fn query(&mut self, sql: impl Into<Sql>) -> Result<Vec<Row>> {
        let sql = sql.into();
        self.set_own_defaults().await?;
        self.answer_in_time(&sql).await
    }

    /// Sets what an administrator may have set for everybody, before the first statement.
    pub async fn set_own_defaults(&mut self) -> Result<()> {
        if !self.has_own_defaults {
            let bounds = std::mem::replace(&mut self.bounds, MOST_OF_A_SETTING);
            for setting in OWN_DEFAULTS {
                self.answer_in_time(&Sql::new(setting)).await?;
            }
            (self.bounds, self.has_own_defaults) = (bounds, true);
        }
        Ok(())
    }

    async fn answer_in_time(&mut self, sql: &Sql) -> Result<Vec<Row>> {
        // On the heap: it is large, and every wait for an answer would carry it.
        Box::pin(async {
            let (deadline, interrupt) = (self.deadline, self.interrupt.clone());
            let in_time = async {
                let answered = tokio::time::timeout(deadline, self.answer(sql)).await;
                answered
                    .map_err(|_| anyhow!("`{}` did not end within {} s", sql.name(), deadline.as_secs()))?
            };
            match interrupt {
                Some(interrupt) => interrupt.or(in_time).await,
                None => in_time.await,
            }
        })
        .await
    }

    /// Reads an answer that fits into its bounds. Beyond them, the session cannot be used any more.
    async fn answer(&mut self, sql: &Sql) -> Result<Vec<Row>> {
        let failed = |error: mysql_async::Error| StatementFailed::of(sql, &error);
        let (Some(conn), Bounds { rows: most_rows, bytes: most_bytes }) = (&mut self.conn, self.bounds)
        else {
            bail!("the session is closed");
        };
        let too_much =
            |what: &str| anyhow!("the answer to `{}` has more than {what}: pmp-ha stops reading", sql.name());
        let said = Dialect::of(conn.server_version()).say(sql.text()).into_owned();
        let mut result = conn.query_iter(said).await.map_err(failed)?;
        let names = names_of(result.columns_ref()).map_err(|what| too_much(&what))?;
        let (mut rows, mut bytes) = (Vec::new(), names.iter().map(String::len).sum::<usize>());
        while let Some(row) = result.next().await.map_err(failed)? {
            bytes += bytes_of(&row);
            if rows.len() >= most_rows || bytes > most_bytes {
                return Err(too_much(&format!("{most_rows} rows or {most_bytes} bytes")));
            }
            rows.push(to_row(row, &names));
            if rows.len() % ROWS_IN_ONE_GO == 0 {
                tokio::task::yield_now().await;
            }
        }
        result.drop_result().await.map_err(failed)?;
        Ok(rows)
    }

    /// Runs a statement for its effect.
    pub async fn run(&mut self, sql: impl Into<Sql>) -> Result<()> {
        self.query(sql).await.map(|_| ())
    }

    /// Runs a statement that answers with at most one row.
    pub async fn one(&mut self, sql: impl Into<Sql>) -> Result<Option<Row>> {
        Ok(self.query(sql).await?.into_iter().next())
    }

    /// Calls a procedure, or queries the server directly if the pair has no such procedure.
    pub async fn told(&mut self, question: &Question) -> Result<Vec<Row>> {
        match self.query(question.call()).await {
            Err(error) if lacks_procedure(&error) => self.query(question.query).await,
            answer => answer,
        }
    }

    /// The binlogs of the server: `Log_name` and `File_size`.
    pub async fn binary_logs(&mut self) -> Result<Vec<Row>> {
        const ACCESS_DENIED: u16 = 1227;
        match self.query(BINARY_LOGS.query).await {
            Err(error) if code_of(&error) == Some(ACCESS_DENIED) => self.query(BINARY_LOGS.call()).await,
            answer => answer,
        }
    }

    /// `SHOW GLOBAL VARIABLES`, names in lower case.
    pub async fn variables(&mut self) -> Result<BTreeMap<String, String>> {
        let rows = self.query("SHOW GLOBAL VARIABLES").await?;
        let pair = |row: &Row| Some((row.get("Variable_name")?.to_lowercase(), row.get("Value")?));
        Ok(rows.iter().filter_map(pair).collect())
    }

    /// Closes the session, so that the server does not log an aborted connection.
    pub async fn close(mut self) {
        let (Some(conn), bridge) = (self.conn.take(), self.bridge.take()) else { return };
        let good_bye = async {
            let said = conn.disconnect().await.is_ok();
            if let Some(mut bridge) = bridge.filter(|_| said) {
                // ignored: the session is over either way
                let _ = bridge.ended().await;
            }
        };
        // ignored: the session is over either way
        let _ = tokio::time::timeout(Duration::from_secs(2), good_bye).await;
    }
}

impl Drop for Session {
    /// Cuts off a session that was not closed.
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        // In a runtime, the driver would read the rest of an answer in the background, to say good-bye. The
        // other node can make that end never come, and the monitor runs for months.
        // ignored: without a thread, the driver does just that
        let _ = std::thread::Builder::new().spawn(move || drop(conn));
    }
}

/// A statement that the server refused, or that broke the connection.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` failed: {why}")]
pub struct StatementFailed {
    name: String,
    why: String,
    /// The server's number for it.
    pub code: Option<u16>,
}

impl StatementFailed {
    fn of(sql: &Sql, error: &mysql_async::Error) -> Self {
        let code = match error {
            mysql_async::Error::Server(server) => Some(server.code),
            _ => None,
        };
        Self { name: sql.name().clone(), why: without_secrets(error), code }
    }
}

/// Whether the procedure does not exist, or this account may not call it.
#[must_use]
pub fn lacks_procedure(error: &anyhow::Error) -> bool {
    code_of(error).is_some_and(|code| [1044, 1305, 1370].contains(&code))
}

/// The server's number for an error.
#[must_use]
pub fn code_of(error: &anyhow::Error) -> Option<u16> {
    error.downcast_ref::<StatementFailed>()?.code
}

/// The message of an error without what it quotes of the statement: that may be a password.
fn without_secrets(error: &mysql_async::Error) -> String {
    const SYNTAX_ERROR: u16 = 1064;
    let said = match error {
        mysql_async::Error::Server(server) if server.code == SYNTAX_ERROR => {
            "error 1064: syntax error".into()
        }
        mysql_async::Error::Server(server) => {
            format!("error {}: {}", server.code, printable(&server.message))
        }
        other => printable(&other.to_string()),
    };
    cut(&said, LONGEST_ERROR)
}

/// The names of an answer's columns, once for all its rows. An answer that no server gives is refused
/// before its rows are read.
fn names_of(columns: &[Column]) -> Result<Arc<[String]>, String> {
    if columns.len() > MOST_COLUMNS {
        return Err(format!("{MOST_COLUMNS} columns"));
    }
    if columns.iter().any(|column| column.name_ref().len() > LONGEST_NAME) {
        return Err(format!("{LONGEST_NAME} bytes in the name of a column"));
    }
    Ok(columns.iter().map(|column| column.name_str().into_owned()).collect())
}

/// What a row takes in memory, about.
fn bytes_of(row: &mysql_async::Row) -> usize {
    let size = |index| match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => OF_A_VALUE + bytes.len(),
        _ => OF_A_VALUE,
    };
    OF_A_VALUE + (0..row.len()).map(size).sum::<usize>()
}

fn to_row(row: mysql_async::Row, names: &Arc<[String]>) -> Row {
    let text = |value: Value| match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        ),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    };
    Row { names: Arc::clone(names), values: row.unwrap().into_iter().map(text).collect() }
}

fn blind(error: &mysql_async::Error) -> Blind {
    use mysql_async::Error;
    let why = match error {
        // ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS
        Error::Server(server) if [1040, 1203].contains(&server.code) => BlindReason::TooManyConnections,
        Error::Io(mysql_async::IoError::Io(_)) => BlindReason::Unreachable,
        Error::Server(_) | Error::Io(_) | Error::Driver(_) | Error::Url(_) | Error::Other(_) => {
            BlindReason::TurnedAway
        }
    };
    let evidence = without_secrets(error);
    let unfit = if matches!(error, Error::Io(_)) { certificate::unfit(&evidence) } else { None };
    Blind { why: unfit.map_or(why, BlindReason::Certificate), evidence }
}

/// Waits for the first packet that a server sends, which stands in clear before any TLS: it
/// Waits for the first packet of a server, which it sends unencrypted before TLS.
///
/// The packet proves, without a login, that a server runs and is not frozen.
pub async fn greeting(host: &str, port: u16, deadline: Duration) -> Result<String, Blind> {
    let connect = async {
        let stream = tokio::net::TcpStream::connect((host, port)).await;
        let mut stream =
            stream.map_err(|error| Blind { why: BlindReason::Unreachable, evidence: error.to_string() })?;
        read_greeting(&mut stream).await
    };
    tokio::time::timeout(deadline, connect).await.unwrap_or_else(|_| Err(silent(deadline)))
}

/// Waits for the greeting of the server behind a socket of this machine; returns the version that
/// Waits for the greeting of the server behind a local socket, and returns its version.
pub async fn greeting_of_socket(path: &Path, deadline: Duration) -> Result<String, Blind> {
    let connect = async {
        let stream = crate::adapters::system::connect_local(path).await;
        let mut stream =
            stream.map_err(|error| Blind { why: BlindReason::Unreachable, evidence: error.to_string() })?;
        read_greeting(&mut stream).await
    };
    tokio::time::timeout(deadline, connect).await.unwrap_or_else(|_| Err(silent(deadline)))
}

fn silent(deadline: Duration) -> Blind {
    Blind {
        why: BlindReason::Silent,
        evidence: format!("no greeting within {:.1} s", deadline.as_secs_f64()),
    }
}

/// Returns the version that the server says it has.
async fn read_greeting(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<String, Blind> {
    const ERROR_PACKET: u8 = 0xff;
    const LONGEST_VERSION: usize = 100;
    const TOO_MANY_CONNECTIONS: u16 = 1040;
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.map_err(|error| Blind {
        why: BlindReason::Unreachable,
        evidence: format!("it closed the connection: {error}"),
    })?;
    if head[4] == ERROR_PACKET {
        let number = u16::from_le_bytes([head[5], head[6]]);
        let why = if number == TOO_MANY_CONNECTIONS {
            BlindReason::TooManyConnections
        } else {
            BlindReason::TurnedAway
        };
        return Err(Blind { why, evidence: format!("it greets with error {number}") });
    }
    // Behind the head of four bytes and the number of the protocol stands a text that ends with a zero.
    let mut version = head[5..].to_vec();
    while version.last() != Some(&0) && version.len() < LONGEST_VERSION {
        let Ok(byte) = stream.read_u8().await else { break };
        version.push(byte);
    }
    Ok(printable(String::from_utf8_lossy(&version).trim_end_matches('\0')))
}

#[cfg(test)]
#[path = "hostile.rs"]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_in_an_error_is_cut() {
        let server =
            mysql_async::ServerError { code: 1105, message: "\u{e9}".repeat(60_000), state: "HY000".into() };
        let said = without_secrets(&mysql_async::Error::Server(server));
        assert!(said.starts_with("error 1105: \u{e9}") && said.ends_with(" [\u{2026}]"), "{said}");
        assert_eq!(said.chars().count(), LONGEST_ERROR + 4);
    }

    #[tokio::test]
    async fn a_greeting_holds_nothing_that_a_terminal_would_execute() {
        let greeting = [&[60, 0, 0, 0, 10][..], b"8.4\x1b[2J\x1b]0;owned\x07\r\0 and the rest"].concat();
        let version = read_greeting(&mut greeting.as_slice()).await.expect("a greeting");
        assert_eq!(version, "8.4?[2J?]0;owned??");
        // One without an end is cut.
        let endless = [&[60, 0, 0, 0, 10][..], &[b'x'; 1000]].concat();
        let version = read_greeting(&mut endless.as_slice()).await.expect("a greeting");
        assert!(version.len() <= 100, "{version}");
    }
}
