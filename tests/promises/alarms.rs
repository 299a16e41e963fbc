//! Alarms: each channel against a real receiver, and what a pair announces.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::alarm::{Monitor, Switch, configured, events, has, names};
use crate::harness::sql::Db;
use crate::harness::{
    Bare, Lab, Node, Ran, command_lines, free_port, listens, send_signal, wait_until, wait_until_or,
};
use crate::on_servers;

#[test]
fn a_webhook_is_signed_and_a_command_gets_the_same_event() {
    let home = Bare::new();
    let port = free_port().to_string();
    let files = [home.text("cert.pem"), home.text("key.pem")];
    let _web =
        home.python("web", include_str!("receivers/web.py"), &[&port, &files[0], &files[1], "topsecret"]);
    home.secret("signing", "topsecret\n");
    home.secret("url", &format!("https://localhost:{port}/private\n"));
    home.configure(&format!(
        "[[alarm.webhook]]\nurl = \"https://localhost:{port}/hook\"\nsecret_file = \"signing\"\nca_file = \"{{dir}}/cert.pem\"\n\
         [[alarm.webhook]]\nname = \"broken\"\nurl = \"https://localhost:{port}/broken\"\nca_file = \"{{dir}}/cert.pem\"\n\
         [[alarm.webhook]]\nname = \"moved\"\nurl = \"https://localhost:{port}/moved\"\nca_file = \"{{dir}}/cert.pem\"\n\
         [[alarm.webhook]]\nname = \"stranger\"\nurl_file = \"url\"\n\
         [[alarm.command]]\ncommand = [\"/bin/sh\", \"-c\", \"cat > {{dir}}/got/command.json\"]\n\
         [[alarm.command]]\nname = \"leaves\"\ncommand = [\"/bin/sh\", \"-c\", \"sleep 5 >&2 & exit 0\"]\ndeadline = 3\n\
         [[alarm.command]]\nname = \"slow\"\ncommand = [\"/bin/sh\", \"-c\", \"sleep 98765; true\"]\ndeadline = 1\n\
         [[alarm.command]]\nname = \"bad\"\ncommand = [\"/bin/sh\", \"-c\", \"echo no luck >&2; exit 3\"]\n"
    ));
    home.run(&["alert", "test", "webhook-1", "command-1", "leaves"]).ok();
    let got = home.got("web-1");
    assert_eq!(got["signed"], true, "{got}");
    assert_eq!(got["headers"]["x-pmp-ha-event"], "Test of the alarms");
    assert_eq!(got["event"], home.got("command"), "each channel gets the same");
    // A credential of the service comes before a file beside the configuration. systemd shows it with the
    // mode of a group.
    home.secret("signing", "another\n");
    std::fs::create_dir(home.path("credentials")).expect("made");
    home.write("credentials/signing", "topsecret\n");
    let mode = std::fs::Permissions::from_mode(0o440);
    std::fs::set_permissions(home.path("credentials/signing"), mode).expect("set");
    let mut command = home.command(&["alert", "test", "webhook-1"]);
    command.env("CREDENTIALS_DIRECTORY", home.path("credentials"));
    Ran::from_command(command).ok();
    assert_eq!(home.got("web-2")["signed"], true);
    let said = home.run(&["alert", "test", "broken", "moved", "stranger", "slow", "bad"]).exits(1);
    for text in [
        "broken: FAILED",
        "answered 500",
        "answered 302",
        "slow: FAILED in 1.",
        "not done within 1 s",
        "no luck",
        "stranger: FAILED",
        "https://localhost",
    ] {
        assert!(said.stdout.contains(text), "no {text:?} in {said}");
    }
    let left = command_lines().into_iter().find(|(_, line)| line.contains("98765"));
    assert_eq!(left, None, "what a program started dies with it");
    assert!(!said.stdout.contains("private"), "a URL of a file is a secret: {said}");
    home.run(&["alert", "test", "nobody"]).exits(2).says(&["there is no channel nobody", "webhook-1"]);
}

