//! Looks at both nodes of a pair at once, each with a deadline. Not to see is an answer, too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::mysql::{Address, Row, Session, greeting};
use crate::adapters::mysqld::Database;
use crate::config::Config;
use crate::domain::flavor::{Flavor, ServerVersion};
use crate::domain::pair::{Membership, Pair};
use crate::domain::settings::settings;
use crate::domain::snapshot::{
    Blind, BlindReason, ChannelTls, CurrentPorts, Deviation, Observed, Pulse, Receiver, ReplicaView,
    ServerView, Snapshot,
};

/// How long a node may take to let us in, and each statement to be answered.
const DEADLINE: Duration = Duration::from_secs(2);

/// How many heartbeats a quiet link may miss while it is watched.
const MISSED_HEARTBEATS: f64 = 2.5;

/// How often.
const PULSE_TICK: Duration = Duration::from_millis(100);

/// Takes a snapshot from this node.
pub async fn take(
    home: &Home,
    membership: Membership,
    config: &Config,
    interrupt: &Interrupt,
) -> Result<Snapshot> {
    let params = home.database_params();
    let ports = CurrentPorts {
        db: params.as_ref().map_or_else(|_| membership.this().db_port, |params| params.port),
        web: home.web_port(),
    };
    let (local, peer) =
        tokio::join!(look_here(home, config, interrupt), look_there(home, &membership, config));
    let mut deviations = deviations_of(home, &membership, config, &local);
    // The other node's paths are not known here; everything else has to be as it was set up.
    let there = Membership { role: Pair::peer_of(membership.role), ..membership.clone() };
    deviations.extend(
        deviations_of(home, &there, config, &peer)
            .into_iter()
            .filter(|found| !found.variable.starts_with("ssl_")),
    );
    Ok(Snapshot { membership, ports, local, peer, deviations })
}

/// What of this node's settings the running server does not have, without a look at the peer.
pub async fn local_deviations(
    home: &Home,
    membership: &Membership,
    config: &Config,
    interrupt: &Interrupt,
) -> Vec<Deviation> {
    deviations_of(home, membership, config, &look_here(home, config, interrupt).await)
}

fn deviations_of(
    home: &Home,
    membership: &Membership,
    config: &Config,
    local: &Observed<ServerView>,
) -> Vec<Deviation> {
    let Some(server) = local.seen() else { return Vec::new() };
    Flavor::of(&server.version)
        .map(|flavor| deviations(home, membership, config, flavor, &server.variables))
        .unwrap_or_default()
}

async fn look_here(home: &Home, config: &Config, interrupt: &Interrupt) -> Observed<ServerView> {
    match Database::of(home, interrupt).pid() {
        Ok(Some(_)) => {}
        Ok(None) => {
            let evidence = format!("no process holds the lock on {}", home.data().join("ibdata1").display());
            return Observed::NotSeen(Blind { why: BlindReason::NotRunning, evidence });
        }
        Err(error) => {
            return Observed::NotSeen(Blind { why: BlindReason::TurnedAway, evidence: format!("{error:#}") });
        }
    }
    look(home, &Address::Socket(home.socket()), config.heartbeat()).await
}

async fn look_there(home: &Home, membership: &Membership, config: &Config) -> Observed<ServerView> {
    let peer = membership.peer();
    if let Err(blind) = greeting(&peer.host, peer.db_port, DEADLINE).await {
        return Observed::NotSeen(blind);
    }
    // Both nodes run the same version, so that what is known of ours holds there.
    let modern = home_flavor(home).await.is_some_and(|flavor| flavor.modern_tls);
    if !modern {
        let evidence = "it greets; its TLS is too old for a login from here".into();
        return Observed::NotSeen(Blind { why: BlindReason::TlsTooOld, evidence });
    }
    look(
        home,
        &Address::Tls { host: peer.host.clone(), port: peer.db_port, tls: home.tls_paths() },
        config.heartbeat(),
    )
    .await
}

async fn home_flavor(home: &Home) -> Option<&'static Flavor> {
    Flavor::of(&Database::of(home, &Interrupt::default()).version().await.ok()?)
}

async fn look(home: &Home, address: &Address, heartbeat: Duration) -> Observed<ServerView> {
    let account = match home.credentials() {
        Ok(credentials) => credentials.monitor,
        Err(error) => {
            return Observed::NotSeen(Blind { why: BlindReason::TurnedAway, evidence: format!("{error:#}") });
        }
    };
    let session = match Session::open(address, &account, DEADLINE).await {
        Ok(session) => session.with_deadline(DEADLINE),
        Err(blind) => return Observed::NotSeen(blind),
    };
    match ask(session, heartbeat).await {
        Ok(view) => Observed::Seen(view),
        Err(error) => Observed::NotSeen(Blind { why: BlindReason::Silent, evidence: format!("{error:#}") }),
    }
}

