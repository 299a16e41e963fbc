//! The section `[alarm]`: the times of the rule, and the channels.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::channel::{
    CommandConfig, EmailConfig, FACILITIES, MailTls, SnmpConfig, SyslogConfig, WebhookConfig, host_and_port,
    is_loopback, looks_like_an_address, wrong_url,
};
use super::place::Complaint;
use crate::domain::alarm::Rules;

/// The section `[alarm]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmConfig {
    /// Seconds that a failure must last before it is announced.
    pub hold_down: u64,
    /// Seconds that a recovery must last before it is announced.
    pub hold_up: u64,
    /// Seconds between two reminders; 0 for none.
    pub remind_every: u64,
    /// Seconds without a look at the pair that are announced; 0 for never.
    pub blind_after: u64,
    /// With so many failures within an hour, a status flaps.
    pub flaps: usize,
    /// Seconds that a status that flapped must be Alive before that is announced.
    pub calm: u64,
    /// The file with the URL that the monitor requests after each successful check.
    pub dead_man_url_file: Option<PathBuf>,
    /// The URL itself.
    pub dead_man_url: String,
    /// Channels: e-mail.
    pub email: Vec<EmailConfig>,
    /// Channels: SNMP.
    pub snmp: Vec<SnmpConfig>,
    /// Channels: syslog.
    pub syslog: Vec<SyslogConfig>,
    /// Channels: webhooks.
    pub webhook: Vec<WebhookConfig>,
    /// Channels: commands.
    pub command: Vec<CommandConfig>,
}

impl Default for AlarmConfig {
    fn default() -> Self {
        let Rules { hold_down, hold_up, remind_every, blind_after, flaps, calm } = Rules::DEFAULT;
        Self {
            hold_down,
            hold_up,
            remind_every,
            blind_after,
            flaps,
            calm,
            dead_man_url_file: None,
            dead_man_url: String::new(),
            email: Vec::new(),
            snmp: Vec::new(),
            syslog: Vec::new(),
            webhook: Vec::new(),
            command: Vec::new(),
        }
    }
}

impl AlarmConfig {
    /// Whether somebody gets the alarms.
    #[must_use]
    pub fn has_channels(&self) -> bool {
        let Self { email, snmp, syslog, webhook, command, .. } = self;
        !(email.is_empty()
            && snmp.is_empty()
            && syslog.is_empty()
            && webhook.is_empty()
            && command.is_empty())
    }

    /// Whether there is a dead man's switch.
    #[must_use]
    pub fn has_dead_man(&self) -> bool {
        self.dead_man_url_file.is_some() || !self.dead_man_url.is_empty()
    }

