//! The file with the secondary's new secrets: text, signed and encrypted as a pack is.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::read::Opening;
use super::seal::is_sealed;
use super::sealed;
use super::signature::Signer;
use crate::adapters::home::Credential;
use crate::adapters::home::saved::remove;
use crate::adapters::system;
use crate::domain::accounts::meant_by;
use crate::domain::pair::{Membership, is_id};
use crate::failure::{Failure, Kind};

const SIGNATURE: &str = "# signature: ";

/// The secondary's new secrets. The CA's key is not one of them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The format of the file, [`Offer::FORMAT`].
    pub format: u32,
    /// The name of the change.
    pub id: String,
    /// The pair.
    pub pair: String,
    /// The number of the node that it is for.
    pub node: u32,
    /// When it was made, RFC 3339, UTC.
    pub made_at: String,
    /// The certificate of the new CA.
    pub ca: String,
    /// The node's certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
    /// With this account the secondary reads the primary's binlog.
    pub replication: Credential,
    /// With this account the primary reads the secondary's binlog.
    pub back: Credential,
    /// This account reads the state of replication.
    pub monitor: Credential,
    /// This account reads data.
    pub reader: Credential,
}

impl Offer {
    /// The format that this version writes.
    pub const FORMAT: u32 = 1;

    /// Writes the file.
    pub fn write(&self, path: &Path, sign_with: Option<&Path>, encrypt_to: Option<&Path>) -> Result<()> {
        let body = Zeroizing::new(toml::to_string(self)?);
        let signature = match sign_with {
            Some(key) => format!("{SIGNATURE}{}", Signer::read(key)?.sign(body.as_bytes())),
            None => String::new(),
        };
        let text = Zeroizing::new(format!("{signature}{}", *body));
        let part = part_of(path);
        remove(&part)?;
        let mut file = system::private_file(&part)?;
        match encrypt_to {
            Some(key) => {
                let mut sealing = sealed::sealing(file, &sealed::recipient(key)?)?;
                sealing.write_all(text.as_bytes())?;
                sealing.finish()?;
            }
            None => file.write_all(text.as_bytes())?,
        }
        system::open_regular(&part)?.sync_all()?;
        fs::rename(&part, path)?;
        path.parent().map_or(Ok(()), system::sync_dir)
    }

    /// Removes a file that is not wanted any more, whole or not.
    pub fn remove(path: &Path) -> Result<()> {
        remove(&part_of(path))?;
        remove(path)
    }

    /// Opens the file, and checks that it is for this node.
    ///
    /// # Errors
    /// Refuses a file that is damaged, for another node, or not signed as demanded.
    pub fn open(path: &Path, opening: &Opening, own: &Membership) -> Result<Self> {
        let refused = |why: String| {
            Failure::new(Kind::Refused, format!("cannot use the secrets in {}", path.display()))
                .code("secrets-unusable")
                .because(why)
                .hint("Run `pmp-ha rotate` on the primary, and copy the file that it writes to this node.")
        };
        let text = Zeroizing::new(text_of(path, opening)?);
        let (signature, body) = match text.strip_prefix(SIGNATURE).and_then(|rest| rest.split_once('\n')) {
            Some((signature, body)) => (Some(format!("{signature}\n")), body),
            None => (None, text.as_str()),
        };
        if let Some(signer) = &opening.signed_by {
            match &signature {
                None => bail!(refused("it is not signed, and a signature is required".into())),
                Some(signature) if !signer.knows(body.as_bytes(), signature) => {
                    bail!(refused("its signature was made with another key, or for another text".into()))
                }
                Some(_) => {}
            }
        }
        // The parser's own message would quote the line, which holds a password.
        let offer: Self =
            toml::from_str(body).map_err(|_| refused("it is damaged, or another kind of file".into()))?;
        offer.check(own).map_err(refused)?;
        Ok(offer)
    }

