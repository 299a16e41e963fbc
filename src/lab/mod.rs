//! Two PMP homes with real servers on this machine. The lab only creates homes; the ordinary
//! commands do the rest.

mod fill;
mod home;
mod ports;

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use fs_err as fs;
use serde::Serialize;

use crate::adapters::home::{Credential, Home, entry};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::adapters::server::session::{Address, Session};
use crate::adapters::system;
use crate::failure::{Failure, Kind};
use crate::ui::Ui;
use home::{Blueprint, make};

/// Marks a folder as a lab, so that `lab down` removes nothing else.
const MARKER: &str = "pmp-ha-lab";

/// The servers that every test uses; `scripts/fetch-servers --list` knows more.
pub const SERVERS: [&str; 4] = ["mysql-5.6", "mysql-9.7", "mariadb-10.11", "mariadb-11.8"];

/// How long a server of a lab may take to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(120);

/// The content of a new home's database.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// About so many MB of a vault; 0 leaves it as freshly installed.
    Megabytes(u64),
    /// A copy of what is in another one, of the same server and stopped: of a lab, or of a home.
    Like(&'a Path),
}

impl Content<'_> {
    fn of_home(self, name: &str) -> home::DatabaseOrigin {
        match self {
            Self::Megabytes(megabytes) => home::DatabaseOrigin::Made { megabytes },
            Self::Like(lab) => home::DatabaseOrigin::Copied { from: lab.join(name) },
        }
    }
}

/// A home that was made.
#[derive(Debug, Serialize)]
pub struct Made {
    /// The folder.
    pub home: String,
    /// How the other node reaches its database: HOST:DBPORT.
    pub endpoint: String,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.endpoint, self.home)
    }
}

/// What `lab up` made.
#[derive(Debug, Serialize)]
pub struct Lab {
    /// The primary.
    pub primary: Made,
    /// The secondary.
    pub secondary: Made,
}

impl fmt::Display for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "primary    {}", self.primary)?;
        writeln!(f, "secondary  {}", self.secondary)?;
        writeln!(
            f,
            "next: pmp-ha pack {} {} --home {}",
            self.primary.endpoint, self.secondary.endpoint, self.primary.home
        )
    }
}

/// Rows of a query, as tab-separated text.
#[derive(Debug, Serialize)]
pub struct QueryRows {
    /// The values, NULL as none.
    pub rows: Vec<Vec<Option<String>>>,
}

impl fmt::Display for QueryRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let line: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
            writeln!(f, "{}", line.join("\t"))?;
        }
        Ok(())
    }
}

/// Makes `dir/primary`, filled, and `dir/secondary`, fresh. Both are stopped.
pub async fn up(
    dir: &Path,
    server: &str,
    content: Content<'_>,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Lab> {
    let server = find_server(server)?;
    claim(dir)?;
    system::write_atomic(&dir.join(MARKER), b"a lab of pmp-ha; `pmp-ha lab down` removes it\n", 0o600, None)?;
    let made = async {
        let blueprint = |name: &str, word: &'static str, address, content: Content<'_>| Blueprint {
            root: dir.join(name),
            server: server.clone(),
            role_word: word,
            address,
            origin: content.of_home(name),
        };
        let fresh = match content {
            Content::Megabytes(_) => Content::Megabytes(0),
            Content::Like(_) => content,
        };
        let primary =
            make(&blueprint("primary", "master", Ipv4Addr::LOCALHOST, content), ui, interrupt).await?;
        let secondary =
            make(&blueprint("secondary", "slave", Ipv4Addr::new(127, 0, 0, 2), fresh), ui, interrupt).await?;
        Ok(Lab { primary, secondary })
    };
    let made: Result<Lab> = made.await;
    if made.is_err() {
        fs::remove_dir_all(dir)?;
    }
    made
}

