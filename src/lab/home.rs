//! A PMP home, as the product's installer creates it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use super::{Made, fill, ports};
use crate::adapters::home::saved::remove;
use crate::adapters::home::{Home, template};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::adapters::{random, system};
use crate::domain::datafiles::Layout;
use crate::domain::flavor::{Family, Flavor};
use crate::ui::Ui;

/// The properties of a new home.
pub(super) struct Blueprint {
    pub root: PathBuf,
    /// The folder of the server that is bundled with it.
    pub server: PathBuf,
    /// The word in `conf/serverstate.conf`.
    pub role_word: &'static str,
    /// Where the other node finds it.
    pub address: Ipv4Addr,
    /// Where its database comes from.
    pub origin: DatabaseOrigin,
}

/// The source of a home's database.
pub(super) enum DatabaseOrigin {
    /// The server makes it, and it is filled with so many MB.
    Made { megabytes: u64 },
    /// It is a copy of the one in another home.
    Copied { from: PathBuf },
}

/// What comes with a server of MariaDB to copy its data while it works.
const BACKUP_TOOL: &str = "mariadb-backup";

/// The time limit of the first boot.
const DEADLINE: Duration = Duration::from_secs(120);

/// Creates the home. Its database was booted once, without a network, and is stopped, or is a copy
/// of such a one.
pub(super) async fn make(blueprint: &Blueprint, ui: &Ui, interrupt: &Interrupt) -> Result<Made> {
    let root = &blueprint.root;
    for folder in [
        "bin",
        "conf",
        "lib",
        "logs",
        "licenses",
        "backUp",
        "replication",
        "mysql/bin",
        "mysql/share",
        "mysql/tmp",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    system::private_dir(root)?;
    system::private_dir(&root.join("conf"))?;
    let said = said_version(&blueprint.server).await?;
    write_bundled_server(blueprint, &said)?;
    let home = Home::open(root)?;
    let database = Database::of(&home, interrupt);
    let version = database.version().await?;
    let flavor = Flavor::of(&version).with_context(|| format!("{version} is not known"))?;
    let options = server_options(flavor.layout, version.family);
    let (db_port, web_port) = (ports::claim(root)?, ports::claim(root)?);
    let password = match &blueprint.origin {
        DatabaseOrigin::Made { .. } => random::password(),
        DatabaseOrigin::Copied { from } => {
            Home::open(from)?.database_params().map_err(|why| anyhow!(why))?.password
        }
    };
    write_configuration(blueprint, &options, db_port, web_port, &password)?;
    let made =
        Made { home: root.display().to_string(), endpoint: format!("{}:{db_port}", blueprint.address) };
    let megabytes = match &blueprint.origin {
        DatabaseOrigin::Made { megabytes } => *megabytes,
        DatabaseOrigin::Copied { from } => {
            copy_folder(&from.join("mysql/data"), &home.data(), interrupt)?;
            return Ok(made);
        }
    };

    ui.say(format!("{}: creating a fresh database of {version}", root.display()));
    let waiting = ui.spinner("creating the system tables");
    init_data(blueprint, &options).await?;
    let booted = database.boot_offline(flavor, "[mysqld]", DEADLINE).await;
    if booted.is_err() {
        // The folder is removed next, and a server must not run on without it.
        database.clear_offline_boot(DEADLINE).await?;
    }
    let mut session = booted?;
    drop(waiting);
    let filled = async {
        fill::schema(&mut session).await?;
        if megabytes > 0 {
            let progress = ui.progress("filling", megabytes << 20);
            fill::vault(&mut session, megabytes << 20, &progress, interrupt).await?;
        }
        let hosts = session.query("SELECT Host AS host FROM mysql.user WHERE User = 'root'").await?;
        for host in hosts.iter().filter_map(|row| row.get("host")) {
            session.run(flavor.set_password("root", &host, &password)).await?;
        }
        Ok(())
    };
    let filled: Result<()> = filled.await;
    if filled.is_err() {
        database.clear_offline_boot(DEADLINE).await?;
    }
    filled?;
    database.end_offline_boot(session, DEADLINE).await?;
    remove(&home.work())?;
    // The identity comes with the first start, as after the product's own installer.
    remove(&home.data().join("auto.cnf"))?;
    Ok(made)
}

fn copy_folder(from: &Path, to: &Path, interrupt: &Interrupt) -> Result<()> {
    system::private_dir(to)?;
    for entry in fs::read_dir(from)? {
        interrupt.check()?;
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target, interrupt)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Options that the product's start script gives besides those of every server.
fn server_options(layout: Layout, family: Family) -> Vec<&'static str> {
    let mut out = vec!["--lower-case-table-names=1"];
    match (layout, family) {
        // Everything lies in ibdata1, as in the product's own installations.
        // The smaller caches of tables take it a tenth of the memory, and so a third of the time of a start;
        // a start without its performance schema, which nobody asks here, a fourth of that. ibdata1 grows by 4
        // MB at a time, not by 64: so much less is copied, packed and hashed.
        (Layout::MySql5, _) => out.extend([
            "--innodb-file-per-table=0",
            "--innodb-autoextend-increment=4",
            "--innodb-log-file-size=8M",
            // 5.1 has none.
            "--loose-performance-schema=OFF",
            "--table-open-cache=200",
            "--table-definition-cache=400",
        ]),
        // The settings of a small machine: a third of the processor's work of a start, and of its memory. Of the
        // performance schema only what tells of statements, memory and errors has no room.
        (Layout::MySql8, _) => out.extend([
            "--mysqlx=OFF",
            "--innodb-redo-log-capacity=16M",
            "--innodb-log-writer-threads=OFF",
            "--innodb-log-buffer-size=1M",
            "--innodb-buffer-pool-size=32M",
            "--table-open-cache=200",
            "--table-definition-cache=400",
            "--max-connections=80",
            "--performance-schema-error-size=0",
            "--performance-schema-max-memory-classes=0",
            "--performance-schema-max-stage-classes=0",
            "--performance-schema-max-statement-classes=0",
        ]),
        (Layout::MariaDb, _) => out.extend([
            "--innodb-log-file-size=8M",
            "--innodb-log-buffer-size=2M",
            "--innodb-buffer-pool-size=32M",
            "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=1M",
            "--table-open-cache=200",
        ]),
    }
    out
}

/// What the server says of its version, which the script that stands for it in the home repeats.
async fn said_version(server: &Path) -> Result<String> {
    let mut command = tokio::process::Command::new(server.join("bin/mysqld"));
    command.args(["--no-defaults", "--version"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.context("cannot run the server")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn write_bundled_server(blueprint: &Blueprint, said: &str) -> Result<()> {
    let text = template::fill(
        include_str!("../../templates/lab/mysqld.sh"),
        &[("server", &blueprint.server.to_string_lossy()), ("version", &said.replace('\'', "'\\''"))],
    )?;
    let path = blueprint.root.join(system::SERVER);
    system::write_atomic(&path, text.as_bytes(), 0o755, None)?;
    let tool = blueprint.server.join("bin").join(BACKUP_TOOL);
    if tool.is_file() {
        system::link(&tool, &blueprint.root.join("mysql/bin").join(BACKUP_TOOL))?;
    }
    Ok(())
}

fn write_configuration(
    blueprint: &Blueprint,
    options: &[&str],
    db_port: u16,
    web_port: u16,
    password: &str,
) -> Result<()> {
    let root = &blueprint.root;
    let write = |path: &str, text: &str, mode: u32| {
        system::write_atomic(&root.join(path), text.as_bytes(), mode, None)
    };
    let start = template::fill(
        include_str!("../../templates/lab/startDB.sh"),
        &[("user", &system::user_name()), ("options", &options.join(" "))],
    )?;
    write("bin/startDB.sh", &start, 0o755)?;
    write("bin/stopDB.sh", include_str!("../../templates/lab/stopDB.sh"), 0o755)?;
    write("bin/pmp-service", include_str!("../../templates/lab/pmp-service"), 0o755)?;
    let params = template::fill(
        include_str!("../../templates/lab/database_params.conf"),
        &[("port", &db_port.to_string()), ("password", password)],
    )?;
    write("conf/database_params.conf", &params, 0o600)?;
    let key = format!("#The key of this installation\nENCRYPTIONKEY={}\\=\n", random::password());
    write("conf/pmp_key.key", &key, 0o600)?;
    write("conf/manage_key.conf", &root.join("conf/pmp_key.key").to_string_lossy(), 0o600)?;
    write("conf/serverstate.conf", blueprint.role_word, 0o644)?;
    write("conf/customer-config.xml", include_str!("../../templates/lab/customer-config.xml"), 0o644)?;
    let server_xml =
        template::fill(include_str!("../../templates/lab/server.xml"), &[("port", &web_port.to_string())])?;
    write("conf/server.xml", &server_xml, 0o644)?;
    write("lib/AdventNetPassTrix.jar", "stands for the product, build 6302\n", 0o644)
}

async fn init_data(blueprint: &Blueprint, options: &[&str]) -> Result<()> {
    let data = blueprint.root.join("mysql/data");
    let mut command = tokio::process::Command::new(blueprint.server.join("bin/initdb"));
    // A server that starts removes the temporary files of every other one in the same folder.
    let tmpdir = format!("--tmpdir={}", blueprint.root.join("mysql/tmp").display());
    command.arg(&data).arg(format!("--user={}", system::user_name())).arg(tmpdir).args(options);
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run the server's initdb")?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    // Its log belongs to the making, not to the installation.
    remove(&blueprint.root.join("mysql/data.init.log"))
}
