//! HTML in which nothing from outside can be markup.

use std::fmt::Display;

use crate::domain::alarm::event::escaped;
use crate::domain::words::printable;

/// A piece of HTML or SVG.
///
/// Tags are texts of this program's source. Everything else goes through [`Markup::text`], which
/// escapes it for an element and for an attribute in quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markup(String);

impl Markup {
    /// Adds tags.
    pub fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    /// Adds a text.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        self.0.push_str(&escaped(&printable(&text.to_string())));
        self
    }

    /// Adds a tag with a text in it.
    pub fn element(&mut self, begin: &'static str, text: impl Display, end: &'static str) -> &mut Self {
        self.raw(begin).text(text).raw(end)
    }

    /// Adds another piece.
    pub fn put(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// The HTML.
    #[must_use]
    pub fn html(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let mut markup = Markup::default();
        markup.raw("<a title=\"").text("\"><script>alert('x')</script>").raw("\">");
        markup.text("a\u{202e}b\u{1b}[2J & </a>").raw("</a>");
        assert_eq!(
            markup.html(),
            "<a title=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\">a?b?[2J &amp; &lt;/a&gt;</a>"
        );
    }
}
