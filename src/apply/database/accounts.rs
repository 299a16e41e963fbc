//! The accounts in the database: the tool's own, and the application's password.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use crate::adapters::home::{Credential, Credentials, certificates, rotation};
use crate::adapters::random;
use crate::adapters::server::process::BOOT_USER;
use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::accounts::{
    ADMIN_USER, BACK_USER, MONITOR_USER, READER_USER, REPLICATION_USER, free_end, meant_by,
};
use crate::domain::flavor::{Account, Demand, Flavor};
use crate::domain::own_schema::ASK_FOR_BEAT_PROCEDURE;
use crate::domain::pair::Membership;
use crate::domain::rotation::HowFar;
use crate::domain::settings::{LOCAL_SCHEMA, OWN_SCHEMA};
use crate::domain::sql::{quote, quote_name};
use crate::domain::{definitions, locks, questions};

fn made(user: &str) -> Credential {
    Credential { user: user.into(), password: random::password() }
}

/// Returns new credentials, with the first names.
pub fn credentials() -> Credentials {
    of_the_other_node("", made(ADMIN_USER))
}

/// Returns the credentials that a pack keeps.
///
/// If the return channel cannot continue, its account gets a new password. Then the primary rejects the
/// secondary of an older pack.
pub fn kept(flavor: &Flavor, credentials: Credentials) -> Credentials {
    if flavor.return_channel_can_go_on() {
        return credentials;
    }
    Credentials { back: made(&credentials.back.user), ..credentials }
}

/// New accounts that the other node uses, whose names end so.
fn of_the_other_node(end: &str, admin: Credential) -> Credentials {
    let named = |user: &str| made(&format!("{user}{end}"));
    Credentials {
        replication: named(REPLICATION_USER),
        back: named(BACK_USER),
        monitor: named(MONITOR_USER),
        reader: named(READER_USER),
        admin,
    }
}

/// Returns credentials whose accounts can exist in addition to those of this server.
///
/// The admin account, which only logs in locally, stays.
pub async fn beside(session: &mut Session, current: &Credentials) -> Result<Credentials> {
    let users: Vec<String> =
        named(session, "pmp\\_ha\\_%").await?.into_iter().map(|(user, _)| user).collect();
    let Some(end) = free_end(&users) else {
        bail!("too many accounts of earlier changes are in the database: {}", users.join(", "));
    };
    Ok(of_the_other_node(end, current.admin.clone()))
}

/// The accounts that the other node uses.
pub fn used_elsewhere(credentials: &Credentials) -> [&Credential; 4] {
    [&credentials.replication, &credentials.back, &credentials.monitor, &credentials.reader]
}

/// Drops every account for the other node that is not one of these, and ends its sessions.
pub async fn drop_others(session: &mut Session, credentials: &Credentials) -> Result<()> {
    let users: BTreeSet<String> =
        named(session, "pmp\\_ha\\_%").await?.into_iter().map(|(user, _)| user).collect();
    let kept = used_elsewhere(credentials).map(|account| account.user.as_str());
    for user in users.iter().filter(|user| meant_by(user).is_some() && !kept.contains(&user.as_str())) {
        turn_away(session, user).await?;
    }
    Ok(())
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

/// Returns the certificate that the accounts for the other node require.
///
/// It is the other node's, from the CA that the node files in `folder` trust.
pub fn demand(folder: &Path, membership: &Membership) -> Result<Demand> {
    let trusted = certificates::read(&folder.join("ca.pem"))?;
    let number = certificates::count(&trusted)?;
    let is_of_the_first = match rotation::in_folder(folder)?.map(|rotation| rotation.stage) {
        None => number == 1,
        // The new one comes behind the old one.
        Some(HowFar::Offered) => number <= 2,
        Some(HowFar::Taken) => true,
    };
    // The next pack of a promoted node brings a certificate of another CA than the one that is there.
    let issuer = if is_of_the_first { Some(certificates::subject(&trusted)?) } else { None };
    Ok(Demand { subject: certificates::subject_of(&membership.peer().host), issuer })
}

/// Creates the tool's accounts, or gives them these passwords and this demand.
pub async fn make(
    flavor: &Flavor,
    session: &mut Session,
    credentials: &Credentials,
    schema: &str,
    demand: &Demand,
) -> Result<()> {
    let monitor = flavor.monitor_grants();
    let reads_all = format!("SELECT, SHOW VIEW ON {}.*", quote_name(&schema.replace('_', "\\_")));
    // What it may call only reads.
    let reader = [reads_all.as_str(), "SELECT ON `pmp\\_ha`.*"];
    let replicates = ["REPLICATION SLAVE ON *.*"];
    let admin = ["ALL PRIVILEGES ON *.*"];
    for (credential, host) in own(credentials) {
        let grants = match meant_by(&credential.user) {
            Some(MONITOR_USER) => &monitor[..],
            Some(READER_USER) => &reader[..],
            Some(_) => &replicates[..],
            None => &admin[..],
        };
        let account = Account {
            user: &credential.user,
            host,
            password: &credential.password,
            // From another machine only with the other node's certificate.
            demand: (host == "%").then_some(demand),
            grants,
            all_rights: credential.user == ADMIN_USER,
        };
        for sql in flavor.create_account(&account) {
            session.run(sql).await?;
        }
    }
    Ok(())
}

/// Lets the monitor and reader accounts execute their procedures, and nothing more.
///
/// MySQL 5.6 would create an account without a password by a grant, so only accounts that exist get
/// one.
pub async fn let_execute(session: &mut Session) -> Result<()> {
    // New accounts see nothing without them, and an earlier version did not make them.
    let there = format!(
        "SELECT ROUTINE_NAME AS name FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{OWN_SCHEMA}'"
    );
    let there: Vec<String> = session.query(there).await?.iter().filter_map(|row| row.get("name")).collect();
    if !questions::procedures().iter().all(|procedure| there.iter().any(|name| name == procedure)) {
        for sql in [locks::table_of_word()].into_iter().chain(questions::make()) {
            session.run(sql).await?;
        }
    }
    let monitor = [&[ASK_FOR_BEAT_PROCEDURE][..], &questions::procedures()].concat();
    for (account, procedures) in [(MONITOR_USER, &monitor[..]), (READER_USER, &definitions::PROCEDURES[..])] {
        let all = named(session, &format!("{}%", account.replace('_', "\\_"))).await?;
        for (user, host) in all.into_iter().filter(|(user, _)| meant_by(user) == Some(account)) {
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

/// Sets the password from this home's configuration for each host of the application's account.
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
