//! Preconditions that several procedures share.

use super::Scene;
use crate::domain::built_in::Feature;
use crate::domain::flavor::{Flavor, Proof};
use crate::domain::plan::Bytes;
use crate::domain::refusal::Refusal;
use crate::domain::start_script::{BOOT_TMP, LONGEST_SOCKET, SOCKET};

/// Space for what the server itself writes while it boots.
const SPACE_MARGIN: u64 = 32 << 20;

/// Returns what is wrong with a home that must be stopped, for any command.
pub(super) fn home(what: &str, scene: &Scene) -> Vec<Refusal> {
    whole(what, scene, running(what, scene))
}

/// Returns what is wrong with a home whose database may run.
pub(super) fn running_home(what: &str, scene: &Scene) -> Vec<Refusal> {
    whole(what, scene, Vec::new())
}

fn whole(what: &str, scene: &Scene, in_the_way: Vec<Refusal>) -> Vec<Refusal> {
    let mut out = Vec::new();
    if !scene.missing.is_empty() {
        out.push(
            Refusal::new(
                what,
                format!("the home is incomplete: {} is missing", scene.missing.join(", ")),
                "Name the folder of a complete installation with --home.",
            )
            .code("home-incomplete"),
        );
    }
    out.extend(in_the_way);
    out.extend(boot_socket(&scene.identity.path).map(|why| {
        Refusal::new(what, why, "Move the installation to a folder with a shorter path.")
            .code("path-too-long")
    }));
    if let Err(why) = &scene.params {
        out.push(
            Refusal::new(
                what,
                format!("cannot use conf/database_params.conf: {why}"),
                "Restore the file as the installation wrote it.",
            )
            .code("database-params"),
        );
    }
    out.extend(not_writable(what, scene));
    if scene.missing.is_empty() {
        server(what, scene, &mut out);
    }
    out
}

/// Returns why the socket of an offline boot in `home` has too long a path, if it has.
pub(super) fn boot_socket(home: &str) -> Option<String> {
    let path = format!("{home}/{BOOT_TMP}/{SOCKET}");
    let fits = path.len() <= LONGEST_SOCKET;
    (!fits).then(|| {
        format!("{path} is longer than the {LONGEST_SOCKET} bytes that the path of a socket may have")
    })
}

fn server(what: &str, scene: &Scene, out: &mut Vec<Refusal>) {
    let flavor = match &scene.server {
        Err(why) => {
            out.push(
                Refusal::new(
                    what,
                    format!("cannot read the version of the bundled server: {why}"),
                    "Check that mysql/bin/mysqld of this home runs: `mysqld --version`.",
                )
                .code("server-unreadable"),
            );
            None
        }
        Ok(version) => {
            let row = Flavor::of(version);
            if row.is_none() {
                out.push(
                    Refusal::new(
                        what,
                        format!(
                            "the bundled server is {version}, which pmp-ha does not know: it knows {}",
                            Flavor::known()
                        ),
                        Flavor::instead_of(version),
                    )
                    .code("server-unknown"),
                );
            }
            row
        }
    };
    match (flavor, scene.layout) {
        (Some(row), Some(layout)) if row.layout != layout => out.push(
            Refusal::new(
                what,
                format!("the data directory was not written by {}: it has the layout {layout:?}", row.name),
                "Check that mysql/data belongs to this installation.",
            )
            .code("data-of-another-server"),
        ),
        (_, None) => out.push(
            Refusal::new(
                what,
                "the data directory has an unknown version: it has no known system tables",
                "Check that mysql/data belongs to this installation.",
            )
            .code("data-of-another-server"),
        ),
        _ => {}
    }
    if let Err(why) = &scene.script {
        out.push(
            Refusal::new(
                what,
                format!("cannot use the start script: {why}"),
                "Write the options into the line of bin/startDB.sh that starts mysqld, with --no-defaults or with --defaults-file and the path of a file.",
            )
            .code("start-script"),
        );
    }
    if let Some(place) = &scene.lets_everybody_in {
        out.push(
            Refusal::new(
                what,
                format!("its server accepts every login without a password: {place}"),
                "Remove the option, and restart the database. With it, nobody needs a password, not even from other machines.",
            )
            .code("skip-grant-tables"),
        );
    }
    out.extend(mount_point(what, scene));
}

/// Refuses while somebody keeps the server from writing.
pub(super) fn blocked(what: &str, by: Option<&String>) -> Option<Refusal> {
    by.map(|by| {
        Refusal::new(
            what,
            format!("every write to the database here waits for a global read lock: {by}"),
            "Wait until that session ends; often it is a backup or `FLUSH TABLES WITH READ LOCK`. Or end it with `KILL` and its number.",
        )
        .code("writes-blocked")
    })
}

