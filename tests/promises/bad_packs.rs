//! Packs that are damaged, forged or for another home: refused, and the home is as it was.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Lab, Put, assert_same};

const ANY: &str = "mariadb-10.11";

const MANIFEST: &str = "replication/manifest.json";

/// The entries of a pack and its manifest, to be changed and written anew.
struct Forged {
    entries: Vec<(String, Vec<u8>)>,
    symlinks: Vec<(String, String)>,
    manifest: Value,
}

impl Forged {
    fn from(pack: &Path) -> Self {
        let mut zip =
            zip::ZipArchive::new(std::fs::File::open(pack).expect("there")).expect("a whole ZIP file");
        let mut entries = Vec::new();
        for index in 0..zip.len() {
            let mut file = zip.by_index(index).expect("an entry");
            let name = file.name().expect("a name").into_owned();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("readable");
            entries.push((name, bytes));
        }
        let (_, manifest) = entries.pop().expect("the manifest is the last");
        Self { entries, symlinks: Vec::new(), manifest: serde_json::from_slice(&manifest).expect("JSON") }
    }

    /// Adds an entry that its manifest knows.
    fn add(&mut self, path: &str, bytes: &[u8]) {
        self.entries.push((path.into(), bytes.to_vec()));
        self.list(path, bytes);
    }

    fn list(&mut self, path: &str, bytes: &[u8]) {
        let digest = Sha256::digest(bytes);
        let hex = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let entry = json!({ "path": path, "size": bytes.len(), "sha256": hex });
        self.manifest["files"].as_array_mut().expect("files").push(entry);
    }

    fn write(&self, target: &Path) {
        let options = zip::write::SimpleFileOptions::default();
        let mut zip = zip::ZipWriter::new(std::fs::File::create(target).expect("made"));
        for (name, bytes) in &self.entries {
            zip.start_file(name.as_str(), options).expect("begun");
            zip.write_all(bytes).expect("written");
        }
        for (name, to) in &self.symlinks {
            zip.add_symlink(name.as_str(), to.as_str(), options).expect("added");
        }
        zip.start_file(MANIFEST, options).expect("begun");
        zip.write_all(&serde_json::to_vec(&self.manifest).expect("JSON")).expect("written");
        zip.finish().expect("finished");
    }
}

fn packed(server: &str) -> (Lab, Vec<u8>, PathBuf) {
    let lab = Lab::up(server);
    lab.pack().ok();
    let good = std::fs::read(lab.pack_file()).expect("there");
    let bad = lab.dir().join("bad.zip");
    (lab, good, bad)
}

#[test]
fn refuses_a_pack_that_is_missing_empty_cut_off_or_none() {
    let (lab, good, bad) = packed(ANY);
    let node = &lab.secondary;
    let path = bad.to_string_lossy().into_owned();

    node.refuses(&["install-pack"], 4, &["there is no pack to install", "HAPack.zip is there"]);
    node.refuses(&["install-pack", &path], 4, &["there is no pack to install", "No such file"]);
    let folder = lab.dir().to_string_lossy();
    node.refuses(&["install-pack", &folder], 4, &[&*folder]);
    std::fs::write(&bad, b"").expect("written");
    node.refuses(&["install-pack", &path], 4, &["it is empty"]);
    std::fs::write(&bad, b"this is not a ZIP file").expect("written");
    node.refuses(&["install-pack", &path], 4, &["it is not a whole ZIP file"]);

    // Without its last byte, within and before its table of contents, within its data.
    let end = good.len();
    for length in [end - 1, end - 10, end - 22, end - 200, end / 2, 1000, 30, 1] {
        std::fs::write(&bad, &good[..length]).expect("written");
        node.refuses(
            &["install-pack", &path],
            4,
            &[&format!("cannot use the pack {path}"), "compare its SHA-256"],
        );
    }

    let plain = zip_of(&[("mysql/data/ibdata1", b"data")]);
    std::fs::write(&bad, plain).expect("written");
    node.refuses(&["install-pack", &path], 4, &["it holds no manifest: it was not made by pmp-ha"]);
    for manifest in [&b""[..], b"{}", b"[1", b"\xff\xfe"] {
        std::fs::write(&bad, zip_of(&[(MANIFEST, manifest)])).expect("written");
        node.refuses(&["install-pack", &path], 4, &["its manifest cannot be read"]);
    }

    std::fs::write(&bad, &good).expect("written");
    node.run(&["install-pack", &path]).ok();
}

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("begun");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("finished").into_inner()
}

