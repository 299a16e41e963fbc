//! The product's start script of a home, and the option file of the installation's own that it names.

use std::path::Path;

use super::Home;
use crate::adapters::bytes::digest::hash_file;
use crate::adapters::system;
use crate::domain::settings::taken_in;
use crate::domain::start_script::{self, Gate, Installation, NotWirable, Wired};

impl Home {
    /// Wires the text of a start script of this home to an option file of ours.
    pub fn wire(&self, script: &str, option_file: &Path, gate: Option<&Gate>) -> Result<Wired, NotWirable> {
        let home = self.root().to_string_lossy();
        let installation = Installation { home: &home, is_file: &|path| Path::new(path).is_file() };
        start_script::wire(script, &option_file.to_string_lossy(), gate, &installation)
    }

    /// The option file of the installation's own that the start script names, which ours takes in.
    #[must_use]
    pub fn own_option_file(&self) -> Option<String> {
        let script = system::read_text(&self.start_script(), system::SMALL).ok()?;
        // A script that cannot be wired uses no option file of ours.
        self.wire(&script, &self.option_file(), None).ok()?.own_file
    }

    /// The option file of the installation's own, if it is another one than ours noted.
    #[must_use]
    pub fn changed_own_option_file(&self) -> Option<String> {
        let ours = system::read_text(&self.option_file(), system::SMALL).ok()?;
        let (path, noted) = taken_in(&ours)?;
        let now = hash_file(Path::new(path)).map(|hash| hash.to_string());
        (!now.is_ok_and(|now| now == noted)).then(|| path.to_owned())
    }
}
