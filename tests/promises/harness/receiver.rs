//! Receivers of alarms, and a home from which only alarms are sent.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::command::{Ran, command, pmp_ha};
use super::wait::{wait_until, wait_until_or};

/// Python of the system, for which the packages of the system are.
const PYTHON: &str = "/usr/bin/python3";

/// A home that nothing but the alarms is read from, and the files of receivers.
pub struct Bare {
    dir: tempfile::TempDir,
}

/// A receiver, which ends with the test.
pub struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        // ignored: it may have ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bare {
    pub fn new() -> Self {
        let home = Self { dir: tempfile::tempdir().expect("a folder") };
        for folder in ["bin", "conf", "mysql", "got"] {
            std::fs::create_dir(home.path(folder)).expect("made");
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        home.write("cert.pem", &made.cert.pem());
        let mut old = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        old.not_after = rcgen::date_time_ymd(2020, 2, 1);
        let mut new = old.clone();
        (new.not_before, new.not_after) =
            (rcgen::date_time_ymd(2090, 2, 1), rcgen::date_time_ymd(2099, 2, 1));
        for (name, dates) in [("ended.pem", old), ("not-begun.pem", new)] {
            home.write(name, &dates.self_signed(&made.signing_key).expect("signed").pem());
        }
        home.write("key.pem", &made.signing_key.serialize_pem());
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    pub fn secret(&self, name: &str, text: &str) {
        let name = format!("conf/{name}");
        self.write(&name, text);
        std::fs::set_permissions(self.path(&name), std::fs::Permissions::from_mode(0o600)).expect("set");
    }

    pub fn configure(&self, text: &str) {
        self.write("conf/pmp-ha.toml", &text.replace("{dir}", &self.dir.path().to_string_lossy()));
    }

    /// A command of the binary for this home, to be run in a way of its own.
    pub fn command(&self, args: &[&str]) -> Command {
        command(&[&["--home", &self.text("")], args].concat())
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        pmp_ha(&[&["--home", &self.text("")], args].concat())
    }

    /// Starts a receiver, and waits for the file or the port by which it is known to listen.
    pub fn receiver(&self, program: &str, args: &[&str], listens: impl Fn() -> bool) -> Receiver {
        let said = std::fs::File::create(self.path("receiver.log")).expect("a file");
        let mut command = Command::new(program);
        command.args(args).env("MIBS", "").env("SNMP_PERSISTENT_DIR", self.path("snmp"));
        command.stdin(Stdio::null()).stdout(said.try_clone().expect("a handle")).stderr(said);
        let begun = command.spawn();
        let begun =
            begun.unwrap_or_else(|error| panic!("{program}: {error}: run scripts/prerequisites --tests"));
        let mut receiver = Receiver(begun);
        wait_until_or("the receiver listens", || {
            let ended = receiver.0.try_wait().expect("known");
            let log = std::fs::read_to_string(self.path("receiver.log")).expect("its log");
            assert!(ended.is_none(), "{program} ended:\n{log}");
            if listens() { Ok(()) } else { Err(log) }
        });
        receiver
    }

    /// A server of tests/promises/receivers, which says that it listens by a file.
    pub fn python(&self, name: &str, text: &str, args: &[&str]) -> Receiver {
        let script = format!("{name}.py");
        self.write(&script, text);
        let (script, got) = (self.text(&script), self.text("got"));
        let ready = self.path(&format!("got/{name}-ready"));
        self.receiver(PYTHON, &[&[script.as_str(), &got], args].concat(), || ready.exists())
    }

    /// What a receiver kept under a name.
    #[track_caller]
    pub fn got(&self, name: &str) -> Value {
        let path = self.path(&format!("got/{name}.json"));
        wait_until(name, || path.exists());
        serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
    }

    /// Waits for a text in a file of a receiver.
    #[track_caller]
    pub fn waits_for(&self, name: &str, texts: &[&str]) -> String {
        let mut text = String::new();
        wait_until_or("the receiver has it", || {
            text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            match texts.iter().find(|wanted| !text.contains(**wanted)) {
                None => Ok(()),
                Some(missing) => Err(format!("no {missing:?} in\n{text}")),
            }
        });
        text
    }
}

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Whether somebody listens at a port.
pub fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}
