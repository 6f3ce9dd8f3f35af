//! The consent page and the transaction behind it.
//!
//! The whole request travels in the page, sealed: what is approved is exactly what was shown. A transaction belongs to
//! one session, ends after ten minutes and is spent by the answer. Every page makes its own, so two tabs do not disturb
//! each other (spec: T-2, AS-134). Where people sign in at a provider, the page comes before that: a visitor agrees, and
//! the agreement waits in a cookie for whoever then signs in (spec: T-1, AS-130).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use portcullis_base::{PersonId, Timestamp, token};
use portcullis_oauth::{authorize::Checked, client::ClientKind, consent::may_remember, redirect};
use portcullis_policy::Guest;
use portcullis_store::{Person, StoredClient};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{documents, lookalike::resembles, reader::Reader, resources::groups};
use crate::{
    app::App,
    error::PageError,
    keys::Purpose,
    pages::{
        Page,
        consent::{Consent, Identity, Remember, Warning, consent},
    },
    snapshot::Endpoint,
};

/// How long a consent page may be open.
pub const LIFETIME: Duration = Duration::from_mins(10);

/// What one consent page is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transaction {
    /// Names it; spent by the answer.
    pub id: String,
    /// The session, or the visit, that was shown the page.
    pub session: String,
    /// The person that was shown the page; `None` if nobody was signed in.
    pub person: Option<PersonId>,
    /// The request, checked.
    pub request: Checked,
    /// The client's description as the page showed it (T-25).
    pub document_hash: String,
    /// When the page was made.
    pub asked_at: Timestamp,
    /// When it is too old.
    pub expires_at: Timestamp,
}

impl Transaction {
    fn new(app: &App, reader: Reader<'_>, known: &StoredClient, request: &Checked) -> Self {
        let now = app.clock.now();
        Self {
            id: token::<16>(&*app.rng),
            session: reader.session().hash.to_base64url(),
            person: reader.person().map(|who| who.person.id.clone()),
            request: request.clone(),
            document_hash: known.client.document_hash.to_base64url(),
            asked_at: now,
            expires_at: now.plus(LIFETIME),
        }
    }

    fn seal(&self, app: &App) -> String {
        let plain = serde_json::to_vec(self).expect("a transaction is texts and numbers");
        URL_SAFE_NO_PAD.encode(app.keys.seal(Purpose::Consent, b"", &plain, &*app.rng))
    }