async fn ask(mut session: Session, heartbeat: Duration) -> Result<ServerView> {
    let row = session.one("SELECT VERSION() AS version").await?.context("no version")?;
    let version =
        row.get("version").and_then(|text| ServerVersion::parse(&text)).context("an unknown version")?;
    let flavor = Flavor::of(&version).with_context(|| format!("{version} is not known"))?;
    let variables = session.variables().await?;
    let tls = session.one(flavor.tls_enabled_query()).await?.and_then(|row| row.get("enabled")).as_deref()
        == Some("YES");
    let replica = match session.one(flavor.show_replica_status()).await? {
        None => None,
        Some(row) => Some(replica(&mut session, flavor, row, heartbeat).await?),
    };
    let rows = session
        .query("SELECT HOST AS host FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'")
        .await?;
    let host = |row: &Row| {
        row.get("host").map(|host| host.rsplit_once(':').map_or(host.clone(), |(host, _)| host.to_owned()))
    };
    let replicas_connected = rows.iter().filter_map(host).collect();
    session.close().await;
    Ok(ServerView { version, variables, tls, replica, replicas_connected })
}

async fn replica(
    session: &mut Session,
    flavor: &Flavor,
    row: Row,
    heartbeat: Duration,
) -> Result<ReplicaView> {
    let mut view = parse_replica(flavor, &row);
    if view.receiver == Receiver::Connected {
        let (pulse, last) = watch(session, flavor, &row, heartbeat).await?;
        // The link may have been found dead while it was watched: the last look counts.
        if let Some(last) = last {
            view = parse_replica(flavor, &last);
        }
        view.pulse = Some(pulse);
    }
    Ok(view)
}

/// Reads a row of the replica status.
#[must_use]
pub fn parse_replica(flavor: &Flavor, row: &Row) -> ReplicaView {
    let get = |column: &str| row.get(&flavor.column(column)).unwrap_or_default();
    let error = |number: &str, text: &str| (get(number).parse().unwrap_or(0), get(text));
    let receiver = match get("Replica_IO_Running").as_str() {
        "Yes" => Receiver::Connected,
        "No" => Receiver::Stopped,
        _ => Receiver::Connecting,
    };
    let channel_tls =
        match (get("Source_SSL_Allowed").as_str(), get("Source_SSL_Verify_Server_Cert").as_str()) {
            ("Yes", "Yes") if !get("Source_SSL_CA_File").is_empty() => ChannelTls::Verified,
            ("Yes", _) => ChannelTls::Unverified,
            _ => ChannelTls::Off,
        };
    let patterns = get("Replicate_Wild_Do_Table");
    ReplicaView {
        receiver,
        applier_runs: get("Replica_SQL_Running") == "Yes",
        source_host: get("Source_Host"),
        source_port: get("Source_Port").parse().unwrap_or(0),
        source_server_id: get("Source_Server_Id").parse().ok(),
        channel_tls,
        receiver_error: error("Last_IO_Errno", "Last_IO_Error"),
        applier_error: error("Last_SQL_Errno", "Last_SQL_Error"),
        lag: row.get(&flavor.column("Seconds_Behind_Source")).and_then(|lag| lag.parse().ok()),
        wild_do_tables: patterns.split(',').filter(|p| !p.is_empty()).map(ToOwned::to_owned).collect(),
        pulse: None,
    }
}

/// Watches the link until something comes in, or until it should have.
async fn watch(
    session: &mut Session,
    flavor: &Flavor,
    first: &Row,
    heartbeat: Duration,
) -> Result<(Pulse, Option<Row>)> {
    let begun = Instant::now();
    let patience = heartbeat.mul_f64(MISSED_HEARTBEATS);
    let position = |row: &Row| {
        (row.get(&flavor.column("Source_Log_File")), row.get(&flavor.column("Read_Source_Log_Pos")))
    };
    let before = session.one(flavor.heartbeats_query()).await?.and_then(|row| row.get("heartbeats"));
    loop {
        tokio::time::sleep(PULSE_TICK).await;
        let heartbeats = session.one(flavor.heartbeats_query()).await?.and_then(|row| row.get("heartbeats"));
        let row = session.one(flavor.show_replica_status()).await?;
        let now = row.as_ref().map(position);
        let moved = heartbeats != before || now.is_some_and(|now| now != position(first));
        let watched = begun.elapsed();
        if moved || watched > patience {
            return Ok((Pulse { moved, watched }, row));
        }
    }
}

/// Compares what was asked for with what the running server says.
#[must_use]
pub fn deviations(
    home: &Home,
    membership: &Membership,
    config: &Config,
    flavor: &Flavor,
    variables: &BTreeMap<String, String>,
) -> Vec<Deviation> {
    settings(flavor, membership, &home.tls_paths(), &config.timing(), config.replication.keep_binlogs_days)
        .into_iter()
        .filter_map(|setting| setting.in_effect)
        .filter_map(|(variable, wanted)| {
            let found = variables.get(&variable).cloned();
            let same = found.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(&wanted));
            (!same).then(|| Deviation { node: membership.this().host.clone(), variable, wanted, found })
        })
        .collect()
}