#[test]
fn an_e_mail_is_encrypted_after_a_login_and_has_a_text_and_html() {
    let home = Bare::new();
    let (starttls, tls) = (free_port().to_string(), free_port().to_string());
    let files = [home.text("cert.pem"), home.text("key.pem")];
    let args = [&starttls, &tls, &files[0], &files[1], "night", "p w:d"].map(AsRef::as_ref);
    let _mail = home.python("mail", include_str!("receivers/mail.py"), &args);
    home.secret("password", "p w:d\n");
    home.secret("wrong", "guess\n");
    let channel = |name: &str, tls: &str, port: &str, password: &str, ca: &str| {
        format!(
            "[[alarm.email]]\nname = \"{name}\"\nserver = \"localhost\"\nport = {port}\ntls = \"{tls}\"\n{ca}\
             user = \"night\"\npassword_file = \"{password}\"\nfrom = \"PMP <pmp@example.com>\"\n\
             to = [\"a@example.com\", \"B <b@example.com>\"]\n"
        )
    };
    let ca = "ca_file = \"{dir}/cert.pem\"\n";
    home.configure(
        &[
            channel("begun", "starttls", &starttls, "password", ca),
            channel("wrapped", "tls", &tls, "password", ca),
            channel("stranger", "tls", &tls, "password", ""),
            channel("thief", "starttls", &starttls, "wrong", ca),
        ]
        .concat(),
    );
    for (number, name) in [(1, "begun"), (2, "wrapped")] {
        home.run(&["alert", "test", name]).ok();
        let got = home.got(&format!("mail-{number}"));
        assert_eq!((&got["tls"], &got["login"]), (&true.into(), &true.into()), "{name}: {got}");
        assert_eq!(got["to"], serde_json::json!(["a@example.com", "b@example.com"]));
        let message = got["message"].as_str().expect("a text");
        for text in
            ["Subject: [pmp-ha] Test of the alarms", "Message-ID: <test-", "text/plain", "text/html", "<h1"]
        {
            assert!(message.contains(text), "{name}: no {text:?} in\n{message}");
        }
    }
    let said = home.run(&["alert", "test", "stranger", "thief"]).exits(1);
    assert!(said.stdout.contains("stranger: FAILED") && said.stdout.contains("thief: FAILED"), "{said}");
    assert!(!said.stdout.contains("guess"), "{said}");
    // The check greets, encrypts and logs in as for a message, and sends none.
    let refused = home.run(&["config", "check"]).exits(2);
    for wrong in ["stranger", "thief"] {
        let line = 1 + std::fs::read_to_string(home.path("conf/pmp-ha.toml"))
            .expect("there")
            .lines()
            .position(|line| line.contains(wrong))
            .expect("a channel");
        let wanted = format!("pmp-ha.toml:{}: alarm.email.server does not work now: ", line + 1);
        assert!(refused.stderr.contains(&wanted), "no {wanted:?} in {refused}");
    }
    assert_eq!(refused.stderr.matches("does not work now").count(), 2, "{refused}");
    assert!(!refused.stderr.contains("guess"), "{refused}");
    assert!(!home.path("got/mail-3.json").exists());
}

