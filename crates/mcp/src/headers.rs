//! Headers of an MCP request: they agree with the body, or the request is refused (T-56, T-69).
//!
//! Decisions are always made on the body; this file only sees to it that whoever decided on a header saw the same.
//! Towards a server the headers are made anew from the body, never copied.

mod value;

use self::value::{Decimal, printable, same_number, trimmed};
pub use self::value::{decode_value, encode_value};
use crate::{
    message::{Call, Id, Message, ProtocolError},
    method::{Form, Method},
    scan::{self, Kind},
    tool::{Annotation, ParamKind},
    version::{Era, Version},
};

/// Name of the header that carries the version.
pub const PROTOCOL_VERSION: &str = "MCP-Protocol-Version";
/// Name of the header that repeats the method.
pub const METHOD: &str = "Mcp-Method";
/// Name of the header that repeats what the method names.
pub const NAME: &str = "Mcp-Name";
/// Name of the header that carries a session's id.
pub const SESSION_ID: &str = "Mcp-Session-Id";
/// Name of the header that asks for what came after an event.
pub const LAST_EVENT_ID: &str = "Last-Event-ID";
/// Beginning of the names of headers that repeat arguments.
pub const PARAM_PREFIX: &str = "Mcp-Param-";

/// What was sent for one header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'h> {
    /// Nothing.
    #[default]
    Absent,
    /// One value, without the blanks around it.
    One(&'h [u8]),
    /// Several values.
    Repeated,
}

/// The headers of a request that the protocol gives a meaning.
#[derive(Clone, Debug, Default)]
pub struct Headers<'h> {
    /// `MCP-Protocol-Version`
    pub version: Field<'h>,
    /// `Mcp-Method`
    pub method: Field<'h>,
    /// `Mcp-Name`
    pub name: Field<'h>,
    /// `Mcp-Session-Id`
    pub session: Field<'h>,
    /// `Last-Event-ID`
    pub last_event: Field<'h>,
    /// `Mcp-Param-*`: what follows the prefix, and the value without the blanks around it.
    pub params: Vec<(&'h str, &'h [u8])>,
}

impl<'h> Field<'h> {
    fn add(&mut self, value: &'h [u8]) {
        *self = if *self == Self::Absent { Self::One(value) } else { Self::Repeated };
    }

    /// The value, if exactly one was sent.
    pub fn one(self) -> Option<&'h [u8]> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }

    /// The value as text, if exactly one was sent and it is made of printable ASCII.
    pub fn text(self) -> Option<&'h str> {
        self.one().and_then(printable)
    }
}

impl<'h> Headers<'h> {
    /// Picks the headers of the protocol from all headers of a request.
    ///
    /// spec: TR-12: names in any case, values without the blanks around them
    pub fn collect(pairs: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Self {
        let mut found = Self::default();
        for (name, value) in pairs {
            let value = trimmed(value);
            if name.eq_ignore_ascii_case(LAST_EVENT_ID) {
                found.last_event.add(value);
            } else if name.get(..4).is_none_or(|start| !start.eq_ignore_ascii_case("mcp-")) {
                // Nearly every header ends here.
            } else if name.eq_ignore_ascii_case(PROTOCOL_VERSION) {
                found.version.add(value);
            } else if name.eq_ignore_ascii_case(METHOD) {
                found.method.add(value);
            } else if name.eq_ignore_ascii_case(NAME) {
                found.name.add(value);
            } else if name.eq_ignore_ascii_case(SESSION_ID) {
                found.session.add(value);
            } else if let Some((start, rest)) = name.split_at_checked(PARAM_PREFIX.len())
                && start.eq_ignore_ascii_case(PARAM_PREFIX)
            {
                found.params.push((rest, value));
            }
        }
        found
    }
}

/// How an incoming POST is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class<'h> {
    /// By itself, at `version`.
    Modern {
        /// The served version that header and body agree on.
        version: Version,
        /// The method; `None` only for a notification that this version does not define.
        method: Option<Method>,
    },
    /// As the opening of a session.
    Initialize {
        /// The version to answer with.
        version: Version,
    },
    /// As part of a session. What is in it is admitted by [`admit`], once the session's version is known.
    Session {
        /// The session's id as sent.
        session: &'h [u8],
        /// The served version that the header names, if it was sent.
        header: Option<Version>,
    },
}

