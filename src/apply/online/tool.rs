//! Copies with the server's own backup tool, and makes the copy consistent.

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

/// Copies the data. Returns the copy's position and how long writes had to wait.
pub(super) async fn copy(copying: &Copying<'_>, program: &Path) -> Result<(Option<Coordinates>, Duration)> {
    let Copying { runner, home, target, .. } = copying;
    let work = runner.home.work();
    let spinner = runner.ui.spinner("the server's backup tool copies the data");
    let backup = backup_tool::backup(program, home, target, &work)?;
    let blocked = while_probing(copying, backup_tool::run(backup, &work, runner.interrupt)).await?;
    let at = place(target)?;
    backup_tool::run(backup_tool::prepare(program, target)?, &work, runner.interrupt).await?;
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

/// How long a tool may take to end.
const ENDING_GRACE: Duration = Duration::from_secs(10);

/// Ends a tool that nobody waits for any longer.
pub(super) async fn end(target: &Path) -> Result<()> {
    let given = backup_tool::target_argument(target);
    let owners = system::Owners::of(&[target]);
    let begun = std::time::Instant::now();
    loop {
        let left = system::processes_with(&given, &owners);
        if left.is_empty() {
            return Ok(());
        }
        for pid in left {
            if begun.elapsed() < ENDING_GRACE { system::terminate(pid)? } else { system::kill_at_once(pid)? }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns the binlog and the position in it of the copy.
fn place(target: &Path) -> Result<(String, u64)> {
    let read =
        |start: &str| system::read_text(&target.join(format!("{start}binlog_info")), system::SMALL).ok();
    let text = NOTES.iter().find_map(|start| read(start)).context("the copy does not record its position")?;
    let mut words = text.split_whitespace();
    let (file, byte) = (words.next().map(ToOwned::to_owned), words.next().and_then(|word| word.parse().ok()));
    file.zip(byte).with_context(|| format!("cannot read the copy's position: {text:?}"))
}
