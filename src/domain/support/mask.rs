//! Takes secrets out of a text: those that are known, and whatever looks like one.
//!
//! Better too much than too little: a masked word can be asked for, and a secret that left cannot be called
//! back.

use std::borrow::Cow;

use super::forms::{without_pairs, without_texts_of_functions, without_words};
use super::names::{MASK, speaks_of_a_secret};

/// A known secret that is shorter would take away harmless words.
const SHORTEST: usize = 4;

/// Words before a secret in SQL and in command lines.
const BEFORE: [&str; 4] = ["identified by ", "password for ", "authorization: ", "authorization : "];

/// Secrets that are known, and how they are written in the files that are shown.
#[derive(Debug, Default, Clone)]
pub struct KnownSecrets {
    forms: Vec<String>,
}

impl KnownSecrets {
    /// Adds a secret in every form in which a file of the product may have it.
    pub fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.chars().count() < SHORTEST {
            return;
        }
        let properties: String = secret
            .chars()
            .flat_map(|c| if "\\:=#! ".contains(c) { vec!['\\', c] } else { vec![c] })
            .collect();
        let escapes = |pairs: &[(&str, &str)]| {
            pairs.iter().fold(secret.to_owned(), |text, (from, to)| text.replace(from, to))
        };
        let xml = escapes(&[("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&apos;")]);
        let quoted = escapes(&[("\\", "\\\\"), ("'", "\\'"), ("\"", "\\\"")]);
        let url: String = secret
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect();
        for form in [secret.to_owned(), properties, xml, quoted, url] {
            if !self.forms.contains(&form) {
                self.forms.push(form);
            }
        }
        // A longer form first: it may hold a shorter one.
        self.forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// Returns the text without them.
    fn taken_from(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| {
            if text.contains(form.as_str()) { text.replace(form.as_str(), MASK) } else { text }
        })
    }
}

/// Returns the text without known secrets, and without what looks like one.
#[must_use]
pub fn masked(text: &str, known: &KnownSecrets) -> String {
    let text = known.taken_from(text);
    let mut out = String::with_capacity(text.len());
    let mut in_a_key = false;
    let mut goes_on = false;
    for line in text.split_inclusive('\n') {
        let (content, end) = line.strip_suffix('\n').map_or((line, ""), |content| (content, "\n"));
        if content.contains("-----BEGIN ") && !content.contains("CERTIFICATE") {
            in_a_key = true;
            out.push_str(MASK);
            out.push_str(end);
        }
        if !in_a_key && content.contains("-----END ") && !content.contains("CERTIFICATE") {
            // Its beginning was cut off: what came before is the key.
            out.clear();
            out.push_str(MASK);
            out.push_str(end);
            continue;
        }
        if in_a_key {
            in_a_key = !content.contains("-----END ");
            continue;
        }
        // The value of a properties file may go on in the next line.
        let shown = if goes_on { MASK.to_owned() } else { masked_line(content) };
        goes_on = content.ends_with('\\') && shown.contains(MASK);
        out.push_str(&shown);
        out.push_str(end);
    }
    out
}

fn masked_line(line: &str) -> String {
    let line = without_user_in_url(line);
    let line = without_what_follows(&line);
    let line = without_texts_of_functions(&without_pairs(&line));
    without_words(&without_values(&line))
}