/// Classifies an incoming POST. `served` is what the endpoint serves, newest first.
pub fn classify<'h>(
    headers: &Headers<'h>,
    message: &Message<'_>,
    served: &[Version],
) -> Result<Class<'h>, ProtocolError> {
    let id = request_id(message);
    sort(headers, message, served).map_err(|error| error.with_id(id))
}

fn request_id<'a>(message: &Message<'a>) -> Option<Id<'a>> {
    match message {
        Message::Request(call) => call.id,
        Message::Notification(_) | Message::Response(_) => None,
    }
}

fn sort<'h>(headers: &Headers<'h>, message: &Message<'_>, served: &[Version]) -> Result<Class<'h>, ProtocolError> {
    let in_header = headers.version.text().and_then(Version::parse);
    let in_meta = match message {
        Message::Request(call) | Message::Notification(call) => call.meta.protocol_version_raw.is_some(),
        Message::Response(_) => false,
    };
    // spec: TR-29: where no session can be opened, every request is held to the modern rules
    let legacy_served = served.iter().any(|version| version.era() == Era::Legacy);
    // spec: TR-21: either signal alone is enough, so leaving one out evades no check
    if in_meta || in_header.is_some_and(|version| version.era() == Era::Modern) || !legacy_served {
        return match message {
            Message::Request(call) => modern_request(headers, call, served),
            Message::Notification(call) => modern_notification(headers, call, served),
            Message::Response(_) => Err(ProtocolError::invalid_request("Responses are not sent to a server")),
        };
    }
    let header = match headers.version {
        Field::Absent => None,
        Field::Repeated => return Err(repeated(PROTOCOL_VERSION)),
        // spec: TR-26
        Field::One(value) => match in_header.filter(|version| served.contains(version)) {
            Some(version) => Some(version),
            None => return Err(unsupported(&String::from_utf8_lossy(value), served)),
        },
    };
    if let Message::Request(call) = message
        && call.known == Some(Method::Initialize)
    {
        return initialize(header, call, served);
    }
    // spec: TR-24, TR-25
    match headers.session {
        Field::One(session) if !session.is_empty() => Ok(Class::Session { session, header }),
        Field::Repeated => Err(ProtocolError::invalid_request(format!("{SESSION_ID} is repeated"))),
        _ => Err(ProtocolError::invalid_request(format!(
            "No session: send initialize first, then {SESSION_ID}; or a request of revision {} with its headers",
            served.first().copied().unwrap_or(Version::V2026_07_28)
        ))),
    }
}

/// spec: TR-22, TR-30
fn initialize<'h>(header: Option<Version>, call: &Call<'_>, served: &[Version]) -> Result<Class<'h>, ProtocolError> {
    let requested = call.params.and_then(|params| scan::member(params, "protocolVersion")).and_then(scan::string);
    let Some(requested) = requested else {
        return Err(ProtocolError::invalid_params("initialize names a protocolVersion"));
    };
    if header.is_some_and(|header| header.as_str() != requested) {
        return Err(ProtocolError::invalid_request(format!("{PROTOCOL_VERSION} differs from params.protocolVersion")));
    }
    match Version::negotiate(&requested, served) {
        Some(version) => Ok(Class::Initialize { version }),
        None => Err(unsupported(&requested, served)),
    }
}

