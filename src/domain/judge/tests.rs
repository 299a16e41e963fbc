use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::domain::certificate::{DAY, InUse};
use crate::domain::flavor::ServerVersion;
use crate::domain::pair::Membership;
use crate::domain::rotation::HowFar;
use crate::domain::settings::taken_by;
use crate::domain::snapshot::{ApplierLimit, Beat, CurrentPorts, Pulse, Receiver, ReplicaView};
use crate::domain::standing::NodeState;
use crate::domain::web::{WebLook, WebSeen};

/// The replica side of the node that plays `role`.
fn replica(role: Role) -> ReplicaView {
    let source = Pair::example().node(Pair::peer_of(role)).clone();
    ReplicaView {
        receiver: Receiver::Connected,
        applier_runs: true,
        source_host: source.host,
        source_port: 2345,
        source_server_id: Some(source.number),
        channel_tls: ChannelTls::Verified,
        receiver_error: (0, String::new()),
        applier_error: (0, String::new()),
        lag: Some(0),
        wild_do_tables: taken_by(role, &Pair::example()),
        limit: Some(match role {
            Role::Primary => ApplierLimit {
                account: Some("'pmp_ha_applier'@'localhost'".into()),
                rows_only: true,
                rights_changed: Some(vec![]),
            },
            Role::Secondary => ApplierLimit::default(),
        }),
        pulse: Some(Pulse { moved: true, watched: Duration::from_millis(400) }),
    }
}

fn server(role: Role, replica: ReplicaView) -> ServerView {
    ServerView {
        version: ServerVersion::parse("9.7.4").expect("a version"),
        variables: BTreeMap::new(),
        tls: true,
        replica: Some(replica),
        replicas_connected: vec!["n2".into()],
        semi_sync: None,
        clock: 100_000_000,
        clock_offset: 0,
        beats: [1, 2]
            .map(|node| Beat { node, beat: 99_000_000, echo: 97_000_000, epoch: 1, by_event: 99_000_000 })
            .into(),
        says: None,
        rights_changed: (role == Role::Secondary).then(Vec::new),
        compare_due: false,
        left_out: Vec::new(),
        lets_everybody_in: None,
        prepared: 0,
        insertable: vec![],
        errant: None,
        returned: None,
        certificate_ends: None,
        uptime: Some(3600),
    }
}

fn seen_from(role: Role) -> Snapshot {
    let pair = Pair::example();
    let at = |role| server(role, replica(role));
    Snapshot {
        membership: Membership { format: 1, role, key_fingerprint: None, pair },
        ports: CurrentPorts { db: 2345, web: Some(7272) },
        local: Observed::Seen(at(role)),
        peer: Observed::Seen(at(Pair::peer_of(role))),
        deviations: vec![],
        tfa: Tfa::NotWatched,
        old_key: None,
        own_options: None,
        open_run: None,
        disk: Some(1 << 40),
        now: 0,
        certificates: vec![],
        rotating: None,
        trusts_two_cas: false,
        web: WebLook::default(),
        proof: None,
    }
}

fn with_replica(change: impl FnOnce(&mut ReplicaView)) -> Snapshot {
    let mut snapshot = seen_from(Role::Secondary);
    let mut view = replica(Role::Secondary);
    change(&mut view);
    snapshot.local = Observed::Seen(server(Role::Secondary, view));
    snapshot
}

fn with_back(change: impl FnOnce(&mut ReplicaView)) -> Snapshot {
    let mut snapshot = seen_from(Role::Secondary);
    let mut view = replica(Role::Primary);
    change(&mut view);
    snapshot.peer = Observed::Seen(server(Role::Primary, view));
    snapshot
}

fn with_beats(role: Role, beats: [(i64, i64); 2]) -> Snapshot {
    let mut snapshot = seen_from(Role::Secondary);
    let mut view = server(role, replica(role));
    view.beats = beats
        .into_iter()
        .zip([1, 2])
        .map(|((beat, echo), node)| Beat {
            node,
            beat: beat * 1_000_000,
            echo: echo * 1_000_000,
            epoch: 1,
            by_event: beat * 1_000_000,
        })
        .collect();
    match role {
        Role::Secondary => snapshot.local = Observed::Seen(view),
        Role::Primary => snapshot.peer = Observed::Seen(view),
    }
    snapshot
}

