//! Reads `servers[].credential`: what each kind needs, and what it does not have.

use std::time::Duration;

use http::{HeaderName, header::AUTHORIZATION};
use portcullis_base::{Secret, printable};
use portcullis_oauth::jwks::SigningKey;
use portcullis_policy::nearest;
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use url::Url;

use super::{
    Assertion, AssertionClaim, ClientAuth, ClientCredentials, ClientKey, ClientProof, Credential, Exchange, Fallback,
    HeaderCredential, Holders, IdJagCredential, KeyOption, KeySource, LegacyPaths, OAuth, OAuthClient, Offline,
    OnBehalfOf, Pattern, Provider, ProviderKind, Register, ResourceMatch, ResourceParameter, S256, SubjectToken,
    headers,
    issuers::{Asked, endpoint},
    read::{Node, Section},
};
use crate::system;

const KINDS: [&str; 9] =
    ["auto", "none", "oauth", "header", "client_credentials", "exchange", "on_behalf_of", "id_jag", "assertion"];
/// Kinds that are complete without a further word.
const ALONE: [&str; 5] = ["auto", "none", "oauth", "header", "assertion"];
const ISSUER: &str = "https://login.example.com";

/// What is known of the house that the server comes into.
pub(super) struct Around<'p> {
    /// The identity providers; `None` where only the running gateway knows them.
    pub providers: Option<&'p [Provider]>,
    /// The origin of the server itself, which may be asked for its own metadata wherever it is.
    pub origin: Option<url::Origin>,
}

/// Reads one credential.
pub(super) fn credential<'a>(node: Node<'a>, around: &Around<'_>, asked: &mut Asked<'a>) -> Credential {
    if !node.is_given() {
        return Credential::default();
    }
    if let Some(word) = node.as_text() {
        return one_word(&node, word);
    }
    let mut section = node.section();
    let kind_node = section.take("kind");
    let kinds = KINDS.map(|kind| (kind, kind));
    let Some(kind) = kind_node.choice_of(&kinds) else { return Credential::None };
    let read = match kind {
        "auto" => Some(Credential::Auto(oauth(&mut section, around, asked))),
        "oauth" => Some(Credential::OAuth(oauth(&mut section, around, asked))),
        "header" => header(&mut section).map(Credential::Header),
        "client_credentials" => client_credentials(&mut section, around, asked).map(Credential::ClientCredentials),
        "exchange" => exchange(&mut section, around, asked).map(Credential::Exchange),
        "on_behalf_of" => on_behalf_of(&mut section, around).map(Credential::OnBehalfOf),
        "id_jag" => id_jag(&mut section, around, asked).map(Credential::IdJag),
        "assertion" => assertion(&mut section).map(Credential::Assertion),
        _ => Some(Credential::None),
    };
    section.finish();
    read.unwrap_or(Credential::None)
}

fn one_word(node: &Node<'_>, word: &str) -> Credential {
    match word {
        "auto" => Credential::default(),
        "none" => Credential::None,
        "oauth" => Credential::OAuth(OAuth::default()),
        "header" => Credential::Header(HeaderCredential::default()),
        "assertion" => Credential::Assertion(Assertion::default()),
        word if KINDS.contains(&word) => {
            node.problem(
                format!("{word} needs to know more than its name"),
                format!("write its keys below `credential:`, beginning with `kind: {word}`"),
            );
            Credential::None
        }
        word => {
            let near = nearest(word, KINDS).map(|near| format!("did you mean \"{near}\"?")).unwrap_or_default();
            node.problem(
                format!(
                    "expected one of {}, or a group of keys with a kind, found \"{}\"",
                    ALONE.join(", "),
                    printable(word, 60)
                ),
                near,
            );
            Credential::None
        }
    }
}

