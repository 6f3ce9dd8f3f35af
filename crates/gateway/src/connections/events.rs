//! What is written down of connections: never anything that opens a door.

use portcullis_audit::{Actor, Event, Kind, Target};
use portcullis_store::Connection;

use super::Connections;

impl Connections {
    /// Something that happened to a connection by itself: the actor is whose it is.
    pub(super) fn event(&self, kind: Kind, row: &Connection) -> Event {
        let by = Actor { person: row.holder.person().cloned(), ..Actor::default() };
        self.event_by(by, kind, row)
    }

    /// Something that somebody did to a connection.
    pub(super) fn event_by(&self, by: Actor, kind: Kind, row: &Connection) -> Event {
        let event = Event::new(kind, self.parts.clock.now())
            .by(by)
            .on(Target { server: Some(row.server.clone()), ..Target::default() })
            .text("connection", row.id.to_string())
            .text("holder", row.holder.to_string());
        let told = [("issuer", &row.issuer), ("account", &row.account)];
        told.into_iter().fold(event, |event, (name, value)| match value {
            Some(value) => event.text(name, value.clone()),
            None => event,
        })
    }
}
