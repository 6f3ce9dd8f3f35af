//! What we publish about ourselves: RFC 8414 for the authorization server, RFC 9728 for every endpoint.

use serde::Serialize;

use crate::{
    client::{AuthMethod, GrantType, ResponseType},
    jwks::Algorithm,
    pkce,
    scope::{OFFLINE_ACCESS, Scopes},
};

/// Where people are sent.
pub const AUTHORIZE: &str = "/oauth/authorize";
/// Where codes and refresh tokens are redeemed.
pub const TOKEN: &str = "/oauth/token";
/// Where clients register.
pub const REGISTER: &str = "/oauth/register";
/// Where clients give up tokens.
pub const REVOKE: &str = "/oauth/revoke";
/// Where clients ask about their tokens.
pub const INTROSPECT: &str = "/oauth/introspect";
/// Our public keys.
pub const JWKS: &str = "/oauth/jwks";
/// RFC 8414.
pub const SERVER_METADATA: &str = "/.well-known/oauth-authorization-server";
/// OpenID Connect Discovery.
pub const OPENID_METADATA: &str = "/.well-known/openid-configuration";
/// RFC 9728.
pub const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

/// The profile of the assertion grant that an ID-JAG is.
pub(crate) const ID_JAG_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// What the documents depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The public URL of the gateway, without a slash at the end: one string everywhere (AS-8).
    pub issuer: String,
    /// Whether clients may register themselves.
    pub registration: Switch,
    /// Whether a client may be identified by the URL of its metadata document.
    pub documents: Switch,
    /// Whether there are service accounts and the like, which need no person.
    pub client_credentials: Switch,
    /// Whether an identity provider is trusted to say which client one of its people may use.
    pub id_jag: Switch,
    /// Whether a platform is trusted to say what its programs are.
    pub workloads: Switch,
}

/// Something an administrator can turn off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Offered.
    On,
    /// Not offered and not advertised.
    Off,
}

/// The authorization server metadata document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorizationServer {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    scopes_supported: Vec<String>,
    response_types_supported: [ResponseType; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: Vec<GrantType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_grant_profiles_supported: Option<[&'static str; 1]>,
    token_endpoint_auth_methods_supported: [AuthMethod; 4],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [AuthMethod; 4],
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    introspection_endpoint_auth_methods_supported: [AuthMethod; 3],
    introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    code_challenge_methods_supported: [&'static str; 1],
    authorization_response_iss_parameter_supported: bool,
    client_id_metadata_document_supported: bool,
}

/// The same document at the OpenID location, with the members its readers insist on. We issue no ID tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenIdServer {
    #[serde(flatten)]
    server: AuthorizationServer,
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 1],
}

/// The metadata document of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProtectedResource {
    resource: String,
    authorization_servers: [String; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes_supported: Option<Vec<String>>,
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<String>,
}

impl Settings {
    /// The URL of one of our endpoints.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }
}

impl AuthorizationServer {
    const METHODS: [AuthMethod; 4] =
        [AuthMethod::None, AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::PrivateKeyJwt];

