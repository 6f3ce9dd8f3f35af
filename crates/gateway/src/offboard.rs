//! The end of a person's access: one function, whoever asks for it.
//!
//! In this order: it is written down that it is about to be done; everything in the database ends in one commit, and on this
//! node at once; what ended is written down; refresh tokens are given back to the providers they came from; and a signed
//! report says what was ended and what could not be, and why. A provider that cannot be reached stops nothing of that: it
//! stands in the report.
//!
//! Usable without a running gateway: other nodes learn of it by the feed of changes.
//!
//! spec: T-53

mod report;

use std::time::Duration;

use portcullis_audit::{Event, Kind, Outcome};
use portcullis_base::{PersonId, token};
use portcullis_store::{EndedIdentity, Extent, Offboarded, Person, ReportRow, StoreError};

pub use self::report::{By, Ended, EndedConnection, EndedGrant, EndedRights, How, Left, Report, ReportError};
use crate::{
    connections::{Connections, GiveBack, GivenBack},
    desk::{Desk, DeskError},
    ended,
    identity::Providers,
    keys::Keys,
};

/// How long all providers together have to take back their tokens.
const PATIENCE: Duration = Duration::from_secs(5);

/// What ending a person's access needs.
pub struct Offboarding<'a> {
    desk: Desk<'a>,
    keys: &'a Keys,
    providers: Option<&'a Providers>,
    ended: Option<&'a ended::Ended>,
    connections: Option<&'a Connections>,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// What the report says.
    pub report: Report,
    /// The report as it was signed and stored.
    pub text: String,
}

