//! Compares the data of both nodes.
//!
//! It runs replicated statements on the primary, and only reads their results on the secondary.

mod audit;
mod chunks;
mod definitions;
mod notebook;
mod run;
mod servers;
mod task;

use std::time::Duration;

use anyhow::{Result, bail};

use self::notebook::Notebook;
use self::run::Comparison;
use self::servers::Servers;
use self::task::Table;
pub use self::task::Task;
use crate::adapters::clock::now;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::catalogue::fault_of_table;
use crate::adapters::random;
use crate::domain::deep::crc;
use crate::domain::deep::report::{ComparisonReport, Outline, TableDifference, What};
use crate::domain::deep::state::State;
use crate::domain::table::Key;
use crate::domain::table::names::{Names, sort_out};
use crate::domain::table::rows::Rows;
use crate::failure::{Failure, Kind};

/// Compares the data of both nodes.
///
/// # Errors
/// What was done until then is remembered, and the next run goes on from there.
pub async fn compare(task: &Task<'_>) -> Result<ComparisonReport> {
    let mut servers = Servers::open(task).await?;
    let (tables, names) = choose(task, &mut servers).await?;
    let (notebook, state) = take_up(task, &mut servers).await?;
    let total = tables.iter().map(|table| table.bytes).sum();
    let progress = task.ui.progress("comparing", total);
    let mut run = Comparison { task, servers, notebook, state, chunk: 0, progress };
    let walked = tokio::select! {
        walked = run.walk(&tables) => walked,
        () = insists(task.interrupt) => Err(Failure::interrupted().into()),
    };
    let besides = match walked {
        Ok(()) => run.besides(names.only_on_secondary).await,
        Err(error) => Err(error),
    };
    run.servers.close().await;
    let besides = match besides {
        Ok(differences) => differences,
        Err(error) => {
            run.notebook.write(&run.state)?;
            bail!(cut_off(error));
        }
    };
    let mut differences = run.state.differences;
    differences.extend(besides);
    run.notebook.remove()?;
    Ok(ComparisonReport {
        same: differences.is_empty(),
        tables: tables.len(),
        rows: run.state.rows,
        differences,
        left_out: names.left_out,
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
    let (tables, names) = choose(task, &mut servers).await?;
    servers.close().await;
    let tables = tables.into_iter().map(|table| table.name).collect();
    Ok(Outline { tables, left_out: names.left_out, only_on_secondary: names.only_on_secondary })
}

fn cut_off(error: anyhow::Error) -> Failure {
    const AGAIN: &str = "Run `pmp-ha verify --deep` again: it resumes where it stopped.";
    match error.downcast::<Failure>() {
        Ok(failure) if failure.hint.is_some() => failure,
        Ok(failure) => failure.hint(AGAIN),
        Err(error) => Failure::new(Kind::Failed, "the comparison of the data was interrupted")
            .because(format!("{error:#}"))
            .hint(AGAIN),
    }
}

/// Says which tables are compared, those of the primary, and how the names of both nodes belong together.
async fn choose(task: &Task<'_>, servers: &mut Servers) -> Result<(Vec<Table>, Names)> {
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
                    .code("no-table")
                    .because(format!("the schema {} has none of this name on either node", pair.schema))
                    .hint("Write the name as the server does: `SHOW TABLES`.")
            );
        }
    }
    let wanted = |table: &Table| task.wanted.is_empty() || task.wanted.contains(&table.name);
    here.retain(wanted);
    there.retain(wanted);
    let sorted = sort_out(pair, &names(&here), &names(&there), servers.folds);
    here.retain(|table| !sorted.left_out.contains(&table.name));
    Ok((here, sorted))
}

/// Goes on with a run that was cut off, or begins one.
async fn take_up(task: &Task<'_>, servers: &mut Servers) -> Result<(Notebook, State)> {
    let mut notebook = Notebook::of(task.home);
    let pair = &task.membership.pair.id;
    let left = if task.anew { None } else { notebook.read()? };
    if let Some(left) = left {
        if left.fits(pair, &task.wanted) {
            task.ui.say(format!(
                "Resuming the comparison that began at {} (tables done: {}). `--anew` would start from the beginning.",
                left.begun,
                left.done.len()
            ));
            servers.here.run(crc::drop_forgotten(&left)).await?;
            // Numbers are given again: what bore them must be gone on the secondary, too.
            servers.secondary_caught_up(task).await?;
            return Ok((notebook, left));
        }
        task.ui.say("An earlier comparison was of other tables; this one starts from the beginning.");
    }
    let state = State::new(random::id(), now(), pair, &task.wanted);
    servers.here.run(crc::drop_other_runs(&state.run)).await?;
    notebook.write(&state)?;
    Ok((notebook, state))
}

