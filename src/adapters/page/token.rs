//! The token that a client must send: as a bearer, or as the password of a login with any name.

use std::path::Path;

use anyhow::Result;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::adapters::alert::secret::{self, Files, Secret};
use crate::config::ConfigFile;
use crate::config::page::PageConfig;

/// A shorter one could be guessed.
const SHORTEST: usize = 20;

/// The key of its file.
const KEY: &str = "page.token_file";

/// The token.
pub struct Token(Secret);

impl Token {
    /// Reads it.
    pub fn open(config: &PageConfig, source: &ConfigFile) -> Result<Self> {
        let files = Files { source, folder: Path::new("") };
        let Some(named) = &config.token_file else { return Err(files.wrong(KEY, "is missing")) };
        let token = secret::read(&files, KEY, named)?;
        if token.text().len() < SHORTEST {
            return Err(files.wrong(KEY, format!("must name a token of at least {SHORTEST} characters")));
        }
        Ok(Self(token))
    }

    /// Whether a request has it.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let said = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, rest)) = said.and_then(|value| value.split_once(' ')) else { return false };
        let token = if scheme.eq_ignore_ascii_case("bearer") {
            Some(rest.trim().as_bytes().to_vec())
        } else if scheme.eq_ignore_ascii_case("basic") {
            from_base64(rest.trim()).and_then(|login| {
                let colon = login.iter().position(|byte| *byte == b':')?;
                Some(login[colon + 1..].to_vec())
            })
        } else {
            None
        };
        token.is_some_and(|token| is_same(&token, self.0.text().as_bytes()))
    }
}

/// Compares in a time that does not tell how much is the same.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Decodes base64, as RFC 4648 has it for logins.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn only_the_whole_token_is_accepted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        crate::adapters::system::write_atomic(&path, b"0123456789abcdefghij\n", 0o600, None)
            .expect("written");
        let source = ConfigFile {
            path: folder.path().join("pmp-ha.toml"),
            places: crate::config::place::Places::default(),
        };
        let config = PageConfig { token_file: Some("token".into()), ..PageConfig::default() };
        let token = Token::open(&config, &source).expect("a token");
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
            token.is_in(&headers)
        };
        for value in [
            "Bearer 0123456789abcdefghij",
            // any:0123456789abcdefghij
            "Basic YW55OjAxMjM0NTY3ODlhYmNkZWZnaGlq",
            "basic OjAxMjM0NTY3ODlhYmNkZWZnaGlq",
        ] {
            assert!(asked(value), "{value}");
        }
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdefghi",
            "Basic !!!",
            "Basic MDEyMzQ=",
            "Digest 0123456789abcdefghij",
        ] {
            assert!(!asked(value), "{value}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
        crate::adapters::system::write_atomic(&path, b"short\n", 0o600, None).expect("written");
        assert!(Token::open(&config, &source).is_err());
    }
}
