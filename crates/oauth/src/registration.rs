//! Clients that describe themselves: by registering (RFC 7591), or by a document at the URL that is their identifier
//! (OAuth Client ID Metadata Document).

use portcullis_base::{ClientId, Digest, Rng, Secret, Timestamp, token};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    client::{ApplicationType, AuthMethod, Client, ClientKind, ClientMetadata, GrantType, ResponseType},
    error::RegistrationError,
    json,
    jwks::PublicKeys,
    redirect::{self, RedirectPolicy},
    scope::{OFFLINE_ACCESS, Scopes},
};

/// The largest registration body that is read.
///
/// spec: T-20.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// The largest metadata document that any setting admits (AS-110).
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// How long a name, a version or a contact may be.
const MAX_TEXT_CHARS: usize = 200;
const MAX_CONTACTS: usize = 10;
const MAX_URI_BYTES: usize = 2048;

/// The answer to a registration; status 201, never cached.
///
/// spec: AS-119, RFC7591#3.2.1: the registered metadata is echoed, the requested authentication method included.
#[derive(Serialize)]
pub struct RegistrationAnswer<'a> {
    client_id: &'a str,
    client_id_issued_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<i64>,
    #[serde(flatten)]
    metadata: &'a ClientMetadata,
}

/// Which kind of description is read: they differ in what they must and must not contain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Registration,
    Document,
}

/// Reads the body of a registration request.
pub fn register(body: &[u8], policy: &RedirectPolicy) -> Result<ClientMetadata, RegistrationError> {
    // spec: T-20: at most 16 KiB.
    if body.len() > MAX_BODY_BYTES {
        return Err(RegistrationError::metadata("the registration is too large"));
    }
    let members =
        json::object(body).ok_or_else(|| RegistrationError::metadata("the registration is not a JSON object"))?;
    read(&members, Source::Registration, policy)
}

/// Makes a client of a checked registration, with a secret if its method needs one. The secret is shown once.
pub fn new_client(metadata: ClientMetadata, now: Timestamp, rng: &dyn Rng) -> (Client, Option<Secret>) {
    // spec: AS-101: never the form of a document's URL.
    let id = ClientId::new(format!("mcp_{}", token::<16>(rng)));
    // spec: AS-122, AS-87, T-27: no secret for `none`; only the digest of 256 random bits is kept.
    let secret = metadata.token_endpoint_auth_method.is_symmetric().then(|| Secret::new(token::<32>(rng)));
    let digest = secret.as_ref().map(|secret| Digest::of(secret.reveal().as_bytes()));
    (Client::new(id, ClientKind::Registered, metadata, digest, now), secret)
}

impl<'a> RegistrationAnswer<'a> {
    /// The answer for a new client.
    pub fn new(client: &'a Client, secret: Option<&'a Secret>) -> Self {
        Self {
            client_id: client.id.as_str(),
            client_id_issued_at: client.created_at.as_secs(),
            client_secret: secret.map(Secret::reveal),
            // spec: RFC7591#3.2.1: "REQUIRED if "client_secret" is issued [...] or 0 if it will not expire".
            client_secret_expires_at: secret.map(|_| 0),
            metadata: &client.metadata,
        }
    }
}

/// Whether a `client_id` is the URL of a metadata document that we would fetch.
pub fn is_document_id(id: &str) -> bool {
    // spec: AS-102, T-24: `https` with a path, no fragment, no userinfo, no dot segment, one spelling only.
    let Some(rest) = id.strip_prefix("https://") else { return false };
    let Some((authority, path)) = rest.split_once('/') else { return false };
    let has_path = !authority.contains('?') && !path.is_empty() && !path.starts_with('?');
    id.len() <= MAX_URI_BYTES && has_path && redirect::is_plain_https(id)
}

/// Reads the document that was fetched from `url`.
pub fn document(url: &str, bytes: &[u8], policy: &RedirectPolicy) -> Result<ClientMetadata, RegistrationError> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(RegistrationError::metadata("the document is too large"));
    }
    let members =
        json::object(bytes).ok_or_else(|| RegistrationError::metadata("the document is not a JSON object"))?;
    // spec: AS-105, T-24: byte for byte.
    if members.get("client_id").and_then(Value::as_str) != Some(url) {
        return Err(RegistrationError::metadata("client_id is not the URL of the document"));
    }
    // spec: AS-107: a secret in a public place is none.
    if ["client_secret", "client_secret_expires_at"].into_iter().any(|name| members.contains_key(name)) {
        return Err(RegistrationError::metadata("a public document cannot carry a client secret"));
    }
    read(&members, Source::Document, policy)
}

