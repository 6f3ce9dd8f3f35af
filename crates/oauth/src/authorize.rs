//! The authorization request: what of it may be believed, and where an answer may go.

use std::{fmt, time::Duration};

use portcullis_base::{ClientId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    client::{Client, ClientKind, GrantType},
    error::AuthorizeCode,
    parameters::{Parameters, ParametersError},
    pkce::{self, Challenge},
    redirect,
    resource::Resources,
    scope::{OFFLINE_ACCESS, Scopes},
};

/// How far a provider's clock may be from ours.
const CLOCKS_DIFFER: Duration = Duration::from_mins(1);

/// An authorization request as it was sent. Nothing of it is believed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizeRequest {
    /// Who claims to ask; the caller looks it up.
    pub client_id: ClientId,
    parameters: Parameters,
}

/// An authorization request that is fit to be shown to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Who asks.
    pub client: ClientId,
    /// Where the answer goes; one of the client's own.
    pub redirect_uri: String,
    /// The endpoint it is about, in canonical form.
    pub resource: String,
    /// What is asked for, or the default.
    pub scopes: Scopes,
    /// Returned unchanged.
    pub state: Option<String>,
    /// What the redeemer of the code must prove.
    pub challenge: Challenge,
    /// Whether the client insists on the page (`prompt=consent`).
    pub wants_consent: bool,
    /// What the client demands of the sign-in.
    pub sign_in: SignInDemand,
}

/// How fresh and how strong the person's sign-in must be (OpenID Connect Core §3.1.2.1, RFC 9470).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInDemand {
    /// `max_age`: how old it may be; zero also for `prompt=login`.
    pub max_age: Option<Duration>,
    /// `acr_values`: the kinds that are strong enough; empty if any is.
    pub acr: Vec<String>,
}

/// What is known of a sign-in that may meet a [`SignInDemand`].
#[derive(Clone, Copy, Debug)]
pub struct SignInFacts<'a> {
    /// When the person last proved who they are.
    pub authenticated_at: Timestamp,
    /// How.
    pub acr: Option<&'a str>,
    /// Whether the session began before the request came.
    pub began: Began,
}

/// When a sign-in began, seen from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// Before it.
    Before,
    /// Because of it.
    Since,
}

/// Why a request gets no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no URI that we may redirect to: a page of ours, with status 400.
    Page(PageError),
    /// The client may be told; see [`may_bounce`].
    Redirect(ErrorRedirect),
}

/// Errors that only the person sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The query cannot be read in one way only.
    #[error("The sign-in link is damaged: {0}.")]
    Unreadable(#[from] ParametersError),
    /// No `client_id`.
    #[error("The sign-in link does not say which application sent you.")]
    MissingClient,
    /// A `client_id` that we do not know.
    #[error("This gateway does not know the application that sent you.")]
    UnknownClient,
    /// The metadata document cannot be fetched just now.
    #[error("The application's description cannot be fetched just now. Try again in a minute.")]
    DocumentUnavailable,
    /// The metadata document is not acceptable.
    #[error("The application's description is not acceptable.")]
    DocumentInvalid,
    /// The administrator's rules do not admit this client.
    #[error("The rules of this gateway do not admit the application that sent you.")]
    ClientNotAdmitted,
    /// No `redirect_uri`, and more than one is registered.
    #[error("The sign-in link does not say where to return to.")]
    MissingRedirect,
    /// A `redirect_uri` that is not one of the client's.
    #[error("The sign-in link would return to an address that does not belong to the application.")]
    UnmatchedRedirect,
}

/// An error for the client, and the proven URI that it may be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRedirect {
    /// The registered code.
    pub error: AuthorizeCode,
    /// What the client's developer may read.
    pub description: String,
    /// Where it goes.
    pub redirect_uri: String,
    /// Returned unchanged.
    pub state: Option<String>,
}

/// Whether somebody is signed in at this browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visitor {
    /// Nobody.
    Anonymous,
    /// A person.
    SignedIn,
}

