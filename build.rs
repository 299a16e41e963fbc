//! Tells the program from what it was built. Without git it is built all the same.

use std::path::Path;
use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "the script that builds needs no crate of its own")]
fn main() {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // A package is built from an archive, which says its commit this way.
    let of_environment = std::env::var("PMP_HA_COMMIT").ok().filter(|commit| !commit.is_empty());
    // A debug build does not ask: each commit would compile everything once more.
    let asks = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let asked = |args: &[&str]| if asks { git(args) } else { None };
    let commit = of_environment.or_else(|| asked(&["rev-parse", "--short=12", "HEAD"]));
    let of_environment = std::env::var("PMP_HA_DATE").ok().filter(|date| !date.is_empty());
    let date = of_environment.or_else(|| asked(&["show", "--no-patch", "--format=%cs", "HEAD"]));
    let target = std::env::var("TARGET").ok();
    let values = [("PMP_HA_COMMIT", commit), ("PMP_HA_DATE", date), ("PMP_HA_TARGET", target.clone())];
    for (name, value) in values {
        println!("cargo::rustc-env={name}={}", value.unwrap_or_default());
    }
    // Which TLS is in the program: who reads of a hole in one compares these.
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    for (name, library) in
        [("PMP_HA_RUSTLS", "rustls"), ("PMP_HA_AWS_LC", "aws-lc-sys"), ("PMP_HA_OPENSSL", "openssl-src")]
    {
        let version = locked(&lock, library).unwrap_or_default();
        // The crate with OpenSSL's source is called like 300.6.1+3.6.3: OpenSSL's own version is the second.
        println!("cargo::rustc-env={name}={}", version.split_once('+').map_or(version, |(_, own)| own));
    }
    println!("cargo::rerun-if-changed=Cargo.lock");
    // A debug build at a fixed address: 160 000 addresses of its tables need no change at each start, which was
    // most of a start's work. The symbols of libraries are looked up at their first use, not at the start.
    // The tests start it 12 000 times. Each released build has no fixed address, and looks all symbols up.
    let fixed = target.is_some_and(|target| target.ends_with("-linux-gnu"));
    if fixed && !asks {
        println!("cargo::rustc-link-arg-bins=-no-pie");
        println!("cargo::rustc-link-arg-bins=-Wl,-z,lazy");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PMP_HA_COMMIT");
    println!("cargo::rerun-if-env-changed=PMP_HA_DATE");
    // The commit that is checked out; in a worktree it is elsewhere.
    if let Some(head) =
        asked(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|head| Path::new(head).exists())
    {
        println!("cargo::rerun-if-changed={head}");
    }
}

/// The version of a crate in `Cargo.lock`.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version)
}
