//! The way from a server to its authorization server, step by step (UP-A). Connecting and the administrator's examination
//! go the same way; the one forgets the steps, the other shows them.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use portcullis_base::printable;
use portcullis_oauth::upstream::{
    challenge::{self, Wanted},
    resource::{self, ProtectedResource, Source},
    same_site,
    scopes::{self, Known},
    server::{self, Choice, ServerMetadata},
};
use url::Url;

use super::{
    Authority, AuthorityError, Found,
    terms::{People, Terms},
};
use crate::{
    check::{Check, Step},
    config::Credential,
    outbound::Ask,
    snapshot::Server,
};

/// A message without effect, to see what a server says to who shows nothing.
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
/// So much of a document is shown.
const SHOWN: usize = 6_000;

/// Somebody on the way.
pub(super) struct Walk<'a> {
    authority: &'a Authority,
    server: &'a Server,
    terms: &'a Terms<'a>,
    /// What was done so far.
    pub(super) steps: Vec<Step>,
    door: Door,
}

/// What the server says to who shows nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Unknown,
    Open,
}

impl<'a> Walk<'a> {
    pub(super) fn new(authority: &'a Authority, server: &'a Server, terms: &'a Terms<'a>) -> Self {
        Self { authority, server, terms, steps: Vec::new(), door: Door::Unknown }
    }

    /// Whether nothing is missing although the way leads nowhere: nobody said that the server wants to be shown anything.
    pub(super) fn asks_nothing(&self) -> bool {
        self.door == Door::Open && matches!(*self.server.credential, Credential::Auto(_))
    }

    /// All of the way. What the server said lately when it refused is not asked for again.
    pub(super) async fn go(&mut self, heard: Option<&Wanted>) -> Result<Found, AuthorityError> {
        let asked = if heard.is_none() { self.knock().await } else { None };
        let wanted = heard.or(asked.as_ref());
        let resource = self.resource(wanted).await?;
        let issuer = self.issuer(resource.as_ref()).await?;
        let metadata = self.metadata(&issuer, resource.is_some()).await?;
        let listed = resource.as_ref().and_then(|it| it.scopes_supported.clone());
        let challenged = wanted.filter(|wanted| !wanted.needs_more_scope()).and_then(|wanted| wanted.scope.as_deref());
        let known = Known { challenged, listed: listed.as_deref(), cap: self.terms.cap() };
        let scopes = scopes::choose(&known).map_err(AuthorityError::scopes)?;
        Ok(Found {
            resource: self.terms.resource(resource.as_ref().map(|it| it.resource.as_str())),
            issuer,
            metadata,
            scopes,
            listed,
        })
    }

    /// What the server says to who shows nothing. spec: UP-1
    async fn knock(&mut self) -> Option<Wanted> {
        let url = self.terms.url;
        let mut step = Step::new("Ask the server without credentials", format!("POST {url}"));
        let body = Some(("application/json", Bytes::from_static(PING.as_bytes())));
        let ask = Ask { method: Method::POST, body, ..Ask::get(url, "application/json, text/event-stream", 0) };
        let wanted = match self.authority.reaching(Some(self.server), url).knock(ask).await {
            Err(error) => {
                step.answer = Some(error.detail().to_owned());
                step.checks.push(Check::warning("Answer", "the server does not answer", REACH));
                None
            }
            Ok(fetched) => {
                let said = refusals(&fetched.headers);
                step.answer = Some(said.iter().fold(fetched.status.to_string(), |all, line| format!("{all}\n{line}")));
                let wanted = wanted(&fetched.headers);
                // A ping outside of a session is a bad request for some, and at the stream of 2024-11-05 no request at all.
                let open = [StatusCode::BAD_REQUEST, StatusCode::METHOD_NOT_ALLOWED];
                if fetched.status.is_success() || open.contains(&fetched.status) {
                    self.door = Door::Open;
                }
                step.checks.push(match (&wanted, fetched.status.as_u16()) {
                    (Some(wanted), 401) if wanted.resource_metadata.is_some() => {
                        Check::good("Challenge (RFC 9728 §5.1)", "it says where its metadata is")
                    }
                    (_, 401) => Check::good(
                        "Challenge (RFC 9728 §5.1)",
                        "it asks for credentials and does not say where to look",
                    ),
                    (_, status) => Check::warning(
                        "Challenge (RFC 9728 §5.1)",
                        format!("it does not ask for credentials (status {status})"),
                        "if the server needs none, say `credential: none`; some ask only when a tool is called",
                    ),
                });
                wanted
            }
        };
        self.steps.push(step);
        wanted
    }