    /// The times of the rule.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            hold_down: self.hold_down,
            hold_up: self.hold_up,
            remind_every: self.remind_every,
            blind_after: self.blind_after,
            flaps: self.flaps,
            calm: self.calm,
        }
    }

    /// Gives a name to each channel that has none.
    pub(super) fn name_channels(&mut self) {
        let kinds: [(&str, Vec<&mut String>); 5] = [
            ("email", self.email.iter_mut().map(|channel| &mut channel.name).collect()),
            ("snmp", self.snmp.iter_mut().map(|channel| &mut channel.name).collect()),
            ("syslog", self.syslog.iter_mut().map(|channel| &mut channel.name).collect()),
            ("webhook", self.webhook.iter_mut().map(|channel| &mut channel.name).collect()),
            ("command", self.command.iter_mut().map(|channel| &mut channel.name).collect()),
        ];
        for (kind, names) in kinds {
            let is_only = names.len() == 1;
            for (number, name) in names.into_iter().enumerate().filter(|(_, name)| name.is_empty()) {
                *name = if is_only { kind.to_owned() } else { format!("{kind}-{}", number + 1) };
            }
        }
    }

    /// Returns everything that is wrong.
    pub(super) fn complaints(&self) -> Vec<Complaint> {
        let mut out = Vec::new();
        let mut wrong = |key: String, why: String| out.push(Complaint { key, why });
        if self.remind_every > 0 && self.remind_every < 60 {
            wrong("alarm.remind_every".into(), "must be 0 or at least 60".into());
        }
        let url = &self.dead_man_url;
        if let Some(why) = (!url.is_empty()).then(|| wrong_url(url)).flatten() {
            wrong("alarm.dead_man_url".into(), why);
        }
        let mut names = std::collections::BTreeSet::new();
        for (channel, name) in self.all() {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.len() > 40 || !name.chars().all(is_word) {
                wrong(
                    format!("{channel}.name"),
                    "may have letters, digits, '-', '_' and '.', 40 at most".into(),
                );
            } else if !names.insert(name) {
                wrong(format!("{channel}.name"), format!("another channel is called {name}"));
            }
        }
        out.extend(self.complaints_of_channels());
        out
    }

    /// Returns what is wrong with what each kind of channel has of its own.
    fn complaints_of_channels(&self) -> Vec<Complaint> {
        let mut out = Vec::new();
        let mut wrong = |key: String, why: String| out.push(Complaint { key, why });
        for (number, channel) in self.email.iter().enumerate() {
            let key = |key: &str| format!("alarm.email.{number}.{key}");
            match host_and_port(&channel.server, 25) {
                Ok((host, 25)) if host == channel.server => {
                    if channel.tls == MailTls::None && channel.password_file.is_some() && !is_loopback(&host)
                    {
                        wrong(key("tls"), "a password must not be sent unencrypted".into());
                    }
                }
                Ok(_) => wrong(key("server"), "write only the host, and use the key `port`".into()),
                Err(why) => wrong(key("server"), why),
            }
            if channel.user.is_some() != channel.password_file.is_some() {
                wrong(key("user"), "user and password_file belong together".into());
            }
            if channel.to.is_empty() {
                wrong(key("to"), "must name a receiver".into());
            }
            for (field, address) in
                std::iter::once(("from", &channel.from)).chain(channel.to.iter().map(|to| ("to", to)))
            {
                if !looks_like_an_address(address) {
                    wrong(key(field), format!("'{address}' is not an e-mail address"));
                }
            }
        }
        for (number, channel) in self.snmp.iter().enumerate() {
            let key = |key: &str| format!("alarm.snmp.{number}.{key}");
            if let Err(why) = channel.address() {
                wrong(key("receiver"), why);
            }
            if let Err(why) = channel.base() {
                wrong(key("oid"), why);
            }
            for (field, why) in channel.wrong_security() {
                wrong(key(field), why.into());
            }
        }
        for (number, channel) in self.syslog.iter().enumerate() {
            let key = |key: &str| format!("alarm.syslog.{number}.{key}");
            if let Err(why) = channel.receiver() {
                wrong(key("receiver"), why);
            }
            if channel.facility_number().is_none() {
                wrong(key("facility"), format!("must be one of {}", FACILITIES.join(", ")));
            }
        }
        for (number, channel) in self.webhook.iter().enumerate() {
            let key = |key: &str| format!("alarm.webhook.{number}.{key}");
            match (channel.url.is_empty(), &channel.url_file) {
                (true, None) => wrong(key("url"), "is missing; write it, or url_file".into()),
                (false, Some(_)) => wrong(key("url"), "you cannot combine url and url_file".into()),
                (false, None) => {
                    if let Some(why) = wrong_url(&channel.url) {
                        wrong(key("url"), why);
                    }
                }
                (true, Some(_)) => {}
            }
        }
        for (number, channel) in self.command.iter().enumerate() {
            if channel.command.first().is_none_or(String::is_empty) {
                wrong(format!("alarm.command.{number}.command"), "must name a program".into());
            }
        }
        out
    }

    /// Every channel: its table and its name.
    fn all(&self) -> Vec<(String, &str)> {
        let mut out: Vec<(String, &str)> = Vec::new();
        let mut add = |kind: &str, number: usize, name| out.push((format!("alarm.{kind}.{number}"), name));
        self.email.iter().enumerate().for_each(|(number, c)| add("email", number, &c.name));
        self.snmp.iter().enumerate().for_each(|(number, c)| add("snmp", number, &c.name));
        self.syslog.iter().enumerate().for_each(|(number, c)| add("syslog", number, &c.name));
        self.webhook.iter().enumerate().for_each(|(number, c)| add("webhook", number, &c.name));
        self.command.iter().enumerate().for_each(|(number, c)| add("command", number, &c.name));
        out
    }
}