/// The settings of an authorization server, for all kinds that ask one.
fn oauth<'a>(section: &mut Section<'a>, around: &Around<'_>, asked: &mut Asked<'a>) -> OAuth {
    let holders = switch(&section.take("shared"), Holders::Each, Holders::Shared);
    let (issuer, client, scopes, resource, endpoints) = server(section, around, asked);
    let register_node = section.take("register");
    let register = optional(
        &register_node,
        &[
            ("auto", Register::Auto),
            ("document", Register::Document),
            ("dynamic", Register::Dynamic),
            ("no", Register::No),
        ],
    );
    if client.is_some() && register_node.is_given() && register != Register::No {
        register_node.problem("stands beside `client_id`, so there is nothing to register", "take it out");
    }
    OAuth {
        holders,
        issuer,
        client,
        scopes,
        resource,
        resource_match: switch(&section.take("resource_prefix"), ResourceMatch::Exact, ResourceMatch::Prefix),
        s256: switch(&section.take("assume_s256"), S256::Announced, S256::Assumed),
        legacy_paths: switch(&section.take("legacy_paths"), LegacyPaths::Refused, LegacyPaths::Tried),
        endpoints,
        register,
    }
}

type AtServer = (Option<String>, Option<OAuthClient>, Option<Vec<String>>, ResourceParameter, Vec<String>);

fn server<'a>(section: &mut Section<'a>, around: &Around<'_>, asked: &mut Asked<'a>) -> AtServer {
    let issuer_node = section.take("issuer");
    let issuer_missing = !issuer_node.is_given() && !section.has("token_endpoint");
    let issuer = url(issuer_node, ISSUER, around, asked);
    let client = client(section);
    if client.is_some() && issuer_missing {
        // spec: UP-21: what an authorization server gave us is for that one alone, so it must be said which one it is.
        section.take("client_id").problem(
            "does not say where it is a client",
            "name the authorization server beside it, as its metadata does: issuer: https://login.example.com",
        );
    }
    let scopes_node = section.take("scopes");
    let scopes = scopes_node.is_given().then(|| scopes(&scopes_node));
    let resource = resource(&section.take("resource"), ResourceParameter::Exact);
    let endpoints_node = section.take("endpoints");
    let endpoints = endpoints_node.texts("a list of host names", "[oauth2.example.com]");
    for host in endpoints.iter().filter(|host| !super::private_hosts::is_host(host) && !host.is_empty()) {
        endpoints_node.problem(
            format!("\"{}\" is not a host name", printable(host, 60)),
            "write hosts without scheme, port, path or wildcard: [oauth2.googleapis.com]",
        );
    }
    (issuer, client, scopes, resource, endpoints.into_iter().map(|host| host.to_ascii_lowercase()).collect())
}

fn client(section: &mut Section<'_>) -> Option<OAuthClient> {
    let id_node = section.take("client_id");
    let (secret_node, key_node) = (section.take("client_secret"), section.take("client_key"));
    let (key_id_node, auth_node) = (section.take("client_key_id"), section.take("client_auth"));
    if !id_node.is_given() {
        for node in [&secret_node, &key_node, &key_id_node, &auth_node].into_iter().filter(|node| node.is_given()) {
            node.problem(
                "has no client that it belongs to",
                "write client_id beside it, as the authorization server gave it",
            );
        }
        return None;
    }
    let id = id_node.text("the client_id at the authorization server", "portcullis");
    let auth = auth_node.is_given().then(|| auth_node.choice_of(&AUTH)).flatten();
    let secret = secret_node.is_given().then(|| secret_node.secret("env:UPSTREAM_CLIENT_SECRET"));
    let pem = key_node.is_given().then(|| private_key(&key_node));
    let key_id = key_id_node.is_given().then(|| key_id_node.text("the kid of the key", "portcullis-1"));
    if key_id.is_some() && pem.is_none() {
        key_id_node.problem("names a key that is not there", "write client_key: file:PATH beside it");
    }
    let proof = match (auth, secret, pem) {
        (_, Some(_), Some(_)) => {
            key_node.problem("stands beside `client_secret`: a client is proved in one way", "keep one of them");
            ClientProof::None
        }
        (None | Some(Auth::Basic | Auth::Post), Some(secret), None) => {
            ClientProof::Secret { secret: secret?, how: auth.and_then(Auth::of_secret) }
        }
        (None | Some(Auth::Key), None, Some(pem)) => ClientProof::Key(ClientKey::Pem { pem: pem?, id: key_id }),
        (Some(Auth::Key), None, None) => ClientProof::Key(ClientKey::Own),
        (None | Some(Auth::None), None, None) => ClientProof::None,
        (Some(auth), ..) => {
            let needs = match auth {
                Auth::Basic | Auth::Post => "needs client_secret, and nothing else",
                Auth::Key => "needs client_key, or nothing: then the gateway's own key is used",
                Auth::None => "is for a client without secret and key",
            };
            auth_node
                .problem(needs, "example: client_auth: client_secret_basic, client_secret: env:UPSTREAM_CLIENT_SECRET");
            ClientProof::None
        }
    };
    (!id.is_empty()).then_some(OAuthClient { id, proof })
}

