//! Secrets in other forms than `name=value`: pairs, options of programs, functions of SQL.

use super::names::{MASK, speaks_of_a_secret};

/// Attributes and keys that hold a name, and those that hold the value that goes with it.
const NAMING: [&str; 4] = ["name", "key", "id", "property"];
const HOLDING: [&str; 4] = ["value", "val", "content", "default"];

/// Functions of SQL whose texts are secrets.
const FUNCTIONS: [&str; 8] = [
    "password(",
    "old_password(",
    "aes_encrypt(",
    "aes_decrypt(",
    "des_encrypt(",
    "des_decrypt(",
    "encode(",
    "decode(",
];

/// Options behind which a secret stands as a word of its own.
const OPTIONS: [&str; 6] = ["--password", "--passwd", "--pass", "--token", "--secret", "--user"];

/// Programs whose `-p` is a password.
const CLIENTS: [&str; 3] = ["mysql", "mariadb", "mysqladmin"];

/// What may stand between a word for a password and the password.
const BETWEEN: [&str; 7] = ["is", "to", "was", "set", "=>", "->", "now"];

/// Returns a line without the values of elements and objects with the name of a secret.
///
/// Examples are `<p name="password" value="x"/>`, `<password>x</password>` and `{"key": "password",
/// "value": "x"}`.
pub(super) fn without_pairs(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut masks_text = false;
    let mut rest = line;
    while let Some(open) = rest.find(['<', '{']) {
        let close = if rest[open..].starts_with('<') { '>' } else { '}' };
        let end = rest[open..].find(close).map_or(rest.len(), |end| open + end + 1);
        let (text, part) = (&rest[..open], &rest[open..end]);
        out.push_str(if masks_text && !text.trim().is_empty() { MASK } else { text });
        let speaks = attributes(part)
            .iter()
            .any(|(name, value)| NAMING.contains(&name.to_lowercase().as_str()) && speaks_of_a_secret(value));
        out.push_str(&if speaks { without_held(part) } else { part.to_owned() });
        let element =
            part.trim_start_matches('<').split(|c: char| !(c.is_alphanumeric() || "_.-".contains(c)));
        let element = element.into_iter().next().unwrap_or_default();
        masks_text = close == '>'
            && !part.ends_with("/>")
            && (speaks || (!element.is_empty() && speaks_of_a_secret(element)));
        rest = &rest[end..];
    }
    out.push_str(if masks_text && !rest.trim().is_empty() { MASK } else { rest });
    out
}

/// The names and quoted values of an element or an object.
fn attributes(part: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(sign) = part[at..].find(['=', ':']).map(|sign| at + sign) {
        let name = part[..sign].trim_end().trim_end_matches('"');
        let name =
            name.rsplit(|c: char| !(c.is_alphanumeric() || "_.-".contains(c))).next().unwrap_or_default();
        let value = part[sign + 1..].trim_start();
        let quote = value.chars().next().filter(|c| "\"'".contains(*c));
        if let Some(held) = quote.and_then(|quote| value[1..].split(quote).next()) {
            out.push((name.to_owned(), held.to_owned()));
        }
        at = sign + 1;
    }
    out
}

/// An element or an object without the value that goes with its name.
fn without_held(part: &str) -> String {
    attributes(part)
        .iter()
        .filter(|(name, value)| HOLDING.contains(&name.to_lowercase().as_str()) && !value.is_empty())
        .fold(part.to_owned(), |text, (_, value)| {
            ['"', '\''].iter().fold(text, |text, quote| {
                text.replace(&format!("{quote}{value}{quote}"), &format!("{quote}{MASK}{quote}"))
            })
        })
}

