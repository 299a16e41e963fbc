//! The two nodes of a pair: their names, and how they reach each other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::tables::TablePatterns;

/// The role of a node in the pair. Roles change; a node is named by its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read and write.
    Primary,
    /// Replicates from the primary and serves reads.
    Secondary,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        })
    }
}

/// `HOST` or `HOST:DBPORT` as given on the command line. IPv6 addresses are in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port of the database, if given.
    pub port: Option<u16>,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(format!("there is '{rest}' after the bracket")),
            }
        } else {
            match text.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err("an IPv6 address needs brackets: [::1]:2345".into());
                }
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        // With a dot at its end a name is the same, and no certificate carries it so.
        let host = host.strip_suffix('.').unwrap_or(host);
        check_host(host)?;
        let port = match port {
            None => None,
            Some(port) => match port.parse() {
                Ok(number) if number > 0 => Some(number),
                _ => return Err(format!("'{port}' is not a port number")),
            },
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Checks a host name that will be used in option files, certificates and messages.
fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("the host is empty".into());
    }
    if let Some(odd) = host.chars().find(|c| !(c.is_ascii_alphanumeric() || ".-_:%".contains(*c))) {
        return Err(format!("a host name cannot contain '{odd}'"));
    }
    if host.starts_with('-') {
        return Err("a host name cannot begin with '-'".into());
    }
    if host.split('.').any(str::is_empty) {
        return Err("a part of the host name is empty".into());
    }
    Ok(())
}

/// Returns whether a text can be an identifier of this tool: letters and digits.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// One node. Its number never changes: it is the `server_id` and the `auto_increment_offset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// 1 or 2.
    pub number: u32,
    /// The name that the other node connects to and that its certificate carries.
    pub host: String,
    /// The port at which the other node reaches its database.
    pub db_port: u16,
    /// The port that its database itself listened on when the pair was set up, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_port: Option<u16>,
    /// The port of its web server when the pair was set up, if it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_port: Option<u16>,
    /// Distinguishes the binlogs of this server from those of an earlier server of this node.
    ///
    /// It is needed if the binlogs themselves do not. The node itself knows it, and the other one may
    /// not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<u32>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.db_port)
        } else {
            write!(f, "{}:{}", self.host, self.db_port)
        }
    }
}

/// What both nodes know about the pair they form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Random, made when the pair is first packed.
    pub id: String,
    /// The schema of the product as it is called on disk, lower case.
    pub schema: String,
    /// The tables whose rows both nodes write and that flow both ways.
    pub audit_tables: TablePatterns,
    /// More tables into which the application may insert on the secondary; those rows stay there.
    pub local_tables: TablePatterns,
    /// The number of the node that is the primary.
    pub primary: u32,
    /// Counts the changes of roles, from 1.
    #[serde(default = "first_epoch")]
    pub epoch: u64,
    /// The latest epoch of the other node that the primary knew of when it became the primary.
    #[serde(default)]
    pub replaces: u64,
    /// The word in `conf/serverstate.conf` of a secondary, as the product's installer wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary_word: Option<String>,
    /// Both nodes, number 1 first.
    pub nodes: [Node; 2],
}

impl Pair {
    /// Checks a pair from outside, before its words are used in option files, SQL and folder names.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        if !is_id(&self.id) {
            return Err("its pair has no valid id".into());
        }
        if [self.nodes[0].number, self.nodes[1].number] != [1, 2] {
            return Err("its nodes are not numbered 1 and 2".into());
        }
        if ![1, 2].contains(&self.primary) {
            return Err("its primary is not one of its nodes".into());
        }
        if self.epoch > Claim::LARGEST || self.replaces > Claim::LARGEST {
            return Err(format!("its epoch is not plausible: {}", self.epoch.max(self.replaces)));
        }
        self.nodes.iter().try_for_each(|node| check_host(&node.host))?;
        // As a folder is called: the server writes any other character as a code of these.
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b"_$@#-".contains(&b);
        if self.schema.is_empty() || !self.schema.bytes().all(is_part) {
            return Err("the name of its schema is not valid".into());
        }
        Ok(())
    }
}

fn first_epoch() -> u64 {
    Claim::FIRST.epoch
}

/// The claim of a node that is the primary, or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The epoch that begins with it.
    pub epoch: u64,
    /// The latest epoch of the other node that it knows: this claim replaces it.
    pub replaces: u64,
}

impl Claim {
    /// The largest epoch that a file may name.
    ///
    /// No pair changes its roles so often, and there is room to count on from there.
    pub const LARGEST: u64 = 1 << 48;

    /// So far ahead of its own epoch at most, a node believes what a row says of another one. Each change of
    /// roles adds one or two, so no row brings the counting near to its end.
    const FARTHEST: u64 = 1000;

    /// Reads an epoch from a row of a database; `None` if it is not plausible.
    #[must_use]
    pub fn read_epoch(text: &str) -> Option<u64> {
        text.parse().ok().filter(|epoch| *epoch <= Self::LARGEST)
    }

    /// The epoch that a promotion replaces: its own, or a later plausible one from rows.
    #[must_use]
    pub fn latest(own: u64, told: u64) -> u64 {
        if told > own.saturating_add(Self::FARTHEST) { own } else { told.max(own) }
    }

    /// The claim of the node that a pair is set up from.
    pub const FIRST: Self = Self { epoch: 1, replaces: 0 };

    /// The claim of a node that takes over the role from a primary of this epoch.
    #[must_use]
    pub fn by_hand_over(epoch: u64) -> Self {
        Self { epoch: epoch.saturating_add(1), replaces: epoch }
    }

