//! Where a person is sent to sign in, or to let us act for them.

use crate::{pkce, redirect};

/// An authorization request of ours. State and nonce are fresh for each, made only after consent (AS-136).
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// To whom: the authorization endpoint.
    pub endpoint: &'a str,
    /// Who we are there.
    pub client_id: &'a str,
    /// Where the answer comes: an address that no other provider has (AS-147).
    pub redirect_uri: &'a str,
    /// What is asked for.
    pub scopes: &'a [String],
    /// What the tokens are for, where they are for a single resource (RFC 8707).
    pub resource: Option<&'a str>,
    /// Comes back unchanged.
    pub state: &'a str,
    /// Comes back in the ID token; none where there is no ID token.
    pub nonce: Option<&'a str>,
    /// The S256 challenge of a verifier that stays here.
    pub challenge: &'a str,
    /// How old a sign-in may be, in seconds.
    pub max_age: Option<u64>,
    /// How surely the person must be known: the names of classes, with spaces between.
    pub acr_values: Option<&'a str>,
    /// Which pages the provider must show, such as `login`.
    pub prompt: Option<&'a str>,
    /// Who is probably there.
    pub login_hint: Option<&'a str>,
    /// What this provider needs besides. None of it takes the place of what is above.
    pub extra: &'a [(&'a str, &'a str)],
}

impl AuthorizationRequest<'_> {
    /// Where the browser goes.
    ///
    /// spec: AS-142, OIDCC#3.1.2.1: the code flow with PKCE, `state` and `nonce`.
    pub fn url(&self) -> String {
        let scopes = self.scopes.join(" ");
        let max_age = self.max_age.map(|seconds| seconds.to_string());
        let all = [
            ("response_type", Some("code")),
            ("client_id", Some(self.client_id)),
            ("redirect_uri", Some(self.redirect_uri)),
            ("scope", Some(scopes.as_str()).filter(|scopes| !scopes.is_empty())),
            ("resource", self.resource),
            ("state", Some(self.state)),
            ("nonce", self.nonce),
            ("code_challenge", Some(self.challenge)),
            ("code_challenge_method", Some(pkce::METHOD)),
            ("max_age", max_age.as_deref()),
            ("acr_values", self.acr_values),
            ("prompt", self.prompt),
            ("login_hint", self.login_hint),
        ];
        let mut pairs: Vec<_> = all.iter().filter_map(|(name, value)| value.map(|value| (*name, value))).collect();
        pairs.extend(self.extra.iter().filter(|(name, _)| all.iter().all(|(own, _)| own != name)));
        redirect::with_query(self.endpoint, &pairs)
    }
}
