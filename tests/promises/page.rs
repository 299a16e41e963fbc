//! The page of the monitor, and what it serves to programs: through real HTTP, from a real pair.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Bare, Lab, Node, Ran, free_port, send_signal, wait_until, wait_until_or};
use crate::on_servers;

/// A monitor that serves its page.
struct Monitor(Child);

impl Monitor {
    fn over(node: &Node, port: u16) -> Self {
        let log = std::fs::File::create(node.path("logs/page.log")).expect("a file");
        let mut command = node.command(&["monitor", "--every", "1", "--listen", &port.to_string()]);
        command.stdout(log.try_clone().expect("a handle")).stderr(log);
        Self(command.spawn().expect("it runs"))
    }

    fn ends_well(mut self) {
        send_signal(self.0.id(), "TERM");
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // ignored: it may have ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says something to the page, and returns everything that comes back; nothing if nobody is let in.
fn say(port: u16, request: &str) -> String {
    let mut out = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        // ignored, here and below: the test looks at what came
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_end(&mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Asks for a path: the status, and everything below the head.
fn get(port: u16, path: &str) -> (u16, String) {
    let answer = say(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}

/// A figure of the metrics.
fn metric(port: u16, name: &str) -> Option<f64> {
    let (_, text) = get(port, "/metrics");
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// So many slow clients, and the places that one address has. A slow one has so long for its head.
const SLOW: usize = 80;
const PLACES: usize = 32;
const HEAD: Duration = Duration::from_secs(5);

/// The status of a path behind TLS, for whoever has the token or not.
fn status_over_tls(port: u16, path: &str, ca: &str, token: &str) -> String {
    let mut command = Command::new("/usr/bin/python3");
    command.args([
        "-c",
        include_str!("receivers/ask.py"),
        &format!("https://localhost:{port}{path}"),
        ca,
        token,
    ]);
    command.stdin(Stdio::null()).env_clear();
    Ran::from_command(command).ok().stdout
}

/// With its place in the file.
fn a_port_that_somebody_else_has_is_named(node: &Node) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    node.configure(&format!("[page]\nlisten = \"{address}\"\n"));
    let wanted = format!("pmp-ha.toml:2: page.listen is {address}, and pmp-ha cannot listen there");
    node.run(&["monitor"]).exits(2).says(&[&wanted]);
    node.run(&["monitor", "--listen", &address]).exits(2).says(&["pmp-ha cannot listen there"]);
    std::fs::remove_file(node.path("conf/pmp-ha.toml")).expect("removed");
}

fn slow_clients_and_many_disturb_nobody(port: u16) {
    // Slow clients take every place of an address, and many ask: the watch goes on, and who asks is answered.
    let begun = Instant::now();
    let slow: Vec<TcpStream> = (0..SLOW)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.write_all(b"GET / HT").ok()?;
            stream.set_nonblocking(true).ok()?;
            Some(stream)
        })
        .collect();
    let is_closed = |mut stream: &TcpStream| !matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    wait_until("the oldest slow ones have lost their places", || {
        slow.iter().filter(|each| is_closed(each)).count() >= SLOW - PLACES
    });
    assert!(begun.elapsed() < HEAD, "they lost them because others came, not because they were slow");
    let looks = || metric(port, "pmp_ha_looks_total");
    let (before, asked) = (looks(), Instant::now());
    assert!(before.is_some(), "who asks takes the place of a slow one");
    let asking: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(move || (0..50).filter(|_| get(port, "/").0 == 200).count()))
        .collect();
    let good: usize = asking.into_iter().map(|thread| thread.join().expect("it ends")).sum();
    assert_eq!(good, 400);
    let (after, took) = (looks(), asked.elapsed().as_secs_f64());
    let more = after.zip(before).map_or(0.0, |(after, before)| after - before);
    assert!(more + 1.0 >= took / 2.0, "{more} looks in {took} s: the watch stood still while it was asked");
    wait_until("the watch goes on", || looks() > after);
    drop(slow);
}

fn the_page_shows_the_pair_and_serves_everybody_without_disturbing_the_watch(server: &str) {
    let lab = Lab::pair(server);
    let bare = Bare::new();
    let (port, tls_port) = (free_port(), free_port());
    lab.primary.run(&["monitor", "--listen", "0.0.0.0"]).exits(2).says(&["no certificate and no token"]);
    a_port_that_somebody_else_has_is_named(&lab.primary);
    bare.secret("token", "0123456789-abcdefghij\n");
    bare.secret("key", &std::fs::read_to_string(bare.path("key.pem")).expect("a key"));
    lab.secondary.configure(&format!(
        "[page]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\ntoken_file = \"{}\"\n",
        bare.text("cert.pem"),
        bare.text("conf/key"),
        bare.text("conf/token"),
    ));
    let primary = Monitor::over(&lab.primary, port);
    let secondary = Monitor::over(&lab.secondary, tls_port);

    // What each path says of a pair that is Alive.
    wait_until("the monitor has looked", || get(port, "/healthz").0 == 200);
    wait_until_or("the page says Alive", || {
        let (status, page) = get(port, "/");
        if status == 200 && page.matches("</svg>Alive</p>").count() == 2 { Ok(()) } else { Err(page) }
    });
    let answer = say(port, &format!("HEAD / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"));
    assert!(answer.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "a head only: {answer}");
    let status: Value = serde_json::from_str(&get(port, "/api/status").1).expect("JSON");
    let verify: Value =
        serde_json::from_str(&lab.primary.run(&["--json", "verify"]).ok().stdout).expect("JSON");
    for key in ["schema", "tool", "node", "peer", "high_availability", "replication", "summary", "findings"] {
        assert_eq!(status[key], verify[key], "{key}");
    }
    assert_eq!(metric(port, "pmp_ha_status{status=\"high_availability\",state=\"alive\"}"), Some(1.0));
    for (path, wanted) in [
        ("/primary", 200),
        ("/replica", 503),
        ("/page.css", 200),
        ("/page.js", 200),
        ("/icon.svg", 200),
        ("/health", 200),
        ("/../etc/passwd", 404),
    ] {
        assert_eq!(get(port, path).0, wanted, "{path}");
    }
    assert!(get(port, "/health").1.contains("id=\"peer-unreachable\""));

    // Nothing can be changed, and a stranger's name that leads here gets nothing.
    let refused = say(port, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    let stranger = say(port, "GET /api/status HTTP/1.1\r\nHost: evil.example.com\r\n\r\n");
    assert!(stranger.starts_with("HTTP/1.1 421 ") && !stranger.contains("schema"), "{stranger}");

    // The other node, with TLS and a token.
    let ca = bare.text("cert.pem");
    let asked = |path: &str, token: &str| status_over_tls(tls_port, path, &ca, token);
    wait_until("the secondary serves reads", || asked("/replica", "0123456789-abcdefghij") == "200\n");
    assert_eq!(asked("/primary", "0123456789-abcdefghij"), "503\n");
    for token in ["", "0123456789-abcdefghi", "0123456789-abcdefghij0"] {
        assert_eq!(asked("/replica", token), "401\n", "{token:?}");
    }

    slow_clients_and_many_disturb_nobody(port);

    // What a hostile administrator of the other node names his table is no markup.
    lab.secondary.admin_sql("CREATE TABLE passtrix.`<img src=x onerror=alert(1)>` (a INT)");
    lab.secondary.admin_sql("INSERT INTO passtrix.`<img src=x onerror=alert(1)>` VALUES (1)");
    wait_until_or("the page names the table", || {
        let (_, page) = get(port, "/");
        assert!(!page.contains("<img"), "{page}");
        if page.contains("&lt;img src=x onerror=alert(1)&gt;") { Ok(()) } else { Err(page) }
    });

    // What happened is kept, and can be read while it is written.
    lab.secondary.kill();
    wait_until_or("the events say that the secondary is gone", || {
        let events = lab.primary.run(&["events", "--since", "1h"]).ok().stdout;
        let told = events.contains("  status      High Availability Alive -> Failed");
        if told { Ok(()) } else { Err(events) }
    });
    assert!(get(port, "/").1.contains("</svg>Failed</p>"));
    assert!(get(port, "/events").1.contains("the monitor began"));
    // An outage is counted in seconds.
    wait_until_or("the outage of both is in the table", || {
        let table = lab.primary.run(&["events", "--availability"]).ok().stdout;
        let told = table.contains(" s from ") && !table.contains("100.000 %");
        if told { Ok(()) } else { Err(table) }
    });
    primary.ends_well();
    secondary.ends_well();
    assert!(lab.primary.run(&["events"]).ok().stdout.ends_with("the monitor ended\n"));
    let json: Value =
        serde_json::from_str(&lab.primary.run(&["--json", "events"]).ok().stdout).expect("JSON");
    assert_eq!(json["events"][0]["kind"], "began", "{json}");
    a_look_by_cron_writes_the_metrics(&lab);
}

fn a_look_by_cron_writes_the_metrics(lab: &Lab) {
    let file = lab.primary.path("logs/pmp_ha.prom");
    lab.primary.run(&["monitor", "--once", "--textfile", &file.to_string_lossy()]).exits(5);
    let text = std::fs::read_to_string(&file).expect("written");
    assert!(text.contains("pmp_ha_status{status=\"high_availability\",state=\"failed\"} 1\n"), "{text}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&lab.primary.path("replication/pmp-ha-events.redb"))), (0o644, 0o600));
}

on_servers!(the_page_shows_the_pair_and_serves_everybody_without_disturbing_the_watch: mariadb_11_8; left: mysql_5_6, mysql_9_7, mariadb_10_11);
