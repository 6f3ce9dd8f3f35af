//! Which attributes an answer has (RFC 7644 section 3.9): `attributes`, or `excludedAttributes`.

use serde_json::{Map, Value};

use super::{
    error::ScimError,
    schema::{Attribute, Schema},
};

/// Which attributes are wanted. Names that there are not are passed over.
#[derive(Debug, Default)]
pub struct Selection {
    only: Option<Vec<Path>>,
    without: Vec<Path>,
}

type Path = Vec<&'static Attribute>;

impl Selection {
    /// From the two parameters.
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>, schema: &'static Schema) -> Result<Self, ScimError> {
        if attributes.is_some() && excluded.is_some() {
            return Err(ScimError::invalid_value("send \"attributes\" or \"excludedAttributes\", not both"));
        }
        let paths = |list: &str| list.split(',').filter_map(|name| schema.path(name.trim())).collect();
        Ok(Self { only: attributes.map(paths), without: excluded.map(paths).unwrap_or_default() })
    }

    /// Whether an attribute is wanted at all: what is not need not be read.
    pub fn wants(&self, attribute: &str) -> bool {
        let names = |path: &Path| path[0].name == attribute;
        let whole = |path: &Path| path.len() == 1 && names(path);
        self.only.as_ref().is_none_or(|only| only.iter().any(names)) && !self.without.iter().any(whole)
    }

    /// The resource with nothing but what is wanted. `schemas` and `id` are always there.
    pub fn apply(&self, resource: Value) -> Value {
        let Value::Object(mut members) = resource else { return resource };
        if let Some(only) = &self.only {
            let mut kept = Map::new();
            for name in ["schemas", "id"] {
                kept.extend(members.get(name).map(|value| (name.to_owned(), value.clone())));
            }
            for path in only {
                keep(&members, &mut kept, path);
            }
            return Value::Object(kept);
        }
        for path in self.without.iter().filter(|path| path[0].name != "id") {
            drop_at(&mut members, path);
        }
        Value::Object(members)
    }
}

fn keep(from: &Map<String, Value>, to: &mut Map<String, Value>, path: &[&'static Attribute]) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(value) = from.get(first.name) else { return };
    let Some((part, _)) = rest.split_first() else {
        to.insert(first.name.to_owned(), value.clone());
        return;
    };
    match value {
        Value::Object(members) => {
            let inner = to.entry(first.name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                keep(members, inner, rest);
            }
        }
        Value::Array(values) => {
            let inner = to.entry(first.name).or_insert_with(|| vec![Value::Object(Map::new()); values.len()].into());
            for (value, inner) in values.iter().zip(inner.as_array_mut().into_iter().flatten()) {
                if let (Some(value), Value::Object(inner)) = (value.get(part.name), inner) {
                    inner.insert(part.name.to_owned(), value.clone());
                }
            }
        }
        _ => {}
    }
}

fn drop_at(members: &mut Map<String, Value>, path: &[&'static Attribute]) {
    match path {
        [] => {}
        [only] => drop(members.remove(only.name)),
        [first, rest @ ..] => match members.get_mut(first.name) {
            Some(Value::Object(inner)) => drop_at(inner, rest),
            Some(Value::Array(values)) => {
                for inner in values.iter_mut().filter_map(Value::as_object_mut) {
                    drop_at(inner, rest);
                }
            }
            _ => {}
        },
    }
}
