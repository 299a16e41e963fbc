//! How the points are gathered, and those of the home, its rights, its key and its certificates.

use super::report::{DoctorPoint, DoctorTopic, Grade};
use super::scene::{DoctorScene, TfaSeen};
use crate::domain::certificate::{DAY, WARN_DAYS, day};
use crate::domain::home::KeyFile;
use crate::domain::manifest::Fingerprint;
use crate::domain::pair::Role;
use crate::domain::procedures::key::{Expected, KeyScene, check};
use crate::domain::procedures::shortcomings;

/// The points, as they are found.
#[derive(Default)]
pub(super) struct Points {
    all: Vec<DoctorPoint>,
}

/// The topic of a refusal that a command would give.
fn topic_of(code: &str) -> DoctorTopic {
    match code {
        "server-unreadable"
        | "server-unknown"
        | "data-of-another-server"
        | "start-script"
        | "skip-grant-tables"
        | "not-built-in" => DoctorTopic::Server,
        "not-writable" => DoctorTopic::Rights,
        "mount-point" => DoctorTopic::Disk,
        _ => DoctorTopic::Home,
    }
}

/// Whether a file has another key than that of the pair, or one more: a rotation leaves the old one there.
fn was_rotated(key: &KeyScene) -> bool {
    let Expected::Fingerprint(known) = &key.expected else { return false };
    key.fingerprints.iter().any(|fingerprint| fingerprint != known)
}

/// The part of a fingerprint that people compare.
fn short(fingerprint: &Fingerprint) -> String {
    fingerprint.product.to_string().chars().take(12).collect()
}

impl Points {
    pub(super) fn ok(&mut self, topic: DoctorTopic, what: impl Into<String>) {
        self.all.push(DoctorPoint {
            topic,
            grade: Grade::Ok,
            code: None,
            what: what.into(),
            evidence: None,
            hint: None,
        });
    }