#[test]
fn syslog_reaches_rsyslogd_by_udp_tcp_tls_and_its_socket() {
    let home = Bare::new();
    let [udp, tcp, tls] = [free_port(), free_port(), free_port()];
    let dir = home.text("");
    home.write(
        "rsyslog.conf",
        &format!(
            "module(load=\"imudp\") module(load=\"imtcp\") module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             global(defaultNetstreamDriverCAFile=\"{dir}cert.pem\" defaultNetstreamDriverCertFile=\"{dir}cert.pem\" \
             defaultNetstreamDriverKeyFile=\"{dir}key.pem\" workDirectory=\"{dir}\")\n\
             template(name=\"all\" type=\"string\" string=\"%inputname% %syslogfacility-text%.%syslogseverity-text% \
             %app-name% %protocol-version%|%msg%\\n\")\n\
             input(type=\"imudp\" port=\"{udp}\" address=\"127.0.0.1\" name=\"udp\")\n\
             input(type=\"imtcp\" port=\"{tcp}\" address=\"127.0.0.1\" name=\"tcp\")\n\
             input(type=\"imtcp\" port=\"{tls}\" address=\"127.0.0.1\" name=\"tls\" StreamDriver.Name=\"ossl\" \
             StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n\
             input(type=\"imuxsock\" Socket=\"{dir}log.sock\")\n\
             action(type=\"omfile\" file=\"{dir}got/syslog\" template=\"all\" flushOnTXEnd=\"on\")\n"
        ),
    );
    let (conf, pid) = (home.text("rsyslog.conf"), home.text("rsyslog.pid"));
    let _rsyslogd = home.receiver("/usr/sbin/rsyslogd", &["-n", "-f", &conf, "-i", &pid], || {
        listens(tcp) && listens(tls) && home.path("log.sock").exists()
    });
    let silent = free_port();
    home.configure(&format!(
        "[[alarm.syslog]]\nname = \"udp\"\nreceiver = \"udp://127.0.0.1:{udp}\"\n\
         [[alarm.syslog]]\nname = \"tcp\"\nreceiver = \"tcp://127.0.0.1:{tcp}\"\nformat = \"rfc5424\"\n\
         [[alarm.syslog]]\nname = \"tls\"\nreceiver = \"tls://localhost:{tls}\"\nca_file = \"{{dir}}/cert.pem\"\nfacility = \"local3\"\n\
         [[alarm.syslog]]\nname = \"socket\"\nreceiver = \"unix:{{dir}}/log.sock\"\n\
         [[alarm.syslog]]\nname = \"stranger\"\nreceiver = \"tls://localhost:{tls}\"\n\
         [[alarm.syslog]]\nname = \"nobody\"\nreceiver = \"udp://127.0.0.1:{silent}\"\n"
    ));
    home.run(&["alert", "test", "udp", "tcp", "tls", "socket"]).ok();
    let body = "pmp-ha:- Test of the alarms ";
    let got = home.waits_for(
        "got/syslog",
        &[
            "udp auth.info pmp-ha 0|",
            "tcp auth.info pmp-ha 1|",
            "tls local3.info pmp-ha 0|",
            "imuxsock auth.info",
        ],
    );
    assert_eq!(got.matches(body).count(), 4, "{got}");
    let said = home.run(&["alert", "test", "stranger", "nobody"]).exits(1);
    for text in ["stranger: FAILED", "nobody: FAILED", "Connection refused"] {
        assert!(said.stdout.contains(text), "no {text:?} in {said}");
    }
}

