//! `identity.workloads`: issuers whose tokens let machines in, and which token is which service account.

use std::collections::BTreeMap;

use portcullis_base::{ServerName, printable};
use url::Url;

use super::{
    Workload, WorkloadRule,
    issuers::{Asked, endpoint, url},
    providers::identifier,
    read::Node,
};

/// Issuers that sign for everybody, with the claims of which one must say whose token it is.
const EVERYBODYS: [(&str, &[&str]); 2] = [
    (
        "https://token.actions.githubusercontent.com",
        &["sub", "repository", "repository_id", "repository_owner", "repository_owner_id", "job_workflow_ref"],
    ),
    ("https://gitlab.com", &["sub", "project_path", "project_id", "namespace_path", "namespace_id"]),
];

/// Reads the list.
pub(super) fn workloads<'a>(node: &Node<'a>, asked: &mut Asked<'a>) -> Vec<Workload> {
    let mut workloads: Vec<Workload> = Vec::new();
    for item in node.list("a list of issuers", "[{ id: ci, issuer: https://token.actions.githubusercontent.com, … }]")
    {
        let mut section = item.section();
        let id_node = section.take("id");
        let id = identifier(&id_node, "a name for the audit trail", "ci");
        if workloads.iter().any(|other| Some(&other.id) == id.as_ref()) {
            id_node.problem("names a second workload", "give each an id of its own");
        }
        let issuer_node = section.take("issuer");
        let issuer = issuer(&issuer_node);
        if workloads.iter().any(|other| Some(other.issuer.as_str()) == issuer.as_ref().map(|(text, _)| text.as_str())) {
            issuer_node.problem("names an issuer for the second time", "write its rules in one list");
        }
        let issuer = issuer.map(|(text, parsed)| {
            asked.add(issuer_node, parsed);
            text
        });
        let jwks_uri = url(section.take("jwks_uri"), "https://kubernetes.example.com/openid/v1/jwks", asked);
        let audience = section.take("audience");
        let audience = audience.is_given().then(|| audience.text("an audience", "https://mcp.example.com"));
        let allow_node = section.take("allow");
        let allow = rules(&allow_node, issuer.as_deref().unwrap_or_default());
        section.finish();
        let (Some(id), Some(issuer)) = (id, issuer) else { continue };
        workloads.push(Workload { id, issuer, jwks_uri, audience, allow });
    }
    workloads
}

fn issuer(node: &Node<'_>) -> Option<(String, Url)> {
    let example = "https://token.actions.githubusercontent.com";
    let text = node.text("the issuer of its tokens", example);
    if text.is_empty() {
        return None;
    }
    match endpoint(&text) {
        Ok(url) => Some((text, url)),
        Err((what, help)) => {
            node.problem(what, if help.is_empty() { format!("example: issuer: {example}") } else { help });
            None
        }
    }
}

fn rules(node: &Node<'_>, issuer: &str) -> Vec<WorkloadRule> {
    let example = "[{ service_account: deploy, claims: { repository: acme/app }, servers: [everything] }]";
    let items = node.list("a list of rules", example);
    if items.is_empty() {
        node.problem("must say which tokens become which service account", format!("example: allow: {example}"));
    }
    let mut rules = Vec::new();
    for item in items {
        let mut section = item.section();
        let service_account = section.take("service_account").text("the name of a service account", "deploy");
        let claims = claims(&section.take("claims"), issuer);
        let servers_node = section.take("servers");
        let servers = servers(&servers_node);
        section.finish();
        rules.push(WorkloadRule { service_account, claims, servers });
    }
    rules
}

/// spec: AS-183: whoever the issuer signs for comes in unless the rule says which of them.
fn claims(node: &Node<'_>, issuer: &str) -> BTreeMap<String, String> {
    let example = "claims: { repository: acme/app, ref: refs/heads/main }";
    let mut claims = BTreeMap::new();
    for (name, value) in node.entries("{ repository: acme/app }") {
        let text = value.text("a text", "acme/app");
        let inside = text.strip_suffix('*').unwrap_or(&text).contains('*');
        if inside {
            value.problem(
                format!("\"{}\" has a * that is not at its end", printable(&text, 60)),
                "a value is exact, or a prefix with * at its end: refs/heads/*",
            );
        }
        if name == "repository" && text.ends_with('*') && !text.contains('/') {
            value.problem(
                format!("\"{}\" is met by owners with a longer name too", printable(&text, 60)),
                "write the owner with its slash: acme/*",
            );
        }
        claims.insert(name, text);
    }
    if !claims.values().any(|value| !value.is_empty() && value != "*") {
        node.problem("must say something that not every token of the issuer says", format!("example: {example}"));
        return claims;
    }
    if let Some((_, owners)) = EVERYBODYS.iter().find(|(known, _)| *known == issuer.trim_end_matches('/'))
        && !owners.iter().any(|owner| claims.get(*owner).is_some_and(|value| value != "*"))
    {
        node.problem(
            "does not say whose token it is, and this issuer signs for everybody",
            format!("name one of {}\nexample: {example}", owners.join(", ")),
        );
    }
    claims
}

fn servers(node: &Node<'_>) -> Vec<ServerName> {
    let mut servers = Vec::new();
    let names = node.texts("a list of servers", "[everything]");
    for text in &names {
        match ServerName::parse(text) {
            Ok(name) => servers.push(name),
            Err(_) if text.is_empty() => {}
            Err(error) => {
                let near =
                    ServerName::nearest(text).map(|name| format!("did you mean \"{name}\"?")).unwrap_or_default();
                node.problem(error.to_string(), near);
            }
        }
    }
    if names.is_empty() {
        node.problem("must name the servers that it may use", "example: servers: [everything]");
    }
    servers
}
