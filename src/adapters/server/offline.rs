//! The offline boot: the server without a network, to do one task.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use fs_err as fs;

use super::process::{BOOT_USER, Database, ENDING_GRACE, LOCK_GRACE, TICK};
use super::session::{Address, Session};
use crate::adapters::home::saved::remove;
use crate::adapters::home::{Credential, after_crash};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::{random, system};
use crate::domain::flavor::{Account, Flavor};
use crate::domain::settings::take_in;
use crate::domain::start_script;

/// The script that an offline boot runs: the product's own, with another option file.
const BOOT_SCRIPT: &str = "pmp-ha-boot.sh";

impl Database<'_> {
    /// The servers that run with an offline boot's option file, even before they lock their data.
    #[must_use]
    pub fn offline_boots(&self) -> Vec<u32> {
        let [_, option_file, _] = self.boot_files();
        let given = |option: &str| self.servers_with(&format!("{option}={}", option_file.display()));
        start_script::OPTIONS.into_iter().flat_map(given).collect()
    }

    /// Stops a server that the offline boot of an interrupted run left, and removes its files.
    ///
    /// It never touches a server that was started in another way.
    pub async fn clear_offline_boot(&self, deadline: Duration) -> Result<()> {
        self.wait_for_boot().await?;
        // What is undone is undone to its end.
        let uninterrupted = Interrupt::default();
        for pid in self.offline_boots() {
            self.end(pid, deadline, &uninterrupted).await?;
        }
        for path in self.boot_files() {
            remove(&system::temporary_of(&path))?;
            remove(&path)?;
        }
        remove(&self.home.boot_tmp())
    }

    /// Ends the server of an offline boot at once, without a clean stop: its data are thrown away.
    pub async fn kill_offline_boot(&self) -> Result<()> {
        self.wait_for_boot().await?;
        let begun = Instant::now();
        while let Some(pid) = self.offline_boots().into_iter().next() {
            if begun.elapsed() > LOCK_GRACE {
                bail!("process {pid}, which uses data that pmp-ha must remove, does not end");
            }
            system::kill_at_once(pid)?;
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    /// Waits until the server of an offline boot has ended, if it is about to. Returns whether it has.
    pub async fn offline_boot_has_ended(&self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < ENDING_GRACE {
            if self.offline_boots().is_empty() {
                return true;
            }
            tokio::time::sleep(TICK).await;
        }
        false
    }

    async fn wait_for_boot(&self) -> Result<()> {
        let [script, option_file, _] = self.boot_files();
        let option_file = option_file.display();
        let mut words = start_script::OPTIONS.map(|option| format!("{option}={option_file}")).to_vec();
        words.push(script.display().to_string());
        self.wait_for_start(&words).await
    }

    fn boot_files(&self) -> [PathBuf; 3] {
        [
            self.home.path("bin").join(BOOT_SCRIPT),
            self.home.work().join("boot.cnf"),
            self.home.work().join("boot.sql"),
        ]
    }

    /// Boots the server with a copy of the product's start script, without network and replication.
    ///
    /// The boot has its own socket, and an account that exists only during this boot.
    ///
    /// `options` is the text of an option file; what makes the boot offline is added to it.
    pub async fn boot_offline(&self, flavor: &Flavor, options: &str, deadline: Duration) -> Result<Session> {
        let [script, option_file, init_file] = self.boot_files();
        let owner = system::owner(&self.home.data())?;
        let boot = Credential { user: BOOT_USER.into(), password: random::password() };
        let account = Account {
            user: &boot.user,
            host: "localhost",
            password: &boot.password,
            grants: &["ALL PRIVILEGES ON *.*"],
            demand: None,
            all_rights: true,
        };
        let mut init = String::from("SET SESSION sql_log_bin = 0;\n");
        for sql in flavor.create_account(&account) {
            init.push_str(sql.text());
            init.push_str(";\n");
        }
        system::private_dir(&self.home.work())?;
        system::show_to(&self.home.work(), owner)?;
        let account = self.home.account_of_server()?.map(|name| format!("user = \"{name}\"\n"));
        let product_script = system::read_text(&self.home.start_script(), system::SMALL)?;
        let wired = self
            .home
            .wire(&product_script, &option_file, None)
            .map_err(|why| anyhow!("the start script cannot be used: {}", why.0))?;
        let taken = wired.own_file.as_deref().map(take_in).unwrap_or_default();
        let text = format!(
            "[mysqld]\n{}{taken}\n{options}\n# this boot only\n[mysqld]\nskip-networking\n{}{}\nevent-scheduler = OFF\ninit-file = \"{}\"\n",
            account.unwrap_or_default(),
            // It has a socket of its own, in a folder that everybody may use.
            if flavor.has_mysqlx() { "mysqlx = OFF\n" } else { "" },
            flavor.option("skip-replica-start"),
            init_file.display()
        );
        for (file, text) in [(&init_file, &init), (&option_file, &text)] {
            system::write_atomic(file, text.as_bytes(), 0o600, None)?;
            system::show_to(file, owner)?;
        }
        system::write_script(&script, &wired.script, None)?;
        self.make_tmp()?;
        system::make_folder_of(&self.home.tmp(), start_script::BOOT_FOLDER, owner)?;

        after_crash::mend(self.home, &text)?;
        let address = Address::Socket(self.home.boot_socket());
        let logs_in = || async { Session::open(&address, &boot, Duration::from_secs(5)).await.is_ok() };
        let pid = self.launch(&script, &self.home.boot_tmp(), deadline, logs_in, Some(&wired)).await?;
        remove(&init_file)?;
        let opened = Session::open(&address, &boot, Duration::from_secs(10)).await;
        let mut session = opened.map_err(|blind| {
            anyhow!("the booted database (process {pid}) rejected the login: {}", blind.evidence)
        })?;
        let words = system::command_line_of(pid);
        let mut wrong = start_script::not_reached(&wired.option, &wired.asked, &words);
        wrong.extend(self.not_as_meant(&init_file, &session.variables().await?));
        if !wrong.is_empty() {
            session.run("SET SESSION sql_log_bin = 0").await?;
            session.run(format!("DROP USER '{BOOT_USER}'@'localhost'")).await?;
            session.close().await;
            return Err(self.refuse_server(pid, &wrong).await);
        }
        session.run("SET SESSION sql_log_bin = 0").await?;
        session.run("SET SESSION sql_mode = ''").await?;
        Ok(session)
    }

    /// What a server that lets us in says of itself, and should not, before anything is done in it.
    fn not_as_meant(&self, init_file: &Path, variables: &BTreeMap<String, String>) -> Vec<String> {
        let (data, init_file) = (self.home.data(), init_file.to_string_lossy());
        // The server may name its folder through links, or by the way that they lead.
        let says = variables.get("datadir").map(Path::new);
        let same = says.is_some_and(|says| fs::canonicalize(says).ok() == fs::canonicalize(&data).ok());
        let mut wrong = start_script::not_in_force(
            &[("skip_networking", "ON"), ("event_scheduler", "OFF"), ("init_file", &init_file)],
            variables,
        );
        if !same {
            wrong.push(format!("its data are not those in {}", data.display()));
        }
        wrong
    }

    /// Ends an offline boot: drops its account and stops the server cleanly.
    pub async fn end_offline_boot(&self, mut session: Session, deadline: Duration) -> Result<()> {
        session.run("SET SESSION sql_log_bin = 0").await?;
        session.run(format!("DROP USER '{BOOT_USER}'@'localhost'")).await?;
        session.close().await;
        self.clear_offline_boot(deadline).await
    }
}
