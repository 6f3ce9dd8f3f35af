use portcullis_mcp::sse::{COMMENT, Decoder, Event, Limits, Overflow};
use proptest::prelude::*;

fn decode(pieces: &[&[u8]]) -> Vec<Event> {
    let mut decoder = Decoder::new(Limits::default());
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(piece, |event| events.push(event)).expect("the stream is short");
    }
    events
}

fn named(event: Option<&str>, data: Option<&str>, id: Option<&str>, retry: Option<u64>) -> Event {
    Event { event: event.map(Into::into), data: data.map(Into::into), id: id.map(Into::into), retry }
}

/// spec: TR-11
#[test]
fn streams_are_read_as_the_html_standard_reads_them() {
    let table: &[(&str, Vec<Event>)] = &[
        ("data: a\n\n", vec![Event::message("a")]),
        ("data:a\r\rdata:  b\r\n\r\n", vec![Event::message("a"), Event::message(" b")]),
        ("data: a\ndata: b\ndata\ndata:\n\n", vec![Event::message("a\nb\n\n")]),
        (": comment\ndata: a\n:\n\n", vec![Event::message("a")]),
        (":\n\n:\n\n", vec![]),
        ("\u{feff}data: a\n\n", vec![Event::message("a")]),
        ("data: \u{feff}a\n\n", vec![Event::message("\u{feff}a")]),
        ("event: ping\nid: 7\nretry: 10\ndata: {}\n\n", vec![named(Some("ping"), Some("{}"), Some("7"), Some(10))]),
        ("id: 7\ndata: \n\n", vec![named(None, Some(""), Some("7"), None)]),
        ("id: 7\n\n", vec![named(None, None, Some("7"), None)]),
        ("id\ndata: a\n\n", vec![named(None, Some("a"), Some(""), None)]),
        ("id: a\0b\nretry: 1x\nretry:\nDATA: x\nfoo: bar\n\n", vec![]),
        ("retry: 99999999999999999999999\ndata: a\n\n", vec![Event::message("a")]),
        ("event: x\nevent: message\ndata: a\n\n", vec![named(Some("message"), Some("a"), None, None)]),
        ("data: a\n", vec![]),
        ("data: a", vec![]),
        ("\n\n\ndata: a\n\n\n\n", vec![Event::message("a")]),
        ("data: a:b: c\n\n", vec![Event::message("a:b: c")]),
    ];
    for (text, expected) in table {
        assert_eq!(&decode(&[text.as_bytes()]), expected, "{text:?}");
    }
    assert_eq!(decode(&[b"data: \xff\n\n"]), [Event::message("\u{fffd}")]);
}

#[test]
fn only_messages_with_data_carry_json() {
    assert!(Event::message("{}").is_message());
    assert!(named(Some("message"), Some("{}"), None, None).is_message());
    assert!(!named(Some("endpoint"), Some("/x"), None, None).is_message());
    assert!(!Event::message("").dispatched());
    assert!(!named(None, None, Some("1"), None).dispatched());
}

#[test]
fn ids_are_rewritten_while_the_stream_passes() {
    let mut decoder = Decoder::new(Limits::default());
    let mut out = Vec::new();
    let pieces: [&[u8]; 3] = [b"id: up-1\ndata:\n\nid: u", b"p-2\ndata: {\"a\":", b"1}\n\n: bye\n\n"];
    for piece in pieces {
        let rewrite = |mut event: Event| {
            event.id = event.id.map(|id| id.replace("up-", "down-"));
            event.encode(&mut out);
        };
        decoder.feed(piece, rewrite).unwrap();
    }
    assert_eq!(String::from_utf8(out).unwrap(), "id: down-1\ndata: \n\nid: down-2\ndata: {\"a\":1}\n\n");
}

#[test]
fn no_value_breaks_out_of_its_line() {
    let event = Event {
        event: Some("a\ndata: x".into()),
        data: Some("one\r\ntwo\rthree\n".into()),
        id: Some("1\r\n\r\n2\0".into()),
        retry: Some(5),
    };
    let text = String::from_utf8(event.to_bytes()).unwrap();
    assert_eq!(text, "event: adata: x\nid: 12\nretry: 5\ndata: one\ndata: two\ndata: three\ndata: \n\n");
    assert_eq!(decode(&[COMMENT]), []);
}

/// spec: T-63
#[test]
fn endless_lines_and_events_are_cut_off() {
    let limits = Limits { line: 64, event: 256 };
    let mut decoder = Decoder::new(limits);
    let fed =
        |decoder: &mut Decoder, piece: &[u8], times: usize| (0..times).try_for_each(|_| decoder.feed(piece, |_| {}));
    assert_eq!(fed(&mut decoder, b"idididid", 9), Err(Overflow::Line));
    assert_eq!(
        fed(&mut Decoder::new(limits), &[b"id: ".as_slice(), &[b'x'; 80], b"\n"].concat(), 1),
        Err(Overflow::Line)
    );
    // One line of data may be as long as an event.
    assert_eq!(fed(&mut Decoder::new(limits), &[b"data: ".as_slice(), &[b'x'; 200], b"\n\n"].concat(), 50), Ok(()));
    assert_eq!(fed(&mut Decoder::new(limits), b"data: 0123456789\n", 50), Err(Overflow::Event));
    let mut decoder = Decoder::new(limits);
    decoder.feed(b"data:", |_| {}).unwrap();
    assert_eq!(fed(&mut decoder, b"0123456789", 50), Err(Overflow::Event));
    // Comments without end cost nothing.
    assert_eq!(fed(&mut Decoder::new(limits), b": x\n", 5_000), Ok(()));
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\r\n".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("data: ".to_owned()),
        Just("id:".to_owned()),
        Just("retry: 7".to_owned()),
        Just("event: e".to_owned()),
        Just(":".to_owned()),
        "[a-zé🙂 ]{0,5}",
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn cutting_makes_no_difference(bytes in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut start = 0;
        let pieces: Vec<&[u8]> = ends.iter().map(|end| &bytes[std::mem::replace(&mut start, *end)..*end]).collect();
        prop_assert_eq!(decode(&pieces), decode(&[&bytes]));
    }

    #[test]
    fn encoded_events_are_read_back(data in prop::option::of("[^\r]*"), id in prop::option::of("[^\r\n\0]*"), retry: Option<u32>) {
        let event = Event { event: None, data, id, retry: retry.map(u64::from) };
        let nothing = event == Event::default();
        prop_assert_eq!(decode(&[&event.to_bytes()]), if nothing { vec![] } else { vec![event] });
    }
}