fn read(
    members: &Map<String, Value>,
    source: Source,
    policy: &RedirectPolicy,
) -> Result<ClientMetadata, RegistrationError> {
    let metadata = ClientMetadata {
        client_name: text(members, "client_name")?,
        redirect_uris: redirect_uris(members, policy)?,
        grant_types: grant_types(members)?,
        response_types: response_types(members)?,
        scope: scope(members)?,
        token_endpoint_auth_method: auth_method(members, source)?,
        application_type: application_type(members)?,
        jwks: jwks(members)?,
        jwks_uri: uri(members, "jwks_uri")?,
        client_uri: uri(members, "client_uri")?,
        logo_uri: uri(members, "logo_uri")?,
        policy_uri: uri(members, "policy_uri")?,
        tos_uri: uri(members, "tos_uri")?,
        contacts: contacts(members)?,
        software_id: text(members, "software_id")?,
        software_version: text(members, "software_version")?,
    };
    // spec: AS-106: a document must say its name.
    if source == Source::Document && metadata.client_name.is_none() {
        return Err(RegistrationError::metadata("client_name is required"));
    }
    // spec: AS-121: `web` means redirects to a web server; whoever does not say is judged by the URIs alone.
    if metadata.application_type == Some(ApplicationType::Web)
        && !metadata.redirect_uris.iter().all(|uri| redirect::is_remote_https(uri))
    {
        return Err(RegistrationError::redirect("a web application needs https redirect URIs that are not loopback"));
    }
    check_keys(&metadata)?;
    Ok(metadata)
}

fn redirect_uris(members: &Map<String, Value>, policy: &RedirectPolicy) -> Result<Vec<String>, RegistrationError> {
    let uris = texts(members, "redirect_uris")
        .map_err(|_| RegistrationError::redirect("redirect_uris must be a list of texts"))?;
    // spec: AS-106, RFC7591#2: "Clients using flows with redirection MUST register their redirection URI values."
    let uris =
        uris.filter(|uris| !uris.is_empty()).ok_or_else(|| RegistrationError::redirect("redirect_uris is required"))?;
    // spec: T-11: at most 10.
    if uris.len() > redirect::MAX_URIS {
        return Err(RegistrationError::redirect("there are too many redirect_uris"));
    }
    for uri in &uris {
        policy.check(uri).map_err(|error| RegistrationError::redirect(error.to_string()))?;
    }
    Ok(uris)
}

/// spec: T-22: grants we do not have are dropped, not refused; well-known clients list them.
fn grant_types(members: &Map<String, Value>) -> Result<Vec<GrantType>, RegistrationError> {
    let Some(asked) = texts(members, "grant_types")? else { return Ok(vec![GrantType::AuthorizationCode]) };
    let has = |name: &str| asked.iter().any(|grant| grant == name);
    if !has("authorization_code") {
        return Err(RegistrationError::metadata("grant_types must contain authorization_code"));
    }
    let mut grants = vec![GrantType::AuthorizationCode];
    if has("refresh_token") {
        grants.push(GrantType::RefreshToken);
    }
    Ok(grants)
}

fn response_types(members: &Map<String, Value>) -> Result<Vec<ResponseType>, RegistrationError> {
    match texts(members, "response_types")? {
        // spec: AS-2.
        Some(asked) if !asked.iter().any(|response| response == "code") => {
            Err(RegistrationError::metadata("response_types must contain code"))
        }
        _ => Ok(vec![ResponseType::Code]),
    }
}

/// spec: T-22: intersected with what there is.
fn scope(members: &Map<String, Value>) -> Result<Option<Scopes>, RegistrationError> {
    let Some(value) = present(members, "scope") else { return Ok(None) };
    let asked = value.as_str().and_then(|text| Scopes::parse(text).ok());
    let asked = asked.ok_or_else(|| RegistrationError::metadata("scope must be a list of scope tokens"))?;
    let offered = Scopes::endpoint();
    let kept: Scopes = asked.iter().filter(|s| *s == OFFLINE_ACCESS || offered.contains(s)).map(Into::into).collect();
    Ok(Some(kept).filter(|kept| !kept.is_empty()))
}