/// Makes one more fresh installation, stopped.
pub async fn one_more(
    dir: &Path,
    server: &str,
    content: Content<'_>,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Made> {
    let server = find_server(server)?;
    claim(dir)?;
    let blueprint = Blueprint {
        root: dir.to_path_buf(),
        server,
        role_word: "master",
        address: Ipv4Addr::LOCALHOST,
        origin: content.of_home(""),
    };
    let made = make(&blueprint, ui, interrupt).await;
    if made.is_err() {
        fs::remove_dir_all(dir)?;
    }
    made
}

/// Runs a statement with the account of the product.
pub async fn sql(root: &Path, statement: &str) -> Result<QueryRows> {
    let home = Home::open(root)?;
    let params = home.database_params().map_err(|why| anyhow!(why))?;
    let account = Credential { user: params.username, password: params.password };
    let opened = Session::open(&Address::Socket(home.socket()), &account, Duration::from_secs(10)).await;
    let mut session = opened.map_err(|blind| {
        Failure::new(
            Kind::Failed,
            format!("cannot ask the database of {} with the product's account", root.display()),
        )
        .because(blind.evidence)
        .hint(format!("`pmp-ha --home {} start` starts the database.", root.display()))
    })?;
    session.run(format!("USE {}", crate::domain::sql::quote_name(&params.schema))).await?;
    let rows = session.query(statement).await?;
    session.close().await;
    Ok(QueryRows {
        rows: rows
            .iter()
            .map(|row| row.values().map(|value| value.map(ToOwned::to_owned)).collect())
            .collect(),
    })
}

/// A lab that is gone.
#[derive(Debug, Serialize)]
pub struct Removed {
    /// The folder.
    pub removed: String,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removed {}", self.removed)
    }
}

/// Stops every database of a lab and removes its folder.
pub async fn down(dir: &Path, ui: &Ui, interrupt: &Interrupt) -> Result<Removed> {
    if !dir.join(MARKER).is_file() {
        bail!(
            Failure::new(Kind::Refused, "cannot remove the lab")
                .code("no-lab")
                .because(format!("{} was not created by `pmp-ha lab up`", dir.display()))
                .hint("Name the folder that `pmp-ha lab up` created.")
        );
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if Home::is_at(&path) {
            let home = Home::open(&path)?;
            entry::enter(&home)?;
            let waiting = ui.spinner("a database of the lab is stopping");
            let stopped = Database::of(&home, interrupt).stop(STOP_DEADLINE).await?;
            drop(waiting);
            if stopped {
                ui.say(format!("stopped the database of {}", path.display()));
            }
        }
    }
    fs::remove_dir_all(dir)?;
    Ok(Removed { removed: dir.display().to_string() })
}

/// The folder of a server: a path, or the name of one that `scripts/fetch-servers` brought.
fn find_server(named: &str) -> Result<PathBuf> {
    let folder = |var: &str| std::env::var_os(var).filter(|value| !value.is_empty()).map(PathBuf::from);
    let fetched = folder("PMP_HA_SERVERS")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("pmp-ha/servers")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/pmp-ha/servers")));
    let places = [Some(PathBuf::from(named)), fetched.map(|folder| folder.join(named))];
    let whole = |place: &PathBuf| place.join("bin/mysqld").is_file() && place.join("bin/initdb").is_file();
    match places.into_iter().flatten().find(whole) {
        Some(place) => Ok(std::path::absolute(place)?),
        None => bail!(
            Failure::new(Kind::Refused, format!("there is no server {named}"))
                .code("no-server")
                .because("neither a folder of that name nor a fetched server has bin/mysqld and bin/initdb")
                .hint(format!("Fetch it: scripts/fetch-servers {named}"))
        ),
    }
}

fn claim(dir: &Path) -> Result<()> {
    if dir.exists() {
        bail!(
            Failure::new(Kind::Refused, "cannot create the lab")
                .code("exists")
                .because(format!("{} already exists", dir.display()))
                .hint("Name a new folder, or remove the old lab with `pmp-ha lab down`.")
        );
    }
    fs::create_dir_all(dir)?;
    Ok(())
}