impl Comparison<'_> {
    async fn walk(&mut self, tables: &[Table]) -> Result<()> {
        for table in tables {
            if self.state.done.contains(&table.name) {
                self.progress.add(table.bytes);
                continue;
            }
            self.task.ui.detail(format!("comparing {}", table.name));
            if let Err(error) = self.table(table).await {
                let error = error.context(format!("the table {}", table.name));
                self.could_not(table, fault_of_table(error)?).await?;
            }
            self.state.leave(&table.name);
            self.notebook.write_now_and_then(&self.state)?;
        }
        Ok(())
    }

    /// A table that a server cannot read keeps nobody from comparing the others.
    async fn could_not(&mut self, table: &Table, why: String) -> Result<()> {
        let schema = &self.task.membership.pair.schema;
        let (here, _) = self.servers.shapes(schema, &table.name).await?;
        if here.is_there() {
            return self.not_compared(table, What::Unreadable { evidence: vec![why] }).await;
        }
        // It was dropped while it was compared.
        self.restart(&table.name, &[]).await?;
        self.state.differences.retain(|difference| difference.table != table.name);
        Ok(())
    }

    /// Compares a table: first what it looks like. The statement must work on the secondary, or
    /// it would stop the applier.
    async fn table(&mut self, table: &Table) -> Result<()> {
        let schema = self.task.membership.pair.schema.clone();
        let (mut here, mut there) = self.servers.shapes(&schema, &table.name).await?;
        if !here.differences(&there).is_empty() {
            self.servers.secondary_caught_up(self.task).await?;
            (here, there) = self.servers.shapes(&schema, &table.name).await?;
        }
        // It was dropped while others were compared.
        if !here.is_there() {
            return Ok(());
        }
        let on_secondary = there.is_there();
        let (evidence, differences) = (
            self.servers.unreadable(&schema, &table.name, true, on_secondary).await?,
            here.differences(&there),
        );
        let what = if !evidence.is_empty() {
            What::Unreadable { evidence }
        } else if !on_secondary {
            What::OnlyOnPrimary
        } else if !differences.is_empty() {
            What::Structure { evidence: differences }
        } else {
            return self.rows(table, &Rows::of(self.task.flavor, &schema, &here)).await;
        };
        self.not_compared(table, what).await
    }

    /// What differs besides the tables of the primary.
    async fn besides(&mut self, only_on_secondary: Vec<String>) -> Result<Vec<TableDifference>> {
        let mut out = self.only_on_secondary(only_on_secondary).await?;
        if self.task.wanted.is_empty() {
            out.extend(self.definitions().await?);
        }
        Ok(out)
    }

    /// The tables that the primary does not have.
    async fn only_on_secondary(&mut self, names: Vec<String>) -> Result<Vec<TableDifference>> {
        let schema = self.task.membership.pair.schema.clone();
        let mut out = Vec::new();
        for table in names {
            let evidence = self.servers.unreadable(&schema, &table, false, true).await?;
            let what =
                if evidence.is_empty() { What::OnlyOnSecondary } else { What::Unreadable { evidence } };
            out.push(TableDifference { table, what });
        }
        Ok(out)
    }

    /// Notes what is different about a table whose rows cannot be compared.
    async fn not_compared(&mut self, table: &Table, what: What) -> Result<()> {
        self.restart(&table.name, &[]).await?;
        self.state.differences.retain(|difference| difference.table != table.name);
        self.differs(&table.name, what);
        self.progress.add(table.bytes);
        Ok(())
    }

    async fn rows(&mut self, table: &Table, rows: &Rows<'_>) -> Result<()> {
        let key = rows.key.clone();
        let names = key.as_ref().map(Key::names).unwrap_or_default();
        let first = crate::domain::deep::FIRST_SIZE;
        self.restart(&table.name, &names).await?;
        self.chunk = self.state.enter(&table.name, &names, first).next_chunk;
        match key {
            Some(key) => self.by_key(table, rows, &key).await,
            None => self.as_a_whole(table, rows).await,
        }
    }

    /// Takes back what was noted of a table that cannot go on where it was left.
    async fn restart(&mut self, table: &str, key: &[String]) -> Result<()> {
        if self.state.must_restart(table, key) {
            self.servers.here.run(crc::drop_table(&self.state.run, table)).await?;
        }
        Ok(())
    }
}