#[derive(Clone, Copy)]
enum Auth {
    Basic,
    Post,
    Key,
    None,
}

const AUTH: [(&str, Auth); 4] = [
    ("client_secret_basic", Auth::Basic),
    ("client_secret_post", Auth::Post),
    ("private_key_jwt", Auth::Key),
    ("none", Auth::None),
];

impl Auth {
    fn of_secret(self) -> Option<ClientAuth> {
        match self {
            Self::Basic => Some(ClientAuth::Basic),
            Self::Post => Some(ClientAuth::Post),
            Self::Key | Self::None => None,
        }
    }
}

fn header(section: &mut Section<'_>) -> Option<HeaderCredential> {
    let header_node = section.take("header");
    let header = if header_node.is_given() {
        headers::name(&header_node, &header_node.text("the name of a header", "X-Api-Key"))
    } else {
        Some(AUTHORIZATION)
    };
    let usual = if header == Some(AUTHORIZATION) { "Bearer " } else { "" };
    let prefix = prefix(&section.take("prefix"), usual);
    key(section, header, prefix)
}

/// The keys about a key, wherever it is shown.
fn key(section: &mut Section<'_>, header: Option<HeaderName>, prefix: String) -> Option<HeaderCredential> {
    let (value_node, shared_node) = (section.take("value"), section.take("shared"));
    let shared = switch(&shared_node, Holders::Each, Holders::Shared);
    let key = if value_node.is_given() {
        if shared_node.is_given() && shared == Holders::Each {
            shared_node.problem("is false, but `value` is one key for everybody", "take one of the two out");
        }
        KeySource::Settings(value(&value_node, &prefix)?)
    } else if shared == Holders::Shared {
        KeySource::Shared
    } else {
        KeySource::Each
    };
    let label = section.take("label");
    let label = if label.is_given() { label.text("what the key is called", "API key") } else { "API key".to_owned() };
    let help = section.take("help");
    let help = help.is_given().then(|| help.text("where people get one", "Make one at https://example.com/keys"));
    let (pattern_node, options_node) = (section.take("pattern"), section.take("options"));
    let pattern = pattern(&pattern_node);
    let options = options(&options_node);
    if let KeySource::Settings(value) = &key {
        if options_node.is_given() {
            options_node.problem("are for keys that people type, and `value` is the key", "take them out");
        }
        if pattern.as_ref().is_some_and(|pattern| !pattern.fits(value.reveal())) {
            value_node.problem("what it refers to does not look as `pattern` says", "check both");
        }
    }
    Some(HeaderCredential { header: header?, prefix, key, label, help, pattern, options })
}

/// Reads the credential of a server that is a process: nothing, or a key in a variable of its environment. The other kinds
/// are shown in headers, and a process is shown none.
pub(super) fn of_process(node: Node<'_>) -> (Credential, Option<String>) {
    const EXAMPLE: &str = "example: credential: { kind: env, name: GITHUB_TOKEN }";
    if !node.is_given() || node.as_text() == Some("none") {
        return (Credential::None, None);
    }
    if node.as_text().is_some() {
        node.problem("a process is shown no headers: it takes a key from its environment, or nothing", EXAMPLE);
        return (Credential::None, None);
    }
    let mut section = node.section();
    let kind = section.take("kind").choice_of(&[("env", true), ("none", false)]);
    if kind != Some(true) {
        section.finish();
        return (Credential::None, None);
    }
    let name_node = section.take("name");
    let name = super::processes::variable(&name_node, &name_node.text("the name of a variable", "GITHUB_TOKEN"));
    // Kept as if it were a header of that name, so that it is typed, sealed and found like any other key.
    let header = name.as_ref().and_then(|name| name.to_ascii_lowercase().parse().ok());
    let key = key(&mut section, header, String::new());
    section.finish();
    (key.map_or(Credential::None, Credential::Header), name)
}

