//! A provider looked at from here, without a person: what `portcullis identity check` prints.
//!
//! Nothing is taken from a cache. Each check says what was found and, where it is not good, what to do about it.

use std::time::Duration;

use http::{HeaderMap, header};
use portcullis_base::{Secret, Timestamp, printable};
use portcullis_oauth::{
    jwks::{Algorithm, MAX_PROVIDER_SET_BYTES, PublicKeys},
    relying::{
        discovery::{self, DiscoveryError, ProviderMetadata},
        token::{Refusal, Wanted},
    },
};

use super::{Provider, github::Github, openid::OpenId, tokens};
use crate::{
    check::Check,
    config::{self, BackChannel, ClientAuth, Offline, ProviderKind},
    outbound::Ask,
};

/// Clocks may be so far apart (T-39).
const LEEWAY: Duration = Duration::from_mins(1);

impl Provider {
    /// Looks at everything that can be looked at without a person.
    pub async fn examine(&self) -> Vec<Check> {
        let mut checks = match self.github() {
            Some(github) => self.examine_github(github).await,
            None => match self.openid() {
                Some(openid) => self.examine_openid(openid).await,
                None => Vec::new(),
            },
        };
        checks.extend(self.to_register());
        let missing = self.status().missing_claims;
        if !missing.is_empty() {
            checks.push(Check::warning(
                "claims",
                format!("the last sign-in brought no {}", missing.join(", ")),
                "have the provider put them into the ID token or the userinfo answer, or name other claims under `claims`",
            ));
        }
        checks
    }

    async fn examine_openid(&self, openid: &OpenId) -> Vec<Check> {
        let url = openid.discovery.url();
        let context = self.context();
        let fetched = match context.outbound.fetch(Ask::get(url, "application/json", discovery::MAX_BYTES)).await {
            Ok(fetched) => fetched,
            Err(error) => {
                return vec![Check::bad("discovery", format!("{url}: {}", error.detail()), reaching(error.detail()))];
            }
        };
        let mut checks = vec![clock(&fetched.headers, context.clock.now())];
        if !fetched.status.is_success() {
            let text = format!("{url} answered {}", fetched.status);
            checks.push(Check::bad("discovery", text, issuer_advice(self.kind())));
            return checks;
        }
        let metadata = match discovery::parse(&fetched.body, openid.discovery.rule()) {
            Ok(metadata) => metadata,
            Err(error) => {
                checks.push(not_ours(self.kind(), url, &error));
                return checks;
            }
        };
        checks.insert(0, Check::good("discovery", url));
        checks.push(Check::good("issuer", metadata.issuer.clone()));
        checks.push(endpoints(&metadata));
        checks.push(pkce(&metadata));
        checks.push(self.keys(&metadata).await);
        checks.push(self.credentials(&metadata).await);
        checks.push(scopes(self.settings(), &metadata));
        checks.push(renewal(self.settings(), &metadata));
        checks.push(self.groups(openid, &metadata).await);
        if self.settings().back_channel_logout != BackChannel::Off && !metadata.backchannel_logout_supported {
            checks.push(Check::warning(
                "back-channel logout",
                "the provider does not say that it sends logout tokens",
                "a sign-out there ends nothing here until the next check; if it is right, set back_channel_logout: off",
            ));
        }
        checks
    }

    async fn examine_github(&self, github: &Github) -> Vec<Check> {
        let context = self.context();
        let mut checks = match github.meta(context.outbound).await {
            Ok(headers) => vec![Check::good("api", github.api()), clock(&headers, context.clock.now())],
            Err(detail) => return vec![Check::bad("api", detail.clone(), reaching(&detail))],
        };
        checks.push(self.credentials(github.metadata()).await);
        let text = if self.settings().organizations.is_empty() {
            "organizations and teams (organization/team); anybody with a GitHub account may sign in".to_owned()
        } else {
            format!("organizations and teams; members of {} may sign in", self.settings().organizations.join(", "))
        };
        let advice = "each organization must allow the application to see its members (third-party access policy)";
        checks.push(Check { advice: Some(advice.into()), ..Check::good("groups", text) });
        checks
    }

