//! Signatures with SHA-1, for the certificates of servers that take no newer ones.

use anyhow::{Context, Result};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

/// Signs with an RSA key, a PEM.
pub fn with_sha1(key: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let key = PKey::private_key_from_pem(key.as_bytes()).context("cannot read the private key")?;
    let mut signer = Signer::new(MessageDigest::sha1(), &key)?;
    signer.sign_oneshot_to_vec(bytes).context("OpenSSL does not sign with SHA-1 on this system")
}

#[cfg(test)]
mod tests {
    use openssl::rsa::Rsa;
    use openssl::sign::Verifier;

    use super::*;

    #[test]
    fn what_is_signed_is_accepted_by_openssl_and_nothing_else_is() {
        let rsa = Rsa::generate(2048).expect("a key");
        let pem = String::from_utf8(rsa.private_key_to_pem().expect("a PEM")).expect("text");
        let signature = with_sha1(&pem, b"a certificate").expect("signed");
        let key = PKey::from_rsa(rsa).expect("a key");
        let accepts = |bytes: &[u8]| {
            let mut verifier = Verifier::new(MessageDigest::sha1(), &key).expect("a verifier");
            verifier.verify_oneshot(&signature, bytes).expect("checked")
        };
        assert!(accepts(b"a certificate") && !accepts(b"another one"));
        assert!(with_sha1("no key", b"").is_err());
    }
}
