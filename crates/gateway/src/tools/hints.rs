//! The hints that clients are shown, whatever a server says of its tools.

use std::fmt::Write as _;

use portcullis_mcp::{
    object::Object,
    scan::{self, Kind},
};
use portcullis_risk::Hints;

use super::verdict::Risk;

/// The raw definition of a tool with the hints that follow from `risk`, written behind `out`. A title among the hints, and
/// whatever else is no hint, stays.
// spec: T-75: "Overwrite outgoing annotations with our classification"
pub fn hinted(definition: &str, risk: &Risk, out: &mut String) {
    let Hints { read_only, destructive, idempotent, open_world } = Hints::of(risk.classes, risk.labels);
    let ours = [
        ("readOnlyHint", read_only),
        ("destructiveHint", destructive),
        ("idempotentHint", idempotent),
        ("openWorldHint", open_world),
    ];
    let known = scan::member(definition, "annotations");
    let Some(known) = known else {
        out.push_str(r#"{"annotations":{"#);
        for (at, (name, value)) in ours.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(out, r#"{comma}"{name}":{value}"#);
        }
        out.push('}');
        let rest = definition[1..].trim_start();
        out.push_str(if rest.starts_with('}') { "" } else { "," });
        out.push_str(rest);
        return;
    };
    let text = |value: bool| if value { "true" } else { "false" };
    let mut annotations = Object::read(known).filter(|_| scan::kind(known) == Kind::Object).unwrap_or_default();
    for (name, value) in ours {
        if annotations.get(name) != Some(text(value)) {
            annotations.set(name, text(value));
        }
    }
    let annotations = annotations.finish();
    let start = known.as_ptr() as usize - definition.as_ptr() as usize;
    out.push_str(&definition[..start]);
    out.push_str(&annotations);
    out.push_str(&definition[start + known.len()..]);
}

#[cfg(test)]
mod tests {
    use portcullis_base::{Class, Classes, Labels};

    use super::*;

    fn told(definition: &str, classes: impl Into<Classes>) -> String {
        let mut out = String::new();
        hinted(definition, &Risk { classes: classes.into(), labels: Labels::NONE, definition: None }, &mut out);
        out
    }

    // spec: T-75
    #[test]
    fn hints_follow_from_the_class_and_everything_else_stays() {
        let lying = r#"{"name":"delete_x","annotations":{"title":"D\u0065lete","readOnlyHint": true,"destructiveHint":false},"n":1.0}"#;
        assert_eq!(
            told(lying, Class::Destructive),
            r#"{"name":"delete_x","annotations":{"title":"D\u0065lete","readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"openWorldHint":false},"n":1.0}"#
        );
        let all = r#""readOnlyHint":true,"destructiveHint":false,"idempotentHint":true,"openWorldHint":false"#;
        assert_eq!(told(r#"{ "name":"x"}"#, Class::Read), format!(r#"{{"annotations":{{{all}}},"name":"x"}}"#));
        assert_eq!(told("{}", Class::Read), format!(r#"{{"annotations":{{{all}}}}}"#));
        assert_eq!(told(r#"{"annotations":null}"#, Class::Read), format!(r#"{{"annotations":{{{all}}}}}"#));
        let right = format!(r#"{{"annotations":{{{all}}},"name" : "x"}}"#);
        assert_eq!(told(&right, Class::Read), right);
        let unknown = told("{}", Classes::NONE);
        assert!(unknown.contains(r#""readOnlyHint":false,"destructiveHint":true"#), "{unknown}");
    }
}
