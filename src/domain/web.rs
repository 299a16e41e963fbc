//! The product's web server: its port in `conf/server.xml`, and whether it answers.

use roxmltree::{Document, Node, ParsingOptions};
use serde::Serialize;

use super::health::Status;
use super::pair::{Membership, Role};
use super::properties::Properties;

/// More parts than any real `server.xml` has.
const MOST_NODES: u32 = 100_000;

/// A connector of the web server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connector {
    /// Its port.
    pub port: u16,
    /// Whether it uses TLS.
    pub tls: bool,
    /// The only address it listens on, if it has one.
    pub address: Option<String>,
}

/// Reads the connectors for users from `conf/server.xml`, the one with TLS first. `variables` is
/// `conf/catalina.properties`, whose entries may stand for values.
///
/// # Errors
/// Says why no port can be told.
pub fn connectors(server_xml: &str, variables: &Properties) -> Result<Vec<Connector>, String> {
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(server_xml, options)
        .map_err(|error| format!("it is not well-formed XML: {error}"))?;
    let mut odd = None;
    let mut out: Vec<Connector> = Vec::new();
    for node in document.descendants().filter(|node| node.tag_name().name() == "Connector") {
        let value = |name: &str| node.attribute(name).map(|text| filled_in(text, variables));
        if value("protocol").is_some_and(|protocol| protocol.to_ascii_uppercase().contains("AJP")) {
            continue;
        }
        let port = value("port").unwrap_or_default();
        match port.trim().parse::<i64>() {
            // Tomcat takes no port, or any, for these: nobody can be told about it.
            Ok(..=0) => {}
            Ok(number) if u16::try_from(number).is_ok() => out.push(Connector {
                port: u16::try_from(number).unwrap_or_default(),
                tls: is_encrypted(node, variables),
                address: value("address").filter(|address| !is_any(address)),
            }),
            _ => {
                odd.get_or_insert(format!("the port of a connector is {port:?}"));
            }
        }
    }
    // The order of the file counts among those of one kind.
    out.sort_by_key(|connector| !connector.tls);
    match (out.is_empty(), odd) {
        (false, _) => Ok(out),
        (true, Some(odd)) => Err(odd),
        (true, None) => Err("it has no connector with a port".into()),
    }
}

fn is_encrypted(node: Node<'_, '_>, variables: &Properties) -> bool {
    let is = |name: &str, wanted: &str| {
        node.attribute(name)
            .is_some_and(|text| filled_in(text, variables).trim().eq_ignore_ascii_case(wanted))
    };
    is("SSLEnabled", "true") || is("secure", "true") || is("scheme", "https")
}

/// Whether an address stands for all of the machine.
fn is_any(address: &str) -> bool {
    ["", "*", "0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0"].contains(&address.trim())
}

/// Replaces `${name}` and `${name:-otherwise}`. What has no value stays as it is written.
fn filled_in(text: &str, variables: &Properties) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            rest = &rest[before.len()..];
            break;
        };
        let (name, otherwise) = match name.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise.to_owned())),
            None => (name, None),
        };
        let value = variables.get(name.trim()).or(otherwise);
        out.push_str(&value.unwrap_or_else(|| format!("${{{name}}}")));
        rest = behind;
    }
    out + rest
}

/// Returns the web port of the other node: the one with which the pair was set up. A primary may not know it;
/// both installations mostly have the same, and a wrong guess never answers.
#[must_use]
pub fn port_of_peer(membership: &Membership, own: Option<&Connector>) -> Option<u16> {
    let (this, peer) = (membership.this(), membership.peer());
    // At the same address this node itself would answer.
    let guess = own.filter(|_| this.host != peer.host).map(|connector| connector.port);
    peer.web_port.or(guess)
}

