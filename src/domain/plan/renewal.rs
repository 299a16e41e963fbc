//! The parts of a change of the pair's secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of a change of the pair's secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "part")]
pub enum Renewal {
    /// On the primary: make a new CA, certificates and accounts, and accept both.
    Prepare {
        /// The name of this change.
        id: String,
        /// Whether the server must restart to read its certificates.
        restarts: bool,
    },
    /// On the primary: write the file for the secondary.
    Offer {
        /// The file.
        file: String,
        /// The private key that signs it.
        sign_with: Option<String>,
        /// The file with the public key that it is encrypted to.
        encrypt_to: Option<String>,
    },
    /// On the secondary: use the new secrets, and accept both.
    Take {
        /// The file.
        file: String,
        /// The name of the change. Another file under the same name is not taken.
        id: String,
        /// The application's account.
        account: String,
        /// Whether the server must restart to read its certificates.
        restarts: bool,
    },
    /// On the primary: use the new secrets, and accept both.
    UseNew {
        /// The application's account.
        account: String,
        /// Whether the server must restart to read its certificates.
        restarts: bool,
    },
    /// Accept the new secrets only.
    EndOld {
        /// Whether the server must restart to read its certificates.
        restarts: bool,
    },
    /// On the primary: accept the old secrets only, as before.
    Withdraw {
        /// Whether the server must restart to read its certificates.
        restarts: bool,
    },
}

impl Renewal {
    fn restarts(&self) -> bool {
        match self {
            Self::Offer { .. } => false,
            Self::Prepare { restarts, .. }
            | Self::Take { restarts, .. }
            | Self::UseNew { restarts, .. }
            | Self::EndOld { restarts }
            | Self::Withdraw { restarts } => *restarts,
        }
    }
}

impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare { .. } => f.write_str(
                "make a new CA, a certificate for each node and new passwords; accept them in addition to the old ones",
            )?,
            Self::Offer { file, sign_with, encrypt_to } => {
                write!(f, "write the secondary's new secrets into {file}")?;
                if let Some(key) = sign_with {
                    write!(f, ", signed with {key}")?;
                }
                if let Some(key) = encrypt_to {
                    write!(f, ", encrypted to {key}")?;
                }
            }
            Self::Take { file, .. } => write!(
                f,
                "take the new secrets from {file}: log in to the primary with them, accept them in addition to the old ones, replicate with them"
            )?,
            Self::UseNew { .. } => f.write_str("use the new certificate and passwords on this node")?,
            Self::EndOld { .. } => f.write_str(
                "accept only the new secrets: drop the old accounts, end their sessions, remove the old CA",
            )?,
            Self::Withdraw { .. } => f.write_str("accept only the old secrets, as before; discard the new ones")?,
        }
        if self.restarts() { f.write_str("; this restarts the database") } else { Ok(()) }
    }
}