fn blind(why: BlindReason) -> Observed<ServerView> {
    Observed::NotSeen(Blind { why, evidence: "seen".into() })
}

const LIMITS: Limits = Limits { lag: 30, heartbeat: 10 };

fn verdict(snapshot: &Snapshot) -> (Status, Status, Vec<&'static str>) {
    let health = judge(snapshot, LIMITS);
    (health.high_availability, health.replication, health.findings.iter().map(|f| f.code).collect())
}

#[test]
fn a_secondary_with_the_key_of_before_a_rotation_is_told() {
    let mut snapshot = seen_from(Role::Secondary);
    snapshot.old_key = Some("/media/safe/pmp_key.key".into());
    let health = judge(&snapshot, LIMITS);
    let found: Vec<&str> = health.findings.iter().map(|finding| finding.code).collect();
    assert_eq!((found, health.high_availability), (vec!["old-key"], Status::Alive));
    assert!(health.findings[0].evidence.contains("/media/safe/pmp_key.key"), "{health:?}");
}

#[test]
fn a_healthy_pair_is_alive_from_both_sides_and_says_so_in_the_manuals_words() {
    assert_eq!(verdict(&seen_from(Role::Secondary)), (Status::Alive, Status::Alive, vec![]));
    assert_eq!(verdict(&seen_from(Role::Primary)), (Status::Alive, Status::Alive, vec![]));
    let text = judge(&seen_from(Role::Secondary), LIMITS).to_string();
    assert!(text.starts_with("High Availability Status: Alive\nReplication Status: Alive\n"), "{text}");
}

#[test]
fn connecting_is_not_alive_and_a_lag_of_zero_then_means_nothing() {
    let snapshot = with_replica(|view| {
        view.receiver = Receiver::Connecting;
        view.receiver_error = (2003, "cannot connect".into());
    });
    assert_eq!(
        verdict(&snapshot),
        (Status::Failed, Status::Unknown, vec!["receiver-connecting", "lag-unknown"])
    );
}

#[test]
fn a_link_that_stands_and_is_silent_is_failed() {
    let snapshot =
        with_replica(|view| view.pulse = Some(Pulse { moved: false, watched: Duration::from_secs(3) }));
    assert_eq!(verdict(&snapshot), (Status::Failed, Status::Unknown, vec!["link-silent", "lag-unknown"]));
}

#[test]
fn an_applier_error_fails_replication_and_leaves_the_connection_alive() {
    let snapshot = with_replica(|view| {
        view.applier_runs = false;
        view.applier_error = (1062, "duplicate".into());
        view.lag = None;
    });
    assert_eq!(verdict(&snapshot), (Status::Alive, Status::Failed, vec!["applier-stopped"]));
}

#[test]
fn a_place_that_is_gone_is_told_under_the_number_of_every_server() {
    for number in [1236, 13114] {
        let snapshot = with_replica(|view| {
            view.receiver = Receiver::Stopped;
            view.receiver_error = (number, "Could not find first log file".into());
        });
        assert!(verdict(&snapshot).2.contains(&"binlog-gone"), "{number}");
    }
}

#[test]
fn a_binlog_that_is_torn_is_not_one_that_is_gone() {
    for said in ["'binlog truncated in the middle of event'", "from impossible position"] {
        let snapshot = with_replica(|view| {
            view.receiver = Receiver::Stopped;
            view.receiver_error = (1236, format!("Got fatal error 1236: {said}"));
        });
        let codes = verdict(&snapshot).2;
        assert!(codes.contains(&"binlog-torn") && !codes.contains(&"binlog-gone"), "{codes:?}");
    }
}

