//! Reads `servers`, and who may use one.

use std::{path::Path, time::Duration};

use portcullis_base::ServerName;
use portcullis_policy::{Access, AccessEntry};
use url::Url;

use super::{
    Place, Provider, Server,
    external::external,
    issuers::Asked,
    more::{Around, more},
    openapi::{fits, openapi},
    processes,
    read::Node,
    verdicts::classes,
};
use crate::toolbox::ALL;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// Reads all servers of the file.
pub(super) fn servers<'a>(node: &Node<'a>, data: &Path, providers: &[Provider], asked: &mut Asked<'a>) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for item in node.list("a list of servers", "[{ name: github, url: https://mcp.example.com/mcp }]") {
        let mut section = item.section();
        let name_node = section.take("name");
        let name = server_name(&name_node);
        let private = Some(section.take("private")).filter(Node::is_given).is_some_and(|node| node.switch());
        let (url_node, command_node) = (section.take("url"), section.take("command"));
        let api_node = section.take("openapi");
        let place = match (url_node.is_given(), command_node.is_given(), api_node.is_given()) {
            (true, true, _) => {
                command_node.problem("stands beside `url`: a server is at one place", "keep one of the two");
                None
            }
            (_, true, true) => {
                command_node.problem("stands beside `openapi`: a server is at one place", "keep one of the two");
                None
            }
            (_, true, _) => processes::command(&command_node).map(Place::Command),
            (true, _, true) => {
                api_node.problem(
                    "stands beside `url`",
                    "keep one of them; where an API is, is said inside: openapi: { file: …, url: … }",
                );
                None
            }
            (_, _, true) => openapi(api_node.clone(), private).map(Place::OpenApi),
            _ => server_url(&url_node, private).map(Place::Url),
        };
        let access = access(&section.take("access"));
        let timeout = section.take("timeout");
        let timeout = if timeout.is_given() { timeout.duration(SECOND..=DAY, "5m") } else { Server::TIMEOUT };
        let description =
            Some(section.take("description")).filter(Node::is_given).map(|node| node.text("a text", "Tickets"));
        let authorization = external(section.take("authorization"), &servers, asked);
        let url = place.as_ref().and_then(Place::url);
        let command = place.as_ref().and_then(Place::command);
        let around = Around { url, command, data: Some(data), private, providers: Some(providers) };
        let more = more(&mut section, &around, asked);
        section.finish();
        let (Some(name), Some(place)) = (name, place) else { continue };
        if name.as_str() == ALL {
            name_node.problem(
                "\"all\" is the name of the endpoint with everything that its caller may use",
                "give the server another name",
            );
        }
        if place.openapi().is_some_and(|api| !fits(api, &more.credential)) {
            api_node.problem(
                "key_in_query needs a credential that is a key and nothing else",
                "write beside it: credential: { kind: header, prefix: \"\" }",
            );
        }
        if servers.iter().any(|other| other.name == name) {
            name_node.problem(format!("\"{name}\" names a second server"), "give each server a name of its own");
        }
        servers.push(Server {
            name,
            tools: more.tools_of(&place),
            place,
            access,
            timeout,
            private,
            description,
            authorization,
            credential: more.credential,
            headers: more.headers,
            request_headers: more.request_headers,
            tls: more.tls,
            concurrent: more.concurrent,
            process: more.process,
            speaks: more.speaks,
            allow: more.allow,
            risk: more.risk,
            audit: more.audit,
        });
    }
    servers
}

fn server_url(node: &Node<'_>, private: bool) -> Option<Url> {
    let text = node.text("the URL of an MCP endpoint", "https://mcp.example.com/mcp");
    if text.is_empty() {
        return None;
    }
    Server::check_url(&text, private).map_err(|(wrong, help)| node.problem(wrong, help)).ok()
}

/// Who may use a server or a toolbox.
pub(super) fn access(node: &Node<'_>) -> Access {
    if !node.is_given() {
        return Access::default();
    }
    let mut entries = Vec::new();
    for item in node.list("a list of groups", "[group:support]") {
        if let Some(text) = item.as_text() {
            match text.strip_prefix("group:").unwrap_or(if text == "*" { text } else { "" }) {
                "" => item.problem(
                    format!("expected \"*\" or group:NAME, found \"{}\"", portcullis_base::printable(text, 60)),
                    format!("did you mean \"group:{}\"?", portcullis_base::printable(text, 60)),
                ),
                group => entries.push(AccessEntry::safe(group)),
            }
            continue;
        }
        let mut section = item.section();
        let group = section.take("group").text("the name of a group", "support");
        let (allow, ask) = (classes(&section.take("allow")), classes(&section.take("ask")));
        section.finish();
        entries.push(AccessEntry::of(group, allow, ask));
    }
    Access::of(entries)
}

/// The name of one.
pub(super) fn server_name(node: &Node<'_>) -> Option<ServerName> {
    let text = node.text("the name of a server", "github");
    match ServerName::parse(&text) {
        Ok(name) => Some(name),
        Err(_) if text.is_empty() => None,
        Err(error) => {
            let near = ServerName::nearest(&text).map(|name| format!("did you mean \"{name}\"?")).unwrap_or_default();
            node.problem(error.to_string(), near);
            None
        }
    }
}