#[test]
fn snmptrapd_logs_traps_and_informs_of_both_versions() {
    let home = Bare::new();
    let port = free_port();
    std::fs::create_dir_all(home.path("replication/pmp-ha-alarms")).expect("made");
    // The receiver has to know the engine of a sender of version 3 traps.
    home.write(
        "replication/pmp-ha-alarms/snmp-engine.json",
        "{\"id\":\"80001f88050102030405060708090a0b0c\",\"boots\":7}",
    );
    let user = "SHA-256 \"authpass12\" AES \"privpass12\"";
    // Each pair of ways to sign and to encrypt has a user of its own.
    let auths = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];
    let pairs =
        || auths.iter().flat_map(|auth| ["aes128", "aes192", "aes256"].map(|encrypts| (*auth, encrypts)));
    let of_net_snmp = |auth: &str| match auth {
        "md5" => "MD5".to_owned(),
        "sha1" => "SHA".to_owned(),
        longer => longer.replace("sha", "SHA-"),
    };
    let users: Vec<String> = pairs()
        .map(|(auth, encrypts)| {
            let signs = of_net_snmp(auth);
            let aes = encrypts.replace("aes", "AES-").replace("AES-128", "AES");
            format!(
                "createUser {auth}{encrypts} {signs} \"authpass12\" {aes} \"privpass12\"\nauthUser log {auth}{encrypts} priv\n"
            )
        })
        .collect();
    home.write(
        "snmptrapd.conf",
        &format!(
            "authCommunity log secretword\ncreateUser -e 0x80001f88050102030405060708090a0b0c trapper {user}\n\
             createUser informer {user}\nauthUser log trapper priv\nauthUser log informer priv\n{}",
            users.concat()
        ),
    );
    for (name, secret) in
        [("community", "secretword"), ("other", "guess"), ("auth", "authpass12"), ("priv", "privpass12")]
    {
        home.secret(name, &format!("{secret}\n"));
    }
    let (conf, log, at) =
        (home.text("snmptrapd.conf"), home.text("got/snmp"), format!("udp:127.0.0.1:{port}"));
    let args = ["-f", "-C", "-c", &conf, "-Lf", &log, "-On", "-n", &at];
    let _snmptrapd = home.receiver("/usr/sbin/snmptrapd", &args, || {
        std::fs::read_to_string(home.path("got/snmp")).is_ok_and(|text| text.contains("NET-SNMP version"))
    });
    let channel = |name: &str, more: &str| {
        format!("[[alarm.snmp]]\nname = \"{name}\"\nreceiver = \"127.0.0.1:{port}\"\ndeadline = 3\n{more}")
    };
    let user_of = |name: &str, auth: &str, encrypts: &str| {
        format!(
            "version = \"3\"\nuser = \"{name}\"\nauth = \"{auth}\"\nauth_password_file = \"auth\"\npriv = \"{encrypts}\"\npriv_password_file = \"priv\"\n"
        )
    };
    let user = |name: &str| user_of(name, "sha256", "aes128");
    home.configure(
        &[
            channel("trap2", "community_file = \"community\"\n"),
            channel(
                "inform2",
                "community_file = \"community\"\ninform = true\noid = \"1.3.6.1.4.1.99999.1\"\n",
            ),
            channel("trap3", &user("trapper")),
            channel("inform3", &format!("{}inform = true\n", user("informer"))),
            channel("stranger", &format!("{}inform = true\n", user("nobody"))),
        ]
        .concat(),
    );
    home.run(&["alert", "test", "trap2", "inform2"]).ok();
    let got =
        home.waits_for("got/snmp", &[".1.3.6.1.4.1.8072.9999.9999.7272.0.9", ".1.3.6.1.4.1.99999.1.0.9"]);
    assert!(got.contains("Test of the alarms") && got.contains("You ran `pmp-ha alert test`."), "{got}");
    let said = home.run(&["alert", "test", "trap3", "inform3"]).ok();
    assert!(said.stdout.contains("0x80001f88050102030405060708090a0b0c"), "{said}");
    let notified = |text: &str| text.matches("7272.0.9").count();
    wait_until_or("both of version 3 are there", || {
        let text = std::fs::read_to_string(home.path("got/snmp")).expect("a log");
        if notified(&text) == 3 { Ok(()) } else { Err(text) }
    });
    // A later process sends as well: its engine has started once more.
    home.run(&["alert", "test", "trap3"]).ok();
    wait_until("the third of version 3 is there", || {
        notified(&std::fs::read_to_string(home.path("got/snmp")).expect("a log")) == 4
    });
    let said = home.run(&["alert", "test", "stranger"]).exits(1);
    assert!(said.stdout.contains("stranger: FAILED"), "{said}");

    let each: Vec<String> = pairs()
        .map(|(auth, encrypts)| {
            let name = format!("{auth}{encrypts}");
            channel(&name, &format!("{}inform = true\n", user_of(&name, auth, encrypts)))
        })
        .collect();
    home.configure(&each.concat());
    // The receiver confirms each: it has understood it.
    home.run(&["alert", "test"]).ok();
}

