//! Messages of JSON-RPC 2.0 as MCP uses it: found in the body, checked in form, their insides left as they came.

use std::borrow::Cow;

pub use crate::error::{
    HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, MISSING_CAPABILITY,
    PARSE_ERROR, ProtocolError, UNSUPPORTED_VERSION, URL_ELICITATION_REQUIRED,
};
pub use crate::id::{Id, OwnedId};
use crate::{
    method::Method,
    scan::{self, Kind, Limits},
};

/// `_meta` key of the version a modern request is written in.
pub const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key of what the client can do.
pub const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta` key of what the client is.
pub const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// `_meta` key of the log level that a request asks for.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// `_meta` key of the subscription that a notification belongs to.
pub const META_SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// `_meta` key of what the server is.
pub const META_SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// It wants an answer.
    Request(Call<'a>),
    /// It wants none.
    Notification(Call<'a>),
    /// It is an answer.
    Response(Response<'a>),
}

/// A request or a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// The whole message as it came.
    pub raw: &'a str,
    /// The id; a notification has none.
    pub id: Option<Id<'a>>,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// The method, if some known revision defines it.
    pub known: Option<Method>,
    /// The raw parameters, always an object.
    pub params: Option<&'a str>,
    /// What the method names: `params.name`, `params.uri` or `params.taskId`.
    pub target: Option<Cow<'a, str>>,
    /// The raw `params.arguments`, of whatever kind.
    pub arguments: Option<&'a str>,
    /// The raw `params.requestState`: a retry of a request that wanted input.
    pub request_state: Option<&'a str>,
    /// The raw `params.inputResponses`.
    pub input_responses: Option<&'a str>,
    /// What stands in `params._meta`.
    pub meta: Meta<'a>,
}

/// The parts of `params._meta` that the protocol defines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta<'a> {
    /// The whole object as it came.
    pub raw: Option<&'a str>,
    /// The raw version, of whatever kind: its presence alone makes a request modern.
    pub protocol_version_raw: Option<&'a str>,
    /// The version, if it is a string.
    pub protocol_version: Option<Cow<'a, str>>,
    /// Raw capabilities of the client, of whatever kind.
    pub client_capabilities: Option<&'a str>,
    /// Raw description of the client.
    pub client_info: Option<&'a str>,
    /// Raw log level.
    pub log_level: Option<&'a str>,
    /// Raw progress token.
    pub progress_token: Option<&'a str>,
    /// Raw W3C trace context.
    pub traceparent: Option<&'a str>,
    /// Raw W3C vendor state.
    pub tracestate: Option<&'a str>,
    /// Raw W3C baggage.
    pub baggage: Option<&'a str>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The whole message as it came.
    pub raw: &'a str,
    /// The id; `None` only for an error whose request could not be read.
    pub id: Option<Id<'a>>,
    /// What came of the request.
    pub outcome: Outcome<'a>,
    /// The result says of itself that the tool failed.
    pub is_error: bool,
    /// `result.resultType`.
    pub result_type: Option<Cow<'a, str>>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The raw result, always an object.
    Result(&'a str),
    /// An error.
    Error {
        /// Its code.
        code: i64,
        /// Its message.
        message: Cow<'a, str>,
        /// The raw error object.
        raw: &'a str,
    },
}

/// What kind of result a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultType {
    /// The end of the request.
    Complete,
    /// The request comes back with answers.
    InputRequired,
}

impl Response<'_> {
    /// The kind of the result; `None` if it names one that nobody defined, which makes the response invalid.
    pub fn kind(&self) -> Option<ResultType> {
        // spec: TR-132
        match self.result_type.as_deref() {
            None | Some("complete") => Some(ResultType::Complete),
            Some("input_required") => Some(ResultType::InputRequired),
            Some(_) => None,
        }
    }
}

/// What a body holds.
#[expect(clippy::large_enum_variant, reason = "one message is the ordinary case")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// One message.
    One(Message<'a>),
    /// An array of messages, for the caller to refuse.
    ///
    /// spec: T-59: no message hides in a batch
    Batch(Vec<Message<'a>>),
}

/// What one needs to know of an answer to record it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    /// It is an error, of the protocol or of the tool.
    pub is_error: bool,
    /// The code of a protocol error.
    pub error_code: Option<i64>,
    /// The result says of itself that the tool failed.
    pub tool_error: bool,
    /// The result asks for input.
    pub input_required: bool,
}

/// Longest method or target that is read (T-58).
const LONGEST_NAME: usize = 1 << 20;

/// Reads a body.
///
/// spec: TR-4, T-57, T-60: what cannot be read completely is refused, never passed on as it is
pub fn parse<'a>(body: &'a [u8], limits: &Limits) -> Result<Body<'a>, ProtocolError> {
    let text = scan::check(body, limits).map_err(ProtocolError::parse)?;
    match scan::kind(text) {
        Kind::Array => {
            let messages: Vec<_> = scan::elements(text).map(message).collect::<Result<_, _>>()?;
            if messages.is_empty() {
                return Err(ProtocolError::invalid_request("An empty batch"));
            }
            Ok(Body::Batch(messages))
        }
        _ => message(text).map(Body::One),
    }
}

/// Reads one message from checked text.
pub fn message(raw: &str) -> Result<Message<'_>, ProtocolError> {
    if scan::kind(raw) != Kind::Object {
        return Err(ProtocolError::invalid_request("A message is an object"));
    }
    let envelope = Envelope::read(raw);
    // spec: TR-5: whatever else is wrong, the answer carries the id if there is one
    let id = envelope.id.and_then(Id::parse);
    envelope.judge(raw, id).map_err(|error| error.with_id(id))
}

#[derive(Default)]
struct Envelope<'a> {
    version: Option<&'a str>,
    id: Option<&'a str>,
    method: Option<&'a str>,
    params: Option<&'a str>,
    result: Option<&'a str>,
    error: Option<&'a str>,
    disguised: bool,
}

impl<'a> Envelope<'a> {
    fn read(raw: &'a str) -> Self {
        let mut envelope = Self::default();
        for (name, value) in scan::members(raw) {
            match &*name {
                "jsonrpc" => envelope.version = Some(value),
                "id" => envelope.id = Some(value),
                "method" => envelope.method = Some(value),
                "params" => envelope.params = Some(value),
                "result" => envelope.result = Some(value),
                "error" => envelope.error = Some(value),
                other => {
                    envelope.disguised |= disguises(other, &["jsonrpc", "id", "method", "params", "result", "error"]);
                }
            }
        }
        envelope
    }

    fn judge(self, raw: &'a str, id: Option<Id<'a>>) -> Result<Message<'a>, ProtocolError> {
        if self.disguised {
            return Err(ProtocolError::invalid_request("A member's name differs from one of JSON-RPC only in case"));
        }
        if self.version.and_then(scan::string).as_deref() != Some("2.0") {
            return Err(ProtocolError::invalid_request("\"jsonrpc\" is not \"2.0\""));
        }
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => {
                if self.id.is_some() && id.is_none() {
                    return Err(ProtocolError::invalid_request("An id is a string or an integer"));
                }
                let call = call(raw, id, method, self.params)?;
                Ok(if id.is_some() { Message::Request(call) } else { Message::Notification(call) })
            }
            (None, Some(result), None) if self.params.is_none() => {
                if id.is_none() {
                    return Err(ProtocolError::invalid_request("A result has the id of its request"));
                }
                if scan::kind(result) != Kind::Object {
                    return Err(ProtocolError::invalid_request("A result is an object"));
                }
                let found = ResultHead::read(result);
                let result_type = match found.result_type.map(scan::string) {
                    Some(None) => return Err(ProtocolError::invalid_request("A resultType is a string")),
                    result_type => result_type.flatten(),
                };
                let outcome = Outcome::Result(result);
                Ok(Message::Response(Response { raw, id, outcome, is_error: found.is_error, result_type }))
            }
            (None, None, Some(error)) if self.params.is_none() => {
                if id.is_none() && self.id.is_some_and(|raw| scan::kind(raw) != Kind::Null) {
                    return Err(ProtocolError::invalid_request("An id is a string or an integer"));
                }
                let code = scan::member(error, "code").and_then(|raw| raw.parse().ok());
                let message = scan::member(error, "message").and_then(scan::string);
                let (Some(code), Some(message)) = (code, message) else {
                    return Err(ProtocolError::invalid_request("An error has a code and a message"));
                };
                let outcome = Outcome::Error { code, message, raw: error };
                Ok(Message::Response(Response { raw, id, outcome, is_error: false, result_type: None }))
            }
            _ => Err(ProtocolError::invalid_request("Neither a request nor a notification nor a response")),
        }
    }
}

fn call<'a>(
    raw: &'a str,
    id: Option<Id<'a>>,
    method: &'a str,
    params: Option<&'a str>,
) -> Result<Call<'a>, ProtocolError> {
    let Some(method) = scan::string(method).filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME) else {
        return Err(ProtocolError::invalid_request("A method is a string"));
    };
    // spec: T-60: `params: []` is refused here, not understood by somebody else
    if params.is_some_and(|raw| scan::kind(raw) != Kind::Object) {
        return Err(ProtocolError::invalid_params("Parameters are an object"));
    }
    let known = Method::parse(&method);
    let mut call = Call {
        raw,
        id,
        method,
        known,
        params,
        target: None,
        arguments: None,
        request_state: None,
        input_responses: None,
        meta: Meta::default(),
    };
    let target = known.and_then(|method| method.target().member());
    for (name, value) in params.into_iter().flat_map(scan::members) {
        match &*name {
            "_meta" => call.meta = Meta::read(value)?,
            "arguments" => call.arguments = Some(value),
            "requestState" => call.request_state = Some(value),
            "inputResponses" => call.input_responses = Some(value),
            name if Some(name) == target => {
                let text = scan::string(value).filter(|text| text.len() <= LONGEST_NAME);
                call.target =
                    Some(text.ok_or_else(|| ProtocolError::invalid_params(format!("\"{name}\" is a string")))?);
            }
            // spec: T-57: a reader that folds case would take `Name` for `name`
            other => {
                if disguises(other, &["_meta", "arguments", "requestState", "inputResponses"])
                    || target.is_some_and(|target| disguises(other, &[target]))
                {
                    return Err(ProtocolError::invalid_params(
                        "A parameter's name differs from a known one only in case",
                    ));
                }
            }
        }
    }
    Ok(call)
}

impl<'a> Meta<'a> {
    fn read(raw: &'a str) -> Result<Self, ProtocolError> {
        let mut meta = Self { raw: Some(raw), ..Self::default() };
        for (name, value) in scan::members(raw) {
            match &*name {
                META_PROTOCOL_VERSION => {
                    meta.protocol_version_raw = Some(value);
                    meta.protocol_version = scan::string(value);
                }
                META_CLIENT_CAPABILITIES => meta.client_capabilities = Some(value),
                META_CLIENT_INFO => meta.client_info = Some(value),
                META_LOG_LEVEL => meta.log_level = Some(value),
                "progressToken" => meta.progress_token = Some(value),
                "traceparent" => meta.traceparent = Some(value),
                "tracestate" => meta.tracestate = Some(value),
                "baggage" => meta.baggage = Some(value),
                // spec: TR-72: other keys are nobody's business here, unless they pretend to be one of these
                other => {
                    if disguises(
                        other,
                        &[META_PROTOCOL_VERSION, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL],
                    ) {
                        return Err(ProtocolError::invalid_params(
                            "A key of _meta differs from a known one only in case",
                        ));
                    }
                }
            }
        }
        Ok(meta)
    }
}

/// Whether a reader that folds case would take `name` for one of `known`, which it is not.
fn disguises(name: &str, known: &[&str]) -> bool {
    // The two characters outside of ASCII that fold to letters of it.
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    known.iter().any(|known| {
        let mut expected = known.chars().map(|c| c.to_ascii_lowercase());
        name != *known && name.chars().all(|c| expected.next() == Some(fold(c))) && expected.next().is_none()
    })
}

#[derive(Default)]
struct ResultHead<'a> {
    is_error: bool,
    result_type: Option<&'a str>,
}

impl<'a> ResultHead<'a> {
    fn read(result: &'a str) -> Self {
        let mut head = Self::default();
        for (name, value) in scan::members(result) {
            match &*name {
                "isError" => head.is_error = value == "true",
                "resultType" => head.result_type = Some(value),
                _ => {}
            }
        }
        head
    }
}

/// Reads of an answer what one needs to record it: cheap, and without the strictness that a decision would need.
///
/// `None` if `bytes` are no answer.
pub fn peek_response(bytes: &[u8]) -> Option<Peek> {
    let text = std::str::from_utf8(bytes).ok()?.trim_ascii();
    for (name, value) in scan::members(text) {
        match &*name {
            "error" if scan::kind(value) == Kind::Object => {
                let error_code = scan::member(value, "code").and_then(|raw| raw.parse().ok());
                return Some(Peek { is_error: true, error_code, ..Peek::default() });
            }
            "result" if scan::kind(value) == Kind::Object => {
                let head = ResultHead::read(value);
                return Some(Peek {
                    is_error: head.is_error,
                    tool_error: head.is_error,
                    error_code: None,
                    input_required: head.result_type == Some("\"input_required\""),
                });
            }
            _ => {}
        }
    }
    None
}
