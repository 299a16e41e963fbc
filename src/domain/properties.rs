//! Java properties as the product writes them: read a value, change a value, keep every other byte.

/// The text of a properties file. Only the lines that are set are rewritten.
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
    /// Takes the text of a file as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The whole text, for writing it back.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every key with its unescaped value, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.text.lines().filter_map(split)
    }

    /// The value of `key`; the last one wins, as in Java.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        self.entries().filter(|(name, _)| name == key).last().map(|(_, value)| value)
    }
}

fn split(line: &str) -> Option<(String, String)> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with(['#', '!']) {
        return None;
    }
    let mut escaped = false;
    let mut end = line.len();
    for (at, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '=' || c == ':' || c.is_whitespace() {
            end = at;
            break;
        }
    }
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    Some((unescape(&line[..end]), unescape(rest.trim_start())))
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let code: String = chars.by_ref().take(4).collect();
                out.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
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
    fn debug_shows_keys_only() {
        assert!(!format!("{:?}", Properties::new("password=hunter2")).contains("hunter2"));
    }
}
