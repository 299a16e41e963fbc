//! As which account root works on a home.

use super::refusal::Refusal;
use super::words::shell_word;

/// An account, as far as the decision needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemAccount {
    /// Its name, or its number.
    pub name: String,
    /// Whether it is root.
    pub is_root: bool,
}

/// What root has to do before it touches the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acting {
    /// Stay root: the home is root's own. Nobody else may write what directs root.
    AsRoot,
    /// Become the home's owner.
    AsOwner,
}

/// Decides as which account root works on the home at `path`.
///
/// `data` is the owner of the data directory, if there is one.
///
/// # Errors
/// When the home belongs to one account and the data to another, and neither is root: the owner of the
/// home would direct what root does to the data.
pub fn acting(path: &str, home: &SystemAccount, data: Option<&SystemAccount>) -> Result<Acting, Refusal> {
    match data {
        _ if home.is_root => Ok(Acting::AsRoot),
        Some(data) if data.name != home.name => Err(Refusal::new(
            "root cannot work on this home safely",
            format!("{path} belongs to {}, and its mysql/data to {}", home.name, data.name),
            format!(
                "Give the data to {0}: `chown -R --no-dereference {0} {1}`. Or give everything in the home except the data to root.",
                home.name,
                shell_word(&format!("{path}/mysql/data"))
            ),
        ).code("unsafe-for-root")),
        _ => Ok(Acting::AsOwner),
    }
}

/// Returns the refusal of root's home in which another account can change what root runs.
///
/// `paths` must become root's, and `evidence` is the problem with each.
#[must_use]
pub fn not_root_s_alone(home: &str, evidence: &[String], paths: &[String]) -> Refusal {
    const SHOWN: usize = 5;
    let mut shown = evidence.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if evidence.len() > SHOWN {
        shown = format!("{shown}; and {} more", evidence.len() - SHOWN);
    }
    let inside =
        |path: &&String| path.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let what = "root cannot work on this home safely: another account could change what root runs";
    if !paths.iter().all(|path| inside(&path)) {
        let hint = "Move the home, and its data, to a folder that only root can write to. Or give the whole home to its account.";
        return Refusal::new(what, shown, hint).code("unsafe-for-root");
    }
    let named: Vec<String> = paths.iter().map(|path| shell_word(path)).collect();
    let named = named.join(" ");
    Refusal::new(
        what,
        shown,
        format!(
            "If nobody has tampered with {home}: `chown --no-dereference root {named} && chmod go-w {named}`. Or give the whole home to its account."
        ),
    ).code("unsafe-for-root")
}

/// Returns the refusal of a home whose owner cannot use what an earlier run as root has left.
#[must_use]
pub fn left_by_others(owner: &str, paths: &[String]) -> Refusal {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = paths.iter().take(SHOWN).map(String::as_str).collect();
    let more = paths.len().saturating_sub(SHOWN);
    let rest = if more == 0 { String::new() } else { format!(", and {more} more") };
    let all: Vec<String> = paths.iter().map(|path| shell_word(path)).collect();
    Refusal::new(
        "this account cannot use all files of the home",
        format!("{owner} does not have enough rights to {}{rest}", shown.join(", ")),
        format!("As root: `chown -R --no-dereference {owner} {}`. Then try again.", all.join(" ")),
    )
    .code("files-of-others")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> SystemAccount {
        SystemAccount { name: name.into(), is_root: name == "root" }
    }

    #[test]
    fn root_becomes_the_owner_or_works_on_what_is_its_own() {
        let (root, pmp, mysql) = (account("root"), account("pmp"), account("mysql"));
        for data in [None, Some(&root), Some(&mysql)] {
            assert_eq!(acting("/h", &root, data), Ok(Acting::AsRoot));
        }
        assert_eq!(acting("/h", &pmp, None), Ok(Acting::AsOwner));
        assert_eq!(acting("/h", &pmp, Some(&pmp)), Ok(Acting::AsOwner));
        for data in [&root, &mysql] {
            let refusal = acting("/h", &pmp, Some(data)).expect_err("refused");
            assert!(refusal.because.contains("belongs to pmp"), "{refusal}");
            assert!(refusal.hint.contains("chown -R --no-dereference pmp /h/mysql/data"), "{refusal}");
        }
    }

    #[test]
    fn what_lies_on_the_way_to_a_home_is_not_to_be_given_to_root() {
        let refused = |path: &str| not_root_s_alone("/opt/PMP", &["why".into()], &[path.into()]).hint;
        assert!(refused("/opt/PMP/conf").contains("chown --no-dereference root /opt/PMP/conf && chmod go-w"));
        for path in ["/opt", "/opt/PMP-data", "/home/pmp"] {
            assert!(refused(path).starts_with("Move the home"), "{path}");
        }
    }

    #[test]
    fn a_hint_can_be_given_to_a_shell() {
        assert_eq!(shell_word("/opt/PMP-1"), "/opt/PMP-1");
        assert_eq!(shell_word("/opt/it's; here"), "'/opt/it'\\''s; here'");
        let paths: Vec<String> = (0..7).map(|n| format!("/a b/{n}")).collect();
        let refusal = left_by_others("pmp", &paths);
        assert!(
            refusal.because.ends_with("/a b/4, and 2 more") && refusal.hint.contains("'/a b/6'"),
            "{refusal}"
        );
    }
}
