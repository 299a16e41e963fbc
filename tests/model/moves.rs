//! What can happen next: the operator, the tool, the servers, and what goes wrong.

use std::sync::Arc;

use pmp_ha::domain::journal::Due;
use pmp_ha::domain::pair::{Claim, Role};
use pmp_ha::domain::plan::{Command as PlanCommand, Exchange, Step};
use pmp_ha::domain::standing::{Standing, standing};
use pmp_ha::domain::turn::Phase;
use stateright::{Model, Property};

use crate::pair::{Does, Journal, Left, Node, Office, Pair, Server, Side, Tool, other};
use crate::plans::{Command, Made, Vouched, membership, state};
use crate::steps::{Effect, doing, lose_lock, stop, take, undoing};

/// A rule that is left out, to see that the checker misses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    Nothing,
    /// The secondary takes the role once it has caught up.
    WaitingForTheRole,
    /// A primary that was cut off while it handed over goes back.
    NoReturn,
    /// A primary starts whatever the other node says.
    TheGate,
    /// A secondary starts whether its database has been told or not.
    TheGuard,
    /// The guard is lifted without asking the other node once more.
    AskingAgain,
    /// A promotion does not look whether the other node is about to start.
    ALook,
    /// A promotion does not look whether the other node has started.
    ASecondLook,
    /// A primary that cannot be seen counts as one that is down.
    Proof,
}

/// The pair, from its set-up on.
#[derive(Debug, Clone)]
pub struct RoleChanges {
    /// The version of the servers.
    pub server: &'static str,
    pub left: Left,
    pub without: Without,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// The operator begins a command, which shows its plan.
    Begin(Side, Command),
    /// He agrees to the plan, however long after.
    Agree(Side),
    /// He runs the command again after it was cut off.
    Resume(Side),
    /// The tool goes on by one effect or one record of the journal.
    Work(Side),
    /// The tool waits no longer, or cannot go on, and takes everything back.
    GiveUp(Side),
    /// The tool reads the other node's word.
    Hear(Side),
    /// A word grows too old to count.
    Age(Side),
    /// A heartbeat of the primary is applied.
    Beat(Side),
    /// Somebody starts the server with the product's script.
    Start(Side),
    /// The start script hears what the other node says.
    Judge(Side),
    /// The server answers.
    ComeUp(Side),
    KillTool(Side),
    KillServer(Side),
    PowerOff(Side),
    Cut,
    /// What a node sends is turned away from now on.
    Reject(Side),
    Heal,
}

pub const NEVER_TWO: &str = "never two nodes that serve writes, unless somebody overrode it";
pub const LEGAL_END: &str = "in the end there is a pair";
pub const SWITCHED: &str = "a switchover comes to its end";
pub const PROMOTED: &str = "a promotion and a rejoin come to their end";
pub const UNASKED: &str = "a replaced primary that could not ask serves beside the new one";
pub const TAKEN_BACK: &str = "a switchover is taken back after writes were refused";

impl Model for RoleChanges {
    type State = Pair;
    type Action = Move;

    fn init_states(&self) -> Vec<Pair> {
        vec![Pair::new(self.left, self.server)]
    }

    fn actions(&self, pair: &Pair, actions: &mut Vec<Move>) {
        for side in [0, 1] {
            let node = &pair.nodes[side];
            match &node.tool {
                Some(Tool { does: Does::Asks(_), .. }) => actions.push(Move::Agree(side)),
                Some(_) => actions.extend([Move::Work(side), Move::GiveUp(side), Move::Hear(side)]),
                None if node.journal.is_some() => actions.push(Move::Resume(side)),
                None => actions.extend(Command::ALL.map(|command| Move::Begin(side, command))),
            }
            actions.push(match node.server {
                Server::Down => Move::Start(side),
                Server::Asks { .. } => Move::Judge(side),
                Server::Starts { .. } => Move::ComeUp(side),
                Server::Up => Move::Age(side),
            });
            actions.push(Move::Beat(side));
            if pair.left.crashes > 0 {
                actions.extend([Move::KillTool(side), Move::KillServer(side), Move::PowerOff(side)]);
            }
        }
        if pair.is_connected() {
            actions.extend([Move::Cut, Move::Reject(0), Move::Reject(1)]);
        } else {
            actions.push(Move::Heal);
        }
    }

