//! `identity`: providers with what each kind needs and what it does not have.

use portcullis_base::printable;
use url::Host;

use super::{
    BackChannel, ClaimNames, ClientAuth, Directory, IdJag, Link, Offline, Provider, ProviderKind, Scim, SignUp,
    issuers::{Asked, issuer, url},
    read::{Node, Section},
};

const SHORTEST_TOKEN: usize = 16;
/// What stands under `/login/` besides providers.
const OWN_ADDRESSES: [&str; 3] = ["choose", "fresh", "switch"];

/// Reads one provider; `None` after reporting.
pub(super) fn provider<'a>(item: Node<'a>, others: &[Provider], asked: &mut Asked<'a>) -> Option<Provider> {
    let mut section = item.section();
    let id_node = section.take("id");
    let id = identifier(&id_node, "a name for its addresses", "company");
    if let Some(id) = id.as_deref().filter(|id| OWN_ADDRESSES.contains(id)) {
        id_node.problem(
            format!("\"{id}\" cannot be the id of a provider: /login/{id} is a page of the gateway"),
            "choose another one; it is part of addresses, the sign-in page shows `name`",
        );
    }
    if others.iter().any(|other| Some(&other.id) == id.as_ref()) {
        id_node.problem("names a second provider", "give each provider an id of its own");
    }
    let name = section.take("name");
    let name = name.is_given().then(|| name.text("the name on the sign-in page", "Example Corp"));
    let kind = section.take("kind").choice_of(&ProviderKind::ALL)?;
    let (issuer, tenant, tenants) = issuer(&mut section, kind, others, asked);
    let client_id = section.take("client_id").text("our client id at the provider", "portcullis");
    let client_secret = client_secret(&section.take("client_secret"), kind);
    let client_auth = section.take("client_auth");
    let client_auth = client_auth.is_given().then(|| {
        client_auth.choice(&[("client_secret_basic", ClientAuth::Basic), ("client_secret_post", ClientAuth::Post)])
    });
    let offline = switch(&section.take("offline"), Offline::Asked, Offline::No, Offline::Asked);
    let scopes = scopes(&section.take("scopes"), kind, issuer.as_deref().unwrap_or_default(), offline);
    let domains = domains(&section.take("domains"), others);
    let claims = claims(section.take("claims"), kind);
    let own = own(&mut section, kind, asked);
    let sign_up = switch(&section.take("sign_up"), SignUp::Open, SignUp::Closed, SignUp::Open);
    let back_channel_logout = back_channel(&section.take("back_channel_logout"), kind);
    let scim = scim(section.take("scim"), kind);
    let link = link(&section.take("link"), scim.is_some());
    let id_jag = id_jag(section.take("id_jag"), kind);
    section.finish();
    Some(Provider {
        id: id?,
        name: name.unwrap_or_else(|| kind.title().to_owned()),
        kind,
        issuer: issuer?,
        tenant,
        tenants,
        client_id,
        client_secret,
        client_auth,
        scopes,
        domains,
        claims,
        hosted_domains: own.hosted_domains,
        organizations: own.organizations,
        api_url: own.api_url,
        directory: own.directory,
        sign_up,
        link,
        offline,
        back_channel_logout,
        scim,
        id_jag,
    })
}

/// A name that can stand in an address; `None` after reporting.
pub(super) fn identifier(node: &Node<'_>, expected: &str, example: &str) -> Option<String> {
    let text = node.text(expected, example);
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits && !text.is_empty() {
        node.problem(
            format!("\"{}\" is not an id: use 1 to 32 of a-z, 0-9 and \"-\"", printable(&text, 60)),
            format!("example: id: {example}"),
        );
    }
    fits.then_some(text)
}

fn client_secret(node: &Node<'_>, kind: ProviderKind) -> Option<portcullis_base::Secret> {
    if node.is_given() {
        return node.secret("env:COMPANY_SECRET");
    }
    if matches!(kind, ProviderKind::Google | ProviderKind::Github) {
        node.problem(
            format!("is missing: {} gives no tokens to a client without one", kind.title()),
            "example: client_secret: env:COMPANY_SECRET",
        );
    }
    None
}

fn switch<T>(node: &Node<'_>, yes: T, no: T, default: T) -> T {
    match node.is_given().then(|| node.switch()) {
        Some(true) => yes,
        Some(false) => no,
        None => default,
    }
}

