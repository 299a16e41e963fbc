//! `switchover`: two working nodes swap their roles, each by its own plan.

use super::{Scene, checks, promote};
use crate::domain::health::{Health, Severity, Status};
use crate::domain::pair::{Claim, Membership, Pair, Role};
use crate::domain::plan::{Command, Exchange, Plan, Step};
use crate::domain::refusal::Refusal;
use crate::domain::standing::NodeState;
use crate::domain::turn::{Phase, Turn};

/// The scene of `switchover`.
#[derive(Debug, Clone)]
pub struct SwitchoverScene {
    /// The home.
    pub home: Scene,
    /// Whether its database runs.
    pub running: bool,
    /// The verdict on the pair.
    pub health: Health,
    /// The role that the other node publishes, or why it is unknown.
    pub other: Result<Option<NodeState>, String>,
    /// Its turn, if it has one.
    pub turn: Option<Turn>,
    /// By whom all writes to its database are blocked, if they are.
    pub blocked: Option<String>,
    /// The transactions there that are prepared by XA.
    pub prepared: Vec<String>,
    /// Random, for a new switchover.
    pub run: String,
    /// The time limit for the other node, in seconds.
    pub wait: u64,
    /// How long writes may be refused before everything is put back, in seconds.
    pub refuse_at_most: u64,
}

const WHAT: &str = "cannot swap the roles";

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &SwitchoverScene) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    let mut refusals = checks::running_home(WHAT, home);
    refusals.extend(checks::not_paired(WHAT, home));
    refusals.extend(checks::stopped(WHAT, scene.running));
    let (Some(own), Ok(params), true) = (&home.membership, &home.params, refusals.is_empty()) else {
        return Err(refusals);
    };
    let account = params.username.clone();
    if let Some(run) = given_to_us(own, scene) {
        return Ok(take_what_was_handed_over(scene, own, account, run));
    }
    refusals.extend(checks::blocked(WHAT, scene.blocked.as_ref()));
    refusals.extend(checks::prepared(WHAT, &scene.prepared));
    refusals.extend(not_alive(&scene.health));
    let word = match (&scene.other, own.role) {
        (Err(why), _) => {
            refusals.push(Refusal::new(
                WHAT,
                format!("cannot ask {}: {why}", own.peer()),
                "Both nodes must work. If the primary is lost, promote the secondary: `pmp-ha recover --promote`.",
            ).code("cannot-ask-peer"));
            None
        }
        (Ok(said), Role::Primary) => said.as_ref().and_then(|said| said.secondary_word.clone()),
        (Ok(_), Role::Secondary) => Some(home.role_word.trim().to_owned()),
    }
    .filter(|word| !word.is_empty());
    if word.is_none() && refusals.is_empty() {
        refusals.push(Refusal::new(
            WHAT,
            "the product's word for a secondary in conf/serverstate.conf is unknown: the other node was not installed as a secondary",
            "Install a new pack: `pmp-ha pack` here, `pmp-ha install-pack` on the secondary, which keeps its old data.",
        ).code("secondary-word"));
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    // A secondary may not know yet that its primary was promoted once more.
    let theirs = scene.other.as_ref().ok().and_then(Option::as_ref).map_or(0, |said| said.epoch);
    let (wait, claim) = (scene.wait, Claim::by_hand_over(theirs.max(own.pair.epoch)));
    let mut membership = own.changed_to(Pair::peer_of(own.role), claim);
    membership.pair.secondary_word.clone_from(&word);
    let (before, after) = match own.role {
        Role::Primary => (giving(scene, &account), following(home, membership, account, word)),
        Role::Secondary => {
            let run = scene.run.clone();
            let steps = [Exchange::Meet { run: Some(run), wait }, Exchange::CatchUp, Exchange::AwaitHandOver];
            (steps.map(Step::Exchange).into(), super::take_over(home, membership, account))
        }
    };
    Ok(plan_of(scene, before, after))
}

fn giving(scene: &SwitchoverScene, account: &str) -> Vec<Step> {
    let account = account.to_owned();
    [
        Exchange::Meet { run: None, wait: scene.wait },
        Exchange::RefuseWrites { account },
        Exchange::AwaitCaughtUp { at_most: scene.refuse_at_most },
    ]
    .map(Step::Exchange)
    .into()
}