    /// The transaction that we once sealed into a page; `None` if we did not.
    pub fn open(app: &App, sealed: &str) -> Option<Self> {
        let plain = app.keys.open(Purpose::Consent, b"", &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
        serde_json::from_slice(&plain).ok()
    }
}

/// The page for one request of one client.
pub fn page(app: &App, reader: Reader<'_>, known: &StoredClient, request: &Checked, endpoint: &Endpoint) -> Page {
    let client = &known.client;
    let id = client.id.as_str();
    let name = client.metadata.client_name.as_deref().unwrap_or(id);
    let document_host = documents::host_of(id);
    let place = Place::of(&request.redirect_uri);
    let identity = match client.kind {
        ClientKind::Configured | ClientKind::Service => Identity::Configured,
        ClientKind::Document => Identity::Document { host: &document_host },
        ClientKind::Registered => Identity::Unverified,
    };
    let transaction = Transaction::new(app, reader, known, request).seal(app);
    consent(&Consent {
        client_name: name,
        identity,
        client_id: id,
        redirect_uri: &request.redirect_uri,
        redirect_host: &place.shown,
        form_target: place.form_target,
        server: endpoint.name().as_str(),
        behind: reader.person().map_or_else(Vec::new, |who| behind(app, endpoint, &who.person)),
        // What a server says of itself is for those who may sign in.
        server_description: endpoint.description().filter(|_| reader.person().is_some()),
        resource: &request.resource,
        scopes: request.scopes.iter().collect(),
        warnings: warnings(known, name, identity, request, place.host.as_deref()),
        remember: if may_remember(&request.redirect_uri) { Remember::Offered } else { Remember::No },
        transaction: &transaction,
        account: reader.account(),
        form_token: &reader.session().form_token,
    })
}

/// The servers that a toolbox leads this person to.
fn behind(app: &App, endpoint: &Endpoint, person: &Person) -> Vec<String> {
    let Endpoint::Toolbox(toolbox) = endpoint else { return Vec::new() };
    let servers = app
        .snapshot
        .load()
        .behind(toolbox, Guest { person: &person.id, groups: &groups(person), now: app.clock.now() });
    servers.iter().map(|server| server.name.to_string()).collect()
}

fn warnings<'a>(
    known: &StoredClient,
    name: &str,
    identity: Identity<'_>,
    request: &Checked,
    redirect_host: Option<&str>,
) -> Vec<Warning<'a>> {
    let mut warnings = Vec::new();
    // spec: T-21: only the vendor's own host may bear its name, and what an administrator entered is known.
    let own_host = match identity {
        Identity::Configured => None,
        Identity::Document { host } => Some(Some(host)),
        Identity::Unverified => Some(redirect_host),
    };
    warnings.extend(own_host.and_then(|host| resembles(name, host)).map(Warning::Resembles));
    // spec: T-12, AS-138
    let loopback = redirect::is_loopback(&request.redirect_uri);
    if loopback {
        warnings.push(Warning::Loopback);
    } else if !request.redirect_uri.starts_with("https://") {
        warnings.push(Warning::PrivateScheme);
    } else if known.last_used_at.is_none() && identity != Identity::Configured {
        warnings.push(Warning::NewHost);
    }
    warnings
}

/// Where a redirect URI leads.
pub struct Place {
    /// Host and port for people, or the scheme where there is no host.
    shown: String,
    /// The host alone.
    host: Option<String>,
    /// The origin as a content security policy writes it.
    pub form_target: String,
}

impl Place {
    /// Where `redirect_uri` leads.
    pub fn of(redirect_uri: &str) -> Self {
        let url = Url::parse(redirect_uri).ok();
        let host = url.as_ref().and_then(Url::host_str).filter(|host| !host.is_empty()).map(str::to_owned);
        let web = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let (Some(url), Some(host)) = (web, host.clone()) else {
            let scheme = redirect_uri.split(':').next().unwrap_or_default();
            let shown = host.map_or(format!("{scheme}:"), |host| format!("{scheme}://{host}"));
            return Self { shown, host: None, form_target: format!("{scheme}:") };
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        // Policies have no way to write an IPv6 address.
        let form_target = match url.host() {
            Some(Host::Ipv6(_)) => format!("{}:", url.scheme()),
            _ => format!("{}://{host}{port}", url.scheme()),
        };
        Self { shown: format!("{host}{port}"), host: Some(host), form_target }
    }
}

/// The page was answered before.
pub fn spent() -> PageError {
    PageError::new(
        StatusCode::BAD_REQUEST,
        "consent.spent",
        "This page was answered already",
        "Each page can be answered once. If the application still waits, start again from there.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: AS-139
    #[test]
    fn the_place_of_a_redirect_is_its_host_and_port() {
        let of = |uri: &str| {
            let place = Place::of(uri);
            (place.shown, place.form_target)
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(of("http://127.0.0.1:5123/cb?x=1"), pair("127.0.0.1:5123", "http://127.0.0.1:5123"));
        assert_eq!(of("https://claude.ai/api/cb"), pair("claude.ai", "https://claude.ai"));
        assert_eq!(of("http://[::1]:8080/cb"), pair("[::1]:8080", "http:"));
        assert_eq!(of("cursor://anysphere.cursor-mcp/cb"), pair("cursor://anysphere.cursor-mcp", "cursor:"));
        assert_eq!(of("com.example.app:/cb"), pair("com.example.app:", "com.example.app:"));
        assert_eq!(of("https://bücher.example/cb").0, "xn--bcher-kva.example");
    }
}