    /// What must stand at the provider, byte for byte.
    fn to_register(&self) -> Vec<Check> {
        let mut checks = vec![Check::good("redirect URI to register", self.redirect_uri())];
        if self.kind() != ProviderKind::Github {
            checks.push(Check::good("post-logout redirect URI to register", self.signed_out_uri()));
        }
        if self.settings().back_channel_logout != BackChannel::Off {
            checks.push(Check::good("back-channel logout URI to register", self.back_channel_uri()));
        }
        checks
    }

    async fn keys(&self, metadata: &ProviderMetadata) -> Check {
        let url = &metadata.jwks_uri;
        let ask = Ask::get(url, "application/jwk-set+json, application/json", MAX_PROVIDER_SET_BYTES);
        let fetched = match self.context().outbound.fetch(ask).await {
            Ok(fetched) => fetched,
            Err(error) => return Check::bad("keys", format!("{url}: {}", error.detail()), reaching(error.detail())),
        };
        match PublicKeys::parse_provider(&fetched.body) {
            Err(error) => Check::bad("keys", format!("{url}: {error}"), "the provider must publish a JSON Web Key Set"),
            Ok(keys) if keys.is_empty() => Check::bad(
                "keys",
                format!("{url} has no key that can be used"),
                "let the provider sign with RS256, PS256, ES256 or EdDSA; HS256 is not accepted",
            ),
            Ok(keys) => {
                let algorithms: Vec<_> = keys.algorithms().map(Algorithm::as_str).collect();
                Check::good("keys", format!("{url} ({})", algorithms.join(", ")))
            }
        }
    }

    /// A code that nobody made: who refuses the code has accepted who we are.
    async fn credentials(&self, metadata: &ProviderMetadata) -> Check {
        const NAME: &str = "client credentials";
        let settings = self.settings();
        let method = match (&settings.client_secret, settings.client_auth.unwrap_or_else(|| tokens::offered(metadata)))
        {
            (None, _) => "none",
            (Some(_), ClientAuth::Basic) => "client_secret_basic",
            (Some(_), ClientAuth::Post) => "client_secret_post",
        };
        let offered = metadata.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        // Many take public clients and do not list `none`.
        if method != "none" && !offered.is_empty() && !offered.iter().any(|offered| offered == method) {
            let text = format!("{method} is not offered, but {}", offered.join(", "));
            return Check::bad(NAME, text, "set client_auth to one that it offers");
        }
        let junk = Secret::new("portcullis-identity-check-0000000000000000000000".into());
        let wanted = Wanted::Redeem { code: &junk, redirect_uri: self.redirect_uri(), verifier: &junk };
        match tokens::ask(&self.context(), metadata, &wanted).await {
            Err(tokens::TokensError::Refused { why: Refusal::InvalidGrant(_), .. }) => {
                Check::good(NAME, format!("{method}, accepted"))
            }
            Err(tokens::TokensError::Refused { why: Refusal::Other(code), .. }) => match code.split(':').next() {
                Some("bad_verification_code") => Check::good(NAME, format!("{method}, accepted")),
                Some("invalid_client" | "unauthorized_client" | "incorrect_client_credentials" | "access_denied") => {
                    Check::bad(
                        NAME,
                        format!("{method}: the provider answered {code}"),
                        "compare client_id and client_secret with the provider's console; a secret may have expired",
                    )
                }
                Some("redirect_uri_mismatch") => {
                    Check::bad(NAME, code, format!("register {} at the provider", self.redirect_uri()))
                }
                _ => Check::warning(
                    NAME,
                    format!("{method}: the provider answered {code} to a made-up code"),
                    "whether the credentials are right shows at the first sign-in",
                ),
            },
            Err(error) => Check::bad(NAME, error.to_string(), "the token endpoint must be reachable from here"),
            Ok(_) => Check::bad(NAME, "the provider gave tokens for a made-up code", "do not use this provider"),
        }
    }

