//! The throw-away server: boots the data as a recovery does, checks them, and stops cleanly.
//!
//! An error in it is a defect of the data, not a failure of the rehearsal.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::live::{self, WHOLE_TABLE};
use super::proof::{Gathered, Go};
use crate::adapters::look;
use crate::adapters::look::catalogue::catalogue;
use crate::adapters::server::session::{Session, StatementFailed};
use crate::adapters::system;
use crate::apply::database::{accounts, backlog, boot, key_query, options};
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::pair::Membership;
use crate::domain::plan::KeyCheck;
use crate::domain::rehearsal::check::{Check, Code, Defect, Topic};
use crate::domain::rehearsal::checks;
use crate::domain::rehearsal::report::seconds;
use crate::domain::rehearsal::tables::Tables;
use crate::domain::settings::{Setting, render};
use crate::domain::sql::quote_name;
use crate::failure::{Failure, Kind};

/// Words by which a server speaks of a page that is not what it wrote.
const OF_PAGES: [&str; 2] = ["corrupt", "checksum mismatch"];

/// Words by which it speaks of its redo log.
const OF_REDO: [&str; 4] = ["ib_logfile", "#ib_redo", "#innodb_redo", "redo log file"];

/// Every table but those that no file stands behind.
const EVERY_TABLE: &str = "SELECT TABLE_SCHEMA AS sch, TABLE_NAME AS tbl FROM information_schema.TABLES \
     WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') \
     AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'sys') ORDER BY 1, 2";

/// The tables of the server's own logs. Nobody recovers from them.
const LOGS: [&str; 2] = ["general_log", "slow_log"];

/// A throw-away server.
pub(super) struct Server<'a> {
    runner: Runner<'a>,
    flavor: &'static Flavor,
    membership: &'a Membership,
    /// Whether the relay logs were copied, so that applying what was received from them.
    has_relay_logs: bool,
    session: Option<Session>,
}

impl<'a> Server<'a> {
    /// The server of the home around a copy of the data, which `runner` works on.
    pub(super) async fn of(
        runner: Runner<'a>,
        membership: &'a Membership,
        has_relay_logs: bool,
    ) -> Result<Self> {
        let flavor = runner.flavor().await?;
        Ok(Self { runner, flavor, membership, has_relay_logs, session: None })
    }