/// The checks of a modern request in their order: who sees two faults is told of the earlier one.
///
/// spec: TR-27
fn modern_request<'h>(headers: &Headers<'h>, call: &Call<'_>, served: &[Version]) -> Result<Class<'h>, ProtocolError> {
    // spec: TR-40, TR-41
    let version = required(headers.version, PROTOCOL_VERSION)?;
    let method = required(headers.method, METHOD)?;
    // spec: TR-42, TR-43
    let named = call.known.is_some_and(|method| method.named_member().is_some());
    let name = match headers.name {
        Field::Absent if !named => None,
        field => Some(decoded(required_bytes(field, NAME)?, NAME)?),
    };

    // spec: TR-49, TR-50
    let Some(stated) = &call.meta.protocol_version else {
        return Err(ProtocolError::invalid_params("params._meta names no io.modelcontextprotocol/protocolVersion"));
    };
    if call.meta.client_capabilities.is_none_or(|raw| scan::kind(raw) != Kind::Object) {
        return Err(ProtocolError::invalid_params(
            "params._meta has no object io.modelcontextprotocol/clientCapabilities",
        ));
    }

    // spec: T-56, T-69
    agree(version == stated, PROTOCOL_VERSION)?;
    agree(method == call.method, METHOD)?;
    if let (true, Some(name), Some(target)) = (named, &name, &call.target) {
        agree(name == target, NAME)?;
    }

    let version = served_modern(version, served)?;
    let method = admit(call, version)?;
    Ok(Class::Modern { version, method })
}

/// spec: TR-44: notifications need neither method nor name in their headers, but must not contradict them
fn modern_notification<'h>(
    headers: &Headers<'h>,
    call: &Call<'_>,
    served: &[Version],
) -> Result<Class<'h>, ProtocolError> {
    let version = required(headers.version, PROTOCOL_VERSION)?;
    if call.meta.protocol_version_raw.is_some() {
        agree(call.meta.protocol_version.as_deref() == Some(version), PROTOCOL_VERSION)?;
    }
    if headers.method != Field::Absent {
        agree(required(headers.method, METHOD)? == call.method, METHOD)?;
    }
    let version = served_modern(version, served)?;
    let method = admit(call, version)?;
    Ok(Class::Modern { version, method })
}

fn served_modern(text: &str, served: &[Version]) -> Result<Version, ProtocolError> {
    match Version::parse(text).filter(|version| served.contains(version)) {
        Some(version) if version.era() == Era::Modern => Ok(version),
        // spec: TR-31: naming the refused version as supported would make the client come back with it
        Some(version) => {
            let modern: Vec<Version> = served.iter().copied().filter(|version| version.era() == Era::Modern).collect();
            let message =
                format!("Revision {version} is spoken in a session: send initialize without _meta of a request");
            Err(ProtocolError::unsupported_version(text, &modern, message))
        }
        None => Err(unsupported(text, served)),
    }
}

/// Whether `call` is a message that a client may send at `version`, and has the parameters that name its target.
///
/// `None` for a notification that `version` does not define: such is accepted and goes nowhere.
pub fn admit(call: &Call<'_>, version: Version) -> Result<Option<Method>, ProtocolError> {
    let known = call.known.filter(|method| method.exists_in(version) && method.from_client());
    let method = match (known, call.id) {
        (Some(method), Some(_)) if method.form() == Form::Request => method,
        (Some(method), None) if method.form() == Form::Notification => return Ok(Some(method)),
        (Some(_), None) => return Err(ProtocolError::invalid_request("This method is a request and needs an id")),
        (None, None) => return Ok(None),
        // spec: TR-23, TR-56
        (_, Some(_)) => {
            let mut error = ProtocolError::method_not_found(&call.method).with_id(call.id);
            if version.era() == Era::Legacy {
                // There a 404 would say that the session has ended.
                error.http = 200;
            }
            return Err(error);
        }
    };
    if let Some(member) = method.target().member()
        && call.target.is_none()
    {
        return Err(ProtocolError::invalid_params(format!("params.{member} is missing")).with_id(call.id));
    }
    // spec: T-60
    if call.arguments.is_some_and(|raw| scan::kind(raw) != Kind::Object) {
        return Err(ProtocolError::invalid_params("params.arguments is not an object").with_id(call.id));
    }
    Ok(Some(method))
}

