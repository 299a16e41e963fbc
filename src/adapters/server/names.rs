//! Resolves names to addresses, with a deadline.

use std::net::IpAddr;
use std::time::Duration;

use crate::adapters::system::is_local_address;
use crate::domain::pair::Endpoint;
use crate::domain::procedures::pack::ResolvedName;

/// The time limit for a name server.
const DEADLINE: Duration = Duration::from_secs(10);

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
