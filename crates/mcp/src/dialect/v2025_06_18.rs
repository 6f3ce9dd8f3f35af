//! 2025-06-18: structured results and the first forms, which know only plain fields and one choice of several.

use std::borrow::Cow;

use super::{Elicits, Revision, Samples};
use crate::{
    Version,
    object::{Object, joined},
    scan::{self, Kind},
};

pub(super) static REVISION: Revision = Revision {
    version: Version::V2025_06_18,
    blocks: &["text", "image", "audio", "resource_link", "resource"],
    structured: true,
    elicits: Elicits::Forms(field),
    samples: Samples::One,
};

/// A field of a form as this revision writes it; `None` if it has no words for it.
fn field(raw: &str) -> Option<Cow<'_, str>> {
    let mut field = Object::read(raw)?;
    match field.text("type")?.as_ref() {
        "string" => {
            // spec: BR-27: "map titled single choice (oneOf of const/title) to enum + enumNames"
            if let Some(choices) = field.raw("oneOf") {
                let (values, names) = titled(choices)?;
                field.remove("oneOf");
                field.set("enum", values);
                field.set("enumNames", names);
            }
            // spec: BR-27: "drop default where that revision lacks it"
            field.remove("default");
        }
        "number" | "integer" => {
            field.remove("default");
        }
        "boolean" => {}
        // spec: BR-27, BR-112: "A multi-select cannot be expressed"
        _ => return None,
    }
    Some(field.finish())
}

/// Values and titles of choices; `None` if one of them has no value.
fn titled(choices: &str) -> Option<(String, String)> {
    let is_string = |raw: &&str| scan::kind(raw) == Kind::String;
    let (mut values, mut names) = (Vec::new(), Vec::new());
    for choice in scan::elements(choices) {
        let value = scan::member(choice, "const").filter(is_string)?;
        values.push(value);
        names.push(scan::member(choice, "title").filter(is_string).unwrap_or(value));
    }
    (!values.is_empty()).then(|| (joined(&values), joined(&names)))
}
