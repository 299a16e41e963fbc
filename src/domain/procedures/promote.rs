//! `recover --promote`: makes the secondary the primary, in the same home.

use super::{Scene, checks};
use crate::domain::flavor::Flavor;
use crate::domain::pair::{Claim, Role};
use crate::domain::plan::{Command, Plan, Step};
use crate::domain::refusal::Refusal;
use crate::domain::snapshot::{BlindReason, Observed, Receiver, ServerView};

/// The signs of the primary, seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrimarySeen {
    /// It answers with the certificate of the pair, or its heartbeats arrive. With the evidence.
    Answers(String),
    /// It cannot be seen. It is down, or something on the way drops, refuses or ends connections, or
    /// answers in its place.
    NotSeen(String),
}

impl PrimarySeen {
    /// Reads the signs of life from a check of the primary, and from one of the secondary's server.
    ///
    /// How a connection failed says nothing: a machine that is off is as silent as a network that
    /// drops, and whatever answers without the pair's certificate may be anybody.
    #[must_use]
    pub fn of(primary: &Observed<ServerView>, here: &Observed<ServerView>) -> Self {
        let replica = here.seen().and_then(|server| server.replica.as_ref());
        let hears = replica.is_some_and(|replica| {
            replica.receiver == Receiver::Connected && replica.pulse.as_ref().is_some_and(|pulse| pulse.moved)
        });
        match primary {
            Observed::Seen(_) => Self::Answers("its database accepts this node".into()),
            Observed::NotSeen(_) if hears => Self::Answers("its heartbeats arrive by replication".into()),
            Observed::NotSeen(blind) => match blind.why {
                // It let this node in, with both certificates, and answered.
                BlindReason::Slow => Self::Answers(blind.evidence.clone()),
                BlindReason::NotRunning
                | BlindReason::Unreachable
                | BlindReason::Silent
                | BlindReason::TurnedAway
                | BlindReason::Certificate(_)
                | BlindReason::TooManyConnections
                | BlindReason::NotBuiltIn(_) => Self::NotSeen(blind.evidence.clone()),
            },
        }
    }
}

/// How the primary is kept from serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fencing {
    /// Nobody has done it.
    None,
    /// The operator says so.
    ByOperator,
    /// This program does it.
    ByCommand(Vec<String>),
}

/// What a failover may lose: what the primary committed after the last sign of it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    /// Its last heartbeat that was applied here, by its own clock, RFC 3339; `None` if there was
    /// none.
    pub since: Option<String>,
    /// How long ago that was, in seconds.
    pub seconds: Option<f64>,
}

/// The scene of `recover --promote`.
#[derive(Debug, Clone)]
pub struct PromoteScene {
    /// The home of the secondary.
    pub home: Scene,
    /// Whether its database runs.
    pub running: bool,
    /// The primary.
    pub primary: PrimarySeen,
    /// The latest epoch in which it was the primary, by its own rows; 0 if none arrived.
    pub known: u64,
    /// How it is fenced.
    pub fencing: Fencing,
    /// What may be lost, as far as known before everything received is applied.
    pub loss: Loss,
    /// The error at which the applier stopped, if it did.
    pub applier_error: Option<String>,
    /// Whether the operator accepts that what was received cannot all be applied.
    pub accept_loss: bool,
}

