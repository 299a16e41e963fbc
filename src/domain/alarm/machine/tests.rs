use proptest::prelude::*;

use super::*;
use crate::domain::health::{Finding, Health, Severity};
use crate::domain::report::PairNode;

const RULES: Rules = Rules::DEFAULT;

fn report(role: Role, high_availability: Status, replication: Status) -> Report {
    let place = |host: &str, role| Some(PairNode { host: host.into(), port: 2345, role });
    let finding = |about, status| {
        let severity = match status {
            Status::Alive => return None,
            Status::Failed => Severity::Failed,
            Status::Unknown => Severity::Unknown,
        };
        let (what, evidence, hint) = ("w".into(), "e".into(), "h".into());
        Some(Finding { code: "code", about, severity, what, evidence, hint })
    };
    let findings =
        [finding(About::HighAvailability, high_availability), finding(About::Replication, replication)];
    let findings = findings.into_iter().flatten().collect();
    let health = Health { high_availability, replication, summary: "s".into(), findings };
    let mut report = Report::new(health, "t".into(), "0");
    report.node = place("a", role);
    report.peer = place("b", crate::domain::pair::Pair::peer_of(role));
    report
}

/// A monitor in a test: it looks, and remembers what it announced.
struct TestMonitor {
    state: AlarmState,
    rules: Rules,
    role: Role,
    now: UnixSeconds,
    told: Vec<(UnixSeconds, String)>,
    events: Vec<AlarmEvent>,
}

impl TestMonitor {
    fn of(role: Role) -> Self {
        let state = AlarmState::default();
        Self { state, rules: RULES, role, now: 1_000_000, told: vec![], events: vec![] }
    }

    /// Looks every 5 seconds, for so long.
    fn sees(&mut self, seconds: u64, connection: Status, applying: Status, other: Option<bool>) -> &mut Self {
        for _ in 0..seconds.div_ceil(5).max(1) {
            let report = report(self.role, connection, applying);
            let look = AlarmLook { report: &report, now: self.now, other_watches: other };
            let (state, events) = step(self.state.clone(), &self.rules, look);
            // What is remembered survives the file.
            let text = serde_json::to_string(&state).expect("JSON");
            self.state = serde_json::from_str(&text).expect("a state");
            assert_eq!(self.state, state);
            self.told.extend(events.iter().map(|event| (self.now, event.title())));
            self.events.extend(events);
            self.now += 5;
        }
        self
    }

    fn alive(&mut self, seconds: u64) -> &mut Self {
        self.sees(seconds, Status::Alive, Status::Alive, None)
    }

    fn failed(&mut self, seconds: u64) -> &mut Self {
        self.sees(seconds, Status::Failed, Status::Unknown, None)
    }

    fn names(&self) -> Vec<&str> {
        self.told.iter().map(|(_, name)| name.as_str()).collect()
    }
}

#[test]
fn a_failure_is_announced_once_and_so_is_its_end_with_its_length() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.alive(600).failed(600).alive(600);
    assert_eq!(monitor.names(), ["High Availability Failed (a)", "High Availability Alive after 10 min (a)"]);
    let [failed, alive] = monitor.events.try_into().expect("two");
    assert_eq!((failed.at - failed.since, failed.reasons.len()), (20, 1));
    assert_eq!(alive.lasted, Some(600));
    assert_eq!(alive.incident, failed.incident);
    assert_eq!((failed.message, alive.message), (1, 2));
}

#[test]
fn each_status_has_its_own_alarm() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.alive(60).sees(60, Status::Alive, Status::Failed, None).sees(
        60,
        Status::Failed,
        Status::Failed,
        None,
    );
    assert_eq!(monitor.names(), ["Replication Failed (a)", "High Availability Failed (a)"]);
    monitor.told.clear();
    monitor.alive(60);
    let names = monitor.names();
    assert!(names[0].starts_with("High Availability Alive after"), "{names:?}");
    assert!(names[1].starts_with("Replication Alive after"), "{names:?}");
}

#[test]
fn what_heals_within_the_hold_down_is_no_alarm() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.alive(600).failed(15).alive(3600).failed(15).alive(600);
    assert_eq!(monitor.names(), Vec::<&str>::new());
}

#[test]
fn a_pair_that_is_failed_when_the_watch_begins_is_announced() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.failed(60);
    assert_eq!(monitor.names(), ["High Availability Failed (a)"]);
}

#[test]
fn unknown_is_not_failed_and_ends_nothing() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.alive(60).sees(600, Status::Unknown, Status::Unknown, None).alive(60);
    assert_eq!(monitor.names(), Vec::<&str>::new());
    monitor.failed(60).sees(600, Status::Unknown, Status::Unknown, None);
    assert_eq!(monitor.names(), ["High Availability Failed (a)"]);
    monitor.alive(60);
    assert_eq!(monitor.names().len(), 2);
}

