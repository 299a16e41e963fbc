//! A PMP home on disk: where its files are, and reading and writing them.

pub mod after_crash;
pub mod certificates;
pub mod datadir;
pub mod entry;
pub mod journal_file;
pub mod kept;
pub mod log_file;
mod pair_file;
pub mod remembered;
pub mod rotation;
pub mod saved;
pub mod script;
pub mod template;
pub mod traces;
pub mod undo_file;

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

pub use self::pair_file::read_membership;
use crate::adapters::bytes::digest::{Sha256, hash_file};
use crate::adapters::system;
use crate::domain::home::{DatabaseParams, KeyFile, PRIMARY_WORD, role_of};
use crate::domain::manifest::{Fingerprint, NODE_FILES};
use crate::domain::pair::{Membership, Role};
use crate::domain::properties::Properties;
use crate::domain::settings::TlsPaths;
use crate::domain::start_script::{BOOT_TMP, SOCKET};
use crate::domain::web::{self, Connector};
use crate::domain::wrapper::moved_params;
use crate::failure::{Failure, Kind};

/// Where the product keeps the role, below a home.
pub const ROLE_FILE: &str = "conf/serverstate.conf";

/// Where the product reads the path of its encryption key, below a home.
pub const KEY_FILE: &str = "conf/manage_key.conf";

/// Where the product's web server is configured, and the values that may stand in it, below a home.
const WEB_SERVER: &str = "conf/server.xml";
const WEB_VARIABLES: &str = "conf/catalina.properties";

/// A home. Cheap to clone: it has only its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// The tool's own accounts: `conf/pmp-ha/credentials.toml`, mode 0600.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The account with which the secondary reads the primary's binlog.
    pub replication: Credential,
    /// The account with which the primary reads the secondary's binlog.
    pub back: Credential,
    /// Reads the state of replication.
    pub monitor: Credential,
    /// Reads the data of the other node, to compare them.
    pub reader: Credential,
    /// Works on the server of this machine, and its events run as it.
    pub admin: Credential,
}

impl Credentials {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = Zeroizing::new(system::read_text(path, system::SMALL)?);
        // The parser's own message would quote the line, which holds a password.
        toml::from_str(&text).map_err(|_| anyhow!("{} cannot be read", path.display()))
    }
}

/// A database account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Drop for Credential {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

/// The file with the database connection. The product can keep it elsewhere.
const DATABASE_PARAMS: &str = "conf/database_params.conf";

/// Files and folders that every installation has, from the home.
const WHOLE: [&str; 9] = [
    "bin/startDB.sh",
    "bin/stopDB.sh",
    DATABASE_PARAMS,
    ROLE_FILE,
    KEY_FILE,
    "lib/AdventNetPassTrix.jar",
    "mysql/bin/mysqld",
    "mysql/data",
    "mysql/data/ibdata1",
];