const WHAT: &str = "cannot promote this node";

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &PromoteScene) -> Result<Plan, Vec<Refusal>> {
    let home = &scene.home;
    let mut refusals = checks::running_home(WHAT, home);
    refusals.extend(not_a_secondary(home));
    refusals.extend(primary_serves(scene));
    if let Some(error) = scene.applier_error.as_ref().filter(|_| !scene.accept_loss) {
        refusals.push(Refusal::new(
            WHAT,
            format!("it could not apply what it received: {error}"),
            "If the primary can still be reached, run `pmp-ha repair`. To continue without the rest of what was received, add --accept-loss.",
        ).code("cannot-apply"));
    }
    let (Some(old), Ok(params), true) = (&home.membership, &home.params, refusals.is_empty()) else {
        return Err(refusals);
    };
    let claim = Claim::by_promotion(Claim::latest(old.pair.epoch, scene.known));
    let account = params.username.clone();
    let mut membership = old.changed_to(Role::Primary, claim);
    let word = home.role_word.trim();
    if membership.pair.secondary_word.is_none() && !word.is_empty() {
        membership.pair.secondary_word = Some(word.to_owned());
    }
    let mut steps = Vec::new();
    if let Fencing::ByCommand(command) = &scene.fencing {
        steps.push(Step::Fence { command: command.clone() });
    }
    if !scene.running {
        let accept_loss = scene.accept_loss;
        steps.push(Step::WorkOffOffline { account: account.clone(), accept_loss });
        steps.push(Step::BringUp);
    }
    steps.push(Step::DrainReplica { account: account.clone(), accept_loss: scene.accept_loss });
    let Claim { epoch, replaces } = claim;
    let seen_alive = matches!(scene.primary, PrimarySeen::Answers(_));
    steps.push(Step::Claim { epoch, replaces, account: account.clone(), seen_alive });
    let point_of_no_return = steps.len();
    steps.extend(super::take_over(home, membership, account));
    Ok(Plan {
        command: Command::Promote,
        home: home.identity.clone(),
        warnings: warnings(scene, &old.peer().host),
        point_of_no_return,
        steps,
    })
}

fn not_a_secondary(home: &Scene) -> Option<Refusal> {
    let (code, because, hint) = match &home.membership {
        None => (
            "not-paired",
            "this home does not belong to a pair yet".to_owned(),
            "Set up the pair: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.",
        ),
        Some(membership) if membership.role == Role::Primary => (
            "is-primary",
            format!("it is already the primary, in epoch {}", membership.pair.epoch),
            "There is nothing to do here.",
        ),
        Some(_) => return None,
    };
    Some(Refusal::new(WHAT, because, hint).code(code))
}

fn primary_serves(scene: &PromoteScene) -> Option<Refusal> {
    let peer = scene.home.membership.as_ref()?.peer().to_string();
    let is_primary = scene.home.membership.as_ref()?.role == Role::Primary;
    if is_primary || scene.fencing != Fencing::None {
        return None;
    }
    match &scene.primary {
        PrimarySeen::Answers(evidence) => Some(Refusal::new(
            WHAT,
            format!("the primary {peer} is alive: {evidence}"),
            "To swap the roles of two working nodes, use `pmp-ha switchover`. If the primary must go, switch it off and pass --fenced.",
        ).code("primary-alive")),
        PrimarySeen::NotSeen(evidence) => Some(Refusal::new(
            WHAT,
            format!(
                "cannot tell from here whether the primary {peer} is down or only the network: {evidence}. A firewall or a forwarder refuses or drops connections like a machine that is off, so a refused connection proves nothing"
            ),
            "Make sure that it serves nobody: switch off its machine, or stop its database there. Then pass --fenced. A program in `fence.command` can do this for you.",
        ).code("primary-unseen")),
    }
}

fn warnings(scene: &PromoteScene, primary: &str) -> Vec<String> {
    let mut out: Vec<String> = checks::unproved(&scene.home).into_iter().collect();
    out.push(if scene.running || scene.loss.since.is_some() {
        scene.loss.of(primary)
    } else {
        format!(
            "what {primary} committed last may be lost. pmp-ha cannot tell how much while the database here is stopped: it starts the database, applies what it received, and reports it at the end"
        )
    });
    if scene.fencing == Fencing::ByOperator {
        let cost = format!("two nodes accept writes, and the writes on {primary} are not in this vault");
        out.push(match &scene.primary {
            PrimarySeen::Answers(evidence) => format!(
                "{primary} answers at this moment, although you passed --fenced: {evidence}. If it still serves users, {cost}"
            ),
            PrimarySeen::NotSeen(evidence) => format!(
                "{primary} is assumed to be fenced because you passed --fenced ({evidence}): if it still serves, {cost}"
            ),
        });
    }
    if scene.accept_loss {
        out.push("if something that was received cannot be applied, the rest of it is lost".into());
    }
    out
}

