//! What stands in for the parts that a build leaves out: the same doors, and behind each of them the
//! word which part is missing.

/// In the place of TLS 1.0.
#[cfg(not(feature = "old-tls"))]
pub mod old_tls {
    use std::path::Path;

    use crate::domain::built_in::Part;
    use crate::domain::settings::TlsPaths;
    use crate::domain::snapshot::{Blind, BlindReason};

    /// There is none.
    pub enum Bridge {}

    #[expect(clippy::unused_async, reason = "as the real one")]
    impl Bridge {
        /// Says why there is none.
        pub async fn to(_host: &str, _port: u16, _tls: &TlsPaths) -> Result<Self, Blind> {
            Err(Blind { why: BlindReason::NotBuiltIn(Part::OldTls), evidence: Part::OldTls.absent().into() })
        }

        /// Is never asked.
        #[must_use]
        pub fn socket(&self) -> &Path {
            match *self {}
        }

        /// Is never asked.
        pub async fn ended(&mut self) -> Result<(), Blind> {
            match *self {}
        }
    }
}

/// In the place of encryption.
#[cfg(not(feature = "sealed"))]
pub mod sealed {
    use std::path::Path;

    use anyhow::Result;

    use crate::adapters::interrupt::Interrupt;
    use crate::adapters::seal::{NewKeys, Unsealed};
    use crate::domain::built_in::Part;
    use crate::domain::digest::Sha256Hex;
    use crate::failure::{Failure, Kind};
    use crate::ui::Progress;

    /// There is none.
    pub enum Recipient {}

    fn refused(what: impl Into<String>) -> anyhow::Error {
        Failure::new(Kind::Refused, what).because(Part::Sealed.absent()).hint(Part::Sealed.hint()).into()
    }

    /// Refuses.
    pub fn generate() -> Result<NewKeys> {
        Err(refused("cannot make keys for encryption"))
    }

    /// Refuses.
    pub fn recipient(_path: &Path) -> Result<Recipient> {
        Err(refused("cannot encrypt a pack"))
    }

    /// Is never asked.
    pub fn seal(
        _plain: &Path,
        _target: &Path,
        to: &Recipient,
        _progress: &Progress,
        _interrupt: &Interrupt,
    ) -> Result<Sha256Hex> {
        match *to {}
    }

    /// Refuses.
    pub fn open(path: &Path, _key: Option<&Path>) -> Result<Box<dyn Unsealed>> {
        Err(refused(format!("cannot open {}, which is encrypted", path.display())))
    }
}