fn scopes(node: &Node<'_>, kind: ProviderKind, issuer: &str, offline: Offline) -> Vec<String> {
    if !node.is_given() {
        let mut scopes = match kind {
            // A custom authorization server of Okta refuses `groups` until somebody adds the scope there.
            ProviderKind::Okta if !issuer.contains("/oauth2/") => vec!["openid", "profile", "email", "groups"],
            ProviderKind::Entra => vec!["openid", "profile", "email", "User.Read"],
            ProviderKind::Github => return ["read:user", "user:email", "read:org"].map(str::to_owned).to_vec(),
            _ => vec!["openid", "profile", "email"],
        };
        if offline == Offline::Asked && kind != ProviderKind::Google {
            scopes.push("offline_access");
        }
        return scopes.into_iter().map(str::to_owned).collect();
    }
    let scopes = node.texts("a list of scopes", "[openid, profile, email]");
    if let Some(bad) = scopes.iter().find(|scope| !scope.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b)))
    {
        node.problem(format!("\"{}\" is not a scope", printable(bad, 60)), "example: scopes: [openid, profile, email]");
    }
    if kind != ProviderKind::Github && !scopes.iter().any(|scope| scope == "openid") {
        node.problem(
            "must contain openid: without it the provider gives no ID token, which says who signed in",
            "example: scopes: [openid, profile, email]",
        );
    }
    scopes
}

fn domains(node: &Node<'_>, others: &[Provider]) -> Vec<String> {
    let domains = domain_names(node, "[example.com]");
    for domain in &domains {
        if let Some(other) = others.iter().find(|other| other.domains.contains(domain)) {
            node.problem(
                format!("\"{domain}\" is a domain of \"{}\" too", other.id),
                "an address can lead to one provider only",
            );
        }
    }
    domains
}

/// Domains in lower case.
fn domain_names(node: &Node<'_>, example: &str) -> Vec<String> {
    let mut names = Vec::new();
    for text in node.texts("a list of e-mail domains", example) {
        let name = text.trim_start_matches('@').to_ascii_lowercase();
        let plain = !text.contains('*') && matches!(Host::parse(&name), Ok(Host::Domain(host)) if host == name);
        if !plain && !text.is_empty() {
            node.problem(
                format!("\"{}\" is not a domain", printable(&text, 60)),
                "write what stands after the @ of an address, without wildcards: example.com",
            );
        }
        names.push(name);
    }
    names
}

fn claims(node: Node<'_>, kind: ProviderKind) -> ClaimNames {
    if kind == ProviderKind::Github {
        node.unfit(kind.as_str(), "GitHub has no claims: account, e-mail and teams come from its API");
    }
    let mut section = node.section();
    let claims = ClaimNames {
        subject: subject(&section.take("subject")),
        name: claim(&section.take("name"), "preferred_username"),
        display_name: claim(&section.take("display_name"), "name"),
        email: claim(&section.take("email"), "email"),
        groups: claim(&section.take("groups"), "groups"),
    };
    section.finish();
    claims
}

/// The name of a claim, or the usual one.
pub(super) fn claim(node: &Node<'_>, usual: &str) -> String {
    if node.is_given() { node.text("the name of a claim", usual) } else { usual.to_owned() }
}

/// spec: T-52, AS-143: who it is must never be something that can change hands.
pub(super) fn subject(node: &Node<'_>) -> String {
    const CHANGES_HANDS: [&str; 8] =
        ["email", "preferred_username", "upn", "unique_name", "username", "name", "nickname", "login"];
    let name = claim(node, "sub");
    if CHANGES_HANDS.contains(&name.as_str()) {
        node.problem(
            format!("is {name}, which a person can change and another can get later: the newcomer would be taken for the first"),
            "use sub, or another claim that the provider never gives to anybody else, such as oid of Entra ID",
        );
    }
    name
}

/// What only some kinds have.
struct Own {
    hosted_domains: Vec<String>,
    organizations: Vec<String>,
    api_url: Option<String>,
    directory: Option<Directory>,
}

