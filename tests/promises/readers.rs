//! A pack is a plain ZIP: every tool that reads ZIP files unpacks it to the same bytes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pmp_ha::adapters::interrupt::Interrupt;
use pmp_ha::adapters::pack::{Making, Pack, write};
use pmp_ha::domain::manifest::{Manifest, RelPath};
use pmp_ha::ui::Progress;
use sha2::{Digest, Sha256};

use crate::harness::Lab;
use crate::harness::pack::{hex, manifest};
use crate::harness::secret::secrets;

const TOOLS: [&str; 4] = ["unzip", "7z", "bsdtar", "python3"];

const ALL_BUT: &str = "import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
z.extractall(sys.argv[2], [n for n in z.namelist() if n not in sys.argv[3:]])";

/// Unpacks everything but `left_out` into a new folder.
fn unpack(tool: &str, pack: &Path, to: &Path, left_out: Option<&str>) {
    std::fs::create_dir(to).expect("made");
    let mut command = Command::new(tool);
    match tool {
        "unzip" => command
            .arg("-q")
            .arg(pack)
            .args(left_out.map(|name| ["-x", name]).iter().flatten())
            .arg("-d")
            .arg(to),
        "7z" => command
            .args(["x", "-y", "-bd"])
            .arg(format!("-o{}", to.display()))
            .args(left_out.map(|name| format!("-x!{name}")))
            .arg(pack),
        "bsdtar" => command
            .args(left_out.map(|name| format!("--exclude={name}")))
            .arg("-xf")
            .arg(pack)
            .arg("-C")
            .arg(to),
        _ => command.args(["-c", ALL_BUT]).arg(pack).arg(to).args(left_out),
    };
    let output = command.output().expect("it is installed");
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a tool says of the entries of a pack.
fn listing(tool: &str, pack: &Path) -> String {
    let mut command = Command::new(tool);
    match tool {
        "unzip" | "7z" => command.args([if tool == "7z" { "l" } else { "-l" }]).arg(pack),
        "bsdtar" => command.arg("-tvf").arg(pack),
        _ => command.args(["-m", "zipfile", "-l"]).arg(pack),
    };
    let output = command.output().expect("it is installed");
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Unpacks one entry by `bsdtar`, the quickest of the tools: its size and its hash.
fn hash_of(pack: &Path, name: &str) -> (u64, String) {
    let mut command = Command::new("bsdtar");
    command.arg("-xOf").arg(pack).arg(name);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it is installed");
    let mut out = child.stdout.take().expect("piped");
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let n = out.read(&mut buffer).expect("readable");
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        size += n as u64;
    }
    assert!(child.wait().expect("it ran").success());
    (size, hash.finalize().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")))
}

#[test]
fn other_tools_unpack_a_pack_to_the_bytes_of_its_manifest() {
    let lab = Lab::up("mariadb-10.11");
    lab.pack().ok();
    let manifest = manifest(&lab.pack_file());
    let secrets = secrets(&lab.primary);
    for tool in TOOLS {
        let place = lab.dir().join(tool);
        unpack(tool, &lab.pack_file(), &place, None);
        let entries = manifest["files"].as_array().expect("files");
        assert!(entries.len() > 10, "{}", entries.len());
        for entry in entries {
            let bytes = std::fs::read(place.join(entry["path"].as_str().expect("a path"))).expect("unpacked");
            assert_eq!(entry["sha256"], hex(&bytes), "{tool}: {entry}");
            assert_eq!(entry["size"], bytes.len(), "{tool}: {entry}");
            for secret in &secrets {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "a secret of the home is in {entry}");
            }
        }
    }
}

/// More files than 16 bits can count, and one larger than 32 bits can say.
#[test]
#[ignore = "left to scripts/test --every-server"]
fn other_tools_unpack_what_needs_wide_fields() {
    const MANY: usize = 66_000;
    const GIANT: u64 = (4 << 30) + 12_345;
    let lab = Lab::up("mariadb-10.11");
    lab.pack().ok();
    let template = Pack::open(&lab.pack_file(), &pmp_ha::adapters::pack::Opening::default()).expect("a pack");
    let template = template.manifest().clone();

    let (small, giant) = (lab.dir().join("small"), lab.dir().join("giant"));
    std::fs::write(&small, "a row of a table").expect("written");
    let sparse = std::fs::File::create(&giant).expect("made");
    sparse.set_len(GIANT).expect("set");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"the end", GIANT - 7).expect("written");
    let place = |name: String| RelPath::new(name).expect("a path");
    let many = (0..MANY).map(|n| (place(format!("mysql/data/t{}/{n}.ibd", n % 100)), small.clone()));
    // Behind the giant one an offset is wide, too.
    let sources: Vec<(RelPath, PathBuf)> = many
        .chain([
            (place("mysql/data/giant".into()), giant.clone()),
            (place("mysql/data/z\u{e4}hler.ibd".into()), small.clone()),
        ])
        .collect();
    let pack = lab.dir().join("wide.zip");
    let describe = |files| Manifest { files, ..template };
    write(&pack, &sources, &Making::default(), describe, &Progress::none(), &Interrupt::default())
        .expect("packed");
    std::fs::remove_file(&giant).expect("removed");

    let opened = Pack::open(&pack, &pmp_ha::adapters::pack::Opening::default()).expect("a pack");
    let listed = opened.manifest().files.iter().find(|entry| entry.path.as_str() == "mysql/data/giant");
    let wanted = (GIANT, listed.expect("listed").sha256.to_string());
    assert_eq!(hash_of(&pack, "mysql/data/giant"), wanted);
    for tool in TOOLS {
        let said = listing(tool, &pack);
        let of_the_giant = said.lines().find(|line| line.contains("data/giant")).unwrap_or_default();
        assert!(of_the_giant.contains(&GIANT.to_string()), "{tool}: {of_the_giant:?}");
        let to = lab.dir().join(tool);
        unpack(tool, &pack, &to, Some("mysql/data/giant"));
        let mut count = 0;
        for folder in std::fs::read_dir(to.join("mysql/data")).expect("unpacked").flatten() {
            let files = if folder.path().is_dir() {
                std::fs::read_dir(folder.path()).expect("readable").flatten().map(|e| e.path()).collect()
            } else {
                vec![folder.path()]
            };
            for file in files {
                assert_eq!(std::fs::read(&file).expect("readable"), b"a row of a table", "{tool}: {file:?}");
                count += 1;
            }
        }
        assert_eq!(count, MANY + 1, "{tool}");
        std::fs::remove_dir_all(&to).expect("removed");
    }
}
