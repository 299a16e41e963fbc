//! The options that the server of a home is booted with, and whether they are in effect.

use anyhow::{Result, bail};

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

/// The options by which what a secondary left behind is read.
pub fn options_to_read(runner: &Runner<'_>, flavor: &Flavor) -> String {
    render(&stand_alone_settings(runner, flavor, true))
}

/// The settings of a secondary, as far as they are needed to read what it left behind: without
/// TLS, writable, and with its relay logs, where there are any, kept instead of fetched again.
pub fn stand_alone_settings(runner: &Runner<'_>, flavor: &Flavor, relay_logs: bool) -> Vec<Setting> {
    let node =
        |number| Node { number, host: "localhost".into(), db_port: 1, local_port: None, web_port: None };
    let schema = runner.home.database_params().map(|params| params.schema.to_lowercase()).unwrap_or_default();
    let membership = Membership {
        format: Membership::FORMAT,
        role: Role::Secondary,
        key_fingerprint: None,
        pair: Pair {
            id: String::new(),
            schema,
            audit_tables: TablePatterns::default(),
            local_tables: TablePatterns::default(),
            primary: 1,
            epoch: Claim::FIRST.epoch,
            replaces: Claim::FIRST.replaces,
            secondary_word: None,
            nodes: [node(1), node(2)],
        },
    };
    let mut out = node_settings(runner, flavor, &membership);
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

/// Sees that the server runs with our settings and with TLS: a server that cannot read a key
/// switches TLS off and starts all the same.
pub async fn check_settings(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let membership = runner.home.require_membership()?;
    let variables = session.variables().await?;
    let choices = runner.config.choices().alone();
    for deviation in look::pair::deviations(runner.home, &membership, &choices, flavor, &variables) {
        if deviation.variable == "event_scheduler" {
            continue;
        }
        bail!(
            Failure::new(Kind::Failed, "the settings of the pair do not reach the server")
                .because(format!(
                    "{} is {:?} and not {}",
                    deviation.variable, deviation.found, deviation.wanted
                ))
                .hint("See whether the start script overrides it on mysqld's command line.")
        );
    }
    let bound = variables.get("bind_address").map(String::as_str).unwrap_or_default();
    if ["127.0.0.1", "::1", "localhost"].contains(&bound) {
        bail!(
            Failure::new(Kind::Failed, "the other node could not reach this server")
                .because(format!("its bind_address is {bound}"))
                .hint("See where the start script binds it to its own machine, and take that out.")
        );
    }
    let enabled = session.one(flavor.tls_enabled_query()).await?.and_then(|row| row.get("enabled"));
    if enabled.as_deref() != Some("YES") {
        bail!(
            Failure::new(Kind::Failed, "the server runs without TLS")
                .because(format!("it says {enabled:?}"))
                .hint("Look into its error log for the reason.")
        );
    }
    Ok(())
}
