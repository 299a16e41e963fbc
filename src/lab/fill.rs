//! A vault-like schema with rows like a vault's: index pages, and values that do not compress.

use std::fmt::Write;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::session::Session;
use crate::ui::Progress;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Makes the tables, with the few rows of a fresh installation.
pub(super) async fn schema(session: &mut Session) -> Result<()> {
    for statement in include_str!("../../templates/lab/schema.sql").split(";\n") {
        if !statement.trim().is_empty() {
            session.run(statement).await?;
        }
    }
    Ok(())
}

/// Fills the tables with about `bytes` bytes. The same size gives the same rows.
pub(super) async fn vault(
    session: &mut Session,
    bytes: u64,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    const ROWS_A_BATCH: u64 = 200;
    // A row of each table, with its index entries and the room that pages leave.
    const BYTES_A_ROW: u64 = 1200;
    let mut rng = StdRng::seed_from_u64(6302);
    session.run("USE passtrix").await?;
    for batch in 0..(bytes / BYTES_A_ROW / ROWS_A_BATCH).max(1) {
        interrupt.check()?;
        let (mut resources, mut accounts, mut audits) = (String::new(), String::new(), String::new());
        for row in 0..ROWS_A_BATCH {
            let id = batch * ROWS_A_BATCH + row + 1;
            let comma = if row == 0 { "" } else { "," };
            write!(resources, "{comma}({id},'server-{id}.example.com','Linux','rack {}')", id % 97)?;
            write!(accounts, "{comma}({id},{id},'root','{}','{}')", hex(&mut rng, 256), hex(&mut rng, 64))?;
            write!(
                audits,
                "{comma}({id},'server-{id}.example.com','root','admin','admin','Administrator','admin',NOW(),'10.0.{}.{}','Password retrieved','maintenance','Linux',{id},{id})",
                id % 250,
                id % 199
            )?;
        }
        session.run("BEGIN").await?;
        session.run(format!("INSERT INTO ptrx_resource VALUES {resources}")).await?;
        session.run(format!("INSERT INTO ptrx_account VALUES {accounts}")).await?;
        session
            .run(format!(
                "INSERT INTO ptrx_useraudit (AUDITID, RESOURCENAME, NAME, OPERATEDBY, LOGINNAME, USERNAME, USER, LASTACCESSEDTIME, IPADDRESS, OPERATIONTYPE, REASON, OSTYPE, RESOURCEID, ACCOUNTID) VALUES {audits}"
            ))
            .await?;
        session.run("COMMIT").await?;
        progress.add(ROWS_A_BATCH * BYTES_A_ROW);
    }
    Ok(())
}

fn hex(rng: &mut StdRng, length: usize) -> String {
    (0..length).map(|_| char::from(HEX[rng.random_range(0..HEX.len())])).collect()
}