    /// What the server publishes about itself, if it does. spec: UP-2, UP-3, T-28
    async fn resource(&mut self, wanted: Option<&Wanted>) -> Result<Option<ProtectedResource>, AuthorityError> {
        const TITLE: &str = "Look for the server's metadata";
        let url = self.terms.url;
        let places = match resource::lookup(url, wanted) {
            Ok(places) => places,
            Err(error) => return Err(self.failed(Step::untold(TITLE), (PLACE, OPERATOR), settings(&error))),
        };
        for place in places {
            let mut step = Step::new(TITLE, format!("GET {}", place.url));
            let looked = self.look(&mut step, &place.url, resource::MAX_BYTES).await;
            let body = match looked {
                Err(error) => return Err(self.failed(step, ("Answer", REACH), error)),
                Ok(None) if place.source == Source::Challenge => {
                    let text = format!("{}: the server says that its metadata is here, and it is not", place.url);
                    return Err(self.failed(step, (PLACE, OPERATOR), AuthorityError::settings(text)));
                }
                Ok(None) => {
                    step.checks.push(Check::good("Answer", "no metadata here"));
                    self.steps.push(step);
                    continue;
                }
                Ok(Some(body)) => body,
            };
            match resource::parse(&body, url, place.source, self.terms.tolerance()) {
                Ok(found) => {
                    step.checks.push(Check::good(WHOSE, format!("it speaks for {}", found.resource)));
                    self.steps.push(step);
                    return Ok(Some(found));
                }
                Err(error) => return Err(self.failed(step, (WHOSE, OPERATOR), settings(&error))),
            }
        }
        Ok(None)
    }

