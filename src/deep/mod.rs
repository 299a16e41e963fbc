//! The comparison of the data, done: on the primary statements that are replicated, on the
//! secondary nothing but reading what they found there.

mod audit;
mod chunks;
mod notebook;
mod servers;

use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::notebook::Notebook;
use self::servers::Servers;
use crate::adapters::clock::now;
use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::random;
use crate::config::Config;
use crate::domain::deep::crc;
use crate::domain::deep::report::{Difference, Outline, Report, What};
use crate::domain::deep::state::State;
use crate::domain::deep::table::{Key, Shape};
use crate::domain::flavor::Flavor;
use crate::domain::pair::Membership;
use crate::failure::{Failure, Kind};
use crate::ui::{Progress, Ui};

/// What a comparison works with.
pub struct Task<'a> {
    /// The primary's home.
    pub home: &'a Home,
    /// The pair.
    pub membership: &'a Membership,
    /// The configuration.
    pub config: &'a Config,
    /// The servers' row of differences; both run the same version.
    pub flavor: &'a Flavor,
    /// For progress and for what is worth saying.
    pub ui: &'a Ui,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// The tables that were asked for; empty for all.
    pub wanted: Vec<String>,
    /// Between two pieces.
    pub pause: Duration,
    /// Forget what an earlier run has done.
    pub anew: bool,
}

/// Compares the data of both nodes.
///
/// # Errors
/// What was done until then is remembered, and the next run goes on from there.
pub async fn compare(task: &Task<'_>) -> Result<Report> {
    let mut servers = Servers::open(task).await?;
    let (tables, left_out, only_there) = choose(task, &mut servers).await?;
    let (notebook, state) = take_up(task, &mut servers).await?;
    let total = tables.iter().map(|table| table.bytes).sum();
    let progress = task.ui.progress("comparing", total);
    let mut run = Run { task, servers, notebook, state, chunk: 0, progress };
    let walked = tokio::select! {
        walked = run.walk(&tables) => walked,
        () = insists(task.interrupt) => Err(Failure::interrupted().into()),
    };
    run.servers.close().await;
    if let Err(error) = walked {
        run.notebook.write(&run.state)?;
        bail!(cut_off(error));
    }
    let mut differences = run.state.differences;
    let only = |table: String| Difference { table, what: What::OnlyOnSecondary };
    differences.extend(only_there.into_iter().map(only));
    run.notebook.remove()?;
    Ok(Report {
        same: differences.is_empty(),
        tables: tables.len(),
        rows: run.state.rows,
        differences,
        left_out,
    })
}

/// Ends when the operator wants to stop and a statement that takes long has not let go.
async fn insists(interrupt: &Interrupt) {
    while interrupt.check().is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// What a comparison would do, without doing it.
pub async fn outline(task: &Task<'_>) -> Result<Outline> {
    let mut servers = Servers::open(task).await?;
    let (tables, left_out, only_on_secondary) = choose(task, &mut servers).await?;
    servers.close().await;
    let tables = tables.into_iter().map(|table| table.name).collect();
    Ok(Outline { tables, left_out, only_on_secondary })
}

fn cut_off(error: anyhow::Error) -> Failure {
    const AGAIN: &str = "Run `pmp-ha verify --deep` again: it goes on where it stopped.";
    match error.downcast::<Failure>() {
        Ok(failure) if failure.hint.is_some() => failure,
        Ok(failure) => failure.hint(AGAIN),
        Err(error) => Failure::new(Kind::Failed, "the comparison of the data was cut off")
            .because(format!("{error:#}"))
            .hint(AGAIN),
    }
}

/// A table that is to be compared.
struct Table {
    name: String,
    /// What the server thinks that it takes on disk; at least 1.
    bytes: u64,
    /// How many of them a row takes.
    row_bytes: u64,
}

/// Says which tables are compared, which are left out, and which the secondary has for itself.
async fn choose(task: &Task<'_>, servers: &mut Servers) -> Result<(Vec<Table>, Vec<String>, Vec<String>)> {
    let pair = &task.membership.pair;
    let mut here = servers.tables_here(&pair.schema).await?;
    let mut there = servers.tables_there(&pair.schema).await?;
    let names = |tables: &[Table]| tables.iter().map(|table| table.name.clone()).collect::<Vec<_>>();
    if names(&here) != names(&there) {
        // A table that was made or dropped a moment ago may be on its way.
        servers.secondary_caught_up(task).await?;
        there = servers.tables_there(&pair.schema).await?;
        here = servers.tables_here(&pair.schema).await?;
    }
    for name in &task.wanted {
        if !here.iter().chain(&there).any(|table| &table.name == name) {
            bail!(
                Failure::new(Kind::Refused, format!("there is no table {name} to be compared"))
                    .because(format!("the schema {} has none of this name on either node", pair.schema))
                    .hint("The name is written as the server writes it: `SHOW TABLES`.")
            );
        }
    }
    let wanted = |table: &Table| task.wanted.is_empty() || task.wanted.contains(&table.name);
    here.retain(wanted);
    there.retain(wanted);
    let is_local =
        |table: &Table| pair.local_tables.contains(&table.name) && !pair.audit_tables.contains(&table.name);
    let left_out =
        names(&here).into_iter().filter(|name| here.iter().any(|t| &t.name == name && is_local(t))).collect();
    let known = names(&here);
    let only_there =
        there.iter().filter(|t| !known.contains(&t.name) && !is_local(t)).map(|t| t.name.clone());
    let only_there = only_there.collect();
    here.retain(|table| !is_local(table));
    Ok((here, left_out, only_there))
}

/// Goes on with a run that was cut off, or begins one.
async fn take_up(task: &Task<'_>, servers: &mut Servers) -> Result<(Notebook, State)> {
    let mut notebook = Notebook::of(task.home);
    let pair = &task.membership.pair.id;
    let left = if task.anew { None } else { notebook.read()? };
    if let Some(left) = left {
        if left.fits(pair, &task.wanted) {
            task.ui.say(format!(
                "Going on with the comparison that was begun at {} (tables done: {}). `--anew` would begin from the start.",
                left.begun,
                left.done.len()
            ));
            servers.here.run(crc::drop_forgotten(&left)).await?;
            // Numbers are given again: what bore them must be gone on the secondary, too.
            servers.secondary_caught_up(task).await?;
            return Ok((notebook, left));
        }
        task.ui.say("An earlier comparison was of other tables; this one begins from the start.");
    }
    let state = State::new(random::id(), now(), pair, &task.wanted);
    servers.here.run(crc::drop_other_runs(&state.run)).await?;
    notebook.write(&state)?;
    Ok((notebook, state))
}

/// A comparison under way.
struct Run<'a> {
    task: &'a Task<'a>,
    servers: Servers,
    notebook: Notebook,
    state: State,
    /// The number of the next piece.
    chunk: u32,
    progress: Progress,
}

