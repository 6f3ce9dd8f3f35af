//! What a decision point is asked: who wants to do what with what, and how.

use portcullis_base::{Class, Digest, Label, ServerName};
use portcullis_policy::{Facts, Kind, Target};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::config::SentArguments;

/// Arguments that are longer are not sent, and what cannot be asked is denied.
const LONGEST: usize = 256 * 1024;

/// A question, and what it is remembered by.
pub(super) struct Question {
    pub text: String,
    /// Of everything but the time.
    pub digest: Digest,
}

// spec: AUTHZEN#access-evaluation-request: subject, action and resource, each with its required members.
#[derive(Serialize)]
struct Body<'a> {
    subject: Subject<'a>,
    action: Action<'a>,
    resource: Resource<'a>,
    context: Context<'a>,
}

#[derive(Serialize)]
struct Subject<'a> {
    r#type: &'static str,
    id: &'a str,
    properties: Person<'a>,
}

#[derive(Serialize)]
struct Person<'a> {
    name: &'a str,
    groups: Vec<&'a str>,
    roles: Vec<&'a str>,
}

#[derive(Serialize)]
struct Action<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Parameters<'a>>,
}

#[derive(Serialize)]
struct Parameters<'a> {
    arguments: &'a RawValue,
}

#[derive(Serialize)]
struct Resource<'a> {
    r#type: &'static str,
    id: String,
    properties: Thing<'a>,
}

#[derive(Serialize)]
struct Thing<'a> {
    server: &'a str,
    name: &'a str,
    classes: Vec<&'static str>,
    labels: Vec<&'static str>,
}

#[derive(Serialize)]
struct Context<'a> {
    agent: &'a str,
    // spec: AUTHZEN#security-json: what is not known is left out: "properties with a value of null SHOULD be omitted".
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

/// The question about what `facts` tell; the error says why it cannot be put.
pub(super) fn question(facts: &Facts<'_>, arguments: SentArguments) -> Result<Question, &'static str> {
    let (kind, name) = match facts.target {
        Target::Tool(name) => ("tool", name),
        Target::Prompt(name) => ("prompt", name),
        Target::Resource(name) => ("resource", name),
        Target::Task(name) => ("task", name),
        Target::None => ("server", ""),
    };
    let sent = facts.arguments.filter(|_| arguments == SentArguments::Whole);
    if sent.is_some_and(|arguments| arguments.len() > LONGEST) {
        return Err("the arguments are too large to be sent to it");
    }
    let sent = sent.map(serde_json::from_str::<&RawValue>).transpose().map_err(|_| "the arguments are not JSON")?;
    let mut body = Body {
        subject: Subject {
            r#type: match facts.kind {
                Kind::Person => "user",
                Kind::Service => "service",
            },
            id: facts.person.as_str(),
            properties: Person {
                name: facts.name,
                groups: facts.groups.iter().map(|group| &**group).collect(),
                roles: facts.roles.iter().map(|role| &**role).collect(),
            },
        },
        action: Action { name: facts.method, properties: sent.map(|arguments| Parameters { arguments }) },
        resource: Resource {
            r#type: kind,
            id: format!("{}/{name}", facts.server),
            properties: Thing {
                server: facts.server.as_str(),
                name,
                classes: facts.risk().iter().map(Class::as_str).collect(),
                labels: facts.labels.iter().map(Label::as_str).collect(),
            },
        },
        context: Context {
            agent: facts.client.as_str(),
            through: facts.through.map(ServerName::as_str),
            ip: facts.address.map(|address| address.to_string()),
            acr: facts.acr,
            time: None,
        },
    };
    let text = |body: &Body<'_>| serde_json::to_string(body).map_err(|_| "it cannot be written as JSON");
    let digest = Digest::of(text(&body)?.as_bytes());
    body.context.time = Some(facts.now.to_string());
    Ok(Question { text: text(&body)?, digest })
}
