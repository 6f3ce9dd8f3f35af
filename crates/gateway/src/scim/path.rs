//! Where a change applies (RFC 7644 section 3.5.2): an attribute, a part of it, or those of its values that a filter selects.

use portcullis_base::printable;

use super::{
    error::ScimError,
    filter::{Filter, Scope},
    schema::{Attribute, Schema},
};

/// A place in a resource.
#[derive(Debug)]
pub struct Target {
    /// The attribute.
    pub attribute: &'static Attribute,
    /// Which of its values.
    pub filter: Option<Filter>,
    /// The part of it, and the part of that.
    pub parts: Vec<&'static Attribute>,
}

impl Target {
    /// Reads a path.
    pub fn parse(text: &str, schema: &'static Schema) -> Result<Self, ScimError> {
        let unknown = || ScimError::invalid_path(format!("there is no attribute \"{}\" here", printable(text, 120)));
        let Some((name, rest)) = text.split_once('[') else {
            let path = schema.path(text.trim()).ok_or_else(unknown)?;
            let (attribute, parts) = path.split_first().ok_or_else(unknown)?;
            return Ok(Self { attribute, filter: None, parts: parts.to_vec() });
        };
        let (filter, after) = rest.rsplit_once(']').ok_or_else(unknown)?;
        let path = schema.path(name.trim()).ok_or_else(unknown)?;
        let [attribute] = path[..] else { return Err(unknown()) };
        if !attribute.is_many() {
            return Err(ScimError::invalid_path(format!(
                "\"{}\" has one value: nothing can be selected",
                attribute.name
            )));
        }
        let filter = Filter::parse(filter, Scope::Value(attribute))?;
        let parts = match after.trim() {
            "" => Vec::new(),
            after => {
                let part = after.strip_prefix('.').and_then(|name| attribute.part(name));
                vec![part.ok_or_else(unknown)?]
            }
        };
        Ok(Self { attribute, filter: Some(filter), parts })
    }

    /// What stands there.
    pub fn leaf(&self) -> &'static Attribute {
        self.parts.last().copied().unwrap_or(self.attribute)
    }
}
