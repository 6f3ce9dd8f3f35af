//! What is allowed but deserves a thought: told at every start, so that a choice made in a hurry is not forgotten.

use portcullis_audit::Keep;
use portcullis_base::{Class, Classes, printable};
use portcullis_policy::{Access, AccessEntry};
use url::Url;

use super::{
    BackChannel, Config, Credential, Fallback, HeaderCredential, Holders, IdJagCredential, KeySource, LegacyPaths,
    LegacySse, OAuth, Offline, Provider, ProviderKind, ResourceMatch, ResourceParameter, S256, Server, SignUp, Tenant,
    public_url::is_loopback,
};
use crate::tools::Verdict;

/// What to think of before everything is recorded. spec: T-99
const IN_FULL: &str = "full writes everything down, secrets too, and what is in the record cannot be taken out of it again; prefer redacted";

/// Every caution, as a sentence with the key it is about.
pub(super) fn of(config: &Config) -> Vec<String> {
    let identity = &config.identity;
    let mut cautions = Vec::new();
    if identity.local_accounts && !identity.providers.is_empty() {
        cautions.push(
            "identity.local_accounts: people with a password here sign in past the provider, and leaving the company does not end them"
                .to_owned(),
        );
    }
    if !identity.local_accounts && identity.providers.is_empty() {
        cautions.push("identity: local accounts are off and no provider is set, so nobody can sign in".to_owned());
    }
    let administers = |role: &str| config.roles.get(role).is_some_and(|groups| !groups.is_empty());
    if !identity.local_accounts && !identity.providers.is_empty() && !administers("owner") && !administers("admin") {
        cautions.push(
            "roles: no group is owner or admin, so nobody who signs in administers, unless `portcullis user admin NAME on` said so"
                .to_owned(),
        );
    }
    if config.access_keys.enabled {
        cautions.push(
            "access_keys.enabled: a key is a secret that is good for weeks without its person; prefer clients that sign in"
                .to_owned(),
        );
    }
    if config.legacy_sse == LegacySse::Served {
        cautions.push(
            "legacy_sse: the transport of 2024-11-05 is deprecated and its streams cannot be taken up again; switch it off when its last client is gone"
                .to_owned(),
        );
    }
    for (key, keep) in [("arguments", config.audit.arguments), ("results", config.audit.results)] {
        if keep == Keep::Full {
            cautions.push(format!("audit.{key}: {IN_FULL}"));
        }
    }
    for (index, provider) in identity.providers.iter().enumerate() {
        let place = format!("identity.providers[{index}] ({})", provider.id);
        cautions.extend(of_provider(provider).into_iter().map(|caution| format!("{place}: {caution}")));
    }
    for server in &config.servers {
        cautions.extend(of_server(server).into_iter().map(|caution| format!("servers ({}): {caution}", server.name)));
    }
    cautions
}

/// What an entry of the database deserves to be told of it too.
pub(super) fn of_server(server: &Server) -> Vec<String> {
    let mut cautions: Vec<&str> = Vec::new();
    let verdicts = server.risk.iter().map(|(tool, verdict)| of_verdict(tool, verdict));
    let in_full = [("arguments", server.audit.arguments), ("results", server.audit.results)];
    let in_full = in_full.into_iter().filter(|(_, keep)| *keep == Some(Keep::Full));
    let in_full = in_full.map(|(key, _)| format!("audit.{key}: {IN_FULL}"));
    let plain = |url: &Url| url.scheme() == "http" && !url.host().is_some_and(|host| is_loopback(&host));
    if server.private && server.place.url().is_some_and(plain) {
        cautions.push(if server.credential == Credential::None {
            "private is true and the URL is http: whoever is on that network can read and change the calls"
        } else {
            "private is true and the URL is http: whoever is on that network can read the calls and take the credential"
        });
    }
    if let Some(oauth) = server.credential.oauth() {
        cautions.extend(of_oauth(oauth));
    }
    match &server.credential {
        Credential::OAuth(OAuth { holders: Holders::Shared, .. })
        | Credential::Auto(OAuth { holders: Holders::Shared, .. }) => {
            cautions.push("shared is true: the server sees one account, and cannot tell who called");
        }
        Credential::Header(HeaderCredential { key: KeySource::Settings(_) | KeySource::Shared, .. }) => {
            cautions.push("one key for everybody: the server sees one account, and cannot tell who called");
        }
        Credential::IdJag(IdJagCredential { fallback: Fallback::OAuth, .. }) => {
            cautions.push("fallback is oauth: whom the provider refuses may connect by hand all the same");
        }
        _ => {}
    }
    cautions.into_iter().map(str::to_owned).chain(unasked(&server.access)).chain(verdicts).chain(in_full).collect()
}