/// The modules that ours imports are not free, so Debian has none of them: these hold what it needs.
const MODULES: [(&str, &str); 3] = [
    (
        "SNMPv2-SMI",
        "org OBJECT IDENTIFIER ::= { iso 3 }\ndod OBJECT IDENTIFIER ::= { org 6 }\n\
         internet OBJECT IDENTIFIER ::= { dod 1 }\nprivate OBJECT IDENTIFIER ::= { internet 4 }\n\
         enterprises OBJECT IDENTIFIER ::= { private 1 }",
    ),
    (
        "SNMPv2-TC",
        "DisplayString ::= TEXTUAL-CONVENTION\nDISPLAY-HINT \"255a\"\nSTATUS current\n\
         DESCRIPTION \"A text.\"\nSYNTAX OCTET STRING (SIZE (0..255))",
    ),
    ("SNMPv2-CONF", ""),
];

#[test]
fn snmptranslate_accepts_the_mib() {
    let home = Bare::new();
    std::fs::create_dir(home.path("mibs")).expect("made");
    home.write("mibs/PMP-HA-MIB.txt", include_str!("../../templates/PMP-HA-MIB.txt"));
    for (name, text) in MODULES {
        home.write(&format!("mibs/{name}.txt"), &format!("{name} DEFINITIONS ::= BEGIN\n{text}\nEND\n"));
    }
    let mut command = Command::new("snmptranslate");
    command.args(["-M", &home.text("mibs"), "-m", "PMP-HA-MIB", "-Pew", "-On", "PMP-HA-MIB::pmpHaTest"]);
    let ran = Ran::from_command(command).ok();
    assert_eq!(ran.stdout, ".1.3.6.1.4.1.8072.9999.9999.7272.0.9\n", "{ran}");
    // On a new machine, Net-SNMP makes folders of its own first, and says so.
    let complaints: Vec<&str> =
        ran.stderr.lines().filter(|line| !line.starts_with("Created directory: ")).collect();
    assert_eq!(complaints, Vec::<&str>::new(), "{ran}");
}