/// Why a person's access was not ended, or not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum OffboardError {
    /// There would be nobody left who administers. Nothing was ended.
    #[error("{0} is the last administrator and cannot be offboarded: make another person administrator first")]
    LastAdministrator(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

impl<'a> Offboarding<'a> {
    /// For whoever stands at `desk`; `keys` open what is to be given back to providers.
    pub fn new(desk: Desk<'a>, keys: &'a Keys) -> Self {
        Self { desk, keys, providers: None, ended: None, connections: None }
    }

    /// Gives refresh tokens back to these providers.
    pub fn through(self, providers: &'a Providers) -> Self {
        Self { providers: Some(providers), ..self }
    }

    /// Ends calls and streams of this node without waiting for the feed.
    pub fn here(self, ended: &'a ended::Ended) -> Self {
        Self { ended: Some(ended), ..self }
    }

    /// Forgets what they had at servers without waiting for the feed, and gives it back where it was issued.
    pub fn connections(self, connections: &'a Connections) -> Self {
        Self { connections: Some(connections), ..self }
    }

    /// Ends the access of a person; `None` if there is no such person. Asked again, it ends what is left.
    pub async fn end(&self, person: &PersonId, extent: Extent, how: &How) -> Result<Option<Done>, OffboardError> {
        let Some(person) = self.desk.store.person(person).await? else { return Ok(None) };
        let id = format!("rpt_{}", token::<16>(self.desk.rng));
        self.write(Kind::OffboardStarted, &person, &id, how, Outcome::Success).await?;
        let offboarded = match self.desk.store.offboard(&person.id, extent, self.desk.now()).await {
            Ok(Some(offboarded)) => offboarded,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.refused(&person, &id, how, error).await),
        };
        if let Some(ended) = self.ended {
            ended.end_grants(offboarded.grants.iter().map(|grant| grant.id.clone()), self.desk.now());
        }
        if let Some(connections) = self.connections {
            connections.forget(&offboarded.connections);
        }
        let recorded = self.record(&offboarded, extent).await;
        let mut report = self.report(&id, &offboarded, extent, how);
        // Kept before the providers are asked: that may take a while, and end with the process.
        self.keep(&report, &person).await?;
        let give_back = match self.connections {
            Some(connections) => connections.give_back(),
            None => GiveBack { keys: self.keys, authorities: None },
        };
        let (disconnected, ()) =
            tokio::join!(give_back.all(&offboarded.connections), self.give_back(&offboarded.identities, &mut report));
        let disconnected_recorded = self.record_disconnected(&offboarded, &disconnected).await;
        report.disconnected(disconnected);
        let text = self.keep(&report, &person).await?;
        recorded?;
        disconnected_recorded?;
        self.write(Kind::OffboardFinished, &person, &id, how, Outcome::Success).await?;
        Ok(Some(Done { report, text }))
    }

    /// spec: T-95
    async fn refused(&self, person: &Person, id: &str, how: &How, error: StoreError) -> OffboardError {
        let outcome = match &error {
            StoreError::LastAdministrator => Outcome::Denied,
            _ => Outcome::Failure,
        };
        if let Err(unwritten) = self.write(Kind::OffboardFinished, person, id, how, outcome).await {
            return unwritten.into();
        }
        match error {
            StoreError::LastAdministrator => OffboardError::LastAdministrator(person.name.clone()),
            error => error.into(),
        }
    }

    async fn write(&self, kind: Kind, person: &Person, id: &str, how: &How, outcome: Outcome) -> Result<(), DeskError> {
        let event = self
            .desk
            .event(kind, None, &person.name)
            .outcome(outcome)
            .text("person", person.id.to_string())
            .text("how", how.as_str())
            .text("report", id.to_owned());
        let event = match how.provider() {
            Some(provider) => event.text("provider", provider.to_owned()),
            None => event,
        };
        self.desk.write(event).await
    }

    /// Every end that others look for by its own name.
    async fn record(&self, offboarded: &Offboarded, extent: Extent) -> Result<(), DeskError> {
        let about = |kind: Kind| -> Event {
            self.desk.event(kind, None, &offboarded.name).text("person", offboarded.person.to_string())
        };
        if extent == Extent::Account && offboarded.was_active {
            self.desk.write(about(Kind::PersonDisabled)).await?;
        }
        let rights = EndedRights::of(&offboarded.rights);
        if rights != EndedRights::default() {
            let counted = |event: Event, (what, count): (&'static str, u64)| {
                event.number(what, i64::try_from(count).unwrap_or(i64::MAX))
            };
            self.desk.write(rights.counts().into_iter().fold(about(Kind::RightsEnded), counted)).await?;
        }
        for grant in &offboarded.grants {
            let event = about(Kind::GrantRevoked)
                .text("grant", grant.id.to_string())
                .text("client", grant.client.to_string())
                .text("resource", grant.resource.clone());
            self.desk.write(event).await?;
        }
        Ok(())
    }

    /// What became of each connection. spec: UP-47
    async fn record_disconnected(&self, offboarded: &Offboarded, all: &[GivenBack]) -> Result<(), DeskError> {
        for (row, given) in offboarded.connections.iter().zip(all) {
            let event = self
                .desk
                .event(Kind::ConnectionDisconnected, Some(row.server.clone()), &offboarded.name)
                .text("person", offboarded.person.to_string())
                .text("connection", row.id.to_string())
                .text("revoked", given.end.told());
            self.desk.write(event).await?;
        }
        Ok(())
    }

    fn report(&self, id: &str, offboarded: &Offboarded, extent: Extent, how: &How) -> Report {
        let by = By {
            how: how.clone(),
            person: self.desk.by.person.clone(),
            name: self.desk.by.name.as_deref().map(str::to_owned),
            address: self.desk.by.address,
        };
        Report::new(id, self.desk.now(), by, offboarded, extent)
    }

    async fn keep(&self, report: &Report, person: &Person) -> Result<String, OffboardError> {
        let text = self.desk.journal.state(&report.statement());
        let row =
            ReportRow { id: report.id.clone(), person: person.id.clone(), created_at: report.at, report: text.clone() };
        self.desk.store.put_report(&row).await?;
        Ok(text)
    }

    /// Gives back what providers gave us for asking about the person; what cannot be given back stands in the report.
    async fn give_back(&self, identities: &[EndedIdentity], report: &mut Report) {
        let with_token = identities.iter().filter(|identity| identity.refresh_sealed.is_some());
        let each = with_token.map(|identity| async move {
            let told = tokio::time::timeout(PATIENCE, self.revoke(identity)).await;
            (identity, told.unwrap_or_else(|_| Err("it did not answer in time".to_owned())))
        });
        for (identity, told) in futures_util::future::join_all(each).await {
            report.given_back(&identity.provider, &identity.issuer, told);
        }
    }

    async fn revoke(&self, identity: &EndedIdentity) -> Result<(), String> {
        let sealed = identity.refresh_sealed.as_deref().unwrap_or_default();
        let refresh = self
            .keys
            .open_provider_token(&identity.issuer, &identity.subject, sealed)
            .ok_or("the stored token was sealed with another root key")?;
        let provider = self.providers.and_then(|providers| providers.get(&identity.provider));
        let provider = provider.ok_or("the provider is no longer in the settings")?;
        provider.revoke(&refresh).await.map_err(|error| error.to_string())
    }
}
