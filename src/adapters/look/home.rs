//! Reads what the procedures need to know of a home. It changes nothing.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use fs_err as fs;

use crate::adapters::clock;
use crate::adapters::home::{
    Credentials, Home, certificates, datadir, kept, key_fingerprint, read_key, read_membership,
};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::adapters::system;
use crate::domain::datafiles::Layout;
use crate::domain::home::{KeyFile, product_program, role_of};
use crate::domain::manifest::NODE_FILES;
use crate::domain::plan::HomeIdentity;
use crate::domain::procedures::Scene;
use crate::domain::procedures::key::{Expected, KeyScene};
use crate::domain::procedures::rollback::KeptState;

/// The time limit for a local port to answer.
const PORT_DEADLINE: Duration = Duration::from_millis(500);

/// Everything about a home.
pub async fn scene(home: &Home, interrupt: &Interrupt) -> Result<Scene> {
    let mut missing = home.missing();
    let data = home.data();
    let listing = if data.is_dir() { Some(datadir::list(&data)?) } else { None };
    let layout = Layout::detect(|name| data.join(name).exists());
    if missing.is_empty() {
        missing.extend(lacking(&data, layout).into_iter().map(|name| format!("mysql/data/{name}")));
    }
    let params = home.database_params();
    let role_word = home.role_word();
    let schema_on_disk = params.as_ref().ok().and_then(|params| folder_named(&data, &params.schema));
    let server = match Database::of(home, interrupt).version().await {
        Ok(version) => Ok(version),
        Err(error) => Err(format!("{error:#}")),
    };
    let script = match system::read_text(&home.start_script(), system::SMALL) {
        Err(error) => Err(error.to_string()),
        Ok(text) => home.wire(&text, &home.option_file(), None).map(|_| ()).map_err(|why| why.0),
    };
    let mut not_writable: Vec<String> = ["bin", "conf", NODE_FILES, "mysql", "mysql/data", "replication"]
        .into_iter()
        .map(|folder| home.path(folder))
        .filter(|folder| folder.is_dir() && !system::is_writable_dir(folder))
        .map(|folder| format!("{} cannot be written to", folder.display()))
        .collect();
    let (files, odd, unreadable) = listing.map_or_else(Default::default, |l| (l.files, l.odd, l.unreadable));
    not_writable.extend(unreadable.into_iter().map(|path| format!("cannot read {path}")));
    let pack_folder =
        if home.replication().is_dir() { home.replication() } else { home.root().to_path_buf() };
    Ok(Scene {
        identity: identity(home)?,
        missing,
        role: role_of(&role_word),
        role_word,
        web_port: home.web_port(),
        running: running(home, interrupt)?,
        params,
        server,
        layout,
        script,
        lets_everybody_in: home.lets_everybody_in(),
        data: files,
        odd_data: odd,
        schema_on_disk,
        data_is_mount_point: data.is_dir() && datadir::is_mount_point(home),
        free_for_data: system::free_space(&datadir::parent(home))?,
        free_for_pack: system::free_space(&pack_folder)?,
        not_writable,
        fingerprint: home.fingerprint()?,
        membership: home.membership()?,
    })
}

/// Returns the identity of the home.
pub fn identity(home: &Home) -> Result<HomeIdentity> {
    let (device, _) = system::identity(&home.data()).or_else(|_| system::identity(home.root()))?;
    let (_, inode) = system::identity(&home.path("conf"))?;
    Ok(HomeIdentity { path: home.root().to_string_lossy().into_owned(), device, inode })
}

/// Returns the kept state that `rollback` can return to.
pub fn kept_state(home: &Home) -> Result<Option<KeptState>> {
    let Some(kept) = kept::read(home)? else { return Ok(None) };
    let data = datadir::parent(home).join(&kept.data);
    let layout = Layout::detect(|name| data.join(name).exists());
    let files = kept::files(home).copy_of(NODE_FILES);
    let membership = match files.as_ref().map(|files| files.join("pair.toml")).filter(|file| file.is_file()) {
        Some(file) => Some(read_membership(&system::read_text(&file, system::SMALL)?)?),
        None => None,
    };
    // Secrets that cannot be read open nothing.
    let could_ask = files.is_some_and(|files| has_the_secrets(home, &files).unwrap_or(false));
    Ok(Some(KeptState { missing: lacking(&data, layout), layout, membership, could_ask, kept }))
}

/// Whether a node with these files would get an answer of the other node, as this home does: with the same
/// account, by a CA that both trust, and with a certificate that is valid.
fn has_the_secrets(home: &Home, files: &Path) -> Result<bool> {
    let trusted = |folder: &Path| certificates::read(&folder.join("ca.pem"));
    let accounts = Credentials::read(&files.join("credentials.toml"))?;
    let valid = certificates::valid(&certificates::read(&files.join("node.pem"))?)?;
    let now = i64::try_from(clock::seconds())?;
    Ok(accounts.monitor == home.credentials()?.monitor
        && valid.contains(&now)
        && certificates::share_one(&trusted(files)?, &trusted(&home.node_files())?)?)
}