fn value(node: &Node<'_>, prefix: &str) -> Option<Secret> {
    let value = node.secret("env:SERVER_KEY")?;
    if !headers::sendable(node, value.reveal()) {
        return None;
    }
    if !prefix.is_empty() && value.reveal().to_ascii_lowercase().starts_with(&prefix.to_ascii_lowercase()) {
        node.problem(
            format!("what it refers to begins with \"{}\" already, which `prefix` puts before it", prefix.trim_end()),
            "leave it to one of them, such as: prefix: \"\"",
        );
    }
    Some(value)
}

fn prefix(node: &Node<'_>, usual: &str) -> String {
    // Not trimmed as other texts are: the space at its end is what separates it from the key.
    match node.as_text() {
        Some(text) if headers::sendable(node, text) => text.to_owned(),
        Some(_) => String::new(),
        None => {
            if node.is_given() {
                node.problem(
                    "expected a text that stands before the key, found something else",
                    "example: prefix: \"Bearer \"",
                );
            }
            usual.to_owned()
        }
    }
}

fn pattern(node: &Node<'_>) -> Option<Pattern> {
    let text =
        node.is_given().then(|| node.text("a regular expression", "sk_[a-z0-9]+")).filter(|text| !text.is_empty())?;
    let parsed = Pattern::parse(&text);
    if let Err(error) = &parsed {
        node.problem(
            format!("is not a regular expression: {}", printable(error, 200)),
            "it must fit the whole key: pattern: \"sk_[a-z0-9]{24}\"",
        );
    }
    parsed.ok()
}

fn options(node: &Node<'_>) -> Vec<KeyOption> {
    let mut options: Vec<KeyOption> = Vec::new();
    for item in node.list("a list of kinds of key", "[{ name: Personal token, prefix: \"token \" }]") {
        let mut section = item.section();
        let name_node = section.take("name");
        let name = name_node.text("its name on the page", "Personal token");
        if options.iter().any(|other| other.name == name) {
            name_node.problem("names a second kind of key", "give each a name of its own");
        }
        let prefix = prefix(&section.take("prefix"), "");
        section.finish();
        options.push(KeyOption { name, prefix });
    }
    options
}

fn client_credentials<'a>(
    section: &mut Section<'a>,
    around: &Around<'_>,
    asked: &mut Asked<'a>,
) -> Option<ClientCredentials> {
    let token_endpoint = url(section.take("token_endpoint"), "https://login.example.com/token", around, asked);
    let id_missing = !section.has("client_id");
    let (issuer, client, scopes, resource, endpoints) = server(section, around, asked);
    if id_missing {
        section.take("client_id").problem(
            "is missing: a token for the gateway itself needs a client that somebody registered",
            "example: client_id: portcullis",
        );
    } else if client.as_ref().is_some_and(|client| client.proof == ClientProof::None) {
        // spec: UP-85
        section.take("client_id").problem(
            "has nothing that proves it, and whoever knows a client_id could use it",
            "add client_secret: env:NAME, client_key: file:PATH, or client_auth: private_key_jwt for the gateway's own key",
        );
    }
    let client = Some(client?);
    let oauth = OAuth {
        holders: Holders::Shared,
        issuer,
        client,
        scopes,
        resource,
        endpoints,
        register: Register::No,
        ..OAuth::default()
    };
    Some(ClientCredentials { token_endpoint, oauth })
}

