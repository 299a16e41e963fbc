//! Packs that are signed, encrypted, or both; what `inspect` says of them; what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::harness::pack::keys;
use crate::harness::secret::{passwords_of_the_pair, secrets};
use crate::harness::{Lab, Ran, command};
use crate::on_servers;

on_servers!(a_pair_is_made_from_a_pack_that_is_signed_and_encrypted: mariadb_11_8; left: mysql_5_6, mysql_9_7, mariadb_10_11);

const ANY: &str = "mariadb-10.11";

fn pack(lab: &Lab, more: &[&str]) -> crate::harness::Ran {
    let names = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    lab.primary.run(&[&names, more].concat())
}

/// Carries a pack to the secondary's home, under its own name.
fn carried(lab: &Lab, name: &str) -> PathBuf {
    let to = lab.secondary.path(name);
    std::fs::rename(lab.primary.path("replication").join(name), &to).expect("carried");
    to
}

fn a_pair_is_made_from_a_pack_that_is_signed_and_encrypted(server: &str) {
    let lab = Lab::up(server);
    let [sign, check] = keys(&lab, &lab.primary, "signing", "signing");
    let [open, seal] = keys(&lab, &lab.secondary, "encryption", "sealing");
    let ran = pack(&lab, &["--dense", "--sign-with", &sign, "--encrypt-to", &seal]).ok();
    assert!(ran.stdout.contains("HAPack.zip.age") && ran.stdout.contains("--identity"), "{ran}");
    assert!(!lab.pack_file().exists());
    carried(&lab, "HAPack.zip.age");

    let node = &lab.secondary;
    node.refuses(&["install-pack"], 4, &["is encrypted", "no key was given", "--identity FILE"]);
    node.run(&["install-pack", "--identity", &open, "--signed-by", &check]).ok();
    let key = lab.key().to_string_lossy().into_owned();
    node.run(&["key", &key]).ok();
    lab.start();
    lab.wait_alive();
    lab.tables_are_equal();
}

#[test]
fn only_the_right_key_opens_and_only_the_right_signature_is_taken() {
    let lab = Lab::up(ANY);
    let [sign, check] = keys(&lab, &lab.primary, "signing", "signing");
    let [_, other_check] = keys(&lab, &lab.primary, "signing", "other-signing");
    let [open, seal] = keys(&lab, &lab.secondary, "encryption", "sealing");
    let [other_open, _] = keys(&lab, &lab.secondary, "encryption", "other-sealing");
    let node = &lab.secondary;

    for (option, key, why) in [
        ("--sign-with", &check, "it contains a PUBLIC KEY"),
        ("--sign-with", &open, "cannot use the key"),
        ("--encrypt-to", &open, "it contains no public key"),
        ("--encrypt-to", &sign, "it contains no public key"),
    ] {
        let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint, option, key];
        lab.primary.refuses(&args, 4, &[why]);
    }
    std::fs::set_permissions(&sign, std::fs::Permissions::from_mode(0o640)).expect("set");
    let args = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint, "--sign-with", &sign];
    lab.primary.refuses(&args, 4, &["other users than its owner can read"]);
    std::fs::set_permissions(&sign, std::fs::Permissions::from_mode(0o600)).expect("set");

    // The configuration demands what the command line may forget.
    node.configure(&format!("[pack]\nsigned_by = {check:?}\n"));
    pack(&lab, &[]).ok();
    let plain = carried(&lab, "HAPack.zip");
    node.refuses(&["install-pack"], 4, &["cannot trust the pack", "it is not signed"]);
    pack(&lab, &["--sign-with", &sign]).ok();
    std::fs::remove_file(plain).expect("removed");
    let signed = carried(&lab, "HAPack.zip");
    node.refuses(&["install-pack", "--signed-by", &other_check], 4, &["was made with another key"]);
    let ran = node.run(&["inspect"]).ok();
    assert!(ran.stdout.contains("signed with the given key") && ran.stdout.contains("\nintact: "), "{ran}");
    let bytes = std::fs::read(&signed).expect("there");
    let at = bytes.windows(20).rposition(|w| w == b"replication/manifest").expect("a name");
    let mut forged = bytes.clone();
    // Within the digits of the signature, which stand before the table of contents.
    let digits = bytes[..at]
        .windows(129)
        .rposition(|w| w.ends_with(b"\n") && w[..128].iter().all(u8::is_ascii_hexdigit));
    let digit = &mut forged[digits.expect("a signature") + 5];
    *digit = if *digit == b'0' { b'1' } else { b'0' };
    std::fs::write(&signed, forged).expect("written");
    node.refuses(&["install-pack"], 4, &["cannot use the pack"]);
    std::fs::remove_file(&signed).expect("removed");

    pack(&lab, &["--encrypt-to", &seal, "--sign-with", &sign]).ok();
    let sealed = carried(&lab, "HAPack.zip.age");
    node.refuses(&["inspect", "--identity", &other_open], 4, &["is encrypted", "does not decrypt it"]);
    node.refuses(&["inspect", "--identity", &seal], 4, &["it contains no private key"]);
    let ran = node.run(&["inspect", "--json", "--identity", &open]).ok();
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    for (key, value) in [("encrypted", true), ("signed", true), ("signature_checked", true)] {
        assert_eq!(said[key], value, "{key}");
    }
    assert_eq!(said["secondary"], lab.secondary.endpoint);
    for secret in secrets(&lab.primary).iter().chain(&passwords_of_the_pair(&lab.primary)) {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran}");
        let bytes = std::fs::read(&sealed).expect("there");
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    // Which one is meant is not guessed, and what the configuration demands is not forgotten.
    let both = sealed.with_file_name("HAPack.zip");
    std::fs::write(&both, "another").expect("written");
    for command in ["install-pack", "inspect"] {
        node.refuses(
            &[command, "--identity", &open],
            4,
            &["unclear which pack", "HAPack.zip.age", "Name the file"],
        );
    }
    std::fs::remove_file(both).expect("removed");
    let named = sealed.to_string_lossy().into_owned();
    let opens = ["inspect", "--identity", &open, &named];
    node.refuses(
        &[&["--config", "/nowhere.toml"], &opens[..]].concat(),
        2,
        &["cannot use the configuration", "/nowhere.toml"],
    );
    node.configure("[pack]\nsigned_by = 5\n");
    node.refuses(&opens, 2, &["cannot use the configuration", "conf/pmp-ha.toml"]);
    node.configure(&format!("[pack]\nsigned_by = {other_check:?}\n"));
    node.refuses(&opens, 4, &["was made with another key"]);
    node.configure(&format!("[pack]\nsigned_by = {check:?}\n"));
    // Elsewhere nothing is demanded, and a home that is named as nothing is none.
    let mut elsewhere = command(&opens);
    elsewhere.current_dir("/").env("PMP_HOME", "");
    let ran = Ran::from_command(elsewhere).ok();
    assert!(ran.stdout.contains("signed, not checked"), "{ran}");
    // Any byte of what is encrypted counts, too.
    let good = std::fs::read(&sealed).expect("there");
    for place in [0, 30, 100, 250, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        std::fs::write(&sealed, bytes).expect("written");
        node.refuses(&["install-pack", "--identity", &open], 4, &["HAPack.zip.age"]);
    }
    std::fs::write(&sealed, good).expect("written");
    node.run(&["install-pack", "--identity", &open]).ok();
}