/// What an access list lets happen without a human being asked, beyond reading and writing, as sentences.
pub fn unasked(access: &Access) -> Vec<String> {
    access.entries.iter().filter_map(unasked_by).collect()
}

fn unasked_by(entry: &AccessEntry) -> Option<String> {
    let harmless = Classes::from(Class::Read).with(Class::Write);
    let grave: Vec<_> = entry.allow.iter().filter(|class| !harmless.contains(*class)).map(Class::as_str).collect();
    let who = match &*entry.group {
        "*" => "everybody".to_owned(),
        group => format!("group:{}", printable(group, 60)),
    };
    if grave.is_empty() {
        None
    } else if Class::ALL.iter().all(|class| entry.allow.contains(*class)) {
        Some(format!(
            "access: {who} may call every tool, and nobody is asked before one destroys, executes, sends or spends"
        ))
    } else {
        Some(format!("access: {who} may call tools that are {}, and nobody is asked before", grave.join(", ")))
    }
}

fn of_verdict(tool: &str, verdict: &Verdict) -> String {
    let tool = printable(tool, 60);
    let classes: Vec<_> = verdict.classes.iter().map(Class::as_str).collect();
    let said = format!("risk: {tool} counts as {} ({})", classes.join(", "), printable(&verdict.reason, 200));
    if verdict.is_blind() {
        format!("{said}, whatever the server makes of it; with `definition` it counts for one definition only")
    } else {
        said
    }
}

fn of_oauth(oauth: &OAuth) -> Vec<&'static str> {
    let mut cautions = Vec::new();
    match oauth.resource {
        ResourceParameter::Exact => {}
        // spec: UP-31: the token then has a weaker binding to the server.
        ResourceParameter::None => cautions.push(
            "resource is none: tokens do not say for which server they are, so another one that gets them could use them",
        ),
        ResourceParameter::Other(_) => {
            cautions.push("resource is not the server's own URL: its tokens may be good elsewhere too");
        }
    }
    if oauth.resource_match == ResourceMatch::Prefix {
        cautions.push("resource_prefix is true: metadata of a whole host is taken for that of this server");
    }
    if oauth.s256 == S256::Assumed {
        cautions.push(
            "assume_s256 is true: if the authorization server ignores PKCE after all, a stolen code can be redeemed",
        );
    }
    if oauth.legacy_paths == LegacyPaths::Tried {
        cautions.push("legacy_paths is true: where metadata is missing, /authorize and /token are taken on trust");
    }
    cautions
}

fn of_provider(provider: &Provider) -> Vec<String> {
    let mut cautions = Vec::new();
    if provider.sign_up == SignUp::Open
        && let Some(who) = strangers(provider)
    {
        cautions.push(who.to_owned());
    }
    if provider.offline == Offline::No {
        cautions.push(
            "offline is false, so groups are as old as the sign-in, and a disabled account is noticed then".to_owned(),
        );
    }
    let hears = !matches!(provider.kind, ProviderKind::Github | ProviderKind::Google);
    if hears && provider.back_channel_logout == BackChannel::Off {
        cautions.push("back_channel_logout is off, so a sign-out at the provider ends nothing here".to_owned());
    }
    if provider.id_jag.as_ref().is_some_and(|trust| trust.clients.iter().any(|client| client == "*")) {
        cautions.push(
            "id_jag.clients is \"*\": any client with an assertion of the provider gets a token without a consent page"
                .to_owned(),
        );
    }
    cautions
}

/// Whom an open sign-up lets in besides the company.
fn strangers(provider: &Provider) -> Option<&'static str> {
    match provider.kind {
        ProviderKind::Entra if provider.tenant == Some(Tenant::Common) => Some(
            "sign_up is true with tenant common: everybody with an account in one of `tenants`, guests included, gets an account here",
        ),
        ProviderKind::Google if provider.hosted_domains.is_empty() && provider.domains.is_empty() => Some(
            "sign_up is true and neither hosted_domains nor domains is set: everybody with a Google account can sign in",
        ),
        ProviderKind::Github if provider.organizations.is_empty() => {
            Some("sign_up is true and organizations is not set: everybody with a GitHub account can sign in")
        }
        _ => None,
    }
}
