//! How the gateway proves to a server on whose behalf it calls: the kinds of credential and their choices.
//!
//! Everything here was checked when it was read. Secrets are here as secrets; where they were written there is only a
//! reference to them.

use std::{fmt, time::Duration};

use http::HeaderName;
use portcullis_base::Secret;

use super::ClientAuth;

/// What a server wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing until it answers 401; from then on OAuth.
    Auto(OAuth),
    /// Nothing, whatever it answers.
    None,
    /// Tokens of its authorization server, for each person or for everybody.
    OAuth(OAuth),
    /// A key in a header.
    Header(HeaderCredential),
    /// A token for the gateway itself (RFC 6749, section 4.4).
    ClientCredentials(ClientCredentials),
    /// A token that the person's provider gives for theirs (RFC 8693).
    Exchange(Exchange),
    /// The same in Entra's own way.
    OnBehalfOf(OnBehalfOf),
    /// An identity assertion of the person's provider, turned into a token at the server's authorization server.
    IdJag(IdJagCredential),
    /// A statement of the gateway about the person, signed by it.
    Assertion(Assertion),
}

/// OAuth at the server's authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth {
    /// Whose the connection is.
    pub holders: Holders,
    /// The issuer that is expected; `None`: the one that the server names.
    ///
    /// spec: UP-8: it replaces the expected value and never disables the comparison.
    pub issuer: Option<String>,
    /// Our registration there, when somebody made one.
    pub client: Option<OAuthClient>,
    /// The most that is asked for; `None`: what the server names.
    pub scopes: Option<Vec<String>>,
    /// The `resource` parameter.
    pub resource: ResourceParameter,
    /// What the server may call itself in its metadata.
    pub resource_match: ResourceMatch,
    /// Whether PKCE must be announced.
    pub s256: S256,
    /// Whether the ways of 2025-03-26 are tried at a server without metadata.
    pub legacy_paths: LegacyPaths,
    /// Hosts besides the issuer's own site that its endpoints may be at.
    pub endpoints: Vec<String>,
    /// How the gateway may become a client there.
    pub register: Register,
}

/// Our registration at an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthClient {
    /// The `client_id`.
    pub id: String,
    /// How it is proved.
    pub proof: ClientProof,
}

/// How a token request shows that it comes from us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientProof {
    /// Not at all: a public client.
    None,
    /// A secret; `how` is `None` where the authorization server's metadata decides.
    Secret {
        /// The secret.
        secret: Secret,
        /// Where it stands in the request.
        how: Option<ClientAuth>,
    },
    /// `private_key_jwt`.
    Key(ClientKey),
}

/// The key of `private_key_jwt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKey {
    /// The gateway's own, published at `/oauth/client/jwks.json`.
    Own,
    /// One of the settings, as PKCS#8 PEM, with the `kid` to name if there is one.
    Pem {
        /// The key.
        pem: Secret,
        /// Its name.
        id: Option<String>,
    },
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holders {
    /// Each person has their own.
    #[default]
    Each,
    /// Everybody uses one that an administrator made.
    Shared,
}

/// The `resource` parameter (RFC 8707).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResourceParameter {
    /// The server's own identifier.
    #[default]
    Exact,
    /// None: the authorization server refuses it. spec: UP-31
    None,
    /// Another one.
    Other(String),
}

/// What a server may call itself in its metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResourceMatch {
    /// Its URL.
    #[default]
    Exact,
    /// Also the origin, or the beginning of the path. spec: UP-3
    Prefix,
}

/// Whether PKCE with S256 must be announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum S256 {
    /// Yes.
    #[default]
    Announced,
    /// The administrator knows that it is there. spec: UP-9
    Assumed,
}

/// Whether the ways of 2025-03-26 are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegacyPaths {
    /// No.
    #[default]
    Refused,
    /// Yes. spec: UP-11
    Tried,
}

/// How the gateway may become a client of an authorization server that it was not registered at by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Register {
    /// By its metadata document, else dynamically.
    #[default]
    Auto,
    /// By its metadata document only.
    Document,
    /// Dynamically only.
    Dynamic,
    /// Not at all.
    No,
}

/// A key in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderCredential {
    /// Which header.
    pub header: HeaderName,
    /// What stands before the key, with its space.
    pub prefix: String,
    /// Where the key comes from.
    pub key: KeySource,
    /// What it is called on the page where it is typed.
    pub label: String,
    /// Where people get one.
    pub help: Option<String>,
    /// What it looks like.
    pub pattern: Option<Pattern>,
    /// Kinds of key that the person chooses from, each with a prefix of its own; empty: one kind, with `prefix`.
    pub options: Vec<KeyOption>,
}

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The settings: one for everybody.
    Settings(Secret),
    /// An administrator types one for everybody.
    Shared,
    /// Each person types their own.
    Each,
}

/// One kind of key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOption {
    /// Its name on the page.
    pub name: String,
    /// What stands before such a key.
    pub prefix: String,
}

/// What a key looks like: a regular expression that the whole of it must fit.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    whole: regex_lite::Regex,
}

