//! Ed25519 signatures of manifests, with keys in PEM files as OpenSSL writes them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};

use crate::adapters::system;
use crate::failure::{Failure, Kind};

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// A new key pair, as PEM text.
pub struct NewKeys {
    /// The private key, for the signer.
    pub private: String,
    /// The public key, to check signatures.
    pub public: String,
}

/// Creates a key pair.
pub fn generate() -> Result<NewKeys> {
    let keys = Ed25519KeyPair::generate().context("cannot create a key")?;
    let private = keys.to_pkcs8v1().context("cannot create a key")?;
    let public: PublicKeyX509Der<'_> = keys.public_key().as_der().context("cannot create a key")?;
    let text = |tag: &str, der: &[u8]| pem::encode_config(&pem::Pem::new(tag, der), unix_lines());
    Ok(NewKeys { private: text(PRIVATE, private.as_ref()), public: text(PUBLIC, public.as_ref()) })
}

fn unix_lines() -> pem::EncodeConfig {
    pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)
}

fn unusable(path: &Path, why: impl std::fmt::Display, kind: &str) -> anyhow::Error {
    Failure::new(Kind::Refused, format!("cannot use the key {}", path.display()))
        .code("key-file")
        .because(why.to_string())
        .hint(format!("Name the {kind} key from `pmp-ha keygen signing`."))
        .into()
}

fn der(path: &Path, tag: &str, kind: &str) -> Result<Vec<u8>> {
    let text = system::read_bytes(path, system::SMALL).map_err(|error| unusable(path, error, kind))?;
    let found = pem::parse(text).map_err(|error| unusable(path, error, kind))?;
    if found.tag() != tag {
        bail!(unusable(path, format!("it contains a {}, not a {tag}", found.tag()), kind));
    }
    Ok(found.into_contents())
}

/// Signs.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// Reads a private key from a file that only its owner may read.
    pub fn read(path: &Path) -> Result<Self> {
        let der = der(path, PRIVATE, "private")?;
        if system::mode(path)? & 0o077 != 0 {
            bail!(unusable(path, "other users than its owner can read it; run chmod 600", "private"));
        }
        let key = Ed25519KeyPair::from_pkcs8(&der)
            .map_err(|_| unusable(path, "it is not an Ed25519 key", "private"))?;
        Ok(Self(key))
    }

    /// The signature of a text: 128 hexadecimal digits and a line end.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> String {
        use std::fmt::Write;
        let mut out = self.0.sign(text).as_ref().iter().fold(String::new(), |mut out, byte| {
            // ignored: writing into a String cannot fail
            let _ = write!(out, "{byte:02x}");
            out
        });
        out.push('\n');
        out
    }
}

/// Checks signatures of one signer.
#[derive(Clone)]
pub struct Verifier(ParsedPublicKey);

impl Verifier {
    /// Reads a public key.
    pub fn read(path: &Path) -> Result<Self> {
        let der = der(path, PUBLIC, "public")?;
        let key = ParsedPublicKey::new(&ED25519, der)
            .map_err(|_| unusable(path, "it is not an Ed25519 key", "public"))?;
        Ok(Self(key))
    }

    /// Refuses a pack whose manifest this key has not signed. `path` names it for a message.
    pub fn demand(&self, path: &Path, manifest: &[u8], signature: Option<&str>) -> Result<()> {
        let why = match signature {
            None => "it is not signed",
            Some(signature) if self.knows(manifest, signature) => return Ok(()),
            Some(_) => "its signature was made with another key, or for another manifest",
        };
        bail!(
            Failure::new(Kind::Refused, format!("cannot trust the pack {}", path.display())).code("pack-untrusted").because(why).hint(
                "Make it again on the primary with `pmp-ha pack --sign-with`, and name the matching public key.",
            )
        )
    }

    /// Returns whether `signature` is the key's signature of `text`.
    #[must_use]
    pub fn knows(&self, text: &[u8], signature: &str) -> bool {
        let Some(digits) = signature.strip_suffix('\n') else { return false };
        let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let byte = |at: usize| digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
        let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
        digits.chars().all(is_digit) && bytes.is_some_and(|bytes| self.0.verify_sig(text, &bytes).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;

    #[test]
    fn only_the_right_key_knows_the_right_text() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let keys = |name: &str| {
            let made = generate().expect("keys");
            let (private, public) = (dir.path().join(name), dir.path().join(format!("{name}.pub")));
            fs::write(&private, made.private).expect("written");
            fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).expect("set");
            fs::write(&public, made.public).expect("written");
            (private, public)
        };
        let ((one, one_public), (_, two_public)) = (keys("one"), keys("two"));
        let signature = Signer::read(&one).expect("a key").sign(b"text");
        let verifier = |path| Verifier::read(path).expect("a key");
        assert!(verifier(&one_public).knows(b"text", &signature));
        assert!(!verifier(&two_public).knows(b"text", &signature));
        assert!(!verifier(&one_public).knows(b"Text", &signature));
        for wrong in ["", "\n", "0", "zz", &signature[2..]] {
            assert!(!verifier(&one_public).knows(b"text", wrong));
        }
        assert!(Signer::read(&one_public).is_err() && Verifier::read(&one).is_err());
    }
}
