use std::borrow::Cow;

use portcullis_mcp::object::{Object, edit_elements, joined, quoted};

#[test]
fn what_is_not_touched_keeps_its_text() {
    let raw = r#"{ "a" : 1.0e2, "\u0062":"\u0063\/", "d":[1,  2] }"#;
    assert!(matches!(Object::read(raw).unwrap().finish(), Cow::Borrowed(text) if text == raw));
    let mut object = Object::read(raw).unwrap();
    object.set("d", "null");
    object.set("e\"", "true");
    assert_eq!(object.finish(), r#"{"a":1.0e2,"b":"\u0063\/","d":null,"e\"":true}"#);
}

#[test]
fn members_are_found_set_and_taken_away() {
    let mut object = Object::read(r#"{"a":"x\n","b":{},"c":3}"#).unwrap();
    assert_eq!((object.get("b"), object.raw("b"), object.get("z")), (Some("{}"), Some("{}"), None));
    assert_eq!((object.text("a").as_deref(), object.text("c")), (Some("x\n"), None));
    object.set("b", "[]".to_owned());
    assert_eq!((object.get("b"), object.raw("b")), (Some("[]"), None));
    assert_eq!(object.remove("a").as_deref(), Some("\"x\\n\""));
    assert_eq!(object.remove("a"), None);
    object.each(|name, value| (name == "c").then(|| Cow::Owned(format!("[{value}]"))));
    assert_eq!(object.members().collect::<Vec<_>>(), [("b", "[]"), ("c", "[3]")]);
    object.retain(|name, _| name != "b");
    assert_eq!(object.clone().finish(), r#"{"c":[3]}"#);
    object.remove("c");
    assert!(object.is_empty());
    assert_eq!(object.finish(), "{}");
    assert_eq!(Object::default().finish(), "{}");
    for other in ["[]", "1", "null", "\"{}\"", ""] {
        assert_eq!(Object::read(other), None, "{other}");
    }
}

#[test]
fn elements_are_edited_in_their_order() {
    let raw = r#"[1, "a", {"b":2}]"#;
    assert!(matches!(edit_elements(raw, |_, raw| Some(Cow::Borrowed(raw))), Cow::Borrowed(text) if text == raw));
    let edited = edit_elements(raw, |index, raw| match index {
        0 => None,
        1 => Some(Cow::Owned(quoted("\u{1}"))),
        _ => Some(Cow::Borrowed(raw)),
    });
    assert_eq!(edited, r#"["\u0001",{"b":2}]"#);
    assert_eq!(edit_elements("{}", |_, _| None), "{}");
    assert_eq!(joined(&[""; 0]), "[]");
}