/// Returns the steps that make the primary the secondary.
///
/// Its write guard is already set. If its database can learn the new role while it runs, it keeps
/// serving reads.
fn following(home: &Scene, membership: Membership, account: String, word: Option<String>) -> Vec<Step> {
    vec![
        Step::Exchange(Exchange::HandOver),
        Step::SetMembership { membership },
        Step::Reconfigure { account },
        Step::WriteRole { role: Role::Secondary, word },
        if promote::needs_a_restart(home) { Step::RestartDatabase } else { Step::BringUp },
    ]
}

fn plan_of(scene: &SwitchoverScene, before: Vec<Step>, after: Vec<Step>) -> Plan {
    let point_of_no_return = before.len();
    Plan {
        command: Command::Switchover,
        home: scene.home.identity.clone(),
        warnings: checks::unproved(&scene.home).into_iter().collect(),
        point_of_no_return,
        steps: [before, after].concat(),
    }
}

/// Returns the switchover in which this node was absent when the other handed over its role.
fn given_to_us<'a>(own: &Membership, scene: &'a SwitchoverScene) -> Option<(&'a str, Claim)> {
    let turn = scene.turn.as_ref().filter(|turn| turn.phase == Phase::HandedOver)?;
    let said = scene.other.as_ref().ok()?.as_ref()?;
    let waits = said.epoch > own.pair.epoch && said.role == Role::Secondary && !said.candidate;
    (own.role == Role::Secondary && waits).then_some((turn.run.as_str(), said.claim()))
}

fn take_what_was_handed_over(
    scene: &SwitchoverScene,
    own: &Membership,
    account: String,
    (run, claim): (&str, Claim),
) -> Plan {
    let mut membership = own.changed_to(Role::Primary, claim);
    membership.pair.secondary_word = Some(scene.home.role_word.trim().to_owned());
    let before = [Exchange::TakeUp { run: run.to_owned() }, Exchange::CatchUp, Exchange::AwaitHandOver];
    plan_of(scene, before.map(Step::Exchange).into(), super::take_over(&scene.home, membership, account))
}

