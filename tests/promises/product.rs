//! Password Manager Pro itself: whether it answers is told apart from its database.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::alarm::Monitor;
use crate::harness::{Bare, Lab, Node, wait_until, wait_until_or};

const ANY: &str = "mariadb-11.8";

/// The port that a lab's `conf/server.xml` names.
fn web_port(node: &Node) -> u16 {
    let text = std::fs::read_to_string(node.path("conf/server.xml")).expect("readable");
    let connector = text.split("<Connector").nth(1).expect("a connector");
    let value = connector.split("port=\"").nth(1).and_then(|rest| rest.split('"').next());
    value.and_then(|port| port.parse().ok()).expect("a port")
}

#[track_caller]
fn services(node: &Node) -> Value {
    let ran = node.run(&["verify", "--json"]).ok();
    serde_json::from_str::<Value>(&ran.stdout).expect("JSON")["services"].clone()
}

#[test]
fn the_product_is_told_apart_from_its_database() {
    let lab = Lab::pair(ANY);
    let nodes = [&lab.primary, &lab.secondary];
    let ports = nodes.map(web_port);
    let word = |pmp: &str| json!({"pmp": pmp, "database": "Alive"});

    // It never ran: on this machine that is a fact, on the other one it may be a firewall.
    assert_eq!(services(&lab.secondary), json!({"primary": word("Unknown"), "secondary": word("Failed")}));
    assert_eq!(lab.secondary.findings(), Vec::<String>::new());

    // Something swallows what is sent, as a firewall may. Nobody waits for what never answered, and nothing is known.
    let silent = ports.map(|port| TcpListener::bind(("127.0.0.1", port)).expect("free"));
    let unknown = json!({"primary": word("Unknown"), "secondary": word("Unknown")});
    wait_until("a look ends without an answer of theirs", || services(&lab.secondary) == unknown);
    drop(silent);

    let bare = Bare::new();
    let [first, second] = ports.map(|port| port.to_string());
    let args = [bare.text("cert.pem"), bare.text("key.pem"), first.clone(), second];
    let args = args.each_ref().map(String::as_str);
    let web = bare.python("https", include_str!("receivers/https.py"), &args);
    assert_eq!(services(&lab.secondary), json!({"primary": word("Alive"), "secondary": word("Alive")}));
    // The primary does not know the secondary's port, and guesses none where both have one address.
    assert_eq!(services(&lab.primary), json!({"primary": word("Alive"), "secondary": word("Unknown")}));
    for node in nodes {
        assert_eq!(node.findings(), Vec::<String>::new());
    }

    let monitor = Monitor::over(&lab.secondary);
    monitor.sees("Alive");
    drop(web);
    for node in ["primary", "secondary"] {
        let line = format!("  product     Password Manager Pro on the {node}: Alive -> Failed\n");
        wait_until_or("the history has it", || {
            let history = lab.secondary.run(&["events"]).ok().stdout;
            if history.contains(&line) { Ok(()) } else { Err(history) }
        });
    }
    monitor.ends_well();
    assert_eq!(services(&lab.secondary), json!({"primary": word("Failed"), "secondary": word("Failed")}));
    assert_eq!(lab.secondary.findings(), ["pmp-down", "pmp-down"]);
    assert_eq!(lab.primary.findings(), ["pmp-down"]);
    for node in nodes {
        let said = node.run(&["verify", "--nagios"]).exits(1).stdout;
        assert!(said.contains("Password Manager Pro does not answer on the primary"), "{said}");
        assert!(said.contains(&format!("port {first}: Connection refused")), "{said}");
    }

    // Something accepts, and says nothing: its server is frozen.
    let frozen = TcpListener::bind(("127.0.0.1", ports[0])).expect("free");
    let said = lab.secondary.run(&["verify"]).ok().stdout;
    assert!(said.contains("nothing answered within 1.5 s; its database answers"), "{said}");
    drop(frozen);

    std::fs::remove_file(lab.primary.path("conf/server.xml")).expect("removed");
    let said = lab.primary.run(&["verify"]).ok().stdout;
    assert!(said.contains("[pmp-port-unknown]") && said.contains("No such file"), "{said}");
    let path = lab.primary.path("conf/pmp-ha.toml");
    std::fs::write(path, "[product]\nwatch_web_port = false\n").expect("written");
    assert_eq!(lab.primary.findings(), Vec::<String>::new());
}
