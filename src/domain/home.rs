//! The parsed content of the files of a PMP home.

use super::pair::Role;
use super::properties::Properties;

/// The word in a primary's `conf/serverstate.conf`.
pub const PRIMARY_WORD: &str = "master";

/// Reads the role from `conf/serverstate.conf`. The word of a secondary is not public, so
/// everything but the primary's word counts as secondary.
#[must_use]
pub fn role_of(word: &str) -> Role {
    if word.trim() == PRIMARY_WORD { Role::Primary } else { Role::Secondary }
}

/// How the application connects to its database, from `conf/database_params.conf`.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseParams {
    /// The account.
    pub username: String,
    /// The password as it is in the file.
    pub password: String,
    /// Whether that password is encrypted, so that only the product can use it.
    pub encrypted: bool,
    /// The port of the bundled server.
    pub port: u16,
    /// The schema as it is written in the URL.
    pub schema: String,
}

impl std::fmt::Debug for DatabaseParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseParams")
            .field("username", &self.username)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl DatabaseParams {
    /// Parses the file.
    ///
    /// # Errors
    /// Says which entry is missing or not understood; never shows a value that may be secret.
    pub fn parse(file: &Properties) -> Result<Self, String> {
        if let Some(why) = file.fault() {
            return Err(why.into());
        }
        let want = |key: &str| file.get(key).ok_or_else(|| format!("it has no entry '{key}'"));
        let (port, schema) = parse_url(&want("url")?)?;
        Ok(Self {
            username: want("username")?,
            password: file.get("password").unwrap_or_default(),
            encrypted: file
                .get("db.password.encrypted")
                .is_some_and(|v| v.trim().eq_ignore_ascii_case("true")),
            port,
            schema,
        })
    }
}

/// Returns port and schema of `jdbc:mysql://localhost:2345/PassTrix?…`.
fn parse_url(url: &str) -> Result<(u16, String), String> {
    let odd = || "its 'url' does not have the form jdbc:mysql://host:port/schema".to_owned();
    let rest = url.trim().strip_prefix("jdbc:mysql://").ok_or_else(odd)?;
    let (address, rest) = rest.split_once('/').ok_or_else(odd)?;
    let port = match address.rsplit_once(':') {
        Some((_, port)) => port.parse().map_err(|_| odd())?,
        None => 3306,
    };
    let schema = rest.split(['?', ';']).next().unwrap_or_default();
    if schema.is_empty() { Err(odd()) } else { Ok((port, schema.to_owned())) }
}

/// The content of a file that is offered as `pmp_key.key`.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyFile {
    /// A PMP key. Its value leaves this type only as a hash.
    Key(Vec<String>),
    /// Not one, and why.
    NotAKey(&'static str),
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(entries) => write!(f, "Key({} entries)", entries.len()),
            Self::NotAKey(why) => write!(f, "NotAKey({why})"),
        }
    }
}

/// Returns the product's program, Java or its wrapper, if `words` runs it out of `home`.
///
/// `words` is the command line of a process.
#[must_use]
pub fn product_program<'a>(words: &'a [String], home: &str) -> Option<&'a str> {
    let path = words.first()?;
    let program = path.rsplit('/').next().unwrap_or(path);
    let below = format!("{home}/");
    let inside = |word: &String| word.split([':', '=']).any(|part| part == home || part.starts_with(&below));
    (["java", "wrapper"].contains(&program) && words.iter().any(inside)).then_some(program)
}

impl KeyFile {
    /// Parses the bytes of the file. A rotated key leaves the older one as a further entry.
    #[must_use]
    pub fn parse(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        if bytes.trim_ascii().is_empty() {
            return Self::NotAKey("it is empty");
        }
        let file = Properties::new(bytes);
        match file.get("ENCRYPTIONKEY") {
            None if std::str::from_utf8(bytes).is_err() => Self::NotAKey("it is not a text file"),
            None => Self::NotAKey("it has no entry ENCRYPTIONKEY"),
            Some(value) if value.trim().is_empty() => Self::NotAKey("its entry ENCRYPTIONKEY is empty"),
            Some(current) => {
                let mut entries = vec![current.clone()];
                entries.extend(file.entries().map(|(_, value)| value).filter(|value| *value != current));
                Self::Key(entries)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_and_schema_come_from_the_url() {
        let file = Properties::new(
            "username=root\npassword=x\nurl=jdbc:mysql://localhost:2345/PassTrix?useUnicode=true\n",
        );
        let params = DatabaseParams::parse(&file).expect("parsable");
        assert_eq!((params.port, params.schema.as_str(), params.encrypted), (2345, "PassTrix", false));
        assert!(DatabaseParams::parse(&Properties::new("username=root\nurl=jdbc:x\n")).is_err());
        assert!(DatabaseParams::parse(&Properties::new("url=jdbc:mysql://h:1/x\n")).is_err());
    }

    #[test]
    fn the_product_is_known_by_its_program_and_by_the_home_in_its_words() {
        let program = |line: &str| {
            let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
            product_program(&words, "/opt/PMP").map(ToOwned::to_owned)
        };
        assert_eq!(program("/opt/PMP/jre/bin/java -Dserver.home=/opt/PMP").as_deref(), Some("java"));
        assert_eq!(program("./wrapper -c:/opt/PMP/conf/wrapper_lin.conf").as_deref(), Some("wrapper"));
        assert_eq!(program("/usr/bin/java -cp /opt/PMP2/lib/x.jar"), None);
        assert_eq!(program("/usr/bin/vi /opt/PMP/conf/server.xml"), None);
    }

    #[test]
    fn only_one_word_makes_a_primary() {
        assert_eq!(role_of("master\n"), Role::Primary);
        assert_eq!(role_of("slave"), Role::Secondary);
        assert_eq!(role_of("Master2"), Role::Secondary);
    }

    #[test]
    fn a_key_file_has_a_key_in_it() {
        assert!(
            matches!(KeyFile::parse("#x\nENCRYPTIONKEY=ab\\=\nOLD=cd\n"), KeyFile::Key(entries) if entries == ["ab=", "cd"])
        );
        assert_eq!(KeyFile::parse(" \n"), KeyFile::NotAKey("it is empty"));
        assert_eq!(KeyFile::parse("hello"), KeyFile::NotAKey("it has no entry ENCRYPTIONKEY"));
        assert_eq!(KeyFile::parse(b"\xff\xff"), KeyFile::NotAKey("it is not a text file"));
        assert!(matches!(KeyFile::parse(b"#\xfc\nENCRYPTIONKEY=ab"), KeyFile::Key(_)));
    }
}