    /// Whose tokens the server takes. spec: UP-4, UP-8, UP-11, T-18
    async fn issuer(&mut self, resource: Option<&ProtectedResource>) -> Result<String, AuthorityError> {
        let mut step = Step::untold("Choose the authorization server");
        let pinned = self.terms.oauth.issuer.as_deref();
        let listed = resource.map(|it| it.authorization_servers.as_slice()).unwrap_or_default();
        if resource.is_none() && pinned.is_none() {
            if !self.terms.tries_legacy() && self.asks_nothing() {
                let text = "it publishes none and does not ask: calls go without a credential";
                step.checks.push(Check::good("Authorization server", text));
                self.steps.push(step);
                return Err(AuthorityError::not_offered(text));
            }
            if !self.terms.tries_legacy() {
                let text = "the server publishes no metadata (RFC 9728) and the settings name no issuer; a server of 2025-03-26 \
                            may need `legacy_paths: true`";
                let advice = "if you know its authorization server, name it under `issuer` of this server's credential";
                return Err(self.failed(step, (PLACE, advice), AuthorityError::not_offered(text)));
            }
            let origin = Url::parse(self.terms.url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
            step.checks.push(Check::good(
                "Default paths (MCP 2025-03-26)",
                format!("no metadata: {origin} itself, as the settings allow"),
            ));
            self.steps.push(step);
            return Ok(origin);
        }
        let used = self.authority.store.connections_at(&self.server.name).await.map_err(AuthorityError::unavailable)?;
        let in_use = used.iter().find_map(|connection| connection.issuer.as_deref());
        let choice = Choice { url: self.terms.url, pinned, in_use, allowed: &[] };
        match server::choose_issuer(listed, &choice) {
            Ok(issuer) => {
                step.answer = Some(format!("listed: {}", printable(&listed.join(", "), 500)));
                let how = match pinned {
                    Some(_) => "named in the settings",
                    None if in_use == Some(&issuer) => "already in use for this server",
                    None => "the first on the server's own site",
                };
                step.checks.push(Check::good("Authorization server", format!("{issuer}: {how}")));
                if pinned.is_some_and(|pinned| !listed.is_empty() && listed.iter().all(|one| !alike(one, pinned))) {
                    step.checks.push(Check::warning(
                        "Settings",
                        "the server does not list the issuer of the settings",
                        "if the server has moved to another authorization server, change `issuer` and the client",
                    ));
                }
                self.steps.push(step);
                Ok(issuer)
            }
            Err(error) => {
                let advice = "name it under `issuer` of this server's credential if you know it to be right";
                Err(self.failed(step, ("Authorization server", advice), settings(&error)))
            }
        }
    }

    /// What the authorization server publishes about itself. spec: UP-5, UP-6, UP-7
    async fn metadata(&mut self, issuer: &str, named: bool) -> Result<ServerMetadata, AuthorityError> {
        const TITLE: &str = "Read the authorization server's metadata";
        let expected = self.terms.expected(issuer);
        for url in server::lookup(issuer) {
            let mut step = Step::new(TITLE, format!("GET {url}"));
            let body = match self.look(&mut step, &url, server::MAX_BYTES).await {
                Err(error) => return Err(self.failed(step, ("Answer", REACH), error)),
                Ok(None) => {
                    step.checks.push(Check::good("Answer", "no metadata here"));
                    self.steps.push(step);
                    continue;
                }
                Ok(Some(body)) => body,
            };
            match server::parse(&body, &expected) {
                Ok(metadata) => {
                    step.checks.extend(self.good(&metadata));
                    self.steps.push(step);
                    return Ok(metadata);
                }
                Err(error) => return Err(self.failed(step, broken(&error), settings(&error))),
            }
        }
        let step = Step::untold(TITLE);
        if !named && self.terms.tries_legacy() && same_site(issuer, self.terms.url) {
            let mut step = step;
            let text = "no metadata: the default paths of 2025-03-26 are used, as the settings allow";
            step.checks.push(Check::warning(
                "Default paths (MCP 2025-03-26)",
                text,
                "PKCE and the issuer cannot be checked there",
            ));
            self.steps.push(step);
            return Ok(server::legacy(issuer));
        }
        let text = format!("\"{issuer}\" publishes no metadata (RFC 8414 or OpenID Connect Discovery)");
        let advice = "look whether `issuer` is written as the authorization server writes it";
        Err(self.failed(step, ("Metadata (RFC 8414 §3)", advice), AuthorityError::settings(text)))
    }

    /// What is in order with it.
    fn good(&self, metadata: &ServerMetadata) -> Vec<Check> {
        let mut all = vec![
            Check::good("Issuer (RFC 8414 §3.3)", format!("it calls itself {}, as expected", metadata.issuer)),
            Check::good("Addresses", "its addresses belong to it"),
        ];
        if self.terms.people == People::Sent {
            all.push(match &metadata.code_challenge_methods_supported {
                Some(_) => Check::good("PKCE (RFC 7636)", "it has PKCE with S256"),
                None => Check::warning("PKCE (RFC 7636)", "it does not say that it has PKCE", "the settings assume it"),
            });
            all.push(if metadata.authorization_response_iss_parameter_supported {
                Check::good("Sender of answers (RFC 9207)", "its answers say who sends them")
            } else {
                Check::good("Sender of answers (RFC 9207)", "its answers may lack `iss`; it is compared if it is there")
            });
        }
        all
    }

    /// The document at `url`; `None` if there is none.
    async fn look(&self, step: &mut Step, url: &str, limit: usize) -> Result<Option<Bytes>, AuthorityError> {
        let asked =
            self.authority.reaching(Some(self.server), url).fetch(Ask::get(url, "application/json", limit)).await;
        let fetched = match asked {
            Ok(fetched) => fetched,
            // Whoever sends everybody to a page of theirs has no document at this address.
            Err(error) if error.was_answered() => {
                step.answer = Some(error.detail().to_owned());
                return Ok(None);
            }
            Err(error) => {
                step.answer = Some(error.detail().to_owned());
                return Err(AuthorityError::unavailable(format!("{url}: {}", error.detail())));
            }
        };
        step.answer = Some(
            shown(&fetched.body)
                .map_or_else(|| fetched.status.to_string(), |text| format!("{}\n{text}", fetched.status)),
        );
        match fetched.status {
            // Pages for people answer any address.
            status
                if status.is_success() && (fetched.is_json() || fetched.body.trim_ascii_start().starts_with(b"{")) =>
            {
                Ok(Some(fetched.body))
            }
            status if status.is_success() || status.is_client_error() => Ok(None),
            status => Err(AuthorityError::unavailable(format!("{url} answered {status}"))),
        }
    }

    /// The end of the way: which rule was broken, and what to do about it.
    fn failed(
        &mut self,
        mut step: Step,
        (rule, advice): (&'static str, &'static str),
        error: AuthorityError,
    ) -> AuthorityError {
        step.checks.push(Check::bad(rule, error.detail.clone(), advice));
        self.steps.push(step);
        error
    }
}

/// What the bearer challenges of an answer say.
pub(super) fn wanted(headers: &HeaderMap) -> Option<Wanted> {
    let lines = headers.get_all(header::WWW_AUTHENTICATE).iter().map(http::HeaderValue::as_bytes);
    Wanted::of(&challenge::parse(lines))
}

const PLACE: &str = "Place of the metadata (RFC 9728 §3)";
const WHOSE: &str = "Whose metadata it is (RFC 9728 §3.3)";
const OPERATOR: &str = "only who runs the server can put that right";
const THERE: &str = "only who runs the authorization server can put that right";
const REACH: &str = "check the URL; a server on a private network must be marked `private: true`";

fn refusals(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::WWW_AUTHENTICATE).iter();
    lines
        .map(|line| format!("WWW-Authenticate: {}", printable(&String::from_utf8_lossy(line.as_bytes()), 500)))
        .collect()
}

