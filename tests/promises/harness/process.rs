//! The processes of this machine, or of the space that a test has to itself.

use std::path::Path;
use std::process::Command;

/// Sends a signal to a process of this test.
pub fn send_signal(pid: u32, signal: &str) {
    // ignored: the process may be gone already, which is what the caller wants
    let _ = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).output();
}

/// Whether a process exists and has not ended, with all its threads: until then it holds its locks.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let is_zombie = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
    !is_zombie || std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() > 1)
}

/// The server of a home, from its own pid file.
pub fn pid_in(home: &Path) -> Option<u32> {
    let pid = std::fs::read_to_string(home.join("mysql/data/mysql.pid")).ok()?.trim().parse().ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    // The number may belong to somebody else by now.
    String::from_utf8_lossy(&line).contains(&*home.to_string_lossy()).then_some(pid)
}

/// Every process and its command line, the words parted by spaces.
pub fn command_lines() -> Vec<(u32, String)> {
    std::fs::read_dir("/proc")
        .expect("there")
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
        })
        .collect()
}

/// A server that does nothing and has not ended.
pub struct Frozen(pub u32);

impl Drop for Frozen {
    fn drop(&mut self) {
        send_signal(self.0, "CONT");
    }
}
