//! The other machine, as `ssh` reaches it: its name, and the words that go there.

use std::fmt;
use std::str::FromStr;

use super::words::shell_word;

/// `USER@HOST` or `HOST`, as `ssh` wants it. `HOST` may be a name of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget(String);

impl FromStr for SshTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, host) = text.rsplit_once('@').unwrap_or(("x", text));
        if user.is_empty() || host.is_empty() {
            return Err("it must be USER@HOST or HOST".into());
        }
        // The first would be an option of ssh.
        if text.starts_with('-') || host.starts_with('-') {
            return Err("it cannot begin with '-'".into());
        }
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || ".-_:%@".contains(*c))) {
            Some(odd) => Err(format!("it cannot contain '{odd}'")),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns words as one line for a shell, which takes them apart again as they are.
#[must_use]
pub fn shell_line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(shell_word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_never_an_option_of_ssh_or_more_than_a_word() {
        for good in ["pmp@pmp-b.example.com", "pmp-b", "pmp@::1", "dom@user@host"] {
            assert_eq!(good.parse::<SshTarget>().map(|target| target.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-oProxyCommand=x", "pmp@-oX", "@host", "pmp@", "a b", "a;b", "$(x)", "a\nb"] {
            assert!(bad.parse::<SshTarget>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_line_for_the_shell_there_has_the_words_that_were_meant() {
        let words = ["pmp-ha", "--home", "/opt/Manage Engine/PMP", "it's; rm", "$(x)"];
        assert_eq!(shell_line(words), r"pmp-ha --home '/opt/Manage Engine/PMP' 'it'\''s; rm' '$(x)'");
    }
}