    fn next_state(&self, last: &Pair, action: Move) -> Option<Pair> {
        let mut next = last.clone();
        self.happens(&mut next, action).filter(|()| next != *last)?;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEVER_TWO, |_, pair: &Pair| {
                pair.overridden || pair.unasked || !pair.both_serve_writes()
            }),
            Property::always(LEGAL_END, |model: &Self, pair: &Pair| pair.is_whole() || model.goes_on(pair)),
            Property::sometimes(SWITCHED, |model: &Self, pair: &Pair| {
                pair.is_whole()
                    && pair.nodes[0].says.claim == Claim::by_hand_over(1)
                    && pair.left.promotions == model.left.promotions
            }),
            Property::sometimes(PROMOTED, |model: &Self, pair: &Pair| {
                pair.is_whole()
                    && pair.nodes[0].says.claim == Claim::by_promotion(1)
                    && pair.left.switchovers == model.left.switchovers
            }),
            Property::sometimes(UNASKED, |_, pair: &Pair| {
                pair.both_serve_writes() && pair.unasked && !pair.overridden
            }),
            Property::sometimes(TAKEN_BACK, |_, pair: &Pair| {
                pair.is_whole() && pair.nodes[0].says.claim == Claim::FIRST && pair.taken_back
            }),
        ]
    }
}

impl RoleChanges {
    fn goes_on(&self, pair: &Pair) -> bool {
        let mut actions = Vec::new();
        self.actions(pair, &mut actions);
        actions.into_iter().any(|action| self.next_state(pair, action).is_some())
    }

    /// Makes it happen; `None` when it cannot.
    fn happens(&self, pair: &mut Pair, action: Move) -> Option<()> {
        match action {
            Move::Begin(side, command) => self.begin(pair, side, command),
            Move::Agree(side) => agree(pair, side),
            Move::Resume(side) => self.resume(pair, side),
            Move::Work(side) => self.work(pair, side),
            Move::GiveUp(side) => self.give_up(pair, side),
            Move::Hear(side) => self.hear(pair, side),
            Move::Age(side) => self.age(pair, side),
            Move::Beat(side) => pair.beat(side).then_some(()),
            Move::Start(side) => self.start(pair, side),
            Move::Judge(side) => self.judge(pair, side),
            Move::ComeUp(side) => self.come_up(pair, side),
            Move::KillTool(side) => {
                pair.left.crashes = pair.left.crashes.checked_sub(1)?;
                pair.nodes[side].journal.as_ref()?;
                pair.nodes[side].tool.take().map(|_| ())
            }
            Move::KillServer(side) => {
                pair.left.crashes = pair.left.crashes.checked_sub(1)?;
                runs(pair, side).then(|| stop(pair, side))
            }
            Move::PowerOff(side) => {
                pair.left.crashes = pair.left.crashes.checked_sub(1)?;
                pair.nodes[side].journal.as_ref()?;
                pair.nodes[side].tool.take()?;
                runs(pair, side).then(|| stop(pair, side))
            }
            Move::Cut => {
                pair.left.cuts = pair.left.cuts.checked_sub(1)?;
                pair.network = [false; 2];
                lose_lock(pair, 0);
                lose_lock(pair, 1);
                Some(())
            }
            Move::Reject(side) => {
                pair.left.rejections = pair.left.rejections.checked_sub(1)?;
                pair.network[side] = false;
                lose_lock(pair, side);
                Some(())
            }
            Move::Heal => {
                pair.network = [true; 2];
                Some(())
            }
        }
    }

    fn begin(&self, pair: &mut Pair, side: Side, command: Command) -> Option<()> {
        let node = &pair.nodes[side];
        (node.tool.is_none() && node.journal.is_none()).then_some(())?;
        let left = &pair.left;
        let may = match command {
            // What was handed over is taken at any time.
            Command::Switchover => left.switchovers[side] > 0 || given(pair, side),
            Command::Promote(Vouched::Not) => left.promotions > 0,
            Command::Promote(Vouched::Rightly) => left.promotions > 0 && !runs(pair, other(side)),
            Command::Promote(Vouched::Wrongly) => left.overrides > 0,
            Command::Rejoin | Command::Reconfigure => true,
        };
        // The rule that was: nobody asks for the operator's word where nothing is seen.
        let counts_as_down = self.without == Without::Proof && !pair.reaches(side);
        let given = match command {
            Command::Promote(Vouched::Not) if counts_as_down => Command::Promote(Vouched::Rightly),
            command => command,
        };
        let made = may.then(|| given.plan(pair, side))??;
        let finishes = matches!(made.plan.steps[0], Step::Exchange(Exchange::TakeUp { .. }));
        let left = &mut pair.left;
        let count = match command {
            Command::Switchover => Some(&mut left.switchovers[side]).filter(|_| !finishes),
            Command::Promote(Vouched::Not | Vouched::Rightly) => Some(&mut left.promotions),
            Command::Promote(Vouched::Wrongly) => Some(&mut left.overrides),
            Command::Rejoin | Command::Reconfigure => None,
        };
        if let Some(count) = count {
            *count = count.checked_sub(1)?;
        }
        pair.overridden |= command == Command::Promote(Vouched::Wrongly);
        pair.nodes[side].tool = Some(Tool::new(Does::Asks(made)));
        Some(())
    }