/// Returns a line without the texts in functions like `AES_ENCRYPT('x', 'key')`.
pub(super) fn without_texts_of_functions(line: &str) -> String {
    let mut out = line.to_owned();
    for function in FUNCTIONS {
        let mut from = 0;
        while let Some(at) = out.get(from..).and_then(|rest| rest.to_ascii_lowercase().find(function)) {
            let begin = from + at + function.len();
            let end = out[begin..].find(')').map_or(out.len(), |end| begin + end);
            let texts: String = out[begin..end]
                .split('\'')
                .enumerate()
                .map(|(place, text)| if place % 2 == 1 { format!("'{MASK}'") } else { text.to_owned() })
                .collect();
            out.replace_range(begin..end, &texts);
            from = begin + texts.len();
        }
    }
    out
}

/// Returns a line without the words after options and words for a password.
///
/// Examples are `mysql -px`, `--password x`, `-u name:x` and `password is x`.
pub(super) fn without_words(line: &str) -> String {
    let is_client = |word: &str| {
        let program = word.rsplit('/').next().unwrap_or_default();
        CLIENTS.iter().any(|client| program.starts_with(client))
    };
    let mut client = false;
    let mut masks_next = false;
    let mut user_next = false;
    let mut out = String::with_capacity(line.len());
    for piece in line.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let bare = word.trim_matches(|c: char| "\"',;()".contains(c));
        let lower = bare.to_ascii_lowercase();
        let blank = &piece[word.len()..];
        if word.is_empty() {
            out.push_str(piece);
            continue;
        }
        let is_between = BETWEEN.contains(&lower.as_str());
        if masks_next
            && !is_between
            && !bare.starts_with('-')
            && !word.contains(MASK)
            && !lower.starts_with("yes")
            && lower != "no"
        {
            out.push_str(&word.replace(bare, MASK));
        } else if user_next && bare.contains(':') {
            out.extend([bare.split(':').next().unwrap_or_default(), ":", MASK]);
        } else if client && bare.starts_with("-p") && bare.len() > 2 && !bare.starts_with("--") {
            out.extend(["-p", MASK]);
        } else {
            out.push_str(word);
        }
        client = client || is_client(bare);
        user_next = ["-u", "--user"].contains(&lower.as_str());
        masks_next = (OPTIONS.contains(&lower.as_str()) && lower != "--user")
            || ["password", "passwd", "kennwort", "passwort"].contains(&lower.as_str())
            || (masks_next && is_between);
        out.push_str(blank);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_beside_a_name_that_speaks_of_a_secret_goes() {
        for (line, wanted) in [
            (
                r#"<property name="DefaultPassword" value="hunter2"/> x"#,
                r#"<property name="DefaultPassword" value="[masked]"/> x"#,
            ),
            ("<password>hunter2</password>", "<password>[masked]</password>"),
            (
                "<property name='keystore.password'>hunter2</property><a>b</a>",
                "<property name='keystore.password'>[masked]</property><a>b</a>",
            ),
            (r#"{"key": "password", "value": "hunter2"}"#, r#"{"key": "password", "value": "[masked]"}"#),
            (r#"<property name="port" value="7"/>"#, r#"<property name="port" value="7"/>"#),
            ("a < b and c > d", "a < b and c > d"),
        ] {
            assert_eq!(without_pairs(line), wanted);
        }
    }

    #[test]
    fn a_word_behind_an_option_or_a_function_goes() {
        for (line, wanted) in [
            ("/x/mysql -uroot -phunter2 -h x", "/x/mysql -uroot -p[masked] -h x"),
            ("ssh -p22 host", "ssh -p22 host"),
            ("tool --password hunter2 --x", "tool --password [masked] --x"),
            ("curl -u me:hunter2 x", "curl -u me:[masked] x"),
            ("reset the password to hunter2, done", "reset the password to [masked], done"),
            ("password => hunter2", "password => [masked]"),
            ("(using password: YES)", "(using password: YES)"),
        ] {
            assert_eq!(without_words(line), wanted);
        }
        let line = "SET a = PASSWORD('hunter2'), b = aes_encrypt('hunter2', 'k'), c = 'x'";
        let wanted = "SET a = PASSWORD('[masked]'), b = aes_encrypt('[masked]', '[masked]'), c = 'x'";
        assert_eq!(without_texts_of_functions(line), wanted);
    }
}
