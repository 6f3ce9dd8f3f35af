//! Issuers and other URLs that the gateway itself asks: of providers, of workloads, of foreign authorization servers.

use std::{collections::BTreeSet, net::IpAddr};

use portcullis_base::printable;
use url::{Host, Url};

use super::{
    Provider, ProviderKind, Tenant,
    public_url::is_loopback,
    read::{Node, Section},
};

const ENTRA: &str = "https://login.microsoftonline.com";

/// URLs that the gateway itself will ask, with the key that named each.
#[derive(Default)]
pub(super) struct Asked<'a>(Vec<(Node<'a>, Url)>);

/// Issuer, tenant and the tenants that are let in.
pub(super) fn issuer<'a>(
    section: &mut Section<'a>,
    kind: ProviderKind,
    others: &[Provider],
    asked: &mut Asked<'a>,
) -> (Option<String>, Option<Tenant>, Vec<String>) {
    let (issuer_node, tenant_node, tenants_node) =
        (section.take("issuer"), section.take("tenant"), section.take("tenants"));
    let (issuer, tenant) = match kind {
        ProviderKind::Entra => entra_issuer(&issuer_node, &tenant_node),
        ProviderKind::Google if !issuer_node.is_given() => (Some("https://accounts.google.com".into()), None),
        ProviderKind::Github if !issuer_node.is_given() => (Some("https://github.com".into()), None),
        _ => (issuer_url(&issuer_node, kind), None),
    };
    let several = matches!(tenant, Some(Tenant::Organizations | Tenant::Common));
    let tenants = if kind == ProviderKind::Entra {
        tenants(&tenants_node, several)
    } else {
        for node in [&tenant_node, &tenants_node] {
            node.unfit(kind.as_str(), "only Entra ID (kind: entra) has tenants");
        }
        Vec::new()
    };
    let at = if issuer_node.is_given() { issuer_node } else { tenant_node };
    if let Some(other) = others.iter().find(|other| Some(&other.issuer) == issuer.as_ref()) {
        // spec: AS-143: a person is issuer and subject, so one issuer is one provider.
        at.problem(
            format!("is the issuer of \"{}\" too", other.id),
            "one issuer is one provider: list all of its domains there",
        );
    }
    if let Some(url) = issuer.as_deref().and_then(|text| Url::parse(text).ok()) {
        asked.add(at, url);
    }
    (issuer, tenant, tenants)
}

fn issuer_url(node: &Node<'_>, kind: ProviderKind) -> Option<String> {
    let example = match kind {
        ProviderKind::Okta => "https://example.okta.com",
        ProviderKind::Keycloak => "https://login.example.com/realms/company",
        ProviderKind::Auth0 => "https://example.eu.auth0.com/",
        ProviderKind::Github => "https://github.example.com",
        ProviderKind::Entra => "https://login.microsoftonline.com/8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b/v2.0",
        _ => "https://login.example.com",
    };
    let text = node.text("the issuer of the provider", example);
    if text.is_empty() {
        return None;
    }
    let url = match endpoint(&text) {
        Ok(url) => url,
        Err((what, help)) => {
            node.problem(what, if help.is_empty() { format!("example: issuer: {example}") } else { help });
            return None;
        }
    };
    let host = url.host_str().unwrap_or_default();
    let (what, help) = match kind {
        ProviderKind::Okta if host.ends_with("-admin.okta.com") => {
            ("is the address of the admin console", "take the -admin out of the host name")
        }
        ProviderKind::Auth0 if host.ends_with(".auth0.com") && !text.ends_with('/') => (
            "has no slash at its end, and Auth0's issuer has one: they are compared byte for byte",
            "write it with the slash",
        ),
        ProviderKind::Entra if host == "sts.windows.net" => (
            "is the issuer of version 1.0 tokens, which have other claims",
            "write tenant: and the directory's identifier instead",
        ),
        _ if text.contains("/.well-known/") => {
            ("is the address of a discovery document", "write what stands before /.well-known/")
        }
        _ => return Some(text),
    };
    node.problem(what, format!("{help}\nexample: issuer: {example}"));
    None
}