impl Run<'_> {
    async fn walk(&mut self, tables: &[Table]) -> Result<()> {
        for table in tables {
            if self.state.done.contains(&table.name) {
                self.progress.add(table.bytes);
                continue;
            }
            self.task.ui.detail(format!("comparing {}", table.name));
            let walked = self.table(table).await;
            walked.with_context(|| format!("the table {}", table.name))?;
            self.state.leave(&table.name);
            self.notebook.write_now_and_then(&self.state)?;
        }
        Ok(())
    }

    /// Compares a table: first what it looks like. The statement must work on the secondary, or
    /// it would stop the applier.
    async fn table(&mut self, table: &Table) -> Result<()> {
        let schema = self.task.membership.pair.schema.clone();
        let (mut here, mut there) = self.servers.shapes(&schema, &table.name).await?;
        if here != there {
            self.servers.secondary_caught_up(self.task).await?;
            (here, there) = self.servers.shapes(&schema, &table.name).await?;
        }
        let what = match (here.is_there(), there.is_there()) {
            // It was dropped while others were compared.
            (false, _) => return Ok(()),
            (true, false) => What::OnlyOnPrimary,
            (true, true) if here != there => What::Structure { evidence: here.differences(&there) },
            (true, true) => return self.rows(table, &here).await,
        };
        self.restart(&table.name, &[]).await?;
        self.state.differences.retain(|difference| difference.table != table.name);
        self.differs(&table.name, what);
        self.progress.add(table.bytes);
        Ok(())
    }

    async fn rows(&mut self, table: &Table, shape: &Shape) -> Result<()> {
        let key = shape.key();
        let names = key.as_ref().map(Key::names).unwrap_or_default();
        let first = crate::domain::deep::FIRST_SIZE;
        self.restart(&table.name, &names).await?;
        self.chunk = self.state.enter(&table.name, &names, first).next_chunk;
        match key {
            Some(key) => self.by_key(table, shape, &key).await,
            None => self.as_a_whole(table, shape).await,
        }
    }

    /// Takes back what was noted of a table that cannot go on where it was left.
    async fn restart(&mut self, table: &str, key: &[String]) -> Result<()> {
        if self.state.must_restart(table, key) {
            self.servers.here.run(crc::drop_table(&self.state.run, table)).await?;
        }
        Ok(())
    }

    fn differs(&mut self, table: &str, what: What) {
        self.task.ui.detail(format!("{table} differs: {what}"));
        self.state.differences.push(Difference { table: table.to_owned(), what });
    }

    fn is_audit(&self, table: &str) -> bool {
        self.task.membership.pair.audit_tables.contains(table)
    }
}
