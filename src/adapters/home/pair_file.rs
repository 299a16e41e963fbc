//! `conf/pmp-ha/pair.toml`: what a home knows of its pair.

use std::path::Path;

use anyhow::{Result, bail};

use crate::adapters::system;
use crate::domain::pair::Membership;
use crate::failure::{Failure, Kind};

/// Reads the file; `None` if there is none.
pub fn load(path: &Path) -> Result<Option<Membership>> {
    let text = match system::read_text(path, system::SMALL) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    match read_membership(&text) {
        Ok(membership) => Ok(Some(membership)),
        Err(error) => bail!(
            Failure::new(Kind::Refused, "the pair file of this home cannot be used")
                .code("pair-file")
                .because(format!("{} cannot be read: {}", path.display(), in_one_line(&error)))
                .hint("Restore the file from a backup, or copy the other node's and correct `role` in it.")
        ),
    }
}

/// Reads the text of such a file.
pub fn read_membership(text: &str) -> Result<Membership> {
    let membership: Membership = toml::from_str(text)?;
    if membership.format != Membership::FORMAT {
        bail!("it has format {}, but this version reads {}", membership.format, Membership::FORMAT);
    }
    Ok(membership)
}

/// An error of the parser draws the line below its message; a reason is one line.
fn in_one_line(error: &anyhow::Error) -> String {
    error.downcast_ref::<toml::de::Error>().map_or_else(
        || format!("{error:#}"),
        |error| error.message().lines().map(str::trim).collect::<Vec<_>>().join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_refused_in_one_line_with_a_way_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("pair.toml");
        assert!(load(&path).expect("no file, no pair").is_none());
        for (text, why) in [("this is\nno TOML", "expected"), ("format = 99\n", "missing field")] {
            fs_err::write(&path, text).expect("written");
            let failure = Failure::from_error(load(&path).expect_err("refused"));
            let because = failure.because.join("");
            assert!(because.contains("pair.toml cannot be read: ") && because.contains(why), "{because}");
            assert_eq!((failure.codes.as_slice(), because.lines().count()), (&["pair-file"][..], 1));
        }
    }
}