    async fn groups(&self, openid: &OpenId, metadata: &ProviderMetadata) -> Check {
        const NAME: &str = "groups";
        let settings = self.settings();
        match &openid.directory {
            Some(Err(problem)) => {
                return Check::bad(NAME, problem, "create a new key for the service account in Google's console");
            }
            Some(Ok(directory)) => {
                let context = self.context();
                return match directory.groups(context.outbound, context.clock, directory.admin()).await {
                    Ok(groups) => Check::good(
                        NAME,
                        format!("from the directory; {} is in {} groups", directory.admin(), groups.len()),
                    ),
                    Err(error) => Check::bad(
                        NAME,
                        error.to_string(),
                        "switch the Admin SDK API on, and give the service account's client id domain-wide delegation \
                         for admin.directory.group.readonly",
                    ),
                };
            }
            None => {}
        }
        let claim = &settings.claims.groups;
        let named = metadata.claims_supported.as_deref().unwrap_or_default().iter().any(|known| known == claim);
        match groups_advice(settings) {
            None if named || metadata.claims_supported.is_none() => {
                Check::good(NAME, format!("from the claim {claim}"))
            }
            None => Check::warning(
                NAME,
                format!("from the claim {claim}, which the provider does not list"),
                "have the provider put the groups of a person into that claim, or name another under claims.groups",
            ),
            Some(advice) => {
                Check { advice: Some(advice.into()), ..Check::good(NAME, format!("from the claim {claim}")) }
            }
        }
    }
}

/// What must be done at a provider of this kind for groups to come.
fn groups_advice(settings: &config::Provider) -> Option<&'static str> {
    let custom = settings.issuer.contains("/oauth2/");
    match settings.kind {
        ProviderKind::Okta if custom => Some(
            "a custom authorization server gives groups when a claim `groups` is added to it: Security, API, the server, \
             Claims, value type Groups",
        ),
        ProviderKind::Okta => Some(
            "the org authorization server gives groups when the application's Sign On tab has a groups claim filter, and \
             the scope `groups` is asked for",
        ),
        ProviderKind::Entra => Some(
            "Entra gives object identifiers of groups when the application's Token configuration has a groups claim; more \
             than fit into a token are asked of Microsoft Graph with User.Read",
        ),
        ProviderKind::Google => Some("Google gives no groups without `directory`; people are in local groups only"),
        ProviderKind::Keycloak => Some(
            "Keycloak gives groups when a client scope has the Group Membership mapper; for roles set claims.groups to \
             realm_access.roles",
        ),
        ProviderKind::Auth0 => Some(
            "Auth0 gives groups or roles when an Action adds a claim with a URL as its name; put that name into claims.groups",
        ),
        ProviderKind::Oidc | ProviderKind::Github => None,
    }
}

fn clock(headers: &HeaderMap, now: Timestamp) -> Check {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok()).and_then(Timestamp::parse_http_date);
    let Some(theirs) = date else {
        return Check::warning("clock", "the provider does not say what time it is", "compare the clocks yourself");
    };
    let apart = now.since(theirs).max(theirs.since(now));
    let text = format!("{} s apart", apart.as_secs());
    if apart <= LEEWAY {
        Check::good("clock", text)
    } else {
        Check::bad("clock", text, "set this machine's clock by NTP: tokens are good for minutes and from now on only")
    }
}

fn not_ours(kind: ProviderKind, url: &str, error: &DiscoveryError) -> Check {
    match error {
        DiscoveryError::Issuer { expected, received } => Check::bad(
            "issuer",
            format!("expected {expected}, received {received}"),
            format!("set issuer to exactly what the provider calls itself\n{}", issuer_advice(kind)),
        ),
        other => Check::bad("discovery", format!("{url}: {other}"), issuer_advice(kind)),
    }
}

