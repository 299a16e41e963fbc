//! The installation's own option file: which files it includes, and what it sets.

use super::start_script::lets_everybody_in;

/// A line with which an option file includes others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Include {
    /// One file.
    File(String),
    /// Each file of a folder whose name ends with `.cnf`.
    Folder(String),
}

/// What an option file takes in.
#[must_use]
pub fn includes(text: &str) -> Vec<Include> {
    let include = |line: &str| {
        let rest = line.trim().strip_prefix('!')?.trim_start();
        let of = |word: &str| {
            let path = rest.strip_prefix(word)?;
            path.starts_with([' ', '\t']).then(|| path.trim().to_owned())
        };
        of("includedir").map(Include::Folder).or_else(|| of("include").map(Include::File))
    };
    text.lines().filter_map(include).collect()
}

/// Whether a server that reads this option file accepts every login.
#[must_use]
pub fn file_lets_everybody_in(text: &str) -> bool {
    let mut of_a_server = false;
    for line in text.lines().map(str::trim) {
        if let Some(group) = line.strip_prefix('[') {
            let group = group.split(']').next().unwrap_or_default().trim();
            of_a_server = group == "server"
                || ["mysqld", "mariadb", "mariadbd"].iter().any(|name| group.starts_with(name));
        } else if of_a_server && lets_everybody_in(line.split(" #").next().unwrap_or_default()) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_option_file_takes_in_is_known() {
        let text = "[mysqld]\nport = 1\n!include /a b.cnf\n  !includedir /d/\n# !include /x\n! include /c\n!includes /y\n";
        let file = |path: &str| Include::File(path.into());
        assert_eq!(includes(text), [file("/a b.cnf"), Include::Folder("/d/".into()), file("/c")]);
    }

    #[test]
    fn an_option_that_lets_everybody_in_counts_in_a_servers_group_alone() {
        for text in [
            "[mysqld]\nskip-grant-tables\n",
            "[client]\nport=1\n[ server ]\n skip_grant_tables = 1 # for today\n",
            "[mysqld-5.6]\r\nskip-grant-tables\r\n",
            "[mariadb]\nloose-skip-grant-tables\n",
        ] {
            assert!(file_lets_everybody_in(text), "{text}");
        }
        for text in [
            "[client]\nskip-grant-tables\n",
            "skip-grant-tables\n",
            "[mysqld]\n# skip-grant-tables\n;skip-grant-tables\nskip-grant-tables = 0\nskip-name-resolve\n",
        ] {
            assert!(!file_lets_everybody_in(text), "{text}");
        }
    }
}
