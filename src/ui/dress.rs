//! How a text looks on a screen: colours, the width of the window, and the zone of times.
//!
//! The words come first. Whatever has a colour is understood without it.

use crate::adapters::clock;
use crate::cli::When;
use crate::domain::words::wrapped;

const RESET: &str = "\x1b[0m";
const RED: &str = "\x1b[1;31m";
const GREEN: &str = "\x1b[1;32m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[36m";

/// Wrapping below this width would leave a word a line.
const NARROWEST: usize = 40;

/// The variables that decide about colours.
///
/// `https://no-color.org` and `https://bixense.com/clicolors` describe them.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    pub no_color: Option<String>,
    pub clicolor: Option<String>,
    pub clicolor_force: Option<String>,
}

impl Wishes {
    pub(super) fn of_this_process() -> Self {
        let of = |name| std::env::var(name).ok();
        Self { no_color: of("NO_COLOR"), clicolor: of("CLICOLOR"), clicolor_force: of("CLICOLOR_FORCE") }
    }

    /// Returns whether to use colours. `can_paint`: it is a terminal that understands them.
    pub(super) fn want_colours(&self, when: When, can_paint: bool) -> bool {
        let is_set = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
        let is_zero = |value: &Option<String>| value.as_deref() == Some("0");
        match when {
            When::Always => true,
            When::Never => false,
            When::Auto if is_set(&self.no_color) => false,
            When::Auto if is_set(&self.clicolor_force) && !is_zero(&self.clicolor_force) => true,
            When::Auto if is_zero(&self.clicolor) => false,
            When::Auto => can_paint,
        }
    }
}

/// How texts look on one stream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dress {
    /// Whether it has colours.
    pub colours: bool,
    /// Whether times stay in UTC.
    pub utc: bool,
}

impl Dress {
    /// Dresses a text for a window of this width; without one, no line is wrapped.
    pub(super) fn on(self, text: &str, width: Option<usize>) -> String {
        let text = if self.utc { text.to_owned() } else { in_local_time(text, clock::local) };
        let text = match width {
            Some(width) => wrapped(&text, width.max(NARROWEST)),
            None => text,
        };
        if self.colours { coloured(&text) } else { text }
    }
}