fn own<'a>(section: &mut Section<'a>, kind: ProviderKind, asked: &mut Asked<'a>) -> Own {
    let (hosted, organizations) = (section.take("hosted_domains"), section.take("organizations"));
    let (api, directory_node) = (section.take("api_url"), section.take("directory"));
    let mut own = Own { hosted_domains: Vec::new(), organizations: Vec::new(), api_url: None, directory: None };
    if kind == ProviderKind::Google {
        own.hosted_domains = domain_names(&hosted, "[example.com]");
        own.directory = directory_node.is_given().then(|| directory(directory_node)).flatten();
    } else {
        hosted
            .unfit(kind.as_str(), "only Google has hosted domains; `domains` names the e-mail domains of any provider");
        directory_node.unfit(kind.as_str(), "only Google needs its directory asked for groups");
    }
    if kind == ProviderKind::Github {
        own.organizations = organizations.texts("a list of organizations", "[acme]");
    } else {
        organizations.unfit(kind.as_str(), "only GitHub has organizations");
    }
    if matches!(kind, ProviderKind::Entra | ProviderKind::Github | ProviderKind::Google) {
        own.api_url = url(api, "https://github.example.com/api/v3", asked);
    } else {
        api.unfit(kind.as_str(), "only Entra ID, Google and GitHub are asked through an API of their own");
    }
    own
}

fn directory(node: Node<'_>) -> Option<Directory> {
    let mut section = node.section();
    let service_account = section.take("service_account").secret("file:directory-reader.json");
    let admin_node = section.take("admin");
    let admin = admin_node.text("the e-mail address of an administrator", "admin@example.com");
    if !admin.is_empty() && !admin.contains('@') {
        admin_node.problem(
            format!("\"{}\" is not an e-mail address", printable(&admin, 60)),
            "name the administrator in whose name the directory is read: admin@example.com",
        );
    }
    section.finish();
    Some(Directory { service_account: service_account?, admin })
}

fn back_channel(node: &Node<'_>, kind: ProviderKind) -> BackChannel {
    if matches!(kind, ProviderKind::Github | ProviderKind::Google) {
        node.unfit(kind.as_str(), "it sends no logout tokens");
        return BackChannel::Off;
    }
    if !node.is_given() {
        return BackChannel::Everything;
    }
    node.choice(&[
        ("everything", BackChannel::Everything),
        ("session", BackChannel::Session),
        ("off", BackChannel::Off),
    ])
}

fn scim(node: Node<'_>, kind: ProviderKind) -> Option<Scim> {
    if !node.is_given() {
        return None;
    }
    if kind == ProviderKind::Github {
        node.unfit(kind.as_str(), "GitHub does not provision people elsewhere");
        return None;
    }
    let mut section = node.section();
    let token_node = section.take("token");
    let token = token_node.secret("env:COMPANY_SCIM_TOKEN");
    section.finish();
    if token.as_ref().is_some_and(|token| token.reveal().len() < SHORTEST_TOKEN) {
        token_node.problem(
            format!(
                "what it refers to is shorter than {SHORTEST_TOKEN} characters: who guesses it can make and end people"
            ),
            "make a long random one, such as: openssl rand -hex 32",
        );
    }
    token.map(|token| Scim { token })
}

/// spec: T-52: an account of the provider takes over a person only where the provider made that person.
fn link(node: &Node<'_>, scim: bool) -> Link {
    if !node.is_given() {
        return if scim { Link::ExternalId } else { Link::None };
    }
    let link = node.choice(&[
        ("none", Link::None),
        ("external_id", Link::ExternalId),
        ("verified_email", Link::VerifiedEmail),
    ]);
    if link != Link::None && !scim {
        node.problem(
            "joins people that SCIM made with their first sign-in, and SCIM is off for this provider",
            "set `scim`, or take `link` out: without it every account of the provider is a person of its own",
        );
    }
    link
}

fn id_jag(node: Node<'_>, kind: ProviderKind) -> Option<IdJag> {
    if !node.is_given() {
        return None;
    }
    if matches!(kind, ProviderKind::Github | ProviderKind::Google) {
        node.unfit(kind.as_str(), "it issues no identity assertions");
        return None;
    }
    let mut section = node.section();
    let clients_node = section.take("clients");
    let clients = clients_node.texts("a list of client ids", "[https://agent.example.com/client.json]");
    if clients.is_empty() {
        clients_node.problem(
            "must name the clients that may present an assertion; \"*\" is any",
            "example: clients: [https://agent.example.com/client.json]",
        );
    }
    section.finish();
    Some(IdJag { clients })
}
