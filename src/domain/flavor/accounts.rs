//! Accounts and their rights, in the SQL of each server.

use super::{Accounts, Family, Flavor};
use crate::domain::datafiles::Layout;
use crate::domain::sql::{Sql, quote};

/// The certificate that an account demands, as the server writes names: `/CN=pmp.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// Whose it is.
    pub subject: String,
    /// The CA that issued it, if only one can have done so.
    pub issuer: Option<String>,
}

/// An account to create.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// The name.
    pub user: &'a str,
    /// The host it may come from.
    pub host: &'a str,
    /// The password.
    pub password: &'a str,
    /// The certificate that is required, if one is.
    pub demand: Option<&'a Demand>,
    /// `PRIVILEGES ON object`, one a statement.
    pub grants: &'a [&'a str],
    /// Whether it may grant rights: only the account of an offline boot.
    pub all_rights: bool,
}

impl Flavor {
    /// Creates an account, or gives an existing one this password and this requirement.
    #[must_use]
    pub fn create_account(&self, account: &Account<'_>) -> Vec<Sql> {
        let who = format!("{}@{}", quote(account.user), quote(account.host));
        let password = quote(account.password);
        let require = account.demand.map_or_else(String::new, |demand| {
            let issuer = demand.issuer.as_ref().map(|issuer| format!(" AND ISSUER {}", quote(issuer)));
            format!(" REQUIRE SUBJECT {}{}", quote(&demand.subject), issuer.unwrap_or_default())
        });
        match self.accounts {
            Accounts::Grant => {
                let option = if account.all_rights { " WITH GRANT OPTION" } else { "" };
                let first = account.grants.first().copied().unwrap_or("USAGE ON *.*");
                let mut out =
                    vec![format!("GRANT {first} TO {who} IDENTIFIED BY {password}{require}{option}").into()];
                out.extend(
                    account.grants.iter().skip(1).map(|grant| format!("GRANT {grant} TO {who}").into()),
                );
                out
            }
            Accounts::CreateUser => {
                let option = if account.all_rights { " WITH GRANT OPTION" } else { "" };
                let mut out = vec![
                    format!("CREATE USER IF NOT EXISTS {who} IDENTIFIED BY {password}{require}").into(),
                    format!("ALTER USER {who} IDENTIFIED BY {password}{require}").into(),
                ];
                out.extend(
                    account.grants.iter().map(|grant| format!("GRANT {grant} TO {who}{option}").into()),
                );
                out
            }
        }
    }

    /// Makes an account with these rights and no others, with which nobody can log in.
    #[must_use]
    pub fn make_locked_account(&self, user: &str, password: &str, grants: &[String]) -> Vec<Sql> {
        let (who, password) = (format!("{}@'localhost'", quote(user)), quote(password));
        let mut out: Vec<Sql> = vec![
            format!("CREATE USER IF NOT EXISTS {who} IDENTIFIED BY {password} ACCOUNT LOCK").into(),
            format!("ALTER USER {who} IDENTIFIED BY {password} ACCOUNT LOCK").into(),
            format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {who}").into(),
        ];
        out.extend(grants.iter().map(|grant| format!("GRANT {grant} TO {who}").into()));
        out
    }

    /// Changes the password of an existing account.
    #[must_use]
    pub fn set_password(&self, user: &str, host: &str, password: &str) -> Sql {
        let who = format!("{}@{}", quote(user), quote(host));
        Sql::new(match self.accounts {
            Accounts::Grant => format!("SET PASSWORD FOR {who} = PASSWORD({})", quote(password)),
            Accounts::CreateUser => format!("ALTER USER {who} IDENTIFIED BY {}", quote(password)),
        })
    }

