//! Two monitors that live tell a long failure once, through real receivers, and touch nothing.

use std::time::Duration;

use crate::harness::alarm::{Monitor, Switch, configured, events, has, names};
use crate::harness::sql::Db;
use crate::harness::{Bare, Lab, Receiver, free_port, wait_until, wait_until_or};
use crate::on_servers;

on_servers!(a_long_failure_is_told_once_and_by_every_channel: mariadb_11_8; left: mysql_5_6, mysql_9_7, mariadb_10_11);

/// After a minute without the primary's monitor, the secondary's would speak.
const LONG: Duration = Duration::from_secs(75);

fn a_long_failure_is_told_once_and_by_every_channel(server: &str) {
    let lab = Lab::pair(server);
    let files = configured(&lab, &Switch::listen());
    let home = Bare::new();
    let (syslog, snmp) = (free_port(), free_port());
    let _receivers = receivers(&home, syslog, snmp);
    let conf = std::fs::read_to_string(lab.primary.path("conf/pmp-ha.toml")).expect("there");
    lab.primary.configure(&format!(
        "{conf}[[alarm.syslog]]\nreceiver = \"udp://127.0.0.1:{syslog}\"\n\
         [[alarm.snmp]]\nreceiver = \"127.0.0.1:{snmp}\"\ncommunity_file = \"{}\"\n",
        home.text("conf/community")
    ));
    // In more than a minute, many looks would only cost time.
    let [primary, secondary] = [&lab.primary, &lab.secondary].map(|node| Monitor::that_looks_every(4, node));
    primary.sees("Alive");
    secondary.sees("Alive");
    for node in [&lab.primary, &lab.secondary] {
        wait_until("the primary's monitor holds its lock", || {
            node.admin_sql("CALL pmp_ha.is_watched()") == "1"
        });
    }

    let word = if server.starts_with("mysql-9") { "REPLICA" } else { "SLAVE" };
    let mut db = Db::admin(&lab.secondary);
    db.rows(&format!("STOP {word} SQL_THREAD"));
    has(&files[0], "Replication Failed", 1);
    let (_, failed) = events(&files[0]).pop().expect("an event");
    assert_eq!(failed["reasons"][0]["code"], "applier-stopped", "{failed}");
    assert!(failed["reasons"][0]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{failed}");
    home.waits_for("got/syslog", &["Replication Failed", "[applier-stopped]", "what to do: "]);
    let trap = home.waits_for("got/snmp", &["7272.0.3", "Replication Failed", "[applier-stopped]"]);
    assert!(!trap.contains("Hex-STRING"), "{trap}");

    let since =
        failed["since"].as_str().and_then(|since| since.parse::<jiff::Timestamp>().ok()).expect("a time");
    wait_until("the failure is long", || {
        jiff::Timestamp::now().duration_since(since) > LONG.try_into().expect("short")
    });
    assert_eq!(names(&files[1]), Vec::<String>::new(), "the other monitor knows that this one announces");
    has(&files[0], "Replication Failed", 1);
    has(&files[0], "Alarm channel broken Failed", 1);
    assert_eq!(
        lab.replica_status(&lab.secondary)["Replica_SQL_Running"],
        "No",
        "no monitor starts an applier"
    );

    db.rows(&format!("START {word} SQL_THREAD"));
    has(&files[0], "Replication Alive", 1);
    home.waits_for("got/syslog", &["Replication Alive", "it lasted "]);
    home.waits_for("got/snmp", &["7272.0.4", "Replication Alive"]);
    // The end of the other one's hold-up would be now, too.
    secondary.sees("Alive");
    wait_until_or("the other monitor sees the end", || {
        let log = secondary.log();
        if log.contains("Replication Failed -> Alive") { Ok(()) } else { Err(log) }
    });
    primary.ends_well();
    secondary.ends_well();
    assert_eq!(names(&files[1]), Vec::<String>::new());
}

fn receivers(home: &Bare, syslog: u16, snmp: u16) -> [Receiver; 2] {
    let dir = home.text("");
    home.write(
        "rsyslog.conf",
        &format!(
            "module(load=\"imudp\")\nglobal(workDirectory=\"{dir}\")\n\
             template(name=\"all\" type=\"string\" string=\"%msg%\\n\")\n\
             input(type=\"imudp\" port=\"{syslog}\" address=\"127.0.0.1\")\n\
             action(type=\"omfile\" file=\"{dir}got/syslog\" template=\"all\" flushOnTXEnd=\"on\")\n"
        ),
    );
    home.write("snmptrapd.conf", "authCommunity log secretword\n");
    home.secret("community", "secretword\n");
    let (conf, pid) = (home.text("rsyslog.conf"), home.text("rsyslog.pid"));
    let rsyslogd = home.receiver("/usr/sbin/rsyslogd", &["-n", "-f", &conf, "-i", &pid], || hears(syslog));
    let (conf, log, at) =
        (home.text("snmptrapd.conf"), home.text("got/snmp"), format!("udp:127.0.0.1:{snmp}"));
    let args = ["-f", "-C", "-c", &conf, "-Lf", &log, "-On", "-n", &at];
    let snmptrapd = home.receiver("/usr/sbin/snmptrapd", &args, || hears(snmp));
    [rsyslogd, snmptrapd]
}

/// Whether a program receives datagrams at a port: then nobody else can.
fn hears(port: u16) -> bool {
    std::net::UdpSocket::bind(("127.0.0.1", port)).is_err()
}
