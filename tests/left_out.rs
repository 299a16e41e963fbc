//! A program that parts were left out of says so where it matters, and changes nothing:
//! `cargo test --no-default-features --test left_out`.

#![cfg(not(any(feature = "alarms", feature = "old-tls", feature = "sealed")))]

use std::path::Path;
use std::process::Command;

fn pmp_ha(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmp-ha"));
    let output = command.args(args).env_remove("PMP_HOME").current_dir("/").output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[track_caller]
fn refused(args: &[&str], what: &str) {
    let (code, said) = pmp_ha(args);
    assert_eq!(code, Some(4), "{said}");
    for text in [what, "because this pmp-ha was built without `sealed`", "--features sealed"] {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a text")
}

#[test]
fn its_version_lists_what_was_left_out() {
    let (code, said) = pmp_ha(&["--version"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\nbuilt in: nothing\nleft out: alarms, old-tls, sealed, page\n"), "{said}");
    assert_eq!(pmp_ha(&["-V"]).1.lines().count(), 1);
}

#[test]
fn keys_for_encryption_and_encrypted_packs_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = dir.path().join("key");
    refused(&["keygen", "encryption", text(&key)], "cannot make keys for encryption");
    assert!(!key.exists());
    assert_eq!(pmp_ha(&["keygen", "signing", text(&key)]).0, Some(0));
    let pack = dir.path().join("HAPack.zip.age");
    fs_err::write(&pack, "age-encryption.org/v1\n-> X25519 \n").expect("written");
    refused(&["inspect", text(&pack)], "which is encrypted");
    refused(&["inspect", text(&pack), "--identity", text(&key)], "which is encrypted");
}
