//! A monitor that runs, and what it announces.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{Lab, Node, send_signal, wait_until_or};

/// A monitor that runs.
pub struct Monitor {
    child: Child,
    log: PathBuf,
}

impl Monitor {
    pub fn over(node: &Node) -> Self {
        Self::that_looks_every(1, node)
    }

    pub fn that_looks_every(seconds: u32, node: &Node) -> Self {
        let log = node.path("logs/monitor.log");
        let said = std::fs::File::options().create(true).append(true).open(&log).expect("a file");
        let mut command = node.command(&["monitor", "--every", &seconds.to_string()]);
        command.stdout(said.try_clone().expect("a handle")).stderr(said);
        Self { child: command.spawn().expect("it runs"), log }
    }

    /// Waits until it sees the connection so.
    #[track_caller]
    pub fn sees(&self, word: &str) {
        wait_until_or("the monitor sees it", || {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last = log.rsplit("High Availability Status: ").next().unwrap_or_default();
            if last.starts_with(word) { Ok(()) } else { Err(log) }
        });
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        send_signal(self.child.id(), signal);
    }

    /// Ends it as a system does.
    pub fn ends_well(mut self) {
        send_signal(self.child.id(), "TERM");
        let ended = self.child.wait().expect("it ends");
        assert!(ended.success(), "{ended}:\n{}", std::fs::read_to_string(&self.log).expect("a log"));
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // ignored: it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A dead man's switch, which counts how often it is asked.
pub struct Switch {
    pub port: u16,
    pub asked: Arc<AtomicUsize>,
}

impl Switch {
    pub fn listen() -> Self {
        Self::that_answers_after(Duration::ZERO)
    }

    /// A switch that is far away: each answer takes so long.
    pub fn that_answers_after(pause: Duration) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                // ignored, here and below: who asks has gone
                let _ = stream.read(&mut request);
                std::thread::sleep(pause);
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, asked }
    }
}

/// The events that a command was given, each with its name.
pub fn events(file: &Path) -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let events = serde_json::Deserializer::from_str(&text).into_iter::<Value>().filter_map(Result::ok);
    events.map(|event| (event["event"].as_str().unwrap_or_default().to_owned(), event)).collect()
}

/// Configures both nodes, and returns the file of each that gets its events.
pub fn configured(lab: &Lab, switch: &Switch) -> [PathBuf; 2] {
    [&lab.primary, &lab.secondary].map(|node| {
        let file = node.path("logs/alarms.json");
        node.configure(&format!(
            "[alarm]\nhold_down = 2\nhold_up = 2\ndead_man_url = \"http://127.0.0.1:{}/ask\"\n\
             [[alarm.command]]\nname = \"good\"\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n\
             [[alarm.command]]\nname = \"broken\"\ncommand = [\"/bin/false\"]\n",
            switch.port,
            file.display()
        ));
        file
    })
}

pub fn names(file: &Path) -> Vec<String> {
    events(file).into_iter().map(|(name, _)| name).collect()
}

#[track_caller]
pub fn has(file: &Path, name: &'static str, times: usize) {
    wait_until_or(name, || {
        let names = names(file);
        let found = names.iter().filter(|each| *each == name).count();
        if found == times { Ok(()) } else { Err(format!("{names:?}")) }
    });
}
