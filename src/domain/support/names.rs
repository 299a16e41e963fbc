//! Which names speak of a secret.

/// The text that replaces a secret.
pub(super) const MASK: &str = "[masked]";

/// Parts of names whose value is a secret.
const NAMES: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "pwd",
    "secret",
    "token",
    "community",
    "credential",
    "encryptionkey",
    "privatekey",
    "private_key",
    "apikey",
    "api_key",
    "authkey",
    "keypass",
];

/// The end of such names.
const END: &str = "pass";

/// Whether the value of this name is a secret.
pub(super) fn speaks_of_a_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    // Where a secret lies is none, and neither is whether it is encrypted.
    let harmless = ["_file", "-file", ".file", ".encrypted", "_env", "_expires", "policy"];
    (name.ends_with(END) || NAMES.iter().any(|part| name.contains(part)))
        && !harmless.iter().any(|end| name.ends_with(end))
}
