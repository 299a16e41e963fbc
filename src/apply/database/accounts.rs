//! The accounts in the database: the tool's own, and the application's password.

use anyhow::{Result, anyhow, bail};

use crate::adapters::home::{Credential, Credentials};
use crate::adapters::random;
use crate::adapters::server::process::BOOT_USER;
use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::definitions;
use crate::domain::flavor::{Account, Flavor};
use crate::domain::own_schema::{ADMIN_USER, ASK_FOR_BEAT_PROCEDURE, MONITOR_USER};
use crate::domain::settings::{LOCAL_SCHEMA, OWN_SCHEMA};
use crate::domain::sql::{quote, quote_name};

const REPLICATION_USER: &str = "pmp_ha_repl";
const BACK_USER: &str = "pmp_ha_back";
const READER_USER: &str = "pmp_ha_reader";

/// Returns new credentials, except those of `kept` that survive a pack.
pub fn credentials(kept: Option<Credentials>) -> Credentials {
    let made = |user: &str| Credential { user: user.into(), password: random::password() };
    let back = made(BACK_USER);
    match kept {
        Some(kept) => Credentials { back, ..kept },
        None => Credentials {
            replication: made(REPLICATION_USER),
            back,
            monitor: made(MONITOR_USER),
            reader: made(READER_USER),
            admin: made(ADMIN_USER),
        },
    }
}

/// Returns the tool's accounts, each with the host that it may come from.
pub fn own(credentials: &Credentials) -> [(&Credential, &'static str); 7] {
    [
        (&credentials.replication, "%"),
        (&credentials.back, "%"),
        (&credentials.monitor, "%"),
        (&credentials.monitor, "localhost"),
        (&credentials.reader, "%"),
        (&credentials.reader, "localhost"),
        (&credentials.admin, "localhost"),
    ]
}

/// Creates the tool's accounts, or gives them these passwords.
pub async fn make(
    flavor: &Flavor,
    session: &mut Session,
    credentials: &Credentials,
    schema: &str,
) -> Result<()> {
    let monitor = flavor.monitor_grants();
    let reads_all = format!("SELECT, SHOW VIEW ON {}.*", quote_name(&schema.replace('_', "\\_")));
    // What it may call only reads.
    let reader = [reads_all.as_str(), "SELECT ON `pmp\\_ha`.*"];
    let replicates = ["REPLICATION SLAVE ON *.*"];
    let admin = ["ALL PRIVILEGES ON *.*"];
    for (credential, host) in own(credentials) {
        let grants = match credential.user.as_str() {
            MONITOR_USER => &monitor[..],
            READER_USER => &reader[..],
            ADMIN_USER => &admin[..],
            _ => &replicates[..],
        };
        let account = Account {
            user: &credential.user,
            host,
            password: &credential.password,
            // From another machine only with a certificate of the pair.
            x509: host == "%",
            grants,
            all_rights: credential.user == ADMIN_USER,
        };
        for sql in flavor.create_account(&account) {
            session.run(sql).await?;
        }
    }
    Ok(())
}

/// Lets the monitor account ask for heartbeats and the reader see definitions: each may execute just
/// its procedures. MySQL 5.6 creates an account without a password by a grant, so only accounts that
/// exist get one.
pub(super) async fn let_execute(session: &mut Session) -> Result<()> {
    for (account, procedures) in
        [(MONITOR_USER, &[ASK_FOR_BEAT_PROCEDURE][..]), (READER_USER, &definitions::PROCEDURES[..])]
    {
        for (user, host) in named(session, &account.replace('_', "\\_")).await? {
            for procedure in procedures {
                let who = format!("{}@{}", quote(&user), quote(&host));
                session.run(format!("GRANT EXECUTE ON PROCEDURE {OWN_SCHEMA}.{procedure} TO {who}")).await?;
            }
        }
    }
    Ok(())
}

/// Drops an account of the tool's, and ends its sessions.
pub async fn turn_away(session: &mut Session, user: &str) -> Result<()> {
    for (user, host) in named(session, &user.replace('_', "\\_")).await? {
        session.run(format!("DROP USER {}@{}", quote(&user), quote(&host))).await?;
    }
    end_sessions(session, user).await
}

/// Ends every session of an account.
pub async fn end_sessions(session: &mut Session, user: &str) -> Result<()> {
    let open = format!("SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = {}", quote(user));
    for id in session.query(open).await?.iter().filter_map(|row| row.get("id")) {
        // ignored: a session may have ended by itself
        let _ = session.run(format!("KILL {id}")).await;
    }
    Ok(())
}

/// Drops the tool's accounts and schemas.
pub async fn drop_own(session: &mut Session) -> Result<()> {
    for schema in [OWN_SCHEMA, LOCAL_SCHEMA] {
        session.run(format!("DROP DATABASE IF EXISTS {schema}")).await?;
    }
    for (user, host) in named(session, "pmp\\_ha\\_%").await? {
        // The account of this boot is dropped at its end.
        if user != BOOT_USER {
            session.run(format!("DROP USER {}@{}", quote(&user), quote(&host))).await?;
        }
    }
    Ok(())
}

/// Gives the application's account, for each of its hosts, the password in this home's
/// configuration.
pub async fn set_application_password(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    account: &str,
) -> Result<()> {
    let password = application_password(runner)?;
    let hosts = named(session, &account.replace('_', "\\_")).await?;
    if hosts.is_empty() {
        bail!("the data have no account '{account}', which the product uses to log in");
    }
    for (user, host) in hosts {
        session.run(flavor.set_password(&user, &host, &password)).await?;
    }
    Ok(())
}

/// The database password that the product of this home uses.
pub fn application_password(runner: &Runner<'_>) -> Result<String> {
    if let Some(given) = &runner.secrets.db_password {
        return Ok(given.clone());
    }
    let params = runner
        .home
        .database_params()
        .map_err(|why| anyhow!("cannot use conf/database_params.conf: {why}"))?;
    if params.encrypted {
        bail!("the database password in conf/database_params.conf is encrypted; pass --db-password-file");
    }
    Ok(params.password)
}

/// The accounts, name and host, whose name is like `pattern`.
pub async fn named(session: &mut Session, pattern: &str) -> Result<Vec<(String, String)>> {
    let rows = session
        .query(format!(
            "SELECT User AS user, Host AS host FROM mysql.user WHERE User LIKE {}",
            quote(pattern)
        ))
        .await?;
    Ok(rows.iter().filter_map(|row| Some((row.get("user")?, row.get("host")?))).collect())
}