/// The hash of every entry as another reader sees it; nothing when it cannot read the file.
fn contents(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).ok()?;
    (0..zip.len())
        .map(|index| {
            let mut entry = zip.by_index(index).ok()?;
            let mut content = Vec::new();
            entry.read_to_end(&mut content).ok()?;
            let name = entry.name().ok()?.into_owned();
            Some((name, format!("{:?}", Sha256::digest(&content))))
        })
        .collect()
}

#[test]
fn refuses_a_pack_whose_byte_was_flipped() {
    let (lab, good, bad) = packed(ANY);
    let node = &lab.secondary;
    let path = bad.to_string_lossy().into_owned();

    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&good)).expect("a whole ZIP file");
    let mut places = Vec::new();
    for name in
        ["mysql/data/ibdata1", "mysql/data/mysql/global_priv.frm", "conf/pmp-ha/node-key.pem", MANIFEST]
    {
        let entry = zip.by_name(name).expect("there");
        let start = usize::try_from(entry.data_start().expect("known")).expect("small");
        let length = usize::try_from(entry.compressed_size()).expect("small");
        places.extend([start, start + length / 2, start + length * 9 / 10]);
    }
    let directory = usize::try_from(zip.central_directory_start()).expect("small");
    // In the table of contents: the signature, the checksum, the size, the name of its first
    // entry; in the last record: the signature, the number of entries, the table's place.
    places.extend([0, 16, 24, 46, 50].map(|at| directory + at));
    places.extend([22, 12, 6].map(|from_end| good.len() - from_end));
    // And in the middle of the data of entries all over the pack; in a short one it could hit
    // the code of a symbol that is not used.
    for index in (0..zip.len()).step_by(zip.len() / 19) {
        let entry = zip.by_index(index).expect("there");
        let length = usize::try_from(entry.compressed_size()).expect("small");
        if length > 2000 {
            places.push(usize::try_from(entry.data_start().expect("known")).expect("small") + length / 2);
        }
    }

    let whole = contents(&good);
    assert!(whole.is_some());
    for place in places {
        // A bit may mean nothing: the distance of a match within zeros, or a size that stands
        // elsewhere, too. The next one that does is taken.
        let flipped = (place..good.len()).map(|place| {
            let mut bytes = good.clone();
            bytes[place] ^= 0x10;
            bytes
        });
        let bytes =
            flipped.into_iter().find(|bytes| contents(bytes) != whole).expect("a byte that means something");
        std::fs::write(&bad, bytes).expect("written");
        node.refuses(&["install-pack", &path], 4, &[&format!("cannot use the pack {path}")]);
    }

    // A ZIP file has bytes that mean nothing, such as its times. Whatever byte of its tables is
    // flipped, either it is refused or every entry has the hash of the manifest.
    let before = node.fingerprint();
    for place in (directory..directory + 60).chain(good.len() - 98..good.len()).step_by(4) {
        let mut bytes = good.clone();
        bytes[place] ^= 0x10;
        std::fs::write(&bad, bytes).expect("written");
        let ran = node.run(&["--dry-run", "install-pack", &path]);
        assert!(matches!(ran.code, Some(0 | 4)), "byte {place}: {ran}");
    }
    assert_same(&before, &node.fingerprint(), "packs with a flipped byte");

    std::fs::write(&bad, &good).expect("written");
    node.run(&["install-pack", &path]).ok();
}