/// Whether Password Manager Pro answers at its web port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WebSeen {
    /// It does.
    Answers,
    /// It does not.
    Silent {
        /// What happened instead.
        evidence: String,
        /// Whether it has answered before: otherwise a firewall may be in between.
        answered_before: bool,
    },
    /// Nobody looked: the port is not known, it is not watched, or it has never answered and did not soon.
    #[default]
    NotLooked,
}

/// What was seen of the product on both nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebLook {
    /// On this node.
    pub here: WebSeen,
    /// On the other node.
    pub there: WebSeen,
    /// Why the port of this node is not known, if `conf/server.xml` does not say it.
    pub unknown_port: Option<String>,
}

impl WebLook {
    /// What was seen on the node in `role`, from the node in the role `own`.
    #[must_use]
    pub fn of(&self, role: Role, own: Role) -> &WebSeen {
        if role == own { &self.here } else { &self.there }
    }
}

impl WebSeen {
    /// The word for it. On this machine nothing is in between.
    #[must_use]
    pub fn status(&self, is_here: bool) -> Status {
        match self {
            Self::Answers => Status::Alive,
            Self::Silent { answered_before, .. } if *answered_before || is_here => Status::Failed,
            Self::Silent { .. } | Self::NotLooked => Status::Unknown,
        }
    }
}

/// A node, as the product's own console shows it: server and database apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Services {
    /// Password Manager Pro itself, at its web port.
    pub pmp: Status,
    /// Its database.
    pub database: Status,
}

