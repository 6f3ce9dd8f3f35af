//! `/admin/servers/{name}/access`: which groups may use a server, and how. A server of the settings file is changed there.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use portcullis_audit::{Event, Kind, Target};
use portcullis_base::{Class, Classes, ServerName};
use portcullis_policy::Effect;
use serde::Deserialize;

use super::{connections::find, recorded};
use crate::{
    app::App,
    config::{Entry, Granted, NamedClasses},
    error::PageError,
    extract::{Admin, AdminForm, LoggedIn},
    pages::admin::access::{Access, From, Line, access},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/servers/{name}/access", get(show).post(change))
}

async fn show(State(app): State<Arc<App>>, Admin(who): Admin, Path(name): Path<String>) -> Result<Response, PageError> {
    page(&app, &who, &name, None)
}

fn page(app: &App, who: &LoggedIn, name: &str, done: Option<&str>) -> Result<Response, PageError> {
    let server = find(app, name)?;
    let line = |entry: &portcullis_policy::AccessEntry| Line {
        group: entry.group.to_string(),
        answers: Class::ALL.iter().map(|class| (*class, answer(entry.allow, entry.ask, *class))).collect(),
    };
    let snapshot = app.snapshot.load();
    let mut groups: Vec<_> =
        snapshot.people.values().flat_map(|person| person.groups.iter().map(ToString::to_string)).collect();
    groups.sort_unstable();
    groups.dedup();
    let view = Access {
        account: who.account(),
        server: server.name.as_str(),
        lines: server.access.entries.iter().map(line).collect(),
        from: from(app, &server.name),
        groups,
        done,
    };
    Ok(access(&view).into_response())
}

fn answer(allow: Classes, ask: Classes, class: Class) -> Effect {
    if allow.contains(class) {
        Effect::Allow
    } else if ask.contains(class) {
        Effect::Ask
    } else {
        Effect::Deny
    }
}

/// Where the list is written.
fn from(app: &App, name: &ServerName) -> From {
    let in_file = app.config.servers.iter().any(|server| server.name == *name);
    if in_file {
        From::Settings
    } else if name.as_str() == crate::feed::SAMPLE {
        From::Sample
    } else {
        From::Database
    }
}

/// What a group may do from now on.
#[derive(Deserialize)]
struct Wanted {
    group: String,
    #[serde(default)]
    remove: String,
    #[serde(default)]
    read: String,
    #[serde(default)]
    write: String,
    #[serde(default)]
    unknown: String,
    #[serde(default)]
    egress: String,
    #[serde(default)]
    execute: String,
    #[serde(default)]
    destructive: String,
    #[serde(default)]
    financial: String,
}

impl Wanted {
    fn said(&self, class: Class) -> Option<Effect> {
        let said = match class {
            Class::Read => &self.read,
            Class::Write => &self.write,
            Class::Unknown => &self.unknown,
            Class::Egress => &self.egress,
            Class::Execute => &self.execute,
            Class::Destructive => &self.destructive,
            Class::Financial => &self.financial,
        };
        Effect::parse(said).filter(|effect| *effect != Effect::StepUp)
    }

    /// The entry that it asks for; `None` if it leaves a class open.
    fn entry(&self, group: &str) -> Option<Granted> {
        let (mut allow, mut ask) = (Classes::NONE, Classes::NONE);
        for class in Class::ALL {
            match self.said(*class)? {
                Effect::Allow => allow = allow.with(*class),
                Effect::Ask => ask = ask.with(*class),
                Effect::StepUp | Effect::Deny => {}
            }
        }
        Some(Granted::Named { group: group.to_owned(), allow: Some(NamedClasses(allow)), ask: Some(NamedClasses(ask)) })
    }
}