#[test]
fn refuses_a_pack_whose_entries_are_not_those_of_its_manifest_or_lie_elsewhere() {
    let (lab, good, bad) = packed(ANY);
    let node = &lab.secondary;
    let path = bad.to_string_lossy().into_owned();
    let outside = lab.dir().join("outside");
    let absolute = outside.to_string_lossy().into_owned();

    let refused = |what: &dyn Fn(&mut Forged), why: &str| {
        let mut forged = Forged::from(&lab.pack_file());
        what(&mut forged);
        forged.write(&bad);
        node.refuses(&["install-pack", &path], 4, &[&format!("cannot use the pack {path}"), why]);
    };
    refused(
        &|pack| pack.entries.push(("mysql/data/more".into(), b"x".to_vec())),
        "its entry \"mysql/data/more\" is not in its manifest",
    );
    refused(&|pack| pack.entries.push(("../outside".into(), b"x".to_vec())), "is not in its manifest");
    refused(
        &|pack| pack.entries.retain(|(name, _)| name != "mysql/data/ibdata1"),
        "its entry mysql/data/ibdata1 is missing",
    );
    refused(&|pack| pack.list("mysql/data/ghost", b"x"), "its entry mysql/data/ghost is missing");
    for place in ["bin/startDB.sh", "conf/manage_key.conf", "outside", "mysql/data2/x"] {
        refused(
            &|pack| pack.add(place, b"x"),
            &format!("its entry {place} lies outside mysql/data and conf/pmp-ha"),
        );
    }
    for place in [
        "mysql/data/../../../outside",
        "../outside",
        "mysql/data/./x",
        "mysql/data//x",
        "mysql\\data\\x",
        "mysql/data/C:x",
        &absolute,
    ] {
        refused(&|pack| pack.add(place, b"x"), "its manifest cannot be read");
    }
    refused(&|pack| pack.add("mysql/data/IBDATA1", b"x"), "its entry mysql/data/IBDATA1 stands there twice");
    refused(
        &|pack| {
            pack.symlinks.push(("mysql/data/link".into(), absolute.clone()));
        },
        "is not in its manifest",
    );
    refused(
        &|pack| {
            pack.symlinks.push(("mysql/data/link".into(), absolute.clone()));
            pack.list("mysql/data/link", absolute.as_bytes());
        },
        "its entry mysql/data/link is damaged: it is not a file",
    );
    refused(
        &|pack| {
            let (_, bytes) =
                pack.entries.iter_mut().find(|(name, _)| name == "mysql/data/ibdata1").expect("there");
            bytes.truncate(4096);
        },
        "its entry mysql/data/ibdata1 is damaged: the ZIP says 4096 bytes and the manifest",
    );
    refused(
        &|pack| {
            // More than its manifest promises, as of a bomb.
            pack.list("mysql/data/bomb", b"x");
            pack.entries.push(("mysql/data/bomb".into(), vec![0; 8 << 20]));
        },
        "its entry mysql/data/bomb is damaged: the ZIP says",
    );
    refused(&|pack| pack.manifest["format"] = json!(2), "it has format 2, and this version reads format 1");
    refused(&|pack| pack.manifest["surprise"] = json!(true), "its manifest cannot be read");
    refused(&|pack| pack.manifest["files"][0]["sha256"] = json!("not a hash"), "its manifest cannot be read");
    assert!(!outside.exists());

    std::fs::write(&bad, &good).expect("written");
    node.run(&["install-pack", &path]).ok();
}