    /// The document for these settings.
    ///
    /// spec: AS-10, RFC8414#2.
    pub fn new(settings: &Settings) -> Self {
        let algorithms = Algorithm::CLIENTS.map(Algorithm::as_str);
        Self {
            // spec: AS-8.
            issuer: settings.issuer.clone(),
            authorization_endpoint: settings.endpoint(AUTHORIZE),
            token_endpoint: settings.endpoint(TOKEN),
            // spec: AS-14: if and only if it is there.
            registration_endpoint: (settings.registration == Switch::On).then(|| settings.endpoint(REGISTER)),
            // spec: AS-15.
            revocation_endpoint: settings.endpoint(REVOKE),
            introspection_endpoint: settings.endpoint(INTROSPECT),
            jwks_uri: settings.endpoint(JWKS),
            // spec: AS-16: asking for `offline_access` yields a refresh token.
            scopes_supported: texts(&Scopes::endpoint().union(&std::iter::once(OFFLINE_ACCESS.into()).collect())),
            // spec: AS-2: neither implicit nor password.
            response_types_supported: [ResponseType::Code],
            response_modes_supported: ["query"],
            grant_types_supported: grant_types(settings),
            // spec: AS-171: if and only if it is accepted.
            authorization_grant_profiles_supported: (settings.id_jag == Switch::On).then_some([ID_JAG_PROFILE]),
            // spec: AS-61, AS-161.
            token_endpoint_auth_methods_supported: Self::METHODS,
            token_endpoint_auth_signing_alg_values_supported: algorithms,
            revocation_endpoint_auth_methods_supported: Self::METHODS,
            revocation_endpoint_auth_signing_alg_values_supported: algorithms,
            // spec: AS-90: `none` does not authenticate.
            introspection_endpoint_auth_methods_supported: [Self::METHODS[1], Self::METHODS[2], Self::METHODS[3]],
            introspection_endpoint_auth_signing_alg_values_supported: algorithms,
            // spec: AS-11, AS-7.
            code_challenge_methods_supported: [pkce::METHOD],
            // spec: AS-12, RFC9207#3.
            authorization_response_iss_parameter_supported: true,
            // spec: AS-13.
            client_id_metadata_document_supported: settings.documents == Switch::On,
        }
    }
}

impl OpenIdServer {
    /// The document for these settings.
    ///
    /// spec: AS-6, AS-7: the same issuer and endpoints.
    pub fn new(settings: &Settings) -> Self {
        Self {
            server: AuthorizationServer::new(settings),
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: [Algorithm::Es256.as_str()],
        }
    }
}

impl ProtectedResource {
    /// The document of the endpoint at `resource`, exactly the URL that clients connect to.
    pub fn new(settings: &Settings, resource: &str, name: Option<&str>) -> Self {
        Self {
            // spec: RS-2, RFC9728#3.3: byte for byte.
            resource: resource.to_owned(),
            // spec: RS-3, AS-22.
            authorization_servers: [settings.issuer.clone()],
            // spec: RS-5, RS-6, RS-7: what basic use needs, without `offline_access`.
            scopes_supported: Some(texts(&Scopes::endpoint())),
            bearer_methods_supported: ["header"],
            resource_name: name.map(str::to_owned),
        }
    }

    /// The document of an endpoint whose tokens are those of another authorization server.
    ///
    /// spec: RS-3, RS-21: that one and no other. Its scopes are its own, so none are named.
    pub fn external(issuer: &str, resource: &str, name: Option<&str>) -> Self {
        Self {
            resource: resource.to_owned(),
            authorization_servers: [issuer.to_owned()],
            scopes_supported: None,
            bearer_methods_supported: ["header"],
            resource_name: name.map(str::to_owned),
        }
    }
}

/// spec: AS-161, AS-171, AS-182: what is accepted, and nothing else.
fn grant_types(settings: &Settings) -> Vec<GrantType> {
    let mut all = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
    if settings.client_credentials == Switch::On {
        all.push(GrantType::ClientCredentials);
    }
    if settings.id_jag == Switch::On || settings.workloads == Switch::On {
        all.push(GrantType::JwtBearer);
    }
    all
}

/// Where the metadata of the endpoint at `resource` is.
///
/// spec: RS-1, RFC9728#3.1: the well-known text goes between host and path.
pub fn resource_metadata_url(resource: &str) -> String {
    insert(resource, RESOURCE_METADATA)
}

/// The only URLs at which the authorization server document is served, OAuth location first.
///
/// spec: AS-4, AS-5, AS-6, AS-9, RFC8414#3.1: any other well-known URL would be that of another issuer.
pub fn server_metadata_urls(issuer: &str) -> Vec<String> {
    let mut urls = vec![insert(issuer, SERVER_METADATA), insert(issuer, OPENID_METADATA)];
    let appended = format!("{issuer}{OPENID_METADATA}");
    if !urls.contains(&appended) {
        urls.push(appended);
    }
    urls
}

fn insert(url: &str, well_known: &str) -> String {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let path = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    format!("{}{well_known}{}", &url[..path], &url[path..])
}

fn texts(scopes: &Scopes) -> Vec<String> {
    scopes.iter().map(str::to_owned).collect()
}
