//! `servers[].authorization`: an endpoint whose tokens the company's own authorization server issues.

use portcullis_base::printable;
use portcullis_oauth::jwks::Algorithm;
use portcullis_policy::nearest;

use super::{
    External, ExternalClaims, ExternalKeys, Server,
    issuers::{Asked, endpoint, url},
    providers::{claim, subject},
    read::{Node, Section},
};

const EXAMPLE: &str = "https://login.example.com";

/// Reads the section; `None` when there is none, or after reporting.
pub(super) fn external<'a>(node: Node<'a>, others: &[Server], asked: &mut Asked<'a>) -> Option<External> {
    if !node.is_given() {
        return None;
    }
    let mut section = node.section();
    let issuer_node = section.take("issuer");
    let issuer = issuer_node.text("the issuer of the tokens", EXAMPLE);
    match endpoint(&issuer) {
        Ok(url) => asked.add(issuer_node, url),
        Err(_) if issuer.is_empty() => {}
        Err((what, help)) => {
            issuer_node.problem(what, if help.is_empty() { format!("example: issuer: {EXAMPLE}") } else { help });
        }
    }
    let audience = audience(&section.take("audience"), &issuer, others);
    let algorithms_node = section.take("algorithms");
    let keys = keys(&mut section, &algorithms_node, asked);
    let algorithms = algorithms(&algorithms_node);
    let mut claims_section = section.take("claims").section();
    let claims = ExternalClaims {
        person: subject(&claims_section.take("person")),
        name: claim(&claims_section.take("name"), "preferred_username"),
        groups: claim(&claims_section.take("groups"), "groups"),
        client: claim(&claims_section.take("client"), "client_id"),
    };
    claims_section.finish();
    section.finish();
    Some(External { issuer, audience, keys: keys?, algorithms, claims })
}

/// spec: RS-20: a token is for one endpoint, so no two endpoints may share what it is for.
fn audience(node: &Node<'_>, issuer: &str, others: &[Server]) -> Option<String> {
    let audience =
        node.is_given().then(|| node.text("an audience", "api://everything")).filter(|text| !text.is_empty())?;
    let same = |other: &&Server| {
        other.authorization.as_ref().is_some_and(|it| it.issuer == issuer && it.audience.as_ref() == Some(&audience))
    };
    if let Some(other) = others.iter().find(same) {
        node.problem(
            format!("is the audience of \"{}\" too, so a token for one would open the other", other.name),
            "give each server an audience of its own; without `audience` it is the URL of the endpoint",
        );
    }
    Some(audience)
}

fn keys<'a>(section: &mut Section<'a>, algorithms: &Node<'a>, asked: &mut Asked<'a>) -> Option<ExternalKeys> {
    let (jwks, introspection) = (section.take("jwks_uri"), section.take("introspection"));
    if !introspection.is_given() {
        return Some(ExternalKeys::Jwks(url(jwks, "https://login.example.com/keys", asked)));
    }
    if jwks.is_given() {
        jwks.problem("stands beside `introspection`: tokens are checked in one way", "keep one of them");
    }
    if algorithms.is_given() {
        algorithms.problem("stands beside `introspection`, where no signature is checked here", "take it out");
    }
    let mut section = introspection.section();
    let url_node = section.take("url");
    if !url_node.is_given() {
        url_node.problem(
            "is missing: expected the introspection endpoint",
            "example: url: https://login.example.com/introspect",
        );
    }
    let url = url(url_node, "https://login.example.com/introspect", asked);
    let client_id = section.take("client_id").text("our client id there", "portcullis");
    let client_secret = section.take("client_secret").secret("env:INTROSPECTION_SECRET");
    section.finish();
    Some(ExternalKeys::Introspection { url: url?, client_id, client_secret: client_secret? })
}

/// spec: RS-20, T-37: asymmetric algorithms by name, and none that the token may choose by itself.
fn algorithms(node: &Node<'_>) -> Vec<Algorithm> {
    const KNOWN: [&str; 7] = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"];
    let usual = [Algorithm::Rs256, Algorithm::Es256];
    if !node.is_given() {
        return usual.to_vec();
    }
    let names = node.texts("a list of algorithms", "[RS256, ES256]");
    if names.is_empty() {
        node.problem("must name at least one algorithm", "example: algorithms: [RS256, ES256]");
    }
    let mut algorithms = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        if let Some(algorithm) = Algorithm::parse(name) {
            algorithms.push(algorithm);
            continue;
        }
        let help = if name.starts_with("HS") || name == "none" {
            "who can check such a token could have made it, so only asymmetric algorithms are accepted".to_owned()
        } else {
            let known = KNOWN.into_iter().filter(|name| Algorithm::parse(name).is_some());
            nearest(name, known).map(|near| format!("did you mean \"{near}\"?")).unwrap_or_default()
        };
        node.problem(
            format!("expected an asymmetric algorithm such as RS256 or ES256, found \"{}\"", printable(name, 60)),
            help,
        );
    }
    algorithms
}