    pub(super) fn found(
        &mut self,
        (topic, grade, code): (DoctorTopic, Grade, &'static str),
        what: impl Into<String>,
        evidence: impl Into<String>,
        hint: impl Into<String>,
    ) {
        // A reason is a line, and some programs answer in several.
        let line = |text: String| text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        self.all.push(DoctorPoint {
            topic,
            grade,
            code: Some(code),
            what: what.into(),
            evidence: Some(line(evidence.into())),
            hint: Some(hint.into()),
        });
    }

    /// All of them, by topic, and in a topic as they were found.
    pub(super) fn sorted(mut self) -> Vec<DoctorPoint> {
        self.all.sort_by_key(|point| point.topic);
        self.all
    }

    pub(super) fn home(&mut self, scene: &DoctorScene) {
        let home = &scene.home;
        for refusal in shortcomings(home) {
            let topic = topic_of(refusal.code);
            self.found((topic, Grade::Failed, refusal.code), refusal.what, refusal.because, refusal.hint);
        }
        if home.missing.is_empty() {
            self.ok(DoctorTopic::Home, format!("the installation is complete: it is a {}", home.role));
        }
        if let Some(fingerprint) = &home.fingerprint {
            self.found(
                (DoctorTopic::Home, Grade::Note, "edition-not-shown"),
                "no file contains edition and build number",
                format!("the product of this home is {}", short(fingerprint)),
                "Both nodes must show the same product here. High Availability is for build 6302 and later, in the Premium and Enterprise Editions.",
            );
        }
        if let Some(other) = &scene.other_service {
            self.found(
                (DoctorTopic::Home, Grade::Warning, "service-of-another-home"),
                "the service on this machine starts another home",
                format!("/etc/init.d/pmp-service points to {other}"),
                "Name the home that you want with --home, or correct the link.",
            );
        }
        if let Some(cut_off) = &scene.cut_off {
            self.found(
                (DoctorTopic::Home, Grade::Failed, "run-interrupted"),
                "an earlier run on this home was interrupted",
                cut_off,
                "Run `pmp-ha resume`: it finishes the run or puts everything back.",
            );
        }
    }

    pub(super) fn rights(&mut self, scene: &DoctorScene) {
        for evidence in &scene.open_secrets {
            self.found(
                (DoctorTopic::Rights, Grade::Failed, "secret-readable"),
                "other accounts on this machine can read a secret",
                evidence,
                "Remove these rights with `chmod go-rwx`.",
            );
        }
        if scene.open_secrets.is_empty() && scene.home.not_writable.is_empty() {
            self.ok(DoctorTopic::Rights, "this account can write where it must, and others read no secret");
        }
    }

    pub(super) fn certificates(&mut self, scene: &DoctorScene) {
        for certificate in &scene.certificates {
            let left = (certificate.ends - scene.now) / DAY;
            let ends = day(certificate.ends);
            if left > WARN_DAYS {
                let what = format!("{} is valid until {ends}, {left} days from now", certificate.whose);
                self.ok(DoctorTopic::Certificates, what);
            } else if scene.pair.is_none() {
                // Of a node that runs, `verify` says it.
                let grade = if left <= 0 { Grade::Failed } else { Grade::Warning };
                self.found(
                    (DoctorTopic::Certificates, grade, "certificate-ends"),
                    format!("{} ends soon, or has ended", certificate.whose),
                    format!("it is valid until {ends}"),
                    "Run `pmp-ha rotate` on both nodes, or install a new pack.",
                );
            }
        }
    }

    pub(super) fn key(&mut self, scene: &DoctorScene) {
        let topic = DoctorTopic::Key;
        let is_secondary = scene.home.membership.is_some() && scene.role() == Role::Secondary;
        if scene.home.membership.is_none() && scene.role() == Role::Secondary {
            // Its own key is of no use once it has the primary's data.
            return self.found(
                (topic, Grade::Note, "key-comes-later"),
                "the key of this installation is not the one of the pair",
                "each installation creates its own, and the pair uses the primary's",
                "Have the primary's pmp_key.key ready: `pmp-ha key PATH` asks for it after `pmp-ha install-pack`.",
            );
        }
        let Some(key) = &scene.key else {
            let grade = if is_secondary { Grade::Failed } else { Grade::Note };
            self.found(
                (topic, grade, "key-not-named"),
                "no encryption key is named",
                "conf/manage_key.conf is empty",
                "Run `pmp-ha key PATH` with the primary's pmp_key.key before the first start.",
            );
            return;
        };
        if scene.home.membership.is_some() && !is_secondary && was_rotated(key) {
            return self.found(
                (topic, Grade::Note, "key-rotated"),
                "the encryption key was rotated since the pair was made",
                format!("the hash of {} is not the one stored in the pair's files", key.path),
                "Make sure that the secondary has this file, too: copy it there, and run `pmp-ha key PATH` on the secondary.",
            );
        }
        match check(key) {
            // It may be taken away after each start.
            Err(refusal) if key.file.is_err() => self.found(
                (topic, Grade::Note, refusal.code),
                "the encryption key is not available now",
                refusal.because,
                "It must be readable at each start of Password Manager Pro. At other times it may be missing.",
            ),
            Err(refusal) => {
                let grade = if matches!(key.file, Ok(KeyFile::Key(_))) && !is_secondary {
                    Grade::Warning
                } else {
                    Grade::Failed
                };
                self.found((topic, grade, refusal.code), refusal.what, refusal.because, refusal.hint);
            }
            Ok(warnings) if warnings.is_empty() => {
                self.ok(topic, format!("{} is the key of this pair", key.path));
            }
            Ok(warnings) => {
                let mut warnings = warnings.into_iter();
                if key.inside_home
                    && let Some(warning) = warnings.next()
                {
                    self.found(
                        (topic, Grade::Note, "key-place"),
                        "the encryption key is in the same place as the data that it decrypts",
                        warning,
                        "Move it to a place outside the installation, then run `pmp-ha key PATH`.",
                    );
                }
                for warning in warnings {
                    self.found(
                        (topic, Grade::Note, "key-not-checked"),
                        "pmp-ha cannot tell whether this is the key of these data",
                        warning,
                        "Compare the file with the primary's: `sha256sum` on both nodes.",
                    );
                }
            }
        }
    }

    pub(super) fn tfa(&mut self, scene: &DoctorScene) {
        let found = (DoctorTopic::Tfa, Grade::Note, "tfa-not-watched");
        let what =
            "the TFA setting is not watched, and the secondary needs a restart after each change of it";
        match &scene.tfa {
            TfaSeen::Watched => self.ok(DoctorTopic::Tfa, "product.tfa_query watches the TFA setting"),
            TfaSeen::NotWatched(queries) => match queries.split_first() {
                Some((first, more)) => self.found(
                    found,
                    what,
                    format!(
                        "product.tfa_query is empty, and {}",
                        if more.is_empty() {
                            "one place of the schema looks like it".to_owned()
                        } else {
                            format!("{} places of the schema look like it", more.len() + 1)
                        }
                    ),
                    more.iter().fold(
                        format!(
                            "If this shows the setting, write it on both nodes into conf/pmp-ha.toml: `tfa_query = \"{first}\"`."
                        ),
                        |hint, query| format!("{hint} Or: `tfa_query = \"{query}\"`."),
                    ),
                ),
                None => self.found(
                    found,
                    what,
                    "product.tfa_query is empty, and no table or column is named after it",
                    "After a change of TFA, restart Password Manager Pro on the secondary once.",
                ),
            },
            TfaSeen::NotSearched(why) => self.found(
                found,
                what,
                format!("product.tfa_query is empty, and the schema could not be searched: {why}"),
                "Run `pmp-ha doctor` on a node of a pair whose database runs: it suggests a query.",
            ),
        }
    }
}
