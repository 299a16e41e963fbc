//! `rejoin --pack`: the plan that makes an old primary the secondary, with the new one's pack.

use super::checks;
use super::incoming::{PackForHome, WHAT, end, membership, misfits, steps};
use crate::domain::pair::Role;
use crate::domain::plan::{Command, Plan, Step};
use crate::domain::refusal::Refusal;
use crate::domain::standing::BinlogPlace;

/// The pack, and what an old primary must know of the change of roles.
#[derive(Debug, Clone)]
pub struct RejoinByPack {
    /// The pack, and the home of the old primary.
    pub pack: PackForHome,
    /// The epoch in which the other node is the primary.
    pub epoch: u64,
    /// Whether its database runs.
    pub running: bool,
    /// How far the new primary had followed it, and the file for its rows beyond that.
    pub extra: Option<(BinlogPlace, String)>,
}

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &RejoinByPack) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.pack.home;
    let mut refusals =
        if scene.running { checks::running_home(WHAT, home) } else { checks::home(WHAT, home) };
    refusals.extend(not_of_this_change(scene));
    refusals.extend(misfits(&scene.pack));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut all = before_an_old_primary_goes(scene);
    all.extend(steps(&scene.pack));
    let word = membership(&scene.pack).pair.secondary_word;
    all.push(Step::WriteRole { role: Role::Secondary, word });
    let point_of_no_return = all.len();
    let (end, warning) = end(&scene.pack);
    all.extend(end);
    all.push(Step::BringUp);
    Ok(Plan {
        command: Command::Rejoin,
        home: home.identity.clone(),
        warnings: checks::unproved(home).into_iter().chain(warning).collect(),
        point_of_no_return,
        steps: all,
    })
}

/// Refuses a pack for an old primary unless the node that replaced it made the pack.
fn not_of_this_change(scene: &RejoinByPack) -> Option<Refusal> {
    let (own, pair) = (scene.pack.home.membership.as_ref()?, &scene.pack.manifest.pair);
    let fits = pair.id == own.pair.id && pair.epoch == scene.epoch && pair.primary == own.peer().number;
    (!fits).then(|| {
        Refusal::new(
            WHAT,
            format!("the pack was not made by {} as the primary of epoch {}", own.peer(), scene.epoch),
            "Make a new pack there: `pmp-ha pack`.",
        )
        .code("pack-of-another-primary")
    })
}

/// Returns the steps that find and save the rows that only the old primary has.
fn before_an_old_primary_goes(scene: &RejoinByPack) -> Vec<Step> {
    let mut steps = Vec::new();
    if scene.running {
        steps.push(Step::TakeDown);
    }
    if let Some((since, file)) = scene.extra.clone() {
        steps.push(Step::FindExtra { since, file, go_on: true });
    }
    steps
}