impl Home {
    /// The home at `root`, an absolute path.
    pub fn open(root: &Path) -> Result<Self> {
        let refuse = |why: String| {
            Failure::new(Kind::Refused, format!("{} is not a PMP home", root.display()))
                .code("not-a-home")
                .because(why)
                .hint("Name the installation folder of Password Manager Pro with --home or PMP_HOME.")
        };
        let root = fs::canonicalize(root).map_err(|error| refuse(error.to_string()))?;
        if root.to_str().is_none() {
            bail!(refuse("its path is not UTF-8".into()));
        }
        let home = Self { root };
        for wanted in ["bin", "conf", "mysql"] {
            let found = fs::metadata(home.path(wanted));
            if found.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
                bail!(
                    Failure::new(Kind::Refused, format!("this account cannot read {}", home.root.display()))
                        .code("home-not-readable")
                        .because(format!("{} may not read it", system::user_name()))
                        .hint("Run pmp-ha as the account that owns the home, or as root.")
                );
            }
            if !found.is_ok_and(|found| found.is_dir()) {
                bail!(refuse(format!("it has no folder {wanted}")));
            }
        }
        Ok(home)
    }

    /// Returns whether a folder looks like a home.
    #[must_use]
    pub fn is_at(root: &Path) -> bool {
        root.join(ROLE_FILE).is_file() && root.join("mysql").is_dir() && root.join("bin").is_dir()
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The accounts that may run the product or its database: root, and the owners.
    ///
    /// They are the owners of the home and of the data.
    #[must_use]
    pub fn owners(&self) -> system::Owners {
        system::Owners::of(&[self.root(), &self.data()])
    }

    /// A path below the home.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path("mysql/data")
    }

    /// The account of the server, if root starts it for another account.
    ///
    /// The option file must name it, because a server uses the first account that is set.
    pub fn account_of_server(&self) -> Result<Option<String>> {
        let owner = system::owner(&self.data())?;
        Ok((system::is_root() && !owner.is_root()).then(|| owner.name()))
    }

    /// The folder that the server's socket and temporary files go to.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.path("mysql/tmp")
    }

    /// The server's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.tmp().join(SOCKET)
    }

    /// The folder that an offline boot has instead of [`Self::tmp`]. It is the owner's alone.
    #[must_use]
    pub fn boot_tmp(&self) -> PathBuf {
        self.path(BOOT_TMP)
    }

    /// The socket of an offline boot, in a place where no client looks for the database.
    #[must_use]
    pub fn boot_socket(&self) -> PathBuf {
        self.boot_tmp().join(SOCKET)
    }

    /// The folder `replication`, where packs are made and carried to.
    #[must_use]
    pub fn replication(&self) -> PathBuf {
        self.path("replication")
    }

    /// The pack that `pack` writes and `install-pack` looks for.
    #[must_use]
    pub fn pack(&self) -> PathBuf {
        self.path("replication/HAPack.zip")
    }

    /// Returns the folder with what a running command needs to undo its changes.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.path("replication/pmp-ha-work")
    }

    /// The journal of everything that was done to this home.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path("replication/pmp-ha-journal.jsonl")
    }

    /// The folder with what the monitor remembers of alarms, and their queue.
    #[must_use]
    pub fn alarms(&self) -> PathBuf {
        self.path("replication/pmp-ha-alarms")
    }

    /// The chronicle of what the monitor saw.
    #[must_use]
    pub fn chronicle(&self) -> PathBuf {
        self.path("replication/pmp-ha-events.redb")
    }

    /// The start script.
    #[must_use]
    pub fn start_script(&self) -> PathBuf {
        self.path("bin").join(system::START_SCRIPT)
    }

    /// The tool's own files of this node.
    #[must_use]
    pub fn node_files(&self) -> PathBuf {
        self.path(NODE_FILES)
    }

    /// The option file that the wired start script hands to mysqld.
    #[must_use]
    pub fn option_file(&self) -> PathBuf {
        self.node_files().join("mysqld.cnf")
    }

    /// Returns whether this node has the key of a CA that the pair trusts.
    #[must_use]
    pub fn has_ca_key(&self) -> bool {
        self.node_files().join("ca-key.pem").is_file()
    }

    /// The note that these data must be compared with the primary's, after a rollback.
    #[must_use]
    pub fn compare_due(&self) -> PathBuf {
        self.node_files().join("compare-due")
    }

    /// Returns the paths of this node's TLS files.
    #[must_use]
    pub fn tls_paths(&self) -> TlsPaths {
        let path = |name: &str| self.node_files().join(name).to_string_lossy().into_owned();
        TlsPaths { ca: path("ca.pem"), cert: path("node.pem"), key: path("node-key.pem") }
    }

    /// Returns the files that a complete installation has and this one lacks.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let place = |path: &str| match path {
            DATABASE_PARAMS => self.database_params_path(),
            path => self.path(path),
        };
        let gone = |path: &&&str| !place(path).exists();
        // A file that the product's configuration has moved is missing in its new place.
        let named = |path: &&str| match (*path, self.moved_params()) {
            (DATABASE_PARAMS, Some(_)) => self.database_params_path().display().to_string(),
            (path, _) => path.to_owned(),
        };
        let mut out: Vec<String> = WHOLE.iter().filter(gone).map(named).collect();
        // Without the folder the file in it is missing, too: say it once.
        if out.iter().any(|path| path == "mysql/data") {
            out.retain(|path| path != "mysql/data/ibdata1");
        }
        out
    }

    /// The word in `conf/serverstate.conf`, empty if there is none.
    #[must_use]
    pub fn role_word(&self) -> String {
        system::read_text(&self.path(ROLE_FILE), system::SMALL).unwrap_or_default()
    }

    /// The role that the word means.
    #[must_use]
    pub fn role(&self) -> Role {
        role_of(&self.role_word())
    }

    /// Writes the role. A secondary's word is what the product's installer wrote there: without it
    /// nothing is written.
    pub fn write_role(&self, role: Role, word: Option<&str>) -> Result<()> {
        match (role, word) {
            (Role::Primary, _) => self.write_conf(ROLE_FILE, PRIMARY_WORD),
            (Role::Secondary, Some(word)) => self.write_conf(ROLE_FILE, word),
            (Role::Secondary, None) => Ok(()),
        }
    }

    /// Writes one of the product's configuration files, keeping its owner and mode.
    pub fn write_conf(&self, relative: &str, text: &str) -> Result<()> {
        let path = self.path(relative);
        let (mode, owner) = if path.exists() {
            (system::mode(&path)?, system::owner(&path)?)
        } else {
            (0o600, system::owner(&self.path("conf"))?)
        };
        system::write_atomic(&path, text.as_bytes(), mode, Some(owner))
    }

    /// Reads `conf/database_params.conf`, wherever the wrapper's configuration says that it is.
    pub fn database_params(&self) -> Result<DatabaseParams, String> {
        let path = self.database_params_path();
        let bytes = system::read_bytes(&path, system::SMALL).map_err(|error| error.to_string())?;
        DatabaseParams::parse(&Properties::new(Zeroizing::new(bytes)))
    }

    /// Where `conf/database_params.conf` is.
    #[must_use]
    pub fn database_params_path(&self) -> PathBuf {
        // The product's folder bin is where relative paths begin.
        let moved = self.moved_params().map(|moved| self.path("bin").join(moved));
        moved.unwrap_or_else(|| self.path(DATABASE_PARAMS))
    }

    /// Where the configuration of the wrapper moves `conf/database_params.conf`, if it does.
    fn moved_params(&self) -> Option<String> {
        // The second one is that of Windows, which an installation may keep from another life.
        let conf = ["conf/wrapper_lin.conf", "conf/wrapper.conf"].iter().map(|name| self.path(name));
        let bytes = system::read_bytes(&conf.into_iter().find(|path| path.exists())?, system::SMALL).ok()?;
        // A comment may be in any encoding.
        moved_params(&String::from_utf8_lossy(&bytes), &self.root.to_string_lossy())
    }

    /// The connectors of Password Manager Pro in `conf/server.xml`, the one for users first.
    pub fn connectors(&self) -> Result<Vec<Connector>, String> {
        let path = self.path(WEB_SERVER);
        let text = system::read_bytes(&path, system::SMALL).map_err(|error| error.to_string())?;
        // An installer of another language may have written another encoding; the ports are ASCII.
        let text = String::from_utf8(text)
            .unwrap_or_else(|odd| odd.into_bytes().into_iter().map(char::from).collect());
        let variables = system::read_bytes(&self.path(WEB_VARIABLES), system::SMALL).unwrap_or_default();
        web::connectors(&text, &Properties::new(variables))
            .map_err(|why| format!("{}: {why}", path.display()))
    }

    /// The web port for users in `conf/server.xml`.
    #[must_use]
    pub fn web_port(&self) -> Option<u16> {
        self.connectors().ok()?.first().map(|connector| connector.port)
    }

    /// The key file that `conf/manage_key.conf` names.
    #[must_use]
    pub fn key_path(&self) -> Option<PathBuf> {
        let named = system::read_path(&self.path(KEY_FILE), system::SMALL).ok()??;
        // The product runs in its folder bin.
        Some(self.path("bin").join(named))
    }

    /// Returns what the home knows about its pair; `None` if it belongs to none.
    pub fn membership(&self) -> Result<Option<Membership>> {
        pair_file::load(&self.node_files().join("pair.toml"))
    }

    /// Returns what the home knows about its pair, or a refusal if it belongs to none.
    pub fn require_membership(&self) -> Result<Membership> {
        self.membership()?.ok_or_else(|| {
            Failure::new(Kind::Refused, "this home does not belong to a pair yet")
                .code("not-paired")
                .because(format!("{} has no conf/pmp-ha/pair.toml", self.root.display()))
                .hint(
                    "Set up the pair: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.",
                )
                .into()
        })
    }

    /// The tool's own accounts.
    pub fn credentials(&self) -> Result<Credentials> {
        Credentials::read(&self.node_files().join("credentials.toml"))
    }

    /// Returns the hashes that identify the product's build; `None` if the files are missing.
    pub fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        let (jar, server) = (self.path("lib/AdventNetPassTrix.jar"), self.path(system::SERVER));
        if !jar.is_file() || !server.is_file() {
            return Ok(None);
        }
        Ok(Some(Fingerprint { product: hash_file(&jar)?, server: hash_file(&server)? }))
    }
}

/// Reads a file that is offered as the encryption key.
pub fn read_key(path: &Path) -> Result<KeyFile, String> {
    let meta = fs::metadata(path).map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    if meta.len() > 1 << 20 {
        return Ok(KeyFile::NotAKey("it is far too large"));
    }
    let bytes = system::read_bytes(path, system::SMALL).map_err(|error| error.to_string())?;
    Ok(KeyFile::parse(Zeroizing::new(bytes)))
}

/// Returns a salted hash of a key's value, which tells keys apart without revealing them.
#[must_use]
pub fn key_fingerprint(value: &str) -> String {
    Sha256::of(format!("pmp-ha encryption key\0{value}").as_bytes()).to_string()
}
