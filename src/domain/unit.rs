//! The systemd unit of the monitor, from the template of the project.

/// The name of the unit.
pub const UNIT: &str = "pmp-ha-monitor.service";

/// The template, which can also be copied by hand.
const TEMPLATE: &str = include_str!("../../templates/pmp-ha-monitor.service");

/// The first line of a unit that the tool has written: it replaces and removes no other.
pub const MARK: &str = "# Written by `pmp-ha monitor --install`. `pmp-ha monitor --uninstall` removes it.";

const DROP_IN: &str = "# To change something, use `systemctl edit pmp-ha-monitor`.";

/// What the unit runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorUnit<'a> {
    /// The full path of this program.
    pub program: &'a str,
    /// The home.
    pub home: &'a str,
    /// Its owner.
    pub user: &'a str,
    /// Further options of the command, each with its value.
    pub options: &'a [(&'a str, String)],
}

impl MonitorUnit<'_> {
    /// Returns the text of the unit.
    ///
    /// # Errors
    /// Says which path cannot stand in a unit.
    pub fn text(&self) -> Result<String, String> {
        let (home, program) = (quoted(self.home)?, quoted(self.program)?);
        // In a command, systemd replaces variables as well.
        let word = |text: &str| text.replace('$', "$$");
        let mut words = vec![format!("ExecStart={program} --home {} monitor", word(&home))];
        for (name, value) in self.options {
            words.push(format!("{name} {}", word(&quoted(value)?)));
        }
        let run = words.join(" ");
        let head = [MARK.to_owned(), self.home_line(), DROP_IN.to_owned()];
        let body = TEMPLATE.lines().skip_while(|line| line.starts_with('#'));
        let filled = body.map(|line| match line.split_once('=') {
            Some(("User", _)) => format!("User={}", self.user),
            Some(("ExecStart", _)) => run.clone(),
            Some(("ReadWritePaths", _)) => format!("ReadWritePaths={home}"),
            _ => line.to_owned(),
        });
        Ok(head.into_iter().chain(filled).map(|line| line + "\n").collect())
    }

    /// The line that says whose unit it is.
    fn home_line(&self) -> String {
        format!("# Home: {}", self.home)
    }

    /// Whether a unit that is there was written by the tool, for this home.
    #[must_use]
    pub fn is_ours(&self, text: &str) -> bool {
        let mut lines = text.lines();
        lines.next() == Some(MARK) && lines.next() == Some(self.home_line().as_str())
    }
}

/// A word as systemd reads it.
fn quoted(word: &str) -> Result<String, String> {
    if let Some(odd) = word.chars().find(|c| c.is_control()) {
        return Err(format!("{word:?} has the character {odd:?}, which no unit can have"));
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:%".contains(c);
    Ok(if escaped.chars().all(is_plain) { escaped } else { format!("\"{escaped}\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_runs_the_monitor_of_this_home_as_its_owner() {
        let unit = MonitorUnit {
            program: "/usr/local/bin/pmp-ha",
            home: "/opt/Manage Engine/100%/P$MP",
            user: "pmp",
            options: &[("--every", "9".into())],
        };
        let text = unit.text().expect("a text");
        for line in [
            MARK,
            "# Home: /opt/Manage Engine/100%/P$MP",
            "User=pmp",
            "ExecStart=/usr/local/bin/pmp-ha --home \"/opt/Manage Engine/100%%/P$$MP\" monitor --every 9",
            "ReadWritePaths=\"/opt/Manage Engine/100%%/P$MP\"",
            "Type=notify",
            "WatchdogSec=60",
            "ProtectSystem=strict",
            "Restart=on-failure",
            "RestartSec=10",
            "StartLimitIntervalSec=0",
            "RestartPreventExitStatus=6",
        ] {
            assert_eq!(text.lines().filter(|each| *each == line).count(), 1, "{line} in {text}");
        }
        assert!(!text.contains("/opt/ManageEngine/PMP") && !text.contains("Copy this file"), "{text}");
        assert!(unit.is_ours(&text));
        assert!(!MonitorUnit { home: "/opt/PMP", ..unit.clone() }.is_ours(&text));
        assert!(!unit.is_ours(TEMPLATE));
        assert!(MonitorUnit { home: "/opt/a\nExecStart=/x", ..unit }.text().is_err());
    }
}
