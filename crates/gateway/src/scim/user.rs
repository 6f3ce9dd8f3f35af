//! A user: what a directory says, and how we show it.

use portcullis_store::{NewScimUser, ScimState, ScimUser};
use serde_json::{Map, Value, json};

use super::{
    error::ScimError,
    resource::{self, fitting, take_text},
    schema::{USER, VALUES},
};

/// What a directory says of somebody.
#[derive(Debug)]
pub struct User {
    name: String,
    external_id: Option<String>,
    state: ScimState,
    email: Option<String>,
    display_name: String,
    attributes: String,
}

/// The longest name, in characters.
const NAME: usize = 256;
/// The most that is kept of somebody, in bytes.
const ATTRIBUTES: usize = 32 * 1024;

impl User {
    /// From members that were read by the schema.
    pub fn from_members(mut members: Map<String, Value>) -> Result<Self, ScimError> {
        let user_name =
            take_text(&mut members, "userName").ok_or_else(|| ScimError::invalid_value("\"userName\" is missing"))?;
        let user_name = fitting("userName", &user_name, NAME)?;
        let external_id = take_text(&mut members, "externalId");
        let state = match members.remove("active") {
            Some(Value::Bool(false)) => ScimState::Inactive,
            _ => ScimState::Active,
        };
        for (name, value) in &members {
            if value.as_array().is_some_and(|values| values.len() > VALUES) {
                return Err(ScimError::invalid_value(format!("\"{name}\" has more than {VALUES} values")));
            }
        }
        let display_name = display_name(&members).unwrap_or_else(|| user_name.clone());
        let email = email(&members);
        let attributes = Value::Object(members).to_string();
        if attributes.len() > ATTRIBUTES {
            return Err(ScimError::invalid_value("the user has more attributes than are kept"));
        }
        Ok(Self { name: user_name, external_id, state, email, display_name, attributes })
    }

    /// Whether the directory lets them in.
    pub fn state(&self) -> ScimState {
        self.state
    }

    /// For the store.
    pub fn to_store<'a>(&'a self, id: &'a str, provider: &'a str) -> NewScimUser<'a> {
        NewScimUser {
            id,
            provider,
            user_name: &self.name,
            external_id: self.external_id.as_deref(),
            email: self.email.as_deref(),
            display_name: &self.display_name,
            attributes: &self.attributes,
            state: self.state,
        }
    }
}

/// The members that a directory can change, as it last said them.
pub fn members(user: &ScimUser) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("userName".into(), user.user_name.clone().into());
    if let Some(external_id) = &user.external_id {
        members.insert("externalId".into(), external_id.clone().into());
    }
    let others: Map<String, Value> = serde_json::from_str(&user.attributes).unwrap_or_default();
    members.extend(others);
    members.insert("active".into(), user.deactivated_at.is_none().into());
    members
}

/// The whole resource.
pub fn show(user: &ScimUser, base: &str) -> Value {
    let mut members = members(user);
    members.insert("active".into(), user.is_active().into());
    if !user.groups.is_empty() {
        let group = |(id, name): &(String, String)| json!({ "value": id, "$ref": format!("{base}/Groups/{id}"), "display": name, "type": "direct" });
        members.insert("groups".into(), user.groups.iter().map(group).collect());
    }
    resource::show(&USER, &user.id, members, (user.created_at, user.changed_at), &version(user), base)
}

/// The version for the ETag. Somebody who was ended here, not by the directory, looks different without having changed there.
pub fn version(user: &ScimUser) -> String {
    let ended_here = user.disabled_at.is_some() && user.deactivated_at.is_none();
    format!("W/\"{}{}\"", user.version, if ended_here { "e" } else { "" })
}

fn display_name(members: &Map<String, Value>) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let name = members.get("name");
    let whole = members.get("displayName").and_then(text).or_else(|| name.and_then(|name| text(&name["formatted"])));
    whole.or_else(|| {
        let name = name?;
        let parts: Vec<String> = ["givenName", "familyName"].iter().filter_map(|part| text(&name[*part])).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    })
}

/// The preferred address, else the one at work, else the first.
fn email(members: &Map<String, Value>) -> Option<String> {
    let emails = members.get("emails")?.as_array()?;
    let first =
        |chosen: &dyn Fn(&Value) -> bool| emails.iter().find(|email| chosen(email) && email["value"].is_string());
    let at_work = |email: &Value| email["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("work"));
    let chosen = first(&|email| email["primary"] == true).or_else(|| first(&at_work)).or_else(|| first(&|_| true));
    chosen.and_then(|email| email["value"].as_str()).map(|text| text.trim().to_owned())
}
