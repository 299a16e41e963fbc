//! Certificates that end, and connections that fail because of one.

use super::Judge;
use crate::domain::certificate::{DAY, Fault, Unfit, WARN_DAYS, day};
use crate::domain::health::{About, Severity};
use crate::domain::rotation::HowFar;

const RENEW: &str = "A new pack renews the certificates of both nodes: `pmp-ha pack` on the primary with its database stopped, or with --restart, then `pmp-ha install-pack` on the secondary. A pack of the running database (--online) keeps the primary's.";

const ROTATE: &str = "Run `pmp-ha rotate` on the primary and then on the secondary, while the pair is Alive: both get new certificates from a new CA, and no database has to stop.";

const RENEW_CA: &str = "A pack keeps the pair's CA unless you ask for another: `pmp-ha pack --new-secrets` on the primary with its database stopped, then `pmp-ha install-pack` on the secondary.";

const CLOCK: &str = "A clock is wrong: compare `date -u` on both machines, and correct the one that is behind. If a clock was ahead when the pack was made, make a new pack.";

impl Judge<'_> {
    pub(super) fn certificates(&mut self) {
        let now = self.snapshot.now;
        for certificate in self.snapshot.certificates.clone() {
            if let Some(begins) = certificate.begins.filter(|begins| *begins > now) {
                self.find(
                    "certificate-not-yet-valid",
                    About::HighAvailability,
                    Severity::Failed,
                    &format!("{} is not valid yet", certificate.whose),
                    format!("it is valid from {} on", day(begins)),
                    CLOCK,
                );
            }
            let left = certificate.ends - now;
            let (severity, what) = if left <= 0 {
                (Severity::Failed, format!("{} has ended", certificate.whose))
            } else if left <= WARN_DAYS * DAY {
                (Severity::Warning, format!("{} ends soon", certificate.whose))
            } else {
                continue;
            };
            let evidence = match left / DAY {
                _ if left <= 0 => format!("it was valid until {}", day(certificate.ends)),
                days => format!("it is valid until {}, {days} days from now", day(certificate.ends)),
            };
            let hint = match (left > 0, certificate.is_ca) {
                (true, _) => ROTATE,
                (false, true) => RENEW_CA,
                (false, false) => RENEW,
            };
            self.find("certificate-ends", About::HighAvailability, severity, &what, evidence, hint);
        }
    }

    /// Until a change of the secrets has ended, the old ones open this node.
    pub(super) fn rotation(&mut self) {
        let uses = match self.snapshot.rotating {
            None => return,
            Some(HowFar::Offered) => "the old",
            Some(HowFar::Taken) => "the new",
        };
        let evidence = format!("this node accepts the old secrets and the new ones, and uses {uses} ones");
        let what = "a rotation of the pair's secrets has not ended";
        let hint = "Run `pmp-ha rotate` on both nodes until it has ended on both. Until then, both still accept the old secrets.";
        self.find("secrets-change", About::HighAvailability, Severity::Warning, what, evidence, hint);
    }

    /// The key of the first CA is on the disk of the node that was the primary before.
    pub(super) fn two_cas(&mut self) {
        if self.snapshot.trusts_two_cas {
            let evidence = "conf/pmp-ha/ca.pem holds two certificates: a promoted node made a CA of its own, and the primary before it has the key of the first one";
            let what = "the pair still trusts the CA of an earlier primary";
            self.find("two-cas", About::HighAvailability, Severity::Warning, what, evidence.into(), ROTATE);
        }
    }

    /// Says why the other node and this one do not trust each other.
    pub(super) fn unfit_certificate(&mut self, unfit: Unfit, evidence: String) {
        let own = &self.snapshot.membership;
        let whose = if unfit.ours {
            format!("the certificate of this node, as {} says,", own.peer())
        } else {
            format!("the certificate of {}", own.peer())
        };
        let (code, what, hint) = match unfit.fault {
            Fault::Expired => ("certificate-expired", "has expired", RENEW.to_owned()),
            Fault::NotYetValid => (
                "certificate-not-yet-valid",
                "is not valid yet",
                CLOCK.to_owned(),
            ),
            Fault::WrongHost => (
                "certificate-wrong-host",
                "is for another host",
                format!("Something else may answer there: check to which machine the name {} resolves. If the node has a new name or address, make a new pack with it.", own.peer().host),
            ),
            Fault::NotInTime => (
                "certificate-not-in-time",
                "has ended or has not begun",
                format!(
                    "Run `pmp-ha verify` on {}: it says until when it is valid there. Compare `date -u` on both machines first. {RENEW}",
                    own.peer().host
                ),
            ),
            Fault::WrongCa => (
                "certificate-wrong-ca",
                "is from another CA",
                "One node was set up from another pack, or something else answers there. Install the latest pack on the secondary with `pmp-ha install-pack`, and restart the databases that run with older certificates.".to_owned(),
            ),
        };
        self.find(
            code,
            About::HighAvailability,
            Severity::Failed,
            &format!("{whose} {what}"),
            evidence,
            &hint,
        );
    }
}
