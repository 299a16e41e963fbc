//! The least and the most of every number of the file, in one table.

use super::Config;
use super::place::{Complaint, shown};

/// A day, and a time that nobody waits for longer.
const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;

/// A key, and what its number may be. A channel's key stands for every kind of channel.
const BOUNDS: [(&str, u64, u64); 20] = [
    ("database.start_deadline", 1, DAY),
    ("database.stop_deadline", 1, DAY),
    ("replication.net_timeout", 1, HOUR),
    ("replication.connect_retry", 1, HOUR),
    ("replication.heartbeat", 1, HOUR),
    ("replication.beat", 1, HOUR),
    // A server that counts in days takes no more.
    ("replication.keep_binlogs_days", 0, 99),
    ("replication.semi_sync_timeout", 1, HOUR),
    ("health.max_lag", 1, DAY),
    ("fence.deadline", 1, HOUR),
    ("switchover.refuse_at_most", 1, 600),
    ("hooks.deadline", 1, HOUR),
    ("alarm.hold_down", 0, DAY),
    ("alarm.hold_up", 0, DAY),
    ("alarm.remind_every", 0, 31 * DAY),
    ("alarm.blind_after", 0, DAY),
    ("alarm.flaps", 2, 100),
    ("alarm.calm", 60, DAY),
    ("alarm.*.deadline", 1, 300),
    ("alarm.*.port", 1, 65_535),
];

/// Returns every number that is too small or too large.
pub(super) fn complaints(config: &Config) -> Vec<Complaint> {
    let mut out = Vec::new();
    for (key, number) in numbers(config) {
        match bounds(&key) {
            Some((least, most)) if (least..=most).contains(&number) => {}
            Some((least, most)) => {
                out.push(Complaint { key, why: format!("must be between {least} and {most}") });
            }
            None => out.push(Complaint { key, why: "has no bounds".into() }),
        }
    }
    out
}

/// Returns the least and the most of a key.
fn bounds(key: &str) -> Option<(u64, u64)> {
    let key = shown(key);
    let parts: Vec<&str> = key.split('.').collect();
    let key = match parts.as_slice() {
        ["alarm", _, field] => format!("alarm.*.{field}"),
        _ => key,
    };
    BOUNDS.iter().find(|(name, ..)| *name == key).map(|(_, least, most)| (*least, *most))
}

/// Every number of a configuration, with its key.
fn numbers(config: &Config) -> Vec<(String, u64)> {
    let mut out = Vec::new();
    // A configuration has only texts, numbers and lists: nothing can go wrong.
    add("", &serde_json::to_value(config).unwrap_or_default(), &mut out);
    out
}

fn add(key: &str, value: &serde_json::Value, out: &mut Vec<(String, u64)>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| add(&below(name), value, out));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(number, value)| add(&below(&number.to_string()), value, out));
        }
        value => out.extend(value.as_u64().map(|number| (key.to_owned(), number))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A channel of each kind.
    const CHANNELS: &str = "[[alarm.email]]\nserver = \"m\"\nport = 25\nfrom = \"a@b\"\nto = [\"c@d\"]\n\
        [[alarm.snmp]]\nreceiver = \"h\"\ncommunity_file = \"c\"\n[[alarm.syslog]]\n\
        [[alarm.webhook]]\nurl = \"https://h/\"\n[[alarm.command]]\ncommand = [\"/bin/true\"]\n";

    /// A file in which one key has another number. The channels come last: each is the only one of its kind.
    fn with(key: &str, number: i128) -> String {
        let (table, field) = key.rsplit_once('.').expect("a table");
        match table.strip_suffix(".0") {
            None => format!("[{table}]\n{field} = {number}\n{}", CHANNELS),
            Some(channel) => {
                let head = format!("[[{channel}]]\n");
                CHANNELS.replace("port = 25\n", "").replace(&head, &format!("{head}{field} = {number}\n"))
            }
        }
    }

    fn parsed(text: &str) -> Result<Config, String> {
        Config::parse(text, "/conf/pmp-ha.toml".into())
            .map(|(config, _)| config)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_number_has_bounds_and_is_refused_with_its_key_beyond_them() {
        let config = parsed(CHANNELS).expect("good");
        let keys: Vec<String> = numbers(&config).into_iter().map(|(key, _)| key).collect();
        for (name, ..) in BOUNDS {
            assert!(
                keys.iter().any(|key| bounds(key) == bounds(name) && bounds(key).is_some()),
                "{name} is no key"
            );
        }
        for key in &keys {
            let (least, most) = bounds(key).unwrap_or_else(|| panic!("{key} has no bounds"));
            for number in
                [i128::from(least) - 1, i128::from(most) + 1, i128::from(i64::MAX), i128::from(u64::MAX)]
            {
                let told = parsed(&with(key, number)).expect_err(key);
                assert!(told.contains(&format!(": {}", shown(key))), "{key} = {number}: {told}");
            }
            for number in [least, most] {
                let Err(told) = parsed(&with(key, number.into())) else { continue };
                let own = ["replication.heartbeat", "alarm.remind_every"];
                assert!(!told.contains("between"), "{key} = {number}: {told}");
                assert!(own.contains(&key.as_str()) || key == "replication.net_timeout", "{key}: {told}");
            }
        }
    }

    #[test]
    fn at_the_bounds_no_time_is_too_large_to_be_counted() {
        let most = "[replication]\nnet_timeout = 3600\nbeat = 3600\nsemi_sync = true\nsemi_sync_timeout = 3600\n\
            [health]\nmax_lag = 86400\n";
        let config = parsed(most).expect("good");
        assert_eq!(config.limits().heartbeat, 5 * 3600 + 3600);
        assert_eq!(config.proof_patience().as_secs(), 3 * 3600 + 4);
    }
}
