//! The table of processes: finds a process by the words of its command line.
//!
//! A process that becomes another program (execve) has no words for a moment. One look at the table is no
//! moment either: a script that ends may leave a child that began after its numbers were read. Both are
//! looked at again, so that a server which is being started is always found, as its script or as itself.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;

use super::process::runs_program;
use crate::domain::start_script;

/// How often the table is looked at, as long as nothing is found and processes end meanwhile.
const LOOKS: usize = 50;

/// How long a process may take to become another program.
const BECOMING: Duration = Duration::from_millis(100);

/// The accounts whose processes count: anybody can put any words into a command line.
#[derive(Debug, Clone)]
pub struct Owners(Vec<u32>);

impl Owners {
    /// Root, and who owns one of these files or folders.
    #[must_use]
    pub fn of(paths: &[&Path]) -> Self {
        let owners = paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.uid());
        Self(std::iter::once(0).chain(owners).collect())
    }

    /// Whether a process acts for one of them, by its effective user.
    #[must_use]
    pub fn include(&self, pid: u32) -> bool {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        // Real, effective, saved and filesystem user. Source: proc(5).
        let effective = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
        effective.and_then(|uid| uid.parse().ok()).is_some_and(|uid: u32| self.0.contains(&uid))
    }
}

/// What is known of a process.
enum Seen {
    Words(Vec<String>),
    /// It belongs to the kernel, or hides its words.
    Wordless,
    /// Its children, if it has any, may have begun after the numbers were read.
    Ended,
}

fn see(pid: u32) -> Seen {
    /// A thread of the kernel. Source: include/linux/sched.h.
    const PF_KTHREAD: u32 = 0x0020_0000;
    let begun = Instant::now();
    loop {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return Seen::Ended };
        if let Some(line) = line.strip_suffix(b"\0").or((!line.is_empty()).then_some(&line)) {
            let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
            return Seen::Words(words.collect());
        }
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Seen::Ended };
        // Fields 3 and 9 of proc(5); the name in parentheses may hold spaces.
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        if matches!(fields.next(), Some("Z" | "X")) {
            return Seen::Ended;
        }
        let flags = fields.nth(5).and_then(|flags| flags.parse::<u32>().ok());
        if flags.is_none_or(|flags| flags & PF_KTHREAD != 0) || begun.elapsed() > BECOMING {
            return Seen::Wordless;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns what `pick` makes of the processes, each given with the words of its command line.
pub fn pick_processes<T>(mut pick: impl FnMut(u32, &[String]) -> Option<T>) -> Vec<T> {
    let mut ended = HashSet::new();
    let mut picked = Vec::new();
    for _ in 0..LOOKS {
        let Ok(entries) = fs::read_dir("/proc") else { break };
        let ended_before = ended.len();
        for pid in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            match see(pid) {
                Seen::Words(words) => picked.extend(pick(pid, &words)),
                Seen::Wordless => {}
                Seen::Ended => _ = ended.insert(pid),
            }
        }
        if !picked.is_empty() || ended.len() == ended_before {
            break;
        }
    }
    picked
}

/// Finds processes of these accounts that were given exactly this argument.
#[must_use]
pub fn processes_with(argument: &str, owners: &Owners) -> Vec<u32> {
    let given = |words: &[String]| words.iter().any(|word| word == argument);
    pick_processes(|pid, words| (given(words) && owners.include(pid)).then_some(pid))
}

/// Returns a process of this group that runs one of these programs as a server, if there is one.
#[must_use]
pub fn server_of_group(group: u32, programs: &[&str]) -> Option<u32> {
    let in_group = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Field 5 of proc(5).
        let found = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2)?.parse().ok());
        found == Some(group)
    };
    let serves = |pid: u32, words: &[String]| {
        start_script::serves(words, programs) && in_group(pid) && runs_program(pid, programs)
    };
    pick_processes(|pid, words| serves(pid, words).then_some(pid)).first().copied()
}

/// Returns the words of a process's command line. It has none if it has ended.
#[must_use]
pub fn command_line_of(pid: u32) -> Vec<String> {
    match see(pid) {
        Seen::Words(words) => words,
        Seen::Wordless | Seen::Ended => Vec::new(),
    }
}

/// Returns whether a process has `text` in its command line.
#[must_use]
pub fn mentions(pid: u32, text: &str) -> bool {
    command_line_of(pid).iter().any(|word| word.contains(text))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::{Child, Command};

    use super::*;

    /// A script that runs until its folder is gone.
    struct Script(tempfile::TempDir, Child);

    impl Script {
        fn started(text: &str) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let script = Self::path(&folder);
            fs::write(&script, text).expect("written");
            let child = Command::new("sh").arg(&script).spawn().expect("started");
            Self(folder, child)
        }

        fn path(folder: &tempfile::TempDir) -> PathBuf {
            folder.path().join("script.sh")
        }

        /// How many of `looks` looks did not see it.
        fn missed(&self, looks: usize) -> usize {
            let word = Self::path(&self.0).to_string_lossy().into_owned();
            let owners = Owners::of(&[self.0.path()]);
            (0..looks).filter(|_| processes_with(&word, &owners).is_empty()).count()
        }
    }

    impl Drop for Script {
        fn drop(&mut self) {
            fs::remove_file(Self::path(&self.0)).expect("removed");
            self.1.wait().expect("ended");
        }
    }

    #[test]
    fn a_process_that_becomes_another_program_is_seen_at_each_look() {
        let script = Script::started("[ ! -e \"$0\" ] || exec sh \"$0\"\n");
        assert_eq!(script.missed(200), 0, "looks that did not see it");
    }

    #[test]
    fn a_process_that_leaves_a_child_and_ends_is_seen_at_each_look() {
        let script = Script::started("[ ! -e \"$0\" ] || { sleep 0.02; sh \"$0\" & }\n");
        assert_eq!(script.missed(200), 0, "looks that saw neither it nor its child");
    }

    #[test]
    fn threads_of_the_kernel_and_the_dead_are_not_waited_for() {
        let mut child = Command::new("true").spawn().expect("started");
        let begun = Instant::now();
        while command_line_of(child.id()) != Vec::<String>::new() && begun.elapsed() < Duration::from_secs(60)
        {
        }
        let begun = Instant::now();
        assert!(matches!(see(child.id()), Seen::Ended), "it has ended, and nobody took note");
        // Number 2 is the father of the kernel's threads, unless this runs in a space of its own.
        if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd") {
            assert!(matches!(see(2), Seen::Wordless));
        }
        assert!(begun.elapsed() < BECOMING);
        child.wait().expect("ended");
    }
}