impl Loss {
    /// Returns the possible loss as a sentence.
    #[must_use]
    pub fn of(&self, primary: &str) -> String {
        match (&self.since, self.seconds) {
            (Some(since), Some(seconds)) => format!(
                "what {primary} committed after {since}, by its own clock, may be lost: that was {seconds:.1} s ago. Everything before is here. Only {primary} knows how many transactions that is: none, if it was already down or nobody wrote"
            ),
            _ => format!(
                "no heartbeat of {primary} ever arrived: what it committed since the pack was made may be lost"
            ),
        }
    }
}

/// Returns whether this server can change its replication role only at a start.
pub(super) fn needs_a_restart(home: &Scene) -> bool {
    let flavor = home.server.as_ref().ok().and_then(Flavor::of);
    flavor.is_some_and(|flavor| flavor.filter_now(&[]).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::certificate::unfit;
    use crate::domain::pair::{Membership, Pair};
    use crate::domain::procedures::examples::home;
    use crate::domain::snapshot::Blind;

    fn scene(change: impl FnOnce(&mut PromoteScene)) -> PromoteScene {
        let mut home = home(Role::Secondary);
        home.running = vec!["the database runs".into()];
        let pair = Pair::example();
        home.membership = Some(Membership { format: 1, role: Role::Secondary, key_fingerprint: None, pair });
        let mut scene = PromoteScene {
            home,
            running: true,
            primary: PrimarySeen::NotSeen("connection refused".into()),
            known: 1,
            fencing: Fencing::ByOperator,
            loss: Loss { since: Some("2026-02-03T04:05:06Z".into()), seconds: Some(3.21) },
            applier_error: None,
            accept_loss: false,
        };
        change(&mut scene);
        scene
    }

    fn because(change: impl FnOnce(&mut PromoteScene)) -> Vec<String> {
        plan(&scene(change)).expect_err("a refusal").into_iter().map(|refusal| refusal.because).collect()
    }

    #[test]
    fn a_primary_that_is_down_is_replaced_and_the_loss_is_said_before() {
        let plan = plan(&scene(|_| {})).expect("a plan");
        assert!(
            plan.warnings[0]
                .contains("after 2026-02-03T04:05:06Z, by its own clock, may be lost: that was 3.2 s ago")
        );
        let Some(Step::SetMembership { membership }) = plan.steps.get(plan.point_of_no_return) else {
            panic!("the roles are written behind the point of no return: {plan}")
        };
        assert_eq!((membership.role, membership.pair.primary, membership.pair.epoch), (Role::Primary, 2, 3));
        assert_eq!(membership.pair.secondary_word.as_deref(), Some("slave"));
    }

    #[test]
    fn what_a_stopped_database_cannot_tell_is_not_guessed() {
        let stopped = |s: &mut PromoteScene| {
            s.running = false;
            s.loss = Loss { since: None, seconds: None };
        };
        let warning = plan(&scene(stopped)).expect("a plan").warnings[0].clone();
        assert!(warning.contains("reports it at the end") && !warning.contains("ever arrived"), "{warning}");
        let on_the_primary = because(|s| {
            s.home.membership.as_mut().expect("a pair").role = Role::Primary;
            s.fencing = Fencing::None;
        });
        assert!(
            on_the_primary.len() == 1 && on_the_primary[0].contains("already the primary"),
            "{on_the_primary:?}"
        );
    }

    #[test]
    fn a_primary_that_may_be_alive_is_not_replaced_but_by_who_has_fenced_it() {
        let not_seen = ["timed out", "connection refused", "connection reset by peer"];
        let not_seen = not_seen.map(|evidence| PrimarySeen::NotSeen(evidence.into()));
        for seen in [&[PrimarySeen::Answers("it greets".into())], &not_seen[..]].concat() {
            let unfenced = because(|s| {
                s.primary = seen.clone();
                s.fencing = Fencing::None;
            });
            assert_eq!(unfenced.len(), 1, "{seen:?}");
            let plan = plan(&scene(|s| {
                s.primary = seen.clone();
                s.fencing = Fencing::ByOperator;
            }));
            let plan = plan.expect("a plan");
            let alive = matches!(seen, PrimarySeen::Answers(_));
            let words = if alive { "although you passed --fenced" } else { "because you passed --fenced" };
            assert!(plan.warnings.iter().any(|warning| warning.contains(words)), "{plan}");
            let claims = |step: &Step| matches!(step, Step::Claim { seen_alive, .. } if *seen_alive == alive);
            assert!(plan.steps.iter().any(claims), "what was not seen before is looked for again: {plan}");
        }
    }

    #[test]
    fn only_an_answer_with_the_certificate_of_the_pair_says_that_the_primary_lives() {
        let blind = |why| Observed::NotSeen(Blind { why, evidence: "no greeting within 2.0 s".into() });
        let nobody = blind(BlindReason::NotRunning);
        for why in [
            BlindReason::NotRunning,
            BlindReason::Unreachable,
            BlindReason::Silent,
            BlindReason::TurnedAway,
            BlindReason::Certificate(unfit("certificate not valid for name").expect("a reason")),
            BlindReason::TooManyConnections,
        ] {
            let seen = PrimarySeen::of(&blind(why), &nobody);
            assert_eq!(seen, PrimarySeen::NotSeen("no greeting within 2.0 s".into()), "{why:?}");
        }
        let slow = PrimarySeen::of(&blind(BlindReason::Slow), &nobody);
        assert!(matches!(slow, PrimarySeen::Answers(_)), "it was let in: {slow:?}");
    }

    #[test]
    fn a_fence_command_comes_first_and_a_stopped_database_is_worked_off_first() {
        let plan = plan(&scene(|s| {
            s.fencing = Fencing::ByCommand(vec!["/sbin/off".into()]);
            s.primary = PrimarySeen::Answers("it greets".into());
            s.running = false;
        }));
        let plan = plan.expect("a plan");
        assert!(matches!(plan.steps[0], Step::Fence { .. }));
        assert!(matches!(plan.steps[1], Step::WorkOffOffline { .. }));
        assert_eq!(plan.steps[2], Step::BringUp);
    }

    #[test]
    fn a_promotion_replaces_the_latest_epoch_that_is_known() {
        let claim = |known| {
            let plan = plan(&scene(|s| s.known = known)).expect("a plan");
            plan.steps.iter().find_map(|step| match step {
                Step::SetMembership { membership } => Some(membership.pair.claim()),
                _ => None,
            })
        };
        assert_eq!(claim(0), Some(Claim { epoch: 3, replaces: 1 }));
        assert_eq!(claim(4), Some(Claim { epoch: 6, replaces: 4 }));
        // Anybody on the secondary's machine can write such a row, and no pack could be made any more.
        assert_eq!(claim(Claim::LARGEST), Some(Claim { epoch: 3, replaces: 1 }));
    }

    #[test]
    fn a_failed_applier_asks_for_a_word() {
        let failed = |s: &mut PromoteScene| s.applier_error = Some("error 1062".into());
        assert!(because(failed)[0].contains("error 1062"));
        assert!(
            plan(&scene(|s| {
                failed(s);
                s.accept_loss = true;
            }))
            .is_ok()
        );
    }

    #[test]
    fn only_a_secondary_is_promoted() {
        assert!(because(|s| s.home.membership = None)[0].contains("does not belong to a pair"));
        let primary = |s: &mut PromoteScene| {
            s.home.membership =
                s.home.membership.as_ref().map(|m| m.changed_to(Role::Primary, Claim::by_promotion(2)));
        };
        assert_eq!(because(primary), ["it is already the primary, in epoch 4"]);
    }
}
