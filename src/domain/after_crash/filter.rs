//! Which tables a node takes from the other one, as its server decides it.

/// Whether one of the patterns matches this table, given as `schema.table`.
///
/// The servers of the product store names in lower case, so case does not matter.
#[must_use]
pub fn takes(patterns: &[String], table: &str) -> bool {
    let table = table.to_lowercase();
    patterns.iter().any(|pattern| stands_for(pattern.to_lowercase().as_bytes(), table.as_bytes()))
}

/// Goes back to the last `%` when the rest does not fit: the time grows with the product of both lengths.
fn stands_for(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        let (wanted, width) = match pattern.get(p) {
            Some(b'%') => {
                back = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(b'\\') if p + 1 < pattern.len() => (pattern.get(p + 1), 2),
            Some(b'_') => (name.get(n), 1),
            other => (other, 1),
        };
        if wanted == name.get(n) {
            (p, n) = (p + width, n + 1);
        } else if let Some((after, from)) = back {
            back = Some((after, from + 1));
            (p, n) = (after, from + 1);
        } else {
            return false;
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'%')
}

#[cfg(test)]
mod tests {
    use super::takes;

    #[test]
    fn a_pattern_stands_for_what_the_server_takes() {
        let takes = |pattern: &str, table| takes(&[pattern.to_owned()], table);
        assert!(takes("passtrix.%", "passtrix.Ptrx_Account"));
        assert!(takes("passtrix.%audit", "passtrix.x_audit_audit"));
        assert!(takes("pmp\\_ha.heartbeat", "pmp_ha.heartbeat"));
        assert!(!takes("pmp\\_ha.%", "pmpxha.heartbeat"));
        assert!(!takes("passtrix.%audit", "passtrix.audits"));
        assert!(takes("pmp_ha.%", "pmpxha.heartbeat"));
        assert!(!takes("%.", "passtrix.a"));
    }
}
