//! Who may import whom, and where what may be said.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut out);
    assert!(!out.is_empty(), "no source in {folder}");
    out
}

fn collect(dir: &Path, out: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out);
        // Tests, in a file of their own or at the end of one, may use what they like.
        } else if path.extension().is_some_and(|suffix| suffix == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).expect("readable");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            out.push((path, code));
        }
    }
}

#[track_caller]
fn nobody_in(folder: &str, except: &[&str], says: &[&str]) {
    for (path, text) in sources(folder) {
        if except.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        for word in says {
            let line =
                text.lines().position(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert!(line.is_none(), "{}:{}: {word}", path.display(), line.unwrap_or_default() + 1);
        }
    }
}

#[test]
fn the_domain_is_pure() {
    let outside = [
        "crate::adapters",
        "crate::apply",
        "crate::cli",
        "crate::commands",
        "crate::config",
        "crate::deep",
        "crate::failure",
        "crate::lab",
        "crate::ui",
        "crate::watch",
        "tokio",
        "fs_err",
        "std::fs",
        "std::process",
        "std::env",
        "std::net::Tcp",
        "std::net::Udp",
        "SystemTime",
        "Instant",
        "rand::",
        "println",
        "mysql_async",
        "anyhow",
    ];
    nobody_in("src/domain", &[], &outside);
}

#[test]
fn adapters_know_neither_commands_nor_plans_being_applied() {
    let above =
        ["crate::commands", "crate::apply", "crate::deep", "crate::lab", "crate::cli", "crate::watch"];
    nobody_in("src/adapters", &[], &above);
}

/// The rooms of a folder, from the lowest floor up: a room may only use what stands before it, and itself.
#[track_caller]
fn floors(folder: &str, rooms: &[&[&str]]) {
    let base = folder.replacen("src/", "", 1).replace('/', "::");
    let floor_of = |room: &str| rooms.iter().position(|names| names.contains(&room));
    let room_of = |module: &str| {
        let below = module.strip_prefix(&format!("{base}::"))?;
        Some(below.split("::").next().unwrap_or_default().to_owned())
    };
    let mut seen = 0;
    for (module, is_folder, code) in modules() {
        let Some(own) = room_of(&module) else { continue };
        let floor = floor_of(&own);
        assert!(floor.is_some(), "{folder}/{own} stands on no floor");
        for path in imports(&module, is_folder, &code) {
            let Some(used) = room_of(&path).filter(|used| *used != own) else { continue };
            seen += 1;
            let below = floor_of(&used);
            assert!(below < floor, "{module} uses {path}, which stands above it or beside it");
        }
    }
    assert!(seen > 10, "few arrows were read in {folder}: {seen}");
}

#[test]
fn the_rooms_of_the_adapters_stand_on_floors() {
    floors(
        "src/adapters",
        &[
            &["clock", "random"],
            &["system"],
            &["interrupt"],
            &["program"],
            &["bytes"],
            &["home"],
            &["pack", "server", "alert", "no_alerts", "bundle", "chronicle", "remote"],
            &["page"],
            &["look"],
        ],
    );
}

#[test]
fn the_rooms_of_apply_stand_on_floors() {
    floors(
        "src/apply",
        &[
            &["work", "cut_off"],
            &["database"],
            &["files"],
            &["online", "repair", "secrets"],
            &["rehearse", "roles"],
            &["steps"],
            &["engine"],
        ],
    );
}

#[test]
fn the_floors_above_are_not_used_from_below() {
    for room in ["src/deep", "src/watch", "src/lab"] {
        nobody_in(room, &[], &["crate::apply", "crate::commands", "crate::cli"]);
    }
    for room in ["src/deep", "src/watch", "src/apply"] {
        nobody_in(room, &[], &["crate::lab", "crate::commands", "crate::cli"]);
    }
    nobody_in("src/apply", &[], &["crate::watch"]);
}

/// What a look has found is remembered by the command that looked.
#[test]
fn a_look_writes_no_file() {
    let words = [
        "write_atomic",
        "create_dir",
        "create_private",
        "fs::write",
        "fs::remove",
        "fs::rename",
        "fs::copy",
        "File::create",
        "OpenOptions",
        "remembered::remember",
        "::store(",
        "::let_go(",
    ];
    nobody_in("src/adapters/look", &[], &words);
}

/// Each module below `src`: its path from the crate's root, whether it is a folder's own file, and its code.
fn modules() -> Vec<(String, bool, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let module_of = |path: &Path| {
        let below = path.strip_prefix(&root).expect("in src").with_extension("");
        let parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let is_folder = parts.last().is_some_and(|name| name == "mod" || name == "lib");
        (parts[..parts.len() - usize::from(is_folder)].join("::"), is_folder)
    };
    sources("src")
        .into_iter()
        .map(|(path, code)| {
            let (module, is_folder) = module_of(&path);
            (module, is_folder, code)
        })
        .collect()
}

/// The modules that a source imports, as paths from the crate's root.
fn imports(module: &str, is_folder: bool, code: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let uncommented: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let statements: Vec<&str> = uncommented.split(';').collect();
    for statement in statements {
        if let Some((_, tree)) = statement.rsplit_once("use ")
            && ["crate::", "super::", "self::"].iter().any(|root| tree.trim().starts_with(root))
        {
            leaves("", tree.trim(), &mut out);
        }
        // A path within a line, as `super::rows::open(…)`.
        for (at, root) in
            ["crate::", "super::", "self::"].iter().flat_map(|root| statement.match_indices(root))
        {
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            if statement[..at].ends_with(is_part) || statement.contains("use ") && root != "crate::" {
                continue;
            }
            let end = statement[at..].find(|c: char| !is_part(c));
            out.insert(statement[at..][..end.unwrap_or(statement.len() - at)].to_owned());
        }
    }
    let here: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let absolute = |path: &String| {
        let mut base = here.clone();
        if !is_folder {
            base.pop();
        }
        let mut rest = path.as_str();
        if let Some(below) = rest.strip_prefix("crate::") {
            return below.to_owned();
        }
        rest = rest.strip_prefix("self::").unwrap_or(rest);
        if path.starts_with("self::") && !is_folder {
            base.clone_from(&here);
        }
        // `super` of a file is its folder; of a folder's mod.rs the folder above.
        let mut first = !is_folder;
        while let Some(below) = rest.strip_prefix("super::") {
            if !first {
                base.pop();
            }
            (rest, first) = (below, false);
        }
        base.push(rest);
        base.join("::")
    };
    out.iter().map(absolute).collect()
}

/// The paths of a `use` tree, each on its own.
fn leaves(before: &str, tree: &str, out: &mut BTreeSet<String>) {
    let tree = tree.trim();
    let Some((path, inside)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        out.insert(format!("{before}{path}").trim_end_matches("::self").to_owned());
        return;
    };
    let (inside, before) = (inside.trim_end().trim_end_matches('}'), format!("{before}{}", path.trim()));
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                leaves(&before, &inside[begin..at], out);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !inside[begin..].trim().is_empty() {
        leaves(&before, &inside[begin..], out);
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files = modules();
    let known: BTreeSet<&str> = files.iter().map(|(module, ..)| module.as_str()).collect();
    let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, is_folder, code) in &files {
        for mut path in imports(module, *is_folder, code) {
            // The longest beginning of the path that is a file.
            while !known.contains(path.as_str()) {
                let Some((shorter, _)) = path.rsplit_once("::") else { break };
                path.truncate(shorter.len());
            }
            if let Some(target) = known.get(path.as_str()).filter(|target| **target != module.as_str()) {
                arrows.entry(module).or_default().insert(target);
            }
        }
    }
    assert!(
        arrows.values().map(BTreeSet::len).sum::<usize>() > 400,
        "few arrows were read: {}",
        arrows.len()
    );
    let circles = circles(&arrows);
    assert!(circles.is_empty(), "these files import each other in a circle: {circles:?}");
    // A folder's mod.rs also names its own files without `crate::`, `super::` or `self::`. It may name them, and
    // they may name it. But no such way leads out of the folder and back.
    for (module, _, code) in &files {
        let below = format!("{module}::");
        let own = known.iter().filter(|file| {
            file.strip_prefix(&below).is_some_and(|name| !name.contains("::") && names_module(code, name))
        });
        arrows.entry(module).or_default().extend(own);
    }
    let in_one_folder = |circle: &BTreeSet<&str>| {
        let folder = circle.iter().min_by_key(|module| module.matches("::").count()).expect("not empty");
        circle.iter().all(|module| module == folder || module.starts_with(&format!("{folder}::")))
    };
    let mut circles = self::circles(&arrows);
    circles.retain(|circle| !in_one_folder(circle));
    assert!(circles.is_empty(), "these files import each other in a circle: {circles:?}");
}

/// Whether a source has a path that begins with the name of a module.
fn names_module(code: &str, name: &str) -> bool {
    let begins = |at: usize| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    };
    code.match_indices(&format!("{name}::")).any(|(at, _)| begins(at))
}

