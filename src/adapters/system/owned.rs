//! Opens files in folders that another account can change: never what a link names, and never a file of somebody
//! else's.

use std::io::Result;
use std::path::Path;

use fs_err as fs;

use super::account::{Owner, require_owner};
use super::reading::{open_for_a_cut, open_itself};

/// Opens a regular file of this account for reading.
///
/// # Errors
/// What is not there, cannot be opened, is a link, or is not a regular file of the account.
pub fn open_regular_of(path: &Path, owner: Owner) -> Result<fs::File> {
    let file = open_itself(path)?;
    require_owner(&file, owner)?;
    Ok(file)
}

/// Opens a file of this account to cut it off.
///
/// # Errors
/// As [`open_regular_of`].
pub fn open_for_a_cut_of(path: &Path, owner: Owner) -> Result<fs::File> {
    let file = open_for_a_cut(path)?;
    require_owner(&file, owner)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::reading::read_text_itself;
    use super::*;

    #[test]
    fn in_an_account_s_folder_no_link_is_followed_and_no_file_of_others_is_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        let [file, link, second] = ["file", "link", "second"].map(|name| dir.path().join(name));
        fs::write(&file, "0123456789").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let own = Owner::of(&file.metadata().expect("there"));
        assert!(open_regular_of(&file, own).is_ok() && open_for_a_cut_of(&file, own).is_ok());
        assert!(open_regular_of(&link, own).is_err(), "a link is followed");
        assert!(
            read_text_itself(&file, 10).is_ok() && read_text_itself(&link, 10).is_err(),
            "a link is read"
        );
        assert!(open_for_a_cut(&link).is_err() && open_for_a_cut_of(&link, own).is_err(), "a link is cut");
        assert_eq!(fs::read_to_string(&file).expect("readable"), "0123456789");
        // A name in that folder of a file that is somebody else's. Only root can open such a file at all.
        std::fs::hard_link(&file, &second).expect("linked");
        let other = Owner { uid: own.uid + 1, gid: own.gid };
        let refused = nix::unistd::geteuid().is_root();
        assert_eq!(open_regular_of(&second, other).is_err(), refused);
        assert_eq!(open_for_a_cut_of(&second, other).is_err(), refused);
    }
}