    fn check(&self, own: &Membership) -> Result<(), String> {
        if self.format != Self::FORMAT {
            return Err(format!("it has format {}, but this version reads {}", self.format, Self::FORMAT));
        }
        if self.pair != own.pair.id {
            return Err("it is for another pair".into());
        }
        if self.node != own.this().number {
            return Err("it is for the other node of this pair".into());
        }
        let users = [&self.replication, &self.back, &self.monitor, &self.reader].map(|account| &account.user);
        let ends: Vec<Option<&str>> =
            users.iter().map(|user| meant_by(user).and_then(|known| user.strip_prefix(known))).collect();
        let meant: Vec<Option<&str>> = users.iter().map(|user| meant_by(user)).collect();
        let distinct = meant.iter().enumerate().all(|(at, user)| !meant[..at].contains(user));
        if !is_id(&self.id) || !distinct || ends.iter().any(|end| end.is_none() || *end != ends[0]) {
            return Err("its accounts are not those of pmp-ha".into());
        }
        Ok(())
    }
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn text_of(path: &Path, opening: &Opening) -> Result<String> {
    if !is_sealed(path) {
        return Ok(system::read_text(path, system::SMALL)?);
    }
    let mut text = String::new();
    let sealed = sealed::open(path, opening.identity.as_deref())?;
    sealed.take(system::SMALL).read_to_string(&mut text).context("it is damaged")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::pack::signature::{Verifier, generate};
    use crate::domain::pair::{Pair, Role};

    fn offer() -> Offer {
        let account = |user: &str| Credential { user: user.into(), password: "p".into() };
        Offer {
            format: Offer::FORMAT,
            id: "r".into(),
            pair: "x".into(),
            node: 2,
            made_at: "t".into(),
            ca: "c".into(),
            cert: "d".into(),
            key: "k".into(),
            replication: account("pmp_ha_repl_b"),
            back: account("pmp_ha_back_b"),
            monitor: account("pmp_ha_monitor_b"),
            reader: account("pmp_ha_reader_b"),
        }
    }

    fn secondary() -> Membership {
        Membership { format: 1, role: Role::Secondary, key_fingerprint: None, pair: Pair::example() }
    }

    #[test]
    fn only_the_file_of_this_pair_for_this_node_with_the_demanded_signature_is_taken() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        let keys = generate().expect("keys");
        system::write_atomic(&file("key"), keys.private.as_bytes(), 0o600, None).expect("written");
        system::write_atomic(&file("key.pub"), keys.public.as_bytes(), 0o600, None).expect("written");
        let signed_by = Some(Verifier::read(&file("key.pub")).expect("a key"));
        let demanding = Opening { identity: None, signed_by };
        let why = |opening: &Opening| {
            let opened = Offer::open(&file("offer"), opening, &secondary());
            opened.err().and_then(|error| Some(error.downcast::<Failure>().ok()?.because.concat()))
        };
        let plain = Opening::default();

        offer().write(&file("offer"), Some(&file("key")), None).expect("written");
        assert_eq!([why(&plain), why(&demanding)], [None, None]);
        let text = system::read_text(&file("offer"), system::SMALL).expect("readable");
        let altered = text.replace("password = \"p\"", "password = \"q\"");
        system::write_atomic(&file("offer"), altered.as_bytes(), 0o600, None).expect("written");
        assert!(why(&demanding).is_some_and(|why| why.contains("another text")));
        offer().write(&file("offer"), None, None).expect("written");
        assert!(why(&demanding).is_some_and(|why| why.contains("not signed")));

        for (change, said) in [
            ((|o: &mut Offer| o.node = 1) as fn(&mut Offer), "other node"),
            (|o| o.pair = "y".into(), "another pair"),
            (|o| o.format = 2, "format 2"),
            (|o| o.id = "../x".into(), "not those of pmp-ha"),
            (|o| o.back.user = "root".into(), "not those of pmp-ha"),
            (|o| o.back.user = "pmp_ha_repl_b".into(), "not those of pmp-ha"),
            (|o| o.back.user = "pmp_ha_back".into(), "not those of pmp-ha"),
        ] {
            let mut other = offer();
            change(&mut other);
            other.write(&file("offer"), None, None).expect("written");
            assert!(why(&plain).is_some_and(|why| why.contains(said)), "{said}");
        }
        system::write_atomic(&file("offer"), b"nothing", 0o600, None).expect("written");
        assert!(why(&plain).is_some_and(|why| why.contains("damaged")));
    }
}
