//! The pair's CA, and the certificates of its nodes.
//!
//! Keys are RSA in PKCS#1: if `MySQL` 5.6 finds PKCS#8, it disables TLS and starts anyway. The host
//! is in the common name, the only place that 5.6 checks, and in an alternative name, the only
//! place that all others check.

use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::Decode;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, SanType,
};
use x509_parser::parse_x509_certificate;
use x509_parser::pem::parse_x509_pem;

use crate::adapters::bytes::old_signature;
use crate::adapters::{random, system};
use crate::domain::flavor::Flavor;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// How long a node's certificate is valid. A pack that leaked opens nothing after that, and a pair is
/// packed anew more often: with each upgrade of the product.
const NODE_VALIDITY: Duration = Duration::from_secs(2 * YEAR.as_secs());

/// How long the CA is valid. It outlives several certificates, because a pack of a running database keeps it.
const CA_VALIDITY: Duration = Duration::from_secs(10 * YEAR.as_secs());

/// Certificates begin earlier than now, for machines whose clock is behind.
const CLOCK_SKEW: Duration = Duration::from_secs(2 * 86_400);

/// The longest common name that a certificate can have.
const LONGEST_COMMON_NAME: usize = 64;

/// A certificate with its private key, both PEM.
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// The private key, PKCS#1.
    pub key: String,
}

/// Makes a CA for a pair, with its own name.
///
/// If a node trusts two CAs, the name distinguishes them.
pub fn make_ca(pair_id: &str) -> Result<Issued> {
    let now = SystemTime::now();
    let name = format!("pmp-ha pair {pair_id} {}", random::id());
    let mut params = params(&name, now - CLOCK_SKEW..now + CA_VALIDITY)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let cert = params.self_signed(&key)?;
    Ok(Issued { cert: cert.pem(), key: pkcs1(&key)? })
}

/// Issues a node's certificate.
pub fn issue(ca_cert: &str, ca_key: &str, host: &str) -> Result<Issued> {
    let now = SystemTime::now();
    issue_within(ca_cert, ca_key, host, now - CLOCK_SKEW..now + NODE_VALIDITY)
}

/// Issues a node's certificate that a server of this kind takes.
pub fn issue_for(flavor: &Flavor, ca_cert: &str, ca_key: &str, host: &str) -> Result<Issued> {
    let issued = issue(ca_cert, ca_key, host)?;
    if !flavor.wants_sha1() {
        return Ok(issued);
    }
    Ok(Issued { cert: signed_with_sha1(&issued.cert, ca_key)?, key: issued.key })
}

/// The same certificate, signed anew by the CA with SHA-1.
fn signed_with_sha1(cert: &str, ca_key: &str) -> Result<String> {
    // The names of both ways to sign, as DER: they differ in the last byte.
    const RSA_SHA256: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    const RSA_SHA1: u8 = 0x05;
    let (_, pem) = parse_x509_pem(cert.as_bytes()).context("this is not PEM")?;
    let mut whole = pem.contents.clone();
    let named: Vec<usize> = whole
        .windows(RSA_SHA256.len())
        .enumerate()
        .filter(|(_, at)| *at == RSA_SHA256)
        .map(|(at, _)| at)
        .collect();
    // In what is signed, and beside the signature.
    if named.len() != 2 {
        bail!("the certificate names its signature {} times", named.len());
    }
    for at in named {
        whole[at + RSA_SHA256.len() - 1] = RSA_SHA1;
    }
    let parsed = parse_x509_certificate(&whole).context("this is not a certificate")?.1;
    let signature = old_signature::with_sha1(ca_key, parsed.tbs_certificate.as_ref())?;
    if signature.len() != parsed.signature_value.data.len() {
        bail!("the key of the CA makes signatures of another length");
    }
    let begin = whole.len() - signature.len();
    whole[begin..].copy_from_slice(&signature);
    Ok(pem::encode_config(&pem::Pem::new("CERTIFICATE", whole), unix_lines()))
}

/// Issues a node's certificate that is valid from one time until another.
pub fn issue_within(ca_cert: &str, ca_key: &str, host: &str, valid: Range<SystemTime>) -> Result<Issued> {
    let ca_key = KeyPair::from_pem(ca_key).context("cannot read the private key of the pair's CA")?;
    let issuer =
        Issuer::from_ca_cert_pem(ca_cert, ca_key).context("cannot read the certificate of the pair's CA")?;
    let mut params = params(common_name(host), valid)?;
    params.subject_alt_names = vec![match host.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => {
            SanType::DnsName(host.try_into().with_context(|| format!("a certificate cannot contain {host}"))?)
        }
    }];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let cert = params.signed_by(&key, &issuer)?;
    Ok(Issued { cert: cert.pem(), key: pkcs1(&key)? })
}

fn common_name(host: &str) -> &str {
    if host.len() <= LONGEST_COMMON_NAME { host } else { "pmp-ha node" }
}

/// The subject of the certificate of a node, as servers write it.
#[must_use]
pub fn subject_of(host: &str) -> String {
    format!("/CN={}", common_name(host))
}

/// The subject of a certificate whose subject is a common name, as servers write it.
pub fn subject(cert: &str) -> Result<String> {
    let (_, pem) = parse_x509_pem(cert.as_bytes()).context("this is not PEM")?;
    let cert = pem.parse_x509().context("this is not a certificate")?;
    let name = cert.subject().iter_common_name().next().context("it has no common name")?;
    Ok(format!("/CN={}", name.as_str()?))
}

