//! The pair's CA, and the certificates of its nodes.
//!
//! Keys are RSA in PKCS#1: if `MySQL` 5.6 finds PKCS#8, it disables TLS and starts anyway. The host
//! is in the common name, the only place that 5.6 checks, and in an alternative name, the only
//! place that all others check.

use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::Decode;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, SanType,
};
use x509_parser::pem::parse_x509_pem;

use crate::adapters::system;

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

/// Makes the CA of a pair.
pub fn make_ca(pair_id: &str) -> Result<Issued> {
    let now = SystemTime::now();
    let mut params = params(&format!("pmp-ha pair {pair_id}"), now - CLOCK_SKEW..now + CA_VALIDITY)?;
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

/// Issues a node's certificate that is valid from one time until another.
pub fn issue_within(ca_cert: &str, ca_key: &str, host: &str, valid: Range<SystemTime>) -> Result<Issued> {
    let ca_key = KeyPair::from_pem(ca_key).context("cannot read the private key of the pair's CA")?;
    let issuer =
        Issuer::from_ca_cert_pem(ca_cert, ca_key).context("cannot read the certificate of the pair's CA")?;
    let name = if host.len() <= LONGEST_COMMON_NAME { host } else { "pmp-ha node" };
    let mut params = params(name, valid)?;
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

/// Reads a PEM file.
pub fn read(path: &Path) -> Result<String> {
    Ok(system::read_text(path, system::SMALL)?)
}

/// Returns when the certificate in a PEM ends, seconds since 1970, UTC.
pub fn ends(text: &str) -> Result<i64> {
    let (_, pem) = parse_x509_pem(text.as_bytes()).context("this is no PEM")?;
    let cert = pem.parse_x509().context("this is no certificate")?;
    Ok(cert.validity().not_after.timestamp())
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
    let encoded = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok(pem::encode_config(&pem::Pem::new("RSA PRIVATE KEY", info.private_key.as_bytes()), encoded))
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
