//! Changes the secrets of a working pair: certificates, CA, and the accounts' passwords.
//!
//! The primary makes the new ones and accepts both. The secondary takes its part from a file, uses it,
//! and accepts both. Then the primary uses the new ones and ends the old ones, and the secondary ends
//! them, too. Each knows how far the other is by its own server: by the account with which the other
//! node's receiver is connected to it.

mod server;
mod take;

use anyhow::{Context, Result};

use self::server::{Opened, write};
use crate::adapters::clock::now;
use crate::adapters::home::rotation::NextSecrets;
use crate::adapters::home::saved::remove;
use crate::adapters::home::{Credential, Home, certificates};
use crate::adapters::pack::offer::Offer;
use crate::adapters::random;
use crate::adapters::server::session::{Address, Session};
use crate::adapters::system;
use crate::apply::database::session::admin_session;
use crate::apply::database::{accounts, align};
use crate::apply::files::node_files;
use crate::apply::work::Runner;
use crate::domain::locks;
use crate::domain::manifest::NODE_FILES;
use crate::domain::pair::Role;
use crate::domain::plan::Renewal;
use crate::domain::rotation::{HowFar, Rotation};

/// Does a part.
pub async fn apply(runner: &Runner<'_>, part: &Renewal) -> Result<()> {
    match part {
        Renewal::Prepare { id, .. } => prepare(runner, id).await,
        Renewal::Offer { file, sign_with, encrypt_to } => {
            offer(runner, file, sign_with.as_deref(), encrypt_to.as_deref()).await
        }
        Renewal::Take { file, id, account, .. } => take::take(runner, file.as_ref(), id, account).await,
        Renewal::UseNew { account, .. } => use_new(runner, account).await,
        Renewal::EndOld { .. } => end_old(runner).await,
        Renewal::Withdraw { .. } => withdraw(runner).await,
    }
}

/// Undoes a part. Only the first parts can be undone; after them, a run must be finished.
pub async fn undo(runner: &Runner<'_>, part: &Renewal) -> Result<()> {
    match part {
        Renewal::Prepare { .. } => {
            drop_next(runner).await?;
            runner.saved().restore(NODE_FILES)?;
            if !server::is_touched(runner) {
                return Ok(());
            }
            server::reload(runner).await
        }
        Renewal::Offer { file, .. } => Offer::remove(file.as_ref()),
        Renewal::Take { account, .. } => take::undo(runner, account).await,
        Renewal::UseNew { .. } | Renewal::EndOld { .. } | Renewal::Withdraw { .. } => Ok(()),
    }
}

/// On the primary: makes the new secrets, and accepts both.
async fn prepare(runner: &Runner<'_>, id: &str) -> Result<()> {
    let (home, flavor) = (runner.home, runner.flavor().await?);
    let membership = home.require_membership()?;
    let (next, tls) = (NextSecrets::of(home), home.tls_paths());
    let mut session = admin_session(home).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    let credentials = accounts::beside(&mut session, &home.credentials()?).await?;
    let ca = certificates::make_ca(&membership.pair.id)?;
    let node = certificates::issue_for(flavor, &ca.cert, &ca.key, &membership.this().host)?;
    // First the file, then the accounts: they are dropped by it.
    next.write(&[
        ("ca.pem", &ca.cert),
        ("ca-key.pem", &ca.key),
        ("node.pem", &node.cert),
        ("node-key.pem", &node.key),
        ("credentials.toml", &toml::to_string(&credentials)?),
    ])?;
    server::touch(runner)?;
    session.run("SET SESSION sql_mode = ''").await?;
    // The new accounts take a certificate of the new CA only.
    let demand = accounts::demand(&next.folder(), &membership)?;
    accounts::make(flavor, &mut session, &credentials, &membership.pair.schema, &demand).await?;
    accounts::let_execute(&mut session).await?;
    session.close().await;
    write(home, "ca.pem", &certificates::bundle(&certificates::read(tls.ca.as_ref())?, &ca.cert)?)?;
    home.note_rotation(Some(&Rotation { id: id.to_owned(), stage: HowFar::Offered }))?;
    node_files::set(runner, &membership).await?;
    server::reload(runner).await
}

