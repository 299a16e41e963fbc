//! Secrets of a home, and whom its accounts let in.

use pmp_ha::adapters::home::{Home, certificates};

use super::Node;
use super::sql::Db;

/// Secrets of a home: they may stand in the file that they were read from, and nowhere else.
pub fn secrets(node: &Node) -> Vec<String> {
    let value = |file: &str, key: &str| -> Vec<String> {
        let text = std::fs::read_to_string(node.path(file)).expect("there");
        text.lines()
            .filter_map(|line| line.trim().strip_prefix(key))
            .map(|value| value.trim_matches([' ', '=', '"', '\\']).to_owned())
            .collect()
    };
    let out = [value("conf/database_params.conf", "password="), value("conf/pmp_key.key", "ENCRYPTIONKEY=")]
        .concat();
    assert!(out.len() == 2 && out.iter().all(|secret| secret.len() > 8));
    out
}

pub fn passwords_of_the_pair(node: &Node) -> Vec<String> {
    let text = std::fs::read_to_string(node.path("conf/pmp-ha/credentials.toml")).expect("there");
    let out: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("password = "))
        .map(|value| value.trim_matches('"').to_owned())
        .collect();
    assert_eq!(out.len(), 5, "{text}");
    out
}

/// Each account that the other node uses demands that node's certificate, and no other one of the same CA or
/// of another one.
#[track_caller]
pub fn accounts_demand_one_certificate(node: &Node) {
    let membership = Home::open(&node.home).and_then(|home| home.require_membership()).expect("of a pair");
    let ca = std::fs::read_to_string(node.path("conf/pmp-ha/ca.pem")).expect("readable");
    let wanted = format!(
        "{} {}",
        certificates::subject_of(&membership.peer().host),
        certificates::subject(&ca).expect("a certificate")
    );
    let demanded = "SELECT CONCAT(x509_subject, ' ', x509_issuer) FROM mysql.user WHERE User LIKE 'pmp%' AND ssl_type = 'SPECIFIED'";
    let found = Db::admin(node).list(demanded);
    assert!(found.iter().all(|found| *found == wanted), "{}: {found:?} for {wanted}", node.endpoint);
    // A node that has changed its role has no account of its former one.
    assert!(matches!(found.len(), 3 | 4), "{}: {found:?}", node.endpoint);
}
