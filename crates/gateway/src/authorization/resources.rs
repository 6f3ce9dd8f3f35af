//! Which of our endpoints a request may be about.

use std::sync::Arc;

use portcullis_base::ServerName;
use portcullis_oauth::resource::Resources;
use portcullis_store::Person;

use crate::{app::App, snapshot::Server};

/// The server whose endpoint has this canonical URL.
pub fn server_at(app: &App, resource: &str) -> Option<Arc<Server>> {
    let name = resource.strip_prefix(app.config.public_url.as_str())?.strip_prefix("/mcp/")?;
    app.snapshot.load().servers.get(&ServerName::parse(name).ok()?).cloned()
}

/// Calls `with` with what the law needs to know of our endpoints: those whose tokens we issue.
pub fn with_resources<T>(app: &App, with: impl FnOnce(&Resources<'_>) -> T) -> T {
    select(app, with, |_| true)
}

/// The same with the endpoints that `account` may use. To others, what it may not use does not exist (T-55).
pub fn with_resources_of<T>(app: &App, account: Option<&Person>, with: impl FnOnce(&Resources<'_>) -> T) -> T {
    select(app, with, |server| account.is_none_or(|account| admits(server, account)))
}

/// The same with the endpoints of `servers` only.
pub fn with_resources_among<T>(
    app: &App,
    servers: &[ServerName],
    account: &Person,
    with: impl FnOnce(&Resources<'_>) -> T,
) -> T {
    select(app, with, |server| servers.contains(&server.name) && admits(server, account))
}

fn select<T>(app: &App, with: impl FnOnce(&Resources<'_>) -> T, fits: impl Fn(&Server) -> bool) -> T {
    let default = app.config.default_resource.as_ref().map(|name| app.config.server_url(name));
    // spec: RS-21: an endpoint with an authorization server of its own takes no tokens of ours, so none are made for it.
    let known = |resource: &str| {
        server_at(app, resource).is_some_and(|server| app.externals.get(&server.name).is_none() && fits(&server))
    };
    let default = default.filter(|default| known(default));
    with(&Resources { known: &known, default: default.as_deref() })
}

/// Whether `person` may use `server` at all.
pub fn admits(server: &Server, person: &Person) -> bool {
    let groups: Vec<Arc<str>> = person.groups.iter().map(|group| group.as_str().into()).collect();
    server.access.admits(&groups)
}