/// A document for people's eyes; `None` if it is none.
fn shown(body: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = serde_json::to_string_pretty(&document).ok()?;
    let lines: Vec<String> = text.lines().map(|line| printable(line, 400)).collect();
    let mut text = lines.join("\n");
    if text.len() > SHOWN {
        let cut = (0..=SHOWN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    Some(text)
}

fn settings(error: &dyn std::fmt::Display) -> AuthorityError {
    AuthorityError::settings(error)
}

/// The rule that was broken, and what to do about it.
fn broken(error: &server::ServerError) -> (&'static str, &'static str) {
    use server::ServerError;
    match error {
        ServerError::Issuer { .. } => (
            "Issuer (RFC 8414 §3.3)",
            "if you know the name that it gives itself to be right, set `issuer` of this server's credential to that; else \
             somebody may stand in for it",
        ),
        ServerError::Pkce => {
            ("PKCE (RFC 7636)", "if you know that it has PKCE with S256 all the same, set `assume_s256: true`")
        }
        ServerError::CrossSite { .. } => (
            "Addresses",
            "name the host under `endpoints` only if you know that it belongs to the authorization server",
        ),
        ServerError::Endpoint { .. } => ("Addresses (RFC 8414 §2)", THERE),
        _ => ("Metadata (RFC 8414 §2)", THERE),
    }
}

fn alike(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}
