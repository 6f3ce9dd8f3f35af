//! ArcSight Common Event Format, version 0.

use super::{Record, severity};

/// Members and the keys of the format's dictionary that mean them.
const KEYS: [(&str, &str); 8] = [
    ("node", "dvchost"),
    ("address", "src"),
    ("person", "suid"),
    ("person_name", "suser"),
    ("server", "dhost"),
    ("method", "requestMethod"),
    ("name", "fname"),
    ("outcome", "outcome"),
];
/// Members that the dictionary has no key for, in its six custom strings.
const CUSTOM: [(&str, &str); 6] =
    [("call", "cs1"), ("client", "cs2"), ("rule", "cs3"), ("effect", "cs4"), ("trace", "cs5"), ("request", "cs6")];

/// The event in this format, on one line without its end.
pub fn cef(record: &Record) -> String {
    let kind = record.text("event");
    let (id, name) = (header(kind), header(&kind.replace(['.', '_'], " ")));
    let grave = severity(record);
    let mut out = format!("CEF:0|Portcullis|Portcullis|{}|{id}|{name}|{grave}|", env!("CARGO_PKG_VERSION"));
    let mut first = true;
    let mut add = |key: &str, text: &str| {
        if !text.is_empty() {
            out.push_str(if first { "" } else { " " });
            first = false;
            out.push_str(key);
            out.push('=');
            out.push_str(&value(text));
        }
    };
    if let Some(at) = record.at() {
        add("rt", &at.as_millis().to_string());
    }
    add("externalId", &format!("{}-{}", record.text("node"), record.seq()));
    for (member, key) in KEYS {
        // The dictionary has another key for addresses of IPv6.
        let key = if key == "src" && record.text(member).contains(':') { "c6a2" } else { key };
        if key == "c6a2" {
            add("c6a2Label", "Source IPv6 Address");
        }
        add(key, record.text(member));
    }
    for (member, key) in CUSTOM {
        if !record.text(member).is_empty() {
            add(&format!("{key}Label"), member);
            add(key, record.text(member));
        }
    }
    add("msg", &record.details().unwrap_or_default());
    out
}

/// In the header `\` and `|` are escaped, and there are no line ends.
fn header(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).fold(String::new(), |mut out, c| {
        if matches!(c, '\\' | '|') {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

/// In values `\` and `=` are escaped, and line ends are written as two characters.
fn value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '=' => out.push_str("\\="),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Contents;

    const LINE: &str = r#"{"seq":7,"at":"2026-11-23T02:13:20.123Z","node":"n1","event":"call.decided","call":"c1","person_name":"ana","address":"10.0.0.7","server":"crm","name":"x=1 src=9.9.9.9\nCEF:0|\\","effect":"deny","rule":"a|b","details":{"arguments":{"pin":"1234"},"why":"no"},"hash":"h"}"#;

    // spec: T-97, T-100
    #[test]
    fn nothing_foreign_writes_a_field_or_a_line_and_arguments_stay() {
        let cef = cef(&Record::parse(LINE.as_bytes(), Contents::Left).unwrap());
        assert_eq!(
            cef,
            format!(
                "CEF:0|Portcullis|Portcullis|{}|call.decided|call decided|5|rt=1795400000123 externalId=n1-7 dvchost=n1 \
                 src=10.0.0.7 suser=ana dhost=crm fname=x\\=1 src\\=9.9.9.9\\nCEF:0|\\\\ cs1Label=call cs1=c1 \
                 cs3Label=rule cs3=a|b cs4Label=effect cs4=deny msg={{\"why\":\"no\"}}",
                env!("CARGO_PKG_VERSION")
            )
        );
        let sent = super::cef(&Record::parse(LINE.as_bytes(), Contents::Sent).unwrap());
        assert!(sent.contains("1234"), "{sent}");
    }

    // The rules of the specification, by its own examples: `\|` in headers, `\=` and `\\` in values.
    #[test]
    fn headers_and_values_are_escaped_each_in_their_way() {
        assert_eq!(header("detected a | in message\\"), "detected a \\| in message\\\\");
        assert_eq!(value("detected a = in | message\\"), "detected a \\= in | message\\\\");
    }
}
