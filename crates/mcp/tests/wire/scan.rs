use std::collections::BTreeMap;

use portcullis_mcp::scan::{self, FaultKind, Kind, Limits};
use proptest::prelude::*;
use serde_json::{Value, json};

fn fault(bytes: &[u8]) -> Option<FaultKind> {
    scan::check(bytes, &Limits::default()).err().map(|fault| fault.kind)
}

/// spec: T-57, TR-4
#[test]
fn texts_that_two_parsers_may_read_differently_are_refused() {
    let table: &[(&[u8], FaultKind)] = &[
        (br#"{"name":"safe","name":"delete_db"}"#, FaultKind::DuplicateName),
        (br#"{"name":"safe","\u006eame":"delete_db"}"#, FaultKind::DuplicateName),
        (br#"{"a":{"b":[{"c":1,"d":2,"\u0063":3}]}}"#, FaultKind::DuplicateName),
        (br#"{"":1,"":2}"#, FaultKind::DuplicateName),
        ("{\"🙂\":1,\"\\ud83d\\ude42\":2}".as_bytes(), FaultKind::DuplicateName),
        (br#""\ud800""#, FaultKind::LoneSurrogate),
        (br#""\udc00""#, FaultKind::LoneSurrogate),
        (br#""\ud800\ud800""#, FaultKind::LoneSurrogate),
        (br#""\ud800x""#, FaultKind::LoneSurrogate),
        (br#""\ud800\n""#, FaultKind::LoneSurrogate),
        (br#"{"\ud800":1}"#, FaultKind::LoneSurrogate),
        (b"1e400", FaultKind::NumberRange),
        (b"-1e400", FaultKind::NumberRange),
        (b"[1E+309]", FaultKind::NumberRange),
        (b"\xef\xbb\xbf{}", FaultKind::ByteOrderMark),
        (b"{} {}", FaultKind::TrailingData),
        (b"{}x", FaultKind::TrailingData),
        (b"{}\0", FaultKind::TrailingData),
        (b"1 2", FaultKind::TrailingData),
        (b"01", FaultKind::TrailingData),
        (b"\"\xff\"", FaultKind::Utf8),
        (b"\"\xed\xa0\x80\"", FaultKind::Utf8),
        (b"\"\xc0\xaf\"", FaultKind::Utf8),
        (b"[01]", FaultKind::Syntax),
        (b"[+1]", FaultKind::Syntax),
        (b"[.5]", FaultKind::Syntax),
        (b"[1.]", FaultKind::Syntax),
        (b"[1.e5]", FaultKind::Syntax),
        (b"[1e]", FaultKind::Syntax),
        (b"[-]", FaultKind::Syntax),
        (b"[0x10]", FaultKind::Syntax),
        (b"NaN", FaultKind::Syntax),
        (b"[Infinity]", FaultKind::Syntax),
        (b"[1,]", FaultKind::Syntax),
        (b"[,1]", FaultKind::Syntax),
        (b"[1 2]", FaultKind::Syntax),
        (b"{\"a\":1,}", FaultKind::Syntax),
        (b"{\"a\" 1}", FaultKind::Syntax),
        (b"{a:1}", FaultKind::Syntax),
        (b"{'a':1}", FaultKind::Syntax),
        (b"{1:1}", FaultKind::Syntax),
        (b"{\"a\":1]", FaultKind::Syntax),
        (b"[1}", FaultKind::Syntax),
        (b"[1]]", FaultKind::TrailingData),
        (b"\"a\nb\"", FaultKind::Syntax),
        (b"\"a\tb\"", FaultKind::Syntax),
        (b"\"\x00\"", FaultKind::Syntax),
        (br#""\x41""#, FaultKind::Syntax),
        (br#""\u00g0""#, FaultKind::Syntax),
        (br#""\u+123""#, FaultKind::Syntax),
        (b"// c\n1", FaultKind::Syntax),
        (b"[1]/**/", FaultKind::TrailingData),
        (b"True", FaultKind::Syntax),
        (b"nul", FaultKind::Truncated),
        (b"nulx", FaultKind::Syntax),
        (b"", FaultKind::Truncated),
        (b"  ", FaultKind::Truncated),
        (b"[", FaultKind::Truncated),
        (b"{\"a\"", FaultKind::Truncated),
        (b"{\"a\":", FaultKind::Truncated),
        (b"\"abc", FaultKind::Truncated),
        (b"\"abc\\", FaultKind::Truncated),
        (b"\"\\u12", FaultKind::Truncated),
        (b"[1,", FaultKind::Truncated),
        (b"\x0c1", FaultKind::Syntax),
        ("\u{a0}1".as_bytes(), FaultKind::Syntax),
    ];
    for (bytes, expected) in table {
        assert_eq!(fault(bytes), Some(*expected), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn strict_json_is_accepted_and_given_back_without_outer_blanks() {
    for text in [
        "0",
        "-0",
        "-0.0e-0",
        "1e308",
        "1E-400",
        "123456789012345678901234567890",
        "true",
        "null",
        r#""""#,
        "[]",
        "{}",
        r#"{"a":1,"A":2,"ſ":3,"s":4}"#,
        r#""\ud83d\ude42\/\b\f\n\r\t\"\\""#,
        "[[],{},[{}]]",
        "\"\u{7f}\u{2028}\"",
    ] {
        let padded = format!(" \t\r\n{text}\n ");
        assert_eq!(scan::check(padded.as_bytes(), &Limits::default()), Ok(text));
    }
}

/// spec: T-58
#[test]
fn depth_of_a_hundred_thousand_costs_no_stack() {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert_eq!(fault(&deep), Some(FaultKind::TooDeep));
    assert_eq!(fault(&br#"{"a":"#.repeat(100_000)), Some(FaultKind::TooDeep));
    let lenient = Limits { depth: 200_000, nodes: 200_000 };
    assert!(scan::check(&deep, &lenient).is_ok());
    // Finding members costs none either.
    let text = std::str::from_utf8(&deep).unwrap();
    assert_eq!(scan::elements(text).map(str::len).collect::<Vec<_>>(), [199_998]);

    let at = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert_eq!(fault(&at(64)), None);
    assert_eq!(fault(&at(65)), Some(FaultKind::TooDeep));
}

/// spec: T-58
#[test]
fn values_are_counted_before_anything_is_built() {
    let of = |count: usize| format!("[{}]", vec!["0"; count].join(",")).into_bytes();
    assert_eq!(fault(&of(99_999)), None);
    assert_eq!(fault(&of(100_000)), Some(FaultKind::TooMany));
}

#[test]
fn duplicates_are_found_among_many_names() {
    let mut members: Vec<String> = (0..5_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let object = |members: &[String]| format!("{{{}}}", members.join(",")).into_bytes();
    assert_eq!(fault(&object(&members)), None);
    members.push(r#""\u006b17":0"#.to_owned());
    assert_eq!(fault(&object(&members)), Some(FaultKind::DuplicateName));
}

#[test]
fn faults_tell_where() {
    let fault = scan::check(br#"{"a":1,"a":2}"#, &Limits::default()).unwrap_err();
    assert_eq!(fault.to_string(), "has two members of one name (at byte 12)");
}

#[test]
fn members_are_found_raw_and_in_order() {
    let text = r#"{ "a" : [1, {"b": "]}"}] ,"\u0062":"x\"}" , "c":-1.5e3,"d":{} }"#;
    let found: Vec<_> = scan::members(text).map(|(name, value)| (name.into_owned(), value)).collect();
    let expected = [("a", r#"[1, {"b": "]}"}]"#), ("b", r#""x\"}""#), ("c", "-1.5e3"), ("d", "{}")];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(scan::member(text, "c"), Some("-1.5e3"));
    assert_eq!(scan::member(text, "e"), None);
    assert_eq!(scan::members("[1]").count() + scan::members("\"a\"").count() + scan::members("").count(), 0);
    assert_eq!(scan::elements("{}").count() + scan::elements("[ ]").count(), 0);
}

#[test]
fn part_of_a_text_is_replaced_in_place() {
    let text = r#"{"id":1,"params":{"id":1}}"#;
    let id = scan::member(text, "id").unwrap();
    assert_eq!(scan::splice(text, id, "\"x\""), r#"{"id":"x","params":{"id":1}}"#);
    let inner = scan::member(scan::member(text, "params").unwrap(), "id").unwrap();
    assert_eq!(scan::splice(text, inner, "22"), r#"{"id":1,"params":{"id":22}}"#);
    assert_eq!(scan::splice(text, "elsewhere", "2"), text);
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no NaN", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members: BTreeMap<String, Value>| members.into_iter().collect()),
        ]
    })
}

/// Every character as an escape, the hardest way to write a string.
fn escaped(text: &str) -> String {
    let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    format!("\"{}\"", units.concat())
}

fn rebuilt(raw: &str) -> Value {
    match scan::kind(raw) {
        Kind::Object => scan::members(raw).map(|(name, value)| (name.into_owned(), rebuilt(value))).collect(),
        Kind::Array => scan::elements(raw).map(rebuilt).collect(),
        Kind::String => Value::from(scan::string(raw).expect("a string").into_owned()),
        _ => serde_json::from_str(raw).expect("a scalar"),
    }
}

proptest! {
    #[test]
    fn what_serde_writes_is_accepted_and_read_the_same(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let checked = scan::check(text.as_bytes(), &Limits::default());
        prop_assert_eq!(checked, Ok(text.as_str()));
        prop_assert_eq!(rebuilt(&text), value);
    }

    #[test]
    fn what_is_accepted_serde_accepts_too(text in r#"[\[\]{}:,"\\u0-9a-f.eE+\- \ntrnl]{0,40}"#) {
        let accepted = scan::check(text.as_bytes(), &Limits::default()).is_ok();
        let serde: Result<Value, _> = serde_json::from_str(&text);
        if accepted {
            prop_assert!(serde.is_ok(), "{}", text);
        } else if let Ok(value) = serde {
            // The only texts that serde takes and this does not are those with duplicate names.
            prop_assert_ne!(serde_json::to_string(&value).unwrap().len(), text.split_whitespace().collect::<String>().len());
        }
    }

    #[test]
    fn one_changed_byte_never_panics_and_never_passes_what_serde_refuses(value in json(), at: prop::sample::Index, byte: u8) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if scan::check(&bytes, &Limits::default()).is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
        }
        if let Ok(text) = std::str::from_utf8(&bytes) {
            scan::members(text).for_each(drop);
            scan::elements(text).for_each(drop);
        }
    }

    #[test]
    fn escaped_strings_say_what_plain_ones_say(text: String) {
        let raw = escaped(&text);
        prop_assert!(scan::check(raw.as_bytes(), &Limits::default()).is_ok());
        prop_assert_eq!(scan::string(&raw).unwrap(), text.as_str());
        let twice = format!("{{{raw}:1,{}:2}}", json!(text));
        prop_assert_eq!(fault(twice.as_bytes()), Some(FaultKind::DuplicateName));
    }
}