impl AuthorizeRequest {
    /// Reads the raw query, or the form of a request that was posted.
    pub fn parse(query: &str) -> Result<Self, PageError> {
        let parameters = Parameters::parse(query)?;
        // spec: AS-33.
        let client_id = parameters.get("client_id").map(ClientId::new).ok_or(PageError::MissingClient)?;
        Ok(Self { client_id, parameters })
    }

    /// Judges the request of a client that was looked up under [`AuthorizeRequest::client_id`].
    pub fn check(&self, client: &Client, resources: &Resources<'_>) -> Result<Checked, Refusal> {
        let redirect_uri = self.redirect_uri(client).map_err(Refusal::Page)?;
        let state = self.parameters.take("state");
        self.answerable(client, resources, redirect_uri.clone(), state.clone()).map_err(|(code, description)| {
            Refusal::Redirect(ErrorRedirect::new(code, description, redirect_uri, state))
        })
    }

    /// Where an answer may go.
    fn redirect_uri(&self, client: &Client) -> Result<String, PageError> {
        if self.client_id != client.id {
            return Err(PageError::UnknownClient);
        }
        match (self.parameters.get("redirect_uri"), client.metadata.redirect_uris.as_slice()) {
            // spec: AS-33, T-11, T-13: never a redirect to an address that is not the client's.
            (Some(presented), _) if client.metadata.redirect_matches(presented) => Ok(presented.to_owned()),
            (Some(_), _) => Err(PageError::UnmatchedRedirect),
            (None, [only]) => Ok(only.clone()),
            (None, _) => Err(PageError::MissingRedirect),
        }
    }

    /// Everything whose failure the client may be told.
    fn answerable(
        &self,
        client: &Client,
        resources: &Resources<'_>,
        redirect_uri: String,
        state: Option<String>,
    ) -> Result<Checked, (AuthorizeCode, &'static str)> {
        use AuthorizeCode::{InvalidRequest, InvalidScope, InvalidTarget, UnauthorizedClient, UnsupportedResponseType};
        let get = |name| self.parameters.get(name);
        match get("response_type") {
            // spec: AS-1: the authorization code grant, for public and confidential clients alike.
            Some("code") => {}
            // spec: AS-2: no implicit grant.
            Some(_) => return Err((UnsupportedResponseType, "only response_type=code is supported")),
            None => return Err((InvalidRequest, "response_type is required")),
        }
        if get("response_mode").is_some_and(|mode| mode != "query") {
            return Err((InvalidRequest, "only response_mode=query is supported"));
        }
        if get("request").or(get("request_uri")).is_some() {
            return Err((InvalidRequest, "request objects are not supported"));
        }
        if !client.metadata.grant_types.contains(&GrantType::AuthorizationCode) {
            return Err((UnauthorizedClient, "the client is not registered for the authorization code grant"));
        }
        // spec: AS-30, T-10: also for confidential clients (T-8).
        let Some(challenge) = get("code_challenge") else {
            return Err((InvalidRequest, "code_challenge is required"));
        };
        // spec: AS-31, T-10, RFC7636#4.3: an absent method would mean `plain`.
        if get("code_challenge_method") != Some(pkce::METHOD) {
            return Err((InvalidRequest, "code_challenge_method must be S256"));
        }
        let challenge = Challenge::parse(challenge)
            .map_err(|_| (InvalidRequest, "code_challenge must be 43 to 128 unreserved characters"))?;
        let resource =
            resources.select(self.parameters.all("resource")).map_err(|error| (InvalidTarget, error.text()))?;
        let scopes =
            requested_scopes(get("scope")).ok_or((InvalidScope, "a scope is not defined for this resource"))?;
        let prompted = |wanted| get("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == wanted));
        let max_age = get("max_age").map(|text| text.parse().map(Duration::from_secs)).transpose();
        let max_age = max_age.map_err(|_| (InvalidRequest, "max_age must be a number of seconds"))?;
        let sign_in = SignInDemand {
            max_age: if prompted("login") { Some(Duration::ZERO) } else { max_age },
            acr: get("acr_values").into_iter().flat_map(str::split_ascii_whitespace).map(str::to_owned).collect(),
        };
        let wants_consent = prompted("consent");
        Ok(Checked {
            client: client.id.clone(),
            redirect_uri,
            resource,
            scopes,
            state,
            challenge,
            wants_consent,
            sign_in,
        })
    }
}

impl SignInDemand {
    /// Whether nothing is demanded.
    pub fn is_empty(&self) -> bool {
        self.max_age.is_none() && self.acr.is_empty()
    }

