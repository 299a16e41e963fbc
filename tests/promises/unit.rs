//! The monitor as a service: its unit is shown, written, and removed, and nothing else.

use std::process::Command;

use crate::harness::{Bare, Ran};

#[test]
fn the_monitor_is_installed_after_it_was_shown_and_removed_again() {
    let home = Bare::new();
    std::fs::create_dir(home.path("units")).expect("made");
    let units = home.text("units");
    let file = home.path("units/pmp-ha-monitor.service");
    let run = |args: &[&str]| home.run(&[args, &["--unit-dir", &units]].concat());

    // What the service could not start with is named before anything is written.
    home.configure("[health]\nmax_lagg = 3\n");
    run(&["monitor", "--install"]).exits(2).says(&["pmp-ha.toml:2: health.max_lagg"]);
    let channel = "[[alarm.webhook]]\nurl = \"https://localhost/x\"\nsecret_file = ";
    home.configure(&format!("{channel}\"/no/such/secret\"\n"));
    run(&["monitor", "--install"]).exits(2).says(&["pmp-ha.toml:3: alarm.webhook.secret_file"]);
    assert!(!file.exists());
    home.configure(&format!("{channel}\"signing\"\n"));
    run(&["--dry-run", "monitor", "--install"]).ok().says(&["only the service itself sees a credential"]);
    home.secret("signing", "x\n");
    run(&["--dry-run", "monitor", "--install"]).ok().says(&["alarms will go to webhook"]);
    home.configure("");
    run(&["--dry-run", "monitor", "--install"]).ok().says(&["nobody will be told of a failure"]);

    let shown = run(&["--dry-run", "monitor", "--install"]).ok();
    assert!(!file.exists());
    run(&["monitor", "--install", "--every", "7"]).ok().says(&["ExecStart=", "User="]);
    let text = std::fs::read_to_string(&file).expect("written");
    for line in text.lines().filter(|line| !line.contains("--every")) {
        assert!(shown.stdout.contains(line), "{line:?} was not shown in {shown}");
    }
    let root = home.path("").canonicalize().expect("there");
    assert!(text.contains(&format!("ReadWritePaths={}\n", root.display())), "{text}");
    assert!(text.contains("monitor --every 7\n") && text.contains("Type=notify\n"), "{text}");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).arg(&file);
    if Command::new("systemd-analyze").arg("--version").output().is_ok() {
        let ran = Ran::from_command(verify);
        assert!(!ran.stderr.contains("pmp-ha-monitor"), "{ran}");
        ran.ok();
        // Exposure, times ten.
        let mut judge = Command::new("systemd-analyze");
        judge.args(["security", "--offline=true", "--threshold=30", "--no-pager"]).arg(&file);
        Ran::from_command(judge).ok();
    }

    // The same again, with another option: it is the tool's own file.
    run(&["monitor", "--install"]).ok();
    assert!(std::fs::read_to_string(&file).expect("written").contains("monitor --every 5\n"));
    // The page is served as it was asked for, if that is allowed at all.
    run(&["monitor", "--install", "--listen", "8080"]).ok();
    let text = std::fs::read_to_string(&file).expect("written");
    assert!(text.contains("monitor --every 5 --listen 127.0.0.1:8080\n"), "{text}");
    run(&["monitor", "--install", "--listen", "0.0.0.0"]).exits(2).says(&["no certificate and no token"]);
    assert_eq!(std::fs::read_to_string(&file).expect("written"), text);
    // One of another home, or of the administrator's own, is not touched.
    let other = Bare::new();
    other
        .run(&["monitor", "--install", "--unit-dir", &units])
        .refused(&["another unit with this name exists"]);
    other
        .run(&["monitor", "--uninstall", "--unit-dir", &units])
        .refused(&["another unit with this name exists"]);
    home.write("units/mine.service", "x");
    run(&["monitor", "--uninstall"]).ok();
    assert!(!file.exists() && home.path("units/mine.service").exists());
    run(&["monitor", "--uninstall"]).ok().says(&["nothing to remove"]);
    home.write("units/pmp-ha-monitor.service", "[Service]\n");
    run(&["monitor", "--install"]).refused(&["another unit with this name exists"]);
}
