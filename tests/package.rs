//! What `scripts/package` puts into a package: what docs/supported.md says, and what its own documents need.
//! No package is built and no server started. `scripts/try-package` uses one that was built.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script(args: &[&str]) -> Output {
    Command::new(project().join("scripts/package")).args(args).output().expect("it runs")
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every file and link below a folder, by its path in an installed system.
fn below(root: &Path, at: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(at).expect("readable").flatten() {
        let path = entry.path();
        if entry.file_type().expect("known").is_dir() {
            below(root, &path, into);
        } else {
            into.push(Path::new("/").join(path.strip_prefix(root).expect("below it")));
        }
    }
}

/// What the table of docs/supported.md names: files, and folders with all they hold.
fn documented() -> Vec<PathBuf> {
    let text = std::fs::read_to_string(project().join("docs/supported.md")).expect("readable");
    let (_, section) = text.split_once("\n## What a package installs\n").expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let firsts =
        section.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    firsts.flat_map(|cell| cell.split('`')).filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[test]
fn a_package_holds_what_the_documents_say_and_all_that_they_link_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let tree = folder.path().join("tree");
    let staged = script(&[
        "--system",
        "--binary",
        env!("CARGO_BIN_EXE_pmp-ha"),
        "--stage",
        tree.to_str().expect("a text"),
    ]);
    assert!(staged.status.success(), "{}", words(&staged.stderr));
    let mut files = Vec::new();
    below(&tree, &tree, &mut files);

    // The table and the package are the same.
    let documented = documented();
    for file in &files {
        assert!(documented.iter().any(|path| file.starts_with(path)), "{} is in no table", file.display());
    }
    for path in &documented {
        assert!(files.iter().any(|file| file.starts_with(path)), "{} is in no package", path.display());
    }

    // Two programs may be run, and nobody but root may write anything.
    let mut programs = BTreeSet::new();
    for file in &files {
        let path = tree.join(file.strip_prefix("/").expect("absolute"));
        let mode = std::fs::metadata(&path).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        match mode.permissions().mode() & 0o7777 {
            0o755 => drop(programs.insert(file.to_str().expect("a text"))),
            mode => assert_eq!(mode, 0o644, "{}", file.display()),
        }
    }
    assert_eq!(programs, BTreeSet::from(["/usr/bin/pmp-ha", "/usr/share/pmp-ha/HASetup.sh"]));

    // Who reads the documents there finds what they link to.
    let mut links = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|suffix| suffix == "md")) {
        let path = tree.join(file.strip_prefix("/").expect("absolute"));
        let text = std::fs::read_to_string(&path).expect("readable");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.contains("://") && !target.contains(' ')) {
            links += 1;
            assert!(path.parent().expect("a folder").join(target).exists(), "{}: {target}", file.display());
        }
    }
    assert!(links > 60, "only {links} links were found");

    // A manual page for each command.
    let help =
        Command::new(env!("CARGO_BIN_EXE_pmp-ha")).arg("completions").arg("fish").output().expect("runs");
    for command in ["pack", "install-pack", "verify", "recover", "monitor", "lab-up"] {
        let page = format!("/usr/share/man/man1/pmp-ha-{command}.1.gz");
        assert!(files.contains(&PathBuf::from(&page)), "no {page}");
    }
    let fish = std::fs::read(tree.join("usr/share/fish/vendor_completions.d/pmp-ha.fish")).expect("readable");
    assert!(fish == help.stdout, "the completions are not those of the program");

    // The list of parts: what is compiled in with its checksum, OpenSSL by its own version, nothing of the tests.
    let sbom = std::fs::read(tree.join("usr/share/doc/pmp-ha/sbom.cdx.json")).expect("readable");
    let sbom: Value = serde_json::from_slice(&sbom).expect("JSON");
    let parts = sbom["components"].as_array().expect("a list");
    let named = |name: &str| parts.iter().find(|part| part["name"] == name);
    for name in ["rustls", "aws-lc-sys", "openssl-src"] {
        let hash = named(name).expect(name)["hashes"][0]["content"].as_str().expect("a checksum");
        assert_eq!(hash.len(), 64, "{name}");
    }
    // Besides the crate of this name.
    let is_openssl = |part: &&Value| {
        part["name"] == "openssl" && part["version"].as_str().is_some_and(|text| text.starts_with('3'))
    };
    assert!(parts.iter().any(|part| is_openssl(&part)), "no OpenSSL");
    assert!(named("proptest").is_none() && named("stateright").is_none());
    let licences = tree.join("usr/share/doc/pmp-ha/third-party-licenses.txt");
    let licences = std::fs::read_to_string(licences).expect("readable");
    assert!(licences.contains("\nrustls 0.") && licences.contains("Apache License"), "no licences");
}

/// The tests run on Debian 12, and a program that was built there starts on no older system.
#[test]
fn a_program_that_wants_a_newer_glibc_is_not_packaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let refused = script(&["--binary", env!("CARGO_BIN_EXE_pmp-ha"), "--out", out.to_str().expect("a text")]);
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused.stdout));
    let said = words(&refused.stderr);
    assert!(said.contains("wants glibc 2.3") && said.contains("newer than 2.28"), "{said}");
    assert!(!out.exists());
}

#[test]
fn wrong_words_are_told_before_anything_is_built() {
    for wrong in [&["--arch", "sparc"][..], &["--out"], &["--glibc", "2.17"]] {
        let refused = script(wrong);
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
        assert!(words(&refused.stderr).starts_with("error: "), "{wrong:?}");
    }
}
