use super::*;

fn read(events: &[(&str, &str)]) -> Returned {
    let mut returned = Returned::of("p");
    for (place, (kind, info)) in (1..).zip(events) {
        let event = Event {
            position: place * 100,
            end: 0,
            kind: (*kind).to_owned(),
            server_id: 2,
            info: (*info).to_owned(),
        };
        returned.take("r.000001", &event, &Pair::example());
    }
    returned
}

fn found(events: &[(&str, &str)]) -> Vec<String> {
    read(events).found.into_iter().map(|found| found.what).collect()
}

#[test]
fn new_audit_rows_and_heartbeats_are_meant_to_come() {
    let come = [
        ("Format_desc", "Server ver: 5.6.24-log, Binlog ver: 4"),
        ("Rotate", "pmp-ha-binlog.000002;pos=4"),
        ("Query", "BEGIN"),
        ("Table_map", "table_id: 108 (passtrix.Ptrx_UserAudit)"),
        ("Write_rows", "table_id: 108 flags: STMT_END_F"),
        ("Xid", "COMMIT /* xid=1 */"),
        ("Gtid", "BEGIN GTID 2-2-5"),
        ("Table_map", "table_id: 9 (pmp_ha.heartbeat)"),
        ("Update_rows_v1", "table_id: 9 flags: STMT_END_F"),
        ("Query", "COMMIT"),
        ("Query", "FLUSH RELAY LOGS"),
        ("Query", "use `passtrix`; ANALYZE TABLE ptrx_account"),
    ];
    assert_eq!(found(&come), Vec::<String>::new());
    // The filter keeps out what the secondary may write for itself, and what it may not.
    let filtered =
        [("Table_map", "table_id: 7 (passtrix.ptrx_account)"), ("Delete_rows", "table_id: 7 flags: X")];
    assert_eq!(found(&filtered), Vec::<String>::new());
}

#[test]
fn a_transaction_that_is_longer_than_a_look_hides_nothing() {
    let first = read(&[
        ("Query", "BEGIN"),
        ("Table_map", "table_id: 1 (passtrix.ptrx_useraudit)"),
        ("Write_rows", "table_id: 1 flags: STMT_END_F"),
    ]);
    // As it is remembered between two looks.
    let text = serde_json::to_string(&Returned { behind: true, ..first }).expect("JSON");
    let mut next: Returned = serde_json::from_str(&text).expect("the same");
    let [within] = next.places().try_into().expect("one place");
    assert_eq!(within.position, 300);
    next.continues_at(&within);
    let rows = |kind: &str, position| Event {
        position,
        end: 0,
        kind: kind.to_owned(),
        server_id: 2,
        info: "table_id: 1 flags: STMT_END_F".to_owned(),
    };
    next.take("r.000001", &rows("Delete_rows", 400), &Pair::example());
    assert_eq!(next.found[0].what, "rows of passtrix.ptrx_useraudit were deleted");

    // Who drops it before it was read does not hide it either.
    let mut gone: Returned = serde_json::from_str(&text).expect("the same");
    gone.place = RelayPlace {
        file: "r.000001".into(),
        position: 4,
        mark: "Rotate 0 SOMETHING".into(),
        ..RelayPlace::default()
    };
    gone.begins_anew();
    assert_eq!(gone.found[0].what, "relay logs that were dropped before pmp-ha had read them");
    // A look that had no time to read anything of the new ones has lost nothing.
    gone.behind = true;
    gone.begins_anew();
    assert_eq!(gone.total, 1);
}