/// Returns the essential files that a data directory of this layout lacks. The redo log has no
/// fixed name.
pub(super) fn lacking(data: &Path, layout: Option<Layout>) -> Vec<String> {
    let essential = layout.map_or(&["ibdata1"][..], Layout::essential);
    let mut out: Vec<String> =
        essential.iter().filter(|name| !data.join(name).exists()).map(ToString::to_string).collect();
    if layout == Some(Layout::MySql8) && !data.join("ib_logfile0").exists() {
        let redo = fs::read_dir(data.join("#innodb_redo")).is_ok_and(|mut files| files.next().is_some());
        if !redo {
            out.push("#innodb_redo".into());
        }
    }
    out
}

/// Returns evidence that the product or its database runs here, or that its ports are taken.
pub fn running(home: &Home, interrupt: &Interrupt) -> Result<Vec<String>> {
    let mut out = processes(home, interrupt)?;
    if out.is_empty() {
        out.extend(database_port_taken(home));
        if let Some(port) = home.web_port().filter(|port| answers(*port)) {
            out.push(format!("something answers on the web port {port} of this machine"));
        }
    }
    Ok(out)
}

/// Returns evidence that a process of the product or its database runs in this home.
pub fn processes(home: &Home, interrupt: &Interrupt) -> Result<Vec<String>> {
    let mut out = Vec::new();
    if let Some(pid) = Database::of(home, interrupt).pid()? {
        out.push(held(&home.data(), pid));
    } else if let Some((pid, file)) = pid_file(&home.data())
        && system::is_alive(pid)
        // A pid file outlives its process, and the number may be somebody else's by now.
        && system::mentions(pid, &home.root().to_string_lossy())
        && home.owners().include(pid)
    {
        out.push(format!("the database runs: {file} names process {pid}, which is alive"));
    }
    for (pid, program) in product_processes(home) {
        out.push(format!(
            "Password Manager Pro runs: process {pid} ({program}) works in {}",
            home.root().display()
        ));
    }
    Ok(out)
}

/// Returns the processes of the product itself that run out of this home, each with its program.
#[must_use]
pub fn product_processes(home: &Home) -> Vec<(u32, String)> {
    let root = home.root().to_string_lossy().into_owned();
    let owners = home.owners();
    let of_the_product = |pid: u32, words: &[String]| {
        let program = product_program(words, &root)?;
        // A command line is easily written.
        let is_real = owners.include(pid)
            && system::runs_program(pid, &[program])
            && system::works_in(pid, home.root());
        is_real.then(|| (pid, program.to_owned()))
    };
    system::pick_processes(of_the_product)
}

/// Returns evidence that a process uses a data directory.
pub(super) fn held(data: &Path, pid: u32) -> String {
    format!("the database runs: process {pid} holds the lock on {}", data.join("ibdata1").display())
}

/// Returns evidence that something listens on the port of the home's database.
#[must_use]
pub fn database_port_taken(home: &Home) -> Option<String> {
    let port = home.database_params().ok()?.port;
    answers(port).then(|| format!("something answers on the database port {port} of this machine"))
}

fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PORT_DEADLINE).is_ok()
}

fn pid_file(data: &Path) -> Option<(u32, String)> {
    let entries = fs::read_dir(data).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "pid"))
        .find_map(|path| {
            let pid = system::read_text(&path, system::SMALL).ok()?.trim().parse().ok()?;
            Some((pid, path.display().to_string()))
        })
}

fn folder_named(data: &Path, schema: &str) -> Option<String> {
    let entries = fs::read_dir(data).ok()?;
    entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .find(|name| name.eq_ignore_ascii_case(schema))
}

/// Reads a file that is offered as the encryption key of `home`.
#[must_use]
pub fn key(home: &Home, path: &Path, expected: Expected) -> KeyScene {
    let full =
        fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf());
    let file = read_key(&full);
    let fingerprints = match &file {
        Ok(KeyFile::Key(entries)) => entries.iter().map(|entry| key_fingerprint(entry)).collect(),
        _ => Vec::new(),
    };
    KeyScene {
        inside_home: full.starts_with(home.root()),
        path: full.to_string_lossy().into_owned(),
        file,
        fingerprints,
        expected,
    }
}

/// Returns the fingerprint of the key in the home's configuration, if it can be read.
#[must_use]
pub fn own_key_fingerprint(home: &Home) -> Option<String> {
    match read_key(&home.key_path()?) {
        Ok(KeyFile::Key(entries)) => entries.first().map(|entry| key_fingerprint(entry)),
        _ => None,
    }
}