/// Reads a PEM file.
pub fn read(path: &Path) -> Result<String> {
    Ok(system::read_text(path, system::SMALL)?)
}

/// Returns when the certificate in a PEM ends, seconds since 1970, UTC.
pub fn ends(text: &str) -> Result<i64> {
    Ok(valid(text)?.end)
}

/// Returns from when until when the certificate in a PEM is valid, seconds since 1970, UTC.
pub fn valid(text: &str) -> Result<Range<i64>> {
    let (_, pem) = parse_x509_pem(text.as_bytes()).context("this is not PEM")?;
    let cert = pem.parse_x509().context("this is not a certificate")?;
    Ok(cert.validity().not_before.timestamp()..cert.validity().not_after.timestamp())
}

/// Returns the certificates of both texts, each once, in their order.
pub fn bundle(first: &str, more: &str) -> Result<String> {
    let mut out: Vec<pem::Pem> = Vec::new();
    for text in [first, more] {
        for found in pem::parse_many(text).context("this is not PEM")? {
            if !out.contains(&found) {
                out.push(found);
            }
        }
    }
    Ok(out.iter().map(|found| pem::encode_config(found, unix_lines())).collect())
}

/// Whether a certificate is in both texts.
pub fn share_one(one: &str, other: &str) -> Result<bool> {
    let found = pem::parse_many(other).context("this is not PEM")?;
    Ok(pem::parse_many(one).context("this is not PEM")?.iter().any(|each| found.contains(each)))
}

/// How many certificates a text holds.
pub fn count(text: &str) -> Result<usize> {
    Ok(pem::parse_many(text).context("this is not PEM")?.len())
}

/// Returns the first certificate of a text: that of the CA whose key this node has, if it has one.
pub fn first(text: &str) -> Result<String> {
    let found = pem::parse_many(text).context("this is not PEM")?;
    let first = found.first().context("there is no certificate in it")?;
    Ok(pem::encode_config(first, unix_lines()))
}

fn unix_lines() -> pem::EncodeConfig {
    pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)
}

fn params(common_name: &str, valid: Range<SystemTime>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = valid.start.into();
    params.not_after = valid.end.into();
    Ok(params)
}

fn pkcs1(key: &KeyPair) -> Result<String> {
    let der = key.serialize_der();
    let info = PrivateKeyInfoRef::from_der(&der)
        .map_err(|error| anyhow!("cannot read a new private key: {error}"))?;
    Ok(pem::encode_config(&pem::Pem::new("RSA PRIVATE KEY", info.private_key.as_bytes()), unix_lines()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_form_that_old_servers_read() {
        let ca = make_ca("x").expect("a CA");
        let node = issue(&ca.cert, &ca.key, "pmp.example.com").expect("a certificate");
        for issued in [&ca, &node] {
            assert!(issued.key.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
            assert!(issued.cert.starts_with("-----BEGIN CERTIFICATE-----"));
        }
        assert_eq!(subject(&node.cert).expect("a name"), subject_of("pmp.example.com"));
    }

    #[cfg(feature = "old-tls")]
    #[test]
    fn a_server_that_takes_no_newer_signature_gets_one_with_sha1_and_no_other_does() {
        let ca = make_ca("x").expect("a CA");
        let signed = |name: &str| {
            let issued = issue_for(Flavor::called(name), &ca.cert, &ca.key, "pmp.example.com").expect("one");
            assert_eq!(subject(&issued.cert).expect("a name"), subject_of("pmp.example.com"));
            let (_, pem) = parse_x509_pem(issued.cert.as_bytes()).expect("a PEM");
            let cert = pem.parse_x509().expect("a certificate");
            let names = [&cert.signature_algorithm, &cert.tbs_certificate.signature];
            names.map(|name| name.algorithm.to_id_string())
        };
        let pkcs1 = |number: u32| [(); 2].map(|()| format!("1.2.840.113549.1.1.{number}"));
        assert_eq!(signed("MySQL 5.1"), pkcs1(5));
        for name in ["MySQL 5.5", "MySQL 5.6", "MySQL 9"] {
            assert_eq!(signed(name), pkcs1(11), "{name}");
        }
    }

    #[test]
    fn two_cas_of_a_pair_have_names_of_their_own_and_stand_in_one_file() {
        let [old, new] = [(); 2].map(|()| make_ca("x").expect("a CA").cert);
        let both = bundle(&new, &old).expect("certificates");
        assert_eq!(both, format!("{new}{old}"));
        assert_eq!(bundle(&both, &old).expect("certificates"), both, "each of them once");
        assert_eq!(first(&both).expect("a certificate"), new);
        assert_eq!([&new, &both].map(|text| count(text).expect("a PEM")), [1, 2]);
        assert_ne!(subject(&old).expect("a name"), subject(&new).expect("a name"));
        assert!(subject(&new).is_ok_and(|name| name.starts_with("/CN=pmp-ha pair x ")));
        assert!(first("").is_err());
    }

    #[test]
    fn a_node_s_certificate_lives_two_years_and_the_ca_ten() {
        let ca = make_ca("x").expect("a CA");
        let node = issue(&ca.cert, &ca.key, "pmp.example.com").expect("a certificate");
        let days =
            |cert: &str| (ends(cert).expect("an end") - jiff::Timestamp::now().as_second() + 60) / 86_400;
        assert_eq!((days(&node.cert), days(&ca.cert)), (730, 3650));
        assert!(ends("nothing").is_err());
    }
}