#[test]
fn whatever_else_the_primary_may_execute_is_found() {
    let rows = [
        ("Table_map", "table_id: 1 (passtrix.ptrx_useraudit)"),
        ("Update_rows_compressed_v1", "table_id: 1 flags: STMT_END_F"),
        ("Delete_rows", "table_id: 1 flags: STMT_END_F"),
        ("Delete_rows", "table_id: 2 flags: STMT_END_F"),
        ("Table_map", "table_id: 3 (pmp_ha.heartbeat)"),
        ("Delete_rows", "table_id: 3 flags: STMT_END_F"),
        ("Update_rows", "table_id: 3 flags beat of 2 beat of 2"),
        ("Update_rows", "table_id: 3 flags beat of 1 beat of 1"),
        ("Update_rows", "table_id: 3 flags beat of 2 beat of 77"),
        ("Update_rows", "table_id: 3 flags beat of "),
        // A server passes over a table that its filter keeps out, before it looks at the number.
        ("Table_map", "table_id: 4 (passtrix.ptrx_useraudit)"),
        ("Table_map", "table_id: 4 (passtrix.ptrx_useraudit)"),
        ("Table_map", "table_id: 4 (pmp_ha_local.role)"),
        ("Delete_rows", "table_id: 4 flags: STMT_END_F"),
        ("Format_desc", ANOTHER_LAYOUT),
    ];
    assert_eq!(
        found(&rows),
        [
            "rows of passtrix.ptrx_useraudit were changed",
            "rows of passtrix.ptrx_useraudit were deleted",
            "rows of a table that is not named were deleted",
            "rows of pmp_ha.heartbeat were deleted",
            "rows of pmp_ha.heartbeat of another node were changed",
            "rows of pmp_ha.heartbeat of another node were changed",
            "rows of pmp_ha.heartbeat of another node were changed",
            "rows of passtrix.ptrx_useraudit under the number of pmp_ha_local.role",
            "rows of passtrix.ptrx_useraudit were deleted",
            "events with another layout",
        ]
    );
    for (statement, told) in [
        ("use `passtrix`; UPDATE ptrx_useraudit a, aaalogin l SET l.NAME='secret'", "UPDATE"),
        ("CREATE DEFINER=`x`@`y` TRIGGER t BEFORE INSERT ON ptrx_useraudit", "CREATE"),
        ("INSERT INTO ptrx_useraudit VALUES ('secret')", "INSERT INTO"),
        ("/*!50000 UPDATE ptrx_useraudit */ FLUSH, aaalogin SET x = 'secret'", "SOMETHING"),
        ("/*M! UPDATE ptrx_useraudit */ BEGIN, aaalogin SET x = 'secret'", "SOMETHING"),
        ("ANALYZE UPDATE ptrx_useraudit a, aaalogin l SET l.x = 'secret'", "ANALYZE UPDATE"),
        ("ANALYZE/**/UPDATE ptrx_useraudit a, aaalogin l SET l.x = 'secret'", "SOMETHING"),
        ("BEGIN NOT ATOMIC UPDATE ptrx_useraudit a, aaalogin l SET l.x = 1; END", "BEGIN"),
        ("XA START 'x'", "XA START"),
    ] {
        let found = found(&[("Query", statement)]).concat();
        assert!(found.contains(told) && !found.contains("secret"), "{statement}: {found}");
    }
    // What a server writes when it opens a table in memory, and nothing that looks like it.
    for kept_out in [
        "TRUNCATE TABLE `passtrix`.`in_memory`",
        "TRUNCATE TABLE `passtrix`.`in_memory` /* generated by server for memory table after a restart */",
        "DELETE FROM `other`.`ptrx_useraudit`",
    ] {
        assert!(found(&[("Query", kept_out)]).is_empty(), "{kept_out}");
    }
    for passes in [
        "TRUNCATE TABLE `passtrix`.`ptrx_useraudit`",
        "DELETE FROM `PASSTRIX`.`Ptrx_UserAudit`",
        "TRUNCATE TABLE `pmp_ha`.`heartbeat`",
        "use `passtrix`; DELETE FROM `in_memory`",
        "DELETE FROM `passtrix`.`in_memory` WHERE `a`.`b`",
        "DELETE FROM `passtrix`.`a` USING `passtrix`.`ptrx_useraudit`",
        "DELETE FROM `passtrix`.`in_memory`…",
        "DELETE FROM `passtrix`.`in_memory`/*!50000 , x */",
    ] {
        assert_eq!(found(&[("Query", passes)]).len(), 1, "{passes}");
    }
    assert_eq!(found(&[("Execute_load_query", ";file_id=1")]), ["an event of kind execute_load_query"]);
}

#[test]
fn reading_continues_behind_a_whole_transaction_even_over_two_files() {
    let mut returned = read(&[("Query", "BEGIN"), ("Xid", "COMMIT /* xid=7 */"), ("Query", "BEGIN")]);
    assert_eq!((returned.place.position, returned.place.mark.as_str()), (200, "Xid 0 COMMIT /* xid=7 */"));
    let event = |kind: &str, info: &str| Event {
        position: 4,
        end: 0,
        kind: kind.into(),
        server_id: 2,
        info: info.into(),
    };
    returned.take("r.1", &event("Table_map", "table_id: 1 (passtrix.ptrx_useraudit)"), &Pair::example());
    returned.take("r.2", &event("Rotate", "b;pos=4"), &Pair::example());
    returned.take("r.2", &event("Delete_rows", "table_id: 1 flags: X"), &Pair::example());
    assert_eq!(returned.found[0].what, "rows of passtrix.ptrx_useraudit were deleted");
    assert_eq!(returned.place.position, 200);
    let again = returned.clone();
    returned.take("r.2", &event("Delete_rows", "table_id: 1 flags: X"), &Pair::example());
    assert_eq!(returned.total, again.total, "the same event is told once");
    let after = returned.acknowledged();
    assert_eq!((after.total, after.found.len(), after.place), (0, 0, returned.place));
}

