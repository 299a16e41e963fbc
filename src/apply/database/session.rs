//! Sessions with the server of this home.

use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::adapters::home::Home;
use crate::adapters::server::session::{Address, Session};

/// Logs in to the running server with the tool's own account.
pub async fn admin_session(home: &Home) -> Result<Session> {
    let admin = home.credentials()?.admin;
    Session::open(&Address::Socket(home.socket()), &admin, Duration::from_secs(10)).await.map_err(|blind| {
        anyhow!("the database does not let the account {} in: {}", admin.user, blind.evidence)
    })
}
