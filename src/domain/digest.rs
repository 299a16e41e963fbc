//! The digests that identify files and blocks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A digest of 32 bytes as 64 hexadecimal digits.
macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $algorithm:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// Builds a digest from its bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                from_hex(&text).map(Self).ok_or_else(|| concat!("a ", $algorithm, " is 64 hexadecimal digits").into())
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> Self {
                hash.to_string()
            }
        }
    };
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    if text.len() != 64 || !text.bytes().all(is_digit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

digest! {
    /// A SHA-256 (FIPS 180-4), 64 hexadecimal digits.
    Sha256Hex, "SHA-256"
}

digest! {
    /// A BLAKE3, 64 hexadecimal digits.
    Blake3Hex, "BLAKE3"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_small_hexadecimal_digits() {
        let text = "0123456789abcdef".repeat(4);
        let hash = Sha256Hex::try_from(text.clone()).expect("a digest");
        assert_eq!(hash.to_string(), text);
        for bad in ["", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace('0', "+")] {
            assert!(Sha256Hex::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
