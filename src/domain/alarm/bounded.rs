//! Texts for channels with short messages: what does not fit is counted, not cut off silently.

use crate::domain::words::one_line;

/// Joins texts into one line of at most so many bytes.
///
/// It keeps as many complete texts as fit, or the beginning of the first, and adds the number of the
/// others.
#[must_use]
pub(super) fn within(texts: &[String], between: &str, longest: usize) -> String {
    let texts: Vec<String> =
        texts.iter().map(|text| one_line(text)).filter(|text| !text.is_empty()).collect();
    let told = |whole: usize| {
        let left = texts.len() - whole;
        let more = if left == 0 { String::new() } else { format!("{between}and {left} more") };
        texts.iter().take(whole).cloned().collect::<Vec<_>>().join(between) + &more
    };
    if let Some(fits) = (1..=texts.len()).rev().map(told).find(|text| text.len() <= longest) {
        return fits;
    }
    let Some(first) = texts.first() else { return String::new() };
    let more =
        if texts.len() > 1 { format!("…{between}and {} more", texts.len() - 1) } else { "…".into() };
    cut(cut(first.clone(), longest.saturating_sub(more.len())) + &more, longest)
}

/// The begin of a text, in so many bytes at most.
#[must_use]
pub(super) fn cut(mut text: String, longest: usize) -> String {
    while text.len() > longest {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let texts = ["one\nline", "two", "the third text"].map(String::from);
        for (longest, told) in [
            (99, "one line; two; the third text"),
            (29, "one line; two; the third text"),
            (28, "one line; two; and 1 more"),
            (24, "one line; and 2 more"),
            (19, "one …; and 2 more"),
            (2, ""),
            (0, ""),
        ] {
            let said = within(&texts, "; ", longest);
            assert!(said.len() <= longest, "{said}");
            assert_eq!(said, told, "{longest}");
        }
        assert_eq!(within(&texts[..1], "; ", 7), "one …");
        assert_eq!(within(&[], "; ", 7), "");
    }
}