#[test]
fn what_cannot_be_seen_is_never_alive() {
    let mut snapshot = seen_from(Role::Primary);
    snapshot.peer = blind(BlindReason::TooManyConnections);
    assert_eq!(verdict(&snapshot), (Status::Alive, Status::Unknown, vec!["peer-full", "replica-not-seen"]));
    snapshot.peer = blind(BlindReason::Unreachable);
    assert_eq!(
        verdict(&snapshot),
        (Status::Failed, Status::Unknown, vec!["peer-unreachable", "replica-not-seen"])
    );
    snapshot.local = blind(BlindReason::NotRunning);
    assert_eq!(verdict(&snapshot).0, Status::Failed);
}

#[test]
fn the_way_back_is_judged_as_the_way_forth() {
    let snapshot = with_back(|view| view.receiver = Receiver::Connecting);
    assert_eq!(
        verdict(&snapshot),
        (Status::Failed, Status::Unknown, vec!["back-receiver-connecting", "back-lag-unknown"])
    );
    let snapshot = with_back(|view| {
        view.applier_runs = false;
        view.applier_error = (1062, "duplicate".into());
    });
    assert_eq!(verdict(&snapshot), (Status::Alive, Status::Failed, vec!["back-applier-stopped"]));
    assert_eq!(verdict(&with_back(|view| view.wild_do_tables.clear())).2, ["back-wrong-filter"]);
}

#[test]
fn what_the_server_of_the_primary_refuses_to_execute_is_told_as_that() {
    let stopped = |number| {
        with_back(|view| {
            view.applier_runs = false;
            view.applier_error = (number, "UPDATE command denied on query. Query: 'secret'".into());
        })
    };
    assert_eq!(verdict(&stopped(1142)).2, ["back-refused"]);
    assert_eq!(verdict(&stopped(3944)), (Status::Alive, Status::Failed, vec!["back-refused"]));
    assert_eq!(verdict(&stopped(1062)).2, ["back-applier-stopped"]);
    assert!(!judge(&stopped(1142), LIMITS).to_string().contains("secret"));
    assert!(!judge(&stopped(1062), LIMITS).to_string().contains("secret"));
}

#[test]
fn only_the_primary_is_limited_to_audit_rows_and_it_always_is() {
    let back = |change: fn(&mut ApplierLimit)| {
        verdict(&with_back(|view| view.limit.iter_mut().for_each(change))).2.join(",")
    };
    assert_eq!(back(|limit| limit.account = None), "back-not-limited");
    assert_eq!(back(|limit| limit.account = Some("'root'@'localhost'".into())), "back-not-limited");
    assert_eq!(back(|limit| limit.rows_only = false), "back-not-limited");
    assert_eq!(back(|limit| limit.rights_changed = None), "back-not-limited");
    assert_eq!(back(|limit| limit.rights_changed = Some(vec!["it has more".into()])), "back-not-limited");
    assert_eq!(verdict(&with_back(|view| view.limit = None)).2, Vec::<&str>::new());
    let forth = with_replica(|view| view.limit.iter_mut().for_each(|limit| limit.rows_only = true));
    assert_eq!(verdict(&forth).2, ["wrong-limit"]);
}

#[test]
fn lag_is_what_the_heartbeat_rows_say() {
    // The primary wrote at 99 s, and the secondary has applied what it wrote at 60 s, and says so.
    let mut behind = with_beats(Role::Secondary, [(60, 50), (99, 60)]);
    if let Observed::Seen(primary) = &mut behind.peer {
        primary.beats[1].echo = 60_000_000;
    }
    assert_eq!(verdict(&behind), (Status::Alive, Status::Failed, vec!["lagging"]));
    let mut back = with_beats(Role::Primary, [(99, 60), (60, 59)]);
    if let Observed::Seen(secondary) = &mut back.local {
        secondary.beats[0].echo = 60_000_000;
    }
    assert_eq!(verdict(&back), (Status::Alive, Status::Failed, vec!["back-lagging"]));
    // The server's own figure does not count against the rows.
    assert_eq!(verdict(&with_replica(|view| view.lag = Some(31))).2, Vec::<&str>::new());
}

