//! A server looked at step by step, as if somebody were about to connect: each request, each answer, each rule.
//!
//! Nothing is taken from a cache, nobody is registered anywhere, and nothing secret is shown: neither what proves who we
//! are nor what a token answer holds.

use portcullis_base::{Secret, printable, token};
use portcullis_oauth::upstream::{
    challenge::Wanted,
    client::{Published, Way as Known},
    document,
    scopes::with_our_own,
    token::{Grant, Refused},
};

use super::{
    Authority, AuthorityError, Found,
    asking::AskError,
    client::{ClientAt, configured},
    error::Trouble,
    terms::{People, Terms},
    walk::Walk,
};
use crate::{
    check::{Check, CheckState, Step},
    config::{ClientCredentials, Credential, IdJagCredential, KeySource, Offline, ProviderKind, ResourceParameter},
    identity::Provider,
    snapshot::Server,
};

impl Authority {
    /// Goes the way of somebody who connects at `server`, as far as it goes without a person.
    pub async fn examine(&self, server: &Server) -> Vec<Step> {
        if server.url().is_none() {
            let text = "the server is inside the gateway and needs no credentials";
            return vec![Step::untold("Look at the settings").with(Check::good("Settings", text))];
        }
        let mut steps = Vec::new();
        match &*server.credential {
            Credential::Exchange(it) => steps.push(self.look_at_provider(&it.provider, Exchanged::AccessToken).await),
            Credential::OnBehalfOf(it) => steps.push(self.look_at_provider(&it.provider, Exchanged::OnBehalfOf).await),
            Credential::IdJag(it) => steps.push(self.look_at_provider(&it.provider, Exchanged::IdJag).await),
            Credential::ClientCredentials(it) if it.token_endpoint.is_some() => {
                steps.push(self.own_token(server, it).await);
                return steps;
            }
            _ => {}
        }
        let Ok(terms) = Terms::of(server) else {
            steps.extend(self.look_at_settings(server));
            return steps;
        };
        let mut walk = Walk::new(self, server, &terms);
        let found = walk.go(None::<&Wanted>).await;
        steps.append(&mut walk.steps);
        match found {
            Err(AuthorityError { trouble: Trouble::NotOffered, .. }) if walk.asks_nothing() => {}
            Ok(found) => self.look_further(server, &terms, &found, &mut steps).await,
            Err(error) if steps.iter().all(Step::is_fine) => steps.push(wrong("Put it together", &error)),
            Err(_) => {}
        }
        steps
    }

    /// What follows from what was found.
    async fn look_further(&self, server: &Server, terms: &Terms<'_>, found: &Found, steps: &mut Vec<Step>) {
        steps.push(asked_for(terms, found));
        let client = self.look_at_client(terms, found, steps).await;
        match (&*server.credential, client) {
            (Credential::ClientCredentials(settings), _) => steps.push(self.own_token(server, settings).await),
            (_, Some(client)) => steps.push(self.try_client(server, &client, found).await),
            (_, None) => {}
        }
        if let Credential::IdJag(settings) = &*server.credential {
            steps.push(id_jag_there(settings, found));
        }
        let mut step = Step::untold("Give tokens up");
        step.checks.push(match &found.metadata.revocation_endpoint {
            Some(place) => Check::good("Taking tokens back (RFC 7009)", format!("at {place}")),
            None => Check::warning(
                "Taking tokens back (RFC 7009)",
                "the authorization server takes no tokens back",
                "who disconnects here should also remove the gateway in their account there",
            ),
        });
        steps.push(step);
    }

    /// Who we are there, without registering.
    async fn look_at_client(&self, terms: &Terms<'_>, found: &Found, steps: &mut Vec<Step>) -> Option<ClientAt> {
        const TITLE: &str = "Be known to the authorization server";
        let callback = Check::good("Redirect URI", self.callback(&found.issuer));
        let ways = match self.ways(terms, &found.metadata) {
            Ok(ways) => ways,
            Err(error) => {
                steps.push(wrong(TITLE, &error).with(callback));
                return None;
            }
        };
        let mut step = Step::untold(TITLE);
        let client = match ways.first()? {
            Known::Configured => {
                let client = configured(terms, &found.issuer, Some(&found.metadata)).ok()?;
                let text = format!("as {}, which the settings name ({})", client.client_id, client.method.as_str());
                step.checks.push(Check::good("Client", text));
                Some(client)
            }
            Known::Document => {
                let text = format!("by our metadata document {}{}", self.public_url, document::DOCUMENT);
                step.checks.push(Check::good("Client", text));
                None
            }
            Known::Dynamic => match self.kept(&found.issuer).await {
                Ok((Some(client), _)) => {
                    let text = format!("registered as {} ({})", client.client_id, client.method.as_str());
                    step.checks.push(Check::good("Registration (RFC 7591)", text));
                    Some(client)
                }
                Ok((None, _)) => {
                    let wish = self.wish(&found.metadata);
                    let method = wish.token_endpoint_auth_method.as_str();
                    let text = format!("by registering when the first person connects ({method})");
                    step.checks.push(Check::good("Registration (RFC 7591)", text));
                    None
                }
                Err(error) => {
                    step.checks.push(Check::bad("Registration (RFC 7591)", error.detail, "look at the gateway's log"));
                    None
                }
            },
        };
        if found.metadata.client_id_metadata_document_supported && self.published() == Published::No {
            step.checks.push(Check::warning(
                "Metadata document",
                "the authorization server would take the gateway's metadata document, which is not offered",
                "set `outbound.client_document: true` if the gateway's public URL can be reached from there",
            ));
        }
        if terms.people == People::Sent {
            step.checks.push(callback);
        }
        steps.push(step);
        client
    }