fn exchange<'a>(section: &mut Section<'a>, around: &Around<'_>, asked: &mut Asked<'a>) -> Option<Exchange> {
    let provider = provider(&section.take("provider"), around, Needs::Oidc);
    let audience = section.take("audience");
    let audience = audience.is_given().then(|| audience.text("the audience of the token", "https://mcp.example.com"));
    let usual = if audience.is_some() { ResourceParameter::None } else { ResourceParameter::Exact };
    let resource = resource(&section.take("resource"), usual);
    let scopes = scopes(&section.take("scopes"));
    let subject = optional(
        &section.take("subject"),
        &[("access_token", SubjectToken::AccessToken), ("id_token", SubjectToken::IdToken)],
    );
    let token_endpoint = url(section.take("token_endpoint"), "https://login.example.com/token", around, asked);
    Some(Exchange { provider: provider?, audience, resource, scopes, subject, token_endpoint })
}

fn on_behalf_of(section: &mut Section<'_>, around: &Around<'_>) -> Option<OnBehalfOf> {
    let provider = provider(&section.take("provider"), around, Needs::Entra);
    let scopes_node = section.take("scopes");
    let scopes = scopes(&scopes_node);
    if scopes.is_empty() {
        scopes_node.problem(
            "must name the API of the server, as Entra ID knows it",
            "example: scopes: [\"api://6f1c…/.default\"]",
        );
    }
    let subject_node = section.take("subject_scope");
    let subject_scope = subject_node.text("a scope that your own registration exposes", "api://8f2b…/access");
    if !subject_scope.is_empty() && (!subject_scope.contains('/') || !is_scope(&subject_scope)) {
        subject_node.problem(
            format!("\"{}\" is not a scope of an API", printable(&subject_scope, 80)),
            "it stands under \"Expose an API\" of the gateway's registration: api://CLIENT-ID/access",
        );
    }
    Some(OnBehalfOf { provider: provider?, scopes, subject_scope })
}

fn id_jag<'a>(section: &mut Section<'a>, around: &Around<'_>, asked: &mut Asked<'a>) -> Option<IdJagCredential> {
    let subject = optional(
        &section.take("subject"),
        &[("id_token", SubjectToken::IdToken), ("refresh_token", SubjectToken::RefreshToken)],
    );
    let needs = if subject == SubjectToken::RefreshToken { Needs::Refresh } else { Needs::Oidc };
    let provider = provider(&section.take("provider"), around, needs);
    let fallback = optional(&section.take("fallback"), &[("none", Fallback::None), ("oauth", Fallback::OAuth)]);
    let (issuer, client, scopes, resource, endpoints) = server(section, around, asked);
    let oauth = OAuth { issuer, client, scopes, resource, endpoints, ..OAuth::default() };
    Some(IdJagCredential { provider: provider?, subject, fallback, oauth })
}

fn assertion(section: &mut Section<'_>) -> Option<Assertion> {
    let usual = Assertion::default();
    let header_node = section.take("header");
    let header = if header_node.is_given() {
        headers::name(&header_node, &header_node.text("the name of a header", "Portcullis-Identity"))
    } else {
        Some(usual.header)
    };
    let lifetime = section.take("lifetime");
    let lifetime = if lifetime.is_given() {
        lifetime.duration(Duration::from_secs(5)..=Duration::from_mins(5), "60s")
    } else {
        usual.lifetime
    };
    let claims = section.take("claims").list("a list of claims", "[name, email, groups]");
    let claims = claims.iter().filter_map(|claim| {
        claim.choice_of(&[
            ("name", AssertionClaim::Name),
            ("email", AssertionClaim::Email),
            ("groups", AssertionClaim::Groups),
        ])
    });
    Some(Assertion { header: header?, lifetime, claims: claims.collect() })
}

/// What a provider must be able to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Oidc,
    Refresh,
    Entra,
}