/// The files from each of which arrows lead to each other one, as groups.
fn circles<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<BTreeSet<&'a str>> {
    let reached_from = |start: &'a str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(module) = next.pop() {
            for target in arrows.get(module).into_iter().flatten() {
                if seen.insert(*target) {
                    next.push(target);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|module| (*module, reached_from(module))).collect();
    let circle_of = |module: &'a str| {
        let back = |other: &&&str| reached.get(**other).is_some_and(|seen| seen.contains(module));
        reached[module].iter().filter(back).copied().collect::<BTreeSet<&str>>()
    };
    arrows.keys().map(|module| circle_of(module)).filter(|circle| circle.len() > 1).collect()
}

/// A new program of tests that nothing starts would prove nothing.
#[test]
fn the_suite_starts_every_program_of_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("readable");
    let (suite, cargo) = (read("scripts/test"), read("Cargo.toml") + &read("tests/model/Cargo.toml"));
    let named = cargo.split("[[test]]").skip(1).filter_map(|rest| rest.split('"').nth(1).map(str::to_owned));
    let files = std::fs::read_dir(root.join("tests")).expect("readable").flatten().filter_map(|entry| {
        let path = entry.path();
        let is_source = path.extension().is_some_and(|suffix| suffix == "rs");
        path.file_stem().filter(|_| is_source).map(|stem| stem.to_string_lossy().into_owned())
    });
    let programs: BTreeSet<String> = named.chain(files).collect();
    assert!(programs.len() > 8, "{programs:?}");
    for program in programs {
        // By cargo, or one by one from what was built: "$(programs model)", <(programs package proof).
        let is_started = suite.contains(&format!("--test {program}"))
            || suite.split("(programs ").skip(1).any(|rest| {
                rest.split(')').next().is_some_and(|names| names.split(' ').any(|name| name == program))
            });
        // It measures, and is started by hand.
        let is_measure = program == "switchover_bench" && read("scripts/bench").contains("switchover_bench");
        assert!(is_measure || is_started, "scripts/test starts no program {program}");
    }
    let fuzz = read("scripts/fuzz");
    for target in std::fs::read_dir(root.join("tests/fuzz/targets")).expect("readable").flatten() {
        let path = target.path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(fuzz.contains(&name), "scripts/fuzz has no target {name}");
    }
}

