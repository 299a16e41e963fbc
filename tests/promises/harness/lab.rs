//! A primary and a secondary in a folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::command::{Ran, pmp_ha};
use super::node::Node;
use super::pristine::{self, Names};
use super::process::{command_lines, is_alive, send_signal};
use super::wait::{PATIENCE, wait_until, wait_until_or};
use super::wire::{Link, Links};

/// A folder with a primary and a secondary in it. It ends with the test.
pub struct Lab {
    pub server: String,
    pub primary: Node,
    pub secondary: Node,
    /// The folder of the lab itself.
    pub root: PathBuf,
    dir: PathBuf,
}

impl Lab {
    /// Two stopped homes, the primary with a little data.
    pub fn up(server: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pmp-ha-test").tempdir().expect("a folder");
        Self::up_in(server, dir.keep(), "lab", 1)
    }

    /// Two stopped homes in a folder of the given name, the primary with so many MB of data. They are
    /// on the disk even if a test has a folder in memory: there a step is over before it can be cut off.
    pub fn up_with(server: &str, name: &str, megabytes: u64) -> Self {
        let disk = std::env::var_os("PMP_HA_TEST_DISK").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::Builder::new().prefix("pmp-ha-test").tempdir_in(disk).expect("a folder");
        Self::up_in(server, dir.keep(), name, megabytes)
    }

    /// As [`Self::up_with`], in a folder that is named and goes with the lab.
    pub fn up_in(server: &str, dir: PathBuf, name: &str, megabytes: u64) -> Self {
        let root = dir.join(name);
        let pristine = pristine::pristine(server, megabytes);
        let made = pmp_ha(&[
            "--json",
            "lab",
            "up",
            &root.to_string_lossy(),
            "--server",
            server,
            "--like",
            &pristine.to_string_lossy(),
        ])
        .ok();
        let made: serde_json::Value = serde_json::from_str(&made.stdout).expect("JSON");
        let node = |name: &str| Node {
            home: root.join(name),
            endpoint: made[name]["endpoint"].as_str().expect("an endpoint").to_owned(),
        };
        let (primary, secondary) = (node("primary"), node("secondary"));
        Self::at(server, dir, root, primary, secondary)
    }

    /// A lab that is there, in a folder that goes with it.
    pub fn at(server: &str, dir: PathBuf, root: PathBuf, primary: Node, secondary: Node) -> Self {
        Self { server: server.to_owned(), primary, secondary, root, dir }
    }

    /// A folder for whatever a test needs besides.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `pack` on the primary.
    pub fn pack(&self) -> Ran {
        self.primary.run(&["pack", &self.primary.endpoint, &self.secondary.endpoint])
    }

    /// The pack that `pack` makes.
    pub fn pack_file(&self) -> PathBuf {
        self.primary.home.join("replication/HAPack.zip")
    }

    /// Carries the pack over, as a person would.
    pub fn carry(&self) {
        std::fs::copy(self.pack_file(), self.secondary.home.join("HAPack.zip")).expect("copied");
    }

    /// The primary's encryption key.
    pub fn key(&self) -> PathBuf {
        self.primary.home.join("conf/pmp_key.key")
    }

    /// The whole manual: both nodes run and are Alive.
    pub fn pair(server: &str) -> Self {
        let lab = Self::installed(server);
        lab.start();
        lab.wait_alive();
        lab
    }

    /// A pair whose secondary reaches the primary through a link that the test holds.
    pub fn pair_through_a_link(server: &str) -> (Self, Link) {
        fn install(lab: &Lab) -> Link {
            let link = Link::to(&lab.primary.endpoint);
            lab.secondary.configure("[replication]\nconnect_retry = 1\n");
            lab.install_through(&link.endpoint);
            link
        }
        let copy = pristine::pair(server, Names::LinkToPrimary, |lab| vec![install(lab).endpoint.clone()]);
        let (lab, link) = if let Some((lab, ends)) = copy {
            let link = Link::on(&ends[0], &lab.primary.endpoint);
            (lab, link)
        } else {
            let lab = Self::up(server);
            let link = install(&lab);
            (lab, link)
        };
        lab.start();
        lab.wait_alive();
        (lab, link)
    }

    /// A pair whose nodes reach each other through links that the test holds, and through nothing
    /// else.
    pub fn pair_through_links(server: &str) -> (Self, Links) {
        fn install(lab: &Lab) -> Links {
            let links = Links::of(lab);
            for node in [&lab.primary, &lab.secondary] {
                node.configure("[replication]\nconnect_retry = 1\n");
            }
            lab.install_through_links(&links);
            links
        }
        let copy = pristine::pair(server, Names::Links, |lab| {
            let links = install(lab);
            vec![links.to_primary.endpoint.clone(), links.to_secondary.endpoint.clone()]
        });
        let (lab, links) = if let Some((lab, ends)) = copy {
            let links = Links {
                to_primary: Link::on(&ends[0], &lab.primary.endpoint),
                to_secondary: Link::on(&ends[1], &lab.secondary.endpoint),
            };
            (lab, links)
        } else {
            let lab = Self::up(server);
            let links = install(&lab);
            (lab, links)
        };
        lab.start();
        lab.wait_alive();
        (lab, links)
    }

