//! The words of a rehearsal: the topic of a check, its result, and the defects it found.

use std::fmt;

use serde::Serialize;

use crate::domain::words::one_line;

/// A defect that would prevent or spoil a recovery. Its code is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A page of a table differs from what the server wrote.
    AlteredPage,
    /// Binlogs that a crashed server would need are not there.
    BinlogMissing,
    /// The pack differs from what was made.
    DamagedPack,
    /// A file of the data directory is not there.
    FileMissing,
    /// The account of the product cannot be used.
    LoginFails,
    /// An account is not in the data.
    MissingAccounts,
    /// What was received cannot be applied.
    NotApplied,
    /// The redo log is not there, or cannot be used.
    RedoMissing,
    /// The server does not start on the data, or does not keep running.
    ServerFails,
    /// The pack is not the latest, or no secondary could replicate from it.
    StalePack,
    /// A table differs from the running database.
    TableDiffers,
    /// The server runs without TLS.
    TlsKey,
    /// A table cannot be read.
    UnreadableTable,
    /// The encryption key is not that of the data.
    WrongKey,
    /// The pack is of another version.
    WrongVersion,
}

impl Code {
    /// Every one, sorted.
    pub const ALL: [Self; 15] = [
        Self::AlteredPage,
        Self::BinlogMissing,
        Self::DamagedPack,
        Self::FileMissing,
        Self::LoginFails,
        Self::MissingAccounts,
        Self::NotApplied,
        Self::RedoMissing,
        Self::ServerFails,
        Self::StalePack,
        Self::TableDiffers,
        Self::TlsKey,
        Self::UnreadableTable,
        Self::WrongKey,
        Self::WrongVersion,
    ];
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlteredPage => "altered-page",
            Self::BinlogMissing => "binlog-missing",
            Self::DamagedPack => "damaged-pack",
            Self::FileMissing => "file-missing",
            Self::LoginFails => "login-fails",
            Self::MissingAccounts => "missing-accounts",
            Self::NotApplied => "not-applied",
            Self::RedoMissing => "redo-missing",
            Self::ServerFails => "server-fails",
            Self::StalePack => "stale-pack",
            Self::TableDiffers => "table-differs",
            Self::TlsKey => "tls-key",
            Self::UnreadableTable => "unreadable-table",
            Self::WrongKey => "wrong-key",
            Self::WrongVersion => "wrong-version",
        })
    }
}

/// What a check is about, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The encryption key that recovery needs.
    Key,
    /// Whether the pack is of the version of this home.
    Version,
    /// Whether a secondary could replicate from the pack.
    Age,
    /// Whether the files are there that recovery needs.
    Files,
    /// Whether every byte of the pack is what was made.
    Content,
    /// Whether the server starts on the data.
    Start,
    /// Whether it uses TLS with the node's key.
    Tls,
    /// Whether what was received can be applied.
    Received,
    /// Whether the accounts are in the data.
    Accounts,
    /// Whether every table can be read.
    Tables,
    /// Whether the product's account logs in once the data stand alone.
    Login,
    /// Whether rows and checksums are those of the running database.
    Comparison,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Version => "version",
            Self::Age => "age",
            Self::Files => "files",
            Self::Content => "content",
            Self::Start => "start",
            Self::Tls => "tls",
            Self::Received => "received",
            Self::Accounts => "accounts",
            Self::Tables => "tables",
            Self::Login => "login",
            Self::Comparison => "comparison",
        })
    }
}

/// Something that would spoil a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Defect {
    /// Which.
    pub code: Code,
    /// The evidence.
    pub evidence: String,
    /// What to do, a sentence.
    pub hint: String,
}

impl Defect {
    /// Builds a defect.
    pub fn new(code: Code, evidence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, evidence: evidence.into(), hint: hint.into() }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// No defect was found.
    Passed,
    /// A defect was found.
    Failed,
    /// There was nothing to check, or no way to check it.
    NotDone,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about.
    pub check: Topic,
    /// How it ended.
    pub result: CheckResult,
    /// What was seen; why it was not done.
    pub evidence: String,
    /// What is wrong, if it failed.
    pub defects: Vec<Defect>,
}

impl Check {
    /// Returns a check that passed.
    pub fn passed(check: Topic, evidence: impl Into<String>) -> Self {
        Self { check, result: CheckResult::Passed, evidence: evidence.into(), defects: Vec::new() }
    }

    /// Returns a check that was not done.
    pub fn not_done(check: Topic, why: impl Into<String>) -> Self {
        Self { check, result: CheckResult::NotDone, evidence: why.into(), defects: Vec::new() }
    }

    /// Returns a check that found these defects, or passed if there are none.
    pub fn of(check: Topic, defects: Vec<Defect>, evidence: impl Into<String>) -> Self {
        let result = if defects.is_empty() { CheckResult::Passed } else { CheckResult::Failed };
        Self { check, result, evidence: evidence.into(), defects }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.result {
            CheckResult::Passed => writeln!(f, "  passed: {}: {}", self.check, one_line(&self.evidence)),
            CheckResult::NotDone => writeln!(f, "  not done: {}: {}", self.check, one_line(&self.evidence)),
            CheckResult::Failed => self.defects.iter().try_for_each(|defect| {
                writeln!(f, "  failed: {}: {} [{}]", self.check, one_line(&defect.evidence), defect.code)?;
                writeln!(f, "    hint: {}", one_line(&defect.hint))
            }),
        }
    }
}
