//! `pmp-ha keygen PURPOSE FILE`

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Context, absolute};
use crate::adapters::pack::{sealed, signature};
use crate::adapters::system;
use crate::cli::{KeyPurpose, KeygenArgs};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct MadeKeys {
    private: String,
    public: String,
    next: &'static str,
}

impl fmt::Display for MadeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "private key  {}  keep it here, readable only by its owner", self.private)?;
        writeln!(f, "public key   {}  copy it to the other node", self.public)?;
        writeln!(f, "next: {}", self.next)
    }
}

pub fn run(context: &Context<'_>, args: &KeygenArgs) -> Result<()> {
    let private = absolute(&args.file);
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    let public = PathBuf::from(name);
    for path in [&private, &public] {
        if path.exists() {
            bail!(
                Failure::new(Kind::Refused, "cannot create a key pair")
                    .code("exists")
                    .because(format!("{} already exists", path.display()))
                    .hint("Name another file. Nothing that was encrypted with an overwritten key can be decrypted.")
            );
        }
    }
    let (private_text, public_text, next) = match args.purpose {
        KeyPurpose::Signing => {
            let keys = signature::generate()?;
            (
                keys.private,
                keys.public,
                "`pmp-ha pack --sign-with` the private key here; `pmp-ha install-pack --signed-by` the public key there",
            )
        }
        KeyPurpose::Encryption => {
            let keys = sealed::generate()?;
            (
                keys.private,
                keys.public,
                "`pmp-ha pack --encrypt-to` the public key there; `pmp-ha install-pack --identity` the private key here",
            )
        }
    };
    if context.global.dry_run {
        return context.ui.would(&format!("make {} and {}", private.display(), public.display()));
    }
    system::write_atomic(&private, private_text.as_bytes(), 0o600, None)?;
    system::write_atomic(&public, public_text.as_bytes(), 0o644, None)?;
    context.ui.data(&MadeKeys {
        private: private.display().to_string(),
        public: public.display().to_string(),
        next,
    })
}
