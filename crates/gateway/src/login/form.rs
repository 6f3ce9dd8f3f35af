//! `/login`: the choice of a provider, the form of a local account, and what is typed into it.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::{Secret, printable};
use portcullis_store::Person;
use serde::Deserialize;

use super::{
    arrival::NO_ROLE,
    session::{self, Browser, Proof},
    way::Way,
};
use crate::{
    app::App,
    authorization::approval::Approval,
    error::PageError,
    extract::{LoggedIn, SameOriginForm, Source},
    pages::{
        Page,
        sign_in::{ByEmail, LocalForm, ProviderChoice, SignIn, sign_in},
    },
};

#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(flatten)]
    way: Way,
    #[serde(default)]
    with: With,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum With {
    #[default]
    Anything,
    Password,
}

#[derive(Deserialize)]
pub struct Typed {
    name: String,
    password: Secret,
    #[serde(flatten)]
    way: Way,
}

/// `GET /login`
pub async fn show(
    State(app): State<Arc<App>>,
    who: Option<LoggedIn>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Asked { way, with } = asked.map(|Query(asked)| asked).unwrap_or_default();
    let providers = app.providers.list();
    let local = app.config.identity.local_accounts;
    if let Some(who) = who {
        if !way.demands() {
            return Redirect::to(way.return_to.as_str()).into_response();
        }
        // Who must sign in again does so where they signed in.
        return match &who.browser.provider {
            Some(id) if app.providers.get(id).is_some() => {
                let hint = who.person.email.as_deref().unwrap_or_default();
                Redirect::to(&way.start_as(id, hint)).into_response()
            }
            Some(_) => choice(&app, &way, "", None).into_response(),
            None => password(&app, &headers, &way, &who.person.name, None).into_response(),
        };
    }
    match providers {
        [] => password(&app, &headers, &way, "", None).into_response(),
        _ if local && with == With::Password => password(&app, &headers, &way, "", None).into_response(),
        [only] if !local => Redirect::to(&way.start(only.id())).into_response(),
        _ => choice(&app, &way, "", None).into_response(),
    }
}

/// `POST /login`
pub async fn submit(
    State(app): State<Arc<App>>,
    source: Source,
    before: Option<LoggedIn>,
    headers: HeaderMap,
    SameOriginForm(typed): SameOriginForm<Typed>,
) -> Result<Response, PageError> {
    let limits = &app.limits;
    // spec: T-102: per name and source together, so that nobody can spend the tries of somebody else.
    let name_key = format!("{} {}", source.key(), typed.name.to_lowercase());
    limits.sign_in_source.ask(&source.key())?;
    limits.sign_in_name.ask(&name_key)?;

    let Some(person) = prove(&app, &typed).await? else {
        limits.sign_in_source.charge(&source.key());
        limits.sign_in_name.charge(&name_key);
        let name = printable(&typed.name, 64);
        let actor = Actor { name: Some(name.as_str().into()), address: Some(source.0), ..Actor::default() };
        let event = Event::new(Kind::SigninFailed, app.clock.now())
            .by(actor)
            .outcome(Outcome::Failure)
            .text("method", "password");
        app.journal.append(event).await.map_err(PageError::unavailable)?;
        let page = password(&app, &headers, &typed.way, &typed.name, Some("Name or password is wrong."));
        return Ok(page.status(StatusCode::UNAUTHORIZED).into_response());
    };
    if !app.appointments.admit(&person) {
        let (reason, text) = NO_ROLE;
        let actor = Actor { person: Some(person.id), address: Some(source.0), ..Actor::default() };
        let event = Event::new(Kind::SigninFailed, app.clock.now())
            .by(actor)
            .outcome(Outcome::Denied)
            .text("method", "password")
            .text("reason", reason);
        app.journal.append(event).await.map_err(PageError::unavailable)?;
        return Err(PageError::new(StatusCode::FORBIDDEN, "signin.no_role", "You cannot sign in here", text));
    }
    let proof = Proof::by_password(person.id, person.name, app.clock.now());
    let browser = Browser { headers: &headers, source, previous: before.as_ref() };
    session::begin(&app, &proof, &browser, &typed.way.return_to).await
}

/// The choice between providers.
pub fn choice(app: &App, way: &Way, email: &str, failure: Option<&str>) -> Page {
    let providers: Vec<ProviderChoice<'_>> = app
        .providers
        .list()
        .iter()
        .map(|provider| ProviderChoice { id: provider.id(), name: provider.name() })
        .collect();
    let by_domain = app.providers.list().iter().any(|provider| !provider.settings().domains.is_empty());
    sign_in(&SignIn {
        return_to: way.return_to.as_str(),
        query: &way.query(),
        fields: &way.fields(),
        providers: &providers,
        by_email: if by_domain && providers.len() > 1 { ByEmail::Asked } else { ByEmail::No },
        local: if app.config.identity.local_accounts { LocalForm::Linked } else { LocalForm::Absent },
        name: email,
        failure,
        // spec: T-16: the form for an e-mail address ends, through a redirect, at a provider.
        form_target: Some("https:".into()),
    })
}

/// The form of a local account.
fn password(app: &App, headers: &HeaderMap, way: &Way, name: &str, failure: Option<&str>) -> Page {
    sign_in(&SignIn {
        return_to: way.return_to.as_str(),
        query: &way.query(),
        fields: &way.fields(),
        local: LocalForm::Shown,
        name,
        failure,
        // spec: T-16: an approval that waits goes on to its client as soon as somebody is signed in.
        form_target: Approval::waiting(app, headers, &way.return_to).map(|approval| approval.form_target()),
        ..SignIn::default()
    })
}

/// The person with this name and password, if they may sign in. Takes as long for a name that nobody has.
async fn prove(app: &App, typed: &Typed) -> Result<Option<Person>, PageError> {
    let found = app.store.person_by_name(&typed.name).await.map_err(PageError::unavailable)?;
    let (person, stored) = found.map_or((None, None), |(person, hash)| (Some(person), hash));
    let proved = app.passwords.verify(typed.password.clone(), stored).await;
    Ok(person.filter(|person| proved && person.disabled_at.is_none() && app.config.identity.local_accounts))
}
