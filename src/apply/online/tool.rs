//! The server's own backup tool: a copy, and what makes it whole.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use fs_err as fs;

use super::{Copying, session, while_probing};
use crate::adapters::home::saved::remove;
use crate::adapters::server::backup_tool;
use crate::adapters::system;
use crate::domain::coordinates::Coordinates;
use crate::domain::sql::quote;

/// What the tool writes beside the data, under the names of its versions.
const NOTES: [&str; 2] = ["xtrabackup_", "mariadb_backup_"];

/// Copies the data; returns where the copy stands and how long writes had to wait.
pub(super) async fn copy(copying: &Copying<'_>, program: &Path) -> Result<(Option<Coordinates>, Duration)> {
    let Copying { runner, home, target, .. } = copying;
    let work = runner.home.work();
    let spinner = runner.ui.spinner("the server's backup tool copies the data");
    let backup = backup_tool::backup(program, home, target, &work)?;
    let blocked = while_probing(copying, backup_tool::run(backup, &work, runner.interrupt)).await?;
    let at = place(target)?;
    backup_tool::run(backup_tool::prepare(program, target), &work, runner.interrupt).await?;
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "backup-my.cnf" || NOTES.iter().any(|start| name.starts_with(start)) {
            remove(&entry.path())?;
        }
    }
    drop(spinner);
    let mut session = session(home).await?;
    let asked = format!("SELECT BINLOG_GTID_POS({}, {}) AS position", quote(&at.0), at.1);
    let row = session.one(asked).await?.unwrap_or_default();
    session.close().await;
    let position = row.get("position").filter(|text| !text.is_empty());
    Ok((position.map(|position| Coordinates::MariaDbGtid { position }), blocked))
}

/// Ends a tool that goes on although nobody waits for it any more.
pub(super) async fn end(target: &Path) -> Result<()> {
    let given = backup_tool::target_argument(target);
    loop {
        let left = system::processes_with(&given);
        if left.is_empty() {
            return Ok(());
        }
        for pid in left {
            system::terminate(pid)?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The binlog and the byte in it that the copy stands for.
fn place(target: &Path) -> Result<(String, u64)> {
    let read = |start: &str| fs::read_to_string(target.join(format!("{start}binlog_info"))).ok();
    let text = NOTES.iter().find_map(|start| read(start)).context("the copy has no note of its place")?;
    let mut words = text.split_whitespace();
    let (file, byte) = (words.next().map(ToOwned::to_owned), words.next().and_then(|word| word.parse().ok()));
    file.zip(byte).with_context(|| format!("the copy's note of its place cannot be read: {text:?}"))
}