#[test]
fn refuses_a_pack_that_was_made_for_another_home() {
    let (lab, good, bad) = packed(ANY);
    let node = &lab.secondary;
    let path = bad.to_string_lossy().into_owned();
    let pack = ["install-pack", &path];
    std::fs::write(&bad, &good).expect("written");

    lab.primary.refuses(&pack, 4, &["this home is a primary: conf/serverstate.conf says 'master'"]);
    {
        let _jar = Put::content(node.path("lib/AdventNetPassTrix.jar"), "build 6303");
        node.refuses(&pack, 4, &["another build of the product: its lib/AdventNetPassTrix.jar"]);
    }
    {
        let server = std::fs::read_to_string(node.path("mysql/bin/mysqld")).expect("there");
        let _server = Put::content(node.path("mysql/bin/mysqld"), format!("{server}# other\n"));
        node.refuses(&pack, 4, &["another build of the product: its mysql/bin/mysqld"]);
    }
    let params = node.path("conf/database_params.conf");
    {
        let port = lab.secondary.endpoint.rsplit(':').next().expect("a port");
        let _params = Put::replaced(params.clone(), &format!(":{port}/"), ":2345/");
        node.refuses(
            &pack,
            4,
            &[
                &format!("made for a secondary on port {port}, and the database of this home is on 2345"),
                "Make the pack again with 127.0.0.2:2345 as the second name",
            ],
        );
    }
    {
        let _params = Put::replaced(params.clone(), "username=root", "username=pmp");
        node.refuses(
            &pack,
            4,
            &["the database account of the primary is 'root', and conf/database_params.conf here names 'pmp'"],
        );
    }
    let mut forged = Forged::from(&lab.pack_file());
    forged.manifest["server"]["number"] = json!([10, 11, 1]);
    forged.write(&bad);
    node.refuses(&pack, 4, &["the pack holds data of MariaDB 10.11.1, and the server here is MariaDB 10.11"]);

    // Several at once are all said.
    let jar = Put::content(node.path("lib/AdventNetPassTrix.jar"), "build 6303");
    let account = Put::replaced(params, "username=root", "username=pmp");
    std::fs::write(&bad, &good).expect("written");
    node.refuses(&pack, 4, &["another build of the product", "names 'pmp'"]);
    drop((jar, account));

    node.run(&pack).ok();
}

#[test]
fn refuses_the_pack_of_another_kind_of_server() {
    let (lab, _, _) = packed(ANY);
    let other = Lab::up("mysql-5.6");
    other.secondary.refuses(
        &["install-pack", &lab.pack_file().to_string_lossy()],
        4,
        &["the pack holds data of MariaDB 10.11", "the server here is MySQL 5.6"],
    );
}

#[test]
fn takes_an_encrypted_database_password_from_a_private_file_only() {
    let (lab, _, _) = packed(ANY);
    let node = &lab.secondary;
    let conf = node.path("conf/database_params.conf");
    let text = std::fs::read_to_string(&conf).expect("there");
    let password = text.lines().find_map(|line| line.strip_prefix("password=")).expect("a password");
    let encrypted = text
        .replace(&format!("password={password}"), "password=hkjGHj2kj3+x==")
        .replace("encrypted=false", "encrypted=true");
    assert_ne!(text, encrypted);
    std::fs::write(&conf, encrypted).expect("written");
    let pack = lab.pack_file().to_string_lossy().into_owned();
    let file = lab.dir().join("password");
    let named = file.to_string_lossy().into_owned();
    let with_file = ["install-pack", &pack, "--db-password-file", &named];
    let mode = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
    };

    node.refuses(&["install-pack", &pack], 4, &["is encrypted", "--db-password-file", "mode 0600"]);
    node.refuses(&with_file, 4, &["cannot use the password file", "No such file"]);
    std::fs::write(&file, "").expect("written");
    mode(0o600);
    node.refuses(&with_file, 4, &["cannot use the password file", "is empty"]);
    std::fs::write(&file, format!("{password}\n")).expect("written");
    for open in [0o644, 0o640, 0o604] {
        mode(open);
        node.refuses(&with_file, 4, &["can be read by others than its owner", "0600"]);
    }
    mode(0o600);
    let ran = node.run(&with_file).ok();
    assert!(!ran.stderr.contains(password) && !ran.stdout.contains(password), "{ran}");

    // The product logs in with the password that the file gave.
    std::fs::write(&conf, text.clone()).expect("written");
    node.run(&["start"]).ok();
    assert_eq!(node.sql("SELECT CURRENT_USER()"), "root@localhost");
    node.run(&["stop"]).ok();
}
