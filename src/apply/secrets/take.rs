//! The secondary's part: it takes the new secrets from a file.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::server::{self, Opened, write};
use crate::adapters::home::rotation::NextSecrets;
use crate::adapters::home::saved::remove;
use crate::adapters::home::{Credentials, certificates};
use crate::adapters::look;
use crate::adapters::pack::offer::Offer;
use crate::adapters::server::session::{Address, Session};
use crate::apply::database::session::admin_session;
use crate::apply::database::{accounts, align};
use crate::apply::files::node_files;
use crate::apply::work::Runner;
use crate::domain::flavor::Demand;
use crate::domain::manifest::NODE_FILES;
use crate::domain::rotation::{HowFar, Rotation};
use crate::domain::snapshot::Receiver;
use crate::failure::{Failure, Kind};

/// The time limit for the receiver to be connected with the new secrets.
const CONNECTED_WITHIN: Duration = Duration::from_secs(60);

/// The time between two looks.
const TICK: Duration = Duration::from_millis(100);

/// Takes the new secrets, and accepts both.
pub async fn take(runner: &Runner<'_>, file: &Path, id: &str, account: &str) -> Result<()> {
    let (home, flavor) = (runner.home, runner.flavor().await?);
    let membership = home.require_membership()?;
    let offer = Offer::open(file, &runner.secrets.opening, &membership)?;
    if offer.id != id {
        bail!("{} was replaced by another file after the plan was made", file.display());
    }
    let next = NextSecrets::of(home);
    let admin = home.credentials()?.admin.clone();
    let credentials = Credentials {
        replication: offer.replication.clone(),
        back: offer.back.clone(),
        monitor: offer.monitor.clone(),
        reader: offer.reader.clone(),
        admin,
    };
    let ca = certificates::bundle(&offer.ca, &certificates::read(home.tls_paths().ca.as_ref())?)?;
    next.write(&[
        ("ca.pem", &ca),
        ("node.pem", &offer.cert),
        ("node-key.pem", &offer.key),
        ("credentials.toml", &toml::to_string(&credentials)?),
    ])?;
    the_primary_accepts(runner, &next).await?;

    let mut session = admin_session(home).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    server::touch(runner)?;
    session.run("SET SESSION sql_mode = ''").await?;
    let new_ca = Demand {
        subject: certificates::subject_of(&membership.peer().host),
        issuer: Some(certificates::subject(&offer.ca)?),
    };
    accounts::make(flavor, &mut session, &credentials, &membership.pair.schema, &new_ca).await?;
    accounts::let_execute(&mut session).await?;
    session.close().await;
    for name in ["ca.pem", "node-key.pem", "node.pem", "credentials.toml"] {
        write(home, name, &certificates::read(&next.file(name))?)?;
    }
    // It is the old CA's. The new one's key is on the primary.
    remove(&home.node_files().join("ca-key.pem"))?;
    home.note_rotation(Some(&Rotation { id: id.to_owned(), stage: HowFar::Taken }))?;
    next.remove()?;
    node_files::set(runner, &membership).await?;
    server::reload(runner).await?;
    align::apply(runner, account).await?;
    until_connected(runner).await
}

/// Logs in to the primary with the new secrets, before anything here uses them.
async fn the_primary_accepts(runner: &Runner<'_>, next: &NextSecrets) -> Result<()> {
    let home = runner.home;
    let mut address = look::pair::peer_address(home, &home.require_membership()?).await;
    if let Address::Tls { tls, .. } = &mut address {
        *tls = next.tls_paths();
    }
    match Session::open(&address, &next.credentials()?.monitor, server::LOGIN).await {
        Ok(session) => {
            session.close().await;
            Ok(())
        }
        Err(blind) => bail!(
            Failure::new(Kind::Refused, "the primary does not accept these secrets")
                .code("secrets-refused")
                .because(blind.evidence)
                .hint("Run `pmp-ha rotate` on the primary, and copy the file that it writes now. An older file is useless.")
        ),
    }
}

async fn until_connected(runner: &Runner<'_>) -> Result<()> {
    let flavor = runner.flavor().await?;
    let _waiting = runner.ui.spinner("replication connects with the new secrets");
    let begun = Instant::now();
    let mut session = admin_session(runner.home).await?;
    loop {
        let row = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
        let view = look::pair::parse_replica(flavor, &row);
        if view.receiver == Receiver::Connected {
            session.close().await;
            return Ok(());
        }
        if begun.elapsed() > CONNECTED_WITHIN {
            bail!(
                Failure::new(Kind::Failed, "replication does not work with the new secrets")
                    .because(format!(
                        "the receiver is not connected after {} s: error {} {}",
                        CONNECTED_WITHIN.as_secs(),
                        view.receiver_error.0,
                        view.receiver_error.1
                    ))
                    .hint("Run `pmp-ha verify` on both nodes, and fix what it reports. Then run `pmp-ha rotate` here again.")
            );
        }
        runner.interrupt.sleep(TICK).await?;
    }
}

/// Goes back to the old secrets, which the primary still accepts.
pub async fn undo(runner: &Runner<'_>, account: &str) -> Result<()> {
    let Some(before) = runner.saved().copy_of(NODE_FILES) else { return Ok(()) };
    let old = Credentials::read(&before.join("credentials.toml"))?;
    if server::is_touched(runner) {
        // Before the change there were no others.
        let mut opened = Opened::of(runner).await?;
        accounts::drop_others(opened.session(), &old).await?;
        opened.close(runner).await?;
    }
    runner.saved().restore(NODE_FILES)?;
    if !server::is_touched(runner) {
        return Ok(());
    }
    server::reload(runner).await?;
    align::apply(runner, account).await.map(|_| ())
}