    fn resume(&self, pair: &mut Pair, side: Side) -> Option<()> {
        let node = &mut pair.nodes[side];
        let mut run = node.journal.as_ref().filter(|_| node.tool.is_none())?.progress();
        let last = run.plan.steps.get(run.plan.point_of_no_return);
        if self.without == Without::NoReturn && last == Some(&Step::Exchange(Exchange::HandOver)) {
            run.plan.point_of_no_return += 1;
        }
        let does = match run.due() {
            Due::Forward(step) => Does::Goes { step, at: 0 },
            Due::Back(below) => Does::Undoes { below, at: 0 },
        };
        node.tool = Some(Tool::new(does));
        Some(())
    }

    fn work(&self, pair: &mut Pair, side: Side) -> Option<()> {
        let tool = pair.nodes[side].tool.clone()?;
        let made = Arc::clone(&pair.nodes[side].journal.as_ref()?.made);
        match tool.does {
            Does::Asks(_) => None,
            Does::Goes { step, at } => self.go(pair, side, &made, step, at),
            Does::Undoes { below, at } => undo(pair, side, &made, below, at),
        }
    }

    fn go(&self, pair: &mut Pair, side: Side, made: &Made, step: usize, at: usize) -> Option<()> {
        let Some(what) = made.plan.steps.get(step) else {
            close(pair, side);
            return Some(());
        };
        let effects = self.doing(what);
        if at > 0
            && let Some(effect) = effects.get(at - 1)
        {
            take(pair, side, *effect).then_some(())?;
        }
        let node = &mut pair.nodes[side];
        let (tool, journal) = (node.tool.as_mut()?, node.journal.as_mut()?);
        tool.heard = None;
        tool.does = Does::Goes { step, at: at + 1 };
        if at == 0 {
            journal.begun = journal.begun.max(step + 1);
        }
        if at == effects.len() + 1 {
            journal.next = step + 1;
            tool.does = Does::Goes { step: step + 1, at: 0 };
        }
        Some(())
    }

    fn doing(&self, step: &Step) -> Vec<Effect> {
        let mut effects = doing(step);
        effects.retain(|effect| match self.without {
            Without::WaitingForTheRole => *effect != Effect::Await(Phase::HandedOver),
            Without::AskingAgain => *effect != Effect::AskWhetherReplaced,
            Without::ALook => *effect != Effect::LookAtLock,
            Without::ASecondLook => *effect != Effect::LookAtOther,
            _ => true,
        });
        effects
    }

    /// The effect that the tool is about to cause, and its step.
    fn effect(&self, pair: &Pair, side: Side) -> Option<(usize, Effect)> {
        let node = &pair.nodes[side];
        let Does::Goes { step, at } = node.tool.as_ref()?.does else { return None };
        let what = node.journal.as_ref()?.made.plan.steps.get(step)?;
        Some((step, *self.doing(what).get(at.checked_sub(1)?)?))
    }

    fn waits(&self, pair: &Pair, side: Side) -> bool {
        matches!(self.effect(pair, side), Some((_, Effect::Await(_) | Effect::Join)))
    }

    fn give_up(&self, pair: &mut Pair, side: Side) -> Option<()> {
        let (step, effect) = self.effect(pair, side)?;
        let journal = pair.nodes[side].journal.as_ref()?;
        let stuck = step < journal.made.plan.point_of_no_return && !take(&mut pair.clone(), side, effect);
        let tool = pair.nodes[side].tool.as_mut().filter(|_| stuck)?;
        tool.does = Does::Undoes { below: step + 1, at: 0 };
        tool.heard = None;
        Some(())
    }

    fn hear(&self, pair: &mut Pair, side: Side) -> Option<()> {
        let hears = self.waits(pair, side) && pair.nodes[side].is_up() && pair.reaches(side);
        let word = pair.nodes[other(side)].word.filter(|_| hears)?;
        pair.nodes[side].tool.as_mut()?.heard = Some(word);
        Some(())
    }

    /// Whoever waits repeats its word.
    fn age(&self, pair: &mut Pair, side: Side) -> Option<()> {
        let waits = self.waits(pair, side);
        let word = pair.nodes[side].word.as_mut().filter(|_| !waits)?;
        word.stale |= !matches!(word.phase, Phase::Withdrawn | Phase::HandedOver);
        Some(())
    }

