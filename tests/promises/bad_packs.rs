//! Packs that are damaged, forged or for another home: refused, and the home is as it was.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::forge::{Forged, MANIFEST, Piece, stored};
use crate::harness::{Lab, Put, is_thorough, wait_until};

const ANY: &str = "mariadb-10.11";

fn packed(server: &str) -> (Lab, Vec<u8>, PathBuf) {
    let lab = Lab::up(server);
    lab.pack().ok();
    let good = std::fs::read(lab.pack_file()).expect("there");
    let bad = lab.dir().join("bad.zip");
    (lab, good, bad)
}

/// Forges the lab's pack, and sees that the secondary refuses it for the right reason.
#[track_caller]
fn refuses_forged(lab: &Lab, bad: &Path, what: &dyn Fn(&mut Forged), why: &str) {
    let mut forged = Forged::from(&lab.pack_file());
    what(&mut forged);
    forged.write(bad);
    let path = bad.to_string_lossy().into_owned();
    let refused = format!("cannot use the pack {path}");
    // Whoever only wants to know learns it as well.
    for command in
        [vec!["install-pack", &path], vec!["--dry-run", "install-pack", &path], vec!["inspect", &path]]
    {
        lab.secondary.refuses(&command, 4, &[&refused, why]);
    }
}

#[test]
fn refuses_a_pack_that_is_older_than_what_is_installed_without_a_word() {
    let (lab, _, _) = packed(ANY);
    let [older, newer] = ["older.zip", "newer.zip"].map(|name| lab.dir().join(name));
    std::fs::rename(lab.pack_file(), &older).expect("carried");
    // Packs know the second in which they were made.
    let second = || jiff::Timestamp::now().as_second();
    let then = second();
    wait_until("the next second has begun", || second() > then);
    lab.pack().ok();
    std::fs::rename(lab.pack_file(), &newer).expect("carried");
    let [older, newer] = [older, newer].map(|path| path.to_string_lossy().into_owned());
    let node = &lab.secondary;
    node.run(&["install-pack", &newer]).ok();
    let why = ["it is older than what is installed here", "it was made at", "pass --older"];
    node.refuses(&["install-pack", &older], 4, &why);
    node.run(&["install-pack", &newer]).ok();
    node.run(&["install-pack", &older, "--older"]).ok();
    node.run(&["install-pack", &newer]).ok();
}

