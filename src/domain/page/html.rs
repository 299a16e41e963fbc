//! The page itself. It needs no script: `page.js` only brings it up to date.

use super::chart::{Curve, Period, chart};
use super::handbook::handbook;
use super::lists::{availability, events, upkeep};
use super::markup::Markup;
use super::{ChannelView, NodeView, PageView, Remembered, class};
use crate::domain::alarm::{UnixSeconds, length};
use crate::domain::health::{Finding, Severity, Status};
use crate::domain::pair::Role;
use crate::domain::snapshot::ChannelTls;

/// The style sheet.
pub const CSS: &str = include_str!("page.css");

/// The script, which fetches the page again and reports if nothing answers.
pub const SCRIPT: &str = include_str!("page.js");

/// The content policy: a browser may use the page's own style and script, and its own server.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const LAG: [Curve; 2] = [
    Curve { name: "to the secondary", figure: |sample| sample.lag },
    Curve { name: "audit rows back", figure: |sample| sample.back_lag },
];

const BEATS: [Curve; 2] = [
    Curve { name: "of the primary", figure: |sample| sample.primary_beat },
    Curve { name: "of the secondary", figure: |sample| sample.secondary_beat },
];

/// Returns the page. `view` is `None` until the first look has ended.
#[must_use]
pub fn page(view: Option<&PageView>, remembered: &Remembered, now: UnixSeconds) -> String {
    let mut out = Markup::default();
    let title = view.map_or_else(|| "pmp-ha".to_owned(), |view| title(view, now));
    head(&mut out, &title, "");
    let Some(view) = view else {
        out.raw("<main id=\"page\" data-age=\"0\" data-stale=\"60\"><p class=\"empty\">");
        out.raw("The first check of the pair is running.</p></main>");
        foot(&mut out, None);
        return out.html();
    };
    let age = now.saturating_sub(view.at);
    out.raw("<main id=\"page\" data-age=\"").text(age).raw("\" data-stale=\"");
    out.text(super::stale_after(view.every)).raw("\">\n");
    out.put(&banner(view, now)).put(&statuses(view)).put(&pair(view)).put(&findings(view));
    out.put(&charts("Lag", "Seconds behind", LAG, remembered, now));
    out.put(&charts("Heartbeats", "Seconds since the newest one", BEATS, remembered, now));
    out.put(&upkeep(&view.upkeep, now));
    out.put(&availability(remembered.availability.as_ref()));
    out.put(&events(&remembered.occurrences));
    out.raw("</main>\n");
    foot(&mut out, Some(view));
    out.html()
}

/// Returns the page that explains the findings.
#[must_use]
pub fn explanation(markdown: &str) -> String {
    let mut out = Markup::default();
    head(&mut out, "pmp-ha: findings", " class=\"prose\"");
    out.raw("<main id=\"text\"><p><a href=\"/\">← The pair</a></p>\n")
        .put(&handbook(markdown))
        .raw("</main>");
    foot(&mut out, None);
    out.html()
}

/// The icon, in the colour of the worse status.
#[must_use]
pub fn icon(view: Option<&PageView>) -> String {
    let colour = match view.map(worse) {
        Some(Status::Alive) => "#12805c",
        Some(Status::Failed) => "#c62a2f",
        Some(Status::Unknown) | None => "#8a6100",
    };
    let mut out = Markup::default();
    out.raw("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><g fill=\"none\" stroke=\"");
    out.text(colour).raw("\" stroke-width=\"4\"><circle cx=\"11\" cy=\"16\" r=\"8\"/>");
    out.raw("<circle cx=\"21\" cy=\"16\" r=\"8\"/></g></svg>");
    out.html()
}

fn worse(view: &PageView) -> Status {
    let verdict = view.report.verdict();
    verdict.high_availability.max(verdict.replication)
}

fn title(view: &PageView, now: UnixSeconds) -> String {
    let word = if view.is_stale(now) { "not watched".to_owned() } else { worse(view).to_string() };
    format!("{word} · {}", view.here().host)
}

