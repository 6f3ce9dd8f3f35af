//! Arguments as an HTTP request.

use serde_json::{Map, Value};
use url::{Position, Url};

use crate::{
    Tool,
    check::{Refused, check},
    encode::component,
    parameter::{In, in_cookie, in_header, in_path, in_query},
};

/// A request that is ready to be sent, but for the host and the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Headers that arguments became, and `Accept`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Payload>,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its `Content-Type`.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The longest path and query that is sent.
const LONGEST: usize = 16 << 10;

impl Tool {
    /// The request that these arguments make at `base`.
    // spec: T-67
    pub fn request(&self, base: &Url, arguments: &Map<String, Value>) -> Result<Outgoing, Refused> {
        let plan = &self.plan;
        check(&plan.input, &Value::Object(arguments.clone()), "")?;

        let base = plan.base.as_ref().unwrap_or(base);
        let mut in_its_path: Vec<(&str, &str, String)> = Vec::new();
        let mut query: Vec<(String, String)> = Vec::new();
        let mut headers = vec![("accept".to_owned(), "application/json, */*;q=0.5".to_owned())];
        let mut cookies: Vec<String> = Vec::new();
        for one in &plan.arguments {
            let Some(value) = arguments.get(&one.key).filter(|value| !value.is_null()) else { continue };
            let path = one.key.as_str();
            match one.stands {
                In::Path => {
                    in_its_path.push((&one.name, path, in_path(&one.name, one.style, one.explode, value, path)?));
                }
                In::Query => {
                    let reserved = |key: &str| key != one.name && plan.reserved.iter().any(|name| name == key);
                    query.extend(in_query(&one.name, one.style, one.explode, value, path, &reserved)?);
                }
                In::Header => headers.push((one.name.clone(), in_header(one.style, one.explode, value, path)?)),
                In::Cookie => {
                    cookies.push(format!("{}={}", one.name, in_cookie(one.style, one.explode, value, path)?));
                }
            }
        }
        if !cookies.is_empty() {
            headers.push(("cookie".to_owned(), cookies.join("; ")));
        }
        let path = plan.path.fill(|name| {
            in_its_path
                .iter()
                .find(|(known, _, _)| *known == name)
                .map(|(_, argument, value)| (*argument, value.as_str()))
        })?;
        let mut target = format!("{}{path}", base[Position::BeforePath..Position::AfterPath].trim_end_matches('/'));
        let fixed = base.query().map(str::to_owned).into_iter();
        let all: Vec<_> = fixed.chain(query.into_iter().map(|(name, value)| format!("{name}={value}"))).collect();
        if !all.is_empty() {
            target.push('?');
            target.push_str(&all.join("&"));
        }
        if target.len() > LONGEST {
            return Err(Refused::new(
                "the request",
                format!("is too long: path and query have at most {LONGEST} bytes"),
            ));
        }
        let body = match &plan.body {
            Some((argument, body)) => match arguments.get(argument) {
                Some(value) => {
                    let (media_type, bytes) = body.write(value, argument)?;
                    Some(Payload { media_type, bytes })
                }
                None => None,
            },
            None => None,
        };
        Ok(Outgoing { method: plan.method, target, headers, body })
    }
}

impl Outgoing {
    /// Adds a key to the query.
    pub fn with_key(mut self, name: &str, key: &str) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(&component(name));
        self.target.push('=');
        self.target.push_str(&component(key));
        self
    }
}