#[test]
fn a_clock_that_was_set_back_is_told_and_no_lag_is_computed_from_it() {
    // The primary's clock went back by an hour; what the secondary applied last was written before.
    let mut snapshot = with_beats(Role::Secondary, [(99, 97), (99, 97)]);
    let mut primary = server(Role::Primary, replica(Role::Primary));
    let hour = 3_600_000_000;
    (primary.clock, primary.clock_offset) = (primary.clock - hour, -hour);
    for (beat, by_event, codes) in [
        (primary.clock - 100_000, 99_000_000, vec!["lag-unknown", "clock-set-back"]),
        (99_000_000, 99_000_000, vec!["lag-unknown", "clock-set-back"]),
        (primary.clock, primary.clock, vec!["lag-unknown"]),
    ] {
        primary.beats[0] = Beat { beat, by_event, ..primary.beats[0] };
        snapshot.peer = Observed::Seen(primary.clone());
        let health = judge(&snapshot, LIMITS);
        let found: Vec<_> = health.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(found.iter().filter(|code| codes.contains(code)).count(), codes.len(), "{found:?}");
        assert_ne!(health.replication, Status::Alive);
        assert!(health.summary.contains("lag unknown"), "{}", health.summary);
    }
}

#[test]
fn audit_rows_flow_back_only_where_each_audit_table_passes_the_filter() {
    let mut snapshot = seen_from(Role::Secondary);
    let with = |snapshot: &mut Snapshot, tables: &[&str], case: &str| {
        let mut secondary = server(Role::Secondary, replica(Role::Secondary));
        secondary.insertable = tables.iter().map(ToString::to_string).collect();
        snapshot.local = Observed::Seen(secondary);
        let mut primary = server(Role::Primary, replica(Role::Primary));
        primary.variables.insert("lower_case_table_names".into(), case.into());
        snapshot.peer = Observed::Seen(primary);
        let health = judge(snapshot, LIMITS);
        (health.findings.iter().map(|f| f.code).collect::<Vec<_>>(), health.summary)
    };
    for (tables, case) in [
        (&["passtrix.Ptrx_UserAudit", "passtrix.other"][..], "0"),
        (&["passtrix.ptrx_useraudit"], "1"),
        (&["passtrix.userAUdit"], "1"),
    ] {
        let (codes, summary) = with(&mut snapshot, tables, case);
        assert!(codes.is_empty() && summary.contains("audit rows flow back"), "{codes:?} {summary}");
    }
    let (codes, summary) = with(&mut snapshot, &["passtrix.userAUdit"], "0");
    assert_eq!(codes, ["audit-table-left-out"]);
    assert!(summary.contains("audit rows do not flow back"), "{summary}");
}

#[test]
fn a_prepared_transaction_and_another_rule_for_names_are_told() {
    let mut snapshot = seen_from(Role::Secondary);
    let mut primary = server(Role::Primary, replica(Role::Primary));
    primary.prepared = 2;
    snapshot.peer = Observed::Seen(primary.clone());
    assert_eq!(verdict(&snapshot), (Status::Alive, Status::Alive, vec!["prepared-transaction"]));
    primary.prepared = 0;
    primary.variables.insert("lower_case_table_names".into(), "0".into());
    snapshot.peer = Observed::Seen(primary);
    let mut here = server(Role::Secondary, replica(Role::Secondary));
    here.variables.insert("lower_case_table_names".into(), "1".into());
    snapshot.local = Observed::Seen(here);
    assert_eq!(verdict(&snapshot), (Status::Alive, Status::Failed, vec!["names-differ"]));
}

