//! The help of every command: its examples, its order.

use super::*;

/// Every command with its names.
fn every(command: &clap::Command, names: &str, visit: &mut dyn FnMut(&str, &clap::Command)) {
    visit(names, command);
    for sub in command.get_subcommands() {
        every(sub, format!("{names} {}", sub.get_name()).trim(), visit);
    }
}

/// The words of a line as a shell splits them; quotes hold spaces together.
fn words(line: &str) -> Vec<OsString> {
    let mut out = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 {
            out.push(part.into());
        } else {
            out.extend(part.split_whitespace().map(OsString::from));
        }
    }
    out
}

#[test]
fn every_command_has_examples_and_every_example_is_parsed() {
    let mut seen = 0;
    every(&Cli::command(), "", &mut |names, command| {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = help.strip_prefix("Examples:\n").unwrap_or_else(|| panic!("no example: {names}"));
        let last = names.rsplit(' ').next().unwrap_or_default();
        for line in examples.lines() {
            let line = line.strip_prefix("  $ ").unwrap_or_else(|| panic!("{names}: {line}"));
            assert!(
                line.len() <= 76 && line.split(' ').any(|word| word == last || last.is_empty()),
                "{line}"
            );
            let parsed = parse(words(line));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            seen += 1;
        }
    });
    assert!(seen > 50, "only {seen}");
}

#[test]
fn a_command_shows_its_own_options_first() {
    let mut built = command();
    built.build();
    every(&built, "", &mut |names, command| {
        if names.split(' ').any(|name| name == "help" || name.is_empty()) {
            return;
        }
        let help = command.clone().term_width(80).render_help().to_string();
        let own = help.find("\nOptions:\n");
        let global = help.find("\nOptions of every command:\n");
        assert!(own.is_some() && own < global, "{names}:\n{help}");
    });
}

#[test]
fn the_command_line_is_sound_and_colours_are_known_before_it_is_parsed() {
    command().debug_assert();
    let chosen = |line: &str| color(&words(line));
    assert_eq!(chosen("pmp-ha --color always verify"), ColorChoice::Always);
    assert_eq!(chosen("pmp-ha verify --color=never"), ColorChoice::Never);
    assert_eq!(chosen("pmp-ha lab sql x -- --color=never"), ColorChoice::Auto);
}
