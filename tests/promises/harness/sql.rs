//! Straight to the servers, past the binary: for load, for replica status, for logins that must fail.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder, SslOpts, Value};
use pmp_ha::adapters::home::{Credential, Credentials, Home};

use super::{Lab, Node, wait_until};

/// A row: column names to values as text, NULL as an empty text.
pub type Row = BTreeMap<String, String>;

/// A connection through a server's socket, as the product's root account.
pub struct Db {
    runtime: tokio::runtime::Runtime,
    conn: Conn,
}

impl Db {
    /// Logs in, or says why not.
    pub fn open(opts: Opts) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let opened = runtime.block_on(async {
            let in_time = tokio::time::timeout(Duration::from_secs(30), Conn::new(opts)).await;
            in_time.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
        });
        opened.map(|conn| Self { runtime, conn })
    }

    /// Logs in to a node's server as the product does.
    #[track_caller]
    pub fn of(node: &Node) -> Self {
        Self::open(root(node)).expect("the product's account logs in")
    }

    /// Logs in to a node's server as the tool's own account, which may do everything there.
    #[track_caller]
    pub fn admin(node: &Node) -> Self {
        Self::try_admin(node).expect("the tool's own account logs in")
    }

    /// As [`Self::admin`], or why the server lets nobody in.
    pub fn try_admin(node: &Node) -> Result<Self, Error> {
        let home = Home::open(&node.home).expect("a home");
        let account = home.credentials().expect("credentials").admin;
        let opts = OptsBuilder::default()
            .user(Some(&account.user))
            .pass(Some(&account.password))
            .db_name(Some("passtrix"))
            .prefer_socket(false)
            .socket(Some(home.socket().to_string_lossy().into_owned()));
        Self::open(opts.into())
    }

    /// Logs in as whoever may do everything: the tool's account on a node of a pair, else the product's.
    #[track_caller]
    pub fn of_owner(node: &Node) -> Self {
        let in_a_pair = node.path("conf/pmp-ha/credentials.toml").exists();
        if in_a_pair { Self::admin(node) } else { Self::of(node) }
    }

    /// Runs a statement.
    pub fn try_rows(&mut self, statement: &str) -> Result<Vec<Row>, Error> {
        let rows: Vec<mysql_async::Row> = self.runtime.block_on(self.conn.query(statement))?;
        Ok(rows.into_iter().map(to_row).collect())
    }

    /// Runs a statement of a server that may keep everybody waiting: the rows as text, or why there
    /// are none.
    pub fn in_time(&mut self, limit: Duration, statement: &str) -> String {
        let rows = self.runtime.block_on(async {
            tokio::time::timeout(limit, self.conn.query::<mysql_async::Row, _>(statement)).await
        });
        match rows {
            Err(_) => format!("{statement}: no answer within {} s", limit.as_secs()),
            Ok(Err(error)) => format!("{statement}: {error}"),
            Ok(Ok(rows)) => {
                let rows: Vec<String> = rows.into_iter().map(|row| format!("{:?}", to_row(row))).collect();
                format!("{statement}:\n{}", rows.join("\n"))
            }
        }
    }

    /// Runs a statement that works.
    #[track_caller]
    pub fn rows(&mut self, statement: &str) -> Vec<Row> {
        self.try_rows(statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// The first column of the rows, which are of one column each, as a list.
    #[track_caller]
    pub fn list(&mut self, statement: &str) -> Vec<String> {
        let rows = self.rows(statement);
        rows.into_iter().filter_map(|row| row.into_values().next()).collect()
    }

    /// A variable of the running server.
    #[track_caller]
    pub fn variable(&mut self, name: &str) -> String {
        self.list(&format!("SELECT @@GLOBAL.{name}")).concat()
    }
}

/// How an account without a password logs in to a node's server.
pub fn stranger(node: &Node, user: &str) -> Opts {
    let home = Home::open(&node.home).expect("a home");
    OptsBuilder::default()
        .user(Some(user))
        .prefer_socket(false)
        .socket(Some(home.socket().to_string_lossy().into_owned()))
        .into()
}

/// How the product logs in to a node's server.
pub fn root(node: &Node) -> Opts {
    let home = Home::open(&node.home).expect("a home");
    let params = home.database_params().expect("parameters");
    OptsBuilder::default()
        .user(Some(params.username))
        .pass(Some(params.password))
        .db_name(Some("passtrix"))
        .prefer_socket(false)
        .socket(Some(home.socket().to_string_lossy().into_owned()))
        .into()
}

/// How the replication account of a pair logs in over TCP, with whatever TLS.
pub fn replication_account(node: &Node, host: &str, port: u16, tls: Option<SslOpts>) -> Opts {
    account(&credentials(node).replication, host, port, tls)
}

/// How an account logs in over TCP, with whatever TLS.
pub fn account(account: &Credential, host: &str, port: u16, tls: Option<SslOpts>) -> Opts {
    OptsBuilder::default()
        .user(Some(account.user.clone()))
        .pass(Some(account.password.clone()))
        .ip_or_hostname(host.to_owned())
        .tcp_port(port)
        .prefer_socket(false)
        .ssl_opts(tls)
        .into()
}

/// The tool's accounts of a node.
pub fn credentials(node: &Node) -> Credentials {
    let home = Home::open(&node.home).expect("a home");
    home.credentials().expect("credentials")
}

impl Lab {
    /// Whether the servers are the oldest that there are: no TLS but 1.0, and replication of its age.
    pub fn is_mysql_5_6(&self) -> bool {
        self.server.starts_with("mysql-5")
    }

    /// A statement in the words MASTER and SLAVE, in the words of this lab's server.
    pub fn words(&self, statement: &str) -> String {
        if self.server == "mysql-9.7" {
            statement
                .replace("CHANGE MASTER TO", "CHANGE REPLICATION SOURCE TO")
                .replace("SLAVE", "REPLICA")
                .replace("MASTER_", "SOURCE_")
        } else {
            statement.to_owned()
        }
    }

    /// The replica status of a node, its columns in the words Source and Replica; empty for none.
    #[track_caller]
    pub fn replica_status(&self, node: &Node) -> Row {
        let rows = Db::of_owner(node).rows(&self.words("SHOW SLAVE STATUS"));
        let renamed = |name: String| name.replace("Master", "Source").replace("Slave_", "Replica_");
        let row = rows.into_iter().next().unwrap_or_default();
        row.into_iter().map(|(k, v)| (renamed(k), v)).collect()
    }

    /// Changes something about the secondary's source, and nothing about its place in the binlog.
    #[track_caller]
    pub fn change_source(&self, what: &str) {
        self.change_source_of(&self.secondary, what);
    }

    /// Changes something about a node's source, and nothing about its place in the binlog.
    #[track_caller]
    pub fn change_source_of(&self, node: &Node, what: &str) {
        let mut db = Db::admin(node);
        db.rows(&self.words("STOP SLAVE"));
        let status = self.replica_status(node);
        // A new host or port makes 5.6 begin anew unless the place is stated.
        let place = match self.server.as_str() {
            "mysql-5.1" | "mysql-5.5" | "mysql-5.6" => format!(
                ", MASTER_LOG_FILE='{}', MASTER_LOG_POS={}",
                status["Relay_Source_Log_File"], status["Exec_Source_Log_Pos"]
            ),
            "mysql-9.7" => String::new(),
            _ => ", MASTER_USE_GTID=slave_pos".to_owned(),
        };
        db.rows(&self.words(&format!("CHANGE MASTER TO {what}{place}")));
        db.rows(&self.words("START SLAVE"));
    }

    /// Waits until a try of the secondary to connect has failed, and returns the error.
    #[track_caller]
    pub fn wait_refused(&self, why: &str) -> String {
        self.wait_refused_at(&self.secondary, why)
    }

    /// Waits until a try of a node to connect has failed, and returns the error.
    #[track_caller]
    pub fn wait_refused_at(&self, node: &Node, why: &str) -> String {
        let mut status = Row::new();
        wait_until(&format!("the receiver is refused: {why}"), || {
            status = self.replica_status(node);
            assert_ne!(status["Replica_IO_Running"], "Yes", "{why}: it connected");
            status["Last_IO_Errno"] != "0"
        });
        format!("{}: {}", status["Last_IO_Errno"], status["Last_IO_Error"])
    }

    /// Waits until the secondary's receiver is connected and its applier runs.
    #[track_caller]
    pub fn wait_replicating(&self) {
        wait_until("receiver and applier run", || {
            let status = self.replica_status(&self.secondary);
            (status["Replica_IO_Running"].as_str(), status["Replica_SQL_Running"].as_str()) == ("Yes", "Yes")
        });
    }

    /// Fails unless every table of the product is the same on both nodes.
    #[track_caller]
    pub fn tables_are_equal(&self) {
        let mut primary = Db::of(&self.primary);
        let tables = primary.list("SHOW TABLES FROM passtrix");
        assert!(tables.len() > 5, "{tables:?}");
        for table in tables {
            let sum = format!("CHECKSUM TABLE passtrix.{table}");
            wait_until(&format!("{sum} gives the same on both nodes"), || {
                let checksum = |node: &Node| Db::of(node).rows(&sum)[0]["Checksum"].clone();
                let found = checksum(&self.primary);
                assert!(!found.is_empty(), "{table} has no checksum");
                found == checksum(&self.secondary)
            });
        }
    }
}

fn to_row(mut row: mysql_async::Row) -> Row {
    let names: Vec<String> = row.columns_ref().iter().map(|c| c.name_str().into_owned()).collect();
    let mut out = Row::new();
    for (index, name) in names.into_iter().enumerate() {
        let value = match row.take::<Value, _>(index) {
            None | Some(Value::NULL) => String::new(),
            Some(Value::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Some(other) => other.as_sql(true).trim_matches('\'').to_owned(),
        };
        out.insert(name, value);
    }
    out
}
