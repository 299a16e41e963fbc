//! Certificates: when they end, and what the words of a TLS library say is wrong with one.

/// From so many days before its end, a certificate is a finding, so that you can plan a stop.
pub const WARN_DAYS: i64 = 30;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// A certificate in use, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// Which one, as the subject of a sentence.
    pub whose: String,
    /// Whether it is that of the pair's CA, which signs the others.
    pub is_ca: bool,
    /// When it begins, seconds since 1970, UTC; `None` if that is not known.
    pub begins: Option<i64>,
    /// When it ends, seconds since 1970, UTC.
    pub ends: i64,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// It is for another host.
    WrongHost,
    /// Another CA signed it.
    WrongCa,
    /// It has ended or has not begun: its server breaks off without a word which.
    NotInTime,
}

/// A certificate because of which a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit {
    /// What is wrong with it.
    pub fault: Fault,
    /// Whether it is this node's certificate, as the other node reported.
    pub ours: bool,
}

/// Words of rustls and of OpenSSL about the certificate of the other side.
const WORDS: [(&str, Fault); 17] = [
    // rustls
    ("certificate expired", Fault::Expired),
    ("certificate not valid yet", Fault::NotYetValid),
    ("certificate not valid for name", Fault::WrongHost),
    ("NotValidForName", Fault::WrongHost),
    ("UnknownIssuer", Fault::WrongCa),
    // A new CA of the same pair has the same name and another key.
    ("BadSignature", Fault::WrongCa),
    // OpenSSL
    ("certificate has expired", Fault::Expired),
    ("certificate is not yet valid", Fault::NotYetValid),
    ("IP address mismatch", Fault::WrongHost),
    ("hostname mismatch", Fault::WrongHost),
    ("unable to get local issuer certificate", Fault::WrongCa),
    ("unable to get issuer certificate", Fault::WrongCa),
    ("unable to verify the first certificate", Fault::WrongCa),
    ("self-signed certificate", Fault::WrongCa),
    ("self signed certificate", Fault::WrongCa),
    ("certificate signature failure", Fault::WrongCa),
    ("identifier mismatch", Fault::WrongCa),
];

/// What the other side says of ours. It does not tell one that has not begun from a broken one.
const ALERTS: [(&str, Fault); 3] = [
    ("fatal alert: CertificateExpired", Fault::Expired),
    ("fatal alert: BadCertificate", Fault::NotYetValid),
    ("fatal alert: UnknownCA", Fault::WrongCa),
];

/// Returns which certificate a failed connection failed because of; `None` if it failed otherwise.
#[must_use]
pub fn unfit(said: &str) -> Option<Unfit> {
    let first =
        |list: &[(&str, Fault)]| list.iter().find(|(words, _)| said.contains(words)).map(|(_, fault)| *fault);
    let ours = first(&ALERTS).map(|fault| Unfit { fault, ours: true });
    ours.or_else(|| first(&WORDS).map(|fault| Unfit { fault, ours: false }))
}

/// Reads the time of a server's status, `Nov  9 22:30:00 2028 GMT`.
#[must_use]
pub fn time(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = words.join(" ");
    let time = jiff::civil::DateTime::strptime("%b %d %H:%M:%S %Y GMT", plain).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The day of a time, for people.
#[must_use]
pub fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "?".into(), |time| time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_both_libraries_say_what_is_wrong_with_which_certificate() {
        let theirs = |fault| Some(Unfit { fault, ours: false });
        let ours = |fault| Some(Unfit { fault, ours: true });
        for (said, meant) in [
            (
                "invalid peer certificate: certificate expired: verification time 2 (UNIX), but",
                theirs(Fault::Expired),
            ),
            (
                "invalid peer certificate: certificate not valid yet: verification time 1",
                theirs(Fault::NotYetValid),
            ),
            (
                "invalid peer certificate: certificate not valid for name \"a\"; certificate is",
                theirs(Fault::WrongHost),
            ),
            ("invalid peer certificate: UnknownIssuer", theirs(Fault::WrongCa)),
            ("invalid peer certificate: BadSignature", theirs(Fault::WrongCa)),
            ("certificate verify failed: certificate has expired", theirs(Fault::Expired)),
            ("certificate verify failed: certificate is not yet valid", theirs(Fault::NotYetValid)),
            ("certificate verify failed: IP address mismatch", theirs(Fault::WrongHost)),
            ("certificate verify failed: hostname mismatch", theirs(Fault::WrongHost)),
            ("certificate verify failed: unable to get local issuer certificate", theirs(Fault::WrongCa)),
            ("certificate verify failed: certificate signature failure", theirs(Fault::WrongCa)),
            ("received fatal alert: CertificateExpired", ours(Fault::Expired)),
            ("received fatal alert: BadCertificate", ours(Fault::NotYetValid)),
            ("received fatal alert: UnknownCA", ours(Fault::WrongCa)),
            ("received fatal alert: HandshakeFailure", None),
            ("error 1045: Access denied for user 'pmp_ha_monitor'@'n1' (using password: YES)", None),
            ("Connection refused (os error 111)", None),
        ] {
            assert_eq!(unfit(said), meant, "{said}");
        }
    }

    #[test]
    fn the_time_of_a_server_is_read() {
        assert_eq!(time("Jan  1 00:00:10 1970 GMT"), Some(10));
        assert_eq!(time("Nov 29 22:30:00 2028 GMT").map(day).as_deref(), Some("2028-11-29"));
        assert_eq!(time(""), None);
        assert_eq!(time("today"), None);
    }
}