#[test]
fn refuses_a_pack_that_is_missing_empty_cut_off_or_none() {
    let (lab, good, bad) = packed(ANY);
    let node = &lab.secondary;
    let path = bad.to_string_lossy().into_owned();

    node.refuses(
        &["install-pack"],
        4,
        &["there is no pack here", "contains a HAPack.zip or a HAPack.zip.age"],
    );
    node.refuses(&["install-pack", &path], 4, &["cannot open the pack", "No such file"]);
    let folder = lab.dir().to_string_lossy();
    node.refuses(&["install-pack", &folder], 4, &[&*folder]);
    std::fs::write(&bad, b"").expect("written");
    node.refuses(&["install-pack", &path], 4, &["it is empty"]);
    // Ends like one of many entries, and has room for them.
    let huge = std::fs::File::create(&bad).expect("made");
    huge.set_len(1 << 40).expect("sparse");
    let mut end = b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0".to_vec();
    end.extend([1_u64 << 34, 1 << 34, 46 << 34, 0].map(u64::to_le_bytes).concat());
    end.extend(b"PK\x06\x07\0\0\0\0");
    end.extend((1_u64 << 40).to_le_bytes());
    end.extend(b"\x01\0\0\0PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    std::io::Seek::seek(&mut &huge, std::io::SeekFrom::End(0)).expect("at the end");
    (&huge).write_all(&end).expect("written");
    drop(huge);
    node.refuses(&["install-pack", &path], 4, &["it has more entries than a pack can have"]);
    std::fs::write(&bad, b"this is not a ZIP file").expect("written");
    node.refuses(&["install-pack", &path], 4, &["it is not a complete ZIP file"]);

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
    node.refuses(&["install-pack", &path], 4, &["it has no manifest: it was not made by pmp-ha"]);
    for manifest in [&b""[..], b"{}", b"[1", b"\xff\xfe"] {
        std::fs::write(&bad, zip_of(&[(MANIFEST, manifest)])).expect("written");
        node.refuses(&["install-pack", &path], 4, &["its entry replication/manifest.json is compressed"]);
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

#[test]
fn refuses_a_pack_whose_byte_was_flipped() {
    let (lab, good, bad) = packed(ANY);
    let node = &lab.secondary;
    let path = bad.to_string_lossy().into_owned();

    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&good)).expect("a complete ZIP file");
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
    // Of the first entry: signature, time, checksum, name. In the table of contents: signature,
    // checksum, size, attributes, name. In the last record: signature, number, place, comment.
    places.extend([0, 10, 14, 30]);
    places.extend([0, 16, 24, 38, 46].map(|at| directory + at));
    places.extend([22, 12, 6, 1].map(|from_end| good.len() - from_end));
    for index in (0..zip.len()).step_by(zip.len() / 19) {
        let entry = zip.by_index(index).expect("there");
        let length = usize::try_from(entry.compressed_size()).expect("small");
        places.push(usize::try_from(entry.data_start().expect("known")).expect("small") + length / 2);
    }
    for (bit, place) in places.into_iter().enumerate() {
        let mut bytes = good.clone();
        bytes[place] ^= 1 << (bit % 8);
        std::fs::write(&bad, bytes).expect("written");
        // A dry run looks at every byte as well. A thorough run gives each place to each command.
        let commands =
            [vec!["install-pack", &path], vec!["--dry-run", "install-pack", &path], vec!["inspect", &path]];
        for (turn, command) in commands.into_iter().enumerate() {
            if turn != bit % 3 && !is_thorough() {
                continue;
            }
            node.refuses(&command, 4, &[&format!("cannot use the pack {path}")]);
        }
    }

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

    let refused = |what: &dyn Fn(&mut Forged), why: &str| refuses_forged(&lab, &bad, what, why);
    // What is forged here is refused for what is wrong with it, and for nothing else.
    Forged::from(&lab.pack_file()).write(&bad);
    node.run(&["--dry-run", "install-pack", &path]).ok();
    refused(
        &|pack| pack.pieces.push(Piece::of("mysql/data/more", b"x")),
        "its entry \"mysql/data/more\" is not in its manifest",
    );
    refused(&|pack| pack.pieces.push(Piece::of("../outside", b"x")), "is not in its manifest");
    refused(
        &|pack| pack.pieces.retain(|piece| piece.name != "mysql/data/ibdata1"),
        "its entry mysql/data/ibdata1 is missing",
    );
    refused(&|pack| pack.list("mysql/data/ghost", b"x"), "its entry mysql/data/ghost is missing");
    for place in ["bin/startDB.sh", "conf/manage_key.conf", "outside", "mysql/data2/x"] {
        refused(
            &|pack| pack.add(place, b"x"),
            &format!("its entry {place} is outside mysql/data and conf/pmp-ha"),
        );
    }
    for place in [
        "mysql/data/../../../outside",
        "../outside",
        "mysql/data/./x",
        "mysql/data//x",
        "mysql\\data\\x",
        "mysql/data/C:x",
        "mysql/data/nul.ibd",
        &absolute,
    ] {
        refused(&|pack| pack.add(place, b"x"), "cannot read its manifest");
    }
    refused(&|pack| pack.add("mysql/data/IBDATA1", b"x"), "its entry mysql/data/IBDATA1 occurs twice");
    refused(
        &|pack| pack.add("mysql/data/ibdata1/x", b"x"),
        "its entry mysql/data/ibdata1/x is inside mysql/data/ibdata1, which is a file",
    );
    refused(
        &|pack| {
            let twice = pack.piece("mysql/data/ibdata1").clone();
            pack.pieces.push(twice);
        },
        "its entry replication/manifest.json is not where it should be",
    );
    refused(&|pack| pack.pieces.swap(0, 1), "does not begin as the manifest says");
    // A link, and a device.
    for mode in [0o120_777, 0o060_600] {
        refused(
            &|pack| {
                pack.add("mysql/data/link", absolute.as_bytes());
                pack.piece("mysql/data/link").mode = mode;
            },
            "its entry mysql/data/link is wrong in its table of contents",
        );
    }
    refused(
        &|pack| *pack.piece("mysql/data/ibdata1") = Piece::of("mysql/data/ibdata1", &[7; 4096]),
        "its entry mysql/data/ibdata1 does not end as the manifest says",
    );
    refused(
        &|pack| {
            let size = pack.piece("mysql/data/ibdata1").size + 1;
            pack.piece("mysql/data/ibdata1").size = size;
            pack.listed("mysql/data/ibdata1")["size"] = json!(size);
        },
        "its entry mysql/data/ibdata1 has",
    );
    refused(
        &|pack| pack.listed("mysql/data/ibdata1")["blocks"][0] = json!(format!("9999999 {}", "0".repeat(64))),
        "its entry mysql/data/ibdata1 has a block that is larger than its content",
    );
    assert!(!outside.exists());

    std::fs::write(&bad, &good).expect("written");
    node.run(&["install-pack", &path]).ok();
}

#[test]
fn refuses_a_pack_whose_words_would_lead_elsewhere() {
    let (lab, good, bad) = packed(ANY);
    let refused = |what: &dyn Fn(&mut Forged), why: &str| refuses_forged(&lab, &bad, what, why);
    // They become lines of option files, names of folders, words of SQL, and what `inspect` shows.
    let line = "x\n[mysqld]\nplugin-load-add=x.so";
    refused(&|pack| pack.manifest["pair"]["id"] = json!(line), "its pair has no valid id");
    refused(&|pack| pack.manifest["pack_id"] = json!("a/b"), "its id is not valid");
    refused(&|pack| pack.manifest["pack_id"] = json!(""), "its id is not valid");
    refused(&|pack| pack.manifest["pair"]["nodes"][0]["host"] = json!(line), "a host name cannot contain");
    refused(
        &|pack| pack.manifest["pair"]["nodes"][1]["number"] = json!(1),
        "its nodes are not numbered 1 and 2",
    );
    refused(&|pack| pack.manifest["pair"]["primary"] = json!(3), "its primary is not one of its nodes");
    refused(
        &|pack| pack.manifest["pair"]["schema"] = json!("../mysql"),
        "the name of its schema is not valid",
    );
    let said = "2026\n  signed with the given key";
    for field in ["made_at", "made_by", "application_account"] {
        refused(&|pack| pack.manifest[field] = json!(said), "contains a character that cannot be shown");
    }
    refused(
        &|pack| pack.manifest["pair"]["secondary_word"] = json!("slave\u{1b}[2J"),
        "contains a character that cannot be shown",
    );
    // The tool's own files are five, and none is large.
    for place in ["conf/pmp-ha/pair.toml", "conf/pmp-ha/a/b", "conf/pmp-ha/mysqld.cnf"] {
        refused(
            &|pack| pack.add(place, b"x"),
            &format!("its entry {place} is not one of the tool's own files"),
        );
    }
    let key = "conf/pmp-ha/node-key.pem";
    refused(
        &|pack| pack.listed(key)["size"] = json!((1 << 20) + 1),
        "its entry conf/pmp-ha/node-key.pem is not one of the tool's own files",
    );
    // What one server is, or where its tablespaces lie, is no data of a vault.
    for place in ["auto.cnf", "mysqld-auto.cnf", "my.cnf", "passtrix/a.isl", "master.info", "x.000001"] {
        let place = format!("mysql/data/{place}");
        refused(&|pack| pack.add(&place, b"x"), &format!("its entry {place} is not part of a vault's data"));
    }
    std::fs::write(&bad, &good).expect("written");
    lab.secondary.run(&["install-pack", &bad.to_string_lossy()]).ok();
}

#[test]
fn refuses_a_pack_whose_content_is_not_what_its_manifest_says() {
    let (lab, good, bad) = packed(ANY);
    let node = &lab.secondary;
    let path = bad.to_string_lossy().into_owned();
    let refused = |what: &dyn Fn(&mut Forged), why: &str| refuses_forged(&lab, &bad, what, why);
    // Every hash of what is packed is right, and what comes out is not.
    for (blocks, why) in [
        // More than its manifest promises, as of a bomb.
        (vec![stored(&[0; 500_000])], "block 0: it contains more than it should"),
        (vec![stored(b"short")], "block 0: it contains less than it should"),
        (vec![vec![1, 0, 0, 0xFF, 0xFF]], "block 0: it contains less than it should"),
        // The very bytes, and an end where the pack has none.
        (
            vec![[stored(&[b'x'; 9000]), vec![1, 8, 0, 0xF7, 0xFF], vec![0; 8]].concat()],
            "block 0: it ends its stream",
        ),
        (vec![vec![0xFF; 40]], "block 0:"),
        (vec![stored(&[b'y'; 9000])], "its CRC-32 differs from the manifest"),
    ] {
        refused(
            &|pack| {
                pack.add("mysql/data/forged", &[b'x'; 9000]);
                pack.repack("mysql/data/forged", &blocks);
            },
            &format!("its entry mysql/data/forged is damaged: {why}"),
        );
    }
    refused(
        &|pack| pack.listed("mysql/data/ibdata1")["blake3"] = json!("0".repeat(64)),
        "its entry mysql/data/ibdata1 is damaged: its BLAKE3 differs from the manifest",
    );
    // What installing compares are the CRC-32 and the BLAKE3; the SHA-256 is for whoever looks.
    let mut forged = Forged::from(&lab.pack_file());
    forged.listed("mysql/data/ibdata1")["sha256"] = json!("0".repeat(64));
    forged.write(&bad);
    let why = "its entry mysql/data/ibdata1 is damaged: its SHA-256 differs from the manifest";
    node.refuses(&["inspect", &path], 4, &[why]);
    node.refuses(&["--dry-run", "install-pack", &path], 4, &[why]);
    refused(&|pack| pack.manifest["format"] = json!(5), "it has format 5, but this version reads format 4");
    refused(&|pack| pack.manifest["surprise"] = json!(true), "cannot read its manifest");
    refused(&|pack| pack.manifest["files"][0]["sha256"] = json!("not a hash"), "cannot read its manifest");

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
                &format!("made for a secondary on port {port}, but the database of this home is on 2345"),
                "Make the pack again with 127.0.0.2:2345 as the second name",
            ],
        );
    }
    {
        let _params = Put::replaced(params.clone(), "username=root", "username=pmp");
        node.refuses(
            &pack,
            4,
            &["the database account of the primary is 'root', but conf/database_params.conf here names 'pmp'"],
        );
    }
    let mut forged = Forged::from(&lab.pack_file());
    forged.manifest["server"]["number"] = json!([10, 11, 1]);
    forged.write(&bad);
    node.refuses(
        &pack,
        4,
        &["the pack contains data of MariaDB 10.11.1, but the server here is MariaDB 10.11"],
    );

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
        &["the pack contains data of MariaDB 10.11", "the server here is MySQL 5.6"],
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
        node.refuses(&with_file, 4, &["other users than its owner can read", "0600"]);
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