#[cfg(test)]
mod tests {
    fn complaints(text: &str) -> Vec<String> {
        let mut config: super::super::Config = toml::from_str(text).expect("TOML");
        config.alarm.name_channels();
        config.alarm.complaints().into_iter().map(|wrong| format!("{}: {}", wrong.key, wrong.why)).collect()
    }

    const MAIL: &str = "[[alarm.email]]\nserver = \"m\"\nfrom = \"a@b\"\nto = [\"Night <c@d>\"]\n";

    #[test]
    fn good_channels_are_taken() {
        let good = [
            MAIL,
            "[[alarm.snmp]]\nreceiver = \"[::1]:1162\"\ncommunity_file = \"c\"\n",
            "[[alarm.snmp]]\nreceiver = \"h\"\nversion = \"3\"\nuser = \"u\"\nauth = \"sha256\"\nauth_password_file = \"a\"\npriv = \"aes128\"\npriv_password_file = \"p\"\n",
            "[[alarm.syslog]]\n[[alarm.syslog]]\nreceiver = \"tls://h\"\nformat = \"rfc5424\"\nfacility = \"local0\"\n",
            "[[alarm.webhook]]\nurl = \"https://h/x?y\"\n[[alarm.webhook]]\nurl_file = \"u\"\n",
            "[[alarm.command]]\ncommand = [\"/bin/true\"]\n",
        ];
        for text in good {
            assert_eq!(complaints(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn whatever_is_wrong_is_named_with_its_key() {
        for (text, key) in [
            ("[alarm]\nremind_every = 5\n".to_owned(), "alarm.remind_every: "),
            (
                "[alarm]\ndead_man_url = \"http://example.com/x\"\n".into(),
                "alarm.dead_man_url: it must begin with https",
            ),
            (MAIL.replace("\"m\"", "\"m:25\""), "alarm.email.0.server: write only the host"),
            (MAIL.replace("\"m\"", "\"m m\""), "alarm.email.0.server: a host name cannot contain ' '"),
            (MAIL.replace("c@d", "cd"), "alarm.email.0.to: 'Night <cd>' is not an e-mail address"),
            (MAIL.replace("a@b", "a@b\\nBcc: x@y"), "alarm.email.0.from: "),
            (format!("{MAIL}user = \"u\"\n"), "alarm.email.0.user: user and password_file"),
            (format!("{MAIL}tls = \"none\"\nuser = \"u\"\npassword_file = \"p\"\n"), "alarm.email.0.tls: "),
            (
                format!("{MAIL}name = \"x\"\n{MAIL}name = \"x\"\n"),
                "alarm.email.1.name: another channel is called x",
            ),
            (format!("{MAIL}name = \"x y\"\n"), "alarm.email.0.name: may have"),
            ("[[alarm.snmp]]\nreceiver = \"h\"\n".into(), "alarm.snmp.0.community_file: is missing"),
            ("[[alarm.snmp]]\nreceiver = \"h\"\nversion = \"3\"\n".into(), "alarm.snmp.0.user: is missing"),
            (
                "[[alarm.snmp]]\nreceiver = \"h:99999\"\ncommunity_file = \"c\"\n".into(),
                "alarm.snmp.0.receiver: ",
            ),
            (
                "[[alarm.snmp]]\nreceiver = \"h\"\ncommunity_file = \"c\"\noid = \"1.3.x\"\n".into(),
                "alarm.snmp.0.oid: ",
            ),
            ("[[alarm.syslog]]\nreceiver = \"h:514\"\n".into(), "alarm.syslog.0.receiver: write udp://"),
            (
                "[[alarm.syslog]]\nfacility = \"authority\"\n".into(),
                "alarm.syslog.0.facility: must be one of kern, ",
            ),
            ("[[alarm.webhook]]\n".into(), "alarm.webhook.0.url: is missing"),
            ("[[alarm.webhook]]\nurl = \"ftp://x\"\n".into(), "alarm.webhook.0.url: 'ftp' is not https"),
            (
                "[[alarm.webhook]]\nurl = \"https://u:p@x\"\n".into(),
                "alarm.webhook.0.url: a URL must not contain a login",
            ),
            ("[[alarm.command]]\ncommand = []\n".into(), "alarm.command.0.command: must name a program"),
        ] {
            let found = complaints(&text);
            assert!(found.iter().any(|wrong| wrong.starts_with(key)), "{text}: {found:?}, not {key}");
        }
    }
}
