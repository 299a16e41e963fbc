//! The checks that need no booted server, and the check of the accounts in the data.

use super::check::{Check, Code, Defect, Topic};
use crate::domain::flavor::ServerVersion;
use crate::domain::manifest::{Fingerprint, Manifest};
use crate::domain::pair::Role;
use crate::domain::procedures::key::{self, Expected, KeyScene};
use crate::domain::settings::BINLOG;

/// Checks that the key for a recovery is there, and is that of the data.
#[must_use]
pub fn key(scene: Option<&KeyScene>) -> Check {
    let Some(scene) = scene else {
        let defect = Defect::new(
            Code::WrongKey,
            "conf/manage_key.conf names no encryption key",
            "Name the primary's pmp_key.key with `pmp-ha key PATH` or --key PATH.",
        );
        return Check::of(Topic::Key, vec![defect], "");
    };
    match key::check(scene) {
        Err(refusal) => {
            let defect = Defect::new(Code::WrongKey, refusal.because, refusal.hint);
            Check::of(Topic::Key, vec![defect], "")
        }
        Ok(_) if !matches!(scene.expected, Expected::Fingerprint(_)) => Check::passed(
            Topic::Key,
            format!("{} is a PMP key; it is unknown whether it is the key of these data", scene.path),
        ),
        Ok(_) => Check::passed(Topic::Key, format!("{} is the key of these data", scene.path)),
    }
}

/// Checks that a pack has the version of this home.
#[must_use]
pub fn version(
    manifest: &Manifest,
    server: &Result<ServerVersion, String>,
    fingerprint: Option<&Fingerprint>,
) -> Check {
    let hint = "Install the same version on both nodes, then make a new pack.";
    let mut defects = Vec::new();
    match server {
        Ok(version) if *version != manifest.server => defects.push(Defect::new(
            Code::WrongVersion,
            format!("the pack contains data of {}, but the server here is {version}", manifest.server),
            hint,
        )),
        _ if fingerprint.is_some_and(|here| *here != manifest.fingerprint) => defects.push(Defect::new(
            Code::WrongVersion,
            "the pack comes from another build of the product",
            hint,
        )),
        _ => {}
    }
    Check::of(Topic::Version, defects, format!("{}, as here", manifest.server))
}

/// Checks that the files for a recovery are there. `missing`: names in the data directory.
#[must_use]
pub fn files(missing: &[String]) -> Check {
    let defects = missing.iter().map(|name| missing_file(name)).collect();
    Check::of(Topic::Files, defects, "no file is missing in mysql/data")
}

fn missing_file(name: &str) -> Defect {
    let code = if name.starts_with("ib_logfile") || name.starts_with("#innodb_redo") {
        Code::RedoMissing
    } else if name.starts_with(BINLOG) {
        Code::BinlogMissing
    } else {
        Code::FileMissing
    };
    Defect::new(
        code,
        format!("{name} is missing in mysql/data"),
        "A recovery from these data is no longer possible. Install a new pack; `pmp-ha install-pack` keeps the old data.",
    )
}

/// What the databases of the pair say about the packs that were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packs {
    /// None of them could be asked, and why.
    Unknown(String),
    /// One could.
    Known {
        /// Which.
        whom: String,
        /// The pack that was made last.
        last: String,
        /// How often the role of the primary has changed hands.
        epoch: u64,
        /// Whether the primary still has the binlogs from the pack on; `None` where it could not be asked.
        reach: Option<bool>,
    },
}

/// Checks whether a secondary could replicate from a pack.
#[must_use]
pub fn age(manifest: &Manifest, packs: &Packs) -> Check {
    let (whom, last, epoch, reach) = match packs {
        Packs::Unknown(why) => return Check::not_done(Topic::Age, why),
        Packs::Known { whom, last, epoch, reach } => (whom, last, *epoch, *reach),
    };
    let mut defects = Vec::new();
    let hint = "Make a new pack on the primary, and copy it here.";
    if *last != manifest.pack_id {
        defects.push(Defect::new(
            Code::StalePack,
            format!(
                "the pack {} of {} is not the latest: on {whom} that is {last}",
                manifest.pack_id, manifest.made_at
            ),
            hint,
        ));
    }
    if epoch != manifest.pair.epoch {
        defects.push(Defect::new(
            Code::StalePack,
            format!("{} made the pack, but the roles have changed since", manifest.pair.node(Role::Primary)),
            hint,
        ));
    }
    if reach == Some(false) {
        defects.push(Defect::new(
            Code::StalePack,
            format!("the primary no longer has the binlogs from {} on", manifest.coordinates),
            hint,
        ));
    }
    let reached = if reach == Some(true) { ", and the primary has all binlogs since" } else { "" };
    Check::of(Topic::Age, defects, format!("it is the latest pack{reached}"))
}

