//! `key`: whether a file can be the encryption key of this home.

use std::fmt;

use serde::Serialize;

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
    /// Nothing: the home is in no pair.
    NoPair,
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

/// The result of a check of a key in the running database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedData {
    /// It opens them.
    Opens,
    /// Another one does.
    AnotherOpens,
    /// They were not asked, and why.
    Not(String),
    /// The query does not work, and why.
    QueryFails(String),
}

/// What is known of a key that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedKey {
    /// Full path of the file.
    key: String,
    /// Whether it is the one that the pair knows by its hash; unknown if the pair knows none.
    is_of_the_pair: Option<bool>,
    /// Whether it opens the data; unknown if they were not asked.
    opens_the_data: Option<bool>,
    /// Why something is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

/// Puts together what was seen of a key that [`check`] has let pass.
///
/// # Errors
/// If the data say that another key opens them.
pub fn proved(scene: &KeyScene, asked: AskedData) -> Result<CheckedKey, Refusal> {
    let known = matches!(scene.expected, Expected::Fingerprint(_));
    let (opens_the_data, because) = match asked {
        AskedData::Opens => (Some(true), None),
        AskedData::Not(why) => (None, Some(why)),
        AskedData::QueryFails(why) => {
            return Err(Refusal::new(
                "cannot check that the key is that of the data",
                format!("product.key_query of the configuration does not work: {why}"),
                "Correct the query, or leave it empty: then pmp-ha compares only the hash.",
            )
            .code("key-query"));
        }
        AskedData::AnotherOpens => {
            return Err(Refusal::new(
                "this is not the encryption key of these data",
                format!("product.key_query shows this for {}", scene.path),
                "Use the key of the first primary. After a change of the key in Password Manager Pro, use the new one on both nodes.",
            )
            .code("key-of-another"));
        }
    };
    Ok(CheckedKey { key: scene.path.clone(), is_of_the_pair: known.then_some(true), opens_the_data, because })
}

impl fmt::Display for CheckedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match (self.is_of_the_pair, self.opens_the_data) {
            (_, Some(_)) => writeln!(f, "{key} is the key of these data: product.key_query shows it.")?,
            (Some(_), None) => writeln!(f, "By its hash, {key} is the key with which the pair was set up.")?,
            (None, None) => writeln!(
                f,
                "{key} is a key of Password Manager Pro. pmp-ha cannot tell whether it is the right one."
            )?,
        }
        match &self.because {
            Some(why) => writeln!(f, "The data were not checked: {why}."),
            None => Ok(()),
        }
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
            format!("{path} is a PMP key, but the data of this pair are encrypted with another key"),
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
        Expected::NoPair => Some("this home is in no pair"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(expected: Expected) -> KeyScene {
        KeyScene {
            path: "/media/key".into(),
            file: Ok(KeyFile::Key(vec!["k".into()])),
            inside_home: false,
            fingerprints: vec!["f".into()],
            expected,
        }
    }

    #[test]
    fn what_was_not_asked_is_no_proof() {
        let of = |expected, asked| proved(&scene(expected), asked).map(|found| found.to_string());
        let pair = || Expected::Fingerprint("f".into());
        let not = || AskedData::Not("product.key_query is empty".into());
        let opens = of(pair(), AskedData::Opens).expect("proved");
        assert_eq!(opens, "/media/key is the key of these data: product.key_query shows it.\n");
        let hash = of(pair(), not()).expect("known by its hash");
        let wanted = "was set up.\nThe data were not checked: product.key_query is empty.";
        assert!(hash.starts_with("By its hash, /media/key is") && hash.contains(wanted), "{hash}");
        let nothing = of(Expected::NoPair, not()).expect("a key");
        assert!(nothing.contains("cannot tell"), "{nothing}");
        let another = proved(&scene(pair()), AskedData::AnotherOpens).expect_err("refused");
        assert_eq!(another.code, "key-of-another");
    }

    #[test]
    fn a_home_in_no_pair_is_not_told_of_a_pack() {
        let warnings = check(&scene(Expected::NoPair)).expect("allowed");
        assert_eq!(warnings, ["could not check that it is the key of these data: this home is in no pair"]);
    }
}
