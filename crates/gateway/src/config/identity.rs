//! Who may sign in and who vouches for them: identity providers, workloads, and authorization servers of others.

use std::{collections::BTreeMap, fmt, time::Duration};

use portcullis_base::{Secret, ServerName};
use portcullis_oauth::jwks::Algorithm;
pub use portcullis_oauth::{external::ExternalClaims, relying::profile::ClaimNames};
use portcullis_store::{LinkBy, NewPeople};

/// Who may sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Names and passwords kept by the gateway.
    pub local_accounts: bool,
    /// How often the groups of a person are asked for again while the person is active.
    pub refresh: Duration,
    /// How long sign-ins go on without a successful check while a provider cannot be reached.
    pub unreachable: Duration,
    /// Identity providers, in the order of the sign-in page.
    pub providers: Vec<Provider>,
    /// Machines that sign in with a token of a system that already knows them.
    pub workloads: Vec<Workload>,
}

/// An identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name in addresses: `/login/{id}/callback`.
    pub id: String,
    /// Its name on the sign-in page.
    pub name: String,
    /// Which quirks it has.
    pub kind: ProviderKind,
    /// Its issuer, byte for byte; with `tenant: organizations` or `common` the place of the discovery document only.
    pub issuer: String,
    /// Whose accounts Entra ID accepts, when the settings say so by tenant.
    pub tenant: Option<Tenant>,
    /// Entra tenants that are let in when more than one could come.
    pub tenants: Vec<String>,
    /// Our name at the provider.
    pub client_id: String,
    /// Our secret at the provider; a public client has none.
    pub client_secret: Option<Secret>,
    /// How we authenticate there; `None` takes what discovery offers, Basic first.
    pub client_auth: Option<ClientAuth>,
    /// What we ask for.
    pub scopes: Vec<String>,
    /// E-mail domains, in lower case, that lead to this provider and that its people may have; empty: any.
    pub domains: Vec<String>,
    /// Where in its claims things stand.
    pub claims: ClaimNames,
    /// Google Workspace domains that are let in; empty: any.
    pub hosted_domains: Vec<String>,
    /// GitHub organizations of which one must be a member; empty: anybody.
    pub organizations: Vec<String>,
    /// Where its own API is, when not at the usual place.
    pub api_url: Option<String>,
    /// Access to the Google directory, for groups.
    pub directory: Option<Directory>,
    /// Whether people are let in of whom nobody told us before.
    pub sign_up: SignUp,
    /// How a person whom SCIM made is found at the first sign-in.
    pub link: Link,
    /// Whether we ask for a refresh token.
    pub offline: Offline,
    /// What a logout token of the provider ends.
    pub back_channel_logout: BackChannel,
    /// Its provisioning of people; `None` switches `/scim/v2` off for it.
    pub scim: Option<Scim>,
    /// Trust in its identity assertions; `None` accepts none.
    pub id_jag: Option<IdJag>,
}

/// Which quirks a provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProviderKind {
    /// Okta, with its own or a custom authorization server.
    Okta,
    /// Microsoft Entra ID.
    Entra,
    /// Google, with or without Workspace.
    Google,
    /// Keycloak.
    Keycloak,
    /// Auth0.
    Auth0,
    /// Any other OpenID provider.
    Oidc,
    /// GitHub: OAuth without OpenID Connect.
    Github,
}

/// Whose accounts Entra ID accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// Those of one directory, by its identifier.
    One(String),
    /// Work and school accounts of any directory.
    Organizations,
    /// Those and personal accounts.
    Common,
}

/// How we authenticate at a provider's token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// Access to the Google directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// The key file of a service account with domain-wide delegation, as JSON.
    pub service_account: Secret,
    /// The administrator in whose name it asks.
    pub admin: String,
}

/// Who may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// Whoever the provider lets in.
    Open,
    /// Only people that SCIM or an administrator made before.
    Closed,
}

/// How a person whom SCIM made is found at the first sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not at all.
    None,
    /// By SCIM's `externalId`, which must equal the subject (Entra: the object identifier).
    ExternalId,
    /// By the verified e-mail address.
    VerifiedEmail,
}