fn provider(node: &Node<'_>, around: &Around<'_>, needs: Needs) -> Option<String> {
    let id = node.text("the id of an identity provider", "company");
    let Some(providers) = around.providers.filter(|_| !id.is_empty()) else { return (!id.is_empty()).then_some(id) };
    let Some(provider) = providers.iter().find(|provider| provider.id == id) else {
        let ids: Vec<_> = providers.iter().map(|provider| provider.id.as_str()).collect();
        let help = match nearest(&id, ids.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if ids.is_empty() => "there is no identity provider: set one up under identity.providers".to_owned(),
            None => format!("providers: {}", ids.join(", ")),
        };
        node.problem(format!("there is no identity provider \"{}\"", printable(&id, 60)), help);
        return None;
    };
    if provider.kind == ProviderKind::Github {
        node.problem("is GitHub, which gives no token for anybody else", "use `kind: oauth`: people connect once");
    } else if needs == Needs::Entra && provider.kind != ProviderKind::Entra {
        node.problem("is not of kind entra, and on-behalf-of is Entra's own way", "use `kind: exchange` (RFC 8693)");
    } else if provider.client_secret.is_none() {
        node.problem(
            format!("is a provider where we have no client_secret, and it exchanges tokens only with a client it can recognise ({id})"),
            "give the provider a client_secret",
        );
    } else if needs == Needs::Refresh && provider.offline == Offline::No {
        node.problem(
            "gives no refresh token: its `offline` is false",
            "set offline: true there, or subject: id_token here",
        );
    }
    Some(id)
}

fn resource(node: &Node<'_>, usual: ResourceParameter) -> ResourceParameter {
    if !node.is_given() {
        return usual;
    }
    let text = node.text("exact, none, or a URL", "exact");
    match text.as_str() {
        "" | "exact" => ResourceParameter::Exact,
        "none" => ResourceParameter::None,
        other => {
            // spec: RFC8707#2: an absolute URI without a fragment.
            if Url::parse(other).is_err() || other.contains('#') {
                node.problem(
                    format!("expected exact, none, or a URL without fragment, found \"{}\"", printable(other, 60)),
                    nearest(other, ["exact", "none"])
                        .map(|near| format!("did you mean \"{near}\"?"))
                        .unwrap_or_default(),
                );
            }
            ResourceParameter::Other(other.to_owned())
        }
    }
}

fn scopes(node: &Node<'_>) -> Vec<String> {
    let scopes = node.texts("a list of scopes", "[read]");
    if let Some(bad) = scopes.iter().find(|scope| !scope.is_empty() && !is_scope(scope)) {
        node.problem(
            format!("\"{}\" is not a scope", printable(bad, 60)),
            "write scopes one by one, without spaces: scopes: [read, write]",
        );
    }
    scopes
}

fn is_scope(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
}

/// A URL that will be asked, if one is given. The server's own origin needs no further permission.
fn url<'a>(node: Node<'a>, example: &str, around: &Around<'_>, asked: &mut Asked<'a>) -> Option<String> {
    let text = node.is_given().then(|| node.text("a URL", example)).filter(|text| !text.is_empty())?;
    match endpoint(&text) {
        Ok(url) if around.origin.as_ref() == Some(&url.origin()) => Some(text),
        Ok(url) => {
            asked.add(node, url);
            Some(text)
        }
        Err((what, help)) => {
            node.problem(what, if help.is_empty() { format!("example: {example}") } else { help });
            None
        }
    }
}

fn private_key(node: &Node<'_>) -> Option<Secret> {
    let pem = node.secret("file:client-key.pem")?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.reveal().as_bytes());
    let signs = key.is_ok_and(|key| SigningKey::from_pkcs8(key.secret_pkcs8_der(), system::random()).is_ok());
    if !signs {
        node.problem(
            "what it refers to is not an EC key on P-256 in PKCS#8 PEM form (-----BEGIN PRIVATE KEY-----)",
            "make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out client-key.pem",
        );
        return None;
    }
    Some(pem)
}

fn switch<T>(node: &Node<'_>, no: T, yes: T) -> T {
    if node.is_given() && node.switch() { yes } else { no }
}

fn optional<T: Copy>(node: &Node<'_>, choices: &[(&'static str, T)]) -> T {
    if node.is_given() { node.choice(choices) } else { choices[0].1 }
}