#[test]
fn each_decision_is_in_the_index_and_has_its_parts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decisions");
    let index = std::fs::read_to_string(folder.join("README.md")).expect("an index");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "README.md" {
            continue;
        }
        seen += 1;
        assert!(index.contains(&format!("({name})")), "{name} is not in the index");
        let page = std::fs::read_to_string(entry.path()).expect("readable");
        for part in ["## Context", "## Decision", "## Proved by"] {
            assert!(page.contains(part), "{name} has no part {part:?}");
        }
    }
    assert!(seen > 80, "{seen}");
}

#[test]
fn each_outside_thing_has_one_door() {
    nobody_in("src", &["server/session.rs"], &["mysql_async::"]);
    nobody_in("src", &["pack/read.rs", "adapters/bundle.rs"], &["zip::"]);
    nobody_in("src", &["domain/web.rs"], &["roxmltree::"]);
    nobody_in("src", &["pack/deflate.rs"], &["flate2::", "libdeflater::"]);
    nobody_in("src", &["pack/signature.rs", "bytes/digest.rs", "alert/tls.rs"], &["aws_lc_rs::"]);
    nobody_in("src", &["bytes/digest.rs", "bytes/tree_hash.rs"], &["blake3::"]);
    nobody_in("src", &["bytes/direct.rs"], &["memmap2::"]);
    // Not `page::`, nor lettre's `message`.
    nobody_in("src", &["pack/sealed.rs"], &["use age::", " age::", "(age::", "<age::", "&age::"]);
    nobody_in("src", &["home/certificates.rs"], &["rcgen::"]);
    nobody_in("src", &["home/datadir.rs"], &["reflink_copy::"]);
    nobody_in("src", &["server/old_tls.rs", "bytes/old_signature.rs"], &["openssl::"]);
    nobody_in(
        "src",
        &[
            "system/mod.rs",
            "system/account.rs",
            "system/disk.rs",
            "system/folder.rs",
            "system/limits.rs",
            "system/lock.rs",
            "system/notify.rs",
            "system/process.rs",
            "system/process_table.rs",
            "system/reading.rs",
            "system/socket.rs",
            "system/terminal.rs",
        ],
        &[
            "nix::",
            "std::os::unix",
            "libc::",
            "tokio::signal",
            "UnixStream",
            "UnixListener",
            "tempfile::",
            "/proc/",
        ],
    );
    nobody_in("src", &["alert/email.rs"], &["lettre::"]);
    nobody_in("src", &["alert/snmp.rs"], &["async_snmp::"]);
    nobody_in("src", &["alert/webhook.rs"], &["ureq::"]);
    nobody_in("src", &["adapters/chronicle.rs"], &["redb::"]);
    nobody_in("src", &["page/mod.rs", "page/token.rs"], &["hyper::", "hyper_util::", "http_body_util::"]);
    nobody_in(
        "src",
        &["alert/tls.rs", "page/tls.rs"],
        &["rustls::", "rustls_native_certs::", "tokio_rustls::"],
    );
    nobody_in("src", &["ui/progress.rs"], &["indicatif::"]);
    nobody_in(
        "src",
        &["ui.rs", "ui/ask.rs"],
        &["dialoguer::", "io::stdout", "io::stderr", "terminal_size::"],
    );
    nobody_in("src", &["cli/generate.rs", "cli/practise.rs"], &["clap_complete::", "clap_mangen::"]);
}