fn not_alive(health: &Health) -> Vec<Refusal> {
    let alive = health.high_availability == Status::Alive && health.replication == Status::Alive;
    let mut out: Vec<Refusal> = health
        .findings
        .iter()
        .filter(|finding| matches!(finding.severity, Severity::Failed | Severity::Unknown))
        .map(|finding| {
            Refusal::new(WHAT, format!("{}: {}", finding.what, finding.evidence), finding.hint.clone())
                .code("pair-not-alive")
        })
        .collect();
    if out.is_empty() && !alive {
        out.push(Refusal::new(WHAT, "the pair is not Alive", "See `pmp-ha verify`.").code("pair-not-alive"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::flavor::{Flavor, ServerVersion};
    use crate::domain::health::{About, Finding};
    use crate::domain::procedures::examples::home;

    fn scene(role: Role, change: impl FnOnce(&mut SwitchoverScene)) -> SwitchoverScene {
        let mut home = home(role);
        home.running = vec!["the database runs".into()];
        home.membership = Some(Membership { format: 1, role, key_fingerprint: None, pair: Pair::example() });
        let said = NodeState {
            node: 2,
            epoch: 1,
            replaces: 0,
            role: Pair::peer_of(role),
            candidate: false,
            secondary_word: Some("slave".into()),
            followed: None,
            heard: None,
        };
        let mut scene = SwitchoverScene {
            home,
            running: true,
            health: Health {
                high_availability: Status::Alive,
                replication: Status::Alive,
                summary: String::new(),
                findings: vec![],
            },
            other: Ok(Some(said)),
            turn: None,
            blocked: None,
            prepared: vec![],
            run: "r".into(),
            wait: 300,
            refuse_at_most: 30,
        };
        change(&mut scene);
        scene
    }

    fn memberships(plan: &Plan) -> (Role, u32, u64) {
        let set = plan.steps.iter().find_map(|step| match step {
            Step::SetMembership { membership } => Some(membership),
            _ => None,
        });
        let membership = set.expect("the roles are written");
        (membership.role, membership.pair.primary, membership.pair.epoch)
    }

    #[test]
    fn the_primary_refuses_writes_before_the_secondary_can_take_over() {
        let gives = plan(&scene(Role::Primary, |_| {})).expect("a plan");
        assert_eq!(memberships(&gives), (Role::Secondary, 2, 2));
        assert_eq!(gives.steps[gives.point_of_no_return], Step::Exchange(Exchange::HandOver));
        let refuses = |step: &Step| matches!(step, Step::Exchange(Exchange::RefuseWrites { .. }));
        assert!(gives.steps[..gives.point_of_no_return].iter().any(refuses));

        assert_eq!(
            gives.steps.last(),
            Some(&Step::RestartDatabase),
            "this server learns its role at a start"
        );

        let takes = plan(&scene(Role::Secondary, |_| {})).expect("a plan");
        assert_eq!(memberships(&takes), (Role::Primary, 2, 2));
        assert_eq!(takes.steps[takes.point_of_no_return - 1], Step::Exchange(Exchange::AwaitHandOver));
    }

    #[test]
    fn a_server_that_learns_its_role_while_it_runs_is_not_stopped() {
        let gives = plan(&scene(Role::Primary, |s| {
            let version = ServerVersion::parse("9.7.4").expect("a version");
            s.home.layout = Flavor::of(&version).map(|flavor| flavor.layout);
            s.home.server = Ok(version);
        }));
        let steps = gives.expect("a plan").steps;
        assert_eq!(steps.last(), Some(&Step::BringUp));
        assert!(!steps.contains(&Step::TakeDown) && !steps.contains(&Step::RestartDatabase));
    }

    #[test]
    fn both_count_on_from_the_later_of_their_epochs() {
        let gives = plan(&scene(Role::Primary, |s| {
            let pair = Pair { epoch: 4, replaces: 2, ..Pair::example() };
            s.home.membership.as_mut().expect("a pair").pair = pair;
        }));
        let takes = plan(&scene(Role::Secondary, |s| {
            s.other.as_mut().expect("reached").as_mut().expect("it says something").epoch = 4;
        }));
        assert_eq!(memberships(&gives.expect("a plan")), (Role::Secondary, 2, 5));
        assert_eq!(memberships(&takes.expect("a plan")), (Role::Primary, 2, 5));
    }

    #[test]
    fn a_pair_that_is_not_alive_is_left_alone() {
        let finding = Finding {
            code: "x",
            about: About::Replication,
            severity: Severity::Failed,
            what: "it stopped".into(),
            evidence: "error 1062".into(),
            hint: "Repair it.".into(),
        };
        let sick = scene(Role::Primary, |s| {
            s.health.replication = Status::Failed;
            s.health.findings = vec![finding];
        });
        assert_eq!(plan(&sick).expect_err("a refusal")[0].because, "it stopped: error 1062");
        let gone = scene(Role::Secondary, |s| s.other = Err("timed out".into()));
        assert!(plan(&gone).expect_err("a refusal")[0].because.contains("cannot ask"));
    }

    #[test]
    fn a_role_that_was_handed_over_is_taken_later() {
        let later = scene(Role::Secondary, |s| {
            s.health.high_availability = Status::Failed;
            if let Ok(Some(said)) = &mut s.other {
                (said.epoch, said.replaces, said.role) = (2, 1, Role::Secondary);
            }
            s.turn =
                Some(Turn { run: "old".into(), phase: Phase::HandedOver, mark: 1, age: 1, refusing_for: 1 });
        });
        let plan = plan(&later).expect("a plan");
        assert_eq!(plan.steps[0], Step::Exchange(Exchange::TakeUp { run: "old".into() }));
        assert_eq!(memberships(&plan), (Role::Primary, 2, 2));
        // Not of one that takes it back.
        let mut later = later;
        later.other.as_mut().expect("reached").as_mut().expect("it says something").candidate = true;
        assert!(super::plan(&later).is_err());
    }
}