#[test]
fn who_sees_nothing_for_long_says_so_once() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.alive(60).sees(1200, Status::Unknown, Status::Unknown, None);
    assert_eq!(monitor.names(), ["High Availability Unknown (a)"]);
    monitor.failed(60);
    assert_eq!(monitor.names()[1..], ["High Availability Failed (a)"]);
    monitor.alive(60);
    assert!(monitor.names()[2].starts_with("High Availability Alive after"), "{:?}", monitor.told);
    assert_eq!(monitor.events[0].incident, monitor.events[2].incident);
}

#[test]
fn a_link_that_flaps_a_hundred_times_an_hour_makes_a_handful_of_alarms() {
    for (down, up) in [(5, 31), (18, 18), (31, 5), (25, 11)] {
        let mut monitor = TestMonitor::of(Role::Primary);
        monitor.alive(60);
        for _ in 0..100 {
            monitor.failed(down).alive(up);
        }
        let within = monitor.told.len();
        assert!((1..=8).contains(&within), "{down} s down, {up} s up: {:?}", monitor.told);
        assert!(monitor.events.iter().any(|event| event.failures >= 4 || down >= 20), "{down}/{up}");
        monitor.alive(1200);
        let names = monitor.names();
        assert!(names.last().is_some_and(|name| name.contains("Alive")), "{names:?}");
    }
}

#[test]
fn an_open_failure_is_reminded_of() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.alive(60).failed(9 * 3600);
    let still = "High Availability still Failed (a)";
    assert_eq!(monitor.names(), ["High Availability Failed (a)", still, still]);
    let mut quiet = TestMonitor::of(Role::Primary);
    quiet.rules.remind_every = 0;
    quiet.alive(60).failed(9 * 3600);
    assert_eq!(quiet.told.len(), 1);
}

#[test]
fn a_restart_of_the_monitor_repeats_and_forgets_nothing() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.alive(60).failed(60);
    monitor.now += 600;
    monitor.state = monitor.state.resumed(monitor.now);
    monitor.failed(60).alive(60);
    assert_eq!(monitor.names(), ["High Availability Failed (a)", "High Availability Alive after 12 min (a)"]);
}

#[test]
fn a_restart_of_everything_within_a_failure_begins_the_hold_down_anew() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.alive(60).failed(15);
    monitor.now += 600;
    monitor.state = monitor.state.resumed(monitor.now);
    monitor.failed(15).alive(60);
    assert_eq!(monitor.names(), Vec::<&str>::new());
}

#[test]
fn the_monitor_of_the_secondary_speaks_only_if_the_other_one_does_not() {
    let (alive, failed) = (Status::Alive, Status::Failed);
    let mut monitor = TestMonitor::of(Role::Secondary);
    monitor.sees(600, alive, alive, Some(true)).sees(600, failed, failed, Some(true));
    monitor.sees(600, alive, alive, Some(true));
    assert_eq!(monitor.names(), Vec::<&str>::new());
    // The machine of the primary dies, and its monitor with it.
    monitor.sees(20, failed, alive, Some(true)).sees(300, failed, alive, Some(false));
    assert_eq!(monitor.names(), ["High Availability Failed (a)"]);
    assert!(monitor.events[0].at - monitor.events[0].since <= 20 + ALONE_FOR + 5);
    // Who announced the beginning announces the end.
    monitor.sees(60, alive, alive, Some(true));
    assert_eq!(monitor.told.len(), 2);
    // A restart of the other monitor is no reason to speak. While all is well, nobody asks.
    monitor.sees(600, alive, alive, None).sees(30, failed, alive, Some(false));
    monitor.sees(60, alive, alive, None);
    assert_eq!(monitor.told.len(), 2);
    monitor.sees(600, failed, alive, Some(true)).sees(30, failed, alive, Some(false));
    monitor.sees(600, failed, alive, Some(true)).sees(60, alive, alive, Some(true));
    assert_eq!(monitor.told.len(), 2);
}

#[test]
fn a_clock_that_is_set_back_delays_no_alarm() {
    let mut monitor = TestMonitor::of(Role::Primary);
    monitor.alive(60).failed(10);
    monitor.now -= 86_400;
    monitor.failed(30).alive(30);
    assert_eq!(monitor.told.len(), 2);
}

#[test]
fn a_dead_man_s_switch_is_asked_only_by_who_sees_the_pair_and_is_heard() {
    let (alive, failed, unknown) = (Status::Alive, Status::Failed, Status::Unknown);
    for (seen, mute, is_good) in [
        (alive, false, true),
        (failed, false, true),
        (unknown, false, false),
        (alive, true, false),
        (failed, true, false),
    ] {
        assert_eq!(is_good_look(&report(Role::Primary, seen, alive), mute), is_good, "{seen:?} {mute}");
    }
}

