//! Words of strangers, made harmless for a terminal.

/// Returns a text without anything that a terminal would execute: control characters become `?`. Line
/// ends and tabs stay.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().map(|c| if is_harmless(c) && !is_hidden(c) { c } else { '?' }).collect()
}

/// Returns a text without line breaks and other control characters, so it stays on its line.
#[must_use]
pub fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the libraries say of a file that could not be used, and what a person says.
const OF_LIBRARIES: [(&str, &str); 13] = [
    ("failed to canonicalize path ", "cannot find "),
    ("failed to query resolved metadata ", "cannot look at "),
    ("failed to query raw metadata ", "cannot look at "),
    ("failed to open file ", "cannot open "),
    ("failed to create file ", "cannot create "),
    ("failed to create directory ", "cannot create "),
    ("failed to read from file ", "cannot read "),
    ("failed to read directory ", "cannot list "),
    ("failed to write to file ", "cannot write to "),
    ("failed to remove file ", "cannot remove "),
    ("failed to remove directory ", "cannot remove "),
    ("failed to set permissions for file ", "cannot change the rights of "),
    ("failed to lookup address information", "cannot find the address of this name"),
];

/// Returns a text in plain words instead of those of a library, without a system error number.
#[must_use]
pub fn plain_words(text: &str) -> String {
    let mut text =
        OF_LIBRARIES.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours));
    while let Some(begin) = text.find(" (os error ") {
        let Some(length) = text[begin..].find(')') else { break };
        text.replace_range(begin..=begin + length, "");
    }
    text
}

/// Returns the beginning of a text, with a mark where it was cut.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} […]", &text[..end]),
    }
}

/// Returns a word as a shell wants it.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Characters that change the order in which the others are shown.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the candidates that a word may mean, the nearest first.
///
/// A letter or two may be wrong, or the word is a part of a candidate.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let may_differ = (word.chars().count() / 4).clamp(1, 3);
    let mut near: Vec<(usize, &str)> = candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= may_differ || (word.len() > 3 && candidate.split('-').any(|part| part == word))
        })
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Returns how many letters must be put in, taken out or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Wraps lines at `width` characters. What stands in backticks and what has no space is never broken,
/// nor is a line that shows a command.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 40);
    for line in text.split_inclusive('\n') {
        let (content, end) = line.strip_suffix('\n').map_or((line, ""), |content| (content, "\n"));
        wrap_line(content, width, &mut out);
        out.push_str(end);
    }
    out
}

fn wrap_line(line: &str, width: usize, out: &mut String) {
    let trimmed = line.trim_start();
    let is_command = ["$ ", "# ", "more: "].iter().any(|start| trimmed.starts_with(start));
    if line.chars().count() <= width || is_command {
        out.push_str(line);
        return;
    }
    let indent = line.chars().count() - trimmed.chars().count();
    // What continues a line stands below its words, not below its mark.
    let marks = ["- ", "because ", "hint: ", "warning: ", "failed: ", "unknown: ", "note: ", "error: "];
    let number = trimmed.chars().take_while(char::is_ascii_digit).count();
    let is_item = number > 0 && trimmed[number..].starts_with(". ");
    // An entry of a list begins with its time.
    let is_entry = number == 4 && trimmed.get(10..11) == Some("T");
    let hang = match marks.iter().find(|mark| trimmed.starts_with(**mark)) {
        None if is_item => number + 2,
        None if is_entry => 4,
        Some(&"- ") => 2,
        Some(_) if indent == 0 => 2,
        Some(_) => 4,
        None => 0,
    };
    let hanging = " ".repeat((indent + hang).min(width / 2));
    out.extend(std::iter::repeat_n(' ', indent));
    let mut column = indent;
    let mut is_first = true;
    for piece in unbroken(trimmed) {
        let length = piece.trim_end().chars().count();
        if !is_first && column + length > width {
            while out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
            out.push_str(&hanging);
            column = hanging.len();
        }
        out.push_str(piece);
        column += piece.chars().count();
        is_first = false;
    }
}

/// Splits a line after each run of spaces that is not inside of backticks.
fn unbroken(line: &str) -> Vec<&str> {
    let (mut out, mut begin, mut in_code) = (Vec::new(), 0, false);
    let mut before = ' ';
    let is_closed = line.matches('`').count().is_multiple_of(2);
    for (at, c) in line.char_indices() {
        // The program and its command are one word.
        let is_name = line[begin..at].trim() == "pmp-ha";
        if before == ' ' && c != ' ' && !in_code && at > begin && !is_name {
            out.push(&line[begin..at]);
            begin = at;
        }
        in_code ^= c == '`' && is_closed;
        before = c;
    }
    out.push(&line[begin..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_that_it_would_execute() {
        assert_eq!(printable("8.4.0-\u{1b}[2J\u{1b}]0;x\u{7}ok\r\u{9b}1m"), "8.4.0-?[2J?]0;x?ok??1m");
        assert_eq!(printable("zwei Zeilen\n\täöü — fine"), "zwei Zeilen\n\täöü — fine");
        assert_eq!(printable("a\u{202e}b"), "a?b");
    }

    #[test]
    fn an_error_of_the_system_is_said_as_a_person_says_it() {
        for (theirs, ours) in [
            (
                "failed to canonicalize path `/x`: No such file or directory (os error 2)",
                "cannot find `/x`: No such file or directory",
            ),
            ("a: failed to open file `/x`: b (os error 13); c (os error 2)", "a: cannot open `/x`: b; c"),
            ("Connection refused (os error 111", "Connection refused (os error 111"),
        ] {
            assert_eq!(plain_words(theirs), ours);
        }
    }

    #[test]
    fn the_nearest_words_are_a_slip_away_or_share_a_part() {
        let words = ["receiver-connecting", "receiver-stopped", "lagging", "disk-full"];
        let near = |word| nearest(word, words.into_iter());
        assert_eq!(near("reciever-connecting"), ["receiver-connecting"]);
        assert_eq!(near("laging"), ["lagging"]);
        assert_eq!(near("receiver"), ["receiver-stopped", "receiver-connecting"]);
        assert_eq!(near("x"), Vec::<&str>::new());
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_line_is_wrapped_between_words_and_a_command_never() {
        let text = "  hint: Run `pmp-ha recover --promote --fenced` on the secondary, then look again.\n";
        let wanted = "  hint: Run\n      `pmp-ha recover --promote --fenced`\n      on the secondary, then look\n      again.\n";
        assert_eq!(wrapped(text, 36), wanted);
        assert_eq!(wrapped(text, 200), text);
        let path = "/a/very/long/path/without/any/space/that/is/longer/than/the/window";
        assert_eq!(wrapped(path, 20), path);
        let command = "  $ pmp-ha pack pmp-a.example.com pmp-b.example.com";
        assert_eq!(wrapped(command, 20), command);
        assert_eq!(wrapped("- one two three\n\nfour five", 9), "- one two\n  three\n\nfour five");
        assert_eq!(wrapped("  10. one two three", 13), "  10. one two\n      three");
        let entry = "2026-02-03T23:05:06Z  pmp  install-pack";
        assert_eq!(wrapped(entry, 30), "2026-02-03T23:05:06Z  pmp\n    install-pack");
        for width in 1..40 {
            let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(squeezed(&wrapped(text, width)), squeezed(text));
        }
    }
}