#[test]
fn what_is_wrong_in_the_configuration_is_named_before_anything_starts() {
    let home = Bare::new();
    let mail =
        "[[alarm.email]]\nserver = \"localhost\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n";
    home.secret("password", "x\n");
    home.write("conf/readable", "x\n");
    home.secret("empty", "\n");
    for (more, wanted) in [
        ("prot = 25\n", "pmp-ha.toml:5: alarm.email.prot: there is no key `prot`"),
        ("port = 0\n", "pmp-ha.toml:5: alarm.email.port must be between 1 and 65535"),
        (
            "user = \"u\"\npassword_file = \"readable\"\n",
            "pmp-ha.toml:6: alarm.email.password_file names the secret",
        ),
        ("user = \"u\"\npassword_file = \"empty\"\n", "its first line is empty"),
        ("user = \"u\"\npassword_file = \"gone\"\n", "it cannot be read"),
        (
            "ca_file = \"/no/such.pem\"\n",
            "pmp-ha.toml:5: alarm.email.ca_file names /no/such.pem, and it cannot be read",
        ),
        ("ca_file = \"{dir}/ended.pem\"\n", "ended.pem, whose certificate ended on 2020-02-01"),
        ("ca_file = \"{dir}/not-begun.pem\"\n", "not-begun.pem, whose certificate is not valid before 2090"),
    ] {
        home.configure(&format!("{mail}{more}"));
        for command in [&["config", "check"][..], &["monitor"], &["monitor", "--once"], &["alert", "test"]] {
            let ran = home.run(command).exits(2);
            assert!(ran.stderr.contains(wanted), "{command:?} with {more:?}: no {wanted:?} in {ran}");
        }
    }
    home.secret("key", &std::fs::read_to_string(home.path("key.pem")).expect("a key"));
    home.secret("token", "0123456789-abcdefghij\n");
    home.configure(
        "[page]\nlisten = \"8080\"\ncertificate_file = \"{dir}/ended.pem\"\nkey_file = \"{dir}/conf/key\"\n\
         token_file = \"{dir}/conf/token\"\n",
    );
    for command in [&["config", "check"][..], &["monitor"]] {
        let wanted =
            "pmp-ha.toml:3: page.certificate_file names a file whose certificate ended on 2020-02-01";
        home.run(command).exits(2).says(&[wanted]);
    }
    // What is right says nothing of a page on a home that is in no pair.
    home.configure("[page]\nlisten = \"8080\"\n");
    let refused = home.run(&["monitor"]).exits(4);
    assert!(!refused.stdout.contains("the page is at") && !refused.stderr.contains("chronicle"), "{refused}");
    home.configure(&format!(
        "{mail}user = \"u\"\npassword_file = \"password\"\nca_file = \"{{dir}}/cert.pem\"\n"
    ));
    // Nobody listens there: only a dry run calls that right, for it connects to nothing.
    home.run(&["--dry-run", "config", "check"]).ok().says(&["is valid; alarms go to email"]);
    let silent = free_port();
    home.configure(&format!(
        "{mail}port = {silent}\ntls = \"none\"\n[[alarm.syslog]]\nreceiver = \"tcp://127.0.0.1:{silent}\"\n\
         [[alarm.syslog]]\nreceiver = \"unix:{{dir}}/no-socket\"\n[[alarm.snmp]]\nreceiver = \"no-such-host.invalid\"\n\
         community_file = \"password\"\n[[alarm.webhook]]\nurl = \"https://localhost:{silent}/x\"\n\
         [alarm]\ndead_man_url = \"http://127.0.0.1:{silent}/\"\n"
    ));
    let refused = home.run(&["config", "check"]).exits(2);
    for (key, line) in [
        ("email.server", 2),
        ("syslog.receiver", 8),
        ("syslog.receiver", 10),
        ("snmp.receiver", 12),
        ("webhook.url", 15),
        ("dead_man_url", 17),
    ] {
        let wanted = format!("pmp-ha.toml:{line}: alarm.{key} does not work now: ");
        assert!(refused.stderr.contains(&wanted), "no {wanted:?} in {refused}");
    }
    home.configure(&format!(
        "{mail}user = \"u\"\npassword_file = \"password\"\nca_file = \"{{dir}}/cert.pem\"\n"
    ));
    let shown = home.run(&["config", "show"]).ok();
    for line in [
        "alarm.email.0.server = \"localhost\"  # ",
        "/conf/pmp-ha.toml:2\n",
        "health.max_lag = 30  # default\n",
        "alarm.email.0.password_file = \"password\"",
    ] {
        assert!(shown.stdout.contains(line), "no {line:?} in {shown}");
    }
}

