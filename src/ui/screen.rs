//! A separate screen for a repeated report: it fits the window, and restores the terminal.

use anyhow::Result;

use super::Ui;
use crate::adapters::system::Resizes;

/// The screen of its own, with no cursor, and cleared.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// The screen. It is left when this goes, however the command ends.
pub struct Screen<'a> {
    ui: &'a Ui,
    resizes: Resizes,
    text: String,
}

impl<'a> Screen<'a> {
    /// Takes the terminal; nothing if stdout is none that can be painted.
    pub fn open(ui: &'a Ui) -> Result<Option<Self>> {
        if !ui.can_repaint() {
            return Ok(None);
        }
        let screen = Self { ui, resizes: Resizes::listen()?, text: String::new() };
        ui.paint(ENTER)?;
        Ok(Some(screen))
    }

    /// Shows a text, over what is there, so that it does not flicker. Returns whether anybody sees it.
    pub fn show(&mut self, text: String) -> Result<bool> {
        self.text = text;
        self.repaint()
    }

    /// Shows the same again.
    fn repaint(&self) -> Result<bool> {
        let (columns, rows) = super::window();
        let fitted = fitted(&self.ui.wrapped(&self.text, columns), columns, rows);
        let lines: Vec<String> =
            fitted.iter().map(|line| format!("{}{CLEAR_LINE}", self.ui.coloured(line))).collect();
        // No line end behind the last one: it would scroll a full window.
        self.ui.paint(&format!("{HOME}{}{CLEAR_BELOW}", lines.join("\r\n")))
    }

    /// Shows the text again after each change of the window's size, while `work` runs.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.resizes.next() => {
                    // ignored: a terminal that is gone is noticed when the next text is shown
                    let _ = self.repaint();
                }
            }
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // ignored: a terminal that is gone needs nothing
        let _ = self.ui.paint(LEAVE);
    }
}

/// Cuts a text to a window: long lines go on below, and what has no room is counted in the last line.
fn fitted(text: &str, columns: usize, rows: usize) -> Vec<String> {
    let (columns, rows) = (columns.max(1), rows.max(1));
    let mut lines: Vec<String> = text.lines().flat_map(|line| broken(line, columns)).collect();
    if lines.len() > rows {
        lines.truncate(rows);
        if rows > 2 {
            let left = text.lines().flat_map(|line| broken(line, columns)).count() + 1 - rows;
            let more = format!("... {left} more lines: make the window larger");
            lines[rows - 1] = more.chars().take(columns).collect();
        }
    }
    lines
}

/// Breaks a line at its words. What follows is as deep as the line itself, and two more.
fn broken(line: &str, columns: usize) -> Vec<String> {
    let depth = line.chars().take_while(|c| *c == ' ').count();
    let indent = if depth + 2 < columns / 2 { " ".repeat(depth + 2) } else { String::new() };
    let (mut out, mut rest): (Vec<String>, String) = (Vec::new(), line.to_owned());
    while rest.chars().count() > columns {
        let head: String = rest.chars().take(columns + 1).collect();
        let word_end = head.rfind(' ').filter(|at| !head[..*at].trim().is_empty());
        let (cut, skip) = match word_end {
            Some(at) => (at, 1),
            None => (rest.char_indices().nth(columns).map_or(rest.len(), |(at, _)| at), 0),
        };
        out.push(rest[..cut].to_owned());
        rest = format!("{indent}{}", &rest[cut + skip..]);
    }
    out.push(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "High Availability Status: Failed\nReplication Status: Unknown\n  warning: a b c d e f g h\n    because it is so\n";

    #[test]
    fn a_text_fits_every_window_and_the_first_lines_stay() {
        for columns in [1, 9, 20, 60, 80, 120] {
            for rows in [1, 2, 3, 5, 24] {
                let lines = fitted(TEXT, columns, rows);
                assert!(lines.len() <= rows, "{columns}x{rows}: {lines:?}");
                assert!(
                    lines.iter().all(|line| line.chars().count() <= columns),
                    "{columns}x{rows}: {lines:?}"
                );
            }
        }
        let lines = fitted(TEXT, 40, 3);
        assert_eq!(lines[..2], ["High Availability Status: Failed", "Replication Status: Unknown"]);
        assert_eq!(lines[2], "... 2 more lines: make the window larger");
        assert_eq!(fitted(TEXT, 40, 2).len(), 2);
    }

    #[test]
    fn a_long_line_goes_on_at_a_word_and_deeper() {
        assert_eq!(broken("  warning: the disk is full", 16), ["  warning: the", "    disk is full"]);
        assert_eq!(broken("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(broken("", 4), [""]);
        assert_eq!(broken("äöü äöü", 3), ["äöü", "äöü"]);
    }
}
