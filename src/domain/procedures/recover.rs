//! `recover --into`: from the data of a secondary to a new primary in a fresh installation.

use super::{Scene, checks};
use crate::domain::datafiles::{FileClass, Layout, classify};
use crate::domain::manifest::Fingerprint;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{BootTask, Plan, Step};
use crate::domain::refusal::Refusal;

/// The home that the data come from: a secondary's, or a copy of it.
#[derive(Debug, Clone)]
pub struct Source {
    /// Full path of the home.
    pub home: String,
    /// Full path of its data directory.
    pub data_path: String,
    /// Evidence that its database runs.
    pub running: Vec<String>,
    /// The shape of its data directory.
    pub layout: Option<Layout>,
    /// How many files a copy takes, and their bytes.
    pub to_copy: (usize, u64),
    /// What is neither a file nor a folder in it.
    pub odd_data: Vec<String>,
    /// Essential files that are not there.
    pub missing: Vec<String>,
    /// What makes it the same product as the target; `None` where the files are not there.
    pub fingerprint: Option<Fingerprint>,
    /// What it knows about its pair.
    pub membership: Option<Membership>,
    /// Files that this account cannot read.
    pub unreadable: Vec<String>,
}

/// What `recover --into` looks at.
#[derive(Debug, Clone)]
pub struct RecoverScene {
    /// Where the data come from.
    pub source: Source,
    /// The fresh installation.
    pub target: Scene,
    /// Full path of the original encryption key, checked.
    pub key: String,
    /// Whether the operator gave the database password in a file.
    pub password_given: bool,
    /// Whether the operator accepts that received transactions may be lost.
    pub accept_loss: bool,
    /// The name under which the old data of the target stay.
    pub old_data_name: String,
}

const WHAT: &str = "cannot recover";

/// Which files a copy for recovery takes: all but what is the old server's own. The binlogs are
/// needed to bring a crashed server to a clean stop, the relay logs hold what was received.
#[must_use]
pub fn is_copied(path: &str) -> bool {
    classify(path) != FileClass::Own
}

/// Decides.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &RecoverScene) -> Result<Plan, Vec<Refusal>> {
    let (source, target) = (&scene.source, &scene.target);
    let mut refusals = from(source);
    refusals.extend(checks::home(WHAT, target));
    if source.home == target.identity.path {
        refusals.push(Refusal::new(
            WHAT,
            "the new home is the home that the data come from",
            "Name a fresh installation with --into.",
        ));
    }
    if target.membership.is_some() {
        refusals.push(Refusal::new(
            WHAT,
            format!("{} already belongs to a pair: it has conf/pmp-ha/pair.toml", target.identity.path),
            "Name a fresh installation with --into.",
        ));
    }
    if let (Some(a), Some(b)) = (source.layout, target.layout)
        && a != b
    {
        refusals.push(Refusal::new(
            WHAT,
            format!("the data have the shape {a:?}, and the new installation's server writes {b:?}"),
            "The fresh installation must be of the same version as the secondary.",
        ));
    }
    if let (Some(a), Some(b)) = (&source.fingerprint, &target.fingerprint)
        && a != b
    {
        refusals.push(Refusal::new(
            WHAT,
            "the two homes are of different builds of the product",
            "The fresh installation must be of the same version as the secondary.",
        ));
    }
    refusals.extend(checks::password(WHAT, target, scene.password_given));
    refusals.extend(checks::space(
        WHAT,
        "the filesystem of the new home",
        source.to_copy.1,
        target.free_for_data,
    ));
    let (Ok(params), true) = (&target.params, refusals.is_empty()) else {
        return Err(refusals);
    };

    let mut warnings: Vec<String> = checks::unproved(target).into_iter().collect();
    if source.fingerprint.is_none() {
        warnings.push(
            "whether both homes are of the same build could not be checked: files are missing in the old one"
                .into(),
        );
    }
    if scene.accept_loss {
        warnings.push(
            "where what the secondary had received cannot be applied, the rest of it is given up".into(),
        );
    }
    let (files, bytes) = source.to_copy;
    let steps = vec![
        Step::CopyData { from: source.data_path.clone(), files, bytes },
        Step::SwapData,
        Step::OfflineBoot(BootTask::StandAlone {
            account: params.username.clone(),
            accept_loss: scene.accept_loss,
        }),
        Step::WriteRole { role: Role::Primary },
        Step::WriteKeyPath { key: scene.key.clone() },
        Step::ProveStart,
        Step::KeepOldData { name: scene.old_data_name.clone() },
    ];
    Ok(Plan {
        command: "recover".into(),
        home: target.identity.clone(),
        warnings,
        point_of_no_return: steps.len() - 1,
        steps,
    })
}

fn from(source: &Source) -> Vec<Refusal> {
    let mut out = Vec::new();
    for evidence in &source.running {
        out.push(Refusal::new(
            WHAT,
            format!("the home that the data come from is in use: {evidence}"),
            "Stop it first: `pmp-ha stop`. A copy of a running database is worthless.",
        ));
    }
    if source.membership.is_none() {
        out.push(Refusal::new(
            WHAT,
            format!("{} is not a node of a pair: it has no conf/pmp-ha/pair.toml", source.home),
            "Name the secondary's home, or a copy of the whole of it, with --home.",
        ));
    }
    if source.membership.as_ref().is_some_and(|membership| membership.role == Role::Primary) {
        out.push(Refusal::new(
            WHAT,
            format!("{} is the primary of its pair, not the secondary", source.home),
            "Name the secondary's home with --home.",
        ));
    }
    if source.layout.is_none() || !source.missing.is_empty() {
        out.push(Refusal::new(
            WHAT,
            if source.missing.is_empty() {
                "the data are of an unknown version".to_owned()
            } else {
                format!(
                    "the data are not whole: {} is missing in {}",
                    source.missing.join(", "),
                    source.data_path
                )
            },
            "The whole folder mysql/data is needed, not ibdata1 and passtrix alone.",
        ));
    }
    for odd in &source.odd_data {
        out.push(Refusal::new(
            WHAT,
            format!("the data directory holds {odd}"),
            "Move the data it leads to into mysql/data.",
        ));
    }
    for path in &source.unreadable {
        out.push(Refusal::new(
            WHAT,
            format!("{path} cannot be read"),
            "Run the command as the account that owns the data.",
        ));
    }
    out
}