impl Pattern {
    /// Reads an expression; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = regex_lite::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 18).build();
        whole.map(|whole| Self { text: text.to_owned(), whole }).map_err(|error| error.to_string())
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether all of `key` looks like it.
    pub fn fits(&self, key: &str) -> bool {
        self.whole.is_match(key)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// A token for the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentials {
    /// Where it is asked for; `None`: where the metadata of the issuer says.
    pub token_endpoint: Option<String>,
    /// Issuer, client, scopes and resource. There is always a client.
    pub oauth: OAuth,
}

/// Token exchange at a person's provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The identity provider, by its id; only people who come from it can use the server.
    pub provider: String,
    /// The `audience` parameter.
    pub audience: Option<String>,
    /// The `resource` parameter; by default the server's own identifier unless an audience is named.
    pub resource: ResourceParameter,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// What is exchanged.
    pub subject: SubjectToken,
    /// Where, when not at the provider's token endpoint.
    pub token_endpoint: Option<String>,
}

/// Which token of a person's sign-in is exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectToken {
    /// The access token.
    #[default]
    AccessToken,
    /// The ID token.
    IdToken,
    /// The refresh token.
    RefreshToken,
}

/// Entra's on-behalf-of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnBehalfOf {
    /// The identity provider, by its id, of kind entra.
    pub provider: String,
    /// What is asked for at the server: `api://…/.default`.
    pub scopes: Vec<String>,
    /// The scope of ours that the token to be exchanged is for: `api://…/access`.
    pub subject_scope: String,
}

/// An identity assertion of a person's provider (ID-JAG).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdJagCredential {
    /// The identity provider, by its id.
    pub provider: String,
    /// What is exchanged there: the ID token or the refresh token.
    pub subject: SubjectToken,
    /// What happens where the provider or the authorization server refuses.
    pub fallback: Fallback,
    /// The authorization server that the assertion is for, and our registration there.
    pub oauth: OAuth,
}

/// What happens where no assertion can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// The person connects by hand.
    OAuth,
    /// The call fails and says why.
    #[default]
    None,
}

/// A signed statement about the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// In which header.
    pub header: HeaderName,
    /// How long it is good.
    pub lifetime: Duration,
    /// What it says besides who it is.
    pub claims: Vec<AssertionClaim>,
}

/// One statement about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionClaim {
    /// The account name.
    Name,
    /// The e-mail address.
    Email,
    /// The groups.
    Groups,
}

impl Credential {
    /// Its kind in one word, as the settings write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Auto(_) => "auto",
            Self::None => "none",
            Self::OAuth(_) => "oauth",
            Self::Header(_) => "header",
            Self::ClientCredentials(_) => "client_credentials",
            Self::Exchange(_) => "exchange",
            Self::OnBehalfOf(_) => "on_behalf_of",
            Self::IdJag(_) => "id_jag",
            Self::Assertion(_) => "assertion",
        }
    }

    /// The settings of the server's authorization server, for the kinds that have one.
    pub fn oauth(&self) -> Option<&OAuth> {
        match self {
            Self::Auto(oauth) | Self::OAuth(oauth) => Some(oauth),
            Self::ClientCredentials(it) => Some(&it.oauth),
            Self::IdJag(it) => Some(&it.oauth),
            Self::None | Self::Header(_) | Self::Exchange(_) | Self::OnBehalfOf(_) | Self::Assertion(_) => None,
        }
    }

    /// Whose a connection at the server would be; `None` for kinds that are never connected.
    ///
    /// Of identity assertions only the fallback is connected.
    pub fn holders(&self) -> Option<Holders> {
        match self {
            Self::Auto(oauth) | Self::OAuth(oauth) => Some(oauth.holders),
            Self::Header(HeaderCredential { key: KeySource::Shared, .. }) => Some(Holders::Shared),
            Self::Header(HeaderCredential { key: KeySource::Each, .. })
            | Self::IdJag(IdJagCredential { fallback: Fallback::OAuth, .. }) => Some(Holders::Each),
            _ => None,
        }
    }

    /// The identity provider whose sign-in it lives on.
    pub fn provider(&self) -> Option<&str> {
        match self {
            Self::Exchange(it) => Some(&it.provider),
            Self::OnBehalfOf(it) => Some(&it.provider),
            Self::IdJag(it) => Some(&it.provider),
            _ => None,
        }
    }
}

impl Default for Credential {
    fn default() -> Self {
        Self::Auto(OAuth::default())
    }
}

impl Default for OAuth {
    fn default() -> Self {
        Self {
            holders: Holders::Each,
            issuer: None,
            client: None,
            scopes: None,
            resource: ResourceParameter::Exact,
            resource_match: ResourceMatch::Exact,
            s256: S256::Announced,
            legacy_paths: LegacyPaths::Refused,
            endpoints: Vec::new(),
            register: Register::Auto,
        }
    }
}

impl Default for HeaderCredential {
    fn default() -> Self {
        Self {
            header: http::header::AUTHORIZATION,
            prefix: "Bearer ".to_owned(),
            key: KeySource::Each,
            label: "API key".to_owned(),
            help: None,
            pattern: None,
            options: Vec::new(),
        }
    }
}

impl Default for Assertion {
    fn default() -> Self {
        Self {
            header: HeaderName::from_static("portcullis-identity"),
            lifetime: Duration::from_mins(1),
            claims: Vec::new(),
        }
    }
}
