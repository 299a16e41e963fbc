//! The options with which a home's server is booted, and whether they are in effect.

use anyhow::{Result, bail};

use crate::adapters::home::{after_crash, datadir};
use crate::adapters::look;
use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::pair::{Claim, Membership, Node, Pair, Role};
use crate::domain::settings::{Setting, render, settings};
use crate::domain::tables::TablePatterns;
use crate::failure::{Failure, Kind};

/// The settings of a node in an offline boot.
pub fn node_settings(runner: &Runner<'_>, flavor: &Flavor, membership: &Membership) -> Vec<Setting> {
    settings(flavor, membership, &runner.home.tls_paths(), &runner.config.choices().alone())
}

/// The settings of a node in an offline boot, as the text of an option file.
pub fn node_options(runner: &Runner<'_>, flavor: &Flavor, membership: &Membership) -> String {
    render(&node_settings(runner, flavor, membership))
}

/// The options for reading what a secondary left behind.
pub fn options_to_read(runner: &Runner<'_>, flavor: &Flavor) -> String {
    render(&stand_alone_settings(runner, flavor, true))
}

/// Returns the settings for reading what a secondary left behind.
///
/// Without TLS, writable, and with its relay logs kept, if there are any, instead of fetched again.
pub fn stand_alone_settings(runner: &Runner<'_>, flavor: &Flavor, relay_logs: bool) -> Vec<Setting> {
    let membership = of_a_secondary(runner);
    settings_to_read(runner, flavor, relay_logs, &membership)
}

/// The same, for what a primary left behind.
pub fn settings_to_read_a_primary(
    runner: &Runner<'_>,
    flavor: &Flavor,
    primary: &Membership,
) -> Vec<Setting> {
    settings_to_read(runner, flavor, true, primary)
}

fn of_a_secondary(runner: &Runner<'_>) -> Membership {
    let history = datadir::history(&runner.home.data());
    let node = |number| Node {
        number,
        host: "localhost".into(),
        db_port: 1,
        local_port: None,
        web_port: None,
        history,
    };
    // A server does not apply what has its own number: it would drop what the other node sent it.
    // ignored: data whose binlogs cannot be read are those of a node that was never the primary
    let writer = after_crash::writer_of_binlogs(&runner.home.data()).ok().flatten();
    let primary = if writer == Some(1) { 2 } else { 1 };
    let schema = runner.home.database_params().map(|params| params.schema.to_lowercase()).unwrap_or_default();
    Membership {
        format: Membership::FORMAT,
        role: Role::Secondary,
        key_fingerprint: None,
        pair: Pair {
            id: String::new(),
            schema,
            audit_tables: TablePatterns::default(),
            local_tables: TablePatterns::default(),
            primary,
            epoch: Claim::FIRST.epoch,
            replaces: Claim::FIRST.replaces,
            secondary_word: None,
            nodes: [node(1), node(2)],
        },
    }
}

fn settings_to_read(
    runner: &Runner<'_>,
    flavor: &Flavor,
    relay_logs: bool,
    membership: &Membership,
) -> Vec<Setting> {
    let mut out = node_settings(runner, flavor, membership);
    out.retain(|setting| {
        !setting.option.starts_with("ssl-")
            && setting.option != "read-only"
            && setting.option != "tls-version"
    });
    for setting in &mut out {
        if relay_logs && setting.option == "relay-log-recovery" {
            setting.value = "OFF".into();
        }
    }
    out
}

/// Checks that the server runs with our settings and with TLS.
///
/// A server that cannot read its key disables TLS and starts anyway.
pub async fn check_settings(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let membership = runner.home.require_membership()?;
    let variables = session.variables().await?;
    let choices = runner.config.choices().alone();
    for deviation in look::pair::deviations(runner.home, &membership, &choices, flavor, &variables) {
        // An offline boot does without the one; the other follows when the channel is set.
        if ["event_scheduler", "relay_log_purge"].contains(&deviation.variable.as_str()) {
            continue;
        }
        bail!(
            Failure::new(Kind::Failed, "the server does not use the settings of the pair")
                .because(format!(
                    "{} is {} instead of {}",
                    deviation.variable,
                    deviation.found.as_deref().unwrap_or("unknown to it"),
                    deviation.wanted
                ))
                .hint("Check whether bin/startDB.sh overrides it on mysqld's command line.")
        );
    }
    let bound = variables.get("bind_address").map(String::as_str).unwrap_or_default();
    if ["127.0.0.1", "::1", "localhost"].contains(&bound) {
        bail!(
            Failure::new(Kind::Failed, "the other node could not reach this server")
                .because(format!("its bind_address is {bound}"))
                .hint(
                    "Find the option in the start script that limits it to its own machine, and remove it."
                )
        );
    }
    let enabled = session.one(flavor.tls_enabled_query()).await?.and_then(|row| row.get("enabled"));
    if enabled.as_deref() != Some("YES") {
        bail!(
            Failure::new(Kind::Failed, "the server runs without TLS")
                .because(format!("it reports {enabled:?}"))
                .hint("Read its error log for the reason.")
        );
    }
    Ok(())
}