/// Somebody else may exchange what a path names between two looks at it.
#[test]
fn an_owner_is_changed_by_descriptor() {
    nobody_in("src", &[], &["fs::chown(", "lchown(", "unistd::chown(", "chown::"]);
}

/// A pipe is waited for, a device has no end, and a file may be larger than the memory.
#[test]
fn files_are_read_through_one_door() {
    let words = [
        "fs::read(",
        "fs::read_to_string(",
        "fs::File::open(",
        "OpenOptions",
        "File::options(",
        "lock_dir(home",
    ];
    nobody_in(
        "src",
        &[
            "system/account.rs",
            "system/disk.rs",
            "system/mod.rs",
            "system/process.rs",
            "system/process_table.rs",
            "system/lock.rs",
            "system/reading.rs",
            "lab/mod.rs",
            "lab/ports.rs",
            "lab/home.rs",
            "lab/fill.rs",
        ],
        &words,
    );
}

/// Who refuses, resets or drops a connection may be a firewall: no sign that a server is down.
#[test]
fn no_code_draws_a_conclusion_from_a_refused_connection() {
    let words = ["ConnectionRefused", "ConnectionReset", "ConnectionAborted", "ECONNREFUSED", "ECONNRESET"];
    nobody_in("src", &[], &words);
}

#[test]
fn the_words_of_work_that_takes_time_fit_a_terminal_of_60_columns() {
    // Besides them stand the wheel and up to five digits of seconds, or percents, bytes, a speed and a bar.
    const WAIT: usize = 60 - "| 12345 s  ".len();
    const BAR: usize = "encrypting".len();
    let mut seen = 0;
    for (path, code) in sources("src") {
        for (door, longest) in [(".spinner(\"", WAIT), (".progress(\"", BAR)] {
            for words in code.split(door).skip(1).filter_map(|rest| rest.split('"').next()) {
                seen += 1;
                assert!(words.chars().count() <= longest, "{}: {words:?}", path.display());
            }
        }
    }
    assert!(seen > 25, "only {seen} were found");
}

/// What the configuration says is a value; the file is read where a command gets it.
#[test]
fn the_configuration_reads_no_file() {
    nobody_in("src/config", &[], &["crate::adapters", "fs_err", "std::fs"]);
    let config =
        sources("src").into_iter().find(|(path, _)| path.ends_with("src/config.rs")).expect("there").1;
    assert!(!config.contains("crate::adapters"));
}