    /// Whether a sign-in is fresh and strong enough for a request that came at `asked_at`.
    ///
    /// spec: RFC9470#5: both are demands here, not wishes: who gets less would be asked again at the next call.
    pub fn is_met(&self, facts: &SignInFacts<'_>, asked_at: Timestamp) -> bool {
        // Providers tell whole seconds, and their clocks differ from ours a little. What must be new is not left to clocks.
        let at = facts.authenticated_at.plus(CLOCKS_DIFFER);
        let fresh = self
            .max_age
            .is_none_or(|max_age| asked_at.since(at) <= max_age && (!max_age.is_zero() || facts.began == Began::Since));
        fresh && (self.acr.is_empty() || facts.acr.is_some_and(|acr| self.acr.iter().any(|wanted| wanted == acr)))
    }
}

/// What is asked for: only what every endpoint of ours has, and `offline_access`.
///
/// spec: AS-50, T-41, RFC6749#3.3: unknown scopes are an error; a request without any gets the default.
fn requested_scopes(text: Option<&str>) -> Option<Scopes> {
    let asked = Scopes::parse(text.unwrap_or_default()).ok()?;
    let offered = Scopes::endpoint();
    if asked.without(OFFLINE_ACCESS).is_empty() {
        return Some(asked.union(&offered));
    }
    let known = asked.iter().all(|scope| scope == OFFLINE_ACCESS || offered.contains(scope));
    known.then_some(asked)
}

impl Checked {
    /// Where the browser goes with the code. Use status 303 after a form (AS-44).
    pub fn redirect_with_code(&self, code: &str, issuer: &str) -> String {
        // spec: AS-39, RFC6749#4.1.2: "REQUIRED if the "state" parameter was present in the client authorization request".
        // spec: AS-40, T-17, RFC9207#2: `iss` in every answer.
        answer(&self.redirect_uri, &[("code", code)], self.state.as_deref(), issuer)
    }

    /// The error answer to this request.
    pub fn refuse(&self, error: AuthorizeCode, description: &'static str) -> ErrorRedirect {
        ErrorRedirect::new(error, description, self.redirect_uri.clone(), self.state.clone())
    }
}

impl ErrorRedirect {
    fn new(error: AuthorizeCode, description: &str, redirect_uri: String, state: Option<String>) -> Self {
        Self { error, description: description.to_owned(), redirect_uri, state }
    }

    /// Where the browser goes with the error.
    pub fn location(&self, issuer: &str) -> String {
        // spec: AS-39, AS-40: state and `iss` as in a success.
        let pairs = [("error", self.error.as_str()), ("error_description", self.description.as_str())];
        answer(&self.redirect_uri, &pairs, self.state.as_deref(), issuer)
    }
}

fn answer(redirect_uri: &str, pairs: &[(&str, &str)], state: Option<&str>, issuer: &str) -> String {
    let mut all = pairs.to_vec();
    all.extend(state.map(|state| ("state", state)));
    all.push(("iss", issuer));
    redirect::with_query(redirect_uri, &all)
}

/// Whether an error may be sent to the client without a page of ours in between.
///
/// spec: AS-43: "Authenticate the user before any automatic redirect" to a client that merely named itself.
pub fn may_bounce(client: ClientKind, visitor: Visitor) -> bool {
    client == ClientKind::Configured || visitor == Visitor::SignedIn
}

impl fmt::Debug for AuthorizeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeRequest").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}
