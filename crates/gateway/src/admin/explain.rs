//! `/admin/explain`: what would be decided about one call, and why. Nothing comes of it: no call, no record, no approval.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use portcullis_base::{ClientId, PersonId, ServerName, Timestamp};
use portcullis_policy::{Explanation, Given, Subject, explain};
use serde::Deserialize;

use super::tools;
use crate::{
    app::App,
    error::PageError,
    extract::{Admin, AdminForm, LoggedIn},
    pages::admin::explain::{Asked, Explain, Told, explain as page},
    snapshot::{Person, Snapshot},
    tools::Risk,
};

/// People that the form offers.
const OFFERED: usize = 500;
/// The longest arguments that are read.
const ARGUMENTS: usize = 32 * 1024;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/explain", get(show).post(answer))
}

/// The call that is asked about.
#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    pub person: String,
    #[serde(default)]
    pub client: String,
    #[serde(default)]
    pub server: String,
    #[serde(default)]
    pub through: String,
    #[serde(default)]
    pub tool: String,
    #[serde(default)]
    pub arguments: String,
}

/// The form, with what a link may have filled in.
async fn show(State(app): State<Arc<App>>, Admin(who): Admin, Query(wanted): Query<Wanted>) -> Response {
    view(&app, &who, &wanted, None)
}

async fn answer(
    State(app): State<Arc<App>>,
    AdminForm { who, form: wanted }: AdminForm<Wanted>,
) -> Result<Response, PageError> {
    let answer = explained(&app, &wanted);
    Ok(view(&app, &who, &wanted, Some(answer)))
}

fn view(app: &App, who: &LoggedIn, wanted: &Wanted, answer: Option<Result<Told, String>>) -> Response {
    let snapshot = app.snapshot.load();
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    let people = snapshot.people.values().take(OFFERED).map(|person| person.name.to_string()).collect();
    let servers = snapshot.servers.keys().map(ToString::to_string).collect();
    let toolboxes = snapshot.toolboxes.keys().map(ToString::to_string).collect();
    let view = Explain {
        account: who.account(),
        people: sorted(people),
        servers: sorted(servers),
        toolboxes: sorted(toolboxes),
        asked: Asked {
            person: &wanted.person,
            client: &wanted.client,
            server: &wanted.server,
            through: &wanted.through,
            tool: &wanted.tool,
            arguments: &wanted.arguments,
        },
        answer,
    };
    page(&view).into_response()
}

/// The decision with its reasons, or what is wrong with the question.
pub(super) fn explained(app: &App, wanted: &Wanted) -> Result<Told, String> {
    let snapshot = app.snapshot.load_full();
    let (id, person) = person(&snapshot, wanted.person.trim()).ok_or("There is no account of this name.")?;
    let name = ServerName::parse(wanted.server.trim()).map_err(|_| "Choose a server.")?;
    let server = snapshot.servers.get(&name).ok_or("There is no such server.")?;
    let through = match wanted.through.trim() {
        "" => None,
        text => {
            let toolbox = ServerName::parse(text).ok().filter(|name| snapshot.toolboxes.contains_key(name));
            Some(toolbox.ok_or("There is no such toolbox.")?)
        }
    };
    let arguments = wanted.arguments.trim();
    if arguments.len() > ARGUMENTS {
        return Err(format!("The arguments have more than {ARGUMENTS} bytes."));
    }
    if !arguments.is_empty() {
        let read = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments);
        read.map_err(|error| format!("The arguments are no JSON object: {error}."))?;
    }
    let tool = wanted.tool.trim();
    let page = tools::sheet(app, server, &id).and_then(|sheet| sheet.page(tool).cloned());
    let risk = Risk::of(page.as_deref(), server.risk.get(tool));
    let call = Call { id, person: &person, name, through, tool, arguments, client: wanted.client.trim(), risk };
    let given = call.given(app.clock.now());
    let explanation: Explanation = given.with(|facts| explain(&snapshot.bundle, &server.access, facts));
    Ok(Told { explanation, known: tool.is_empty() || !risk.classes.is_empty() })
}

fn person(snapshot: &Snapshot, name: &str) -> Option<(PersonId, Arc<Person>)> {
    let found = snapshot.people.iter().find(|(id, person)| *person.name == *name || id.as_str() == name)?;
    Some((found.0.clone(), Arc::clone(found.1)))
}

struct Call<'a> {
    id: PersonId,
    person: &'a Person,
    name: ServerName,
    through: Option<ServerName>,
    tool: &'a str,
    arguments: &'a str,
    client: &'a str,
    risk: Risk,
}

impl Call<'_> {
    fn given(self, now: Timestamp) -> Given {
        let Self { id, person, name, through, tool, arguments, client, risk } = self;
        let client = if client.is_empty() { "any" } else { client };
        Given {
            person: id,
            name: Arc::clone(&person.name),
            kind: person.kind(),
            groups: person.groups.to_vec(),
            roles: person.roles.names().iter().map(|role| Arc::from(*role)).collect(),
            client: ClientId::new(client),
            server: name,
            through,
            method: if tool.is_empty() { "tools/list" } else { "tools/call" }.into(),
            target: if tool.is_empty() { Subject::None } else { Subject::Tool(tool.into()) },
            classes: risk.classes,
            labels: risk.labels,
            tags: Vec::new(),
            arguments: (!arguments.is_empty()).then(|| arguments.into()),
            // Whoever asks signed in themselves; when the caller did, is not known before they call.
            authenticated_at: None,
            acr: None,
            address: None,
            session_labels: Vec::new(),
            now,
        }
    }
}
