//! A group: what a directory says, and how we show it.

use std::collections::BTreeSet;

use portcullis_store::{Members, NewScimGroup, ScimGroup};
use serde_json::{Map, Value, json};

use super::{
    error::ScimError,
    resource::{self, fitting, take_text},
    schema::GROUP,
};

/// What a directory says of a group.
#[derive(Debug)]
pub struct Group {
    display_name: String,
    external_id: Option<String>,
    members: BTreeSet<String>,
}

/// The longest name, in characters.
const NAME: usize = 256;

impl Group {
    /// From members that were read by the schema.
    pub fn from_members(mut members: Map<String, Value>) -> Result<Self, ScimError> {
        let name = take_text(&mut members, "displayName")
            .ok_or_else(|| ScimError::invalid_value("\"displayName\" is missing"))?;
        let display_name = fitting("displayName", &name, NAME)?;
        // Everyone is in it anyway; a directory's group of that name would say something else.
        if display_name == "*" {
            return Err(ScimError::invalid_value("\"*\" is everyone and cannot be a group of a directory"));
        }
        let external_id = take_text(&mut members, "externalId");
        let mut ids = BTreeSet::new();
        for member in members.get("members").and_then(Value::as_array).into_iter().flatten() {
            if member["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("Group")) {
                return Err(ScimError::invalid_value("groups in groups are not kept: send the users of both"));
            }
            let id = member["value"].as_str();
            ids.insert(id.ok_or_else(|| ScimError::invalid_value("a member without \"value\""))?.to_owned());
        }
        Ok(Self { display_name, external_id, members: ids })
    }

    /// For the store.
    pub fn to_store<'a>(&'a self, id: &'a str, provider: &'a str) -> NewScimGroup<'a> {
        NewScimGroup {
            id,
            provider,
            display_name: &self.display_name,
            external_id: self.external_id.as_deref(),
            members: &self.members,
        }
    }
}

/// The members that a directory can change, as it last said them.
pub fn members(group: &ScimGroup) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("displayName".into(), group.display_name.clone().into());
    if let Some(external_id) = &group.external_id {
        members.insert("externalId".into(), external_id.clone().into());
    }
    if !group.members.is_empty() {
        let member = |member: &portcullis_store::ScimMember| json!({ "value": member.id });
        members.insert("members".into(), group.members.iter().map(member).collect());
    }
    members
}

/// The whole resource.
pub fn show(group: &ScimGroup, read: Members, base: &str) -> Value {
    let mut members = members(group);
    if read == Members::Read {
        let member = |member: &portcullis_store::ScimMember| {
            json!({
                "value": member.id,
                "$ref": format!("{base}/Users/{}", member.id),
                "display": member.user_name,
                "type": "User",
            })
        };
        members.insert("members".into(), group.members.iter().map(member).collect());
    }
    resource::show(&GROUP, &group.id, members, (group.created_at, group.changed_at), &version(group), base)
}

/// The version for the ETag.
pub fn version(group: &ScimGroup) -> String {
    format!("W/\"{}\"", group.version)
}