    /// A code that nobody made: who refuses the code has accepted who we are.
    async fn try_client(&self, server: &Server, client: &ClientAt, found: &Found) -> Step {
        const RULE: &str = "Client credentials";
        let place = &found.metadata.token_endpoint;
        let mut step = Step::new("Show who we are, with a code that is made up", format!("POST {place}"));
        let junk = Secret::new(token::<32>(&*self.rng));
        let redirect_uri = &self.callback(&found.issuer);
        let resource = found.resource.as_deref();
        let grant = Grant::Code { code: &junk, redirect_uri, verifier: &junk, resource };
        let outcome = self.ask(Some(server), client, place, &grant).await;
        step.answer = Some(match &outcome {
            Ok(_) => "tokens".to_owned(),
            Err(error) => error.to_string(),
        });
        step.checks.push(match outcome {
            Ok(_) => Check::bad(RULE, "tokens for a code that is made up", "do not use this authorization server"),
            Err(AskError::Refused { why: Refused::InvalidGrant(_), .. }) => {
                Check::good(RULE, "accepted; the code was refused, as it must be")
            }
            Err(AskError::Refused { why: Refused::InvalidClient(_), .. }) if client.is_ours() => {
                self.doubt(client).await;
                Check::bad(
                    RULE,
                    "the authorization server has forgotten the gateway",
                    "the gateway registers itself anew when the next person connects",
                )
            }
            Err(AskError::Refused { why: Refused::InvalidClient(_) | Refused::UnauthorizedClient(_), .. }) => {
                Check::bad(
                    RULE,
                    "not accepted",
                    "compare client_id, secret and client_auth with the registration there",
                )
            }
            Err(AskError::Refused { why: Refused::InvalidTarget(_), .. }) => Check::bad(
                "Resource (RFC 8707)",
                "the `resource` parameter is refused",
                "if this authorization server does not take it, set `resource: none`",
            ),
            Err(AskError::Refused { why, .. }) => {
                let text = format!("neither accepted nor refused: {why}");
                Check::warning(RULE, text, "connect once to be sure")
            }
            Err(error) => Check::bad(RULE, error.to_string(), "look at the network and at client_key"),
        });
        step
    }

    /// The gateway's own token, asked for in earnest; it is thrown away.
    async fn own_token(&self, server: &Server, settings: &ClientCredentials) -> Step {
        const TITLE: &str = "Ask for the gateway's own token";
        let (client, place, resource) = match self.own_account(server, settings).await {
            Ok(own) => own,
            Err(error) => return wrong(TITLE, &error),
        };
        let step = Step::new(TITLE, format!("POST {place}"));
        let scopes = settings.oauth.scopes.as_deref().unwrap_or_default();
        let grant = Grant::ClientCredentials { scopes, resource: resource.as_deref() };
        match self.ask(Some(server), &client, &place, &grant).await {
            Ok(tokens) => {
                let granted = tokens.scopes.unwrap_or_else(|| scopes.to_vec()).join(" ");
                let lives =
                    tokens.expires_in.map_or("it does not say how long".into(), |it| format!("{} s", it.as_secs()));
                let text = format!("given as {} (lives: {lives}; scopes: {granted})", client.client_id);
                step.with(Check::good("Client credentials (RFC 6749 §4.4)", text))
            }
            Err(error) => {
                let advice = "compare client, proof, scopes and resource with the registration there";
                step.with(Check::bad("Client credentials (RFC 6749 §4.4)", error.to_string(), advice))
            }
        }
    }

    /// The provider whose sign-ins the server lives on.
    async fn look_at_provider(&self, id: &str, exchanged: Exchanged) -> Step {
        let step = Step::untold("Look at the identity provider");
        let Some(provider) = self.subjects.providers.get(id) else {
            let advice = "name the `id` of an entry under identity.providers";
            return step.with(Check::bad("Identity provider", format!("there is no provider \"{id}\""), advice));
        };
        let mut step = step.with(sign_ins(provider));
        match exchanged {
            Exchanged::AccessToken => {}
            Exchanged::OnBehalfOf if provider.kind() == ProviderKind::Entra => {}
            Exchanged::OnBehalfOf => step.checks.push(Check::bad(
                "On behalf of",
                format!("{} is not Entra", provider.name()),
                "use `kind: exchange` for other providers",
            )),
            Exchanged::IdJag => step.checks.push(match provider.gives_id_jag().await {
                Ok(true) => {
                    Check::good("ID-JAG", format!("{} says that it gives identity assertions", provider.name()))
                }
                Ok(false) => Check::warning(
                    "ID-JAG",
                    format!("{} does not say that it gives identity assertions", provider.name()),
                    "it must list the id-jag type in identity_chaining_requested_token_types_supported",
                ),
                Err(error) => Check::bad("ID-JAG", error.detail, "`portcullis identity check` says more"),
            }),
        }
        step
    }

