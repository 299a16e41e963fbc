//! Any bytes as the logs of a killed server: no panic, a cut never behind the end, and no torn end
//! behind a cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pmp_ha::domain::after_crash::{
    End, MasterInfo, Mending, RelayInfo, Scan, Transaction, WhichLog, cut, is_open, place, walk,
};

const RELAY: &str = "./relay.000001\n4\nbinlog.000001\n4\n";
const MASTER: &str = "18\nbinlog.000001\n4\nhost\n";

fuzz_target!(|input: (&[u8], &[u8])| {
    let [own, relay] = [input.0, input.1].map(|bytes| [b"\xfebin".as_slice(), bytes].concat());
    let _ = is_open(&own);
    let passes = |_: &str| true;
    let mut mending = Mending::default();
    let mut of_own = Scan::new(WhichLog::Own, 2, &passes);
    walk(&mut of_own, "own.000001", &own);
    cut(&mut mending, "own.000001", own.len() as u64, &of_own);
    for cut in &mending.cuts {
        let at = usize::try_from(cut.at).expect("small");
        assert!(at >= 4 && at < own.len());
        let mut again = Scan::new(WhichLog::Own, 2, &passes);
        walk(&mut again, "own.000001", &own[..at]);
        assert_eq!(again.end(), (cut.at, &End::Whole));
    }
    let mut of_relay = Scan::new(WhichLog::Relay, 2, &passes);
    walk(&mut of_relay, "relay.000001", &relay);
    let own: Vec<Transaction> = of_own.transactions.iter().cloned().collect();
    let infos = (RelayInfo::parse(RELAY), MasterInfo::parse(MASTER));
    place(
        &mut mending,
        &own,
        &of_relay,
        &["./relay.000001".to_owned()],
        (infos.0.as_ref(), infos.1.as_ref()),
    );
    if let Some(text) = &mending.relay_info {
        let info = RelayInfo::parse(text).expect("what is written can be read");
        assert!(info.relay.position > 4 && info.relay.position <= relay.len() as u64);
    }
});
