//! Resolves names to addresses, with a deadline.

use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::adapters::system;
use crate::adapters::system::is_local_address;
use crate::domain::pair::Endpoint;
use crate::domain::procedures::pack::ResolvedName;

/// The time limit for a name server.
const DEADLINE: Duration = Duration::from_secs(10);

/// The time limit for the way back, which nothing depends on.
const REVERSE: Duration = Duration::from_secs(3);

/// Resolves the host of an endpoint. A name that does not resolve is an answer, not an error.
pub async fn resolve(endpoint: Endpoint) -> ResolvedName {
    let addresses =
        match tokio::time::timeout(DEADLINE, tokio::net::lookup_host((endpoint.host.as_str(), 0))).await {
            Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(found)) => {
                let mut found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                found.dedup();
                if found.is_empty() { Err("it has no address".into()) } else { Ok(found) }
            }
        };
    let local = addresses.as_ref().is_ok_and(|all| all.iter().any(|address| is_local_address(*address)));
    ResolvedName { endpoint, addresses, local }
}

/// Returns the names of an address, by the resolver of the system.
///
/// # Errors
/// Why nobody knows.
pub async fn reverse(address: IpAddr) -> Result<Vec<String>, String> {
    let mut command = tokio::process::Command::from(system::program(Path::new("getent")));
    command.args(["hosts", &address.to_string()]).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(REVERSE, command.output()).await {
        Err(_) => Err(format!("no answer within {} s", REVERSE.as_secs())),
        Ok(Err(error)) => Err(format!("cannot run getent: {error}")),
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stdout);
            // The address stands first in each line. An address without a name makes no line.
            let names = text.lines().flat_map(|line| line.split_whitespace().skip(1));
            Ok(names.map(ToOwned::to_owned).collect())
        }
    }
}