/// The first record of a TLS handshake, as old and new servers understand it. Whatever answers it with a
/// record of TLS is the server, whether or not both could agree on anything.
#[must_use]
pub fn client_hello() -> Vec<u8> {
    // TLS 1.2; what a server of any age has, with the modern ones first.
    const SUITES: [u16; 10] =
        [0xc02b, 0xc02f, 0xc030, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035, 0x00ff];
    // Groups, their points, and signatures.
    const EXTENSIONS: [u8; 40] = [
        0, 10, 0, 8, 0, 6, 0, 23, 0, 24, 0, 25, //
        0, 11, 0, 2, 1, 0, //
        0, 13, 0, 18, 0, 16, 4, 1, 4, 3, 5, 1, 5, 3, 6, 1, 2, 1, 2, 3, 8, 4,
    ];
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or_default().to_be_bytes();
    let mut body = vec![3, 3];
    // Random for a handshake that goes on; this one ends with the first answer.
    body.extend([0x50; 32]);
    body.push(0);
    body.extend(length(2 * SUITES.len()));
    body.extend(SUITES.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    body.extend(length(EXTENSIONS.len()));
    body.extend(EXTENSIONS);
    let mut handshake = vec![1, 0];
    handshake.extend(length(body.len()));
    handshake.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(length(handshake.len()));
    record.extend(handshake);
    record
}

/// The request for a web server without TLS.
pub const REQUEST: &[u8] = b"HEAD / HTTP/1.0\r\nConnection: close\r\n\r\n";

/// Ends the handshake.
pub const GOOD_BYE: [u8; 7] = [21, 3, 1, 0, 2, 1, 90];

/// Returns whether an answer begins as one of a web server: with a record of TLS, or with HTTP.
#[must_use]
pub fn is_web(answer: &[u8]) -> bool {
    matches!(answer, [21 | 22, 3, ..]) || answer.starts_with(b"HTTP/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pair::Pair;

    fn ports(xml: &str, variables: &str) -> Result<Vec<(u16, bool)>, String> {
        let found = connectors(xml, &Properties::new(variables))?;
        Ok(found.into_iter().map(|connector| (connector.port, connector.tls)).collect())
    }

    #[test]
    fn the_port_is_a_connector_s_and_the_one_with_tls_comes_first() {
        let xml = r#"<?xml version='1.0' encoding='utf-8'?>
            <!-- <Connector port="1" SSLEnabled="true"/> -->
            <Server port="8005"><Service name="Catalina">
            <Connector port="8009" protocol="AJP/1.3"/>
            <Connector executor = 'a > b' port='8080' redirectPort="7272"/>
            <Connector SSLEnabled="TRUE"
                       port="7272" address="0.0.0.0"/>
            <Connector port="-1"/>
            </Service></Server>"#;
        assert_eq!(ports(xml, ""), Ok(vec![(7272, true), (8080, false)]));
    }

    #[test]
    fn a_value_may_come_from_catalina_properties() {
        let xml = r#"<Server><Connector port="${web.port}" scheme="${web.scheme:-https}"/></Server>"#;
        assert_eq!(ports(xml, "web.port=7373"), Ok(vec![(7373, true)]));
        assert_eq!(ports(xml, "web.port=7373\nweb.scheme=http"), Ok(vec![(7373, false)]));
        assert_eq!(ports(xml, ""), Err("the port of a connector is \"${web.port}\"".into()));
        let unclosed = r#"<Server><Connector port="7${x"/></Server>"#;
        assert!(ports(unclosed, "").is_err_and(|why| why.contains("7${x")));
    }

    #[test]
    fn what_names_no_port_says_why() {
        for (xml, why) in [
            ("<Server/>", "no connector with a port"),
            ("<Server><Connector protocol=\"AJP/1.3\" port=\"1\"/></Server>", "no connector with a port"),
            ("<Server><Connector port=\"70000\"/></Server>", "is \"70000\""),
            ("<Server><Connector port=\"7272\"></Server>", "not well-formed XML"),
            ("", "not well-formed XML"),
        ] {
            assert!(ports(xml, "").is_err_and(|said| said.contains(why)), "{xml}");
        }
        // A billion laughs are not laughed.
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">\
            <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;\">]>\
            <Server>&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;</Server>";
        assert!(ports(bomb, "").is_err());
    }

    #[test]
    fn the_other_node_is_asked_at_its_port_or_at_ours() {
        let own = Connector { port: 7373, tls: true, address: None };
        let mut membership =
            Membership { format: 1, role: Role::Primary, key_fingerprint: None, pair: Pair::example() };
        assert_eq!(port_of_peer(&membership, Some(&own)), Some(7272));
        membership.pair.nodes[1].web_port = None;
        assert_eq!(port_of_peer(&membership, Some(&own)), Some(7373));
        assert_eq!(port_of_peer(&membership, None), None);
        membership.pair.nodes[1].host = "n1".into();
        assert_eq!(port_of_peer(&membership, Some(&own)), None);
    }

    #[test]
    fn an_address_of_its_own_is_kept() {
        let xml = r#"<Server><Connector port="7272" address="10.0.0.1"/></Server>"#;
        let found = connectors(xml, &Properties::new("")).expect("a connector");
        assert_eq!(found[0].address.as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn the_first_record_of_a_handshake_has_its_lengths_right() {
        let hello = client_hello();
        let number = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
        assert_eq!((number(3), number(7)), (hello.len() - 5, hello.len() - 9));
        let suites = number(44);
        let extensions = 44 + 2 + suites + 2;
        assert_eq!(number(extensions), hello.len() - extensions - 2);
        for answer in [&[22, 3, 3][..], &[21, 3, 1], b"HTTP/1.1 400 Bad"] {
            assert!(is_web(answer));
        }
        for answer in [&[22][..], b"", b"SSH-2.0", &[74, 0, 0, 0, 10]] {
            assert!(!is_web(answer));
        }
    }

    #[test]
    fn a_node_behind_a_firewall_is_not_called_failed() {
        use Status::{Alive, Failed, Unknown};
        let silent = |answered_before| WebSeen::Silent { evidence: "x".into(), answered_before };
        let words = [WebSeen::Answers, silent(true), silent(false), WebSeen::NotLooked]
            .map(|seen| (seen.status(true), seen.status(false)));
        assert_eq!(words, [(Alive, Alive), (Failed, Failed), (Failed, Unknown), (Unknown, Unknown)]);
    }
}
