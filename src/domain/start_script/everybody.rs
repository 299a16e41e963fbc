//! The option with which a server accepts every login.

use super::shell::Shell;
use super::starts_server;

/// The option.
const SKIP_GRANT_TABLES: &str = "skip-grant-tables";

/// The shortest beginning of it that a server takes for it.
const SHORTEST: &str = "skip-g";

/// Whether an option lets everybody in, as a script or an option file has it, without dashes before it.
#[must_use]
pub fn lets_everybody_in(option: &str) -> bool {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let name = name.trim().replace('_', "-");
    let mut name = name.as_str();
    for before in ["loose-", "enable-"] {
        name = name.strip_prefix(before).unwrap_or(name);
    }
    let value = value.trim().trim_matches(['"', '\'']).to_lowercase();
    let off = ["0", "off", "false"].contains(&value.as_str());
    name.starts_with(SHORTEST) && SKIP_GRANT_TABLES.starts_with(name) && !off
}

/// Returns the option of a script with which the server accepts every login, if there is one.
#[must_use]
pub fn everybody_is_let_in_by(script: &str) -> Option<&str> {
    // A script that cannot be read is refused for that.
    let shell = Shell::read(script).ok()?;
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
    script.match_indices("skip").find_map(|(at, _)| {
        let bytes = script.as_bytes();
        let from = at - bytes[..at].iter().rev().take_while(|b| is_part(b)).count();
        let option = &script[from..shell.word_end(from)];
        let bare = option.strip_prefix("--")?.trim_end_matches(['"', '\'']);
        (lets_everybody_in(bare) && shell.place(from).code && starts_server(&shell, from)).then_some(option)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_lets_everybody_in_is_known_in_each_spelling() {
        for option in [
            "skip-grant-tables",
            "skip_grant_tables",
            "skip-grant_tables=1",
            "skip-grant-tables = \"ON\"",
            "loose-skip-grant-tables",
            "skip-grant",
            "skip-g",
            "enable-skip-grant-tables",
        ] {
            assert!(lets_everybody_in(option), "{option}");
        }
        for option in [
            "skip-grant-tables=0",
            "skip_grant_tables = off",
            "skip-name-resolve",
            "skip-grant-tables-x",
            "skip-",
            "skip",
            "disable-skip-grant-tables",
        ] {
            assert!(!lets_everybody_in(option), "{option}");
        }
    }

    #[test]
    fn a_script_that_lets_everybody_in_is_known_and_one_that_speaks_of_it_is_not() {
        for (script, option) in [
            ("mysqld --no-defaults --skip-grant-tables &\n", "--skip-grant-tables"),
            ("mysqld --no-defaults --skip_grant_tables=1 &\n", "--skip_grant_tables=1"),
            ("O=\"--no-defaults --skip-grant-tables\"\nmysqld $O\n", "--skip-grant-tables"),
            ("su a -c 'mysqld --no-defaults --skip-grant-tables'\n", "--skip-grant-tables"),
            ("mysqld_safe --no-defaults \\\n  --skip-grant &\n", "--skip-grant"),
        ] {
            assert_eq!(everybody_is_let_in_by(script), Some(option), "{script}");
        }
        for script in [
            "# mysqld --skip-grant-tables\nmysqld --no-defaults &\n",
            "echo 'start it with --skip-grant-tables'\nmysqld --no-defaults &\n",
            "mysqld --no-defaults --skip-grant-tables=0 --skip-networking &\n",
            "cat <<X\n mysqld --skip-grant-tables\nX\nmysqld --no-defaults\n",
        ] {
            assert_eq!(everybody_is_let_in_by(script), None, "{script}");
        }
    }
}
