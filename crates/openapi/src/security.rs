//! Which credentials an API asks for. They are reported, and never become arguments.

use std::fmt;

use portcullis_base::printable;
use serde_json::Value;

use crate::document::{Problem, below, mapping, resolve, text};

/// Where a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this header.
    Header(String),
    /// In this parameter of the query.
    Query(String),
    /// In this cookie.
    Cookie(String),
}

/// What kind of credential it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A key.
    Key(Place),
    /// `Authorization: Bearer …`
    Bearer,
    /// Name and password.
    Basic,
    /// OAuth 2.
    OAuth,
    /// OpenID Connect.
    OpenId,
    /// A certificate of the caller.
    Certificate,
    /// What this gateway knows no name for.
    Other(String),
}

/// A security scheme that operations of the document use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// Its name in the document.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
}

impl fmt::Display for Kind {
    /// What it asks for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(Place::Header(header)) => write!(f, "a key in the header {}", printable(header, 60)),
            Self::Key(Place::Query(key)) => write!(f, "a key in the query parameter {}", printable(key, 60)),
            Self::Key(Place::Cookie(cookie)) => write!(f, "a key in the cookie {}", printable(cookie, 60)),
            Self::Bearer => f.write_str("a token"),
            Self::Basic => f.write_str("name:password in base64"),
            Self::OAuth | Self::OpenId => f.write_str("OAuth"),
            Self::Certificate => f.write_str("a certificate"),
            Self::Other(kind) => f.write_str(&printable(kind, 60)),
        }
    }
}

impl fmt::Display for Scheme {
    /// What it asks for and what to write into the settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (", printable(&self.name, 60), self.kind)?;
        match &self.kind {
            Kind::Key(Place::Header(header)) => {
                write!(f, "`credential: {{kind: header, header: {}}}`", printable(header, 60))
            }
            Kind::Key(Place::Query(key)) => {
                let key = printable(key, 60);
                write!(f, "`key_in_query: {key}` beside `file`, and `credential: {{kind: header, prefix: \"\"}}`")
            }
            Kind::Key(Place::Cookie(cookie)) => {
                let cookie = printable(cookie, 60);
                write!(f, "`credential: {{kind: header, header: Cookie, prefix: \"{cookie}=\"}}`")
            }
            Kind::Bearer => f.write_str("`credential: {kind: header}`, or `kind: oauth` with the issuer"),
            Kind::Basic => f.write_str("`credential: {kind: header, prefix: \"Basic \"}`"),
            Kind::OAuth | Kind::OpenId => f.write_str("`credential: {kind: oauth, issuer: …, client_id: …}`"),
            Kind::Certificate => f.write_str("`tls:` with `client_certificate` and `client_key`"),
            Kind::Other(_) => f.write_str("`credential: {kind: header, …}`, if it fits into a header"),
        }?;
        f.write_str(")")
    }
}

/// All schemes that the document describes.
pub(crate) fn schemes(document: &Value) -> Result<Vec<Scheme>, Problem> {
    static NOTHING: Value = Value::Null;
    let components = document.get("components").unwrap_or(&NOTHING);
    let described = mapping(components, "securitySchemes", "#/components")?;
    let mut found = Vec::new();
    for (name, scheme) in described {
        let at = below("#/components/securitySchemes", name);
        let (scheme, at) = resolve(document, scheme, &at)?;
        let kind = match (text(scheme, "type"), text(scheme, "scheme").to_ascii_lowercase().as_str()) {
            ("apiKey", _) => {
                let key = text(scheme, "name").to_owned();
                Kind::Key(match text(scheme, "in") {
                    "query" => Place::Query(key),
                    "cookie" => Place::Cookie(key),
                    "header" => Place::Header(key),
                    _ => return Err(Problem::new(&at, "a key is in header, query or cookie", "say where: in: header")),
                })
            }
            ("http", "bearer") => Kind::Bearer,
            ("http", "basic") => Kind::Basic,
            ("http", other) => Kind::Other(format!("HTTP authentication {other}")),
            ("oauth2", _) => Kind::OAuth,
            ("openIdConnect", _) => Kind::OpenId,
            ("mutualTLS", _) => Kind::Certificate,
            (other, _) => Kind::Other(other.to_owned()),
        };
        found.push(Scheme { name: name.clone(), kind });
    }
    Ok(found)
}

/// The names of the schemes that one operation may be called with.
pub(crate) fn used<'d>(document: &'d Value, operation: &'d Value) -> impl Iterator<Item = &'d str> {
    let security = operation.get("security").or_else(|| document.get("security"));
    let all = security.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_object).flatten().map(|(name, _)| name.as_str())
}

impl Scheme {
    /// Whether a parameter is this credential.
    pub(crate) fn is_at(&self, stands: crate::parameter::In, name: &str) -> bool {
        use crate::parameter::In;
        match (&self.kind, stands) {
            (Kind::Key(Place::Header(key)), In::Header) => key.eq_ignore_ascii_case(name),
            (Kind::Key(Place::Query(key)), In::Query) | (Kind::Key(Place::Cookie(key)), In::Cookie) => key == name,
            _ => false,
        }
    }
}