fn auth_method(members: &Map<String, Value>, source: Source) -> Result<AuthMethod, RegistrationError> {
    let method = match text(members, "token_endpoint_auth_method")?.as_deref() {
        // spec: AS-122, RFC7591#2: "If unspecified or omitted, the default is "client_secret_basic"". A document cannot
        // mean that, so it means a public client.
        None if source == Source::Document => AuthMethod::None,
        None | Some("client_secret_basic") => AuthMethod::ClientSecretBasic,
        Some("client_secret_post") => AuthMethod::ClientSecretPost,
        Some("private_key_jwt") => AuthMethod::PrivateKeyJwt,
        Some("none") => AuthMethod::None,
        Some(_) => return Err(RegistrationError::metadata("token_endpoint_auth_method is not supported")),
    };
    // spec: AS-107: nothing symmetric in a public document.
    if source == Source::Document && method.is_symmetric() {
        return Err(RegistrationError::metadata("a public document cannot use a client secret"));
    }
    Ok(method)
}

fn application_type(members: &Map<String, Value>) -> Result<Option<ApplicationType>, RegistrationError> {
    match text(members, "application_type")?.as_deref() {
        None => Ok(None),
        Some("web") => Ok(Some(ApplicationType::Web)),
        Some("native") => Ok(Some(ApplicationType::Native)),
        Some(_) => Err(RegistrationError::metadata("application_type must be web or native")),
    }
}

fn jwks(members: &Map<String, Value>) -> Result<Option<Value>, RegistrationError> {
    let Some(set) = present(members, "jwks") else { return Ok(None) };
    // spec: AS-107: no private key material.
    PublicKeys::from_value(set).map_err(|error| RegistrationError::metadata(format!("jwks: {error}")))?;
    Ok(Some(set.clone()))
}

fn check_keys(metadata: &ClientMetadata) -> Result<(), RegistrationError> {
    let usable = match (&metadata.jwks, &metadata.jwks_uri) {
        // spec: RFC7591#2: "The "jwks_uri" and "jwks" parameters MUST NOT both be present in the same request or response."
        (Some(_), Some(_)) => return Err(RegistrationError::metadata("jwks and jwks_uri exclude each other")),
        (Some(set), None) => PublicKeys::from_value(set).is_ok_and(|keys| !keys.is_empty()),
        (None, uri) => uri.is_some(),
    };
    if metadata.token_endpoint_auth_method == AuthMethod::PrivateKeyJwt && !usable {
        return Err(RegistrationError::metadata("private_key_jwt needs a usable key in jwks, or jwks_uri"));
    }
    Ok(())
}

fn contacts(members: &Map<String, Value>) -> Result<Vec<String>, RegistrationError> {
    let contacts = texts(members, "contacts")?.unwrap_or_default();
    if contacts.len() > MAX_CONTACTS || contacts.iter().any(|contact| contact.chars().count() > MAX_TEXT_CHARS) {
        return Err(RegistrationError::metadata("contacts is too long"));
    }
    Ok(contacts)
}

/// spec: T-14: `https` and nothing else for what might become a link.
fn uri(members: &Map<String, Value>, name: &'static str) -> Result<Option<String>, RegistrationError> {
    match string(members, name)? {
        Some(uri) if uri.len() <= MAX_URI_BYTES && redirect::is_plain_https(&uri) => Ok(Some(uri)),
        Some(_) => Err(RegistrationError::metadata(format!("{name} must be an https URL"))),
        None => Ok(None),
    }
}

fn text(members: &Map<String, Value>, name: &'static str) -> Result<Option<String>, RegistrationError> {
    match string(members, name)? {
        Some(text) if text.chars().count() > MAX_TEXT_CHARS => {
            Err(RegistrationError::metadata(format!("{name} is too long")))
        }
        text => Ok(text),
    }
}

/// spec: AS-106: well-typed values. An empty text says nothing, as an absent member does.
fn string(members: &Map<String, Value>, name: &'static str) -> Result<Option<String>, RegistrationError> {
    match present(members, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.trim().is_empty())),
        Some(_) => Err(RegistrationError::metadata(format!("{name} must be a text"))),
    }
}

fn texts(members: &Map<String, Value>, name: &'static str) -> Result<Option<Vec<String>>, RegistrationError> {
    let Some(value) = present(members, name) else { return Ok(None) };
    let all = value.as_array().and_then(|all| all.iter().map(|one| one.as_str().map(str::to_owned)).collect());
    all.map(Some).ok_or_else(|| RegistrationError::metadata(format!("{name} must be a list of texts")))
}

fn present<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| !value.is_null())
}
