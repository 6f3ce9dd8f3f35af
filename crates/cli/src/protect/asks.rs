//! What a server wants to see of who calls it: as the flags say, or found out by asking it.

use std::path::absolute;

use http::HeaderValue;
use portcullis_base::{Holder, printable};
use portcullis_gateway::{
    authority::{AuthorityError, Found, Trouble},
    config::{self, Entry, KeySource, Server},
    outbound::DialError,
    upstream::{Credential, DiscoverError, Discovery, UpstreamError},
};
use portcullis_oauth::upstream::{
    challenge::Wanted,
    client::{Published, Registering, ways},
    issuer_id,
};
use serde_json::{Map, Value, json};

use super::{api::Described, probe, unusable};
use crate::{
    abroad::Abroad,
    args::{CredentialKind, Protect},
    failure::{Failure, Result},
    house::House,
    output::{WARN, note, styled},
    settings::Settings,
};

/// What came of asking.
pub(super) enum Asked {
    /// It answers, with what we show it.
    Open(Box<Discovery>),
    /// It wants OAuth, and this is where.
    OAuth(Box<Found>),
    /// It wants something that people or administrators bring.
    Closed,
    /// It is an API, and this is what its document says; with the authorization server, if that is known.
    Described(Box<Described>, Option<Box<Found>>),
}

/// Whether a flag says anything of the credential.
pub(super) fn is_said(args: &Protect) -> bool {
    args.credential.is_some()
        || args.issuer.is_some()
        || args.api_key_from.is_some()
        || args.header.is_some()
        || args.shared
}

/// The credential that the flags name, as the settings would write it; `None` if they name none.
pub(super) fn chosen(args: &Protect) -> Result<Option<Value>> {
    let header = args.header.is_some() || args.api_key_from.is_some();
    let kind = match args.credential {
        Some(kind) if header && kind != CredentialKind::Header => {
            return Err(Failure::usage("--header and --api-key-from are for a key in a header")
                .help("leave --credential out, or say: --credential header"));
        }
        Some(kind) => kind,
        None if header => CredentialKind::Header,
        None if args.issuer.is_some() || (args.shared && args.command.is_empty()) => CredentialKind::Oauth,
        None => return Ok(None),
    };
    if args.issuer.is_some() && !matches!(kind, CredentialKind::Oauth | CredentialKind::Auto) {
        return Err(Failure::usage("--issuer is for OAuth").help("leave it out, or say: --credential oauth"));
    }
    let mut keys = Map::new();
    keys.insert("kind".into(), json!(kind.as_str()));
    let texts = [("issuer", args.issuer.clone()), ("header", args.header.clone())];
    for (key, text) in texts.into_iter().filter_map(|(key, text)| Some((key, text?))) {
        keys.insert(key.into(), text.into());
    }
    whose(&mut keys, args)?;
    Ok(Some(if keys.len() == 1 { json!(kind.as_str()) } else { Value::Object(keys) }))
}

/// Writes into `keys` whose account or key it is.
pub(super) fn whose(keys: &mut Map<String, Value>, args: &Protect) -> Result<()> {
    match &args.api_key_from {
        Some(reference) => {
            keys.insert("value".into(), reference_from_anywhere(reference)?.into());
        }
        None if args.shared => {
            keys.insert("shared".into(), json!(true));
        }
        None => {}
    }
    Ok(())
}

/// The gateway may run in another directory than this command, so paths are written whole.
fn reference_from_anywhere(reference: &str) -> Result<String> {
    if let Some(path) = reference.strip_prefix("file:") {
        let whole = absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", printable(path, 200))))?;
        return Ok(format!("file:{}", whole.display()));
    }
    if reference.starts_with("env:") {
        return Ok(reference.to_owned());
    }
    Err(Failure::usage("--api-key-from takes a reference, so that no key stands in the history of a shell").help(
        "--api-key-from env:NAME takes it from an environment variable of the gateway, --api-key-from file:PATH from a file",
    ))
}

/// Asks the server, and writes into `entry` what it wants where nobody said it.
pub(super) async fn ask(entry: &mut Entry, args: &Protect, house: &House, settings: &Settings) -> Result<Asked> {
    let server = entry.server(&house.config.environment).map_err(|problems| unusable(&problems))?;
    let key = settings_key(&server);
    let refusal = match probe(&server, house, key.as_ref().unwrap_or(&Credential::none())).await {
        Ok(found) => return Ok(Asked::Open(Box::new(found))),
        Err(DiscoverError::Upstream(UpstreamError::Credentials { status, challenges })) => (status, challenges),
        Err(error) => return Err(refused(&server, &error)),
    };
    let (status, challenges) = refusal;
    match &server.credential {
        config::Credential::Header(header) if matches!(header.key, KeySource::Settings(_)) => {
            Err(Failure::new(format!("{} does not accept this key (status {status})", server.place)).help(format!(
                "check the key, and that it belongs into the header {} after \"{}\"",
                header.header, header.prefix
            )))
        }
        config::Credential::None => {
            Err(Failure::new(format!("{} asks for a credential (status {status})", server.place))
                .help("leave `--credential none` out, and it is found out what it wants"))
        }
        config::Credential::Auto(_) | config::Credential::OAuth(_) => {
            oauth(entry, &server, Wanted::of(&challenges).as_ref(), args, house, settings).await
        }
        _ => Ok(Asked::Closed),
    }
}

