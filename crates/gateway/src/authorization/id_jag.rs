//! A company's identity provider says that one of its people may use one client here (ID-JAG): a token, and no page.

use axum::response::Response;
use portcullis_audit::{Kind, Outcome};
use portcullis_base::{GrantId, PersonId};
use portcullis_oauth::{
    assertion::{
        Presented,
        id_jag::{Expected, IdJag, decide, may_present, verify},
    },
    client::Client,
    error::{TokenError, TokenErrorCode},
    grant::Grant,
    machine::AssertionRequest,
    registration::is_document_id,
    relying::profile,
    scope::Scopes,
};
use portcullis_store::{MachineGrant, Person, ProviderSignIn, SignedIn};

use super::{
    assertion::{first_use, refused},
    documents,
    issue::Requester,
    resources,
};
use crate::{app::App, config::IdJag as Trust, error::ApiError, extract::TokenForm, identity::Provider};

/// Learns of a client that was never on a page of ours: one whose identifier is the URL of its document, and which an
/// administrator named. Nobody else can make us fetch anything here (AS-114).
// spec: AS-178: "CIMD with keys"
pub async fn meet(app: &App, sent: &TokenForm) -> Result<(), ApiError> {
    let Some((client, source)) = sent.claimed().filter(|_| sent.is_assertion()) else { return Ok(()) };
    let trusts = app.config.identity.providers.iter().filter_map(|provider| provider.id_jag.as_ref());
    let named = trusts.flat_map(|trust| &trust.clients).any(|named| named == client.as_str());
    if !named || !is_document_id(client.as_str()) {
        return Ok(());
    }
    app.limits.token_source.ask(&source.key())?;
    if let Err(error) = documents::resolve(app, source, client.as_str()).await {
        tracing::info!(client.id = client.as_str(), error.code = error.code(), "a named client could not be looked up");
    }
    Ok(())
}

pub async fn issue(
    app: &App,
    requester: &Requester<'_>,
    client: &Client,
    request: &AssertionRequest,
    presented: &Presented,
) -> Result<Response, ApiError> {
    // spec: AS-178
    if let Err(error) = may_present(client) {
        return Err(requester.refused(None, error).await);
    }
    let provider = app.providers.by_issuer(&presented.issuer);
    let Some((provider, trust)) = provider.and_then(|found| Some((found, found.settings().id_jag.as_ref()?))) else {
        return Err(refused(requester, "its issuer is not trusted for identity assertions").await);
    };
    if !admits(trust, client) {
        let text = "this client may not present identity assertions of this provider";
        return Err(requester.refused(None, TokenError::new(TokenErrorCode::UnauthorizedClient, text)).await);
    }
    let jag = match verified(app, provider, client, request, presented).await? {
        Ok(jag) => jag,
        Err(why) => return Err(refused(requester, why).await),
    };
    if !first_use(app, &jag.spend()).await? {
        return Err(refused(requester, "it was used before").await);
    }
    let person = match person(app, requester, provider, &jag).await? {
        Ok(person) => person,
        Err(why) => return Err(refused(requester, why).await),
    };
    let decided = resources::with_resources_of(app, Some(&person), |resources| {
        decide(&jag, request, &Scopes::endpoint(), resources)
    });
    match decided {
        Ok(granted) => {
            let grant = grant(app, &person, client, &jag, &granted).await?;
            let requester = requester.delegated(jag.actors());
            requester.issue(Kind::TokenIssued, &grant, &granted.scopes, None, app.clock.now()).await
        }
        Err(error) => Err(requester.refused(None, error).await),
    }
}

fn admits(trust: &Trust, client: &Client) -> bool {
    trust.clients.iter().any(|named| named == "*" || named == client.id.as_str())
}