#[test]
fn an_old_own_heartbeat_is_failed_wherever_it_is() {
    let mut silent = with_beats(Role::Secondary, [(99, 97), (80, 79)]);
    assert_eq!(verdict(&silent), (Status::Failed, Status::Alive, vec!["heartbeat-stopped"]));
    silent = with_beats(Role::Primary, [(0, 0), (99, 97)]);
    assert_eq!(verdict(&silent).2, ["heartbeat-stopped"]);
    // Where the row is missing, no restart brings it back.
    if let Observed::Seen(primary) = &mut silent.peer {
        primary.beats.retain(|beat| beat.node != 1);
    }
    let found = judge(&silent, LIMITS).findings;
    let stopped = found.iter().find(|finding| finding.code == "heartbeat-stopped").expect("found");
    assert!(stopped.evidence.contains("missing") && stopped.hint.contains("reconfigure"), "{stopped:?}");
    // A server that has just come up has had no time for it.
    let mut young = with_beats(Role::Primary, [(80, 79), (99, 97)]);
    if let Observed::Seen(primary) = &mut young.peer {
        primary.uptime = Some(2);
    }
    assert_eq!(verdict(&young).2, ["just-started"]);
    assert_eq!(verdict(&young).0, Status::Unknown);
    // Somebody asked for a row: that is no sign of life of the event.
    for by_event in [80_000_000, 0] {
        let mut asked = with_beats(Role::Primary, [(99, 97), (99, 97)]);
        if let Observed::Seen(primary) = &mut asked.peer {
            primary.beats[0].by_event = by_event;
        }
        assert_eq!(verdict(&asked).2, ["heartbeat-stopped"]);
    }
}

#[test]
fn rights_that_came_back_are_told() {
    let mut snapshot = seen_from(Role::Primary);
    let mut view = server(Role::Secondary, replica(Role::Secondary));
    view.rights_changed = Some(vec!["root@localhost has gained UPDATE on passtrix.*".into()]);
    snapshot.peer = Observed::Seen(view);
    assert_eq!(verdict(&snapshot), (Status::Alive, Status::Failed, vec!["guard-changed"]));
}

#[test]
fn a_role_that_was_handed_over_and_that_nobody_took_is_told_with_who_takes_it() {
    for (theirs, who) in [(2, "`pmp-ha switchover` here"), (0, "`pmp-ha switchover` on ")] {
        let mut snapshot = seen_from(Role::Secondary);
        let mut view = server(Role::Primary, replica(Role::Primary));
        view.rights_changed = Some(vec![]);
        view.says = Some(NodeState {
            node: 1,
            epoch: theirs,
            replaces: 0,
            role: Role::Secondary,
            candidate: false,
            secondary_word: None,
            followed: None,
            heard: None,
        });
        snapshot.peer = Observed::Seen(view);
        let health = judge(&snapshot, LIMITS);
        let codes: Vec<_> = health.findings.iter().map(|finding| finding.code).collect();
        assert_eq!((health.high_availability, codes), (Status::Failed, vec!["no-primary"]));
        assert!(health.findings[0].hint.contains(who), "{}", health.findings[0].hint);
    }
}

#[test]
fn nodes_that_are_no_pair_are_told_that_and_nothing_about_roles_that_they_no_longer_have() {
    for (epoch, code) in [(1, "two-primaries"), (0, "old-primary-serves"), (5, "superseded")] {
        let mut snapshot = seen_from(Role::Primary);
        // It looks wrong in every other way: it is not the secondary.
        let mut view = server(Role::Primary, replica(Role::Primary));
        view.replica = None;
        view.rights_changed = Some(vec!["root@localhost has UPDATE on passtrix.*".into()]);
        view.says = Some(NodeState {
            node: 2,
            epoch,
            replaces: u64::from(epoch == 5),
            role: Role::Primary,
            candidate: false,
            secondary_word: None,
            followed: None,
            heard: None,
        });
        snapshot.peer = Observed::Seen(view);
        assert_eq!(verdict(&snapshot), (Status::Failed, Status::Failed, vec![code, code]));
        let health = judge(&snapshot, LIMITS);
        assert!(health.summary.ends_with("do not replicate from each other"), "{}", health.summary);
        assert_eq!(health.to_string().matches(code).count(), 1, "{health}");
    }
}

