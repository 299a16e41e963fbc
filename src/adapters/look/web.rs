//! Looks whether Password Manager Pro answers at its web port, on this node and on the other one.
//!
//! It begins a TLS handshake and goes no further than the first answer: that works with servers of any age,
//! and no certificate matters. What answers once is remembered, so that a firewall between the nodes is no
//! failure.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::adapters::home::{Home, remembered};
use crate::config::Config;
use crate::domain::pair::{Membership, Node};
use crate::domain::web::{
    Connector, GOOD_BYE, REQUEST, WebLook, WebSeen, client_hello, is_web, port_of_peer,
};

/// How long an answer may take, the connection included.
const DEADLINE: Duration = Duration::from_millis(1500);

/// How long a port that has never answered is asked at least. A firewall in between may swallow everything.
const AT_LEAST: Duration = Duration::from_millis(100);

/// Returns the port in `conf/server.xml`, by preference the one with which the pair was set up.
#[must_use]
pub fn port_now(home: &Home, node: &Node) -> Option<u16> {
    let connectors = home.connectors().ok()?;
    let is_still_there = |port: &u16| connectors.iter().any(|connector| connector.port == *port);
    node.web_port.filter(is_still_there).or_else(|| connectors.first().map(|connector| connector.port))
}

/// Looks at both nodes at once. A port that has never answered is asked only until `servers` says that the look at
/// the databases is over: nobody waits for a firewall.
pub async fn look(
    home: &Home,
    membership: &Membership,
    config: &Config,
    servers: watch::Receiver<bool>,
) -> WebLook {
    if !config.product.watch_web_port {
        return WebLook::default();
    }
    let connectors = home.connectors();
    let own = connectors.as_ref().ok().and_then(|all| all.first());
    // Both nodes run the same version.
    let tls = own.is_none_or(|connector| connector.tls);
    let before = remembered::web::answered(home);
    let seen = async |number: u32, place: Option<(&str, u16)>| {
        let Some((host, port)) = place else { return WebSeen::NotLooked };
        let answered_before = before.contains(&number);
        let mut servers = servers.clone();
        let patience = async {
            if answered_before {
                return std::future::pending().await;
            }
            // ignored: whoever looked at the servers is gone, so that is over, too
            let _ = tokio::join!(tokio::time::sleep(AT_LEAST), servers.wait_for(|over| *over)).1;
        };
        tokio::select! {
            answer = asked(host, port, tls) => match answer {
                Ok(()) => WebSeen::Answers,
                Err(evidence) => {
                    WebSeen::Silent { evidence: format!("port {port}: {evidence}"), answered_before }
                }
            },
            () = patience => WebSeen::NotLooked,
        }
    };
    let (this, peer) = (membership.this(), membership.peer());
    let (here, there) = tokio::join!(
        seen(this.number, own.map(|connector| (address(connector), connector.port))),
        seen(peer.number, port_of_peer(membership, own).map(|port| (peer.host.as_str(), port))),
    );
    WebLook { here, there, unknown_port: connectors.err() }
}

fn address(connector: &Connector) -> &str {
    connector.address.as_deref().unwrap_or("127.0.0.1")
}

/// Checks whether a web server answers.
///
/// # Errors
/// What was seen instead.
pub async fn asked(host: &str, port: u16, tls: bool) -> Result<(), String> {
    let asks = async {
        let mut stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
        let lost = |error: std::io::Error| format!("it closed the connection: {error}");
        let question = if tls { client_hello() } else { REQUEST.to_vec() };
        stream.write_all(&question).await.map_err(lost)?;
        let mut answer = [0; 5];
        let mut length = 0;
        while length < answer.len() {
            match stream.read(&mut answer[length..]).await.map_err(lost)? {
                0 => break,
                more => length += more,
            }
        }
        if tls {
            // ignored: the answer is there, and this is only polite
            let _ = stream.write_all(&GOOD_BYE).await;
        }
        match &answer[..length] {
            [] => Err("it closed the connection without an answer".to_owned()),
            answer if is_web(answer) => Ok(()),
            _ => Err("what answers there is not a web server".to_owned()),
        }
    };
    let silent = || format!("nothing answered within {:.1} s", DEADLINE.as_secs_f64());
    tokio::time::timeout(DEADLINE, asks).await.unwrap_or_else(|_| Err(silent()))
}
