//! Hooks: programs of the administrator's around a change of roles and at each transition; and what the
//! monitor tells the service manager.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;

use crate::harness::change::exchange;
use crate::harness::hook::Told;
use crate::harness::{Bare, Lab, cut, send_signal, wait_until, wait_until_or};

const ANY: &str = "mariadb-11.8";

#[test]
fn hooks_frame_each_change_of_roles_and_can_stop_it_before() {
    let lab = Lab::pair(ANY);
    let (a, b) = (&lab.primary, &lab.secondary);
    let (of_a, of_b) = (Told::of(&lab, a, "a"), Told::of(&lab, b, "b"));
    a.run(&["config", "check"]).ok();
    assert!(a.run(&["--dry-run", "switchover"]).ok().stdout.contains("1. run hooks.before: "));

    // It does not agree: nothing is changed, and its end is told.
    of_a.put("fail-before");
    a.run(&["switchover"]).refused(&["hooks.before refused", "not today"]);
    assert_eq!(of_a.taken(), ["before secondary", "put_back primary"]);
    of_a.take("fail-before");
    lab.wait_alive();
    // One that takes too long is ended, and has not agreed either.
    let configured = std::fs::read_to_string(a.path("conf/pmp-ha.toml")).expect("there");
    a.configure(&configured.replace("deadline = 30", "deadline = 1"));
    of_a.put("hold-before");
    a.run(&["switchover"]).refused(&["hooks.before refused", "1 s"]);
    of_a.take("hold-before");
    assert_eq!(of_a.taken(), ["before secondary", "put_back primary"]);
    a.configure(&configured);
    lab.wait_alive();
    // What fails later, before the point of no return, is told as well.
    a.run(&["switchover", "--wait", "1"]).exits(1);
    assert_eq!(of_a.taken(), ["before secondary", "put_back primary"]);

    // Two looks by cron, before and after it, find the change of roles.
    lab.wait_alive();
    b.run(&["monitor", "--once"]).ok();
    exchange(a, b);
    b.run(&["monitor", "--once"]);
    let events = b.run(&["events"]).ok();
    assert!(events.stdout.contains("this node was the secondary and is now the primary"), "{events}");
    assert_eq!(of_a.taken(), ["before secondary", "after secondary"]);
    assert_eq!(of_b.taken(), ["before primary", "after primary"]);
    let told = of_b.json().pop().expect("told");
    assert_eq!((&told["event"], &told["command"]), (&"after".into(), &"switchover".into()), "{told}");
    assert_eq!(
        (&told["from"], &told["to"], &told["epoch"]),
        (&"secondary".into(), &"primary".into(), &2.into())
    );

    // The new primary is lost. A run that was killed in its first hook is undone, and that is told. A hook
    // that fails behind the point of no return stops nothing.
    b.kill();
    of_a.put("hold-before");
    let promote = a.command(&["recover", "--promote", "--fenced"]);
    cut(promote, Signal::SIGKILL, |_| of_a.lines().len() == 1);
    of_a.take("hold-before");
    a.run(&["resume"]).ok();
    assert_eq!(of_a.taken(), ["before primary", "put_back secondary"]);
    of_a.put("fail-after");
    a.run(&["recover", "--promote", "--fenced"]).ok().says(&["warning: ", "hooks.after failed", "not today"]);
    of_a.take("fail-after");
    assert_eq!(of_a.taken(), ["before primary", "after primary"]);

    // Killed in the hook behind the last step: it is run again, for nobody knows whether it has ended.
    of_b.taken();
    of_b.put("hold-after");
    cut(b.command(&["rejoin"]), Signal::SIGKILL, |_| of_b.lines().len() == 2);
    of_b.take("hold-after");
    b.run(&["resume"]).ok();
    assert_eq!(of_b.taken(), ["before secondary", "after secondary", "after secondary"]);
    crate::harness::wait_alive_both([a, b]);
}

#[test]
fn the_monitor_tells_transitions_to_a_hook_and_its_state_to_the_service_manager() {
    let lab = Lab::pair(ANY);
    let told = Told::of(&lab, &lab.secondary, "b");
    let place = lab.dir().join("notify");
    let socket = UnixDatagram::bind(&place).expect("bound");
    let heard = Arc::<Mutex<String>>::default();
    let listener = Arc::clone(&heard);
    std::thread::spawn(move || {
        let mut message = [0; 4096];
        while let Ok(length) = socket.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..length]);
            listener.lock().expect("no panic").extend([text.as_ref(), "\n"]);
        }
    });
    let heard = || heard.lock().expect("no panic").clone();
    // Looks are rare: between them the watchdog hears all the same.
    let mut command = lab.secondary.command(&["monitor", "--every", "5"]);
    command.env("NOTIFY_SOCKET", &place).env("WATCHDOG_USEC", "900000").stdout(Stdio::null());
    let mut monitor = command.spawn().expect("it runs");
    wait_until("it is ready", || heard().contains("READY=1"));
    assert!(heard().contains("STATUS=High Availability Alive, Replication Alive"), "{}", heard());
    let before = heard().matches("WATCHDOG=1").count();
    wait_until("the watchdog hears it", || heard().matches("WATCHDOG=1").count() > before + 3);

    lab.primary.kill();
    wait_until_or("the hook is told", || match told.json().last() {
        Some(event) if event["high_availability"] == "Failed" => {
            assert_eq!(event["changed_from"]["high_availability"], "Alive");
            Ok(())
        }
        _ => Err(format!("{:?}", told.lines())),
    });
    assert!(heard().contains("STATUS=High Availability Failed"), "{}", heard());
    assert_eq!(told.lines(), ["transition"]);
    send_signal(monitor.id(), "TERM");
    assert!(monitor.wait().expect("it ends").success());
    wait_until("it says that it ends", || heard().contains("STOPPING=1"));
}

#[test]
fn what_is_wrong_with_a_hook_is_named() {
    let home = Bare::new();
    for (text, why) in [
        ("before = [\"move\"]", "hooks.before must name its program with the full path"),
        ("after = [\"/no/such\"]", "hooks.after names /no/such, which cannot be run"),
        ("afterwards = []", "there is no key `afterwards`"),
    ] {
        home.configure(&format!("[hooks]\n{text}\n"));
        let ran = home.run(&["config", "check"]).exits(2);
        assert!(ran.stderr.contains("pmp-ha.toml:2: ") && ran.stderr.contains(why), "{ran}");
    }
    home.configure("[hooks]\nbefore = [\"/bin/true\", \"x\"]\n");
    home.run(&["config", "check"]).ok();
    assert!(home.run(&["config", "show"]).ok().stdout.contains("hooks.before = [\"/bin/true\",\"x\"]"));
}