/// On the primary: writes the file for the secondary. Its private key is in no other place.
async fn offer(
    runner: &Runner<'_>,
    file: &str,
    sign_with: Option<&str>,
    encrypt_to: Option<&str>,
) -> Result<()> {
    let (home, flavor) = (runner.home, runner.flavor().await?);
    let membership = home.require_membership()?;
    let next = NextSecrets::of(home);
    let rotation = home.rotation()?.context("no rotation of the secrets is in progress")?;
    let (ca, key) =
        (certificates::read(&next.file("ca.pem"))?, certificates::read(&next.file("ca-key.pem"))?);
    let peer = membership.pair.node(Role::Secondary);
    let issued = certificates::issue_for(flavor, &ca, &key, &peer.host)?;
    let credentials = next.credentials()?;
    let offer = Offer {
        format: Offer::FORMAT,
        id: rotation.id,
        pair: membership.pair.id.clone(),
        node: peer.number,
        made_at: now(),
        ca,
        cert: issued.cert,
        key: issued.key,
        replication: credentials.replication.clone(),
        back: credentials.back.clone(),
        monitor: credentials.monitor.clone(),
        reader: credentials.reader.clone(),
    };
    offer.write(file.as_ref(), sign_with.map(AsRef::as_ref), encrypt_to.map(AsRef::as_ref))?;
    system::give_to(file.as_ref(), system::owner(home.root())?)
}

/// On the primary: uses the new secrets.
async fn use_new(runner: &Runner<'_>, account: &str) -> Result<()> {
    let (home, next) = (runner.home, NextSecrets::of(runner.home));
    let ca = certificates::bundle(
        &certificates::read(&next.file("ca.pem"))?,
        &certificates::read(home.tls_paths().ca.as_ref())?,
    )?;
    write(home, "ca.pem", &ca)?;
    for name in ["ca-key.pem", "node-key.pem", "node.pem", "credentials.toml"] {
        write(home, name, &certificates::read(&next.file(name))?)?;
    }
    node_files::set(runner, &home.require_membership()?).await?;
    server::reload(runner).await?;
    align::apply(runner, account).await.map(|_| ())
}

/// On both: accepts the new secrets only.
async fn end_old(runner: &Runner<'_>) -> Result<()> {
    let (home, flavor) = (runner.home, runner.flavor().await?);
    let membership = home.require_membership()?;
    renew_admin(runner).await?;
    write(home, "ca.pem", &certificates::first(&certificates::read(home.tls_paths().ca.as_ref())?)?)?;
    let (credentials, demand) = (home.credentials()?, accounts::demand(&home.node_files(), &membership)?);
    let mut opened = Opened::of(runner).await?;
    accounts::drop_others(opened.session(), &credentials).await?;
    for sql in [locks::table_of_word(), locks::forget_word()] {
        opened.session().run(sql).await?;
    }
    accounts::make(flavor, opened.session(), &credentials, &membership.pair.schema, &demand).await?;
    accounts::let_execute(opened.session()).await?;
    opened.close(runner).await?;
    node_files::set(runner, &membership).await?;
    server::reload(runner).await?;
    forget(home)
}

/// On the primary: accepts the old secrets only.
async fn withdraw(runner: &Runner<'_>) -> Result<()> {
    let home = runner.home;
    drop_next(runner).await?;
    write(home, "ca.pem", &certificates::first(&certificates::read(home.tls_paths().ca.as_ref())?)?)?;
    node_files::set(runner, &home.require_membership()?).await?;
    server::reload(runner).await?;
    forget(home)
}

fn forget(home: &Home) -> Result<()> {
    for offer in home.offers() {
        Offer::remove(&offer)?;
    }
    NextSecrets::of(home).remove()?;
    home.note_rotation(None)
}

/// Drops the accounts that are not in use yet.
async fn drop_next(runner: &Runner<'_>) -> Result<()> {
    let next = NextSecrets::of(runner.home);
    if !next.are_there() {
        // Their file comes first: there are no accounts either.
        return Ok(());
    }
    let mut opened = Opened::of(runner).await?;
    for account in accounts::used_elsewhere(&next.credentials()?) {
        accounts::turn_away(opened.session(), &account.user).await?;
    }
    opened.close(runner).await
}

/// The note of the admin account's next password: killed between the database and the file, a run finds
/// it there.
const NEXT_ADMIN: &str = "next-admin.toml";

/// Gives the account that works on this machine alone a new password. It never leaves the machine.
async fn renew_admin(runner: &Runner<'_>) -> Result<()> {
    let (home, flavor) = (runner.home, runner.flavor().await?);
    let file = home.node_files().join(NEXT_ADMIN);
    let mut credentials = home.credentials()?;
    let next: Credential = if file.is_file() {
        toml::from_str(&certificates::read(&file)?).context("the note of the next password cannot be read")?
    } else {
        let next = Credential { user: credentials.admin.user.clone(), password: random::password() };
        write(home, NEXT_ADMIN, &toml::to_string(&next)?)?;
        next
    };
    let socket = Address::Socket(home.socket());
    let mut opened = match Session::open(&socket, &next, server::LOGIN).await {
        // It has it already.
        Ok(session) => Opened::running(session).await?,
        Err(_) => Opened::of(runner).await?,
    };
    opened.session().run(flavor.set_password(&next.user, "localhost", &next.password)).await?;
    credentials.admin = next;
    write(home, "credentials.toml", &toml::to_string(&credentials)?)?;
    opened.close(runner).await?;
    remove(&file)
}
