//! A pair that rounds are played on, one after the other, for as long as it is well.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use pmp_ha::adapters::home::Home;
use pmp_ha::domain::pair::Role;

use crate::harness::disk;
use crate::harness::sql::Db;
use crate::harness::wire::{Link, Links};
use crate::harness::{self, Lab, alive};
use crate::history::Node;
use crate::schedule::Side;
use crate::writers::{HELD, WORK};

/// The room on the disk of a node, in MB: enough for one more copy of the data and for a pack.
const ROOM: u64 = 600;

/// No fault lasts as long as this, so that no commit goes on alone.
const WAIT_FOR_THE_SECONDARY: &str = "semi_sync = true\nsemi_sync_timeout = 120\n";

/// For how long a pair may take to be well again. Servers look only once a minute whether a full
/// disk has room again.
const PATIENCE: Duration = Duration::from_secs(200);

/// Two nodes on small disks, and the links by which alone they reach each other.
pub struct Pair {
    lab: Lab,
    pub links: Links,
    /// Whether commits wait until the other node has received them.
    pub semi_sync: bool,
    /// Who the primary is.
    pub primary: Node,
    /// The names of the rows that both nodes held when the last round ended.
    pub before: Vec<String>,
    _disks: Disks,
}

impl Pair {
    /// Makes a pair that is Alive.
    #[track_caller]
    pub fn make(server: &str, semi_sync: bool) -> Self {
        let lab = Lab::up(server);
        let homes = [&lab.primary, &lab.secondary];
        let disks = Disks { mounts: homes.map(|node| node.home.clone()), folder: lab.dir().to_path_buf() };
        for node in homes {
            disk::of_its_own(node, ROOM);
        }
        let links = Links::of(&lab);
        let pair = Self { lab, links, semi_sync, primary: Node::A, before: Vec::new(), _disks: disks };
        let mut settings = String::from("[replication]\nconnect_retry = 1\n");
        if semi_sync {
            settings.push_str(WAIT_FOR_THE_SECONDARY);
        }
        for node in Node::BOTH {
            pair.node(node).configure(&settings);
        }
        pair.lab.install_through_links(&pair.links);
        pair.lab.start();
        pair.lab.wait_alive();
        pair.node(pair.primary).sql(WORK);
        pair.lab.wait_same("SELECT COUNT(*) FROM work");
        pair
    }

    pub fn node(&self, node: Node) -> &harness::Node {
        match node {
            Node::A => &self.lab.primary,
            Node::B => &self.lab.secondary,
        }
    }

    pub fn both(&self) -> [&harness::Node; 2] {
        Node::BOTH.map(|node| self.node(node))
    }

    /// The link that leads to a node.
    pub fn link_to(&self, node: Node) -> &Link {
        match node {
            Node::A => &self.links.to_primary,
            Node::B => &self.links.to_secondary,
        }
    }

    /// Who a side is at this moment.
    pub fn on(&self, side: Side) -> Node {
        match side {
            Side::Primary => self.primary,
            Side::Secondary => self.primary.peer(),
        }
    }

    /// The node on a side at this moment.
    pub fn at(&self, side: Side) -> &harness::Node {
        self.node(self.on(side))
    }

    /// What a node takes itself for.
    #[track_caller]
    pub fn role(&self, node: Node) -> Role {
        let home = Home::open(&self.node(node).home).expect("a home");
        home.membership().expect("readable").expect("a member of a pair").role
    }

    /// The one node that takes itself for the primary, or what is wrong with that.
    pub fn agreed_primary(&self) -> Result<Node, String> {
        let primaries: Vec<Node> =
            Node::BOTH.into_iter().filter(|node| self.role(*node) == Role::Primary).collect();
        match primaries[..] {
            [primary] => Ok(primary),
            [] => Err("no node takes itself for the primary".into()),
            _ => Err("both nodes take themselves for the primary".into()),
        }
    }

    /// Waits until the pair is as it shall be: one primary, and `verify` says Alive twice on both nodes.
    pub fn gets_well(&self) -> Result<(), String> {
        wait_for(|| self.is_well())
    }

    /// Waits until both nodes hold the same rows: which, or what differs.
    pub fn gets_the_same_rows(&self) -> Result<Vec<String>, String> {
        wait_for(|| self.same_rows())
    }

    fn is_well(&self) -> Result<(), String> {
        self.agreed_primary()?;
        alive(self.both())
    }

    fn same_rows(&self) -> Result<Vec<String>, String> {
        let [a, b] = self.both().map(held);
        if a == b {
            return Ok(a);
        }
        let only = |here: &[String], there: &[String]| {
            let only: Vec<&String> = here.iter().filter(|row| there.binary_search(row).is_err()).collect();
            format!("{} only there: {:?}", only.len(), &only[..only.len().min(10)])
        };
        Err(format!("a has {} rows, {}\nb has {} rows, {}", a.len(), only(&a, &b), b.len(), only(&b, &a)))
    }
}

/// The rows that a node holds, sorted; an audit row with its number.
pub fn held(node: &harness::Node) -> Vec<String> {
    let mut db = Db::of_owner(node);
    let mut out: Vec<String> = HELD.iter().flat_map(|query| db.list(query)).collect();
    out.sort_unstable();
    out
}

/// Waits until a look finds what it is to find, or returns what it found last.
fn wait_for<T>(mut look: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let begun = Instant::now();
    loop {
        match look() {
            Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(100)),
            seen => return seen,
        }
    }
}

/// The name of a row, without its number.
pub fn name_of(row: &str) -> String {
    row.split(' ').next().unwrap_or_default().to_owned()
}

/// The small disks of a pair. They go after its servers have.
struct Disks {
    mounts: [PathBuf; 2],
    folder: PathBuf,
}

impl Drop for Disks {
    fn drop(&mut self) {
        for mount in &self.mounts {
            // ignored: whatever is left goes with the namespace
            let _ = Command::new("umount").arg("--lazy").arg(mount).output();
        }
        // ignored: as above
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
