//! docs/health.md as a page: as much of Markdown as that document uses.

use super::markup::Markup;

/// Returns the document as HTML. Each heading can be linked to by its words.
#[must_use]
pub fn handbook(markdown: &str) -> Markup {
    let mut out = Markup::default();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            out.raw("<pre><code>");
            for code in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                out.text(code).raw("\n");
            }
            out.raw("</code></pre>\n");
        } else if let Some(heading) = line.strip_prefix("### ") {
            out.raw("<h3 id=\"").text(anchor(heading)).raw("\">").put(&inline(heading)).raw("</h3>\n");
        } else if let Some(heading) = line.strip_prefix("## ") {
            out.raw("<h2 id=\"").text(anchor(heading)).raw("\">").put(&inline(heading)).raw("</h2>\n");
        } else if let Some(heading) = line.strip_prefix("# ") {
            out.raw("<h1>").put(&inline(heading)).raw("</h1>\n");
        } else if is_item(line) {
            let ordered = !line.starts_with("- ");
            out.raw(if ordered { "<ol>" } else { "<ul>" });
            let mut item = item_of(line).to_owned();
            loop {
                match lines.peek() {
                    Some(next) if is_item(next) => {
                        out.raw("<li>").put(&inline(&item)).raw("</li>");
                        item = item_of(next).to_owned();
                    }
                    Some(next) if next.starts_with("  ") => {
                        item.push(' ');
                        item.push_str(next.trim());
                    }
                    _ => break,
                }
                lines.next();
            }
            out.raw("<li>").put(&inline(&item)).raw(if ordered { "</li></ol>\n" } else { "</li></ul>\n" });
        } else if line.starts_with('|') {
            out.raw("<div class=\"wide\"><table><thead>");
            row(&mut out, line, "<th>", "</th>");
            out.raw("</thead><tbody>");
            while let Some(next) = lines.next_if(|next| next.starts_with('|')) {
                if !next.starts_with("| ---") && !next.starts_with("|---") {
                    row(&mut out, next, "<td>", "</td>");
                }
            }
            out.raw("</tbody></table></div>\n");
        } else if !line.is_empty() {
            let mut text = line.to_owned();
            while let Some(next) = lines.next_if(|next| is_more_of_a_paragraph(next)) {
                text.push(' ');
                text.push_str(next);
            }
            out.raw("<p>").put(&inline(&text)).raw("</p>\n");
        }
    }
    out
}

fn is_item(line: &str) -> bool {
    line.starts_with("- ") || line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok())
}

fn item_of(line: &str) -> &str {
    line.split_once(' ').map_or(line, |(_, text)| text)
}

fn is_more_of_a_paragraph(line: &str) -> bool {
    !(line.is_empty() || line.starts_with(['#', '|']) || line.starts_with("```") || is_item(line))
}

fn row(out: &mut Markup, line: &str, begin: &'static str, end: &'static str) {
    out.raw("<tr>");
    for cell in line.trim_matches('|').split(" | ") {
        out.raw(begin).put(&inline(cell.trim())).raw(end);
    }
    out.raw("</tr>");
}

/// The words of a heading, as links name it.
#[must_use]
pub fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Words with code, bold words and links.
fn inline(text: &str) -> Markup {
    let mut out = Markup::default();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        out.text(&rest[..at]);
        let from = &rest[at..];
        let taken = if let Some(code) = enclosed(from, "`", "`") {
            out.element("<code>", code, "</code>");
            Some(code.len() + 2)
        } else if let Some(bold) = enclosed(from, "**", "**") {
            out.raw("<strong>").put(&inline(bold)).raw("</strong>");
            Some(bold.len() + 4)
        } else if let Some(slanted) = enclosed(from, "*", "*").filter(|text| !text.starts_with([' ', '*'])) {
            out.element("<em>", slanted, "</em>");
            Some(slanted.len() + 2)
        } else {
            link(&mut out, from)
        };
        let taken = taken.unwrap_or_else(|| {
            out.text(&from[..1]);
            1
        });
        rest = &from[taken..];
    }
    out.text(rest);
    out
}

fn enclosed<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let inside = text.strip_prefix(begin)?;
    inside.find(end).filter(|length| *length > 0).map(|length| &inside[..length])
}

/// A link within the document stays one. Of one to another document, which is not served, the words stay.
fn link(out: &mut Markup, text: &str) -> Option<usize> {
    let words = enclosed(text, "[", "](")?;
    let target = enclosed(&text[words.len() + 2..], "(", ")")?;
    if let Some(heading) = target.strip_prefix('#') {
        out.raw("<a href=\"#").text(heading).raw("\">").put(&inline(words)).raw("</a>");
    } else {
        out.put(&inline(words));
    }
    Some(words.len() + target.len() + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_document_become_html() {
        let text = "# A `b` <c>\n\nOne **two `x`**\nthree [four](#the-findings), [five](other.md), 2 * 3.\n\n\
                    - a\n  more\n- *b*\n\n1. first\n\n| h | `i` |\n| --- | --- |\n| 1 | 2 |\n\n```sh\na <b> # c\n```\n\n### no-pair\n";
        assert_eq!(
            handbook(text).html(),
            "<h1>A <code>b</code> &lt;c&gt;</h1>\n\
             <p>One <strong>two <code>x</code></strong> three <a href=\"#the-findings\">four</a>, five, 2 * 3.</p>\n\
             <ul><li>a more</li><li><em>b</em></li></ul>\n<ol><li>first</li></ol>\n\
             <div class=\"wide\"><table><thead><tr><th>h</th><th><code>i</code></th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table></div>\n\
             <pre><code>a &lt;b&gt; # c\n</code></pre>\n<h3 id=\"no-pair\">no-pair</h3>\n"
        );
    }

    #[test]
    fn every_link_within_the_handbook_leads_somewhere() {
        let html = handbook(include_str!("../../../docs/health.md")).html();
        let targets: Vec<&str> =
            html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(!targets.is_empty());
        for target in targets {
            assert!(html.contains(&format!("id=\"{target}\"")), "no heading {target}");
        }
        assert!(html.contains("id=\"peer-unreachable\"") && !html.contains("**"), "{html}");
    }
}
