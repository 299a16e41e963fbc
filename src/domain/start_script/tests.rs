use super::*;

fn wire(script: &str, option_file: &str, gate: Option<&Gate>) -> Result<String, NotWirable> {
    whole(script, option_file, gate).map(|wired| wired.script)
}

fn whole(script: &str, option_file: &str, gate: Option<&Gate>) -> Result<Wired, NotWirable> {
    let there = ["/opt/PMP/mysql/my.cnf", "/etc/pmp.cnf", "/opt/PMP/conf/two.cnf", "/opt/PMP/two.cnf"];
    let installation = Installation { home: "/opt/PMP", is_file: &|path| there.contains(&path) };
    super::wire(script, option_file, gate, &installation)
}

const SCRIPT: &str = "#!/bin/sh\n# mysqld --no-defaults in a comment\n\
    \"$DB/bin/mysqld\" --no-defaults --basedir=\"$DB\" --bind-address=127.0.0.1 --port=$1 &\nexit 0\n";

#[test]
fn only_the_option_changes_and_the_server_opens_up() {
    let wired = wire(SCRIPT, "/opt/My PMP/conf/pmp-ha/mysqld.cnf", None).expect("wirable");
    assert_eq!(
        wired,
        "#!/bin/sh\n# mysqld --no-defaults in a comment\n\
         \"$DB/bin/mysqld\" --defaults-file=\"/opt/My PMP/conf/pmp-ha/mysqld.cnf\" --basedir=\"$DB\" --port=$1 &\nexit 0\n"
    );
    assert!(is_wired(&wired) && !is_wired(SCRIPT));
}

#[test]
fn a_command_may_go_on_in_the_next_lines() {
    let script =
        "mysqld --no-defaults \\\n  --bind-address=127.0.0.1 \\\n  --port=1\necho --bind-address=x\n";
    let wired = wire(script, "/x", None).expect("wirable");
    assert_eq!(wired, "mysqld --defaults-file=\"/x\" \\\n \\\n  --port=1\necho --bind-address=x\n");
}

#[test]
fn the_server_opens_up_however_it_was_closed() {
    for closed in
        ["--bind-address=127.0.0.1", "--bind_address=::1", "--bind-address 127.0.0.1", "--skip-networking"]
    {
        let script = format!("mysqladmin --no-defaults ping\nmysqld --no-defaults {closed} --port=1\n");
        let wired = wire(&script, "/x", None).expect("wirable");
        assert_eq!(
            wired, "mysqladmin --no-defaults ping\nmysqld --defaults-file=\"/x\" --port=1\n",
            "{closed}"
        );
    }
}

fn gate() -> Gate {
    Gate { program: "/opt/pmp-ha".into(), home: "/a b".into() }
}

#[test]
fn the_gate_stands_before_the_command_wherever_that_begins() {
    let line = "[ ! -x \"/opt/pmp-ha\" ] || \"/opt/pmp-ha\" --home \"/a b\" may-start || exit 4 # pmp-ha: is the other node the primary now?\n";
    let wired = wire("cd /x\nmysqld \\\n --no-defaults \\\n --port=1\nexit 0\n", "/c", Some(&gate()));
    let wanted = format!("cd /x\n{line}mysqld \\\n --defaults-file=\"/c\" \\\n --port=1\nexit 0\n");
    assert_eq!(wired, Ok(wanted));
}

#[test]
fn wiring_again_changes_the_file_and_nothing_else() {
    let wired = wire(SCRIPT, "/a b/conf/pmp-ha/mysqld.cnf", Some(&gate())).expect("wirable");
    assert_eq!(wire(&wired, "/c/2.cnf", None), wire(SCRIPT, "/c/2.cnf", None));
    assert_eq!(wire(&wired, "/a b/conf/pmp-ha/mysqld.cnf", Some(&gate())), Ok(wired));
}

#[test]
fn a_script_is_understood_wherever_it_keeps_the_options() {
    let file = "/opt/PMP/conf/pmp-ha/mysqld.cnf";
    for (script, wanted) in [
        // In a variable, with what would keep the peer out at its end.
        (
            "OPTS=\"--no-defaults --port=1 --bind-address=127.0.0.1\"\nmysqld $OPTS &\n",
            "OPTS=\"--defaults-file=/opt/PMP/conf/pmp-ha/mysqld.cnf --port=1\"\nmysqld $OPTS &\n",
        ),
        (
            "D=--no-defaults\nO='--skip-networking'\nmysqld $D $O\n",
            "D=--defaults-file=/opt/PMP/conf/pmp-ha/mysqld.cnf\nO=''\nmysqld $D $O\n",
        ),
        // For another shell.
        (
            "su - pmp -c \"$H/mysql/bin/mysqld --no-defaults --port=1\"\n",
            "su - pmp -c \"$H/mysql/bin/mysqld --defaults-file=/opt/PMP/conf/pmp-ha/mysqld.cnf --port=1\"\n",
        ),
        // In a function, and by exec.
        (
            "run() {\n  exec \"$D/mysqld\" \"$@\"\n}\nrun --no-defaults \"--bind-address=::1\" --port=1\n",
            "run() {\n  exec \"$D/mysqld\" \"$@\"\n}\nrun --defaults-file=\"/opt/PMP/conf/pmp-ha/mysqld.cnf\" --port=1\n",
        ),
        // In two branches, and beside programs that take the same options.
        (
            "if a; then mysqld --no-defaults --port=1; else mysqld --no-defaults --port=2; fi\n\
             \"$D/mysqladmin\" --no-defaults ping; mysqld --no-defaults --bootstrap\n",
            "if a; then mysqld --defaults-file=\"/opt/PMP/conf/pmp-ha/mysqld.cnf\" --port=1; else mysqld --defaults-file=\"/opt/PMP/conf/pmp-ha/mysqld.cnf\" --port=2; fi\n\
             \"$D/mysqladmin\" --no-defaults ping; mysqld --no-defaults --bootstrap\n",
        ),
        (
            "cat <<END\nmysqld --no-defaults isn't\nEND\necho --no-defaults\nmysqld --no-defaults\n",
            "cat <<END\nmysqld --no-defaults isn't\nEND\necho --no-defaults\nmysqld --defaults-file=\"/opt/PMP/conf/pmp-ha/mysqld.cnf\"\n",
        ),
    ] {
        assert_eq!(wire(script, file, None).as_deref(), Ok(wanted));
    }
}

