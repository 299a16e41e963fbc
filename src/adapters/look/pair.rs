//! Looks at both nodes of a pair at once, each with a deadline. "Not seen" is a result, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::adapters::home::{Home, certificates};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::asking::{Asking, DEADLINE, NotLetIn, Trail};
use crate::adapters::look::pulse::{Before, Bell, watch};
use crate::adapters::look::{errant, key_data, left_out, returned, tfa, web};
use crate::adapters::server::process::Database;
use crate::adapters::server::session::{Address, Row, Speaks, greeting, greeting_of_socket};
use crate::adapters::system;
use crate::config::Config;
use crate::domain::certificate::{self, InUse};
use crate::domain::flavor::{Flavor, ServerVersion};
use crate::domain::own_schema::{ASK_ROLE, BEATS, CLOCK, Rights, read_role};
use crate::domain::pair::{Claim, Membership, Pair, Role};
use crate::domain::questions::{LEFT_PREPARED, RECEIVERS};
use crate::domain::set_up_again::ASK_DUE;
use crate::domain::settings::{Choices, OWN_SCHEMA, settings};
use crate::domain::snapshot::{
    ApplierLimit, Beat, Blind, BlindReason, ChannelTls, CurrentPorts, Deviation, Observed, Receiver,
    ReplicaView, SemiSyncView, ServerView, Snapshot, Tfa,
};

/// How long a look at one node may take in all: many slow answers must not add up. The two looks
/// go on at once, so that `verify` answers within 5 s.
const WHOLE_LOOK: Duration = Duration::from_secs(4);

/// How much of that the logs of a node may take. They are read last.
const READING: Duration = Duration::from_secs(2);

/// What of it is for everything but the wait for a heartbeat. Where heartbeats were made slower
/// than the default, a living link can only be told from a dead one by waiting longer.
const ASKING: Duration = Duration::from_millis(1500);

/// How long a server may take to hear our good-bye.
const GOOD_BYE: Duration = Duration::from_millis(250);

/// How long the server of this home may take to say which it is.
const LOCAL_GREETING: Duration = Duration::from_millis(500);

/// How many heartbeats a quiet link may miss while it is watched.
const MISSED_HEARTBEATS: f64 = 2.5;

/// How long an applier that is not behind may take for a heartbeat that has just come.
const APPLYING: Duration = Duration::from_millis(100);

/// How often it is looked for.
const TICK: Duration = Duration::from_millis(3);

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
        web: web::port_now(home, membership.this()),
    };
    let watches_tfa = membership.role == Role::Secondary;
    let (here, there) = Bell::pair();
    let (servers_seen, servers) = tokio::sync::watch::channel(false);
    let look_at_servers = async {
        let both = tokio::join!(
            look_here(home, &membership, config, interrupt, Some(here)),
            look_there(home, &membership, config, there),
        );
        servers_seen.send_replace(true);
        both
    };
    let ((mut local, peer), tfa, old_key, web) = tokio::join!(
        look_at_servers,
        async { if watches_tfa { tfa::look(home, config).await } else { Tfa::NotWatched } },
        async {
            if watches_tfa { Box::pin(key_data::of_others(home, &membership, config)).await } else { None }
        },
        web::look(home, &membership, config, servers),
    );
    if let (true, Observed::Seen(view)) = (home.compare_due().exists(), &mut local) {
        view.compare_due = true;
    }
    let mut deviations = deviations_of(home, &membership, config, &local);
    // The other node's paths and its history are not known here; everything else has to be as it was set up.
    let there = Membership { role: Pair::peer_of(membership.role), ..membership.clone() };
    deviations.extend(
        deviations_of(home, &there, config, &peer)
            .into_iter()
            .filter(|found| !found.variable.starts_with("ssl_") && found.variable != "gtid_domain_id"),
    );
    let disk = system::free_space(&home.data()).ok();
    let certificates = certificates_in_use(home, &membership, &peer);
    let now = jiff::Timestamp::now().as_second();
    // ignored: what cannot be read is no change that is under way, and `rotate` says why
    let rotating = home.rotation().ok().flatten().map(|rotation| rotation.stage);
    let trusted = certificates::read(home.tls_paths().ca.as_ref()).and_then(|pem| certificates::count(&pem));
    // ignored: what cannot be read is told by the connection
    let trusts_two_cas = rotating.is_none() && trusted.is_ok_and(|number| number > 1);
    let own_options = home.changed_own_option_file();
    Ok(Snapshot {
        membership,
        ports,
        local,
        peer,
        deviations,
        own_options,
        open_run: None,
        tfa,
        old_key,
        disk,
        now,
        certificates,
        rotating,
        trusts_two_cas,
        web,
        proof: None,
    })
}

