//! How grave an event is, by its kind and its end.

use super::Record;

/// Kinds by the beginning of their text, the longest first where two fit, with how grave they are from 0 to 10.
const KINDS: [(&str, u8); 47] = [
    ("access.break_glass", 9),
    ("access.", 5),
    ("access_key.", 5),
    ("approval.unknown", 6),
    ("approval.not_counted", 5),
    ("approval.", 4),
    ("audit.exported", 5),
    ("audit.", 3),
    ("authz.browser_mismatch", 8),
    ("authz.", 4),
    ("call.", 2),
    ("checkpoint", 0),
    ("client.", 4),
    ("connection.lost", 4),
    ("connection.refused", 4),
    ("connection.", 3),
    ("consent.", 3),
    ("delegation.", 5),
    ("directory.refused", 5),
    ("directory.", 4),
    ("grant.", 3),
    ("identity.", 4),
    ("journal.recovered", 7),
    ("journal.resumed", 7),
    ("journal.", 3),
    ("key.", 5),
    ("key_ring.", 6),
    ("offboard.", 6),
    ("passkey.", 5),
    ("person.", 5),
    ("process.", 3),
    ("request.refused", 4),
    ("rights.", 5),
    ("server.examined", 3),
    ("server.", 5),
    ("service_account.", 6),
    ("session.", 3),
    ("settings.", 5),
    ("signin.failed", 5),
    ("signin.", 3),
    ("signout", 2),
    ("store.restored", 9),
    ("sink.", 5),
    ("token.replayed", 8),
    ("token.refused", 4),
    ("token.", 2),
    ("upstream.", 3),
];

/// How grave it is, from 0 (nothing) to 10; a kind that is not known here counts as 5.
pub fn severity(record: &Record) -> u8 {
    let by_end = match record.text("outcome") {
        "denied" | "failure" => 5,
        "timeout" => 4,
        "unknown" => 6,
        _ => 0,
    };
    let by_effect = if record.text("effect") == "deny" { 5 } else { 0 };
    known(record.text("event")).unwrap_or(5).max(by_end).max(by_effect)
}

fn known(kind: &str) -> Option<u8> {
    KINDS.iter().find(|(beginning, _)| kind.starts_with(beginning)).map(|(_, grave)| *grave)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, format::Contents};

    #[test]
    fn every_kind_is_known_and_a_bad_end_is_graver() {
        for kind in Kind::ALL {
            assert!(known(kind.as_str()).is_some(), "{} has no row", kind.as_str());
        }
        let of = |line: &str| severity(&Record::parse(line.as_bytes(), Contents::Left).unwrap());
        assert_eq!(of(r#"{"event":"call.ended","outcome":"success"}"#), 2);
        assert_eq!(of(r#"{"event":"call.ended","outcome":"unknown"}"#), 6);
        assert_eq!(of(r#"{"event":"call.decided","effect":"deny"}"#), 5);
        assert_eq!(of(r#"{"event":"token.replayed","outcome":"denied"}"#), 8);
    }
}
