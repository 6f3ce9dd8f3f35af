//! `decision_point`: what the company's own decision point is asked, and where it is.

use std::time::Duration;

use portcullis_base::{Secret, ServerName};
use url::Url;

use super::{
    NameOf, Named, Tls,
    issuers::{Asked, url},
    more::tls,
    read::Node,
    servers::server_name,
};

const EXAMPLE: &str = "https://pdp.example.com";
const SECOND: Duration = Duration::from_secs(1);

/// A decision point of OpenID AuthZEN, asked in addition to the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionPoint {
    /// Its evaluation endpoint, or where it is if it has none of its own.
    pub url: Url,
    /// What proves to it who asks.
    pub token: Option<Secret>,
    /// Its authority, and the certificate that is shown to it.
    pub tls: Tls,
    /// How long a question may take.
    pub timeout: Duration,
    /// How long an answer is remembered at most.
    pub cache: Duration,
    /// Whether it is told the arguments of calls.
    pub arguments: SentArguments,
    /// The servers it is asked about; `None`: all.
    pub servers: Option<Vec<ServerName>>,
}

/// Whether a decision point is told the arguments of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SentArguments {
    /// No.
    #[default]
    Nothing,
    /// As they are.
    Whole,
}

/// Reads the section; `None` when there is none, or after reporting.
pub(super) fn decision_point<'a>(
    node: Node<'a>,
    asked: &mut Asked<'a>,
    named: &mut Vec<Named>,
) -> Option<DecisionPoint> {
    if !node.is_given() {
        return None;
    }
    let mut section = node.section();
    let url_node = section.take("url");
    if !url_node.is_given() {
        url_node.problem("is missing: expected where the decision point is", format!("example: url: {EXAMPLE}"));
    }
    let url = url(url_node, EXAMPLE, asked).and_then(|text| Url::parse(&text).ok());
    let token = Some(section.take("token")).filter(Node::is_given).and_then(|node| node.secret("env:PDP_TOKEN"));
    let tls = tls(section.take("tls"), url.as_ref());
    let given = |node: Node<'a>, range, usual| if node.is_given() { node.duration(range, "1s") } else { usual };
    let timeout = given(section.take("timeout"), SECOND / 20..=30 * SECOND, SECOND);
    // What it took away must not be there for long.
    let cache = given(section.take("cache"), Duration::ZERO..=300 * SECOND, 10 * SECOND);
    let arguments = section.take("arguments");
    let sent = arguments.is_given() && arguments.switch();
    let arguments = if sent { SentArguments::Whole } else { SentArguments::Nothing };
    let servers = section.take("for");
    let servers = servers.is_given().then(|| {
        let list = servers.list("a list of servers", "[stripe]");
        if list.is_empty() {
            servers.problem("names no server, so it would be asked about nothing", "take it out to ask about all");
        }
        let read = list.iter().filter_map(|node| {
            let name = server_name(node)?;
            let (place, key) = node.named();
            named.push(Named { place, key, name: name.clone(), of: NameOf::Server });
            Some(name)
        });
        read.collect()
    });
    section.finish();
    Some(DecisionPoint { url: url?, token, tls, timeout, cache, arguments, servers })
}