/// What issuers of this kind look like.
fn issuer_advice(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Okta => {
            "Okta: https://example.okta.com, or https://example.okta.com/oauth2/default for a custom authorization server"
        }
        ProviderKind::Entra => {
            "Entra: set tenant to the directory's identifier; the issuer is https://login.microsoftonline.com/{tenant}/v2.0"
        }
        ProviderKind::Google => "Google: leave issuer out",
        ProviderKind::Keycloak => {
            "Keycloak: https://login.example.com/realms/NAME; before version 17 with /auth in front of /realms"
        }
        ProviderKind::Auth0 => "Auth0: https://example.eu.auth0.com/ with the slash at its end",
        ProviderKind::Oidc | ProviderKind::Github => {
            "the issuer is what stands before /.well-known/openid-configuration"
        }
    }
}

/// Why something cannot be reached, as far as settings can help.
fn reaching(detail: &str) -> String {
    let advice = if detail.contains("not one that may be reached") || detail.contains("not https on port 443") {
        "name host and port under outbound.private_hosts if the provider is on a private network or another port"
    } else if detail.contains("secure") {
        "add the authority that signed its certificate with outbound.ca_file"
    } else {
        "check name, network and proxy from this machine"
    };
    advice.to_owned()
}

fn endpoints(metadata: &ProviderMetadata) -> Check {
    let optional = [
        ("userinfo", &metadata.userinfo_endpoint, "claims must all stand in the ID token"),
        ("end_session", &metadata.end_session_endpoint, "signing out here does not sign out there"),
        ("revocation", &metadata.revocation_endpoint, "tokens of people who left cannot be given back"),
    ];
    let absent: Vec<_> = optional.iter().filter(|(_, endpoint, _)| endpoint.is_none()).collect();
    let text = format!("token endpoint {}", metadata.token_endpoint);
    if absent.is_empty() {
        return Check::good("endpoints", text);
    }
    let names: Vec<_> = absent.iter().map(|(name, ..)| *name).collect();
    let means: Vec<_> = absent.iter().map(|(.., means)| *means).collect();
    Check { advice: Some(means.join("; ")), ..Check::good("endpoints", format!("{text}; no {}", names.join(", "))) }
}

fn pkce(metadata: &ProviderMetadata) -> Check {
    // A list without S256 does not get this far.
    match metadata.code_challenge_methods_supported {
        Some(_) => Check::good("PKCE", "S256"),
        None => Check::warning(
            "PKCE",
            "the provider does not say whether it knows S256",
            "we send it always; a provider that ignores it protects codes by our secret alone",
        ),
    }
}

fn scopes(settings: &config::Provider, metadata: &ProviderMetadata) -> Check {
    let asked = settings.scopes.join(" ");
    let Some(offered) = &metadata.scopes_supported else { return Check::good("scopes", asked) };
    let unknown: Vec<_> = settings.scopes.iter().filter(|scope| !offered.contains(scope)).cloned().collect();
    if unknown.is_empty() {
        return Check::good("scopes", asked);
    }
    Check::warning(
        "scopes",
        format!("{asked}; the provider does not list {}", unknown.join(", ")),
        format!("if it answers invalid_scope, set scopes to some of: {}", printable(&offered.join(" "), 300)),
    )
}

/// Whether groups stay fresh without the person.
fn renewal(settings: &config::Provider, metadata: &ProviderMetadata) -> Check {
    const NAME: &str = "refresh tokens";
    let offers = metadata.scopes_supported.as_ref().is_none_or(|all| all.iter().any(|scope| scope == "offline_access"));
    let asks = settings.scopes.iter().any(|scope| scope == "offline_access");
    match (settings.offline, settings.kind) {
        (Offline::No, _) => Check::warning(
            NAME,
            "not asked for",
            "groups change at the next sign-in only, which is asked for when identity.unreachable has passed",
        ),
        (Offline::Asked, ProviderKind::Google) => Check::good(NAME, "asked for with access_type=offline"),
        (Offline::Asked, _) if asks && offers => Check::good(NAME, "asked for with offline_access"),
        (Offline::Asked, _) if asks => Check::warning(
            NAME,
            "asked for with offline_access, which the provider does not list",
            "without one, groups change at the next sign-in only",
        ),
        (Offline::Asked, _) => Check::warning(
            NAME,
            "offline_access is not among the scopes",
            "add it, or see that the provider gives refresh tokens without it",
        ),
    }
}
