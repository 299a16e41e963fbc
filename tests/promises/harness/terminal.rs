//! A command on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::wait::wait_until;

/// A command on a terminal of its own.
pub struct OnTerminal {
    child: std::process::Child,
    keys: File,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    /// All but its stdout, which is for data.
    pub fn run(mut command: Command) -> Self {
        command.env("TERM", "xterm").env("NO_COLOR", "1");
        Self::spawn(command, false, None)
    }

    /// With its stdout, too.
    pub fn run_whole(mut command: Command) -> Self {
        command.env("TERM", "xterm").env("NO_COLOR", "1");
        Self::spawn(command, true, None)
    }

    /// With its stdout, too, on a terminal of so many columns, whose kind the command's environment says.
    pub fn run_in_columns(command: Command, columns: u16) -> Self {
        Self::spawn(command, true, Some(columns))
    }

    fn spawn(mut command: Command, whole: bool, columns: Option<u16>) -> Self {
        let size = columns.map(|ws_col| nix::pty::Winsize { ws_row: 24, ws_col, ws_xpixel: 0, ws_ypixel: 0 });
        let pty = nix::pty::openpty(size.as_ref(), None).expect("a terminal");
        let slave = || Stdio::from(pty.slave.try_clone().expect("the same"));
        let child = command
            .stdin(slave())
            .stderr(slave())
            .stdout(if whole { slave() } else { Stdio::null() })
            .spawn()
            .expect("it runs");
        drop(command);
        let keys = File::from(pty.master);
        let mut out = keys.try_clone().expect("the same");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        // It ends when the last process has left the terminal.
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(n @ 1..) = out.read(&mut buffer) {
                shown.lock().expect("no panic").extend(&buffer[..n]);
            }
        });
        Self { child, keys, screen }
    }

    /// Waits for a question and types an answer.
    pub fn answer(&mut self, question: &str, answer: &str) {
        wait_until(&format!("it asks {question}"), || self.screen().contains(question));
        self.keys.write_all(answer.as_bytes()).expect("typed");
    }

    /// Everything that was written to it.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("no panic")).into_owned()
    }

    /// The bytes that were written to it, and those that still will be.
    pub fn shown(&self) -> Arc<Mutex<Vec<u8>>> {
        Arc::clone(&self.screen)
    }

    /// Gives the window another size, and tells the process, as a terminal does.
    pub fn resize(&self, columns: u16, rows: u16) {
        let keys = self.keys.try_clone().expect("the same");
        let mut stty = Command::new("stty");
        stty.args(["cols", &columns.to_string(), "rows", &rows.to_string()]).stdin(keys);
        assert!(stty.status().expect("stty runs").success());
        super::send_signal(self.pid(), "WINCH");
    }

    /// The process on it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("a child").code()
    }
}