async fn change(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    AdminForm { who, form }: AdminForm<Wanted>,
) -> Result<Response, PageError> {
    let server = find(&app, &name)?;
    if from(&app, &server.name) != From::Database {
        return Err(wrong(StatusCode::CONFLICT, "This list is not changed here."));
    }
    let group = form.group.trim();
    if group.is_empty() || group.chars().count() > 256 || group.chars().any(char::is_control) {
        return Err(wrong(StatusCode::UNPROCESSABLE_ENTITY, "A group has 1 to 256 characters."));
    }
    let wanted = match form.remove.as_str() {
        "yes" => None,
        _ => Some(form.entry(group).ok_or_else(|| {
            wrong(StatusCode::UNPROCESSABLE_ENTITY, "Say for every class whether it is allowed, asked about or denied.")
        })?),
    };
    let event = event(&app, &who, &server.name, group, wanted.as_ref());
    let now = app.clock.now();
    let found = app.store.change_server(&server.name, now, |entry| put(entry, group, wanted.as_ref()));
    if !recorded(&app, event, found).await? {
        return Err(PageError::not_found());
    }
    let shown = if group == "*" {
        "Everybody".to_owned()
    } else {
        format!("The group {}", portcullis_base::printable(group, 80))
    };
    let done = match wanted {
        Some(_) => format!("{shown} may use it as you said, from now on."),
        None => format!("{shown} is not on the list any more."),
    };
    page(&app, &who, &name, Some(&done))
}

/// The entry of a server with another word on `group`, or none.
fn put(entry: &str, group: &str, wanted: Option<&Granted>) -> Option<String> {
    let mut entry = Entry::from_json(entry).ok()?;
    let at = entry.access.iter().position(|granted| granted.group() == group);
    entry.access.retain(|granted| granted.group() != group);
    if let Some(wanted) = wanted {
        entry.access.insert(at.unwrap_or(entry.access.len()), wanted.clone());
    }
    Some(entry.to_json())
}

fn event(app: &App, who: &LoggedIn, server: &ServerName, group: &str, wanted: Option<&Granted>) -> Event {
    let event = Event::new(Kind::ServerAccess, app.clock.now())
        .by(who.actor())
        .on(Target { server: Some(server.clone()), ..Target::default() })
        .text("group", group.to_owned());
    let words = |classes: &Option<NamedClasses>| {
        let words: Vec<_> = classes.iter().flat_map(|named| named.0.iter()).map(Class::as_str).collect();
        words.join(" ")
    };
    match wanted {
        Some(Granted::Named { allow, ask, .. }) => event.text("allow", words(allow)).text("ask", words(ask)),
        Some(Granted::Safely(_)) => event,
        None => event.text("what", "taken from the list"),
    }
}

fn wrong(status: StatusCode, why: &'static str) -> PageError {
    PageError::new(status, "access.wrong", "Nothing was changed", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_changes_the_list_and_nothing_else() {
        let entry =
            r#"{"name":"s","url":"https://mcp.example.com/mcp","access":["*","b"],"description":"d","tools":"public"}"#;
        let wanted = |group: &str| Granted::Named {
            group: group.to_owned(),
            allow: Some(NamedClasses(Class::Read.into())),
            ask: Some(NamedClasses(Classes::NONE)),
        };
        let groups = |entry: &str| {
            let entry = Entry::from_json(entry).unwrap();
            assert_eq!((entry.description.as_deref(), entry.more["tools"].as_str()), (Some("d"), Some("public")));
            entry.access.iter().map(|granted| granted.group().to_owned()).collect::<Vec<_>>()
        };
        let first = put(entry, "*", Some(&wanted("*"))).unwrap();
        assert_eq!(groups(&first), ["*", "b"], "it keeps its place");
        assert_eq!(groups(&put(&first, "c", Some(&wanted("c"))).unwrap()), ["*", "b", "c"]);
        assert_eq!(groups(&put(&first, "b", None).unwrap()), ["*"]);
        let none = put(&put(&first, "b", None).unwrap(), "*", None).unwrap();
        assert_eq!(groups(&none), Vec::<String>::new(), "nobody, and not everybody");
        assert_eq!(put("{", "b", None), None);
    }
}
