//! The resolver: from names to addresses, with a deadline.

use std::net::IpAddr;
use std::time::Duration;

use crate::adapters::system::is_local_address;
use crate::domain::pair::Endpoint;
use crate::domain::procedures::pack::Named;

/// How long a name server may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Resolves the host of an endpoint. Not to resolve is an answer, not an error.
pub async fn resolve(endpoint: Endpoint) -> Named {
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
    Named { endpoint, addresses, local }
}
