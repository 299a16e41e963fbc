//! Words of strangers, made harmless for a terminal.

/// Returns a text without anything that a terminal would execute: control characters become `?`. Line
/// ends and tabs stay.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().map(|c| if is_harmless(c) && !is_hidden(c) { c } else { '?' }).collect()
}

/// Characters that change the order in which the others are shown.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
}
