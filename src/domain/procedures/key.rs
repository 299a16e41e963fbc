//! `key`: whether a file can be the encryption key of this home.

use crate::domain::home::KeyFile;
use crate::domain::refusal::Refusal;

/// The scene of `key`.
#[derive(Debug, Clone)]
pub struct KeyScene {
    /// Full path of the file.
    pub path: String,
    /// Its content, or why it could not be read.
    pub file: Result<KeyFile, String>,
    /// Whether the file is inside the home.
    pub inside_home: bool,
    /// Salted hashes of the entries of the file.
    pub fingerprints: Vec<String>,
    /// What is known of the right key.
    pub expected: Expected,
}

/// What is known of the key of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Its salted hash.
    Fingerprint(String),
    /// Nothing: the primary could not read the key when the pack was made.
    Nothing,
    /// Nothing: the data came without a home.
    NothingFromData,
    /// Nothing yet: the data are asked later.
    AskTheData,
}

impl From<Option<String>> for Expected {
    fn from(fingerprint: Option<String>) -> Self {
        fingerprint.map_or(Self::Nothing, Self::Fingerprint)
    }
}

/// Checks a file that is offered as the encryption key.
///
/// # Returns
/// What the operator should know although it is allowed.
///
/// # Errors
/// Why the file is not the key.
pub fn check(scene: &KeyScene) -> Result<Vec<String>, Refusal> {
    let what = "cannot use this encryption key";
    let path = &scene.path;
    match &scene.file {
        Err(why) => {
            return Err(Refusal::new(
                what,
                why,
                "Give the full path of the primary's pmp_key.key. The account that runs the product must be able to read it.",
            ).code("key-unreadable"));
        }
        Ok(KeyFile::NotAKey(why)) => {
            return Err(Refusal::new(
                what,
                format!("{path} is not a PMP key: {why}"),
                "Give the full path of the primary's pmp_key.key.",
            )
            .code("key-invalid"));
        }
        Ok(KeyFile::Key(_)) => {}
    }
    if path.trim() != path || path.chars().any(char::is_control) {
        return Err(Refusal::new(
            what,
            "its path begins or ends with a space, or contains a control character, which conf/manage_key.conf cannot store",
            "Rename the file or its folder.",
        ).code("key-path"));
    }
    if let Expected::Fingerprint(expected) = &scene.expected
        && !scene.fingerprints.contains(expected)
    {
        return Err(Refusal::new(
            what,
            format!("{path} is a PMP key, but the data of this pair are encrypted with another one"),
            "Each installation creates its own key. Use the primary's.",
        )
        .code("key-of-another"));
    }
    let mut warnings = Vec::new();
    if scene.inside_home {
        warnings.push(format!(
            "{path} is inside the installation: a copy of the home then contains the data and their key. Keep the key elsewhere"
        ));
    }
    let unchecked = match &scene.expected {
        Expected::Fingerprint(_) | Expected::AskTheData => None,
        Expected::Nothing => Some("the primary's key was not readable when the pack was made"),
        Expected::NothingFromData => {
            Some("there is only a copy of the data, and product.key_query in the configuration is empty")
        }
    };
    if let Some(why) = unchecked {
        warnings.push(format!("could not check that it is the key of these data: {why}"));
    }
    Ok(warnings)
}
