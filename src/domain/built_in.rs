//! The parts of the program that a build may leave out, and what it says without them.

use std::fmt::Write as _;
use std::sync::LazyLock;

/// A part that a build may leave out: a feature of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// The channels of alarms.
    Alarms,
    /// TLS 1.0 and 1.1, for `MySQL` 5.6 and early builds of 5.7.
    OldTls,
    /// Packs that are encrypted to one reader.
    Sealed,
    /// The page of the monitor.
    Page,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alarms, Self::OldTls, Self::Sealed, Self::Page];

    /// Its name as a feature.
    #[must_use]
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Alarms => "alarms",
            Self::OldTls => "old-tls",
            Self::Sealed => "sealed",
            Self::Page => "page",
        }
    }

    /// Whether this program has it.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::Alarms => cfg!(feature = "alarms"),
            Self::OldTls => cfg!(feature = "old-tls"),
            Self::Sealed => cfg!(feature = "sealed"),
            Self::Page => cfg!(feature = "page"),
        }
    }

    /// Why something cannot be done without it.
    #[must_use]
    pub const fn absent(self) -> &'static str {
        match self {
            Self::Alarms => "this pmp-ha was built without `alarms`",
            Self::OldTls => {
                "the database supports no TLS newer than 1.1, and this pmp-ha was built without `old-tls`"
            }
            Self::Sealed => "this pmp-ha was built without `sealed`",
            Self::Page => "this pmp-ha was built without `page`",
        }
    }

    /// How to get it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Alarms => {
                "Install a pmp-ha package, or build it with `cargo build --release --features alarms`."
            }
            Self::OldTls => {
                "Install a pmp-ha package, or build it with `cargo build --release --features old-tls`."
            }
            Self::Sealed => {
                "Install a pmp-ha package, or build it with `cargo build --release --features sealed`."
            }
            Self::Page => {
                "Install a pmp-ha package, or build it with `cargo build --release --features page`."
            }
        }
    }
}

/// The output of `pmp-ha --version`: the version, and the parts of this program.
#[must_use]
pub fn long_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(version_and_parts);
    &TEXT
}

fn version_and_parts() -> String {
    let named = |built_in: bool| {
        let mut names: Vec<&str> = Feature::ALL
            .iter()
            .filter(|part| part.is_built_in() == built_in)
            .map(|part| part.feature())
            .collect();
        if built_in && cfg!(feature = "static-openssl") {
            names.push("static-openssl");
        }
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    let mut text = env!("CARGO_PKG_VERSION").to_owned();
    // ignored: it is a text in memory
    let _ = write!(text, "\nbuilt in: {}\nleft out: {}", named(true), named(false));
    let known = |value: Option<&'static str>| value.filter(|value| !value.is_empty()).unwrap_or("unknown");
    let openssl = match (cfg!(feature = "static-openssl"), cfg!(feature = "old-tls")) {
        (true, _) => format!(", OpenSSL {} (compiled in)", known(option_env!("PMP_HA_OPENSSL"))),
        (false, true) => ", OpenSSL (of the system)".to_owned(),
        (false, false) => String::new(),
    };
    // ignored: it is a text in memory
    let _ = write!(
        text,
        "\ncommit: {}\ndate: {}\ntarget: {}\nTLS: rustls {} with AWS-LC (aws-lc-sys {}){openssl}",
        known(option_env!("PMP_HA_COMMIT")),
        known(option_env!("PMP_HA_DATE")),
        known(option_env!("PMP_HA_TARGET")),
        known(option_env!("PMP_HA_RUSTLS")),
        known(option_env!("PMP_HA_AWS_LC")),
    );
    text
}