/// Gives each line its colours.
fn coloured(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

fn line(text: &str) -> String {
    let (content, end) = text.strip_suffix('\n').map_or((text, ""), |content| (content, "\n"));
    let trimmed = content.trim_start();
    let indent = &content[..content.len() - trimmed.len()];
    let marks = [
        ("error:", RED),
        ("failed:", RED),
        ("unknown:", YELLOW),
        ("warning:", YELLOW),
        ("note:", CYAN),
        ("hint:", CYAN),
        ("more:", CYAN),
    ];
    if let Some((mark, colour)) = marks.into_iter().find(|(mark, _)| trimmed.starts_with(mark)) {
        return format!("{indent}{colour}{mark}{RESET}{}{end}", &trimmed[mark.len()..]);
    }
    // The two statuses, alone or in a line of a watcher.
    if !content.contains("High Availability") && !content.contains("Replication Status") {
        return text.to_owned();
    }
    let mut out = content.to_owned();
    for (word, colour) in [("Alive", GREEN), ("Failed", RED), ("Unknown", YELLOW)] {
        out = out.replace(word, &format!("{colour}{word}{RESET}"));
    }
    out + end
}

/// Replaces each time `2026-11-30T01:39:20Z` of a text by what `local` says of it. Nobody reads its fraction.
fn in_local_time(text: &str, local: impl Fn(&str) -> Option<String>) -> String {
    const LENGTH: usize = "2026-11-30T01:39:20Z".len();
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let bytes = text.as_bytes();
    let (mut out, mut copied, mut at) = (String::with_capacity(text.len()), 0, 0);
    while at + LENGTH <= bytes.len() {
        let fits = bytes[at..at + LENGTH].iter().enumerate().all(|(place, byte)| match place {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            19 => matches!(byte, b'Z' | b'.'),
            _ => byte.is_ascii_digit(),
        });
        let digits = bytes[at + LENGTH - 1..].iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
        let fraction = if bytes[at + LENGTH - 1] == b'.' { digits + 1 } else { 0 };
        let end = at + LENGTH + fraction;
        let alone = !is_part(at.checked_sub(1).and_then(|before| bytes.get(before)))
            && bytes.get(end - 1) == Some(&b'Z')
            && !is_part(bytes.get(end));
        let seconds = || local(&format!("{}Z", &text[at..at + LENGTH - 1]));
        match (fits && alone).then(seconds).flatten() {
            Some(time) => {
                out.push_str(&text[copied..at]);
                out.push_str(&time);
                at = end;
                copied = at;
            }
            None => at += 1,
        }
    }
    out.push_str(&text[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_chosen_by_the_option_then_by_the_environment_then_by_the_terminal() {
        let wishes = |no_color: &str, clicolor: &str, force: &str| {
            let of = |text: &str| (text != "-").then(|| text.to_owned());
            Wishes { no_color: of(no_color), clicolor: of(clicolor), clicolor_force: of(force) }
        };
        for (wishes, on_terminal, elsewhere) in [
            (wishes("-", "-", "-"), true, false),
            (wishes("1", "-", "-"), false, false),
            (wishes("", "-", "-"), true, false),
            (wishes("1", "1", "1"), false, false),
            (wishes("-", "0", "-"), false, false),
            (wishes("-", "1", "-"), true, false),
            (wishes("-", "0", "1"), true, true),
            (wishes("-", "-", "0"), true, false),
        ] {
            assert_eq!(wishes.want_colours(When::Auto, true), on_terminal, "{wishes:?}");
            assert_eq!(wishes.want_colours(When::Auto, false), elsewhere, "{wishes:?}");
            assert!(wishes.want_colours(When::Always, false));
            assert!(!wishes.want_colours(When::Never, true));
        }
    }

    #[test]
    fn what_has_a_colour_is_the_same_text_without_it() {
        let text = "High Availability Status: Alive\nReplication Status: Failed\n  a, lag 0.0 s\n  failed: x [y]\n    hint: do it\n";
        let seen = coloured(text);
        assert!(seen.starts_with("High Availability Status: \x1b[1;32mAlive\x1b[0m\n"), "{seen:?}");
        assert!(seen.contains("Replication Status: \x1b[1;31mFailed\x1b[0m\n"), "{seen:?}");
        assert!(
            seen.contains("  \x1b[1;31mfailed:\x1b[0m x [y]\n    \x1b[36mhint:\x1b[0m do it\n"),
            "{seen:?}"
        );
        let bare = [RESET, RED, GREEN, YELLOW, CYAN].iter().fold(seen, |text, code| text.replace(code, ""));
        assert_eq!(bare, text);
    }

    #[test]
    fn times_are_shown_in_the_local_zone_and_names_with_a_time_in_them_stay() {
        let local = |time: &str| Some(time.replace("01:39:20Z", "02:39:20+01:00"));
        let shown = |text| in_local_time(text, local);
        assert_eq!(shown("at 2026-11-30T01:39:20Z, then"), "at 2026-11-30T02:39:20+01:00, then");
        assert_eq!(shown("2026-11-30T01:39:20Z"), "2026-11-30T02:39:20+01:00");
        assert_eq!(shown("after 2026-11-30T01:39:20.795753Z."), "after 2026-11-30T02:39:20+01:00.");
        for kept in [
            "x-2026-11-30T01:39:20Z",
            "2026-11-30T01:39:20Zx",
            "2026-11-30T01:39:20.5",
            "2026-11-30 01:39:20Z",
            "ö2026",
        ] {
            assert_eq!(shown(kept), kept);
        }
    }
}