fn head(out: &mut Markup, title: &str, class: &'static str) {
    out.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    out.raw("<meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">");
    out.element("<title>", title, "</title>");
    out.raw("<link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">");
    out.raw("<link rel=\"stylesheet\" href=\"/page.css\"><script src=\"/page.js\" defer></script>");
    out.raw("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript></head>\n<body").raw(class);
    out.raw("><header><a class=\"name\" href=\"/\"><svg viewBox=\"0 0 32 20\" aria-hidden=\"true\">");
    out.raw("<circle cx=\"11\" cy=\"10\" r=\"7\"/><circle cx=\"21\" cy=\"10\" r=\"7\"/></svg>pmp-ha</a>");
    out.raw("<p id=\"age\"></p></header>\n<p id=\"lost\" role=\"alert\" hidden></p>\n");
}

fn foot(out: &mut Markup, view: Option<&PageView>) {
    out.raw("<footer><nav><a href=\"/health\">What the findings mean</a> <a href=\"/api/status\">Status as JSON</a> ");
    out.raw("<a href=\"/events\">Events as JSON</a> <a href=\"/metrics\">Metrics</a></nav>");
    if let Some(view) = view {
        out.element("<p>pmp-ha ", &view.report.tool, " · all times are UTC</p>");
    }
    out.raw("</footer></body></html>\n");
}

/// Says at once that what follows is old, for whoever has no script.
fn banner(view: &PageView, now: UnixSeconds) -> Markup {
    let mut out = Markup::default();
    if view.is_stale(now) {
        out.raw("<p class=\"banner\" role=\"alert\">The monitor has not checked the pair for ");
        out.text(length(now.saturating_sub(view.at))).raw(". What you see is old.</p>\n");
    }
    out
}

/// A sign for each word, so that nobody needs to tell colours apart.
fn sign(status: Status) -> &'static str {
    match status {
        Status::Alive => "<path d=\"M5 12.5l5 5L19.5 7\"/>",
        Status::Failed => "<path d=\"M6 6l12 12M18 6L6 18\"/>",
        Status::Unknown => "<path d=\"M8 9a4 4 0 1 1 5.5 3.7c-1 .5-1.5 1-1.5 2.3M12 18.5v.5\"/>",
    }
}

fn statuses(view: &PageView) -> Markup {
    let verdict = view.report.verdict();
    let mut out = Markup::default();
    out.raw(
        "<section class=\"statuses\" data-part=\"statuses\" aria-live=\"polite\" aria-label=\"Status\">\n",
    );
    for (name, status) in
        [("High Availability Status", verdict.high_availability), ("Replication Status", verdict.replication)]
    {
        out.raw("<div class=\"status ").raw(class(status)).raw("\"><h2>").raw(name).raw("</h2><p>");
        out.raw("<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">").raw(sign(status)).raw("</svg>");
        out.text(status).raw("</p></div>\n");
    }
    out.element("<p class=\"summary\">", &view.report.health.summary, "</p></section>\n");
    out
}

fn pair(view: &PageView) -> Markup {
    let mut out = Markup::default();
    out.raw("<section class=\"pair\" data-part=\"pair\" aria-label=\"The pair\">\n");
    let [primary, secondary] = &view.nodes;
    out.put(&node(primary)).raw("<div class=\"channels\">");
    for channel in &view.channels {
        out.put(&arrow(channel));
    }
    out.raw("</div>").put(&node(secondary)).raw("</section>\n");
    out
}

fn node(node: &NodeView) -> Markup {
    let mut out = Markup::default();
    out.raw("<article class=\"node\"><p class=\"role\">");
    out.raw(match node.role {
        Role::Primary => "Primary",
        Role::Secondary => "Secondary",
    });
    if node.is_here {
        out.raw(" <span class=\"here\">this node</span>");
    }
    out.element("</p><h2>", &node.host, "</h2><dl><dt>Server</dt>");
    out.raw(match node.product {
        Status::Alive => "<dd><span class=\"dot alive\"></span>Password Manager Pro answers</dd>",
        Status::Failed => "<dd><span class=\"dot failed\"></span>Password Manager Pro does not answer</dd>",
        Status::Unknown => "<dd class=\"quiet\">not seen</dd>",
    });
    out.raw("<dt>Database</dt>");
    match &node.database {
        Ok(version) => {
            out.element("<dd><span class=\"dot alive\"></span>", version, " answers at port ");
            out.text(node.port).raw("</dd>")
        }
        Err(why) => out.element("<dd><span class=\"dot failed\"></span>not seen: ", why, "</dd>"),
    };
    out.raw("<dt>Heartbeat</dt>");
    match node.beat {
        Some(beat) => out.element("<dd>", format!("{beat:.1} s ago"), "</dd>"),
        None => out.raw("<dd class=\"quiet\">unknown</dd>"),
    };
    out.raw("</dl></article>\n");
    out
}

fn arrow(channel: &ChannelView) -> Markup {
    let is_forth = channel.at == Role::Secondary;
    let works = channel.state.is_some_and(|state| state.receives && state.applies);
    let state = match (channel.state, works) {
        (None, _) => "unknown",
        (Some(_), true) => "alive",
        (Some(_), false) => "failed",
    };
    let mut out = Markup::default();
    out.raw("<div class=\"channel ").raw(state).raw("\"><p><strong>");
    out.raw(if is_forth { "All data" } else { "Audit rows" }).raw("</strong> <span>");
    out.raw(if is_forth { "primary to secondary" } else { "secondary to primary" }).raw("</span></p>");
    // The heads stand at the ends, however wide the drawing is.
    out.raw("<svg class=\"across\" height=\"12\" aria-hidden=\"true\"><line x1=\"0\" y1=\"6\" x2=\"100%\" y2=\"6\"/>");
    out.raw(if is_forth {
        "<svg x=\"100%\" overflow=\"visible\"><path d=\"M-8 1L-1 6L-8 11\"/></svg></svg>"
    } else {
        "<path d=\"M8 1L1 6L8 11\"/></svg>"
    });
    out.raw("<svg class=\"down\" width=\"12\" height=\"36\" aria-hidden=\"true\"><line x1=\"6\" y1=\"0\" x2=\"6\" y2=\"36\"/>");
    out.raw(if is_forth {
        "<path d=\"M1 28L6 35L11 28\"/></svg>"
    } else {
        "<path d=\"M1 8L6 1L11 8\"/></svg>"
    });
    out.raw("<p class=\"facts\">");
    match channel.state {
        None => out.raw("not seen"),
        Some(state) => {
            out.raw(match (state.receives, state.applies) {
                (true, true) => "",
                (false, true) => "receives nothing · ",
                (true, false) => "applies nothing · ",
                (false, false) => "receives and applies nothing · ",
            });
            match channel.lag {
                Some(lag) => out.raw("lag ").text(format!("{lag:.1} s")),
                None => out.raw("lag unknown"),
            };
            out.raw(match state.tls {
                ChannelTls::Verified => " · TLS verified",
                ChannelTls::Unverified => " · TLS not verified",
                ChannelTls::Off => " · no TLS",
            })
        }
    };
    out.raw("</p></div>\n");
    out
}

fn findings(view: &PageView) -> Markup {
    let mut out = Markup::default();
    let findings = &view.report.health.findings;
    out.raw("<section data-part=\"findings\"><h2>Findings</h2>\n");
    if findings.is_empty() {
        out.raw("<p class=\"empty\">Nothing to report.</p>");
    }
    for Finding { code, about, severity, what, evidence, hint } in findings {
        out.raw(match severity {
            Severity::Failed => "<article class=\"finding failed\">",
            Severity::Unknown => "<article class=\"finding unknown\">",
            Severity::Warning => "<article class=\"finding warning\">",
            Severity::Note => "<article class=\"finding note\">",
        });
        out.element("<p class=\"label\"><b>", severity, "</b> ").text(about).raw("</p>");
        out.element("<h3>", what, "</h3>").element("<p class=\"because\">because ", evidence, "</p>");
        out.raw("<p class=\"hint\">").put(&with_code(hint)).raw("</p><p><a href=\"/health#");
        out.text(code).raw("\">");
        out.text(code).raw("</a></p></article>\n");
    }
    out.raw("</section>\n");
    out
}

/// A text in which backticks enclose what is to be typed.
fn with_code(text: &str) -> Markup {
    let mut out = Markup::default();
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 0 {
            out.text(part)
        } else {
            out.element("<code>", part, "</code>")
        };
    }
    out
}

fn charts(
    what: &'static str,
    unit: &'static str,
    curves: [Curve; 2],
    remembered: &Remembered,
    now: UnixSeconds,
) -> Markup {
    let mut out = Markup::default();
    out.raw("<section data-part=\"").raw(what).raw("\"><h2>").raw(what).raw("</h2><p class=\"legend\">");
    out.raw(unit).raw("<span class=\"key\">").raw(curves[0].name).raw("</span><span class=\"key other\">");
    out.raw(curves[1].name).raw("</span></p><div class=\"charts\">\n");
    for period in Period::ALL {
        out.raw("<figure><figcaption>").raw(period.name()).raw("</figcaption>");
        out.put(&chart(what, curves, &remembered.samples, period, now)).raw("</figure>\n");
    }
    out.raw("</div></section>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;
    use crate::domain::chronicle::occurrence::{Happening, Occurrence};
    use crate::domain::report::Verdict;

    fn remembered() -> Remembered {
        let status =
            Happening::Status { from: None, to: Verdict::ALIVE, role: None, codes: vec!["<b>".into()] };
        let result = "<script>alert(2)</script>".into();
        let of = |what| Occurrence { at: 1_770_000_000, what };
        Remembered {
            occurrences: vec![of(status), of(Happening::Compared { equal: false, result })],
            ..Remembered::default()
        }
    }

    #[test]
    fn hostile_names_and_messages_are_no_markup_on_the_page() {
        let view = hostile();
        let html = page(Some(&view), &remembered(), view.at + 3);
        for tag in ["<script>", "<img", "onerror=alert(1)>"] {
            assert!(!html.contains(tag), "{tag} in\n{html}");
        }
        assert!(html.contains("[&lt;b&gt;]"));
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert_eq!(html.matches("<script").count(), 1, "its own file only");
        // A strict policy holds only if nothing needs more than it allows.
        for inline in [" style=", "<style", " onclick", " onload", "http://", "https://", "javascript:"] {
            assert!(!html.contains(inline), "{inline} in\n{html}");
        }
    }

    #[test]
    fn the_page_says_both_statuses_in_the_words_of_the_product() {
        let view = hostile();
        let html = page(Some(&view), &remembered(), view.at);
        for words in [
            "<h2>High Availability Status</h2>",
            "<h2>Replication Status</h2>",
            "</svg>Failed</p>",
            "</svg>Unknown</p>",
            "<title>Failed · pmp-1.example.com</title>",
            "lag 0.4 s · TLS verified",
            "href=\"/health#peer-unreachable\"",
            "it found a defect",
            "12.3 GB",
            "a channel fails",
            "sends nothing; 3 messages wait",
        ] {
            assert!(html.contains(words), "no {words} in\n{html}");
        }
        assert!(!html.contains("What you see is old"));
        let old = page(Some(&view), &remembered(), view.at + 60);
        assert!(old.contains("has not checked the pair for 60 s") && old.contains("<title>not watched"));
    }

    #[test]
    fn every_tag_of_the_page_is_closed() {
        let view = hostile();
        let first = page(None, &Remembered::default(), 5);
        let health = explanation(include_str!("../../../docs/health.md"));
        for html in [page(Some(&view), &remembered(), view.at), first, health] {
            for tag in [
                "section", "article", "dl", "div", "p", "svg", "ol", "ul", "table", "tr", "td", "span", "h2",
                "a", "code",
            ] {
                let count = |begin: String| {
                    html.match_indices(&begin)
                        .filter(|(at, _)| html[at + begin.len()..].starts_with(['>', ' ']))
                        .count()
                };
                assert_eq!(count(format!("<{tag}")), count(format!("</{tag}")), "{tag} in\n{html}");
            }
        }
    }
}