fn a_failure_is_announced_once_and_so_is_its_end(server: &str) {
    let lab = Lab::pair(server);
    let switch = Switch::listen();
    let files = configured(&lab, &switch);
    // One channel hangs, and one leads nowhere.
    let (hangs, silent) = (lab.primary.path("logs/hangs"), free_port());
    let conf = lab.primary.path("conf/pmp-ha.toml");
    let good = std::fs::read_to_string(&conf).expect("there");
    lab.primary.configure(&format!(
        "{good}[[alarm.command]]\nname = \"hangs\"\ndeadline = 100\n\
         command = [\"/bin/sh\", \"-c\", \"echo $$ > {}; exec sleep 100\"]\n\
         [[alarm.syslog]]\nname = \"far\"\nreceiver = \"tcp://127.0.0.1:{silent}\"\n",
        hangs.display()
    ));
    let primary = Monitor::over(&lab.primary);
    let secondary = Monitor::over(&lab.secondary);
    primary.sees("Alive");
    wait_until("it warns", || primary.log().contains("the alarm channel far cannot be reached now"));
    lab.secondary.kill();
    has(&files[0], "High Availability Failed", 1);
    // It delays no look: after each good one, the switch is asked.
    let pid = || std::fs::read_to_string(&hangs).ok().and_then(|text| text.trim().parse::<u32>().ok());
    wait_until("a channel hangs", || pid().is_some());
    let asked = switch.asked.load(Ordering::SeqCst);
    wait_until("the looks go on", || switch.asked.load(Ordering::SeqCst) > asked + 3);
    let hung = pid().expect("it runs");
    assert!(Path::new(&format!("/proc/{hung}")).exists(), "it hangs still");
    send_signal(hung, "KILL");
    lab.primary.configure(&good);
    // A monitor that is started again announces nothing again, and ends well.
    primary.ends_well();
    let primary = Monitor::over(&lab.primary);
    lab.secondary.run(&["start"]).ok();
    has(&files[0], "High Availability Alive", 1);
    let told = events(&files[0]);
    let of = |name: &str| &told.iter().find(|(each, _)| each == name).expect("there").1;
    let (failed, alive) = (of("High Availability Failed"), of("High Availability Alive"));
    assert_eq!(failed["incident"], alive["incident"]);
    assert!(failed["reasons"][0]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{failed}");
    assert!(alive["lasted"].as_u64().is_some_and(|lasted| lasted >= 2), "{alive}");
    assert_eq!(told.iter().filter(|(name, _)| name == "High Availability Failed").count(), 1, "{told:?}");
    assert!(switch.asked.load(Ordering::SeqCst) > 3, "the dead man's switch");
    // The other monitor knows that this one watches.
    assert_eq!(names(&files[1]), Vec::<String>::new());
    let folder = lab.primary.path("replication/pmp-ha-alarms");
    for name in ["queue.json", "state.json"] {
        let mode = std::fs::metadata(folder.join(name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // Beside the service, a look by cron writes the metrics, and announces nothing.
    let file = lab.primary.path("logs/pmp.prom");
    lab.primary
        .run(&["monitor", "--once"])
        .exits(4)
        .says(&["another monitor of this home is already running"]);
    lab.primary.run(&["monitor", "--once", "--textfile", &file.to_string_lossy()]);
    assert!(std::fs::read_to_string(&file).is_ok_and(|text| text.contains("pmp_ha_status{")));
    primary.ends_well();
    secondary.ends_well();
    lab.wait_alive();
    // The end of a look waits for a switch that is far away.
    let far = Switch::that_answers_after(Duration::from_millis(1500));
    lab.primary.configure(&format!("[alarm]\ndead_man_url = \"http://127.0.0.1:{}/ask\"\n", far.port));
    lab.primary.run(&["monitor", "--once"]).ok();
    assert_eq!(far.asked.load(Ordering::SeqCst), 1);
}

on_servers!(a_failure_is_announced_once_and_so_is_its_end: mysql_5_6, mariadb_10_11; left: mysql_9_7, mariadb_11_8);

// Nothing stops more slowly than MySQL 9.7.
on_servers!(restarts_of_both_servers_and_monitors_are_no_alarm: mysql_9_7; left: mysql_5_6, mariadb_10_11, mariadb_11_8);

/// The first event that is announced is the failure at the end: a false alarm would have come before it.
fn restarts_of_both_servers_and_monitors_are_no_alarm(server: &str) {
    let lab = Lab::pair(server);
    let files = [&lab.primary, &lab.secondary].map(|node| {
        let file = node.path("logs/alarms.json");
        node.configure(&format!(
            "[[alarm.command]]\nname = \"good\"\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n",
            file.display()
        ));
        file
    });
    let (primary, secondary) = (Monitor::over(&lab.primary), Monitor::over(&lab.secondary));
    primary.sees("Alive");
    secondary.sees("Alive");
    for node in [&lab.primary, &lab.secondary] {
        node.run(&["stop"]).ok();
        node.run(&["start"]).ok();
        lab.wait_alive();
    }
    lab.primary.kill();
    lab.secondary.kill();
    drop(primary);
    secondary.ends_well();
    for node in [&lab.primary, &lab.secondary] {
        node.run(&["start"]).ok();
    }
    lab.wait_alive();
    let (primary, secondary) = (Monitor::over(&lab.primary), Monitor::over(&lab.secondary));
    primary.sees("Alive");
    secondary.sees("Alive");
    let last = jiff::Timestamp::now();
    lab.secondary.kill();
    has(&files[0], "High Availability Failed", 1);
    let told = events(&files[0]);
    assert_eq!(told.len(), 1, "{told:?}");
    let since = told[0].1["since"].as_str().and_then(|since| since.parse::<jiff::Timestamp>().ok());
    assert!(since.is_some_and(|since| since.as_second() >= last.as_second()), "{told:?}");
    assert_eq!(names(&files[1]), Vec::<String>::new());
    primary.ends_well();
    secondary.ends_well();
}

/// It takes more than a minute, in which only the monitor waits.
#[test]
#[ignore = "left to scripts/test --every-server"]
fn the_monitor_of_the_secondary_takes_over_when_the_other_one_is_gone() {
    let lab = Lab::pair("mariadb-11.8");
    let switch = Switch::listen();
    let files = configured(&lab, &switch);
    let primary = Monitor::over(&lab.primary);
    let secondary = Monitor::over(&lab.secondary);
    primary.sees("Alive");
    secondary.sees("Alive");
    // The machine of the primary dies.
    primary.signal("KILL");
    lab.primary.kill();
    has(&files[1], "High Availability Failed", 1);
    lab.primary.run(&["start"]).ok();
    has(&files[1], "High Availability Alive", 1);
    // One of its channels sends nothing, and the other one says so.
    has(&files[1], "Alarm channel broken Failed", 1);
    wait_until_or("the history has it, too", || {
        let history = lab.secondary.run(&["events"]).ok().stdout;
        if history.contains("Alarm channel broken Failed") { Ok(()) } else { Err(history) }
    });
    assert_eq!(names(&files[0]), Vec::<String>::new());
    secondary.ends_well();
}

/// It takes more than a minute, in which only the monitor waits.
#[test]
#[ignore = "left to scripts/test --every-server"]
fn the_monitor_of_the_secondary_speaks_when_every_channel_of_the_other_one_fails() {
    let lab = Lab::pair("mariadb-11.8");
    let switch = Switch::listen();
    let files = configured(&lab, &switch);
    lab.primary.configure(
        "[alarm]\nhold_down = 2\nhold_up = 2\n[[alarm.command]]\nname = \"broken\"\ncommand = [\"/bin/false\"]\n",
    );
    let primary = Monitor::over(&lab.primary);
    let secondary = Monitor::over(&lab.secondary);
    primary.sees("Alive");
    secondary.sees("Alive");
    // Somebody stops the receiver: both monitors see it, and only one gets a message out.
    let mut db = Db::admin(&lab.secondary);
    db.rows("STOP SLAVE IO_THREAD");
    primary.sees("Failed");
    has(&files[1], "High Availability Failed", 1);
    db.rows("START SLAVE IO_THREAD");
    has(&files[1], "High Availability Alive", 1);
    assert_eq!(names(&files[0]), Vec::<String>::new());
    primary.ends_well();
    secondary.ends_well();
}

/// It waits for 20 seconds, as long as a server waits for a silent session.
#[test]
#[ignore = "left to scripts/test --every-server"]
fn the_lock_of_a_monitor_that_falls_silent_is_released() {
    let lab = Lab::pair("mariadb-11.8");
    let switch = Switch::listen();
    configured(&lab, &switch);
    let monitor = Monitor::over(&lab.primary);
    let is_held = |node: &Node| node.admin_sql("CALL pmp_ha.is_watched()") == "1";
    for node in [&lab.primary, &lab.secondary] {
        wait_until("it holds its lock in both servers", || is_held(node));
    }
    // To a server, a monitor that is stopped and one behind a silent link look the same.
    monitor.signal("STOP");
    for node in [&lab.primary, &lab.secondary] {
        wait_until("the server has ended the silent session", || !is_held(node));
    }
    monitor.signal("CONT");
    wait_until("it has its lock again", || is_held(&lab.secondary));
    monitor.ends_well();
}