/// Masks the password in `scheme://user:password@host`, and the path of an address of the web.
fn without_user_in_url(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(at) => {
                let user = after[..at].split(':').next().unwrap_or_default();
                out.push_str(user);
                if after[..at].contains(':') {
                    out.push(':');
                    out.push_str(MASK);
                }
                rest = &after[at..];
            }
            None => rest = after,
        }
        // A path may be the secret of whoever knows it.
        if before.ends_with("http") || before.ends_with("https") {
            let end = rest.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(rest.len());
            if let Some(path) = rest[..end].find('/').filter(|path| path + 1 < end) {
                out.push_str(&rest[..=path]);
                out.push_str(MASK);
                rest = &rest[end..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Masks what follows words like `IDENTIFIED BY`, up to the end of the quoted or single word.
fn without_what_follows(line: &str) -> String {
    let mut out = line.to_owned();
    for word in BEFORE {
        let mut from = 0;
        while let Some(found) = out.get(from..).and_then(|rest| rest.to_ascii_lowercase().find(word)) {
            let start = from + found + word.len();
            // `IDENTIFIED BY PASSWORD '…'`, and the scheme of an authorization.
            let skip = ["password ", "bearer ", "basic "]
                .into_iter()
                .find(|skip| out[start..].to_ascii_lowercase().starts_with(skip))
                .map_or(0, str::len);
            from = mask_value(&mut out, start + skip);
        }
    }
    out
}

/// Masks the value that begins at a place, quoted or a word. Returns where it goes on behind it.
fn mask_value(line: &mut String, start: usize) -> usize {
    let value = &line[start..];
    let (from, to) = value_in(value);
    if from == to {
        return start + to.max(1).min(value.len().max(1));
    }
    line.replace_range(start + from..start + to, MASK);
    start + from + MASK.len()
}

/// Where the value lies in what follows a name and its sign: between quotes, or up to its end.
fn value_in(text: &str) -> (usize, usize) {
    let blank = text.len() - text.trim_start().len();
    let value = &text[blank..];
    if let Some(quote) = value.chars().next().filter(|c| "\"'`".contains(*c)) {
        let mut escaped = false;
        for (at, c) in value.char_indices().skip(1) {
            match c {
                '\\' if !escaped => escaped = true,
                c if c == quote && !escaped => return (blank + 1, blank + at),
                _ => escaped = false,
            }
        }
        return (blank + 1, text.len());
    }
    (blank, text.len())
}

/// Masks the value of each name that speaks of a secret: `name=value`, `"name": "value"`, `name='value'`.
fn without_values(line: &str) -> Cow<'_, str> {
    let mut out: Option<String> = None;
    let mut from = 0;
    loop {
        let text = out.as_deref().unwrap_or(line);
        let Some(sign) = text.get(from..).and_then(|rest| rest.find(['=', ':'])).map(|at| from + at) else {
            break;
        };
        let name = name_before(&text[..sign]);
        if !speaks_of_a_secret(name) {
            from = sign + 1;
            continue;
        }
        let (start, rest) = (sign + 1, &text[sign + 1..]);
        let (begin, mut end) = value_in(rest);
        // What a server says of a login: whether there was a password.
        let says_whether = ["YES)", "NO)"].iter().any(|word| rest[begin..end].starts_with(word));
        if begin == end || says_whether || rest[begin..end].starts_with(MASK) {
            from = start + end.max(1).min(rest.len().max(1));
            continue;
        }
        let quoted = rest[..begin].ends_with(['"', '\'', '`']);
        // Without quotes, a value of a command line or of a statement ends at a blank; one of a file does
        // not. Whatever it is, everything behind it goes.
        if !quoted && is_a_word_of_many(name, &text[..sign]) {
            end = begin + rest[begin..end].find(char::is_whitespace).unwrap_or(end - begin);
        }
        let mut text = text.to_owned();
        text.replace_range(start + begin..start + end, MASK);
        from = start + begin + MASK.len();
        out = Some(text);
    }
    out.map_or(Cow::Borrowed(line), Cow::Owned)
}

/// The name right before a sign, without quotes and blanks.
fn name_before(text: &str) -> &str {
    let text = text.trim_end().trim_end_matches(['"', '\'', '`']);
    let at = text.rfind(|c: char| !(c.is_alphanumeric() || "_.-".contains(c)));
    at.map_or(text, |at| &text[at + text[at..].chars().next().map_or(1, char::len_utf8)..])
}

/// Whether it is one of several words of a line: an option of a program.
fn is_a_word_of_many(name: &str, before: &str) -> bool {
    before.trim_end().strip_suffix(name).is_some_and(|before| before.ends_with('-') || name.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr&t='x\"y\\z";

    fn known() -> KnownSecrets {
        let mut known = KnownSecrets::default();
        known.add(SECRET);
        known
    }

    #[test]
    fn a_known_secret_goes_wherever_and_however_it_is_written() {
        for line in [
            format!("login failed with {SECRET} from host"),
            "password is s3cr&t\\='x\"y\\\\z.".into(),
            "<x a=\"s3cr&amp;t=&apos;x&quot;y\\z\"/>".into(),
            "SET a = 's3cr&t=\\'x\\\"y\\\\z'".into(),
            "?p=s3cr%26t%3D%27x%22y%5Cz&q=1".into(),
        ] {
            let shown = masked(&line, &known());
            assert!(shown.contains(MASK) && !shown.contains("s3cr"), "{line}: {shown}");
        }
        // What is too short to be known would take away harmless words.
        let mut short = KnownSecrets::default();
        short.add("ab");
        assert_eq!(masked("a cab", &short), "a cab");
    }

    #[test]
    fn what_looks_like_a_secret_goes_although_nobody_knows_it() {
        let nobody = KnownSecrets::default();
        for (line, wanted) in [
            ("password=hunter2 and more", "password=[masked]"),
            ("db.password = hunter2", "db.password = [masked]"),
            ("db.password.encrypted=false", "db.password.encrypted=false"),
            ("password_file = \"/etc/x\"", "password_file = \"/etc/x\""),
            (
                "{\"user\": \"u\", \"password\": \"hunter2\", \"x\": 1}",
                "{\"user\": \"u\", \"password\": \"[masked]\", \"x\": 1}",
            ),
            ("<C port=\"7\" keystorePass='hunter2' x='y'/>", "<C port=\"7\" keystorePass='[masked]' x='y'/>"),
            ("mysqld --port=1 --password=hunter2 --x=y", "mysqld --port=1 --password=[masked] --x=y"),
            (
                "CHANGE MASTER TO MASTER_PASSWORD='hunter2', X=1",
                "CHANGE MASTER TO MASTER_PASSWORD='[masked]', X=1",
            ),
            (
                "GRANT ALL TO a IDENTIFIED BY 'hunter2' WITH x",
                "GRANT ALL TO a IDENTIFIED BY '[masked]' WITH x",
            ),
            ("SET a IDENTIFIED BY PASSWORD '*AB'", "SET a IDENTIFIED BY PASSWORD '[masked]'"),
            ("url=jdbc:mysql://u:hunter2@h:1/PassTrix?a=b", "url=jdbc:mysql://u:[masked]@h:1/PassTrix?a=b"),
            ("url = \"https://h/hunter2\" x", "url = \"https://h/[masked]\" x"),
            ("url = https://h/", "url = https://h/"),
            ("for user 'a'@'b' (using password: YES)", "for user 'a'@'b' (using password: YES)"),
            ("passtrix.t: 1", "passtrix.t: 1"),
            ("Authorization: Bearer hunter2", "Authorization: Bearer [masked]"),
            ("ENCRYPTIONKEY=hunter2\\=", "ENCRYPTIONKEY=[masked]"),
            ("community = 'hunter2'", "community = '[masked]'"),
            ("db.password=\\\nhunter2", "db.password=[masked]\n[masked]"),
            ("Authorization : Basic hunter2", "Authorization : Basic [masked]"),
            ("port = 2345", "port = 2345"),
            ("12:34:56 [Note] mysqld: ready", "12:34:56 [Note] mysqld: ready"),
        ] {
            assert_eq!(masked(line, &nobody), wanted);
        }
    }

    #[test]
    fn a_private_key_goes_as_a_whole_and_a_certificate_stays() {
        let text = "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\nabc\n-----END RSA PRIVATE KEY-----\nb\n";
        assert_eq!(masked(text, &KnownSecrets::default()), "a\n[masked]\nb\n");
        let cut_off = "-----BEGIN PRIVATE KEY-----\nMII\n";
        assert_eq!(masked(cut_off, &KnownSecrets::default()), "[masked]\n");
        let begun_before = "MII\nabc\n-----END PRIVATE KEY-----\nb\n";
        assert_eq!(masked(begun_before, &KnownSecrets::default()), "[masked]\nb\n");
        let public = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        assert_eq!(masked(public, &KnownSecrets::default()), public);
    }
}
