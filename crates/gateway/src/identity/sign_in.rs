//! A sign-in at a provider: what it begins with, what it ends with.

use std::time::Duration;

use portcullis_base::{Secret, Timestamp};
use portcullis_oauth::relying::profile::Profile;

/// What a sign-in begins with; all of it was made for this one browser.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// Comes back with the callback.
    pub state: &'a str,
    /// Comes back in the ID token.
    pub nonce: &'a str,
    /// The PKCE challenge (`S256`).
    pub challenge: &'a str,
    /// The e-mail address the person typed, if they did.
    pub login_hint: Option<&'a str>,
    /// How fresh the sign-in must be, if it must.
    pub fresh: Option<&'a Fresh>,
}

/// How fresh and how strong a sign-in must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// The person must have proven who they are within this time.
    pub max_age: Duration,
    /// One of these levels must have been reached; empty: any.
    pub acr: Vec<String>,
}

/// What the callback must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// The nonce of [`Begin`].
    pub nonce: &'a str,
    /// The PKCE verifier of the challenge of [`Begin`].
    pub verifier: &'a Secret,
    /// As in [`Begin`].
    pub fresh: Option<&'a Fresh>,
}

/// Somebody whom the provider vouches for.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Who vouches: with the subject the only thing that identifies (spec: AS-143).
    pub issuer: String,
    /// Who it is.
    pub profile: Profile,
    /// Their groups, all of them; `None` if the provider was not asked or does not say.
    pub groups: Option<Vec<String>>,
    /// The name under which provisioning knows them.
    pub external_id: Option<String>,
    /// With which they are asked about again.
    pub refresh: Option<Secret>,
    /// For signing out at the provider.
    pub id_token: Option<Secret>,
    /// The provider's own session.
    pub sid: Option<String>,
    /// When they proved who they are; where a provider does not say, that must count as long ago.
    pub authenticated_at: Option<Timestamp>,
    /// How strongly.
    pub acr: Option<String>,
    /// By what.
    pub amr: Vec<String>,
}

/// What the provider says of somebody who signed in earlier.
#[derive(Clone, Debug)]
pub struct Again {
    /// Their groups, all of them; `None` if the provider does not say without a sign-in.
    pub groups: Option<Vec<String>>,
    /// The name to show.
    pub display_name: Option<String>,
    /// Takes the place of the refresh token that was used.
    pub refresh: Option<Secret>,
}

/// Tokens of somebody who signed in earlier, for use in their name.
#[derive(Clone, Debug)]
pub struct FreshTokens {
    /// The access token.
    pub access: Secret,
    /// When it ends, if the provider says.
    pub access_ends: Option<Timestamp>,
    /// The ID token and when it ends; some providers give none without the person.
    pub id_token: Option<(Secret, Timestamp)>,
    /// Takes the place of the refresh token that was used.
    pub refresh: Option<Secret>,
}
