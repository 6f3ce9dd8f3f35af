//! Who the bridge is at an authorization server, and what it asks there.

use bytes::Bytes;
use http::Method;
use portcullis_base::{Secret, printable};
use portcullis_gateway::outbound::{Ask, Outbound};
use portcullis_oauth::{
    client::{ApplicationType, AuthMethod, ClientMetadata},
    upstream::{
        client::{Published, Registering, Way, ways},
        registration,
        server::ServerMetadata,
        token::{self, AnswerError, ClientProof, Grant, ProviderClient, Refused, Revoke, TokenForm, Tokens},
    },
};

use super::{
    callback::Callback,
    kept::{ClientAt, Held},
};
use crate::failure::{Failure, Result};

/// What the person says of who we are, if anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The address of a metadata document.
    Document(String),
    /// A name that was registered at the authorization server.
    Registered(String),
}

/// Why no tokens came.
#[derive(Debug)]
pub enum NoTokens {
    /// The authorization server said no, for good.
    Refused(Refused),
    /// It did not answer, or with something that is not to be used.
    Unknown(String),
}

impl Named {
    /// Reads `--client-id`.
    pub fn parse(text: &str) -> Self {
        if text.starts_with("https://") { Self::Document(text.to_owned()) } else { Self::Registered(text.to_owned()) }
    }
}

/// Who we are at this authorization server, and the port that waits for its answer: as before if that is still possible,
/// else as the person says, else as we register now.
///
/// spec: UP-20
pub async fn client(
    metadata: &ServerMetadata,
    named: Option<&Named>,
    before: Option<&ClientAt>,
    outbound: &Outbound,
) -> Result<(ClientAt, Callback)> {
    let port = |error: std::io::Error| Failure::new(format!("no port of this computer can be listened on: {error}"));
    let as_named = |id: &str| ClientAt { id: id.to_owned(), method: AuthMethod::None, secret: None, port: None };
    let configured = matches!(named, Some(Named::Registered(_))).then_some(metadata.issuer.as_str());
    let published = if matches!(named, Some(Named::Document(_))) { Published::Yes } else { Published::No };
    let way = ways(metadata, configured, published, Registering::Auto).map_err(|error| {
        Failure::new(error.to_string())
            .help("register the bridge there, with the redirect URI http://127.0.0.1/callback, and add: --client-id ID")
    })?;
    if let (Some(Way::Configured | Way::Document), Some(Named::Document(id) | Named::Registered(id))) =
        (way.first(), named)
    {
        return Ok((as_named(id), Callback::listen(0).await.map_err(port)?));
    }
    // Not every authorization server lets the port of a loopback address change, so a registration is for its port.
    if let Some((client, own)) = before.and_then(|client| Some((client, client.port?)))
        && let Ok(callback) = Callback::listen(own).await
    {
        return Ok((client.clone(), callback));
    }
    let callback = Callback::listen(0).await.map_err(port)?;
    Ok((register(metadata, &callback, outbound).await?, callback))
}

/// spec: UP-24, UP-25: a native application, and one more try with less.
async fn register(metadata: &ServerMetadata, callback: &Callback, outbound: &Outbound) -> Result<ClientAt> {
    let Some(place) = &metadata.registration_endpoint else {
        return Err(Failure::new(format!("{} registers no clients by itself", metadata.issuer)));
    };
    let own = ClientMetadata {
        // Not after us: nobody can check that, and a gateway of ours warns of whoever is called like it.
        client_name: Some("Bridge for local clients".into()),
        application_type: Some(ApplicationType::Native),
        software_id: Some("portcullis-bridge".into()),
        ..ClientMetadata::public(vec![callback.url()])
    };
    // What many people have on their computers is no secret; one is taken only where it must be.
    let have: &[AuthMethod] = if metadata.takes(AuthMethod::None) {
        &[AuthMethod::None]
    } else {
        &[AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::None]
    };
    let wish = registration::wish(metadata, own, have);
    let once = async |wish: &ClientMetadata| {
        let body = Some(("application/json", Bytes::from(registration::body(wish))));
        let ask = Ask { method: Method::POST, body, ..Ask::get(place, "application/json", token::MAX_BYTES) };
        let fetched = outbound.fetch(ask).await.map_err(|error| {
            Failure::new(format!("{} did not register us: {}", printable(place, 200), printable(error.detail(), 300)))
        })?;
        Ok::<_, Failure>(registration::parse(&fetched.body, wish, metadata))
    };
    let registered = match once(&wish).await? {
        Ok(registered) => registered,
        Err(refused) => {
            let failed = || Failure::new(format!("{}: {refused}", printable(place, 200)));
            let other = registration::adjusted(&wish, &refused).ok_or_else(failed)?;
            once(&other).await?.map_err(|_| failed())?
        }
    };
    let registration::Registered { client_id, secret, method, .. } = registered;
    Ok(ClientAt { id: client_id, method, secret, port: Some(callback.port()) })
}

fn proof(client: &ClientAt) -> ProviderClient<'_> {
    let proof = match (&client.secret, client.method) {
        (None, _) => ClientProof::Public,
        (Some(secret), AuthMethod::ClientSecretPost) => ClientProof::Post(secret),
        (Some(secret), _) => ClientProof::Basic(secret),
    };
    ProviderClient { id: &client.id, proof }
}

/// Asks for tokens.
pub async fn ask(
    outbound: &Outbound,
    place: &str,
    client: &ClientAt,
    grant: &Grant<'_>,
) -> std::result::Result<Tokens, NoTokens> {
    let form = token::form(&proof(client), grant);
    let body = post(outbound, place, &form).await.map_err(NoTokens::Unknown)?;
    token::parse(&body).map_err(|error| match error {
        AnswerError::Refused(Refused::Temporary(code)) => {
            NoTokens::Unknown(format!("{} answered {code}", printable(place, 200)))
        }
        AnswerError::Refused(why) => NoTokens::Refused(why),
        other => NoTokens::Unknown(other.to_string()),
    })
}

/// Gives a sign-in back, as far as that can be done.
pub async fn revoke(outbound: &Outbound, held: &Held) -> std::result::Result<(), String> {
    let Some(place) = &held.revocation_endpoint else { return Err("it takes no tokens back".into()) };
    let all = [held.refresh.as_ref().map(Revoke::Refresh), held.access.as_ref().map(Revoke::Access)];
    for one in all.into_iter().flatten() {
        post(outbound, place, &token::revocation(&proof(&held.client), one)).await?;
    }
    Ok(())
}

/// The answer, good or bad, unless the other side failed.
async fn post(outbound: &Outbound, place: &str, form: &TokenForm) -> std::result::Result<Bytes, String> {
    let ask = Ask::form(place, Secret::reveal(&form.body).to_owned(), token::MAX_BYTES);
    let fetched = outbound.fetch(ask.authorized(form.authorization.clone())).await;
    let place = printable(place, 200);
    let fetched = fetched.map_err(|error| format!("{place}: {}", printable(error.detail(), 300)))?;
    match fetched.status {
        status if status.is_server_error() || status.as_u16() == 429 => Err(format!("{place} answered {status}")),
        // spec: T-45: a refusal may say again what was sent.
        _ => Ok(form.hushed(&fetched.body).map_or(fetched.body, Bytes::from)),
    }
}
