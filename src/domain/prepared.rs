//! Transactions that are prepared by XA: how `XA RECOVER` lists them, and how `XA COMMIT` names them.

use super::datafiles::Layout;
use super::flavor::Flavor;

/// Returns the statement that lists the prepared transactions of a server, of all sessions and of none.
#[must_use]
pub fn list(flavor: &Flavor) -> &'static str {
    // A name is bytes; older servers show them as they are.
    if flavor.layout == Layout::MySql8 { "XA RECOVER CONVERT XID" } else { "XA RECOVER" }
}

/// Returns the name of a prepared transaction, as `XA COMMIT` and `XA ROLLBACK` take it, from a row of the list.
///
/// `data` is the name of the transaction and behind it that of its branch; `lengths` are the bytes of each.
#[must_use]
pub fn name(format: &str, lengths: [usize; 2], data: &str) -> String {
    let bytes = match data.strip_prefix("0x") {
        Some(digits) => (0..digits.len() / 2)
            .map_while(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
            .collect(),
        None => data.as_bytes().to_vec(),
    };
    let part = |from: usize, length: usize| bytes.get(from..from + length).unwrap_or_default();
    let shown = |part: &[u8]| {
        let is_plain = part.iter().all(|byte| byte.is_ascii_graphic() && !b"'\\".contains(byte));
        if is_plain {
            format!("'{}'", String::from_utf8_lossy(part))
        } else {
            let digits = |byte: &u8| {
                [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
            };
            let name: String = part.iter().flat_map(digits).collect();
            format!("X'{}'", name.to_uppercase())
        }
    };
    let [transaction, branch] = lengths;
    let mut out = shown(part(0, transaction));
    if branch > 0 || format != "1" {
        out = format!("{out},{}", shown(part(transaction, branch)));
    }
    if format == "1" { out } else { format!("{out},{format}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_as_a_statement_takes_it() {
        assert_eq!(name("1", [2, 0], "x1"), "'x1'");
        assert_eq!(name("1", [2, 0], "0x7831"), "'x1'");
        assert_eq!(name("1", [1, 2], "0x782731"), "'x',X'2731'");
        assert_eq!(name("7", [1, 1], "ab"), "'a','b',7");
        assert_eq!(name("7", [1, 0], "0x61"), "'a','',7");
        // Older servers show bytes that are no text, and not all of them arrive.
        assert_eq!(name("1", [9, 0], "x"), "''");
    }
}
