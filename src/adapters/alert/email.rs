//! E-mail: the only file that uses lettre.

use anyhow::{Result, anyhow, bail};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::secret::{self, Files};
use super::tls::Authorities;
use crate::config::channel::{EmailConfig, MailTls};
use crate::domain::alarm::{AlarmEvent, AlarmKind};

/// A mail server and its receivers.
pub struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    server: String,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Email {
    pub fn open(config: &EmailConfig, files: &Files<'_>, key: &str) -> Result<Self> {
        let address = |field: &str, text: &str| {
            text.parse::<Mailbox>()
                .map_err(|error| files.wrong(&format!("{key}.{field}"), format!("'{text}': {error}")))
        };
        let encryption = match config.tls {
            MailTls::None => Tls::None,
            MailTls::Tls | MailTls::Starttls => {
                let authorities =
                    Authorities::read(files, &format!("{key}.ca_file"), config.ca_file.as_deref())?;
                let mut tls =
                    TlsParameters::builder(config.server.clone()).certificate_store(CertificateStore::None);
                for der in authorities.certificates() {
                    tls = tls.add_root_certificate(Certificate::from_der(der.to_vec())?);
                }
                let tls = tls.build()?;
                if config.tls == MailTls::Tls { Tls::Wrapper(tls) } else { Tls::Required(tls) }
            }
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.server)
            .port(config.port())
            .tls(encryption)
            .timeout(Some(std::time::Duration::from_secs(config.deadline)));
        if let Some((user, path)) = config.user.as_ref().zip(config.password_file.as_ref()) {
            let password = secret::read(files, &format!("{key}.password_file"), path)?;
            builder = builder.credentials(Credentials::new(user.clone(), password.text().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            server: format!("{} port {}", config.server, config.port()),
            from: address("from", &config.from)?,
            to: config.to.iter().map(|to| address("to", to)).collect::<Result<_>>()?,
        })
    }

    /// Sends a message.
    pub async fn send(&self, event: &AlarmEvent) -> Result<String> {
        let answer = self.transport.send(self.message(event)?).await;
        let answer = answer.map_err(|error| {
            anyhow!("{} did not accept it: {}", self.server, said_once(&error.to_string()))
        })?;
        let said = answer.message().next().unwrap_or_default().to_owned();
        Ok(format!("{} answered {} {said}", self.server, answer.code()))
    }

    /// Greets the server, encrypts and logs in as for a message, and sends none.
    pub async fn reach(&self) -> Result<()> {
        match self.transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => bail!("{} ended the connection", self.server),
            Err(error) => bail!("{}: {}", self.server, said_once(&error.to_string())),
        }
    }

    /// A message. Those of one incident refer to its first one.
    fn message(&self, event: &AlarmEvent) -> Result<Message> {
        let domain = self.from.email.domain();
        let id = |number: u32| format!("<{}.{number}.{}@{domain}>", event.incident, origin(event));
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(subject(event))
            .message_id(Some(id(event.message)))
            .date_now();
        if event.message > 1 {
            message = message.in_reply_to(id(1)).references(id(1));
        }
        for to in &self.to {
            message = message.to(to.clone());
        }
        Ok(message.multipart(MultiPart::alternative_plain_html(event.text(), event.html()))?)
    }
}

/// Tells the incidents of two monitors apart.
fn origin(event: &AlarmEvent) -> String {
    let host = event.node.as_ref().map_or("home", |node| node.host.as_str());
    host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '-' }).collect()
}

fn subject(event: &AlarmEvent) -> String {
    let again = if event.message > 1 && event.kind != AlarmKind::Test { "Re: " } else { "" };
    format!("{again}[pmp-ha] {}", event.title())
}

/// An error of the library without the words that it repeats: each of its causes quotes the next one.
fn said_once(error: &str) -> String {
    let mut parts: Vec<&str> = error.split(": ").collect();
    parts.dedup();
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::About;

    #[test]
    fn the_messages_of_one_incident_are_one_thread() {
        let email = Email {
            transport: AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("localhost").build(),
            server: "localhost port 25".into(),
            from: "PMP <pmp@example.com>".parse().expect("an address"),
            to: vec!["night@example.com".parse().expect("an address")],
        };
        let head = |kind, message| {
            let event = AlarmEvent {
                kind,
                about: Some(About::HighAvailability),
                incident: "ha-7".into(),
                message,
                ..AlarmEvent::test(1_770_091_445, None, None)
            };
            let text =
                String::from_utf8(email.message(&event).expect("a message").formatted()).expect("text");
            text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
        };
        let first = head(AlarmKind::Failed, 1);
        assert!(first.contains("Message-ID: <ha-7.1.home@example.com>\r\n"), "{first}");
        assert!(first.contains("Subject: [pmp-ha] High Availability Failed"), "{first}");
        assert!(!first.contains("In-Reply-To") && !first.contains("References"), "{first}");
        for (kind, number) in [(AlarmKind::Reminder, 2), (AlarmKind::Alive, 3)] {
            let later = head(kind, number);
            for line in [
                &format!("Message-ID: <ha-7.{number}.home@example.com>\r\n"),
                "In-Reply-To: <ha-7.1.home@example.com>\r\n",
                "References: <ha-7.1.home@example.com>\r\n",
                "Subject: Re: [pmp-ha] High Availability ",
            ] {
                assert!(later.contains(line), "no {line:?} in {later}");
            }
        }
    }
}
