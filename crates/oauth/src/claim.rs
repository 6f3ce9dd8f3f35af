//! Claims by name, as administrators write them down: `groups`, `realm_access.roles`, `https://example.com/groups`.

use serde_json::{Map, Value};

/// The claim at `path`. A dot is part of a name if there is such a name, and a step inward otherwise.
pub(crate) fn at<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut dots = path.rmatch_indices('.').map(|(dot, _)| dot);
    dots.find_map(|dot| at(claims.get(&path[..dot])?.as_object()?, &path[dot + 1..]))
}

/// The claim at `path`, if it is a text with something in it.
pub(crate) fn text<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c str> {
    at(claims, path).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_whole_names_before_steps() {
        let claims = json!({
            "groups": ["a"],
            "realm_access": { "roles": ["b"], "x.y": { "z": "deep" } },
            "https://example.com/groups": ["c"],
            "kubernetes.io": { "namespace": "ci", "pod": { "name": "p" } },
            "a": { "b": 1 }, "a.b": 2,
        });
        let claims = claims.as_object().unwrap();
        for (path, found) in [
            ("groups", json!(["a"])),
            ("realm_access.roles", json!(["b"])),
            ("realm_access.x.y.z", json!("deep")),
            ("https://example.com/groups", json!(["c"])),
            ("kubernetes.io.namespace", json!("ci")),
            ("kubernetes.io.pod.name", json!("p")),
            ("a.b", json!(2)),
        ] {
            assert_eq!(at(claims, path), Some(&found), "{path}");
        }
        for path in ["", ".", "groups.a", "realm_access.", "nothing", "kubernetes.io.pod.name.x"] {
            assert_eq!(at(claims, path), None, "{path}");
        }
    }
}