impl From<SignUp> for NewPeople {
    fn from(sign_up: SignUp) -> Self {
        match sign_up {
            SignUp::Open => Self::Welcome,
            SignUp::Closed => Self::Refused,
        }
    }
}

impl From<Link> for LinkBy {
    fn from(link: Link) -> Self {
        match link {
            Link::None => Self::Nothing,
            Link::ExternalId => Self::ExternalId,
            Link::VerifiedEmail => Self::VerifiedEmail,
        }
    }
}

/// Whether a refresh token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// Yes: groups can be asked for again without the person.
    Asked,
    /// No: groups change at the next sign-in.
    No,
}

/// What a logout token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackChannel {
    /// The browser sessions it names and what clients were granted in them.
    Everything,
    /// The browser sessions it names.
    Session,
    /// Nothing: logout tokens are not accepted.
    Off,
}

/// A provider's provisioning of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scim {
    /// The bearer token it presents.
    pub token: Secret,
}

/// Trust in a provider's identity assertions (ID-JAG).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdJag {
    /// Clients that may present one; `*` is any.
    pub clients: Vec<String>,
}

/// An issuer whose tokens let machines in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name in the audit trail.
    pub id: String,
    /// Its issuer, byte for byte.
    pub issuer: String,
    /// Where its keys are; `None`: where its discovery document says.
    pub jwks_uri: Option<String>,
    /// The audience its tokens must have; `None`: our issuer or token endpoint.
    pub audience: Option<String>,
    /// Who becomes which service account.
    pub allow: Vec<WorkloadRule>,
}

/// Which tokens of an issuer become which service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadRule {
    /// The name of the service account.
    pub service_account: String,
    /// What the token must say: each value exact, or a prefix with `*` at its end. Never empty.
    pub claims: BTreeMap<String, String>,
    /// The servers it may ask a token for. Never empty.
    pub servers: Vec<ServerName>,
}

/// Access keys for clients that cannot do OAuth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessKeys {
    /// Whether people may make them, and whether those that exist are good.
    pub enabled: bool,
    /// How long one may live.
    pub longest: Duration,
}

/// A foreign authorization server in front of one of our servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Its issuer, byte for byte.
    pub issuer: String,
    /// The audience its tokens must have; `None`: the URL of the endpoint.
    pub audience: Option<String>,
    /// How its tokens are checked.
    pub keys: ExternalKeys,
    /// Signature algorithms that its tokens may have. Never empty.
    pub algorithms: Vec<Algorithm>,
    /// Where in its tokens things stand.
    pub claims: ExternalClaims,
}

/// How tokens of a foreign authorization server are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalKeys {
    /// By signature, with the keys at this URL; `None`: where its metadata says.
    Jwks(Option<String>),
    /// By asking it (RFC 7662).
    Introspection {
        /// Its introspection endpoint.
        url: String,
        /// Our name there.
        client_id: String,
        /// Our secret there.
        client_secret: Secret,
    },
}

impl ProviderKind {
    /// All kinds, as the settings write them.
    pub const ALL: [(&'static str, Self); 7] = [
        ("okta", Self::Okta),
        ("entra", Self::Entra),
        ("google", Self::Google),
        ("keycloak", Self::Keycloak),
        ("auth0", Self::Auth0),
        ("oidc", Self::Oidc),
        ("github", Self::Github),
    ];

    /// The kind as the settings write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Okta => "okta",
            Self::Entra => "entra",
            Self::Google => "google",
            Self::Keycloak => "keycloak",
            Self::Auth0 => "auth0",
            Self::Oidc => "oidc",
            Self::Github => "github",
        }
    }

    /// What people call it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Okta => "Okta",
            Self::Entra => "Microsoft",
            Self::Google => "Google",
            Self::Keycloak => "Keycloak",
            Self::Auth0 => "Auth0",
            Self::Oidc => "Company account",
            Self::Github => "GitHub",
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
