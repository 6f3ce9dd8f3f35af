//! Which of our endpoints a request may be about.

use std::sync::Arc;

use portcullis_base::ServerName;
use portcullis_oauth::resource::Resources;
use portcullis_policy::Guest;
use portcullis_store::Person;

use crate::{
    app::App,
    snapshot::{Endpoint, Server},
};

/// The endpoint that has this canonical URL.
// spec: AG-1: "Each endpoint is its own resource with its own PRM and audience"
pub fn endpoint_at(app: &App, resource: &str) -> Option<Endpoint> {
    let name = resource.strip_prefix(app.config.public_url.as_str())?.strip_prefix("/mcp/")?;
    app.snapshot.load().endpoint(&ServerName::parse(name).ok()?)
}

/// Calls `with` with what the law needs to know of our endpoints: those whose tokens we issue.
pub fn with_resources<T>(app: &App, with: impl FnOnce(&Resources<'_>) -> T) -> T {
    select(app, with, |_| true)
}

/// The same with the endpoints that `account` may use. To others, what it may not use does not exist (T-55).
pub fn with_resources_of<T>(app: &App, account: Option<&Person>, with: impl FnOnce(&Resources<'_>) -> T) -> T {
    select(app, with, |endpoint| account.is_none_or(|account| may_use(app, endpoint, account)))
}

/// The same with the endpoints of `servers` only.
pub fn with_resources_among<T>(
    app: &App,
    servers: &[ServerName],
    account: &Person,
    with: impl FnOnce(&Resources<'_>) -> T,
) -> T {
    select(app, with, |endpoint| servers.contains(endpoint.name()) && may_use(app, endpoint, account))
}

fn select<T>(app: &App, with: impl FnOnce(&Resources<'_>) -> T, fits: impl Fn(&Endpoint) -> bool) -> T {
    let default = app.config.default_resource.as_ref().map(|name| app.config.server_url(name));
    // spec: RS-21: an endpoint with an authorization server of its own takes no tokens of ours, so none are made for it.
    let known = |resource: &str| {
        let endpoint = endpoint_at(app, resource);
        endpoint.is_some_and(|endpoint| app.externals.get(endpoint.name()).is_none() && fits(&endpoint))
    };
    let default = default.filter(|default| known(default));
    with(&Resources { known: &known, default: default.as_deref() })
}

/// Whether `person` may use `server` at all.
pub fn admits(app: &App, server: &Server, person: &Person) -> bool {
    server.access.admits(Guest { person: &person.id, groups: &groups(person), now: app.clock.now() })
}

/// Whether `person` may use what is at an endpoint at all.
pub fn may_use(app: &App, endpoint: &Endpoint, person: &Person) -> bool {
    endpoint.access().admits(Guest { person: &person.id, groups: &groups(person), now: app.clock.now() })
}

/// The groups of `person`, as access lists ask for them.
pub fn groups(person: &Person) -> Vec<Arc<str>> {
    person.groups.iter().map(|group| group.as_str().into()).collect()
}
