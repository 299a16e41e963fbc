//! Adds the home that the operator named to the commands in hints.

use super::words::shell_word;

/// What shows that a sentence speaks of another node, or of more than this one. There its own home belongs.
const ELSEWHERE: [&str; 7] =
    [" there", " on ", "other node", " both ", "each node", " from the primary", "the secondary:"];

/// Words behind a command that is only mentioned.
const MENTIONED: [&str; 4] = [" creates", " keeps", " printed", " asks"];

/// Commands that need no home.
const WITHOUT_HOME: [&str; 6] = ["explain", "keygen", "lab", "completions", "man", "-"];

/// How a line begins that says what to do.
const SAYS_WHAT_TO_DO: [&str; 2] = ["hint: ", "next: "];

const PROGRAM: &str = "pmp-ha ";

/// Returns a text in which the commands of its hints name `home`, if they are for this node.
#[must_use]
pub fn with_home(text: &str, home: &str) -> String {
    let option = format!("--home {} ", shell_word(home));
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let begin = line.trim_start();
        if SAYS_WHAT_TO_DO.iter().any(|start| begin.starts_with(start)) {
            for clause in clauses(line) {
                put_in(clause, &option, &mut out);
            }
        } else {
            out.push_str(line);
        }
    }
    out
}

/// Splits a line behind the end of each sentence or half of one, but not inside of backticks.
fn clauses(line: &str) -> Vec<&str> {
    let (mut out, mut begin, mut in_code, mut before) = (Vec::new(), 0, false, ' ');
    for (at, c) in line.char_indices() {
        in_code ^= c == '`';
        if c == ' ' && !in_code && matches!(before, '.' | ';') {
            out.push(&line[begin..at]);
            begin = at;
        }
        before = c;
    }
    out.push(&line[begin..]);
    out
}

fn put_in(clause: &str, option: &str, out: &mut String) {
    if ELSEWHERE.iter().any(|words| clause.contains(words)) {
        return out.push_str(clause);
    }
    let is_next = clause.trim_start().starts_with("next: ");
    let mut rest = clause;
    while let Some(at) = rest.find(PROGRAM) {
        let (before, command) = rest.split_at(at + PROGRAM.len());
        out.push_str(before);
        let is_typed = before[..at].ends_with('`')
            || (is_next && before[..at].ends_with("next: "))
            || before[..at].trim_end().ends_with("then");
        let behind = command.split_once('`').map_or("", |(_, behind)| behind);
        let is_mentioned = MENTIONED.iter().any(|word| behind.starts_with(word));
        if is_typed && !is_mentioned && !WITHOUT_HOME.iter().any(|word| command.starts_with(word)) {
            out.push_str(option);
        }
        rest = command;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(text: &str, wanted: &str) {
        assert_eq!(with_home(text, "/opt/My PMP"), wanted.replace("HOME", "--home '/opt/My PMP'"));
    }

    #[test]
    fn a_command_for_this_node_names_its_home() {
        becomes(
            "error: it was interrupted\n  because `pmp-ha pack` is open\n  hint: Run `pmp-ha resume`, or `pmp-ha pack` again. See `pmp-ha verify`.\n  more: pmp-ha explain run-interrupted",
            "error: it was interrupted\n  because `pmp-ha pack` is open\n  hint: Run `pmp-ha HOME resume`, or `pmp-ha HOME pack` again. See `pmp-ha HOME verify`.\n  more: pmp-ha explain run-interrupted",
        );
        becomes(
            "next: pmp-ha key PATH, with the path of the primary's pmp_key.key; then pmp-ha start\n",
            "next: pmp-ha HOME key PATH, with the path of the primary's pmp_key.key; then pmp-ha HOME start\n",
        );
        becomes("next: `pmp-ha monitor` watches it", "next: `pmp-ha HOME monitor` watches it");
    }

    #[test]
    fn a_command_for_another_node_or_without_a_home_stays_as_it_is() {
        for text in [
            "  hint: Run `pmp-ha setup` on the primary. Install the pack with `pmp-ha install-pack` there.",
            "  hint: Run `pmp-ha reconfigure` on both nodes.",
            "next: copy it into the secondary's home on pmp-b, and run there: pmp-ha install-pack",
            "  hint: `pmp-ha --home DIR verify` names another one.",
            "  hint: Compare its SHA-256 with the one that `pmp-ha pack` printed.",
            "  hint: `pmp-ha explain` lists the codes.",
            "  hint: If the primary is lost, promote the secondary: `pmp-ha recover --promote`.",
            "pmp-ha is the program; `pmp-ha start` is a command.",
        ] {
            becomes(text, text);
        }
    }
}