    pub(super) fn runner(&self) -> &Runner<'a> {
        &self.runner
    }

    fn session(&mut self) -> Result<&mut Session> {
        self.session.as_mut().context("the throw-away server does not run")
    }

    fn settings(&self) -> Vec<Setting> {
        let mut out = options::node_settings(&self.runner, self.flavor, self.membership);
        for setting in &mut out {
            if setting.option == "relay-log-recovery" && self.has_relay_logs {
                setting.value = "OFF".into();
            }
        }
        out
    }

    /// Boots it, and checks that it uses TLS with the node's key.
    pub(super) async fn boot(&mut self, proof: &mut Gathered) -> Result<Go> {
        let begun = Instant::now();
        let spinner = self.runner.ui.spinner("the throw-away server is starting");
        let settings = self.settings();
        let mut without_tls = None;
        if let Err(error) = self.start(&settings).await? {
            // Some servers do not start with a key that they cannot read.
            let plain =
                |setting: &&Setting| !setting.option.starts_with("ssl-") && setting.option != "tls-version";
            let plain: Vec<Setting> = settings.iter().filter(plain).cloned().collect();
            let defect = self.fault(&error);
            let because_of_tls = defect.code == Code::ServerFails && self.start(&plain).await?.is_ok();
            if !because_of_tls {
                proof.checks.push(Check::of(Topic::Start, vec![defect], ""));
                return Ok(Go::NoFurther);
            }
            without_tls = Some(format!("the server starts only without TLS: {}", defect.evidence));
        }
        drop(spinner);
        proof.seconds.boot = Some(seconds(begun.elapsed()));
        proof.checks.push(Check::passed(Topic::Start, "the server runs on the data"));

        let query = self.flavor.tls_enabled_query();
        let enabled = self.session()?.one(query).await?.and_then(|row| row.get("enabled"));
        if without_tls.is_none() && enabled.as_deref() != Some("YES") {
            without_tls = Some("the server starts with TLS disabled".into());
        }
        let defects = without_tls.map(|evidence| self.tls_defect(&evidence)).into_iter().collect();
        proof.checks.push(Check::of(Topic::Tls, defects, "it uses TLS with the node's key"));
        Ok(Go::On)
    }

    async fn start(&mut self, settings: &[Setting]) -> Result<Result<(), anyhow::Error>> {
        let database = self.runner.database();
        let options = format!("[mysqld]\n{}", render(settings));
        let deadline = self.runner.config.start_deadline();
        let error = match database.boot_offline(self.flavor, &options, deadline).await {
            Ok(mut session) => match look::rows::read_alike(&mut session).await {
                Ok(()) => {
                    self.session = Some(session.with_deadline(WHOLE_TABLE).until(self.runner.interrupt));
                    return Ok(Ok(()));
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        database.kill_offline_boot().await?;
        self.runner.interrupt.check()?;
        Ok(Err(error))
    }

    fn tls_defect(&self, evidence: &str) -> Defect {
        let key = self.runner.home.tls_paths().key;
        let pkcs8 = system::read_text(key.as_ref(), system::SMALL)
            .is_ok_and(|text| text.contains("BEGIN PRIVATE KEY"));
        let kind = if pkcs8 { "; the private key is PKCS#8, which MySQL 5.6 cannot read" } else { "" };
        Defect::new(
            Code::TlsKey,
            format!("{evidence}{kind}"),
            "Make a new pack on the primary and install it: this renews the certificate and the key.",
        )
    }

    /// Applies what was received.
    pub(super) async fn apply(&mut self, proof: &mut Gathered) -> Result<Go> {
        let begun = Instant::now();
        let spinner = self.runner.ui.spinner("applying what was received");
        let (interrupt, flavor) = (self.runner.interrupt, self.flavor);
        let session = self.session.as_mut().context("the throw-away server does not run")?;
        let applied = interrupt.or(backlog::work_off(&self.runner, flavor, session)).await;
        drop(spinner);
        let Err(error) = applied else {
            proof.seconds.apply = Some(seconds(begun.elapsed()));
            proof.checks.push(Check::passed(Topic::Received, "all of it is applied"));
            return Ok(Go::On);
        };
        interrupt.check()?;
        let (defect, go) = if self.has_ended(&error).await {
            (self.fault(&error), Go::NoFurther)
        } else {
            let failure = Failure::from_error(error);
            let evidence = [vec![failure.what], failure.because].concat().join(": ");
            let hint =
                "Run `pmp-ha repair` while both databases run. Otherwise `recover` needs --accept-loss.";
            (Defect::new(Code::NotApplied, evidence, hint), Go::On)
        };
        proof.checks.push(Check::of(Topic::Received, vec![defect], ""));
        Ok(go)
    }

    /// Looks for the accounts.
    pub(super) async fn accounts(&mut self, product: &str, proof: &mut Gathered) -> Result<()> {
        let credentials = self.runner.home.credentials()?;
        let wanted: Vec<(String, String)> =
            accounts::own(&credentials).map(|(account, host)| (account.user.clone(), host.to_owned())).into();
        let found = accounts::named(self.session()?, "%").await?;
        proof.checks.push(checks::accounts(product, &wanted, &found));
        Ok(())
    }

    /// Reads every table: all pages of all its indexes, and its rows once more for their checksum.
    /// `None` where one cannot be read.
    pub(super) async fn tables(&mut self, proof: &mut Gathered) -> Result<Option<Tables>> {
        let begun = Instant::now();
        let schema = self.membership.pair.schema.clone();
        let (ui, interrupt) = (self.runner.ui, self.runner.interrupt);
        let names: Vec<(String, String)> = {
            let rows = self.session()?.query(EVERY_TABLE).await?;
            let of_logs = |(schema, table): &(String, String)| {
                self.flavor.locks_no_log_tables() && schema == "mysql" && LOGS.contains(&table.as_str())
            };
            let names = rows.iter().filter_map(|row| Some((row.get("sch")?, row.get("tbl")?)));
            names.filter(|name| !of_logs(name)).collect()
        };
        let shapes = catalogue(self.session()?, &schema).await?;
        let flavor = self.flavor;
        let spinner = ui.spinner("reading every table");
        let mut out = Tables::new();
        let mut defects = Vec::new();
        for (of, table) in &names {
            let rows =
                live::rows(flavor, &schema, &shapes, table).filter(|_| of.eq_ignore_ascii_case(&schema));
            let session = self.session()?;
            let read = interrupt.or(async {
                let complaints = check(session, of, table).await?;
                let figures = match &rows {
                    Some(rows) => Some(live::figures(session, rows).await?),
                    None => None,
                };
                anyhow::Ok((complaints, figures))
            });
            match read.await {
                Ok((complaints, figures)) => {
                    out.extend(figures.map(|figures| (table.to_lowercase(), figures)));
                    if !complaints.is_empty() {
                        defects.push(self.bad_table(table, &complaints.join("; ")));
                    }
                }
                Err(error) => {
                    interrupt.check()?;
                    let ended = self.has_ended(&error).await;
                    defects.push(self.bad_table(table, &format!("{error:#}")));
                    if ended {
                        break;
                    }
                }
            }
        }
        drop(spinner);
        let readable = defects.is_empty();
        if readable {
            proof.seconds.proof = Some(seconds(begun.elapsed()));
        }
        let evidence = format!("all {} can be read to their last page", names.len());
        proof.checks.push(Check::of(Topic::Tables, defects, evidence));
        Ok(readable.then_some(out))
    }

    /// Checks the key against the data, as a recovery does.
    pub(super) async fn key(&mut self, check: &KeyCheck, proof: &mut Gathered) -> Result<()> {
        let home = self.runner.home.clone();
        let asked = key_query::require(&home, self.session()?, check).await;
        let Err(error) = asked else {
            let evidence = "product.key_query shows that it is the key of these data";
            proof.checks.push(Check::passed(Topic::Key, evidence));
            return Ok(());
        };
        let failure = Failure::from_error(error);
        let evidence = [vec![failure.what], failure.because].concat().join(": ");
        let defect = Defect::new(Code::WrongKey, evidence, failure.hint.unwrap_or_default());
        proof.checks.push(Check::of(Topic::Key, vec![defect], ""));
        Ok(())
    }

    /// Changes the data as a recovery does, logs in with the product's account, and stops cleanly.
    pub(super) async fn stand_alone(&mut self, account: &str, proof: &mut Gathered) -> Result<Go> {
        let begun = Instant::now();
        let changed = self.change(account).await;
        let took = begun.elapsed();
        if let Err(error) = changed {
            self.runner.interrupt.check()?;
            let defect = if self.has_ended(&error).await {
                self.fault(&error)
            } else {
                Defect::new(
                    Code::LoginFails,
                    format!("{error:#}"),
                    "Check that conf/database_params.conf names an account that exists in the data.",
                )
            };
            proof.checks.push(Check::of(Topic::Login, vec![defect], ""));
            return Ok(Go::NoFurther);
        }
        let evidence = format!("'{account}' logs in with the password from this home");
        proof.checks.push(Check::passed(Topic::Login, evidence));
        let begun = Instant::now();
        let session = self.session.take().context("the throw-away server does not run")?;
        let spinner = self.runner.ui.spinner("the throw-away server is stopping");
        self.runner.database().end_offline_boot(session, self.runner.config.stop_deadline()).await?;
        drop(spinner);
        proof.seconds.stand_alone = Some(seconds(took));
        proof.seconds.stop = Some(seconds(begun.elapsed()));
        Ok(Go::On)
    }

    async fn change(&mut self, account: &str) -> Result<()> {
        let (flavor, mut session) =
            (self.flavor, self.session.take().context("the throw-away server does not run")?);
        let changed = async {
            boot::stand_alone(flavor, &mut session).await?;
            accounts::set_application_password(&self.runner, flavor, &mut session, account).await
        };
        let changed = changed.await;
        self.session = Some(session);
        changed?;
        let mut product =
            boot::product_session(&self.runner, account, self.runner.home.boot_socket()).await?;
        let schema = quote_name(&self.membership.pair.schema);
        if product.query(format!("SHOW TABLES FROM {schema}")).await?.is_empty() {
            bail!("'{account}' sees no tables in {schema}");
        }
        product.close().await;
        Ok(())
    }

    /// Whether the server has ended, where it was not it that said what is wrong.
    async fn has_ended(&self, error: &anyhow::Error) -> bool {
        let answered = error.downcast_ref::<StatementFailed>().is_some_and(|failed| failed.code.is_some());
        !answered && self.runner.database().offline_boot_has_ended().await
    }

    /// What a server that does not come up, or does not stay up, suffers from.
    fn fault(&self, error: &anyhow::Error) -> Defect {
        let database = self.runner.database();
        let hint = "A recovery from these data is not possible. Install a new pack; `pmp-ha install-pack` keeps the old data.";
        for (words, code) in [(&OF_PAGES[..], Code::AlteredPage), (&OF_REDO[..], Code::RedoMissing)] {
            let said = database.said(words);
            if !said.is_empty() {
                return Defect::new(code, format!("its log says: {}", said.join("; ")), hint);
            }
        }
        let evidence = match error.downcast_ref::<Failure>() {
            Some(failure) => failure.because.join("; "),
            None => format!("{error:#}"),
        };
        Defect::new(Code::ServerFails, evidence, hint)
    }

    fn bad_table(&self, table: &str, evidence: &str) -> Defect {
        let said = self.runner.database().said(&OF_PAGES);
        let hint = "Check the disk. Then install a new pack; `pmp-ha install-pack` keeps the old data.";
        if said.is_empty() {
            return Defect::new(Code::UnreadableTable, format!("{table} cannot be read: {evidence}"), hint);
        }
        let evidence = format!("{table} cannot be read: {evidence}; its log says: {}", said.join("; "));
        Defect::new(Code::AlteredPage, evidence, hint)
    }
}

/// Lets the server check every page of a table. Returns its complaints.
async fn check(session: &mut Session, schema: &str, table: &str) -> Result<Vec<String>> {
    let rows = session.query(format!("CHECK TABLE {}.{}", quote_name(schema), quote_name(table))).await?;
    let bad = |row: &&crate::adapters::server::session::Row| {
        row.get("Msg_type").is_some_and(|kind| kind.eq_ignore_ascii_case("error"))
    };
    Ok(rows.iter().filter(bad).filter_map(|row| row.get("Msg_text")).collect())
}

/// The part of a copy's error that reports a page that is not what the server wrote.
pub(super) fn altered_page(error: &anyhow::Error) -> Option<Defect> {
    let text = match error.downcast_ref::<Failure>() {
        Some(failure) if failure.kind == Kind::Interrupted => return None,
        Some(failure) => failure.to_string().replace('\n', ";"),
        None => format!("{error:#}"),
    };
    let lower = text.to_lowercase();
    OF_PAGES.iter().any(|word| lower.contains(word)).then(|| {
        Defect::new(
            Code::AlteredPage,
            format!("cannot copy the running database: {text}"),
            "Check the disk. Then install a new pack; `pmp-ha install-pack` keeps the old data.",
        )
    })
}
