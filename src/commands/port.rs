//! Tries the port of the other node's database before there is a pair.

use std::time::Duration;

use super::Context;
use crate::adapters::server::session::greeting;
use crate::domain::pair::Role;

/// How long it may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Reports what answers at the port of the node in `role`.
pub(super) async fn tell(context: &Context<'_>, role: Role, host: &str, port: u16) {
    let node = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let said = match greeting(host, port, DEADLINE).await {
        Ok(version) => format!("the {role}'s port {node} answers: its server is {version}"),
        Err(blind) => format!(
            "the {role}'s port {node} cannot be reached from here: {}. This is normal while its database is stopped; otherwise check for a firewall.",
            blind.evidence
        ),
    };
    context.ui.say(said);
}
