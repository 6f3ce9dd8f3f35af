//! `POST /approvals/hooks/slack`: clicks on the buttons of our messages there.

use std::sync::Arc;

use axum::{body::Bytes, extract::State};
use http::HeaderMap;
use portcullis_base::Digest;
use portcullis_policy::approval::{State as Stage, Word};
use portcullis_store::Person;
use serde::Deserialize;

use super::{first_time, headers, nothing_here, word};
use crate::{
    app::App,
    config::{SlackAnswers, SlackOthers, SlackWay},
    error::ApiError,
    extract::Source,
    outbound::Ask,
};

/// The longest answer about a member.
const MEMBER: usize = 256 << 10;

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    response_url: String,
}

#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    team_id: String,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    #[serde(default)]
    value: String,
}

/// What Slack says of a member.
#[derive(Deserialize)]
struct Told {
    ok: bool,
    user: Option<Member>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    #[serde(default)]
    team_id: String,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    is_bot: bool,
    #[serde(default)]
    is_stranger: bool,
    profile: Profile,
}

#[derive(Deserialize)]
struct Profile {
    #[serde(default)]
    email: String,
}

pub(super) async fn clicked(
    State(app): State<Arc<App>>,
    source: Source,
    sent: HeaderMap,
    body: Bytes,
) -> Result<(), ApiError> {
    let settings =
        app.config.notify.slack.as_ref().and_then(|slack| slack.answers.as_ref()).ok_or_else(nothing_here)?;
    let signed = headers(&sent, ["", "x-slack-request-timestamp", "x-slack-signature"]);
    let proven = settings.key.verify(signed, &body, app.clock.now());
    // Slack numbers nothing; the same text at the same second is the same click.
    let message = format!("{} {}", signed.at, Digest::of(&body).to_base64url());
    first_time(&app, "slack", source, proven, &message).await?;

    let payload = url::form_urlencoded::parse(&body).find(|(key, _)| key == "payload");
    let payload: Payload = payload
        .and_then(|(_, text)| serde_json::from_str(&text).ok())
        .ok_or_else(|| ApiError::invalid_request("the payload is not that of a click"))?;
    if payload.kind != "block_actions" {
        return Ok(());
    }
    for action in &payload.actions {
        let word = match action.action_id.as_str() {
            "approve" => Word::Approve,
            "refuse" => Word::Refuse("denied in Slack".into()),
            // A button that opens a page tells of it too.
            _ => continue,
        };
        let (approval, binding) = action.value.split_once(' ').unwrap_or_default();
        let person = person(&app, settings, &payload.user).await?;
        let said = word::Said { hook: "slack", source, approval, binding, word, person };
        let text = match word::take(&app, said).await? {
            Ok(Stage::Granted) => "You have approved it. The program that asked goes on by itself.".to_owned(),
            Ok(Stage::Refused) => "You have denied it.".to_owned(),
            Ok(_) => "Your word was counted. Others have to agree too.".to_owned(),
            Err(refused) => format!("Nothing was decided: {}.", refused.text),
        };
        if !payload.response_url.is_empty() {
            app.notify.whisper(&payload.response_url, &text);
        }
    }
    Ok(())
}

/// Who that member is here.
async fn person(app: &App, settings: &SlackAnswers, user: &User) -> Result<Option<Person>, ApiError> {
    // spec: T-85: members of other workspaces may be in a channel that is shared with them.
    if settings.team.as_ref().is_some_and(|team| *team != user.team_id) {
        return Ok(None);
    }
    if let Some(name) = settings.people.get(&user.id) {
        return word::person(app, name).await.map_err(ApiError::unavailable);
    }
    if settings.others == SlackOthers::Nobody {
        return Ok(None);
    }
    let Some(address) = address(app, settings, user).await? else { return Ok(None) };
    let people = app.store.people().await.map_err(ApiError::unavailable)?;
    let mut found = people
        .into_iter()
        .filter(|person| person.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(&address)));
    // Two with one address: nobody can tell who it is.
    Ok(found.next().filter(|_| found.next().is_none()))
}

/// The address of a member of our own workspace.
async fn address(app: &App, settings: &SlackAnswers, user: &User) -> Result<Option<String>, ApiError> {
    let way = app.config.notify.slack.as_ref().map(|slack| &slack.way);
    let Some(SlackWay::Bot(bot)) = way else { return Ok(None) };
    let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("user", &user.id).finish();
    let url = format!("{}/users.info?{query}", bot.api);
    let ask = Ask::get(&url, "application/json", MEMBER).authorized(Some(bot.authorization.clone()));
    let answer = app.outbound.fetch(ask).await.map_err(|error| ApiError::unavailable(error.detail()))?;
    let told: Option<Told> = serde_json::from_slice(&answer.body).ok();
    let member = told.filter(|told| told.ok).and_then(|told| told.user);
    let is_ours = |member: &Member| {
        member.id == user.id
            && settings.team.as_ref() == Some(&member.team_id)
            && !(member.deleted || member.is_bot || member.is_stranger)
            && !member.profile.email.is_empty()
    };
    Ok(member.filter(is_ours).map(|member| member.profile.email))
}