    /// Of a node that is promoted, and knows of the other one as the primary of this epoch. The number
    /// between is left to a hand-over that nobody took: no two claims of a node have the same.
    #[must_use]
    pub fn by_promotion(epoch: u64) -> Self {
        Self { epoch: epoch.saturating_add(2), replaces: epoch }
    }
}

impl Pair {
    /// The claim of the primary.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { epoch: self.epoch, replaces: self.replaces }
    }

    /// Returns the node in `role`.
    #[must_use]
    pub fn node(&self, role: Role) -> &Node {
        let wanted = |node: &&Node| (node.number == self.primary) == (role == Role::Primary);
        self.nodes.iter().find(wanted).unwrap_or(&self.nodes[0])
    }

    /// A pair as tests need it: nodes `n1` and `n2`, the first one primary.
    #[cfg(test)]
    #[must_use]
    pub fn example() -> Self {
        let node = |number| Node {
            number,
            host: format!("n{number}"),
            db_port: 2345,
            local_port: Some(2345),
            web_port: Some(7272),
            history: None,
        };
        Self {
            id: "x".into(),
            schema: "passtrix".into(),
            audit_tables: TablePatterns::new(["*audit"]),
            local_tables: TablePatterns::default(),
            primary: 1,
            epoch: Claim::FIRST.epoch,
            replaces: Claim::FIRST.replaces,
            secondary_word: None,
            nodes: [node(1), node(2)],
        }
    }

    /// The other node's role.
    #[must_use]
    pub fn peer_of(role: Role) -> Role {
        match role {
            Role::Primary => Role::Secondary,
            Role::Secondary => Role::Primary,
        }
    }
}

/// `conf/pmp-ha/pair.toml`: the pair, and which of its nodes this home is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The format of this file, [`Membership::FORMAT`].
    pub format: u32,
    /// The role of this home.
    pub role: Role,
    /// A salted hash of the encryption key of the primary, if it could be read at setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
    /// The pair.
    pub pair: Pair,
}

impl Membership {
    /// The format that this version writes.
    pub const FORMAT: u32 = 1;

    /// This home's node.
    #[must_use]
    pub fn this(&self) -> &Node {
        self.pair.node(self.role)
    }

    /// The other node.
    #[must_use]
    pub fn peer(&self) -> &Node {
        self.pair.node(Pair::peer_of(self.role))
    }

    /// Returns what this node will know about the pair in `role`, with the claim of the new
    /// primary.
    #[must_use]
    pub fn changed_to(&self, role: Role, claim: Claim) -> Self {
        let primary = if role == Role::Primary { self.this().number } else { self.peer().number };
        let Claim { epoch, replaces } = claim;
        Self { role, pair: Pair { primary, epoch, replaces, ..self.pair.clone() }, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_that_is_not_plausible_is_refused_and_counting_never_wraps() {
        let with = |epoch, replaces| Pair { epoch, replaces, ..Pair::example() }.check();
        assert_eq!(with(Claim::LARGEST, Claim::LARGEST), Ok(()));
        assert!(with(Claim::LARGEST + 1, 0).is_err_and(|why| why.contains("not plausible")));
        assert!(with(1, u64::MAX).is_err());
        for text in ["281474976710657", "9223372036854775806", "18446744073709551615", "-1", "x", ""] {
            assert_eq!(Claim::read_epoch(text), None, "{text}");
        }
        assert_eq!(Claim::read_epoch("281474976710656"), Some(Claim::LARGEST));
        assert_eq!([Claim::latest(3, 0), Claim::latest(3, 5), Claim::latest(3, Claim::LARGEST)], [3, 5, 3]);
        for claim in [Claim::by_hand_over(u64::MAX), Claim::by_promotion(u64::MAX)] {
            assert_eq!(claim, Claim { epoch: u64::MAX, replaces: u64::MAX });
        }
    }

    #[test]
    fn an_endpoint_is_a_host_with_or_without_a_port() {
        let ok = |text: &str| text.parse::<Endpoint>().map(|e| (e.host, e.port));
        assert_eq!(ok("pmp-a.example.com.:2345"), Ok(("pmp-a.example.com".into(), Some(2345))));
        assert_eq!(ok("pmp.example.com"), Ok(("pmp.example.com".into(), None)));
        assert_eq!(ok("10.0.0.1:2345"), Ok(("10.0.0.1".into(), Some(2345))));
        assert_eq!(ok("[::1]:2345"), Ok(("::1".into(), Some(2345))));
        assert_eq!(ok("[::1]"), Ok(("::1".into(), None)));
        for bad in [
            "", ":1", "a:0", "a:70000", "a:b", "::1", "a b", "a'b", "-x", "[::1", "[::1]x", ".", "a..", ".a",
            "a..b",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_peer_is_the_other_node_whoever_is_primary() {
        let pair = Pair { primary: 2, ..Pair::example() };
        let membership = Membership { format: 1, role: Role::Secondary, key_fingerprint: None, pair };
        assert_eq!(membership.this().number, 1);
        assert_eq!(membership.peer().number, 2);
    }

    #[test]
    fn a_change_of_roles_keeps_who_is_who() {
        let old = Membership { format: 1, role: Role::Primary, key_fingerprint: None, pair: Pair::example() };
        let new = old.changed_to(Role::Secondary, Claim::by_hand_over(1));
        assert_eq!((new.this().number, new.peer().number), (1, 2));
        assert_eq!((new.pair.primary, new.pair.epoch, new.pair.replaces), (2, 2, 1));
        assert_eq!(new.changed_to(Role::Secondary, Claim::by_promotion(2)).pair.primary, 2);
    }
}