fn word() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Alive), Just(Status::Failed), Just(Status::Unknown)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_alarms_are_few_paired_and_true(
        course in prop::collection::vec((word(), 1_u64..120), 1..150),
        restarts in prop::collection::vec(any::<bool>(), 150),
    ) {
        let mut monitor = TestMonitor::of(Role::Primary);
        let begun = monitor.now;
        let mut failed = false;
        for ((status, seconds), restart) in course.into_iter().zip(restarts) {
            if restart && seconds % 7 == 0 {
                monitor.state = monitor.state.clone().resumed(monitor.now);
            }
            failed |= status == Status::Failed;
            monitor.sees(seconds, status, Status::Alive, None);
        }
        let hours = (monitor.now - begun).div_ceil(3600) + 1;
        // Four failures before it flaps, and then no more than its calm lets through.
        let most = (2 * RULES.flaps as u64 + 2 * (3600 / RULES.calm) + 1) * hours;
        prop_assert!(monitor.told.len() as u64 <= most, "{} in {hours} h: {:?}", monitor.told.len(), monitor.told);
        let mut open = None;
        for event in &monitor.events {
            match event.kind {
                AlarmKind::Failed | AlarmKind::Unknown => {
                    prop_assert!(failed || event.kind == AlarmKind::Unknown);
                    prop_assert!(open.is_none_or(|(kind, id)| kind == AlarmKind::Unknown && id == &event.incident));
                    prop_assert!(!event.reasons.is_empty() && event.since <= event.at);
                    open = Some((event.kind, &event.incident));
                }
                AlarmKind::Alive => {
                    prop_assert_eq!(open.take().map(|(_, id)| id), Some(&event.incident));
                    prop_assert!(event.lasted.is_some());
                }
                AlarmKind::Reminder => prop_assert!(open.is_some()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    /// Both monitors look at one pair. The other one of each is there in turns, as its lock says.
    #[test]
    fn a_failure_is_told_by_one_of_two_monitors_while_they_see_each_other(
        course in prop::collection::vec((word(), word(), 1_u64..120), 1..80),
    ) {
        let mut both = [TestMonitor::of(Role::Primary), TestMonitor::of(Role::Secondary)];
        for (connection, applying, seconds) in course {
            both[0].sees(seconds, connection, applying, None);
            both[1].sees(seconds, connection, applying, Some(true));
        }
        prop_assert_eq!(&both[1].told, &vec![]);
        for about in ["High Availability", "Replication"] {
            let mut open = false;
            for event in both[0].events.iter().filter(|event| event.name().starts_with(about)) {
                match event.kind {
                    AlarmKind::Alive => prop_assert!(std::mem::take(&mut open), "{:?}", both[0].told),
                    _ => open = true,
                }
            }
        }
    }

    /// The first monitor dies at some time for good: the second one tells what is open from then on, once.
    #[test]
    fn when_one_monitor_dies_the_other_one_tells_what_still_fails(
        before in 1_u64..2000, failed in 1_u64..2000, dies in 0_u64..4000,
    ) {
        let mut second = TestMonitor::of(Role::Secondary);
        let begun = second.now;
        for (until, status) in [
            (before, Status::Alive), (before + failed, Status::Failed), (before + failed + 600, Status::Alive),
        ] {
            while second.now < begun + until {
                let is_there = second.now < begun + dies;
                second.sees(5, status, Status::Alive, Some(is_there));
            }
        }
        let alone = (before + failed).saturating_sub(dies.max(before));
        let kinds: Vec<AlarmKind> = second.events.iter().map(|event| event.kind).collect();
        if alone > ALONE_FOR + RULES.hold_down + 15 {
            prop_assert_eq!(kinds, vec![AlarmKind::Failed, AlarmKind::Alive]);
        } else if alone == 0 {
            prop_assert_eq!(kinds, vec![]);
        }
    }
}

#[test]
fn the_stop_of_a_replaced_primary_is_told_once_and_belongs_to_the_failure_that_is_open() {
    let why = || Reason {
        code: "superseded".into(),
        what: "it stops".into(),
        evidence: "e".into(),
        hint: "h".into(),
    };
    let nodes = || {
        let report = report(Role::Primary, Status::Alive, Status::Alive);
        [report.node.expect("a node"), report.peer.expect("a node")]
    };
    for open in [false, true] {
        let mut monitor = TestMonitor::of(Role::Primary);
        monitor.sees(60, Status::Alive, Status::Alive, None);
        if open {
            monitor.sees(60, Status::Failed, Status::Unknown, None);
        }
        let told = monitor.state.replaced(monitor.now, why(), nodes()).expect("it is told");
        assert_eq!((told.kind, told.message), (AlarmKind::Failed, if open { 2 } else { 1 }));
        assert_eq!(monitor.events.last().map(|event| event.incident == told.incident), open.then_some(true));
        assert_eq!(monitor.state.replaced(monitor.now + 1, why(), nodes()), None);
        // It is the secondary when its monitor runs again, and ends what it began.
        monitor.state = monitor.state.clone().resumed(monitor.now);
        monitor.role = Role::Secondary;
        monitor.sees(60, Status::Alive, Status::Alive, None);
        let end = monitor.events.last().expect("an end");
        assert_eq!((end.kind, &end.incident), (AlarmKind::Alive, &told.incident));
    }
}
