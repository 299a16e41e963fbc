//! Finds out how a running database can be copied, for a pack or for a recovery.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::adapters::home::{Home, datadir};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::adapters::server::session::{Address, Session};
use crate::adapters::{look, system};
use crate::config::Config;
use crate::domain::flavor::{Flavor, ServerVersion};
use crate::domain::pair::Membership;
use crate::domain::plan::CopyWay;
use crate::domain::procedures::pack::Online;
use crate::domain::procedures::recover::LiveSource;
use crate::domain::procedures::repair::Applier;
use crate::domain::snapshot::Receiver;

const LOGIN_DEADLINE: Duration = Duration::from_secs(5);

/// How long the backup tool may take to say its version.
const TOOL_DEADLINE: Duration = Duration::from_secs(20);

/// Tables that a server which copies itself leaves empty in the copy.
const NOT_CLONED: &str = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
     AND ENGINE NOT IN ('InnoDB', 'PERFORMANCE_SCHEMA', 'MEMORY') \
     AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') LIMIT 1";

/// Looks.
pub async fn look(
    home: &Home,
    membership: Option<&Membership>,
    config: &Config,
    interrupt: &Interrupt,
) -> Online {
    let looked = match membership {
        Some(membership) => ask(home, membership, config, interrupt).await,
        None => Ok(Online::NotSetUp),
    };
    looked.unwrap_or_else(|error| Online::NotSeen(format!("{error:#}")))
}

async fn ask(home: &Home, membership: &Membership, config: &Config, interrupt: &Interrupt) -> Result<Online> {
    let database = Database::of(home, interrupt);
    if database.serving_pid().await?.is_none() {
        return Ok(Online::NotRunning);
    }
    let version = database.version().await?;
    // What is not known is refused elsewhere.
    let Some(flavor) = Flavor::of(&version) else { return Ok(Online::NotRunning) };
    let admin = home.credentials()?.admin;
    let mut session = match Session::open(&Address::Socket(home.socket()), &admin, LOGIN_DEADLINE).await {
        Ok(session) => session,
        Err(blind) => return Ok(Online::NotSeen(blind.evidence)),
    };
    let variables = session.variables().await?;
    let choices = config.choices().alone();
    let mut missing: Vec<String> = look::pair::deviations(home, membership, &choices, flavor, &variables)
        .into_iter()
        .map(|found| format!("{} is {:?} instead of {}", found.variable, found.found, found.wanted))
        .collect();
    let tls = session.one(flavor.tls_enabled_query()).await?.and_then(|row| row.get("enabled"));
    if tls.as_deref() != Some("YES") {
        missing.push("it runs without TLS".into());
    }
    if !missing.is_empty() {
        return Ok(Online::WithoutSettings(missing));
    }
    let way = way(home, flavor, &version, &mut session, true).await?;
    session.close().await;
    Ok(Online::Ready(way))
}

/// Looks at a running secondary whose data are copied for `into`.
pub async fn look_at_secondary(home: &Home, into: &Home, interrupt: &Interrupt) -> Result<LiveSource> {
    let version = Database::of(home, interrupt).version().await?;
    let Some(flavor) = Flavor::of(&version) else { bail!("{version} is not known") };
    let admin = home.credentials()?.admin;
    let mut session = Session::open(&Address::Socket(home.socket()), &admin, LOGIN_DEADLINE)
        .await
        .map_err(|blind| anyhow!("the account {} cannot log in: {}", admin.user, blind.evidence))?;
    let replica = look::rows::replica(&mut session, flavor).await?;
    // A server that copies itself writes the files there under its own account.
    let can_write = system::owner(&datadir::parent(into))? == system::owner(&home.data())?;
    let way = way(home, flavor, &version, &mut session, can_write).await?;
    session.close().await;
    Ok(LiveSource {
        way,
        is_connected: replica.as_ref().is_some_and(|replica| replica.receiver == Receiver::Connected),
        // A receiver that was stopped brings nothing more; what counts is what it has brought.
        applier: replica.map(|replica| match Applier::of(&replica) {
            Applier::Stopped if replica.applier_runs => Applier::Runs,
            other => other,
        }),
    })
}

/// How the data of a running database are copied.
///
/// `can_write`: the server may write to the target of the copy.
pub async fn way(
    home: &Home,
    flavor: &Flavor,
    version: &ServerVersion,
    session: &mut Session,
    can_write: bool,
) -> Result<CopyWay> {
    // Without its doublewrite files nothing would tell any more that the server runs.
    let still_seen = datadir::second_holder(&home.data())?.is_some();
    if flavor.clones_itself() && can_write && still_seen && session.one(NOT_CLONED).await?.is_none() {
        let loaded =
            "SELECT PLUGIN_STATUS AS status FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'";
        match session.one(loaded).await?.and_then(|row| row.get("status")) {
            Some(status) if status == "ACTIVE" => return Ok(CopyWay::Clone { install: false }),
            None if has_clone_plugin(session).await? => return Ok(CopyWay::Clone { install: true }),
            _ => {}
        }
    }
    for name in flavor.backup_tools() {
        let program = home.path("mysql/bin").join(name);
        if program.is_file() && is_of(&program, version).await {
            return Ok(CopyWay::BackupTool { program: program.to_string_lossy().into_owned() });
        }
    }
    Ok(CopyWay::Lock)
}

/// Whether the plugin could be loaded.
async fn has_clone_plugin(session: &mut Session) -> Result<bool> {
    let folder = session.one("SELECT @@GLOBAL.plugin_dir AS folder").await?.and_then(|row| row.get("folder"));
    Ok(folder.is_some_and(|folder| Path::new(&folder).join("mysql_clone.so").is_file()))
}

/// Whether a backup tool belongs to the server: another version may not know its files.
async fn is_of(program: &Path, version: &ServerVersion) -> bool {
    let mut command = tokio::process::Command::from(system::program(program));
    command.arg("--version").stdin(std::process::Stdio::null()).kill_on_drop(true);
    let Ok(Ok(output)) = tokio::time::timeout(TOOL_DEADLINE, command.output()).await else { return false };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once("server ")
        .and_then(|(_, tail)| ServerVersion::parse(tail))
        .is_some_and(|of| of == *version)
}
