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

/// Calls `with` with what the law needs to know of our endpoints.
pub fn with_resources<T>(app: &App, with: impl FnOnce(&Resources<'_>) -> T) -> T {
    let default = app.config.default_resource.as_ref().map(|name| app.config.server_url(name));
    let known = |resource: &str| server_at(app, resource).is_some();
    with(&Resources { known: &known, default: default.as_deref() })
}

/// Whether `person` may use `server` at all.
pub fn admits(server: &Server, person: &Person) -> bool {
    let groups: Vec<Arc<str>> = person.groups.iter().map(|group| group.as_str().into()).collect();
    server.access.admits(&groups)
}
