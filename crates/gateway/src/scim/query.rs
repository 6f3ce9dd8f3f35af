//! What a client asks a list for: in the query, or in a body sent to `.search` (RFC 7644 sections 3.4.2 and 3.4.3).

use axum::extract::FromRequestParts;
use http::request::Parts;
use portcullis_store::Paging;
use serde_json::{Map, Value, json};

use super::{
    answer::{is_of, member},
    error::ScimError,
    filter::{Filter, Scope},
    schema::Schema,
    select::Selection,
};

/// The most resources in one answer, and how many there are unless the client says.
pub const MOST: u32 = 200;
const USUAL: u32 = 100;
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// The parameters as they came.
#[derive(Debug, Default)]
pub struct Parameters {
    filter: Option<String>,
    start_index: Option<i64>,
    count: Option<i64>,
    attributes: Option<String>,
    excluded: Option<String>,
}

/// What is asked for.
#[derive(Debug)]
pub struct Query {
    /// Which resources.
    pub filter: Option<Filter>,
    /// Which part of the list.
    pub paging: Paging,
    /// Which attributes.
    pub selection: Selection,
}

impl Parameters {
    /// From the query of an address.
    fn of_query(query: &str) -> Result<Self, ScimError> {
        let mut parameters = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match name.to_ascii_lowercase().as_str() {
                "filter" => parameters.filter = Some(value),
                "attributes" => parameters.attributes = Some(value),
                "excludedattributes" => parameters.excluded = Some(value),
                "startindex" => parameters.start_index = Some(number("startIndex", &value)?),
                "count" => parameters.count = Some(number("count", &value)?),
                _ => {}
            }
        }
        Ok(parameters)
    }

    /// From a body.
    pub fn of_search(mut body: Map<String, Value>) -> Result<Self, ScimError> {
        if !is_of(&mut body, SEARCH) {
            return Err(ScimError::invalid_syntax(format!("\"schemas\" must name {SEARCH}")));
        }
        let mut text = |name: &str| match member(&mut body, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(value)) => Ok(Some(value.to_string())),
            Some(Value::Array(names)) => Ok(Some(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))),
            Some(_) => Err(ScimError::invalid_value(format!("\"{name}\" is of another kind"))),
        };
        let mut parameters = Self {
            filter: text("filter")?,
            attributes: text("attributes")?.filter(|list| !list.is_empty()),
            excluded: text("excludedAttributes")?.filter(|list| !list.is_empty()),
            ..Self::default()
        };
        parameters.start_index = text("startIndex")?.map(|value| number("startIndex", &value)).transpose()?;
        parameters.count = text("count")?.map(|value| number("count", &value)).transpose()?;
        Ok(parameters)
    }

    /// What they mean for resources of this kind.
    ///
    /// spec: RFC7644#3.4.2.4: "A value less than 1 SHALL be interpreted as 1", and a negative count "as 0".
    pub fn query(&self, schema: &'static Schema) -> Result<Query, ScimError> {
        let filter = self.filter.as_deref().map(|text| Filter::parse(text, Scope::Resource(schema))).transpose()?;
        let start = self.start_index.unwrap_or(1).max(1);
        let count = self.count.unwrap_or(i64::from(USUAL)).clamp(0, i64::from(MOST));
        let skip = u32::try_from(start - 1).unwrap_or(u32::MAX);
        let paging = Paging { skip, take: u32::try_from(count).unwrap_or(0) };
        Ok(Query { filter, paging, selection: self.selection(schema)? })
    }

    /// Which attributes.
    pub fn selection(&self, schema: &'static Schema) -> Result<Selection, ScimError> {
        Selection::parse(self.attributes.as_deref(), self.excluded.as_deref(), schema)
    }

    /// Whether the client said which attributes it wants.
    pub fn selects(&self) -> bool {
        self.attributes.is_some()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ScimError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ScimError> {
        Self::of_query(parts.uri.query().unwrap_or_default())
    }
}

fn number(name: &str, text: &str) -> Result<i64, ScimError> {
    text.trim().parse().map_err(|_| ScimError::invalid_value(format!("\"{name}\" is not a whole number")))
}

/// Part of a list as it is answered.
pub fn list(total: u64, skip: u32, resources: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": u64::from(skip) + 1,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// Part of all that matched.
pub fn page(matching: Vec<Value>, paging: Paging, selection: &Selection) -> Value {
    let total = matching.len() as u64;
    let part = matching.into_iter().skip(paging.skip as usize).take(paging.take as usize);
    list(total, paging.skip, part.map(|resource| selection.apply(resource)).collect())
}