/// Compares the `Mcp-Param-*` headers of a call with its raw `arguments`.
///
/// spec: TR-46, TR-47, TR-48
pub fn check_params(
    headers: &Headers<'_>,
    annotations: &[Annotation],
    arguments: Option<&str>,
) -> Result<(), ProtocolError> {
    for annotation in annotations {
        let header = format!("{PARAM_PREFIX}{}", annotation.header);
        let mut field = Field::Absent;
        for (name, value) in &headers.params {
            if name.eq_ignore_ascii_case(&annotation.header) {
                field.add(value);
            }
        }
        match (argument(annotation, arguments), field) {
            (None, Field::Absent) => {}
            (None, _) => agree(false, &header)?,
            (Some(raw), field) => {
                let sent = decoded(required_bytes(field, &header)?, &header)?;
                let same = match scan::kind(raw) {
                    Kind::String => scan::string(raw).as_deref() == Some(sent.as_str()),
                    Kind::Number => same_number(raw, &sent),
                    _ => raw == sent,
                };
                agree(same, &header)?;
            }
        }
    }
    Ok(())
}

/// The headers of a modern request to a server, made from its body: version, method, name, parameters.
///
/// spec: TR-127, T-56
pub fn upstream(
    version: Version,
    method: Method,
    target: Option<&str>,
    annotations: &[Annotation],
    arguments: Option<&str>,
) -> Vec<(String, String)> {
    let mut out =
        vec![(PROTOCOL_VERSION.to_owned(), version.as_str().to_owned()), (METHOD.to_owned(), method.name().to_owned())];
    if let (Some(_), Some(target)) = (method.named_member(), target) {
        out.push((NAME.to_owned(), encode_value(target)));
    }
    for annotation in annotations {
        let Some(raw) = argument(annotation, arguments) else { continue };
        let value = match scan::string(raw) {
            Some(text) => text.into_owned(),
            None if annotation.kind == ParamKind::Integer => {
                Decimal::parse(raw).and_then(|d| d.plain()).unwrap_or(raw.to_owned())
            }
            None => raw.to_owned(),
        };
        out.push((format!("{PARAM_PREFIX}{}", annotation.header), encode_value(&value)));
    }
    out
}

/// The raw value of an annotated parameter; `None` if it is absent, null, or nothing that a header could repeat.
fn argument<'a>(annotation: &Annotation, arguments: Option<&'a str>) -> Option<&'a str> {
    let raw = annotation.path.iter().try_fold(arguments?, |raw, name| scan::member(raw, name))?;
    matches!(scan::kind(raw), Kind::String | Kind::Number | Kind::Bool).then_some(raw)
}

fn required_bytes<'h>(field: Field<'h>, name: &str) -> Result<&'h [u8], ProtocolError> {
    match field {
        Field::One(value) => Ok(value),
        Field::Absent => Err(ProtocolError::header_mismatch(format!("{name} is missing"))),
        Field::Repeated => Err(repeated(name)),
    }
}

fn required<'h>(field: Field<'h>, name: &str) -> Result<&'h str, ProtocolError> {
    printable(required_bytes(field, name)?).ok_or_else(|| malformed(name))
}

fn decoded(value: &[u8], name: &str) -> Result<String, ProtocolError> {
    decode_value(value).ok_or_else(|| malformed(name))
}

fn malformed(name: &str) -> ProtocolError {
    ProtocolError::header_mismatch(format!("{name} is malformed"))
}

/// spec: TR-48
fn repeated(name: &str) -> ProtocolError {
    ProtocolError::header_mismatch(format!("{name} is repeated"))
}

fn agree(same: bool, name: &str) -> Result<(), ProtocolError> {
    if same { Ok(()) } else { Err(ProtocolError::header_mismatch(format!("{name} differs from the body"))) }
}

/// spec: TR-26, TR-28
fn unsupported(requested: &str, served: &[Version]) -> ProtocolError {
    ProtocolError::unsupported_version(requested, served, "Unsupported protocol version")
}