#[test]
fn a_path_with_a_space_reaches_the_server_as_one_word_or_is_refused() {
    let file = "/my PMP/conf/pmp-ha/mysqld.cnf";
    for (script, wanted) in [
        (
            "su a -c \"mysqld --no-defaults\"\n",
            "su a -c \"mysqld --defaults-file=\\\"/my PMP/conf/pmp-ha/mysqld.cnf\\\"\"\n",
        ),
        (
            "su a -c 'mysqld --no-defaults'\n",
            "su a -c 'mysqld --defaults-file=\"/my PMP/conf/pmp-ha/mysqld.cnf\"'\n",
        ),
        ("set -- --no-defaults\n", "set -- --defaults-file=\"/my PMP/conf/pmp-ha/mysqld.cnf\"\n"),
    ] {
        assert_eq!(wire(script, file, None).as_deref(), Ok(wanted));
    }
    for script in ["O=\"--no-defaults --port=1\"\nmysqld $O\n", "O=--no-defaults\nmysqld $O\n"] {
        let why = wire(script, file, None).expect_err(script).0;
        assert!(why.contains("in a variable") && why.contains(file), "{why}");
    }
}

#[test]
fn the_gate_stands_where_a_line_can_stand() {
    let line = gate().line();
    for script in [
        "#!/bin/sh\n\ncase a in\n a) mysqld --no-defaults ;;\nesac\n",
        "#!/bin/sh\n\ncd /x &&\nmysqld --no-defaults\n",
        "#!/bin/sh\n\nif ! mysqld --no-defaults; then exit 1; fi\n",
    ] {
        let wired = wire(script, "/c", Some(&gate())).expect("wirable");
        assert!(wired.starts_with(&format!("#!/bin/sh\n\n{line}")), "{wired}");
    }
}

#[test]
fn an_option_file_of_the_installation_is_taken_in() {
    let ours = "/opt/PMP/conf/pmp-ha/mysqld.cnf";
    for (script, word, own) in [
        ("mysqld --defaults-file=/etc/pmp.cnf\n", "\"/etc/pmp.cnf\"", "/etc/pmp.cnf"),
        ("mysqld --defaults-file=\"$H/mysql/my.cnf\" a\n", "\"$H/mysql/my.cnf\"", "/opt/PMP/mysql/my.cnf"),
        ("mysqld --defaults-file=$DB_HOME/my.cnf a\n", "\"$DB_HOME/my.cnf\"", "/opt/PMP/mysql/my.cnf"),
        ("C=$DB/my.cnf\nmysqld --defaults-extra-file=\"$C\"\n", "\"$C\"", "/opt/PMP/mysql/my.cnf"),
        (
            "su a -c \"mysqld --defaults-file=${H}/mysql/my.cnf a\"\n",
            "\"${H}/mysql/my.cnf\"",
            "/opt/PMP/mysql/my.cnf",
        ),
    ] {
        let wired = whole(script, ours, Some(&gate())).unwrap_or_else(|why| panic!("{script}: {}", why.0));
        assert_eq!(wired.own_file.as_deref(), Some(own), "{script}");
        assert!(wired.script.contains(&format!("[ {word} -ef \"{own}\" ] || ")), "{}", wired.script);
        assert!(wired.script.contains(ours) && is_wired(&wired.script), "{}", wired.script);
        // Wired anew, it is the same, and another option file takes the same one in.
        assert_eq!(whole(&wired.script, ours, Some(&gate())), Ok(wired.clone()), "{script}");
        let boot = whole(&wired.script, "/b.cnf", None).expect("wirable");
        assert_eq!(boot.own_file.as_deref(), Some(own));
    }
    for (script, why) in [
        ("mysqld --defaults-file=/etc/gone.cnf\n", "/etc/gone.cnf"),
        ("mysqld --defaults-file=\"$X\"\n", "$X"),
        ("mysqld --defaults-file=\"$X/two.cnf\"\n", "two.cnf"),
        ("a && mysqld --defaults-file=/etc/pmp.cnf\n", "other commands"),
        ("mysqld --defaults-file=/etc/pmp.cnf\nmysqld --no-defaults\n", "not read the same"),
    ] {
        let refused = wire(script, ours, None).expect_err(script).0;
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn nothing_is_guessed() {
    assert!(wire("mysqld --port=1\n", "/x", None).is_err());
    assert!(wire("mysqld --no-defaults 'a\n", "/x", None).is_err());
    assert!(wire(SCRIPT, "/a$b", None).is_err());
}
