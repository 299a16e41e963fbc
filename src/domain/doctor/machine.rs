//! The points of the server, of names, of the other node, of clocks and of limits.

use super::advice::Points;
use super::report::{DoctorTopic, Grade};
use super::scene::{DoctorScene, NameSeen, Whose};
use crate::domain::flavor::Flavor;
use crate::domain::procedures::shortcomings;

/// A server with fewer open files closes and opens tables all the time.
const FEW_FILES: u64 = 1024;

/// A larger difference makes times of the two nodes hard to compare, and certificates doubtful.
const CLOCKS_DIFFER: i64 = 5_000_000;

/// An answer of the resolver that takes longer delays every login.
const SLOW_NAME: f64 = 2.0;

impl Points {
    pub(super) fn server(&mut self, scene: &DoctorScene) {
        let topic = DoctorTopic::Server;
        let home = &scene.home;
        if let Ok(version) = &home.server
            && Flavor::of(version).is_some()
        {
            let program = scene.program.as_ref().map(|program| format!(", {program}")).unwrap_or_default();
            self.ok(topic, format!("the bundled server is {version}{program}"));
        }
        for evidence in &scene.processes {
            self.ok(topic, evidence);
        }
        if !scene.runs() {
            self.ok(topic, "Password Manager Pro and its database are stopped");
            for evidence in &home.running {
                self.found(
                    (topic, Grade::Warning, "port-taken"),
                    "another program uses a port of this home",
                    evidence,
                    "Find and stop it, or change the port of this home.",
                );
            }
        }
        if home.membership.is_some() && !scene.is_wired && home.missing.is_empty() {
            self.found(
                (topic, Grade::Failed, "script-not-wired"),
                "bin/startDB.sh does not pass the settings of the pair",
                "it does not name conf/pmp-ha/mysqld.cnf: an upgrade or somebody has replaced it",
                "Make a new pack, which changes the script again: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.",
            );
        } else if shortcomings(home).iter().all(|refusal| refusal.code != "start-script") {
            let what = if home.membership.is_some() {
                "bin/startDB.sh passes the settings of the pair"
            } else {
                "bin/startDB.sh can pass the settings of a pair"
            };
            self.ok(topic, what);
        }
    }

    pub(super) fn names(&mut self, scene: &DoctorScene) {
        for name in &scene.names {
            self.name(name, scene.home.membership.is_some());
        }
    }

    fn name(&mut self, name: &NameSeen, in_a_pair: bool) {
        let topic = DoctorTopic::Names;
        let (host, whose) = (&name.host, name.whose);
        let node = if whose == Whose::This { "this node" } else { "the other node" };
        let addresses = match &name.addresses {
            Ok(addresses) => addresses,
            Err(why) => {
                // Before there is a pair, this node may get another name.
                let grade = if whose == Whose::This && !in_a_pair { Grade::Warning } else { Grade::Failed };
                self.found(
                    (topic, grade, "name-unknown"),
                    format!("the name of {node} does not resolve"),
                    format!("{host}: {why}"),
                    "Add it to the name service, or to /etc/hosts on both machines.",
                );
                return;
            }
        };
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let shown = format!("{host} is {}", shown.join(", "));
        if name.took.as_secs_f64() > SLOW_NAME {
            self.found(
                (topic, Grade::Warning, "name-slow"),
                format!("the name of {node} resolves slowly"),
                format!("{host}: {:.1} s", name.took.as_secs_f64()),
                "Fix the name service: every connection between the nodes waits for it.",
            );
        }
        // Whoever writes an address means it.
        if host.parse::<std::net::IpAddr>().is_ok() {
            return self.ok(topic, format!("{host} is an address"));
        }
        let is_loopback = addresses.iter().all(std::net::IpAddr::is_loopback);
        match (whose, is_loopback, name.local) {
            (Whose::This, true, _) => self.found(
                (topic, Grade::Note, "name-loopback"),
                format!("the name of {node} resolves to this machine's loopback"),
                &shown,
                "On this machine, that is harmless. Make sure that the name resolves to the real address on the other machine.",
            ),
            (Whose::Other, true, _) => self.found(
                (topic, Grade::Warning, "name-loopback"),
                format!("the name of {node} resolves to this machine's loopback"),
                &shown,
                "Make sure that it resolves to the real address. A line of /etc/hosts with 127.0.1.1 is often the cause.",
            ),
            (Whose::This, _, false) => self.found(
                (topic, Grade::Warning, "name-elsewhere"),
                "the name of this node resolves to another machine",
                &shown,
                "If an address is translated between the nodes, this is right. Otherwise correct the name service.",
            ),
            (Whose::Other, _, true) => self.found(
                (topic, Grade::Warning, "name-elsewhere"),
                "the name of the other node resolves to this machine",
                &shown,
                "If a port is forwarded to the other node, this is right. Otherwise correct the name service.",
            ),
            _ => self.ok(topic, shown.as_str()),
        }
        if is_loopback {
            return;
        }
        let is_it = |found: &String| {
            let first = |name: &str| name.split('.').next().unwrap_or_default().to_lowercase();
            found.trim_end_matches('.').eq_ignore_ascii_case(host) || first(found) == first(host)
        };
        match &name.reverse {
            Ok(names) if names.iter().any(is_it) => {
                self.ok(topic, format!("its address resolves back to {host}"));
            }
            Ok(names) => self.found(
                (topic, Grade::Note, "name-reverse"),
                format!("the address of {node} does not resolve back to its name"),
                if names.is_empty() { "it has no name".into() } else { names.join(", ") },
                "pmp-ha does not need it. Correct it if other programs do.",
            ),
            Err(why) => self.found(
                (topic, Grade::Note, "name-reverse"),
                format!("pmp-ha could not check whether the address of {node} resolves back to its name"),
                why,
                "pmp-ha does not need it.",
            ),
        }
    }