#[test]
fn root_enters_a_home_before_it_uses_it() {
    // A command gets its home from one place, where root becomes its owner.
    nobody_in("src/commands", &["commands/mod.rs", "commands/recover.rs"], &["Home::open(", "find_home("]);
    // Programs do not get root's terminal.
    nobody_in("src", &["system/account.rs", "lab/home.rs"], &["Command::new("]);
    nobody_in("src", &["system/account.rs", "home/entry.rs"], &["become_account("]);
}

#[test]
fn the_units_run_without_rights() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let entries = std::fs::read_dir(folder).expect("readable").flatten().map(|entry| entry.path());
    let units: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "service")).collect();
    assert!(units.len() > 1, "{units:?}");
    for unit in units {
        let text = std::fs::read_to_string(&unit).expect("readable");
        for line in ["User=pmp", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict"] {
            assert!(text.lines().any(|each| each == line), "no {line} in {}", unit.display());
        }
        // Exposure, times ten.
        let mut judge = std::process::Command::new("systemd-analyze");
        judge.args(["security", "--offline=true", "--threshold=30", "--no-pager"]).arg(&unit);
        match judge.output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            #[expect(clippy::print_stderr, reason = "what was not tested is said")]
            Err(error) => eprintln!("NOT TESTED, because systemd-analyze cannot be run: {error}"),
        }
    }
}

/// The string literals of a source, each with what follows it.
fn literals(code: &str) -> Vec<(&str, &str)> {
    let mut out = Vec::new();
    let mut rest = code;
    while let Some(begin) = rest.find('"') {
        let text = &rest[begin + 1..];
        let mut escaped = false;
        let end = text.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { break };
        rest = &text[end + 1..];
        out.push((&text[..end], rest));
    }
    out
}

/// The codes of findings: what stands before an `About` or a `Severity`, and whatever in the judge
/// looks like one because of its hyphens.
fn codes() -> BTreeSet<String> {
    let is_word = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let mut out = BTreeSet::new();
    for (path, code) in sources("src/domain") {
        let uncommented: Vec<&str> =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (text, after) in literals(&uncommented.join("\n")).into_iter().filter(|(text, _)| is_word(text)) {
            let next = after.trim_start().strip_prefix(',').unwrap_or_default().trim_start();
            let stands_like_one =
                ["About::", "Severity::", "about,", "severity,"].iter().any(|start| next.starts_with(start));
            // A field of the table of codes, before the next one.
            let field = next
                .split_once(": \"")
                .map(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            let in_the_table = path.ends_with("judge/channel.rs") && field == Some(true);
            if stands_like_one
                || in_the_table
                || (text.contains('-') && path.to_string_lossy().contains("/judge/"))
            {
                out.insert(text.to_owned());
            }
        }
    }
    out
}

#[test]
fn the_handbook_explains_every_finding_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/health.md");
    let text = std::fs::read_to_string(path).expect("readable");
    let sections: Vec<(&str, &str)> = text
        .split("\n### ")
        .skip(1)
        .map(|section| section.split_once('\n').expect("a heading and a text"))
        .map(|(heading, body)| (heading, body.split("\n## ").next().unwrap_or_default().trim()))
        .collect();
    let headings: Vec<String> = sections.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let codes = codes();
    assert!(codes.len() > 20 && codes.contains("no-pair") && codes.contains("lagging"), "{codes:?}");
    // Sorted, so that a code is found, and added, without thinking.
    assert_eq!(headings, codes.into_iter().collect::<Vec<_>>(), "headings of docs/health.md and codes");
    for (heading, body) in sections {
        let severity = ["**Failed**, ", "**Unknown**, ", "**Warning**, ", "**Note**, "];
        assert!(severity.iter().any(|word| body.starts_with(word)), "{heading}: {body}");
    }
}

/// Cargo compiles only the files of a test program that another one names: what is in no list would
/// be tested by nobody, and nobody would notice.
#[test]
fn every_file_of_the_tests_is_in_a_list_of_modules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let list = ["main.rs", "mod.rs", "lib.rs"]
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file());
        let text = list.as_ref().map(|path| std::fs::read_to_string(path).expect("readable"));
        for entry in std::fs::read_dir(&folder).expect("readable").flatten() {
            let path = entry.path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let is_source = path.extension().is_some_and(|suffix| suffix == "rs");
            if path.is_dir() {
                folders.push(path);
            } else if is_source && Some(&path) != list.as_ref() {
                // A folder without a list holds programs: Cargo finds those of `tests`, and
                // `Cargo.toml` names the others.
                let Some(text) = &text else { continue };
                let is_named =
                    text.lines().any(|line| line.trim_start_matches("pub ").trim() == format!("mod {name};"));
                assert!(is_named, "{} has no line `mod {name};`", list.as_ref().expect("a list").display());
            }
        }
    }
}