/// The key of the settings, ready to be shown.
fn settings_key(server: &Server) -> Option<Credential> {
    let config::Credential::Header(header) = &server.credential else { return None };
    let KeySource::Settings(key) = &header.key else { return None };
    let value = HeaderValue::from_str(&format!("{}{}", header.prefix, key.reveal())).ok()?;
    Some(Credential::new([(header.header.clone(), value)], Holder::Shared))
}

pub(super) async fn oauth(
    entry: &mut Entry,
    server: &Server,
    wanted: Option<&Wanted>,
    args: &Protect,
    house: &House,
    settings: &Settings,
) -> Result<Asked> {
    let said = args.credential.is_some() || args.issuer.is_some();
    match discovered(server, wanted, house, settings).await? {
        Ok(found) => {
            let credential = entry.more.entry("credential".into()).or_insert(Value::Null);
            let mut keys = match credential.take() {
                Value::Object(keys) => keys,
                _ => Map::new(),
            };
            keys.insert("kind".into(), json!("oauth"));
            keys.entry("issuer").or_insert_with(|| json!(found.issuer));
            *credential = Value::Object(keys);
            Ok(Asked::OAuth(Box::new(found)))
        }
        Err(error) if said => {
            note(format_args!("{} its authorization server cannot be used yet: {}", styled(WARN, "!"), error.detail));
            Ok(Asked::Closed)
        }
        Err(error) => Err(unknown_way(server, args, &error)),
    }
}

async fn discovered(
    server: &Server,
    wanted: Option<&Wanted>,
    house: &House,
    settings: &Settings,
) -> Result<std::result::Result<Found, AuthorityError>> {
    let record = house.record().await?;
    let found = match Abroad::open(&[server], house, &record, settings).await {
        Ok(abroad) => match abroad.server(&server.name) {
            Some(seen) => Ok(abroad.authority.discover(&seen, wanted).await.map(|found| Found::clone(&found))),
            None => Err(Failure::new("the server cannot be looked at")),
        },
        Err(failure) => Err(failure),
    };
    record.close().await;
    found
}

fn unknown_way(server: &Server, args: &Protect, error: &AuthorityError) -> Failure {
    let url = printable(args.url.as_deref().unwrap_or_default(), 200);
    if error.trouble == Trouble::NotOffered {
        return Failure::new(format!("{} asks for a credential, and does not say which", server.place)).help(format!(
            "({})\nIs it an API key?\n  one for everybody        portcullis protect {url} --api-key-from env:NAME\n  each person their own    portcullis protect {url} --credential header\n  in a header of its own   the same with --header X-Api-Key\nIs it OAuth? Say whose:    portcullis protect {url} --issuer https://login.example.com\nAnything else, such as a token for the gateway itself or token exchange: docs/guides/upstreams.md",
            error.detail
        ));
    }
    Failure::new(format!("{} asks for OAuth, and its authorization server cannot be used: {}", server.place, error.detail))
        .help(format!(
            "if it is right that people sign in there:  portcullis protect {url} --issuer https://login.example.com\nto register it all the same:               portcullis protect {url} --credential oauth\n`portcullis server check NAME` then shows each step"
        ))
}

/// What an administrator still has to do before anybody can connect; `None`: nothing.
pub(super) fn left_to_do(found: &Found, settings: &Settings) -> Option<String> {
    let config = settings.served();
    let published = match config.outbound.client_document {
        config::ClientDocument::Offered => Published::Yes,
        config::ClientDocument::Off => Published::No,
    };
    let none = ways(&found.metadata, None, published, Registering::Auto).is_err();
    none.then(|| {
        format!(
            "{} registers no clients by itself. Register the gateway there with the redirect URI\n  {}/connections/-/callback/{}\nand write the server into the settings file with its client_id (docs/guides/upstreams.md).",
            found.issuer,
            settings.public_url(),
            issuer_id(&found.issuer)
        )
    })
}

pub(super) fn refused(server: &Server, error: &DiscoverError) -> Failure {
    let url = &server.place;
    let text = printable(&error.to_string(), 400);
    match error {
        DiscoverError::Upstream(UpstreamError::Unreachable(DialError::Refused(_))) if !server.private => {
            Failure::new(format!("{url} is on a private network: {text}"))
                .help("if that network is yours, add --private")
        }
        DiscoverError::Upstream(UpstreamError::Unreachable(_)) => {
            Failure::new(format!("{url} cannot be reached: {text}"))
                .help("check address and port, and that the server runs")
        }
        DiscoverError::Upstream(UpstreamError::Late) | DiscoverError::Unavailable(_) => {
            Failure::new(format!("{url} does not answer as it should: {text}"))
                .help("try again when the server is well")
        }
        _ if server.place.command().is_some() => Failure::new(format!("{url} does not work as a server: {text}")).help(
            "it sees nothing but the system's programs, its own home and what it was given: --read PATH, --write PATH, --reach HOST, --network",
        ),
        DiscoverError::Upstream(_) | DiscoverError::NotMcp(_) => {
            Failure::new(format!("{url} is not an MCP endpoint: {text}"))
                .help("the URL must be that of the Streamable HTTP endpoint; it often ends in /mcp")
        }
        DiscoverError::Version(_) => Failure::new(format!("{url} cannot be served: {text}"))
            .help("bring the server to revision 2025-03-26 of MCP or later"),
    }
}