    /// For kinds of credential that need no authorization server.
    fn look_at_settings(&self, server: &Server) -> Vec<Step> {
        let step = Step::untold("Look at the settings");
        let check = match &*server.credential {
            Credential::Header(it) => {
                let whose = match it.key {
                    KeySource::Settings(_) => "the key of the settings, for everybody",
                    KeySource::Shared => "a key that an administrator types, for everybody",
                    KeySource::Each => "a key that each person types",
                };
                Check::good("Header", format!("{}: {whose}", it.header))
            }
            Credential::Assertion(it) => {
                let keys = format!("{}/oauth/jwks", self.public_url);
                let text = format!(
                    "{} carries a JWT of type {} (issuer {}, keys {keys})",
                    it.header,
                    super::ASSERTION_TYPE,
                    self.public_url
                );
                Check::good("Assertion", text)
            }
            Credential::None => Check::good("Settings", "no credentials are sent"),
            Credential::Exchange(it) => {
                let resource = match &it.resource {
                    ResourceParameter::Other(other) => other.as_str(),
                    ResourceParameter::Exact if it.audience.is_none() => server.url().map_or("", |url| url.as_str()),
                    ResourceParameter::Exact | ResourceParameter::None => "-",
                };
                let audience = it.audience.as_deref().unwrap_or("-");
                let text = format!("audience {audience}, resource {resource}, scopes {}", it.scopes.join(" "));
                Check::good("Token exchange (RFC 8693 §2.1)", text)
            }
            Credential::OnBehalfOf(it) => {
                Check::good("On behalf of", format!("{} for {}", it.subject_scope, it.scopes.join(" ")))
            }
            other => Check::good("Settings", other.kind()),
        };
        vec![step.with(check)]
    }
}

/// What is made of a person's sign-in.
#[derive(Clone, Copy)]
enum Exchanged {
    AccessToken,
    OnBehalfOf,
    IdJag,
}

impl Step {
    fn is_fine(&self) -> bool {
        self.checks.iter().all(|check| check.state != CheckState::Bad)
    }
}

fn wrong(title: &'static str, error: &AuthorityError) -> Step {
    Step::untold(title).with(Check::failed("Settings", error.detail.clone()))
}

fn sign_ins(provider: &Provider) -> Check {
    match (provider.kind(), provider.settings().offline) {
        (ProviderKind::Github, _) => Check::bad(
            "Identity provider",
            "GitHub gives no tokens for use elsewhere",
            "use `kind: oauth` for this server",
        ),
        (_, Offline::Asked) => Check::good(
            "Identity provider",
            format!("{}: sign-ins leave a refresh token, if it gives one", provider.name()),
        ),
        (_, Offline::No) => Check::bad(
            "Identity provider",
            format!("{}: sign-ins leave nothing to ask with", provider.name()),
            "set `offline: true` for this provider",
        ),
    }
}

fn asked_for(terms: &Terms<'_>, found: &Found) -> Step {
    let mut step = Step::untold("Decide what to ask for");
    let scopes = with_our_own(found.scopes.clone(), found.metadata.scopes_supported.as_deref(), terms.cap());
    let text = if scopes.is_empty() {
        "no scopes: the authorization server chooses".to_owned()
    } else {
        printable(&scopes.join(" "), 1_000)
    };
    step.checks.push(Check::good("Scopes", text));
    step.checks.push(match (&found.resource, &terms.oauth.resource) {
        (Some(resource), _) => Check::good("Resource (RFC 8707)", format!("resource = {resource}")),
        (None, _) => Check::warning(
            "Resource (RFC 8707)",
            "no `resource` is sent, as the settings say: a token may be good elsewhere too",
            "take `resource: none` out as soon as the authorization server takes the parameter",
        ),
    });
    if found.listed.as_ref().is_some_and(|listed| listed.len() > 30) && terms.cap().is_none() {
        let text = format!(
            "the server lists {} scopes, and all of them are asked for",
            found.listed.as_ref().map_or(0, Vec::len)
        );
        step.checks.push(Check::warning("Scopes", text, "name those that are needed under `scopes`"));
    }
    step
}

fn id_jag_there(_: &IdJagCredential, found: &Found) -> Step {
    let step = Step::untold("Redeem identity assertions");
    step.with(if found.metadata.takes_id_jag() {
        Check::good("ID-JAG", "the authorization server says that it takes them")
    } else {
        Check::warning(
            "ID-JAG",
            "the authorization server does not say that it takes them",
            "it must list the id-jag profile in authorization_grant_profiles_supported",
        )
    })
}
