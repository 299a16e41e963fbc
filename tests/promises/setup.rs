//! `setup`: the whole manual on a terminal and without one, left and taken up again.

use serde_json::Value;

use crate::harness::{Lab, Node, OnTerminal, Ran, assert_same, pmp_ha, wait_until};
use crate::on_servers;

on_servers!(the_guide_leads_through_the_manual_and_can_be_left: mariadb_10_11; left: mysql_5_6, mysql_9_7, mariadb_11_8);

/// What may not change while a question is open.
const OWN: [&str; 4] = ["bin", "conf", "replication", "HAPack.zip"];

/// The steps that are due, by the JSON of a run.
fn due(ran: &Ran) -> Vec<String> {
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error} in\n{ran}"));
    let steps = told["steps"].as_array().expect("steps").iter();
    let open = steps.filter(|item| item["state"] != "done" && item["step"] != "check");
    open.map(|item| item["step"].as_str().expect("a step").to_owned()).collect()
}

fn dry(node: &Node) -> Vec<String> {
    let before = node.fingerprint_of(&OWN);
    let ran = node.run(&["--json", "--dry-run", "setup"]).ok();
    assert_same(&before, &node.fingerprint_of(&OWN), &ran.to_string());
    due(&ran)
}

/// A run on a terminal: what it asks, and what is typed.
fn guided(node: &Node, args: &[&str], answers: &[(&str, &str)], code: i32) -> String {
    let mut terminal = OnTerminal::run_whole(node.command(&[&["setup"], args].concat()));
    let mut seen = 0;
    for (question, answer) in answers {
        // The same question may come twice.
        wait_until(&format!("it asks {question}"), || terminal.screen()[seen..].contains(question));
        seen += terminal.screen()[seen..].find(question).expect("asked") + question.len();
        terminal.answer(question, answer);
    }
    let shown = terminal.shown();
    let ended = terminal.exit_code();
    let text = || String::from_utf8_lossy(&shown.lock().expect("no panic")).into_owned();
    assert_eq!(ended, Some(code), "{}", text());
    // Its last line says what comes next. That may still be on its way here.
    let last = if code == 0 { "next: " } else { "hint: " };
    wait_until("its last line is on the screen", || text().contains(last) && text().ends_with('\n'));
    text()
}

fn the_guide_leads_through_the_manual_and_can_be_left(server: &str) {
    let lab = Lab::up(server);
    let [primary, secondary] = [&lab.primary, &lab.secondary];
    let names = ["--primary", &primary.endpoint, "--secondary", &secondary.endpoint];
    let key = lab.key().to_string_lossy().into_owned();
    primary.run(&["start"]).ok();

    // Without a terminal every question names its option, before the first change.
    let before = primary.fingerprint_of(&OWN);
    primary.run(&["setup"]).exits(2).says(&["the name of the primary is not known", "Pass --primary."]);
    primary.run(&["setup", "--primary", "pmp-a"]).exits(2).says(&["Pass --secondary."]);
    primary.run(&[&["setup"], &names[..]].concat()).exits(2).says(&["Pass --stop"]);
    primary
        .run(&["setup", "--key", &key])
        .exits(2)
        .says(&["--key is for the secondary", "this node is the primary"]);
    secondary.run(&[&["setup"], &names[..]].concat()).exits(2).says(&["--primary is for the primary"]);
    secondary.run(&["setup"]).refused(&["there is no pack here", "name it with --pack"]);
    // Whoever names the home finds it in the hint.
    let home = primary.home.to_string_lossy();
    let hint = format!("Pass --stop, or run `pmp-ha --home {home} stop` first.");
    pmp_ha(&[&["--home", &home, "setup"], &names[..]].concat()).exits(2).says(&[&hint]);
    assert_eq!(dry(primary), ["stop", "pack", "carry", "verify"]);
    assert_eq!(dry(secondary), ["install_pack", "key", "start", "verify"]);
    assert_same(&before, &primary.fingerprint_of(&OWN), "questions without an answer");
    {
        let _gone = crate::harness::Put::gone(primary.path("bin/stopDB.sh"));
        primary
            .run(&[&["setup"], &names[..]].concat())
            .refused(&["this node cannot be set up yet", "stopDB.sh"]);
    }

    // On a terminal it is left before the pack, and goes on from there.
    let asked = [
        ("reaches this machine", format!("\u{15}{}\r", primary.endpoint)),
        ("Name of the secondary's machine", "no name!\r".to_owned()),
        ("Name of the secondary's machine", format!("{}\r", secondary.endpoint)),
        ("Stop the database now?", "y".to_owned()),
        ("Do this?", "n".to_owned()),
    ];
    let answers: Vec<(&str, &str)> =
        asked.iter().map(|(question, answer)| (*question, answer.as_str())).collect();
    let screen = guided(primary, &[], &answers, 130);
    for text in [
        "The steps on the primary:",
        "Step 2 of 6: stop the database.",
        "Step 3 of 6: make the pack.",
        "it resumes at this step",
    ] {
        assert!(screen.contains(text), "no {text:?} in {screen}");
    }
    assert!(!primary.is_running());
    assert_eq!(dry(primary), ["pack", "carry", "verify"]);
    let screen = guided(primary, &names, &[("Do this?", "y")], 0);
    for text in ["Copy to the other node:", "HAPack.zip", "pmp_key.key", "run `pmp-ha setup` on"] {
        assert!(screen.contains(text), "no {text:?} in {screen}");
    }
    assert!(primary.is_running(), "the primary serves again");
    let warnings: Vec<&str> = screen.lines().filter(|line| line.starts_with("warning: ")).collect();
    let once: std::collections::BTreeSet<&str> = warnings.iter().copied().collect();
    assert_eq!(once.len(), warnings.len(), "a warning is said twice: {screen}");
    assert_eq!(screen.matches("next: ").count(), 1, "only the guide says what comes next: {screen}");
    assert_eq!(dry(primary), ["carry", "verify"]);

    // The secondary goes on from the pack. A wrong key may be typed once more.
    lab.carry();
    let others = secondary.path("conf/pmp_key.key").to_string_lossy().into_owned();
    secondary.run(&["setup", "--key", &others]).refused(&["encrypted with another key"]);
    assert_eq!(dry(secondary), ["install_pack", "key", "start", "verify"]);
    let (wrong, right) = (format!("{others}\r"), format!("{key}\r"));
    let question = "Full path of the primary's pmp_key.key";
    let screen = guided(secondary, &[], &[(question, &wrong), (question, &right), ("Do this?", "y")], 0);
    for text in ["Step 3 of 6: install the pack.", "encrypted with another key", "Replication Status: Alive"]
    {
        assert!(screen.contains(text), "no {text:?} in {screen}");
    }
    lab.wait_alive();

    // Both are done, and say so.
    for node in [primary, secondary] {
        let ran = node.run(&["--json", "setup"]).ok();
        assert_eq!(due(&ran), Vec::<String>::new(), "{ran}");
        node.run(&["setup"])
            .shows(&["High Availability Status: Alive", "next: start Password Manager Pro on both"]);
    }
    // One that is only stopped is started.
    secondary.run(&["stop"]).ok();
    assert_eq!(dry(secondary), ["start", "verify"]);
    secondary.run(&["--yes", "setup"]).shows(&["Replication Status: Alive"]);
}