/// The certificates of the pair: of this node and of its CA by the files, of the other node by its server.
fn certificates_in_use(home: &Home, membership: &Membership, peer: &Observed<ServerView>) -> Vec<InUse> {
    let tls = home.tls_paths();
    let file =
        |path: &str| certificates::read(Path::new(path)).and_then(|pem| certificates::valid(&pem)).ok();
    let here = |whose: String, is_ca: bool, path: &str| {
        file(path).map(|valid| InUse { whose, is_ca, begins: Some(valid.start), ends: valid.end })
    };
    let there = peer.seen().and_then(|server| server.certificate_ends);
    let of = |host: &str| format!("the certificate of {host}");
    [
        here("the certificate of the pair's CA".to_owned(), true, &tls.ca),
        here(of(&membership.this().host), false, &tls.cert),
        there.map(|ends| InUse { whose: of(&membership.peer().host), is_ca: false, begins: None, ends }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns which settings of this node the running server lacks, without a look at the peer.
pub async fn local_deviations(
    home: &Home,
    membership: &Membership,
    config: &Config,
    interrupt: &Interrupt,
) -> Vec<Deviation> {
    let looked = look_here(home, membership, config, interrupt, None).await;
    deviations_of(home, membership, config, &looked)
}

fn deviations_of(
    home: &Home,
    membership: &Membership,
    config: &Config,
    local: &Observed<ServerView>,
) -> Vec<Deviation> {
    let Some(server) = local.seen() else { return Vec::new() };
    Flavor::of(&server.version)
        .map(|flavor| deviations(home, membership, &config.choices(), flavor, &server.variables))
        .unwrap_or_default()
}

async fn look_here(
    home: &Home,
    membership: &Membership,
    config: &Config,
    interrupt: &Interrupt,
    bell: Option<Bell>,
) -> Observed<ServerView> {
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
    let (address, trail) = (Address::Socket(home.socket()), Trail::default());
    let look = look(home, membership, membership.role, &address, config, &trail, bell);
    in_time(whole_look(config), &trail, look).await
}

async fn look_there(
    home: &Home,
    membership: &Membership,
    config: &Config,
    bell: Bell,
) -> Observed<ServerView> {
    let trail = Trail::default();
    in_time(whole_look(config), &trail, look_over(home, membership, config, &trail, bell)).await
}

async fn look_over(
    home: &Home,
    membership: &Membership,
    config: &Config,
    trail: &Trail,
    bell: Bell,
) -> Observed<ServerView> {
    let peer = membership.peer();
    if let Err(blind) = greeting(&peer.host, peer.db_port, DEADLINE).await {
        return Observed::NotSeen(blind);
    }
    // What takes its time now is this node.
    trail.has_answered(true);
    trail.is_at("it greeted while pmp-ha asked this home's server for its version".into());
    let address = peer_address(home, membership).await;
    look(home, membership, Pair::peer_of(membership.role), &address, config, trail, Some(bell)).await
}

/// How the other node's server is reached from here.
pub async fn peer_address(home: &Home, membership: &Membership) -> Address {
    let peer = membership.peer();
    // Both nodes run the same version, so that what is known of ours holds there.
    let modern = home_flavor(home).await.is_none_or(|flavor| flavor.modern_tls);
    let speaks = if modern { Speaks::Modern } else { Speaks::Old };
    Address::Tls { host: peer.host.clone(), port: peer.db_port, tls: home.tls_paths(), speaks }
}

fn whole_look(config: &Config) -> Duration {
    WHOLE_LOOK.max(ASKING + config.heartbeat().mul_f64(MISSED_HEARTBEATS))
}

/// What was not seen in time was not seen.
async fn in_time(
    time: Duration,
    trail: &Trail,
    look: impl Future<Output = Observed<ServerView>>,
) -> Observed<ServerView> {
    tokio::time::timeout(time, Box::pin(look)).await.unwrap_or_else(|_| {
        let evidence = format!("not done within {:.1} s: {trail}", time.as_secs_f64());
        Observed::NotSeen(Blind { why: trail.why(), evidence })
    })
}

/// What was not read in time was not read. The node was seen all the same.
async fn read_in_time<T>(reading: impl Future<Output = Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(READING, Box::pin(reading)).await {
        Ok(read) => read.map_err(|error| format!("{error:#}")),
        Err(_) => Err(format!("not done within {:.1} s", READING.as_secs_f64())),
    }
}

/// Which server this home has: the running one says it at once, its program only after a while.
async fn home_flavor(home: &Home) -> Option<&'static Flavor> {
    let greeted = greeting_of_socket(&home.socket(), LOCAL_GREETING).await.ok();
    if let Some(version) = greeted.and_then(|text| ServerVersion::parse(&text)) {
        return Flavor::of(&version);
    }
    Flavor::of(&Database::of(home, &Interrupt::default()).version().await.ok()?)
}

/// Looks at the server of the node that plays `role`. Without a bell nobody cares whether its link lives.
async fn look(
    home: &Home,
    membership: &Membership,
    role: Role,
    address: &Address,
    config: &Config,
    trail: &Trail,
    bell: Option<Bell>,
) -> Observed<ServerView> {
    let account = match home.credentials() {
        Ok(credentials) => credentials.monitor,
        Err(error) => {
            return Observed::NotSeen(Blind { why: BlindReason::TurnedAway, evidence: format!("{error:#}") });
        }
    };
    trail.is_at("this node was logging in".into());
    trail.has_answered(false);
    let mut asking = match Asking::open(address, &account, trail).await {
        Ok(asking) => asking,
        Err(blind) => return Observed::NotSeen(blind),
    };
    let source = membership.pair.node(Pair::peer_of(role)).number;
    let asked = async {
        let mut view = ask(&mut asking, config, bell, source).await?;
        if role == Role::Secondary {
            asking.asks("SHOW BINLOG EVENTS");
            let read = errant::read_on(asking.session().at_length(), home, membership, None);
            view.errant = Some(read_in_time(read).await);
        }
        // Where the server shows no relay logs, only their files do, and those are on the primary.
        let can_read = membership.role == Role::Primary;
        let flavor = Flavor::of(&view.version)
            .filter(|flavor| !flavor.limits_the_applier() && (flavor.shows_relay_logs() || can_read));
        if let (Role::Primary, Some(flavor)) = (role, flavor) {
            asking.asks("SHOW RELAYLOG EVENTS");
            let read = returned::read_on(asking.session().at_length(), flavor, home, membership, None);
            view.returned = Some(read_in_time(read).await);
        }
        anyhow::Ok(view)
    };
    match asked.await {
        Ok(view) => {
            // ignored: the session is over either way
            let _ = tokio::time::timeout(GOOD_BYE, asking.close()).await;
            Observed::Seen(view)
        }
        Err(error) => Observed::NotSeen(match error.downcast::<NotLetIn>() {
            Ok(NotLetIn(blind)) => blind,
            Err(error) => Blind { why: BlindReason::Silent, evidence: format!("{error:#}") },
        }),
    }
}

async fn ask(
    session: &mut Asking<'_>,
    config: &Config,
    mut bell: Option<Bell>,
    source: u32,
) -> Result<ServerView> {
    let row =
        session.one("SELECT VERSION() AS version, CURRENT_USER() AS account").await?.context("no version")?;
    let lets_everybody_in = row.get("account").filter(|account| !session.is_login_of(account));
    let version =
        row.get("version").and_then(|text| ServerVersion::parse(&text)).context("an unknown version")?;
    let flavor = Flavor::of(&version).with_context(|| format!("{version} is not known"))?;
    // First of all: as soon as it is known what has come so far, the other node may be asked for more.
    let replica = session.one(flavor.show_replica_status()).await?;
    let mut replica = replica.map(|row| (parse_replica(flavor, &row), row));
    let mut before = None;
    if let Some(bell) = &bell {
        if let Some((_, row)) = replica.as_ref().filter(|(view, _)| view.receiver == Receiver::Connected) {
            before = Some(Before::note(session, flavor, row).await?);
        }
        bell.says_what_it_wants(before.is_some());
    }
    let variables = session.variables().await?;
    // Not that of the binlog: a server whose disk is full lets everybody wait who asks for it.
    let left_out = replica.as_ref().map_or_else(Vec::new, |(_, row)| left_out::of_applier(row));
    let tls = session.one(flavor.tls_enabled_query()).await?.and_then(|row| row.get("enabled")).as_deref()
        == Some("YES");
    let rows = session.told(&RECEIVERS).await?;
    let host = |row: &Row| {
        row.get("host").map(|host| host.rsplit_once(':').map_or(host.clone(), |(host, _)| host.to_owned()))
    };
    let replicas_connected = rows.iter().filter_map(host).collect();
    let changed = async |session: &mut Asking<'_>, whose| {
        rights_changed(session, whose).await.unwrap_or_else(|error| Some(vec![format!("{error:#}")]))
    };
    let rights_changed = changed(session, Rights::OfTheApplication).await;
    let insertable = match &rights_changed {
        // On a primary without a guard there is nothing to be read.
        None => Vec::new(),
        Some(_) => insertable(session).await?,
    };
    if let (Some(query), Some((view, _))) = (flavor.limit_query(), &mut replica) {
        let row = session.one(query).await?.unwrap_or_default();
        view.limit = Some(ApplierLimit {
            account: row.get("account"),
            rows_only: row.get("rows_only").as_deref() == Some("YES"),
            rights_changed: changed(session, Rights::OfTheApplier).await,
        });
    }
    let status =
        session.query("SHOW GLOBAL STATUS WHERE Variable_name IN ('Ssl_server_not_after', 'Uptime')").await?;
    let of_status = |name: &str| {
        status.iter().find(|row| row.get("Variable_name").as_deref() == Some(name))?.get("Value")
    };
    let certificate_ends = of_status("Ssl_server_not_after").and_then(|text| certificate::time(&text));
    let uptime = of_status("Uptime").and_then(|text| text.parse().ok());
    let prepared = prepared(session).await?;
    let semi_sync = match config.semi_sync() {
        None => None,
        Some(_) => Some(semi_sync(session, flavor).await?),
    };
    let patience = config.heartbeat().mul_f64(MISSED_HEARTBEATS);
    let watched = match &mut bell {
        Some(bell) => watch(session, flavor, before.as_ref(), bell, patience).await?,
        None => None,
    };
    if let (Some((pulse, last)), Some((view, _))) = (watched, &mut replica) {
        // The link may have been found dead while it was watched: the last look counts.
        if let Some(last) = last {
            let limit = view.limit.take();
            *view = parse_replica(flavor, &last);
            view.limit = limit;
        }
        view.pulse = Some(pulse);
    }
    // The status names the worker that failed, and the worker says why. It may have failed just now.
    if let (Some((view, _)), Some(query)) = (&mut replica, flavor.worker_errors_query())
        && view.applier_error.0 != 0
        && let Some(row) = session.one(query).await?
        && let (Some(number), Some(message)) = (row.get("number"), row.get("message"))
    {
        view.applier_error = (number.parse().unwrap_or(view.applier_error.0), message);
    }
    let replica = replica.map(|(view, _)| view);
    let (clock, clock_offset, beats) = heartbeats(session, bell.as_ref(), replica.as_ref(), source).await?;
    // ignored: data that were set up by an older version have no such table
    let says = session.one(ASK_ROLE).await.ok().flatten().and_then(|row| read_role(|name| row.get(name)));
    // ignored: data that were set up by an older version have no such table
    let compare_due = session.one(ASK_DUE).await.ok().flatten().is_some();
    Ok(ServerView {
        version,
        compare_due,
        left_out,
        lets_everybody_in,
        variables,
        tls,
        replica,
        replicas_connected,
        semi_sync,
        clock,
        clock_offset,
        beats,
        says,
        rights_changed,
        prepared,
        insertable,
        errant: None,
        returned: None,
        certificate_ends,
        uptime,
    })
}

/// What the server counts of semi-synchronous replication.
async fn semi_sync(session: &mut Asking<'_>, flavor: &Flavor) -> Result<SemiSyncView> {
    let rows = session.query("SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%'").await?;
    let value = |name: &str| {
        let name = flavor.option(name);
        let row = rows.iter().find(|row| row.get("Variable_name").as_ref() == Some(&name))?;
        row.get("Value")
    };
    let count = |name: &str| value(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(match value("Rpl_semi_sync_source_status") {
        None => SemiSyncView::Absent,
        Some(status) => SemiSyncView::Present {
            on: status == "ON",
            replicas: count("Rpl_semi_sync_source_clients"),
            not_awaited: count("Rpl_semi_sync_source_no_tx"),
        },
    })
}

/// The server's clock, how far it is ahead of this machine's, and the heartbeat rows: with the one
/// that `source` was asked for, or its applier would seem to be behind.
async fn heartbeats(
    session: &mut Asking<'_>,
    bell: Option<&Bell>,
    replica: Option<&ReplicaView>,
    source: u32,
) -> Result<(i64, i64, Vec<Beat>)> {
    let may_come =
        replica.is_some_and(|view| view.applier_runs && view.pulse.as_ref().is_some_and(|pulse| pulse.moved));
    let begun = Instant::now();
    loop {
        let seen = heartbeats_now(session).await?;
        let has_come = bell.is_none_or(|bell| bell.has_come(&seen.2, source));
        if !may_come || has_come || begun.elapsed() > APPLYING {
            return Ok(seen);
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn heartbeats_now(session: &mut Asking<'_>) -> Result<(i64, i64, Vec<Beat>)> {
    let number = |row: &Row, name: &str| row.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    let before = now_micros();
    let row = session.one(format!("SELECT {CLOCK} AS clock")).await?.unwrap_or_default();
    let clock = number(&row, "clock");
    let here = i64::midpoint(before, now_micros());
    let [with_asked, without] = BEATS;
    let rows = match session.query(with_asked).await {
        Ok(rows) => rows,
        // Rows that are not there are a finding of their own, and hide nothing else.
        Err(_) => session.query(without).await.unwrap_or_default(),
    };
    let beat = |row: &Row| Beat {
        node: u32::try_from(number(row, "node")).unwrap_or(0),
        beat: number(row, "beat"),
        echo: number(row, "echo"),
        epoch: row.get("epoch").and_then(|text| Claim::read_epoch(&text)).unwrap_or(0),
        by_event: number(row, "by_event"),
    };
    Ok((clock, clock - here, rows.iter().map(beat).collect()))
}

fn now_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

async fn prepared(session: &mut Asking<'_>) -> Result<u64> {
    let rows = session.told(&LEFT_PREPARED).await?;
    Ok(rows.first().and_then(|row| row.get("prepared")?.parse().ok()).unwrap_or(0))
}

/// The tables into which the application may insert by name.
async fn insertable(session: &mut Asking<'_>) -> Result<Vec<String>> {
    let query = format!(
        "SELECT DISTINCT object FROM {OWN_SCHEMA}.{} WHERE rights LIKE '%Insert%' AND object NOT LIKE '%.*'",
        Rights::OfTheApplication.view()
    );
    // ignored: a view that cannot be read is a finding of its own
    let rows = session.query(query).await.unwrap_or_default();
    Ok(rows.iter().filter_map(|row| row.get("object")).collect())
}

/// Compares the rights of an account with those that were recorded when they were set.
async fn rights_changed(session: &mut Asking<'_>, whose: Rights) -> Result<Option<Vec<String>>> {
    let (view, at_setup) = (whose.view(), whose.at_setup());
    if session.query(format!("SHOW TABLES FROM {OWN_SCHEMA} LIKE '{at_setup}'")).await?.is_empty() {
        return Ok(None);
    }
    let mut read = async |table: &str| -> Result<BTreeSet<[String; 3]>> {
        let rows = session.query(format!("SELECT account, object, rights FROM {OWN_SCHEMA}.{table}")).await?;
        let get = |row: &Row, name: &str| row.get(name).unwrap_or_default();
        Ok(rows.iter().map(|row| ["account", "object", "rights"].map(|name| get(row, name))).collect())
    };
    let (set, now) = (read(at_setup).await?, read(view).await?);
    let gained = now.difference(&set).map(|[who, what, rights]| format!("{who} now has {rights} on {what}"));
    let lost =
        set.difference(&now).map(|[who, what, rights]| format!("{who} no longer has {rights} on {what}"));
    Ok(Some(gained.chain(lost).collect()))
}

/// Reads a row of the replica status.
#[must_use]
pub fn parse_replica(flavor: &Flavor, row: &Row) -> ReplicaView {
    let get = |column: &str| row.get(&flavor.column(column)).unwrap_or_default();
    let error = |number: &str, text: &str| (get(number).parse().unwrap_or(0), get(text));
    let receiver = match get("Replica_IO_Running").as_str() {
        "Yes" => Receiver::Connected,
        "No" if flavor.connecting_shows_as_stopped() && !get("Replica_IO_State").is_empty() => {
            Receiver::Connecting
        }
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
        limit: None,
        pulse: None,
    }
}

/// Compares what was asked for with what the running server says.
#[must_use]
pub fn deviations(
    home: &Home,
    membership: &Membership,
    choices: &Choices,
    flavor: &Flavor,
    variables: &BTreeMap<String, String>,
) -> Vec<Deviation> {
    settings(flavor, membership, &home.tls_paths(), choices)
        .into_iter()
        .filter_map(|setting| setting.in_effect)
        .filter_map(|(variable, wanted)| {
            let found = variables.get(&variable).cloned();
            let same = found.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(&wanted));
            (!same).then(|| Deviation { node: membership.this().host.clone(), variable, wanted, found })
        })
        .collect()
}
