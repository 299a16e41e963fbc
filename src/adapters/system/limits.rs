//! The system's limits for a process.

use super::{SMALL, read_bytes};

/// The limits of a process. `None`: without a limit, or not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessLimits {
    /// The number of open files.
    pub open_files: Option<u64>,
    /// The size of a file in bytes.
    pub file_size: Option<u64>,
}

/// Returns the limits of a process, or of this one. `None` if they cannot be read: of another account's.
#[must_use]
pub fn limits_of(pid: Option<u32>) -> Option<ProcessLimits> {
    let whose = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let text = read_bytes(format!("/proc/{whose}/limits").as_ref(), SMALL).ok()?;
    Some(parse(&String::from_utf8_lossy(&text)))
}

/// Files that describe the machine, and how many lines of each.
const MACHINE: [(&str, usize); 6] = [
    ("/etc/os-release", 20),
    ("/proc/version", 1),
    ("/proc/uptime", 1),
    ("/proc/loadavg", 1),
    ("/proc/meminfo", 5),
    ("/proc/self/limits", 20),
];

/// Describes the machine: its system, load, memory and limits.
#[must_use]
pub fn machine() -> String {
    let mut out = format!("host {}\n", super::host_name());
    for (path, lines) in MACHINE {
        let text = read_bytes(path.as_ref(), SMALL).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        for line in ["", path].into_iter().chain(text.lines().take(lines)) {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Reads the soft limits.
fn parse(text: &str) -> ProcessLimits {
    let soft = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    ProcessLimits { open_files: soft("Max open files"), file_size: soft("Max file size") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max file size             unlimited            unlimited            bytes     \n\
                    Max open files            1024                 1048576              files     \n";
        assert_eq!(parse(text), ProcessLimits { open_files: Some(1024), file_size: None });
        assert!(limits_of(None).is_some_and(|limits| limits.open_files != Some(0)));
    }
}