    /// What the gate finds out for a primary, while it can ask.
    fn may_serve(&self, pair: &Pair, side: Side, own: Office) -> bool {
        let said = pair.nodes[other(side)].says;
        self.without == Without::TheGate
            || standing(&membership(side, own), &state(other(side), said)) == Standing::Holds
    }

    /// What it finds out for a secondary: whether the guard is not set yet.
    fn lacks_the_guard(&self, pair: &Pair, side: Side) -> bool {
        let node = &pair.nodes[side];
        let is_ahead = node.journal.as_ref().is_some_and(|open| open.progress().is_ahead_of_the_database());
        self.without != Without::TheGuard && node.files.role == Role::Secondary && is_ahead
    }

    fn start(&self, pair: &mut Pair, side: Side) -> Option<()> {
        let Node { server, files: own, .. } = pair.nodes[side];
        let rejoins = pair.nodes[side].journal.as_ref().is_some_and(|open| open.made.plan.is_rejoin());
        let refused = self.lacks_the_guard(pair, side) || (rejoins && own.role == Role::Primary);
        (server == Server::Down && !refused && !keeps_down(pair, side)).then_some(())?;
        let asks = own.role == Role::Primary && pair.reaches(side);
        // Nothing would come of it, as long as the other node does nothing.
        let in_vain = asks && !self.may_serve(pair, side, own) && pair.nodes[other(side)].tool.is_none();
        (!in_vain).then_some(())?;
        pair.nodes[side].server =
            if asks { Server::Asks { own } } else { Server::Starts { own, announced: false } };
        Some(())
    }

    fn judge(&self, pair: &mut Pair, side: Side) -> Option<()> {
        let Server::Asks { own } = pair.nodes[side].server else { return None };
        let may = self.may_serve(pair, side, own) && !self.lacks_the_guard(pair, side);
        pair.nodes[side].server = if may { Server::Starts { own, announced: true } } else { Server::Down };
        Some(())
    }

    fn come_up(&self, pair: &mut Pair, side: Side) -> Option<()> {
        let Server::Starts { own, announced } = pair.nodes[side].server else { return None };
        let primary = own.role == Role::Primary;
        pair.unasked |= primary && !announced && !self.may_serve(pair, side, own);
        pair.nodes[side].server = Server::Up;
        Some(())
    }
}

fn runs(pair: &Pair, side: Side) -> bool {
    pair.nodes[side].server != Server::Down
}

/// Whether the operator of a promotion keeps the other node down: whoever fenced it does so until this node
/// is announced as the primary. Where the network is whole for good, pmp-ha notices a start by itself.
fn keeps_down(pair: &Pair, side: Side) -> bool {
    let node = &pair.nodes[other(side)];
    let asked = node.tool.as_ref().and_then(|tool| match &tool.does {
        Does::Asks(made) => Some(made),
        _ => None,
    });
    let promotes = asked
        .or(node.journal.as_ref().map(|journal| &journal.made))
        .is_some_and(|made| made.plan.command == PlanCommand::Promote);
    let is_safe = pair.is_connected() && pair.left.cuts == 0 && pair.left.rejections == 0;
    promotes && !node.says.candidate && node.files.role == Role::Secondary && !is_safe && !pair.overridden
}

fn given(pair: &Pair, side: Side) -> bool {
    pair.nodes[other(side)].word.is_some_and(|word| word.phase == Phase::HandedOver)
}

fn agree(pair: &mut Pair, side: Side) -> Option<()> {
    let node = &mut pair.nodes[side];
    let tool = node.tool.as_mut()?;
    let Does::Asks(made) = &tool.does else { return None };
    node.journal = Some(Journal { made: Arc::clone(made), next: 0, begun: 0 });
    tool.does = Does::Goes { step: 0, at: 0 };
    Some(())
}

fn undo(pair: &mut Pair, side: Side, made: &Made, below: usize, at: usize) -> Option<()> {
    let Some(index) = below.checked_sub(1) else {
        close(pair, side);
        return Some(());
    };
    let effects = undoing(&made.plan, index);
    let does = if let Some(effect) = effects.get(at) {
        take(pair, side, *effect).then_some(())?;
        pair.taken_back |= matches!(made.plan.steps[index], Step::Exchange(Exchange::RefuseWrites { .. }));
        Does::Undoes { below, at: at + 1 }
    } else {
        let journal = pair.nodes[side].journal.as_mut()?;
        journal.begun = index;
        journal.next = journal.next.min(index);
        Does::Undoes { below: index, at: 0 }
    };
    pair.nodes[side].tool.as_mut()?.does = does;
    Some(())
}

fn close(pair: &mut Pair, side: Side) {
    pair.nodes[side].journal = None;
    pair.nodes[side].tool = None;
}