#[test]
fn a_file_that_was_begun_anew_under_its_name_is_another_one() {
    let mut returned = read(&[("Query", "BEGIN"), ("Xid", "COMMIT /* xid=7 */"), ("Query", "BEGIN")]);
    assert!(returned.places().iter().all(|place| place.may_lie_in("any")));
    returned.lies_in("r.000002", "another");
    returned.lies_in("r.000001", "first");
    for place in returned.places() {
        // Kind, end and number of the transaction are the source's choice, and can be those again.
        assert!(place.may_lie_in("first") && !place.may_lie_in("second"), "{place:?}");
    }
    assert_eq!(returned.places().len(), 2);
}

#[test]
fn a_statement_is_never_quoted() {
    let message = "error 1227: Error 'Access denied' on query. Default database: ''. Query: 'CREATE USER x IDENTIFIED BY 'secret''";
    assert_eq!(without_statement(message), "error 1227: Error 'Access denied' on query.");
    assert_eq!(without_statement("UPDATE command denied"), "UPDATE command denied");
    let both = "Coordinator stopped … or others, if any.; Worker 1 failed; UPDATE command denied";
    assert_eq!(without_statement(both), "Worker 1 failed; UPDATE command denied");
}

#[test]
fn relay_logs_that_pmp_ha_did_not_let_go_itself_do_not_vanish() {
    // Everything was read when the last look ended, which proves nothing about what came since.
    let read = read(&[("Query", "BEGIN"), ("Xid", "COMMIT /* xid=7 */")]);
    let gone = |mut reading: Returned, oldest| {
        reading.lost_its_place(oldest);
        reading
    };
    for oldest in [1, 2, 19] {
        let after = gone(read.clone(), oldest);
        assert_eq!((after.total, after.found[0].position), (1, 200), "{oldest}");
        assert!(after.found[0].what.contains("dropped before"), "{}", after.found[0].what);
        // It is told once, and the new ones are read on from their beginning.
        assert!(after.places().is_empty());
    }
    // pmp-ha has read them and dropped them: they begin anew, once.
    let mut let_go = read.clone();
    let_go.lets_go();
    assert_eq!(gone(let_go.clone(), 1).total, 0);
    assert_eq!(gone(gone(let_go.clone(), 1), 1).total, 0, "nothing was sent yet");
    assert_eq!(gone(let_go.clone(), 3).total, 1, "some of the new ones are gone as well");
    assert_eq!(gone(Returned { behind: true, ..let_go.clone() }, 1).total, 1, "it was not read to its end");
    let mut unread = read.clone();
    unread.lets_go_unread();
    unread.lets_go();
    assert_eq!(gone(unread, 1).total, 1, "pmp-ha let them go, and could not read them");
    let mut next = gone(let_go, 1);
    let end =
        Event { position: 300, end: 0, kind: "Xid".into(), server_id: 2, info: "COMMIT /* xid=8 */".into() };
    next.take("r.000001", &end, &Pair::example());
    assert_eq!(gone(next, 1).total, 1, "the leave is used up");
    // Another server was set up in the place of the secondary.
    let mut met = read.clone();
    assert!(!met.hears("former") && !met.hears("") && !met.hears("former"));
    assert_eq!(gone(met.clone(), 1).total, 1, "the same server");
    assert!(met.hears("new"));
    assert_eq!((gone(met.clone(), 1).total, gone(met, 2).total), (0, 1));
    // The first look of all.
    assert_eq!(gone(Returned::of("p"), 1).total, 0);
    assert_eq!(gone(Returned::of("p"), 4).total, 1);
    // What was seen is told no more, and a look that began before that stores nothing.
    let after = gone(read.clone(), 19).acknowledged();
    assert!(after.total == 0 && after.turn > read.turn);
}

#[test]
fn a_note_that_cannot_be_read_is_something_that_was_found() {
    let reading = Returned::of_altered_note("p", "note.json");
    assert_eq!((reading.total, reading.found[0].file.as_str()), (1, "note.json"));
    // After a log of queries was written into it, it is none.
    assert!(serde_json::from_str::<Returned>("{}\nmysqld, Version: 10.11\n").is_err());
}
