//! Alarms by cron: each look is a process of its own, and what one could not send, a later one sends.

use std::sync::atomic::Ordering;

use crate::harness::alarm::{Switch, has, names};
use crate::harness::{Lab, wait_until_or};

#[test]
fn what_a_look_by_cron_could_not_send_a_later_one_sends_once() {
    let lab = Lab::pair("mariadb-11.8");
    let (node, switch) = (&lab.primary, Switch::listen());
    let (file, stop) = (node.path("logs/alarms.json"), node.path("logs/stop"));
    node.configure(&format!(
        "[alarm]\nhold_down = 5\nhold_up = 1\ndead_man_url = \"http://127.0.0.1:{}/ask\"\n\
         [[alarm.command]]\nname = \"good\"\ncommand = [\"/bin/sh\", \"-c\", \"test ! -e {} && cat >> {}\"]\n",
        switch.port,
        stop.display(),
        file.display()
    ));
    let asked = || switch.asked.load(Ordering::SeqCst);
    let queue =
        || std::fs::read_to_string(node.path("replication/pmp-ha-alarms/queue.json")).unwrap_or_default();
    node.run(&["monitor", "--once"]).ok();
    assert_eq!(asked(), 1, "the dead man's switch");

    std::fs::write(&stop, "").expect("written");
    lab.secondary.kill();
    wait_until_or("the failure waits in the queue", || {
        node.run(&["monitor", "--once"]).exits(5);
        let queue = queue();
        if queue.contains("\"high_availability\"") && queue.contains("\"good\":{") {
            Ok(())
        } else {
            Err(queue)
        }
    });
    assert_eq!(names(&file), Vec::<String>::new());
    // Its only channel sends nothing: then the switch falls silent.
    let before = asked();
    node.run(&["monitor", "--once"]).exits(5);
    assert_eq!(asked(), before, "nobody hears this monitor");

    std::fs::remove_file(&stop).expect("removed");
    wait_until_or("a later look sends it", || {
        node.run(&["monitor", "--once"]).exits(5);
        if names(&file) == ["High Availability Failed"] { Ok(()) } else { Err(queue()) }
    });
    let before = asked();
    node.run(&["monitor", "--once"]).exits(5);
    assert_eq!(asked(), before + 1);
    has(&file, "High Availability Failed", 1);
    let events = node.run(&["events"]).ok();
    assert_eq!(events.stdout.matches("announced: High Availability Failed").count(), 1, "{events}");
}