    /// A pack of names that lead through links, installed.
    pub fn install_through_links(&self, links: &Links) {
        self.primary.run(&["pack", &links.to_primary.endpoint, &links.to_secondary.endpoint]).ok();
        self.carry();
        self.secondary.run(&["install-pack", "--port-is-forwarded"]).ok();
        self.secondary.run(&["key", &self.key().to_string_lossy()]).ok();
    }

    /// The whole manual, with a name for the primary as the secondary is to reach it.
    pub fn set_up(&self, primary: &str) {
        self.install_through(primary);
        self.start();
        self.wait_alive();
    }

    /// Starts both nodes.
    pub fn start(&self) {
        self.primary.run(&["start"]).ok();
        self.secondary.run(&["start"]).ok();
    }

    /// Stops both nodes.
    pub fn stop(&self) {
        self.primary.run(&["stop"]).ok();
        self.secondary.run(&["stop"]).ok();
    }

    /// The manual up to its last step: a pair that is not started yet.
    pub fn installed(server: &str) -> Self {
        let copy = pristine::pair(server, Names::Own, |lab| {
            lab.install();
            Vec::new()
        });
        copy.map_or_else(
            || {
                let lab = Self::up(server);
                lab.install();
                lab
            },
            |(lab, _)| lab,
        )
    }

    /// The manual up to its last step, on homes that are there.
    pub fn install(&self) {
        self.install_through(&self.primary.endpoint);
    }

    fn install_through(&self, primary: &str) {
        self.primary.run(&["pack", primary, &self.secondary.endpoint]).ok();
        self.carry();
        self.secondary.run(&["install-pack"]).ok();
        self.secondary.run(&["key", &self.key().to_string_lossy()]).ok();
    }

    /// Waits until `verify` on both nodes says Alive twice.
    #[track_caller]
    pub fn wait_alive(&self) {
        wait_alive_both([&self.primary, &self.secondary]);
    }

    /// Whether `verify` on both nodes says Alive twice, or what it says.
    pub fn all_alive(&self) -> Result<(), String> {
        alive([&self.primary, &self.secondary])
    }

    /// Waits until a query gives the same on both nodes, and returns what.
    pub fn wait_same(&self, query: &str) -> String {
        let mut last = String::new();
        wait_until(&format!("{query} gives the same on both nodes"), || {
            last = self.primary.sql(query);
            self.secondary.try_sql(query).as_ref() == Some(&last)
        });
        last
    }

    /// One more fresh installation beside the two.
    pub fn fresh_home(&self, name: &str) -> Node {
        let home = self.root.join(name);
        // Of a lab without a vault, so that no two homes of a test have the same password.
        let like = pristine::pristine(&self.server, 0).join("primary");
        let made = pmp_ha(&[
            "--json",
            "lab",
            "home",
            &home.to_string_lossy(),
            "--server",
            &self.server,
            "--like",
            &like.to_string_lossy(),
        ])
        .ok();
        let made: serde_json::Value = serde_json::from_str(&made.stdout).expect("JSON");
        Node { home, endpoint: made["endpoint"].as_str().expect("an endpoint").to_owned() }
    }
}

/// How long the servers are asked before `verify` is: what they tell of is nearly all of that time.
const SERVERS_FIRST: Duration = Duration::from_secs(10);

/// Waits until `verify` on two nodes says Alive twice.
#[track_caller]
pub fn wait_alive_both(nodes: [&Node; 2]) {
    let begun = Instant::now();
    wait_until_or("both nodes say Alive, Alive", || {
        if begun.elapsed() < SERVERS_FIRST {
            nodes.iter().try_for_each(|node| node.channels_run())?;
        }
        alive(nodes)
    });
}

/// Whether `verify` on two nodes says Alive twice, or what it says.
pub fn alive(nodes: [&Node; 2]) -> Result<(), String> {
    for node in nodes {
        let ran = node.run(&["verify"]);
        if !ran.stdout.starts_with("High Availability Status: Alive\nReplication Status: Alive\n") {
            return Err(ran.to_string());
        }
    }
    Ok(())
}

impl Drop for Lab {
    /// Kills whatever runs in the lab and removes it: a clean stop takes a server up to ten seconds.
    fn drop(&mut self) {
        let root = self.root.to_string_lossy().into_owned();
        let mut left = command_lines();
        left.retain(|(pid, line)| line.contains(&root) && *pid != std::process::id());
        for (pid, _) in &left {
            send_signal(*pid, "KILL");
        }
        let begun = Instant::now();
        while left.iter().any(|(pid, _)| is_alive(*pid)) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        // ignored: a small disk of a test may be mounted there still; it goes with its space
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