/// A URL that the gateway may ask; the error says what is wrong with it and perhaps what to do.
///
/// spec: SEC-10: an https URL without query and fragment; http never leaves the machine.
pub(super) fn endpoint(text: &str) -> Result<Url, (String, String)> {
    let wrong = |what: String| (what, String::new());
    let url = Url::parse(text).map_err(|error| wrong(format!("is not a URL ({error})")))?;
    let Some(host) = url.host().filter(|_| matches!(url.scheme(), "http" | "https")) else {
        return Err(wrong("is not an https:// URL".into()));
    };
    if url.scheme() == "http" && !is_loopback(&host) {
        return Err((
            "is plain http to another machine: whoever is in between could vouch for anybody".into(),
            "use its https:// URL; http is for a provider on this machine".into(),
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("carries a name or password".into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must not have a query (?…) or a fragment (#…)".into()));
    }
    Ok(url)
}

fn entra_issuer(issuer_node: &Node<'_>, tenant_node: &Node<'_>) -> (Option<String>, Option<Tenant>) {
    if !issuer_node.is_given() {
        let tenant = entra_tenant(tenant_node);
        return (tenant.as_ref().map(Tenant::issuer), tenant);
    }
    let issuer = issuer_url(issuer_node, ProviderKind::Entra);
    if !tenant_node.is_given() {
        let path = issuer.as_deref().and_then(|text| Url::parse(text).ok()).map(|url| url.path().to_owned());
        let tenant = path.iter().flat_map(|path| path.split('/')).find_map(tenant_of);
        return (issuer, tenant);
    }
    // A national cloud, or a proxy in front of it: the document is at the issuer, the tenants are many.
    let tenant = entra_tenant(tenant_node);
    if matches!(tenant, Some(Tenant::One(_))) {
        issuer_node.problem("stands beside `tenant`, and each of the two gives the issuer", "keep one of them");
    }
    (issuer, tenant)
}

fn entra_tenant(node: &Node<'_>) -> Option<Tenant> {
    let example = "8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b";
    let text = node.text("a directory (tenant) identifier, organizations or common", example);
    let tenant = tenant_of(&text);
    if tenant.is_none() && !text.is_empty() {
        node.problem(
            format!("expected a directory (tenant) identifier, organizations or common, found \"{}\"", printable(&text, 60)),
            format!("the identifier stands on the overview page of the directory; its issuer has it, not the domain name\nexample: tenant: {example}"),
        );
    }
    tenant
}

fn tenant_of(text: &str) -> Option<Tenant> {
    match text {
        "organizations" => Some(Tenant::Organizations),
        "common" => Some(Tenant::Common),
        text => is_guid(text).then(|| Tenant::One(text.to_ascii_lowercase())),
    }
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl Tenant {
    fn issuer(&self) -> String {
        let name = match self {
            Self::One(id) => id,
            Self::Organizations => "organizations",
            Self::Common => "common",
        };
        format!("{ENTRA}/{name}/v2.0")
    }
}

/// spec: T-52: whoever has an Entra directory could sign in if nobody said which ones may.
fn tenants(node: &Node<'_>, several: bool) -> Vec<String> {
    let example = "[8f2b6a3e-0c1d-4e5f-9a7b-1c2d3e4f5a6b]";
    if !several {
        if node.is_given() {
            node.problem(
                "is for `tenant: organizations` or `common`; here one directory is named already",
                "take it out",
            );
        }
        return Vec::new();
    }
    let tenants = node.texts("a list of directory (tenant) identifiers", example);
    for text in tenants.iter().filter(|text| !text.is_empty() && !is_guid(text)) {
        node.problem(
            format!("\"{}\" is not a directory (tenant) identifier", printable(text, 60)),
            format!("example: tenants: {example}"),
        );
    }
    if tenants.is_empty() {
        node.problem(
            "must name who may come: without it everybody with a directory of their own could sign in",
            format!("example: tenants: {example}"),
        );
    }
    tenants.into_iter().map(|text| text.to_ascii_lowercase()).collect()
}

/// A URL that will be asked, if one is given.
pub(super) fn url<'a>(node: Node<'a>, example: &str, asked: &mut Asked<'a>) -> Option<String> {
    let text = node.is_given().then(|| node.text("a URL", example)).filter(|text| !text.is_empty())?;
    match endpoint(&text) {
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

impl<'a> Asked<'a> {
    /// Remembers a URL.
    pub(super) fn add(&mut self, node: Node<'a>, url: Url) {
        self.0.push((node, url));
    }

    /// Reports addresses that the guard of outgoing requests would refuse.
    ///
    /// spec: SEC-11: a private address is asked only where somebody named it.
    pub(super) fn check(self, private_hosts: &[String]) {
        let mut said = BTreeSet::new();
        for (node, url) in self.0 {
            let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { continue };
            let at = format!("{}:{port}", host.to_string().to_ascii_lowercase());
            let private = match host {
                Host::Ipv4(ip) => is_private(IpAddr::V4(ip)),
                Host::Ipv6(ip) => is_private(IpAddr::V6(ip)),
                Host::Domain(_) => is_loopback(&host),
            };
            if private && !private_hosts.contains(&at) && said.insert(at.clone()) {
                node.problem(
                    format!("is at {at}, a private address, which the gateway asks only where it is named"),
                    format!("outbound: {{ private_hosts: [\"{at}\"] }}"),
                );
            }
        }
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
