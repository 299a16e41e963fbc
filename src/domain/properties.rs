//! Java properties, read by Java's own rules.
//!
//! Bytes are ISO-8859-1, lines end in any of three ways, a backslash continues a line, and `\u` names
//! a UTF-16 unit. Source: the documentation of `java.util.Properties.load`.

/// The content of a properties file.
#[derive(Clone, PartialEq, Eq)]
pub struct Properties {
    text: String,
}

impl std::fmt::Debug for Properties {
    // These files hold passwords and keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Properties")
            .field("keys", &self.entries().map(|(key, _)| key).collect::<Vec<_>>())
            .finish()
    }
}

impl Properties {
    /// Takes the bytes of a file as they are.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        // In ISO-8859-1 every byte is the character of its number.
        Self { text: bytes.as_ref().iter().copied().map(char::from).collect() }
    }

    /// Every key with its unescaped value, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (String, String)> + '_ {
        logical_lines(&self.text).into_iter().map(|line| split(&line))
    }

    /// The value of `key`; the last one wins, as in Java.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        self.entries().filter(|(name, _)| name == key).last().map(|(_, value)| value)
    }

    /// Why Java would refuse the whole file, if it would: an escape `\u` without four digits.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let bad = logical_lines(&self.text).into_iter().any(|line| {
            let mut rest = line.as_str();
            while let Some(at) = rest.find('\\') {
                let mut after = rest[at + 1..].chars();
                if after.next() == Some('u') && code_unit(after.as_str()).is_none() {
                    return true;
                }
                rest = after.as_str();
            }
            false
        });
        bad.then_some("it has an escape \\u without four hexadecimal digits")
    }
}

/// What Java skips at the beginning of a line.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// The lines that hold an entry, each with its continuations.
fn logical_lines(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut open: Option<String> = None;
    // An empty line between `\r` and `\n` would end a continued line too early.
    let text = text.replace("\r\n", "\n");
    for line in text.split(['\n', '\r']) {
        let line = line.trim_start_matches(is_blank);
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let goes_on = line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1;
        let mut whole = open.take().unwrap_or_default();
        whole.push_str(if goes_on { &line[..line.len() - 1] } else { line });
        if goes_on {
            open = Some(whole);
        } else if !whole.is_empty() {
            out.push(whole);
        }
    }
    out.extend(open.filter(|line| !line.is_empty()));
    out
}

fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let mut end = line.len();
    for (at, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '=' || c == ':' || is_blank(c) {
            end = at;
            break;
        }
    }
    let rest = line[end..].trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescape(&line[..end]), unescape(rest.trim_start_matches(is_blank)))
}

/// The UTF-16 unit that four hexadecimal digits name.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

fn unescape(raw: &str) -> String {
    // Two escapes may be the halves of one character.
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut buffer = [0; 2];
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        let Some(escaped) = rest.chars().next() else { break };
        rest = &rest[escaped.len_utf8()..];
        let meant = match escaped {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'u' => {
                if let Some(unit) = code_unit(rest) {
                    units.push(unit);
                    rest = &rest[4..];
                }
                continue;
            }
            other => other,
        };
        units.extend_from_slice(meant.encode_utf16(&mut buffer));
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_comments_escapes_and_the_last_of_two() {
        let file = Properties::new("# c\npassword=a\\=b\n url : jdbc\\:x\nempty=\npassword=z\n");
        assert_eq!(file.get("password").as_deref(), Some("z"));
        assert_eq!(file.get("url").as_deref(), Some("jdbc:x"));
        assert_eq!(file.get("empty").as_deref(), Some(""));
        assert_eq!(file.get("absent"), None);
    }

    #[test]
    fn a_file_is_latin_1_whatever_its_comments_say() {
        let file = Properties::new(b"# ge\xe4ndert\nusername=root\npassword=\xfcx\n");
        assert_eq!(file.get("username").as_deref(), Some("root"));
        assert_eq!(file.get("password").as_deref(), Some("\u{fc}x"));
    }

    #[test]
    fn lines_end_and_go_on_as_in_java() {
        for (text, wanted) in [
            ("a=1\rb=2\r\nc=3", "a=1,b=2,c=3"),
            ("a=1,\\\n   2,\\\r\n\t3\nb=4", "a=1,2,3,b=4"),
            // A line that goes on into an empty one ends there.
            ("a=1\\\n\nb=2", "a=1,b=2"),
            ("a=1\\\\\nb=2", "a=1\\,b=2"),
            // A comment does not go on, and a line that goes on holds no comment.
            ("# x\\\nb=2", "b=2"),
            ("a=1\\\n#2", "a=1#2"),
            ("a=1\\", "a=1"),
            ("a", "a="),
            ("a  1 ", "a=1 "),
            ("a\\ b = : c", "a b=: c"),
            ("\u{c}a\u{c}=\u{c}1", "a=1"),
            ("\\\n", ""),
        ] {
            let shown: Vec<String> =
                Properties::new(text).entries().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!(shown.join(","), wanted, "{text:?}");
        }
    }

    #[test]
    fn characters_are_named_by_their_utf_16_units() {
        let value = |text: &str| Properties::new(format!("a={text}")).get("a").expect("there");
        assert_eq!(value("\\u0041\\u00e4\\t\\f\\q"), "A\u{e4}\t\u{c}q");
        assert_eq!(value("\\ud83d\\ude00"), "\u{1f600}");
        assert_eq!(Properties::new("a=\\u0041\nb=\\\\u1").fault(), None);
        for bad in ["a=\\u004", "\\uzzzz=1", "a=\\u+041"] {
            assert!(Properties::new(bad).fault().is_some(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_keys_only() {
        assert!(!format!("{:?}", Properties::new("password=hunter2")).contains("hunter2"));
    }
}