/// What several tests need is a part of the harness: then a reader knows where to look, and a test can go.
#[test]
fn a_test_imports_nothing_of_another_test() {
    for (path, text) in sources("tests/promises") {
        let inside = path.components().any(|part| part.as_os_str() == "harness");
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for named in line.split("crate::").skip(1).filter(|_| !line.contains("$crate::")) {
                let macros = named.starts_with("on_") || named.starts_with("{on_");
                let ok = !inside && (macros || named.starts_with("harness"));
                assert!(ok, "{}: {line}", path.display());
            }
        }
    }
}

/// Every document, with its path below the project.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                out.push(path);
            }
        }
    }
    out.into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("readable");
            (path, text)
        })
        .collect()
}

#[test]
fn what_documents_link_to_is_there() {
    let mut seen = 0;
    for (path, text) in documents() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.contains(' ')) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let linked = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let linked = if file.starts_with("../") || file.contains('/') {
                path.parent().expect("a folder").join(file)
            } else {
                linked
            };
            seen += 1;
            assert!(linked.exists(), "{}: no {target}", path.display());
            if heading.is_empty() || linked.is_dir() {
                continue;
            }
            let content = std::fs::read_to_string(&linked).expect("readable");
            let anchor = |line: &str| -> String {
                let words = line.trim_start_matches('#').trim().to_lowercase();
                let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            };
            let found =
                content.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading);
            assert!(found, "{}: no heading for {target}", path.display());
        }
    }
    assert!(seen > 60, "only {seen} links were found");
}

#[test]
fn the_tests_that_documents_name_exist() {
    let mut functions = BTreeMap::<String, Vec<String>>::new();
    for folder in ["src", "tests"] {
        let mut all = Vec::new();
        every_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut all);
        for (path, text) in all {
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<', ':', ';']).next());
            for name in names {
                functions.entry(name.to_owned()).or_default().push(path.clone());
            }
        }
    }
    let mut seen = 0;
    for (path, text) in documents() {
        for named in text.split('`').skip(1).step_by(2) {
            // A test is named by its file and a sentence.
            let Some((file, function)) = named.rsplit_once("::") else { continue };
            let is_sentence = function.matches('_').count() >= 3
                && function.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if is_sentence {
                seen += 1;
                let places = functions.get(function).map_or(&[][..], Vec::as_slice);
                // `judge::…` may be in `judge/tests.rs`.
                let is_there = places.iter().any(|place| place.contains(&format!("/{file}/")))
                    // A method is named by its type.
                    || (!places.is_empty() && file.starts_with(|c: char| c.is_ascii_uppercase()));
                assert!(is_there, "{}: there is no test {named}, only in {places:?}", path.display());
            }
        }
    }
    assert!(seen > 100, "only {seen} were found");
}

/// Path and text of every source below a folder. The path has a slash at both ends, and no `mod.rs`.
fn every_file(dir: &Path, out: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            every_file(&path, out);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            let place = path.with_extension("").to_string_lossy().into_owned();
            let place = place.strip_suffix("/mod").unwrap_or(&place);
            out.push((format!("{place}/"), std::fs::read_to_string(&path).expect("readable")));
        }
    }
}

/// Two of a name would make a reader ask each time which one is meant.
#[test]
fn a_public_type_has_a_name_of_its_own() {
    // The bridge to old TLS and the channels of alarms, and what stands in for them in a build without them.
    let same = ["AlarmChannel", "Bridge", "DeadMan"];
    let mut places = BTreeMap::<String, Vec<PathBuf>>::new();
    for (path, text) in sources("src") {
        for line in text.lines().map(str::trim_start).filter(|line| line.starts_with("pub")) {
            let mut words = line.split_whitespace().skip(1);
            let (Some("struct" | "enum" | "trait" | "type"), Some(name)) = (words.next(), words.next())
            else {
                continue;
            };
            let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
            places.entry(name).or_default().push(path.clone());
        }
    }
    let twice = places.iter().filter(|(name, paths)| paths.len() > 1 && !same.contains(&name.as_str()));
    assert_eq!(twice.collect::<Vec<_>>(), []);
}
