//! Errors of the protocol: the registered codes, and the body that carries them.

use std::fmt;

use serde_json::Value;

use crate::{
    id::{Id, OwnedId},
    scan::Fault,
    version::Version,
};

/// An error of the protocol, with the HTTP status that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProtocolError {
    /// The JSON-RPC code.
    pub code: i64,
    /// The HTTP status.
    pub http: u16,
    /// What is wrong, for the caller's eyes.
    pub message: String,
    /// The id of the request, where it could be read.
    pub id: Option<OwnedId>,
    /// Further data.
    pub data: Option<Box<Value>>,
}

/// The body is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The JSON is no message.
pub const INVALID_REQUEST: i64 = -32600;
/// The method does not exist here.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters are wrong.
pub const INVALID_PARAMS: i64 = -32602;
/// Something failed inside.
pub const INTERNAL_ERROR: i64 = -32603;
/// Headers and body disagree.
pub const HEADER_MISMATCH: i64 = -32020;
/// The client did not declare a capability that the request needs.
pub const MISSING_CAPABILITY: i64 = -32021;
/// The version is not served.
pub const UNSUPPORTED_VERSION: i64 = -32022;

/// The person has to open a page first (2025-11-25).
pub const URL_ELICITATION_REQUIRED: i64 = -32042;

impl ProtocolError {
    /// An error with a code and a status of its own.
    pub fn new(code: i64, http: u16, message: impl Into<String>) -> Self {
        Self { code, http, message: message.into(), id: None, data: None }
    }

    /// `-32700`
    pub fn parse(fault: Fault) -> Self {
        Self::new(PARSE_ERROR, 400, format!("The body is no strict JSON: {fault}"))
    }

    /// `-32600`
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(INVALID_REQUEST, 400, message)
    }

    /// `-32601`
    pub fn method_not_found(method: &str) -> Self {
        let name: String = method.chars().take(128).collect();
        Self::new(METHOD_NOT_FOUND, 404, format!("Method not found: {name}"))
    }

    /// `-32602`
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, 400, message)
    }

    /// `-32603`
    pub fn internal(http: u16, message: impl Into<String>) -> Self {
        Self::new(INTERNAL_ERROR, http, message)
    }

    /// `-32020`
    pub fn header_mismatch(message: impl Into<String>) -> Self {
        Self::new(HEADER_MISMATCH, 400, message)
    }

    /// `-32021`; `required` is a `ClientCapabilities` object such as `{"elicitation":{"url":{}}}`.
    pub fn missing_capability(required: Value, message: impl Into<String>) -> Self {
        let mut error = Self::new(MISSING_CAPABILITY, 400, message);
        error.data = Some(Box::new(serde_json::json!({ "requiredCapabilities": required })));
        error
    }

    /// `-32022`
    pub fn unsupported_version(requested: &str, supported: &[Version], message: impl Into<String>) -> Self {
        let requested: String = requested.chars().take(64).collect();
        let supported: Vec<&str> = supported.iter().map(|version| version.as_str()).collect();
        let mut error = Self::new(UNSUPPORTED_VERSION, 400, message);
        error.data = Some(Box::new(serde_json::json!({ "supported": supported, "requested": requested })));
        error
    }

    /// The error as answer to the request `id`.
    pub fn with_id(mut self, id: Option<Id<'_>>) -> Self {
        self.id = id.map(|id| id.to_owned());
        self
    }

    /// The JSON-RPC error; without an `id` member where none could be read.
    ///
    /// spec: TR-5
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = String::from(r#"{"jsonrpc":"2.0","#);
        if let Some(id) = &self.id {
            out.push_str(r#""id":"#);
            out.push_str(id.to_json());
            out.push(',');
        }
        let mut error = serde_json::Map::new();
        error.insert("code".into(), self.code.into());
        error.insert("message".into(), self.message.as_str().into());
        if let Some(data) = &self.data {
            error.insert("data".into(), Value::clone(data));
        }
        out.push_str(r#""error":"#);
        out.push_str(&Value::Object(error).to_string());
        out.push('}');
        out.into_bytes()
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for ProtocolError {}