    /// Returns the rights of the monitor account.
    ///
    /// It sees replication and the names of written tables, and nothing more: no statement that runs. What it
    /// may not see is in [`crate::domain::questions`].
    #[must_use]
    pub fn monitor_grants(&self) -> Vec<&'static str> {
        match (self.family, self.layout) {
            (Family::MariaDb, _) => {
                vec!["BINLOG MONITOR, SLAVE MONITOR ON *.*", "SELECT ON `pmp\\_ha`.*"]
            }
            (Family::MySql, Layout::MySql8) => vec![
                "REPLICATION CLIENT, REPLICATION SLAVE ON *.*",
                "SELECT ON `pmp\\_ha`.*",
                "SELECT ON performance_schema.replication_applier_configuration",
                "SELECT ON performance_schema.replication_applier_status_by_worker",
                "SELECT ON performance_schema.replication_connection_status",
                "SELECT ON performance_schema.tls_channel_status",
            ],
            (Family::MySql, _) => {
                vec!["REPLICATION CLIENT, REPLICATION SLAVE ON *.*", "SELECT ON `pmp\\_ha`.*"]
            }
        }
    }

    /// Returns the tables with an account's rights, and the column that names the account.
    #[must_use]
    pub fn grant_tables(&self) -> Vec<(&'static str, &'static str)> {
        let mut out = match self.family {
            Family::MySql => vec![("user", "User")],
            Family::MariaDb => vec![("global_priv", "User"), ("roles_mapping", "User")],
        };
        out.extend(["db", "tables_priv", "columns_priv", "procs_priv"].map(|table| (table, "User")));
        if self.has_proxies() {
            out.push(("proxies_priv", "User"));
        }
        if self.layout == Layout::MySql8 {
            out.extend([
                ("global_grants", "USER"),
                ("role_edges", "TO_USER"),
                ("default_roles", "USER"),
                ("password_history", "User"),
            ]);
        }
        out
    }

    /// Returns the tables of [`Self::grant_tables`] whose rows survive `REVOKE ALL PRIVILEGES`.
    #[must_use]
    pub fn grants_that_revoke_leaves(&self) -> &'static [(&'static str, &'static str)] {
        match (self.family, self.layout) {
            (Family::MariaDb, _) => &[("roles_mapping", "User"), ("proxies_priv", "User")],
            (Family::MySql, Layout::MySql8) => {
                &[("role_edges", "TO_USER"), ("default_roles", "USER"), ("proxies_priv", "User")]
            }
            (Family::MySql, _) if !self.has_proxies() => &[],
            (Family::MySql, _) => &[("proxies_priv", "User")],
        }
    }

    /// Where the rights of an account are stored, as SQL expressions.
    ///
    /// They are table, account name, host, object, and right. `{priv}` stands for all its `…_priv`
    /// columns.
    #[must_use]
    pub fn rights(&self) -> Vec<[&'static str; 5]> {
        let mut out = vec![
            ["db", "User", "Host", "CONCAT(Db, '.*')", "{priv}"],
            [
                "tables_priv",
                "User",
                "Host",
                "CONCAT(Db, '.', Table_name)",
                "CONCAT_WS('/', Table_priv, Column_priv)",
            ],
            ["columns_priv", "User", "Host", "CONCAT(Db, '.', Table_name, '.', Column_name)", "Column_priv"],
            ["procs_priv", "User", "Host", "CONCAT(Db, '.', Routine_name, '()')", "Proc_priv"],
        ];
        if self.has_proxies() {
            out.push(["proxies_priv", "User", "Host", "CONCAT('proxy of ', Proxied_user)", "'PROXY'"]);
        }
        match (self.family, self.layout) {
            (Family::MariaDb, _) => out.extend([
                ["global_priv", "User", "Host", "'*.*'", "JSON_VALUE(Priv, '$.access')"],
                ["roles_mapping", "User", "Host", "CONCAT('role ', Role)", "Admin_option"],
            ]),
            (Family::MySql, Layout::MySql8) => out.extend([
                ["user", "User", "Host", "'*.*'", "{priv}"],
                ["global_grants", "USER", "HOST", "'*.*'", "CONCAT_WS(' ', PRIV, WITH_GRANT_OPTION)"],
                ["role_edges", "TO_USER", "TO_HOST", "CONCAT('role ', FROM_USER)", "WITH_ADMIN_OPTION"],
            ]),
            (Family::MySql, _) => out.push(["user", "User", "Host", "'*.*'", "{priv}"]),
        }
        out
    }
}