/// Checks that the data have the accounts: each by name and host, `product` from any host.
#[must_use]
pub fn accounts(product: &str, wanted: &[(String, String)], found: &[(String, String)]) -> Check {
    let mut missing: Vec<String> = wanted
        .iter()
        .filter(|account| !found.contains(account))
        .map(|(user, host)| format!("{user}@{host}"))
        .collect();
    if !found.iter().any(|(user, _)| user == product) {
        missing.insert(0, format!("{product} (the product's own)"));
    }
    let defects = if missing.is_empty() {
        Vec::new()
    } else {
        vec![missing_accounts(format!("the data lack the accounts {}", missing.join(", ")))]
    };
    Check::of(
        Topic::Accounts,
        defects,
        format!("'{product}' and the {} accounts of the tool are there", wanted.len()),
    )
}

/// Returns the defect of missing accounts.
#[must_use]
pub fn missing_accounts(evidence: String) -> Defect {
    Defect::new(
        Code::MissingAccounts,
        evidence,
        "Install a new pack: `pmp-ha pack` creates the tool's accounts, and `pmp-ha install-pack` keeps the old data. Create the product's own account by hand.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::coordinates::Coordinates;
    use crate::domain::digest::Sha256Hex;
    use crate::domain::pair::Pair;
    use crate::domain::rehearsal::check::CheckResult;

    fn manifest() -> Manifest {
        let hash = |byte| Sha256Hex::from_bytes([byte; 32]);
        Manifest {
            format: Manifest::FORMAT,
            pack_id: "one".into(),
            made_at: "t".into(),
            made_by: "x".into(),
            server: ServerVersion::parse("5.6.24").expect("a version"),
            fingerprint: Fingerprint { product: hash(1), server: hash(2) },
            application_account: "root".into(),
            key_fingerprint: None,
            pair: Pair::example(),
            coordinates: Coordinates::FilePosition { file: "b.000001".into(), position: 4 },
            return_channel_goes_on: false,
            files: vec![],
        }
    }

    fn codes(check: &Check) -> Vec<Code> {
        check.defects.iter().map(|defect| defect.code).collect()
    }

    #[test]
    fn each_missing_file_is_the_defect_that_it_makes() {
        use Code::{BinlogMissing, FileMissing, RedoMissing};
        let names = ["#innodb_redo", "ib_logfile0", "pmp-ha-binlog.000003", "pmp-ha-relay.index", "ibdata1"];
        let check = files(&names.map(ToOwned::to_owned));
        assert_eq!(codes(&check), [RedoMissing, RedoMissing, BinlogMissing, FileMissing, FileMissing]);
        assert_eq!(files(&[]).result, CheckResult::Passed);
    }

    #[test]
    fn a_pack_is_stale_when_another_one_came_later_or_nobody_can_go_on_from_it() {
        let epoch = manifest().pair.epoch;
        let known = |last: &str, reach| Packs::Known { whom: "it".into(), last: last.into(), epoch, reach };
        assert_eq!(age(&manifest(), &known("one", None)).result, CheckResult::Passed);
        assert_eq!(codes(&age(&manifest(), &known("two", Some(true)))), [Code::StalePack]);
        assert_eq!(codes(&age(&manifest(), &known("one", Some(false)))), [Code::StalePack]);
        let since = Packs::Known { whom: "it".into(), last: "one".into(), epoch: epoch + 1, reach: None };
        assert_eq!(codes(&age(&manifest(), &since)), [Code::StalePack]);
        assert_eq!(age(&manifest(), &Packs::Unknown("nobody answers".into())).result, CheckResult::NotDone);
    }

    #[test]
    fn a_pack_of_another_server_or_build_is_of_another_version() {
        let (manifest, here) = (manifest(), |text: &str| Ok(ServerVersion::parse(text).expect("a version")));
        let same = Some(&manifest.fingerprint);
        let other = Fingerprint { product: Sha256Hex::from_bytes([9; 32]), ..manifest.fingerprint.clone() };
        assert_eq!(version(&manifest, &here("5.6.24"), same).result, CheckResult::Passed);
        assert_eq!(codes(&version(&manifest, &here("9.7.4"), same)), [Code::WrongVersion]);
        assert_eq!(codes(&version(&manifest, &here("5.6.24"), Some(&other))), [Code::WrongVersion]);
    }

    #[test]
    fn every_account_has_to_be_in_the_data() {
        let account = |user: &str, host: &str| (user.to_owned(), host.to_owned());
        let wanted = [account("a", "%"), account("a", "localhost")];
        let all = [account("root", "127.0.0.1"), account("a", "%"), account("a", "localhost")];
        assert_eq!(accounts("root", &wanted, &all).result, CheckResult::Passed);
        let lacks = accounts("root", &wanted, &all[1..2]);
        assert_eq!(codes(&lacks), [Code::MissingAccounts]);
        assert!(
            lacks.defects[0].evidence.contains("root (the product's own),")
                && lacks.defects[0].evidence.contains("a@localhost")
        );
    }
}
