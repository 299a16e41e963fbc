//! The messages of the TOML reader, in plain words.

use crate::domain::words::nearest;

/// The reader's names of kinds of values, and ours. The longest come first.
const KINDS: [(&str, &str); 10] = [
    ("a sequence", "a list in square brackets"),
    ("a string", "a text in quotes"),
    ("a boolean", "true or false"),
    ("a map", "a table"),
    ("sequence", "a list"),
    ("map", "a table"),
    ("u16", "a whole number up to 65535"),
    ("u32", "a whole number"),
    ("u64", "a whole number"),
    ("usize", "a whole number"),
];

/// What a list of tables needs that a table does not have.
const LIST_OF_TABLES: &str = "a list of tables: write its name in two brackets, as in [[alarm.email]]";

/// Returns the message of the reader in plain words.
#[must_use]
pub fn plainly(message: &str) -> String {
    let message = message.trim().replace('\n', " ");
    if let Some((name, known)) = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
        .map(|(name, rest)| (name, quoted(rest)))
    {
        let mut near = nearest(name, known.iter().copied());
        near.truncate(1);
        return match near.first() {
            Some(near) => format!("there is no key `{name}`; did you mean `{near}`?"),
            None => format!("there is no key `{name}`, only {}", known.join(", ")),
        };
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let (word, rest) = rest.split_once('`').unwrap_or((rest, ""));
        return format!("it is `{word}`, and must be one of {}", quoted(rest).join(", "));
    }
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("`{name}` is missing");
    }
    let invalid = ["invalid type: ", "invalid value: "].iter().find_map(|begin| message.strip_prefix(begin));
    if let Some((found, wanted)) = invalid.and_then(|rest| rest.split_once(", expected ")) {
        let wanted =
            if (found, wanted) == ("map", "a sequence") { LIST_OF_TABLES.into() } else { kind(wanted) };
        return format!("it is {}, and must be {wanted}", value(found));
    }
    message
}

/// The names in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn kind(name: &str) -> String {
    match KINDS.iter().find(|(theirs, _)| *theirs == name) {
        Some((_, ours)) => (*ours).to_owned(),
        None if name.starts_with("struct ") => "a table".into(),
        None => name.to_owned(),
    }
}

/// ``string "x"``, ``integer `3` ``, `map`
fn value(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "floating", number)) => {
            format!("the number {}", number.trim_start_matches("point ").trim_matches('`'))
        }
        Some(("boolean", word)) => word.trim_matches('`').to_owned(),
        _ => kind(found),
    }
}

#[cfg(test)]
mod tests {
    use super::plainly;

    #[test]
    fn nobody_has_to_know_the_types_of_a_programmer() {
        for (theirs, ours) in [
            ("invalid type: string \"x\", expected u64", "it is the text \"x\", and must be a whole number"),
            (
                "invalid type: integer `3`, expected a string",
                "it is the number 3, and must be a text in quotes",
            ),
            (
                "invalid type: floating point `2.5`, expected u64",
                "it is the number 2.5, and must be a whole number",
            ),
            ("invalid value: integer `-3`, expected u32", "it is the number -3, and must be a whole number"),
            (
                "invalid type: boolean `true`, expected a sequence",
                "it is true, and must be a list in square brackets",
            ),
            (
                "invalid type: map, expected a sequence",
                "it is a table, and must be a list of tables: write its name in two brackets, as in [[alarm.email]]",
            ),
            (
                "unknown field `max_lagg`, expected `max_lag`",
                "there is no key `max_lagg`; did you mean `max_lag`?",
            ),
            ("unknown field `x`, expected one of `ab`, `cd`", "there is no key `x`, only ab, cd"),
            ("unknown variant `x`, expected `tls` or `none`", "it is `x`, and must be one of tls, none"),
            ("missing field `server`\n", "`server` is missing"),
            ("something else", "something else"),
        ] {
            assert_eq!(plainly(theirs), ours);
        }
    }
}