async fn verified(
    app: &App,
    provider: &Provider,
    client: &Client,
    request: &AssertionRequest,
    presented: &Presented,
) -> Result<Result<IdJag, String>, ApiError> {
    let (Some(url), Some(issuer)) = (provider.jwks_uri().await, provider.issuer_rule()) else {
        return Err(ApiError::unavailable("the provider's metadata cannot be had"));
    };
    let keys = app.providers.keys().keys_for(&url, presented.kid.as_deref(), &app.outbound, &*app.clock).await;
    let keys = keys.map_err(ApiError::unavailable)?;
    let verified = resources::with_resources(app, |resources| {
        let expected = Expected {
            issuer,
            audience: app.config.public_url.as_str(),
            client: &client.id,
            resources,
            now: app.clock.now(),
        };
        verify(request.assertion.reveal(), &keys, &expected)
    });
    Ok(verified.map_err(|why| why.to_string()))
}

/// Whom it speaks of: somebody known by issuer and subject, or, if the provider may bring new people, an account made now.
// spec: AS-180, T-52
async fn person(
    app: &App,
    requester: &Requester<'_>,
    provider: &Provider,
    jag: &IdJag,
) -> Result<Result<Person, String>, ApiError> {
    let settings = provider.settings();
    let profile = match profile::Profile::from_claims(&settings.claims, &jag.claims) {
        Ok(profile) => profile,
        Err(why) => return Ok(Err(why.to_string())),
    };
    if let Err(why) = provider.admit(&profile) {
        return Ok(Err(why.detail));
    }
    let groups = match &profile.groups {
        profile::Groups::Given(groups) => Some(groups.as_slice()),
        // It says nothing of groups, which leaves what is known.
        profile::Groups::Absent => None,
        // spec: T-52: groups that do not fit into it are never taken for no groups, nor for those of yesterday.
        profile::Groups::Overage => {
            return Ok(Err("it does not hold the person's groups, because there are too many".into()));
        }
    };
    let new_person = PersonId::random(&*app.rng);
    let sign_in = ProviderSignIn {
        provider: provider.id(),
        issuer: &jag.issuer,
        subject: &profile.subject,
        tenant: jag.tenant.as_deref(),
        external_id: None,
        email: profile.email.as_deref(),
        names: &profile.names,
        display_name: profile.display_name.as_deref().or(profile.names.first().map(String::as_str)).unwrap_or_default(),
        groups,
        refresh_sealed: None,
        sign_up: settings.sign_up.into(),
        link: settings.link.into(),
        new_person: &new_person,
    };
    let signed_in = app.store.sign_in_identity(&sign_in, app.clock.now()).await.map_err(ApiError::unavailable)?;
    let (person, news) = match signed_in {
        SignedIn::Known(person) => (person, None),
        SignedIn::Linked(person) => (person, Some(Kind::IdentityLinked)),
        SignedIn::Created(person) => (person, Some(Kind::PersonCreated)),
        SignedIn::Refused(why) => return Ok(Err(format!("the account is not let in: {why:?}"))),
    };
    if let Some(kind) = news {
        let event = requester
            .event(kind, None)
            .outcome(Outcome::Success)
            .text("person", person.id.to_string())
            .text("method", provider.id().to_owned())
            .text("issuer", jag.issuer.clone())
            .text("subject", profile.subject.clone());
        requester.write(event).await?;
    }
    // Here at once, or the first call would find nobody, or the groups of yesterday.
    app.feed.catch_up().await.map_err(ApiError::unavailable)?;
    // spec: AS-180: a token that no call would take is not issued.
    if !app.appointments.admit(&person) {
        return Ok(Err("none of the person's groups may use this gateway".into()));
    }
    Ok(Ok(person))
}

async fn grant(
    app: &App,
    person: &Person,
    client: &Client,
    jag: &IdJag,
    granted: &portcullis_oauth::machine::Granted,
) -> Result<Grant, ApiError> {
    let now = app.clock.now();
    let wanted = MachineGrant {
        person: &person.id,
        client: &client.id,
        resource: &granted.resource,
        scopes: &granted.scopes,
        // spec: AS-178: there is nothing to refresh, so it lives as long as its last token.
        expires_at: now.plus(app.config.tokens.access),
    };
    let grant = app.store.machine_grant(&wanted, &GrantId::random(&*app.rng), now).await;
    let grant = grant.map_err(ApiError::unavailable)?;
    let grant = grant.ok_or_else(|| ApiError::unavailable("the account was switched off a moment ago"))?;
    Ok(Grant { authenticated_at: jag.authenticated_at, acr: jag.acr.clone(), ..grant })
}
