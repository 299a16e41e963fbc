//! The examples of each command's help. A test parses every one.

pub(super) const TOP: &str = "\
Examples:
  $ pmp-ha verify
  $ pmp-ha --home /opt/ManageEngine/PMP verify --watch
  $ pmp-ha explain receiver-connecting";

pub(super) const SETUP: &str = "\
Examples:
  $ pmp-ha setup
  $ pmp-ha setup --dry-run
  $ pmp-ha setup --yes --stop --primary pmp-a --secondary pmp-b
  $ pmp-ha setup --yes --key /media/safe/pmp_key.key
  $ pmp-ha setup --peer pmp@pmp-b --key /media/safe/pmp_key.key";

pub(super) const RECEIVE_PACK: &str = "\
Examples:
  $ pmp-ha receive-pack 12 a3b1";

pub(super) const PACK: &str = "\
Examples:
  $ pmp-ha pack pmp-a.example.com pmp-b.example.com
  $ pmp-ha pack --restart pmp-a.example.com pmp-b.example.com:2346
  $ pmp-ha pack --dry-run pmp-a.example.com pmp-b.example.com";

pub(super) const INSTALL_PACK: &str = "\
Examples:
  $ pmp-ha install-pack
  $ pmp-ha install-pack --keep /media/safe/HAPack.zip
  $ pmp-ha install-pack --in-place /media/safe/HAPack.zip";

pub(super) const INSPECT: &str = "\
Examples:
  $ pmp-ha inspect
  $ pmp-ha inspect --signed-by signing.pub /media/safe/HAPack.zip";

pub(super) const KEYGEN: &str = "\
Examples:
  $ pmp-ha keygen signing /etc/pmp-ha/signing
  $ pmp-ha keygen encryption /etc/pmp-ha/opening";

pub(super) const ROLLBACK: &str = "\
Examples:
  $ pmp-ha rollback --dry-run
  $ pmp-ha rollback";

pub(super) const RESUME: &str = "\
Examples:
  $ pmp-ha resume --dry-run
  $ pmp-ha resume";

pub(super) const HISTORY: &str = "\
Examples:
  $ pmp-ha history
  $ pmp-ha history --limit 5";

pub(super) const EVENTS: &str = "\
Examples:
  $ pmp-ha events --since 7d
  $ pmp-ha events --availability";

pub(super) const KEY: &str = "\
Examples:
  $ pmp-ha key /media/safe/pmp_key.key
  $ pmp-ha key --check";

pub(super) const START: &str = "\
Examples:
  $ pmp-ha start
  $ pmp-ha --home /opt/ManageEngine/PMP start";

pub(super) const STOP: &str = "\
Examples:
  $ pmp-ha stop
  $ pmp-ha --home /opt/ManageEngine/PMP stop";

pub(super) const VERIFY: &str = "\
Examples:
  $ pmp-ha verify
  $ pmp-ha verify --watch
  $ pmp-ha verify --deep --table Ptrx_Account
  $ pmp-ha --json verify";

pub(super) const DOCTOR: &str = "\
Examples:
  $ pmp-ha doctor
  $ pmp-ha doctor --peer pmp-b.example.com";

pub(super) const SUPPORT_BUNDLE: &str = "\
Examples:
  $ pmp-ha support-bundle
  $ pmp-ha support-bundle /tmp/pmp-b.zip";

pub(super) const MONITOR: &str = "\
Examples:
  $ pmp-ha monitor
  $ pmp-ha monitor --listen
  $ pmp-ha monitor --once";

pub(super) const ALERT: &str = "\
Examples:
  $ pmp-ha alert test
  $ pmp-ha alert test email";

pub(super) const CONFIG: &str = "\
Examples:
  $ pmp-ha config check
  $ pmp-ha config show";

pub(super) const CONFIG_CHECK: &str = "\
Examples:
  $ pmp-ha config check
  $ pmp-ha --config /tmp/pmp-ha.toml config check";

pub(super) const CONFIG_SHOW: &str = "\
Examples:
  $ pmp-ha config show";

pub(super) const EXPLAIN: &str = "\
Examples:
  $ pmp-ha explain receiver-connecting
  $ pmp-ha explain";

pub(super) const RECONFIGURE: &str = "\
Examples:
  $ pmp-ha reconfigure --dry-run
  $ pmp-ha reconfigure --peer-port 2346";

pub(super) const RECOVER: &str = "\
Examples:
  $ pmp-ha recover --into /opt/PMP-new --key /media/safe/pmp_key.key
  $ pmp-ha recover --promote --fenced";

pub(super) const SWITCHOVER: &str = "\
Examples:
  $ pmp-ha switchover --dry-run
  $ pmp-ha switchover --wait 600";

pub(super) const ROTATE: &str = "\
Examples:
  $ pmp-ha rotate --dry-run
  $ pmp-ha rotate
  $ pmp-ha rotate /media/safe/HASecrets.toml";

pub(super) const REJOIN: &str = "\
Examples:
  $ pmp-ha rejoin
  $ pmp-ha rejoin --pack /media/safe/HAPack.zip";

pub(super) const TEARDOWN: &str = "\
Examples:
  $ pmp-ha teardown --dry-run
  $ pmp-ha teardown";

pub(super) const MAY_START: &str = "\
Examples:
  $ pmp-ha may-start";

pub(super) const REHEARSE: &str = "\
Examples:
  $ pmp-ha rehearse
  $ pmp-ha rehearse --pack /media/safe/HAPack.zip --dir /scratch";

pub(super) const REPAIR: &str = "\
Examples:
  $ pmp-ha repair --dry-run
  $ pmp-ha repair --table Ptrx_Account
  $ pmp-ha repair --return-channel";

pub(super) const LAB: &str = "\
Examples:
  $ pmp-ha lab up /tmp/lab
  $ pmp-ha lab down /tmp/lab";

pub(super) const LAB_UP: &str = "\
Examples:
  $ pmp-ha lab up /tmp/lab --server mariadb-11.8 --size 20";

pub(super) const LAB_HOME: &str = "\
Examples:
  $ pmp-ha lab home /tmp/lab/fresh --server mysql-5.6";

pub(super) const LAB_SQL: &str = "\
Examples:
  $ pmp-ha lab sql /tmp/lab/primary \"SELECT COUNT(*) FROM Ptrx_Account\"";

pub(super) const LAB_DOWN: &str = "\
Examples:
  $ pmp-ha lab down /tmp/lab";

pub(super) const COMPLETIONS: &str = "\
Examples:
  $ pmp-ha completions bash
  $ pmp-ha completions zsh";

pub(super) const MAN: &str = "\
Examples:
  $ pmp-ha man /usr/local/share/man/man1";
