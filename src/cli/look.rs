//! Commands that look, and change nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::examples;
use super::set_up::OpeningArgs;
use crate::config::page::listen_address;
use crate::domain::pair::Endpoint;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The pack. By default, HAPack.zip or HAPack.zip.age in the home or in its folder replication.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How to open it.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The codes, as pmp-ha prints them in square brackets.
    #[arg(value_name = "CODE")]
    pub codes: Vec<String>,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// List only the newest N runs.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Arguments of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// List only what happened since then: 24h, 7d, 2026-02-03, or 2026-02-03T04:05Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Show the availability of each month in percent, and its longest outage.
    #[arg(long, conflicts_with = "since")]
    pub availability: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Print one line for Nagios and similar systems. Exit code 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub nagios: bool,
    /// Repeat every SECONDS (default 2) until Ctrl-C. Ctrl-C exits with 0.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    /// Write a heartbeat here, and wait until it reaches the other node and comes back.
    #[arg(long)]
    pub prove: bool,
    /// On the primary: compare the data of both nodes row by row. The application keeps working. Exit code 5 if rows differ. An interrupted run resumes where it stopped.
    #[arg(long, conflicts_with_all = ["nagios", "watch", "prove"])]
    pub deep: bool,
    /// Compare only this table. Can be repeated.
    #[arg(long = "table", value_name = "NAME", requires = "deep")]
    pub tables: Vec<String>,
    /// Pause MS milliseconds between two chunks, to spare the servers.
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "deep")]
    pub pause: u64,
    /// Start from the beginning, even if an earlier run was interrupted.
    #[arg(long, requires = "deep")]
    pub anew: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The other node, HOST or HOST:DBPORT, before there is a pair.
    #[arg(long, value_name = "PEER")]
    pub peer: Option<Endpoint>,
}

/// Arguments of `support-bundle`.
#[derive(Debug, Args)]
pub struct SupportBundleArgs {
    /// The file. By default, pmp-ha-support-TIME.zip in the folder replication of the home.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Arguments of `monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Seconds between two checks.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    /// Check once, send pending alarms, and end: for cron. Exit code 5: the pair is not Alive.
    #[arg(long, conflicts_with = "every")]
    pub once: bool,
    /// Serve the page, metrics and checks for load balancers: PORT, IP or IP:PORT. By default 127.0.0.1:7273. A network address needs a certificate and a token in `[page]`.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:7273",
          value_parser = listen_address, conflicts_with = "once")]
    pub listen: Option<SocketAddr>,
    /// Write the metrics into this file, for `node_exporter`.
    #[arg(long, value_name = "FILE", requires = "once", value_parser = metrics_file)]
    pub textfile: Option<PathBuf>,
    /// Install the monitor as a systemd service that runs as the home's owner, after showing what it writes. Run it as root.
    #[arg(long, conflicts_with = "once")]
    pub install: bool,
    /// Remove the service that --install created, and nothing else.
    #[arg(long, conflicts_with_all = ["once", "install", "every"])]
    pub uninstall: bool,
    /// The folder for the unit, for an image or another machine. pmp-ha does not start the service then. By default, /etc/systemd/system.
    #[arg(long, value_name = "DIR")]
    pub unit_dir: Option<PathBuf>,
}

/// The channels of alarms.
#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Send one message through each alarm channel.
    ///
    /// docs/alarms.md explains how to set up each channel. Exit code 1: a channel failed.
    #[command(after_help = examples::ALERT)]
    Test(AlertTestArgs),
}

/// Arguments of `alert test`.
#[derive(Debug, Args)]
pub struct AlertTestArgs {
    /// Test only these channels. By default, all.
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
}

/// The configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Check every value, and every file that it names.
    ///
    /// It tests the connection to every receiver of alarms, and sends nothing; with --dry-run it does not
    /// connect. An error names the file, the line and the key. It starts and changes nothing.
    #[command(after_help = examples::CONFIG_CHECK)]
    Check,
    /// Show every setting in effect, and its origin.
    ///
    /// It shows no secrets.
    #[command(after_help = examples::CONFIG_SHOW)]
    Show,
}

/// Accepts a name that `node_exporter` reads: it passes over every other file.
fn metrics_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_read = path.extension().is_some_and(|end| end == "prom");
    if is_read {
        Ok(path)
    } else {
        Err("its name must end with .prom: node_exporter reads no other file".into())
    }
}
