//! The commands by task, as `pmp-ha --help` lists them.

use std::fmt::Write as _;

use clap::Command;

/// Each task with its commands, in the order in which a reader needs them.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Set up a pair", &["setup", "pack", "install-pack", "key", "start", "stop", "keygen"]),
    (
        "Look, and change nothing",
        &["verify", "doctor", "explain", "inspect", "history", "config", "support-bundle"],
    ),
    ("Watch", &["monitor", "events", "alert"]),
    ("Repair", &["repair", "reconfigure", "rotate", "resume", "rollback"]),
    ("Change roles, or recover", &["switchover", "recover", "rejoin", "teardown"]),
    ("Practise, and others", &["rehearse", "lab", "completions"]),
];

/// Puts the commands by task into the help of the program.
pub(super) fn grouped(command: Command) -> Command {
    let mut template = "{before-help}{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (task, names) in GROUPS {
        // ignored: it is a text in memory
        let _ = write!(template, "\n{task}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            // ignored: it is a text in memory
            let _ = writeln!(template, "  {name:<16}{about}");
        }
    }
    template.push_str("\nOptions of every command:\n{options}{after-help}");
    command.help_template(template)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_stands_in_one_group_and_every_line_fits() {
        let command = Cli::command();
        let mut shown: Vec<&str> =
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(Command::get_name).collect();
        let mut listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        shown.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, shown);
        let help = grouped(command.clone()).term_width(80).render_help().to_string();
        for name in shown {
            let line = help.lines().find(|line| line.starts_with(&format!("  {name} "))).expect("listed");
            assert!(line.chars().count() <= 80 && line.len() > 20, "{line:?}");
        }
    }
}
