//! What rules are about, as the settings and the database have it: servers with their access lists, and people.

use std::{collections::BTreeMap, sync::Arc};

use portcullis_base::{Classes, ClientId, Labels, PersonId, ServerName, Timestamp};
use portcullis_gateway::{config::Origin, roles::Appointments};
use portcullis_policy::{Access, Given, Kind, Somebody, Subject};
use portcullis_store::{DatabaseSettings, Person, PersonKind};

use crate::{
    abroad::{self, From},
    failure::Result,
    house::House,
    settings::Settings,
};

/// The access list of a server.
pub struct Listed {
    pub access: Access,
    /// Where it stands.
    pub from: String,
}

/// Somebody, with all that rules ask of them.
pub struct Known {
    pub id: PersonId,
    pub name: Arc<str>,
    pub kind: Kind,
    pub groups: Vec<Arc<str>>,
    pub roles: &'static [&'static str],
}

/// The database, if there is one by now; rules can be looked at without.
pub async fn house(settings: &Settings) -> Result<Option<House>> {
    if let DatabaseSettings::Sqlite(path) = &settings.config.database
        && !path.exists()
    {
        return Ok(None);
    }
    House::existing(settings).await.map(Some)
}

/// The servers of the settings, and of the database if there is one.
pub async fn servers(house: Option<&House>, settings: &Settings) -> Result<BTreeMap<ServerName, Listed>> {
    let mut listed = BTreeMap::new();
    if let Some(house) = house {
        for known in abroad::servers(house).await?.0 {
            if known.from == From::Database {
                let from = "database".to_owned();
                listed.insert(known.server.name, Listed { access: known.server.access, from });
            }
        }
    }
    for (at, server) in settings.config.servers.iter().enumerate() {
        listed.insert(server.name.clone(), Listed { access: server.access.clone(), from: place_of(at, settings) });
    }
    if listed.is_empty()
        && let Ok(name) = ServerName::parse(portcullis_gateway::feed::SAMPLE)
    {
        listed.insert(name, Listed { access: Access::default(), from: "the sample".to_owned() });
    }
    Ok(listed)
}

/// Where the access list of the settings' server stands, as file and line.
fn place_of(at: usize, settings: &Settings) -> String {
    let server = format!("servers[{at}]");
    let key = format!("{server}.access");
    let rows = settings.origins.rows();
    let of = |key: &str| rows.iter().find(|(row, ..)| row.starts_with(key)).map(|(_, _, origin)| origin.clone());
    let found = of(&key).or_else(|| of(&server)).or_else(|| of("servers"));
    found.filter(|origin| *origin != Origin::Default).map_or_else(|| "settings".to_owned(), |origin| origin.to_string())
}

impl Known {
    /// `person`, with the roles that the settings give their groups.
    pub fn of(person: Person, appointments: &Appointments) -> Self {
        let roles = appointments.of_person(&person).names();
        let kind = match person.kind {
            PersonKind::Person => Kind::Person,
            PersonKind::Service => Kind::Service,
        };
        let groups = person.groups.iter().map(|group| group.as_str().into()).collect();
        Self { id: person.id, name: person.name.into(), kind, groups, roles }
    }

    /// As rules look at them.
    pub fn somebody(&self) -> Somebody<'_> {
        let Self { id, name, kind, groups, roles } = self;
        Somebody { person: id, name, kind: *kind, groups, roles, client: None }
    }

    /// Something that they do at `server`.
    pub fn given(&self, server: &ServerName, client: ClientId, now: Timestamp) -> Given {
        Given {
            person: self.id.clone(),
            name: Arc::clone(&self.name),
            kind: self.kind,
            groups: self.groups.clone(),
            roles: self.roles.iter().map(|role| Arc::from(*role)).collect(),
            client,
            server: server.clone(),
            through: None,
            method: "tools/call".into(),
            target: Subject::None,
            classes: Classes::NONE,
            labels: Labels::NONE,
            tags: Vec::new(),
            arguments: None,
            authenticated_at: None,
            acr: None,
            address: None,
            session_labels: Vec::new(),
            now,
        }
    }
}