    pub(super) fn peer(&mut self, scene: &DoctorScene) {
        let topic = DoctorTopic::OtherNode;
        let Some(peer) = &scene.peer else {
            self.found(
                (topic, Grade::Note, "peer-not-named"),
                "the other node was not checked",
                "this home is in no pair, and --peer was not given",
                "Run `pmp-ha doctor --peer HOST` to check its names and ports as well.",
            );
            return;
        };
        if scene.names.iter().any(|name| name.whose == Whose::Other && name.addresses.is_err()) {
            // Nobody answers at a name that leads nowhere, and that was said.
            return;
        }
        let in_a_pair = scene.home.membership.is_some();
        match &peer.database {
            Ok(greeting) => self.ok(topic, format!("{} greets as {greeting}", peer.node)),
            // Of a pair, `verify` says it, if it can look.
            Err(_) if scene.pair.is_some() => {}
            Err(why) if in_a_pair => self.found(
                (topic, Grade::Unknown, "peer-unreachable"),
                format!("the database of {} does not answer", peer.node),
                why,
                "Start it there, and check the network and firewalls between the two nodes.",
            ),
            Err(why) => self.found(
                (topic, Grade::Note, "peer-unreachable"),
                format!("the database of {} does not answer", peer.node),
                why,
                "Before the first pack, this is normal: it is stopped, or answers on its own machine only. The firewall must open this port.",
            ),
        }
        match &peer.web {
            Some((port, Ok(()))) => {
                self.ok(topic, format!("Password Manager Pro answers there at port {port}"));
            }
            Some((port, Err(why))) => self.found(
                (topic, Grade::Note, "peer-web-silent"),
                format!("Password Manager Pro does not answer there at port {port}"),
                why,
                "This is normal while it is stopped. Users of the secondary need this port.",
            ),
            None => {}
        }
    }

    pub(super) fn clocks(&mut self, scene: &DoctorScene) {
        let topic = DoctorTopic::Clocks;
        let servers = scene.pair.as_ref().and_then(|(snapshot, _)| {
            let (here, there) = (snapshot.local.seen()?, snapshot.peer.seen()?);
            Some(there.clock_offset - here.clock_offset)
        });
        match servers {
            Some(apart) if apart.abs() > CLOCKS_DIFFER => self.found(
                (topic, Grade::Warning, "clocks-differ"),
                "the clocks of the two nodes differ",
                format!("by {} s", apart.abs() / 1_000_000),
                "Let NTP set both clocks.",
            ),
            Some(_) => self.ok(topic, "the clocks of the two nodes agree"),
            None => self.found(
                (topic, Grade::Note, "clocks-not-compared"),
                "the clocks were not compared",
                "this needs the databases of both nodes",
                "Compare `date -u` on both machines.",
            ),
        }
    }

    pub(super) fn limits(&mut self, scene: &DoctorScene) {
        let topic = DoctorTopic::Limits;
        let limits = &scene.limits;
        let mut is_right = true;
        if let Some(files) = limits.open_files.filter(|files| *files < FEW_FILES) {
            is_right = false;
            self.found(
                (topic, Grade::Warning, "few-open-files"),
                "the system allows the database few open files",
                format!("{} of {}", files, limits.whose),
                "Raise it with `ulimit -n`, in /etc/security/limits.conf, or with LimitNOFILE of the service.",
            );
        }
        if let Some(size) = limits.file_size {
            is_right = false;
            self.found(
                (topic, Grade::Warning, "file-size-limited"),
                "the system limits the size of a file",
                format!("{} for {}", crate::domain::plan::Bytes(size), limits.whose),
                "Remove the limit with `ulimit -f unlimited`: data, binlogs and packs grow beyond it.",
            );
        }
        if is_right {
            let files = limits.open_files.map_or_else(|| "many".to_owned(), |files| files.to_string());
            self.ok(topic, format!("{} may have {files} open files of any size", limits.whose));
        }
    }
}
