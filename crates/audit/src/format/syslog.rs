//! Syslog messages (RFC 5424), and their frames on a stream (RFC 6587, RFC 5425: octet counting).

use std::fmt::Write;

use super::{Record, severity};

/// The smallest size that messages may be cut to, which every receiver takes (RFC 5425 section 4.3.1): whatever stands in a
/// line, its structured data fits.
pub const SMALLEST: usize = 2048;

/// "log audit", RFC 5424 section 6.2.1.
const FACILITY: u8 = 13;
/// The structured data's name. 32473 is the number that RFC 5612 keeps for whoever has none of their own.
const ELEMENT: &str = "portcullis@32473";
/// The most bytes of one value in structured data, as it is written there: escaping makes nothing longer than that.
const VALUE: usize = 160;
/// Members that stand in structured data, by which receivers sort without reading the message.
const MEMBERS: [&str; 8] = ["call", "person", "client", "server", "name", "outcome", "effect", "rule"];

/// The event as a message with `text`, its form for receivers, cut to `size` bytes in all.
///
/// What is cut off is counted in the parameter `cut`: structured data is never cut.
pub fn syslog(record: &Record, text: &str, size: usize) -> String {
    let priority = FACILITY * 8 + level(severity(record));
    let at = record.at().map_or_else(|| "-".to_owned(), |at| at.to_string());
    let host = name(record.text("node"), 255);
    let mut head = format!("<{priority}>1 {at} {host} portcullis - {} [{ELEMENT}", name(record.text("event"), 32));
    let _ = write!(head, " seq=\"{}\"", record.seq());
    for member in MEMBERS {
        let text = record.text(member);
        if !text.is_empty() {
            let _ = write!(head, " {member}=\"{}\"", parameter(text));
        }
    }
    // The mark of UTF-8 belongs before the text: RFC 5424 section 6.4.
    let tail = "] \u{feff}";
    if head.len() + tail.len() + text.len() <= size {
        return head + tail + text;
    }
    let room = size.max(SMALLEST).saturating_sub(head.len() + tail.len() + " cut=\"\"".len() + 20);
    let kept = before(text, room);
    let _ = write!(head, " cut=\"{}\"", text.len() - kept.len());
    head + tail + kept
}

/// A message in its frame: its length in bytes, a space, the message.
pub fn framed(message: &str) -> Vec<u8> {
    format!("{} {message}", message.len()).into_bytes()
}

/// From 0 to 10, up, to syslog's 7 to 0, down.
fn level(grave: u8) -> u8 {
    match grave {
        0..=3 => 6,
        4 => 5,
        5..=6 => 4,
        7..=8 => 3,
        _ => 2,
    }
}

/// Printable ASCII without spaces, `-` if there is nothing.
fn name(text: &str, limit: usize) -> String {
    let name: String = text.chars().filter(char::is_ascii_graphic).take(limit).collect();
    if name.is_empty() { "-".into() } else { name }
}

/// spec: RFC5424#6.3.3: "the characters '"', '\' and ']' MUST be escaped"
fn parameter(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let whole = out.len();
        match c {
            '"' | '\\' | ']' => out.extend(['\\', c]),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
        if out.len() > VALUE {
            out.truncate(whole);
            break;
        }
    }
    out
}

/// At most `limit` bytes of whole characters.
fn before(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Contents;

    fn record(name: &str) -> Record {
        let line = serde_json::json!({ "seq": 7, "at": "2026-11-23T02:13:20.123Z", "node": "n1", "event": "call.ended",
            "name": name, "outcome": "success" });
        Record::parse(line.to_string().as_bytes(), Contents::Left).unwrap()
    }

    // spec: T-97, RFC5424#6.3.3
    #[test]
    fn values_are_escaped_and_write_no_element_of_their_own() {
        let message = syslog(&record("a\"b\\c][x@1 y=\"z\"]\n"), "{}", 4096);
        assert_eq!(
            message,
            "<110>1 2026-11-23T02:13:20.123Z n1 portcullis - call.ended [portcullis@32473 seq=\"7\" \
             name=\"a\\\"b\\\\c\\][x@1 y=\\\"z\\\"\\]\u{fffd}\" outcome=\"success\"] \u{feff}{}"
        );
        assert_eq!(framed("aü"), "3 aü".as_bytes());
    }

    #[test]
    fn a_long_message_is_cut_between_characters_and_says_so() {
        let (text, hostile) = ("ü".repeat(4000), "\\\u{1}".repeat(500));
        let line = |text: &str| {
            let members = MEMBERS.map(|member| format!(r#","{member}":{}"#, serde_json::json!(text)));
            let line = format!(r#"{{"seq":18446744073709551615,"node":"{}"{}}}"#, "n".repeat(300), members.concat());
            Record::parse(line.as_bytes(), Contents::Left).unwrap()
        };
        for record in [record("x"), line(&hostile), line(&"\u{10ffff}".repeat(500))] {
            let message = syslog(&record, &text, SMALLEST);
            assert!(message.len() <= SMALLEST, "{}", message.len());
            let kept = message.split('\u{feff}').nth(1).unwrap();
            assert!(kept.chars().all(|c| c == 'ü') && !kept.is_empty());
            assert!(message.contains(&format!("cut=\"{}\"", text.len() - kept.len())), "{message}");
        }
    }
}