#[test]
fn a_guard_that_was_left_on_the_primary_is_told() {
    let mut snapshot = seen_from(Role::Primary);
    let mut view = server(Role::Primary, replica(Role::Primary));
    // It was lifted: the rights are others than the guard's.
    view.rights_changed = Some(vec!["root@localhost now has INSERT on *".into()]);
    snapshot.local = Observed::Seen(view.clone());
    assert_eq!(verdict(&snapshot).2, Vec::<&str>::new());
    view.rights_changed = Some(vec![]);
    snapshot.local = Observed::Seen(view);
    assert_eq!(verdict(&snapshot), (Status::Failed, Status::Alive, vec!["writes-refused"]));
}

#[test]
fn commits_that_do_not_wait_as_configured_are_a_warning_and_never_more() {
    let with = |view| {
        let mut snapshot = seen_from(Role::Primary);
        let server = ServerView { semi_sync: Some(view), ..server(Role::Primary, replica(Role::Primary)) };
        snapshot.local = Observed::Seen(server);
        snapshot
    };
    let (on, off) = [true, false].map(|on| SemiSyncView::Present { on, replicas: 0, not_awaited: 3 }).into();
    assert_eq!(verdict(&with(on)), (Status::Alive, Status::Alive, vec![]));
    assert_eq!(verdict(&with(off)), (Status::Alive, Status::Alive, vec!["semi-sync-off"]));
    // A server without the plugin knows none of the settings, and that is told once.
    let mut absent = with(SemiSyncView::Absent);
    absent.deviations.push(Deviation {
        node: "n1".into(),
        variable: "rpl_semi_sync_source_enabled".into(),
        wanted: "ON".into(),
        found: None,
    });
    assert_eq!(verdict(&absent), (Status::Alive, Status::Alive, vec!["semi-sync-unavailable"]));
    absent.deviations[0].found = Some("OFF".into());
    assert_eq!(verdict(&absent).2, ["setting-not-in-effect", "semi-sync-unavailable"]);
}

#[test]
fn each_wrong_thing_has_its_own_code() {
    let code = |snapshot: &Snapshot| verdict(snapshot).2.join(",");
    assert_eq!(code(&with_replica(|v| v.source_host = "x".into())), "wrong-source");
    assert_eq!(code(&with_replica(|v| v.source_server_id = Some(9))), "wrong-source-identity");
    assert_eq!(code(&with_replica(|v| v.channel_tls = ChannelTls::Unverified)), "channel-not-verified");
    assert_eq!(code(&with_replica(|v| v.wild_do_tables.clear())), "wrong-filter");
    let mut moved = seen_from(Role::Primary);
    moved.ports = CurrentPorts { db: 1, web: Some(2) };
    assert_eq!(code(&moved), "port-changed,web-port-changed");
}

#[test]
fn a_certificate_is_a_finding_from_thirty_days_before_its_end() {
    let ending = |days| {
        let mut snapshot = seen_from(Role::Primary);
        snapshot.now = 1_800_000_000;
        snapshot.certificates = vec![InUse {
            whose: "the certificate of n2".into(),
            is_ca: false,
            begins: None,
            ends: snapshot.now + days * DAY,
        }];
        snapshot
    };
    assert_eq!(verdict(&ending(31)), (Status::Alive, Status::Alive, vec![]));
    for days in [30, 1] {
        let health = judge(&ending(days), LIMITS);
        assert_eq!(verdict(&ending(days)), (Status::Alive, Status::Alive, vec!["certificate-ends"]));
        assert_eq!(health.findings[0].severity, Severity::Warning);
        assert!(health.findings[0].hint.contains("`pmp-ha rotate`"), "{health}");
    }
    assert_eq!(verdict(&ending(0)), (Status::Failed, Status::Alive, vec!["certificate-ends"]));
    let mut of_ca = ending(0);
    of_ca.certificates[0].is_ca = true;
    let health = judge(&of_ca, LIMITS);
    assert!(health.findings[0].hint.contains("`pmp-ha pack --new-secrets`"), "{health}");
    let mut early = ending(99);
    early.certificates[0].begins = Some(early.now + DAY);
    assert_eq!(verdict(&early), (Status::Failed, Status::Alive, vec!["certificate-not-yet-valid"]));
    early.certificates[0].begins = Some(early.now);
    assert_eq!(verdict(&early), (Status::Alive, Status::Alive, vec![]));
}

