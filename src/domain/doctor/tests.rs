use std::collections::BTreeSet;
use std::time::Duration;

use super::program::ServerProgram;
use super::report::{DoctorPoint, DoctorReport, DoctorTopic, Grade};
use super::scene::{DiskSeen, DoctorScene, LimitsSeen, NameSeen, NumberedTable, PeerSeen, TfaSeen, Whose};
use super::{diagnose, next_step};
use crate::domain::handbook;
use crate::domain::home::KeyFile;
use crate::domain::pair::{Membership, Pair, Role};
use crate::domain::procedures::examples;
use crate::domain::procedures::key::{Expected, KeyScene};

fn name(whose: Whose, host: &str, address: &str, local: bool) -> NameSeen {
    NameSeen {
        whose,
        host: host.into(),
        addresses: Ok(vec![address.parse().expect("an address")]),
        local,
        took: Duration::from_millis(3),
        reverse: Ok(vec![host.to_uppercase()]),
    }
}

/// A primary in no pair, of which everything is right.
fn scene(change: impl FnOnce(&mut DoctorScene)) -> DoctorScene {
    let mut scene = DoctorScene {
        home: examples::home(Role::Primary),
        processes: vec![],
        now: 1_800_000_000,
        other_service: None,
        program: ServerProgram::of(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0"),
        is_wired: false,
        names: vec![
            name(Whose::This, "a.example.com", "192.0.2.1", true),
            name(Whose::Other, "b.example.com", "192.0.2.2", false),
        ],
        peer: Some(PeerSeen { node: "b.example.com:2345".into(), database: Ok("5.6.24".into()), web: None }),
        disk: DiskSeen::default(),
        open_secrets: vec![],
        key: Some(KeyScene {
            path: "/media/key".into(),
            file: Ok(KeyFile::Key(vec!["k".into()])),
            inside_home: false,
            fingerprints: vec!["f".into()],
            expected: Expected::Fingerprint("f".into()),
        }),
        limits: LimitsSeen { whose: "the database".into(), open_files: Some(5000), file_size: None },
        tfa: TfaSeen::Watched,
        numbers: None,
        certificates: vec![],
        pair: None,
        cut_off: None,
        pack_waits: false,
    };
    change(&mut scene);
    scene
}

fn numbered(next: u64) -> NumberedTable {
    NumberedTable { table: "ptrx_useraudit".into(), kind: "tinyint(4)".into(), next, is_audit: true }
}

fn in_a_pair(scene: &mut DoctorScene, role: Role) {
    scene.home = examples::home(role);
    scene.home.membership =
        Some(Membership { format: 1, role, key_fingerprint: None, pair: Pair::example() });
    scene.is_wired = true;
}

fn codes(change: impl FnOnce(&mut DoctorScene)) -> Vec<(Grade, &'static str)> {
    let points = diagnose(&scene(change));
    points.iter().filter_map(|point| Some((point.grade, point.code?))).collect()
}

const ALWAYS: [(Grade, &str); 2] = [(Grade::Note, "edition-not-shown"), (Grade::Note, "clocks-not-compared")];

fn with(more: (Grade, &'static str)) -> BTreeSet<String> {
    ALWAYS.into_iter().chain([more]).map(|found| format!("{found:?}")).collect()
}

#[test]
fn of_a_good_home_there_are_notes_only() {
    assert_eq!(codes(|_| {}), ALWAYS);
}

#[test]
fn each_fault_has_its_code() {
    type Change = fn(&mut DoctorScene);
    let faults: [(Change, (Grade, &str)); 28] = [
        (|s| s.home.missing = vec!["bin/stopDB.sh".into()], (Grade::Failed, "home-incomplete")),
        (|s| s.home.script = Err("odd".into()), (Grade::Failed, "start-script")),
        (|s| s.home.lets_everybody_in = Some("x".into()), (Grade::Failed, "skip-grant-tables")),
        (|s| s.other_service = Some("/opt/other".into()), (Grade::Warning, "service-of-another-home")),
        (|s| s.cut_off = Some("the journal is open".into()), (Grade::Failed, "run-interrupted")),
        (|s| s.home.running = vec!["a port answers".into()], (Grade::Warning, "port-taken")),
        (|s| s.names[0].addresses = Err("no such host".into()), (Grade::Warning, "name-unknown")),
        (
            |s| {
                s.names[1].addresses = Err("no such host".into());
                s.peer.as_mut().expect("a peer").database = Err("no such host".into());
            },
            (Grade::Failed, "name-unknown"),
        ),
        (|s| s.names[1].took = Duration::from_secs(4), (Grade::Warning, "name-slow")),
        (|s| s.names[0].local = false, (Grade::Warning, "name-elsewhere")),
        (|s| s.names[1].local = true, (Grade::Warning, "name-elsewhere")),
        (|s| s.names[1].reverse = Ok(vec!["c.example.com".into()]), (Grade::Note, "name-reverse")),
        (|s| s.names[0] = name(Whose::This, "a", "127.0.1.1", true), (Grade::Note, "name-loopback")),
        (|s| s.names[1] = name(Whose::Other, "b", "127.0.1.1", true), (Grade::Warning, "name-loopback")),
        (|s| s.peer = None, (Grade::Note, "peer-not-named")),
        (|s| s.home.free_for_pack = 1, (Grade::Warning, "room-for-pack")),
        (|s| s.home.free_for_data = 500 << 20, (Grade::Warning, "disk-low")),
        (|s| s.home.free_for_data = 1 << 20, (Grade::Failed, "disk-full")),
        (|s| s.open_secrets = vec!["x has the mode 644".into()], (Grade::Failed, "secret-readable")),
        (|s| s.limits.open_files = Some(256), (Grade::Warning, "few-open-files")),
        (|s| s.limits.file_size = Some(1 << 30), (Grade::Warning, "file-size-limited")),
        (|s| s.key = None, (Grade::Note, "key-not-named")),
        (|s| s.key.as_mut().expect("a key").inside_home = true, (Grade::Note, "key-place")),
        (|s| s.key.as_mut().expect("a key").expected = Expected::Nothing, (Grade::Note, "key-not-checked")),
        (|s| s.tfa = TfaSeen::NotWatched(vec![]), (Grade::Note, "tfa-not-watched")),
        (|s| s.numbers = Some(Err("no login".into())), (Grade::Unknown, "row-numbers-not-read")),
        (|s| s.numbers = Some(Ok(vec![numbered(120)])), (Grade::Warning, "row-numbers-low")),
        (|s| s.numbers = Some(Ok(vec![numbered(127)])), (Grade::Failed, "row-numbers-used-up")),
    ];
    for (change, wanted) in faults {
        let found: BTreeSet<String> = codes(change).iter().map(|found| format!("{found:?}")).collect();
        assert_eq!(found, with(wanted), "{wanted:?}");
    }
}

#[test]
fn a_key_that_was_rotated_on_the_primary_is_a_reminder() {
    let rotated = |role, fingerprints: [&str; 2]| {
        codes(|s| {
            in_a_pair(s, role);
            s.key.as_mut().expect("a key").fingerprints = fingerprints.map(str::to_owned).into();
        })
    };
    let note = (Grade::Note, "key-rotated");
    for fingerprints in [["f", "new"], ["new", "newer"]] {
        assert!(rotated(Role::Primary, fingerprints).contains(&note), "{fingerprints:?}");
    }
    assert!(!rotated(Role::Primary, ["f", "f"]).contains(&note));
    assert!(!rotated(Role::Secondary, ["f", "new"]).contains(&note));
}

#[test]
fn on_a_node_of_a_pair_the_key_and_the_script_matter() {
    let found = codes(|s| {
        in_a_pair(s, Role::Secondary);
        (s.key, s.is_wired) = (None, false);
    });
    assert!(found.contains(&(Grade::Failed, "key-not-named")), "{found:?}");
    assert!(found.contains(&(Grade::Failed, "script-not-wired")), "{found:?}");
    assert!(found.contains(&(Grade::Note, "pair-not-looked-at")), "{found:?}");
    let of_another = codes(|s| {
        in_a_pair(s, Role::Secondary);
        s.key.as_mut().expect("a key").fingerprints.clear();
    });
    assert!(of_another.contains(&(Grade::Failed, "key-of-another")), "{of_another:?}");
    // The device with the key may be away after a start.
    let away = codes(|s| {
        in_a_pair(s, Role::Secondary);
        s.key.as_mut().expect("a key").file = Err("no such file".into());
    });
    assert!(away.contains(&(Grade::Note, "key-unreadable")), "{away:?}");
}

#[test]
fn the_next_step_is_named() {
    let step = |change: &dyn Fn(&mut DoctorScene)| {
        let scene = scene(change);
        next_step(&scene, &diagnose(&scene))
    };
    assert_eq!(step(&|_| {}), "run `pmp-ha pack PRIMARY SECONDARY`");
    assert!(step(&|s| s.processes = vec!["it runs".into()]).starts_with("stop Password Manager Pro"));
    let fresh = |s: &mut DoctorScene| s.home = examples::home(Role::Secondary);
    assert!(step(&fresh).starts_with("run `pmp-ha pack` on the primary"));
    let carried = |s: &mut DoctorScene| {
        fresh(s);
        s.pack_waits = true;
    };
    assert_eq!(step(&carried), "run `pmp-ha install-pack`");
    assert_eq!(step(&|s| in_a_pair(s, Role::Secondary)), "run `pmp-ha start`");
    assert_eq!(step(&|s| s.cut_off = Some("x".into())), "run `pmp-ha resume`");
    assert!(step(&|s| s.home.missing = vec!["x".into()]).starts_with("fix what failed"));
}

#[test]
fn a_primary_without_a_secondary_may_be_half_of_a_setup() {
    let point = |topic, code| DoctorPoint {
        topic,
        grade: Grade::Failed,
        code: Some(code),
        what: String::new(),
        evidence: None,
        hint: None,
    };
    let alone = point(DoctorTopic::Pair, "secondary-not-connected");
    let primary = scene(|s| {
        in_a_pair(s, Role::Primary);
        (s.pack_waits, s.processes) = (true, vec!["it runs".into()]);
    });
    let step = |points: &[DoctorPoint]| next_step(&primary, points);
    assert!(step(std::slice::from_ref(&alone)).contains("if it was never set up"));
    // What is wrong here comes first.
    assert!(step(&[alone, point(DoctorTopic::Rights, "not-writable")]).starts_with("fix what failed"));
}

#[test]
fn a_secondary_in_no_pair_needs_another_key_later() {
    let found = codes(|s| s.home = examples::home(Role::Secondary));
    assert!(found.contains(&(Grade::Note, "key-comes-later")), "{found:?}");
}

#[test]
fn the_first_line_names_what_is_wrong() {
    let scene = scene(|s| s.open_secrets = vec!["x has the mode 644".into(), "y has the mode 644".into()]);
    let points = diagnose(&scene);
    let report = DoctorReport {
        schema: 1,
        at: String::new(),
        tool: String::new(),
        home: "/x".into(),
        role: Role::Primary,
        in_a_pair: false,
        healthy: false,
        next: String::new(),
        points,
    };
    assert_eq!(report.to_string().lines().next(), Some("Doctor: 2 failures [secret-readable]"));
}

#[test]
fn a_proposed_query_stands_in_the_hint() {
    let points = diagnose(&scene(|s| {
        s.tfa = TfaSeen::NotWatched(vec!["SELECT A FROM T".into(), "SELECT B FROM U".into()]);
    }));
    let point = points.iter().find(|point| point.code == Some("tfa-not-watched")).expect("found");
    let hint = point.hint.as_deref().unwrap_or_default();
    assert!(
        hint.contains("`tfa_query = \"SELECT A FROM T\"`. Or: `tfa_query = \"SELECT B FROM U\"`."),
        "{hint}"
    );
}

#[test]
fn the_handbook_explains_every_code_and_no_other() {
    let sources = [
        include_str!("advice.rs"),
        include_str!("disk.rs"),
        include_str!("machine.rs"),
        include_str!("numbers.rs"),
        include_str!("pair.rs"),
    ];
    let literals = sources.iter().flat_map(|source| source.split('"').skip(1).step_by(2));
    let is_code = |word: &&str| {
        word.contains('-') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    let used: BTreeSet<&str> = literals.filter(is_code).collect();
    let explained: BTreeSet<&str> = handbook::codes().collect();
    assert_eq!(used.difference(&explained).collect::<Vec<_>>(), Vec::<&&str>::new());
    let headings: Vec<&str> = include_str!("../../../docs/doctor.md")
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    assert!(headings.iter().all(|heading| used.contains(heading)), "{headings:?}");
    assert!(headings.is_sorted(), "{headings:?}");
}

#[test]
fn whoever_only_looks_is_never_sent_to_take_the_pair_apart() {
    for source in [
        include_str!("advice.rs"),
        include_str!("disk.rs"),
        include_str!("machine.rs"),
        include_str!("numbers.rs"),
        include_str!("next.rs"),
        include_str!("pair.rs"),
        include_str!("../judge/mod.rs"),
        include_str!("../judge/channel.rs"),
    ] {
        assert!(!source.contains("teardown"));
    }
}