/// Refuses while transactions that XA has prepared wait for their end: the next primary may not know of them.
pub(super) fn prepared(what: &str, names: &[String]) -> Option<Refusal> {
    (!names.is_empty()).then(|| {
        Refusal::new(
            what,
            format!("transactions that XA has prepared wait here for their end: {}", names.join("; ")),
            "End each one as the application decides, with its name: `XA COMMIT` or `XA ROLLBACK` in the database here.",
        )
        .code("prepared-transactions")
    })
}

/// Refuses if this build could never ask the other node, which runs the same server.
pub(super) fn other_node(what: &str, scene: &Scene) -> Option<Refusal> {
    let part = Feature::OldTls;
    let flavor = Flavor::of(scene.server.as_ref().ok()?)?;
    let can_ask = flavor.modern_tls || part.is_built_in();
    (!can_ask).then(|| {
        Refusal::new(what, format!("{} of the other node: {}", flavor.name, part.absent()), part.hint())
            .code("not-built-in")
    })
}

/// Returns a refusal for each thing that runs in the home.
pub(super) fn running(what: &str, scene: &Scene) -> Vec<Refusal> {
    let hint = "Stop Password Manager Pro and its database (`pmp-ha stop`), then try again.";
    scene.running.iter().map(|evidence| Refusal::new(what, evidence, hint).code("home-in-use")).collect()
}

/// Refuses a home that belongs to no pair.
pub(super) fn not_paired(what: &str, scene: &Scene) -> Option<Refusal> {
    scene.membership.is_none().then(|| {
        Refusal::new(
            what,
            "this home does not belong to a pair yet",
            "Set up the pair: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.",
        )
        .code("not-paired")
    })
}

/// Refuses a home whose database does not run.
pub(super) fn stopped(what: &str, running: bool) -> Option<Refusal> {
    (!running).then(|| {
        Refusal::new(what, "the database here does not run", "Start it: `pmp-ha start`.")
            .code("database-stopped")
    })
}

/// Returns a refusal for each folder that this account cannot write to.
pub(super) fn not_writable(what: &str, scene: &Scene) -> Vec<Refusal> {
    let hint = "Run the command as the account that owns the installation.";
    scene.not_writable.iter().map(|why| Refusal::new(what, why, hint).code("not-writable")).collect()
}

/// Returns a refusal if the data directory cannot be exchanged.
pub(super) fn mount_point(what: &str, scene: &Scene) -> Option<Refusal> {
    scene.data_is_mount_point.then(|| {
        Refusal::new(
            what,
            "mysql/data is the mount point of a filesystem, so it cannot be exchanged as a whole",
            "Mount the filesystem at mysql instead, or make mysql/data a link to a folder inside the filesystem.",
        ).code("mount-point")
    })
}

/// Checks that the password of the product's account is known.
pub(super) fn password(what: &str, scene: &Scene, given: bool) -> Option<Refusal> {
    let encrypted = scene.params.as_ref().is_ok_and(|params| params.encrypted);
    (encrypted && !given).then(|| {
        Refusal::new(
            what,
            "the database password in conf/database_params.conf is encrypted, and pmp-ha needs it for the product's account",
            "Write the plain password into a file of mode 0600 and name it with --db-password-file.",
        ).code("password-encrypted")
    })
}

/// Checks that `needed` bytes fit into `free`.
pub(super) fn space(what: &str, place: &str, needed: u64, free: u64) -> Option<Refusal> {
    let needed = needed.saturating_add(SPACE_MARGIN);
    (free < needed).then(|| {
        Refusal::new(
            what,
            format!(
                "there is no space: {place} has {} free, but {} may be needed",
                Bytes(free),
                Bytes(needed)
            ),
            format!("Free {} more, then try again.", Bytes(needed - free)),
        )
        .code("no-space")
    })
}

/// Returns a warning if the server's version was never proved on a real server.
pub(super) fn unproved(scene: &Scene) -> Option<String> {
    let version = scene.server.as_ref().ok()?;
    let row = Flavor::of(version)?;
    (row.proof == Proof::Manual)
        .then(|| format!("pmp-ha has not been tested on a real server of {version}: try it on a copy first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_a_path_of_107_bytes_at_most() {
        let longest = format!("/{}", "h".repeat(80));
        assert_eq!(format!("{longest}/mysql/tmp/boot/mysql.sock").len(), 107);
        assert_eq!(boot_socket(&longest), None);
        assert!(boot_socket(&format!("{longest}h")).is_some_and(|why| why.contains("107 bytes")));
    }
}