#[test]
fn a_change_of_the_secrets_that_has_not_ended_is_told() {
    for stage in [HowFar::Offered, HowFar::Taken] {
        let mut snapshot = seen_from(Role::Primary);
        snapshot.rotating = Some(stage);
        assert_eq!(verdict(&snapshot), (Status::Alive, Status::Alive, vec!["secrets-change"]));
    }
}

#[test]
fn two_cas_are_told_because_the_key_of_the_first_may_be_on_a_lost_disk() {
    let mut snapshot = seen_from(Role::Primary);
    snapshot.trusts_two_cas = true;
    assert_eq!(verdict(&snapshot), (Status::Alive, Status::Alive, vec!["two-cas"]));
    assert!(judge(&snapshot, LIMITS).findings[0].hint.contains("`pmp-ha rotate`"));
}

#[test]
fn each_fault_of_a_certificate_has_its_own_finding_and_hint() {
    use crate::domain::certificate::{Fault, Unfit};
    for (fault, code, cure) in [
        (Fault::Expired, "certificate-expired", "renews the certificates"),
        (Fault::NotYetValid, "certificate-not-yet-valid", "clock"),
        (Fault::WrongHost, "certificate-wrong-host", "to which machine the name"),
        (Fault::WrongCa, "certificate-wrong-ca", "another pack"),
        (Fault::NotInTime, "certificate-not-in-time", "until when it is valid"),
    ] {
        for ours in [false, true] {
            let mut snapshot = seen_from(Role::Primary);
            snapshot.peer = blind(BlindReason::Certificate(Unfit { fault, ours }));
            let health = judge(&snapshot, LIMITS);
            let finding = health.findings.iter().find(|finding| finding.code == code).expect(code);
            assert_eq!(health.high_availability, Status::Failed);
            assert!(finding.hint.contains(cure), "{finding:?}");
            assert_eq!(finding.what.contains("this node"), ours, "{finding:?}");
        }
    }
}

#[test]
fn the_product_is_told_apart_from_its_database_and_changes_no_status() {
    let silent = |answered_before| WebSeen::Silent { evidence: "port 7272: refused".into(), answered_before };
    let with = |here, there| {
        let mut snapshot = seen_from(Role::Secondary);
        snapshot.web = WebLook { here, there, unknown_port: None };
        snapshot
    };
    let quiet = (Status::Alive, Status::Alive, vec![]);
    assert_eq!(verdict(&with(WebSeen::Answers, WebSeen::Answers)), quiet);
    assert_eq!(verdict(&with(silent(false), silent(false))), quiet, "nobody knows whether it ever ran");
    let down = with(silent(true), silent(false));
    assert_eq!(verdict(&down), (Status::Alive, Status::Alive, vec!["pmp-down"]));
    let found = &judge(&down, LIMITS).findings[0];
    assert_eq!(found.what, "Password Manager Pro does not answer on the secondary n2");
    assert_eq!(found.evidence, "port 7272: refused; its database answers");
    let mut both = with(WebSeen::Answers, silent(true));
    both.peer = blind(BlindReason::Unreachable);
    let found = judge(&both, LIMITS).findings;
    let found = found.iter().find(|finding| finding.code == "pmp-down").expect("found");
    assert_eq!(found.what, "Password Manager Pro does not answer on the primary n1");
    assert!(found.evidence.ends_with("its database does not answer either"), "{}", found.evidence);
    let mut odd = with(WebSeen::NotLooked, WebSeen::Answers);
    odd.web.unknown_port = Some("no such file".into());
    assert_eq!(verdict(&odd), (Status::Alive, Status::Alive, vec!["pmp-port-unknown"]));
}
