//! `doctor`: everything that can be seen without a change, before and after there is a pair.

use serde_json::Value;

use crate::harness::{Lab, Node, Put, assert_same, wait_until};
use crate::on_servers;

on_servers!(it_finds_what_is_wrong_and_names_the_next_step: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

/// The codes of the points that failed, and those that warn.
fn found(node: &Node, code: i32, args: &[&str]) -> (Vec<String>, Vec<String>, String) {
    let before = node.fingerprint_of(&["bin", "conf", "replication", "HAPack.zip", ".pmp-ha.lock", "logs"]);
    let ran = node.run(&[&["--json", "doctor"][..], args].concat()).exits(code);
    let after = node.fingerprint_of(&["bin", "conf", "replication", "HAPack.zip", ".pmp-ha.lock", "logs"]);
    assert_same(&before, &after, &ran.to_string());
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let of = |grade: &str| {
        let points = report["points"].as_array().expect("points").iter();
        let points = points.filter(|point| point["grade"] == grade);
        points.map(|point| point["code"].as_str().expect("a code").to_owned()).collect()
    };
    (of("failed"), of("warning"), report["next"].as_str().expect("a step").to_owned())
}

fn it_finds_what_is_wrong_and_names_the_next_step(server: &str) {
    let none = Vec::<String>::new();
    let lab = Lab::up(server);
    let [primary, secondary] = [&lab.primary, &lab.secondary];

    // Before there is a pair, without a lock and without a log.
    let with_peer = ["--peer", &secondary.endpoint];
    let (failed, _, next) = found(primary, 0, &with_peer);
    assert_eq!((failed, next.as_str()), (none.clone(), "run `pmp-ha pack PRIMARY SECONDARY`"));
    let (_, _, next) = found(secondary, 0, &[]);
    assert_eq!(next, "run `pmp-ha pack` on the primary, and put HAPack.zip into this home");
    {
        let _gone = Put::gone(primary.path("bin/stopDB.sh"));
        assert_eq!(found(primary, 5, &[]).0, ["home-incomplete"]);
    }
    let ran = primary.run(&["doctor", "--peer", "no-such-host.invalid"]).exits(5);
    assert!(ran.stdout.contains("[name-unknown]") && ran.stdout.contains("no-such-host.invalid"), "{ran}");

    lab.pack().ok().says(&["the secondary's port", "cannot be reached from here"]);
    lab.carry();
    let of_mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    let pack = secondary.path("HAPack.zip");
    std::fs::set_permissions(&pack, of_mode(0o644)).expect("set");
    let (failed, _, next) = found(secondary, 5, &[]);
    assert_eq!((failed, next.starts_with("fix what failed")), (vec!["secret-readable".to_owned()], true));
    std::fs::set_permissions(&pack, of_mode(0o600)).expect("set");
    assert_eq!(found(secondary, 0, &[]).2, "run `pmp-ha install-pack`");
    secondary.run(&["install-pack"]).ok().says(&["the primary's port", "cannot be reached from here"]);
    assert_eq!(found(secondary, 5, &[]).0, ["key-of-another"]);
    secondary.run(&["key", &lab.key().to_string_lossy()]).ok();
    assert_eq!(found(secondary, 0, &[]).2, "run `pmp-ha start`");
    lab.start();
    lab.wait_alive();

    // In a pair it has what `verify` has, and proposes the query for TFA.
    for node in [primary, secondary] {
        let (failed, _, next) = found(node, 0, &[]);
        assert_eq!((failed, next.as_str()), (none.clone(), "nothing; `pmp-ha monitor` watches the pair"));
        let ran = node.run(&["doctor"]).ok();
        for text in [
            "Replication Status: Alive",
            "ok: the clocks of the two nodes agree",
            "WHERE NAME = 'TFA_TYPE'\"`",
            "open files",
            "days from now",
        ] {
            assert!(ran.stdout.contains(text), "no {text:?} in {ran}");
        }
    }
    secondary
        .configure("[product]\ntfa_query = \"SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'TFA_TYPE'\"\n");
    let ran = secondary.run(&["doctor"]).ok();
    assert!(ran.stdout.contains("ok: product.tfa_query watches the TFA setting"), "{ran}");
    {
        let script = primary.path("bin/startDB.sh");
        let before = std::fs::read_to_string(primary.path("bin/startDB.sh.before-pmp-ha")).expect("there");
        let _upgraded = Put::content(script, &before);
        assert_eq!(found(primary, 5, &[]).0, ["script-not-wired"]);
    }
    // An audit row with the largest number flows back, and the primary has none for the next.
    secondary.sql("INSERT INTO ptrx_useraudit (AUDITID, NAME) VALUES (9223372036854775807, 'nobody')");
    let used_up = vec!["row-numbers-used-up".to_owned()];
    wait_until("the primary has no number left", || found(primary, 5, &[]).0 == used_up);
    let ran = primary.run(&["doctor"]).exits(5);
    assert!(ran.stdout.contains("the table ptrx_useraudit has no numbers left"), "{ran}");
    primary.sql("DELETE FROM ptrx_useraudit WHERE NAME = 'nobody'");
    primary.sql("ALTER TABLE ptrx_useraudit AUTO_INCREMENT = 5000");
    wait_until("both have numbers again", || {
        [primary, secondary].iter().all(|node| !node.run(&["doctor"]).stdout.contains("row-numbers"))
    });
    secondary.kill();
    assert!(!found(primary, 5, &[]).0.is_empty(), "nothing failed without the secondary");
    let ran = secondary.run(&["doctor"]).ok();
    assert!(
        ran.stdout.contains("[pair-not-looked-at]") && ran.stdout.contains("run `pmp-ha start`"),
        "{ran}"
    );
}
