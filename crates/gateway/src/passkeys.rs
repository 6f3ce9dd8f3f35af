//! Passkeys of people: making one, proving that one has it, taking it away.
//!
//! Promises: a passkey is made only by whoever was shown the challenge in the same session a short while ago; a proof is of one
//! exact challenge, and its passkey belongs to whoever shows it.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_audit::{Actor, Event, Kind, Outcome, Target};
use portcullis_base::{Clock, Digest, PersonId, Rng, Timestamp, printable};
use portcullis_store::{PasskeyRow, Person, Store, StoreError};
use portcullis_webauthn::{
    AssertionAnswer, Known, Passkey, RegistrationAnswer, RelyingParty, User, UserVerification, WebauthnError,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    journal::{Journal, JournalError},
    keys::{Keys, Purpose},
};

/// The most that one person may have.
const MOST: u32 = 20;
/// How long somebody may take to make one.
const PATIENCE: Duration = Duration::from_mins(10);
/// The longest name.
const LONGEST_NAME: usize = 64;

/// Passkeys of people.
pub struct Passkeys {
    party: Option<RelyingParty>,
    parts: Parts,
}

/// What it is made of.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The record.
    pub journal: Journal,
    /// Seals challenges.
    pub keys: Arc<Keys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// What a page needs so that its reader can make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What the browser is asked.
    pub options: String,
    /// What comes back with the answer.
    pub ticket: String,
}

/// Why it cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyError {
    /// The text is for whoever sits before the page.
    #[error("{0}")]
    Refused(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A challenge that was set.
#[derive(Serialize, Deserialize)]
struct Ticket {
    challenge: [u8; 32],
    expires_at: Timestamp,
}

impl From<WebauthnError> for PasskeyError {
    fn from(error: WebauthnError) -> Self {
        Self::Refused(crate::pages::sentence(&error.to_string()))
    }
}

fn refused(text: &str) -> PasskeyError {
    PasskeyError::Refused(text.to_owned())
}

impl Passkeys {
    /// Those of the gateway at `public_url`.
    pub fn new(public_url: &Url, parts: Parts) -> Self {
        // spec: T-82: a touch alone could be anybody's who sits there.
        Self { party: RelyingParty::of(public_url, UserVerification::Required), parts }
    }

    /// Whether there can be passkeys at the gateway's address.
    pub fn are_possible(&self) -> bool {
        self.party.is_some()
    }

    /// Whether somebody has one that can be used.
    pub async fn can_sign(&self, person: &PersonId) -> Result<bool, StoreError> {
        Ok(self.party.is_some() && !self.of(person).await?.is_empty())
    }

    /// Those of somebody.
    pub async fn of(&self, person: &PersonId) -> Result<Vec<PasskeyRow>, StoreError> {
        self.parts.store.passkeys_of(person).await
    }

    /// What a browser is asked for a proof over `challenge`; `None` if they have none.
    pub async fn request(&self, person: &PersonId, challenge: &Digest) -> Result<Option<String>, StoreError> {
        let Some(party) = &self.party else { return Ok(None) };
        let rows = self.of(person).await?;
        let options = || party.request_options(challenge.as_bytes(), &known(&rows)).to_string();
        Ok((!rows.is_empty()).then(options))
    }

    /// Checks such a proof.
    ///
    /// spec: T-82: "WebAuthn with challenge = binding hash"
    pub async fn check(&self, person: &PersonId, challenge: &Digest, answer: &str) -> Result<(), PasskeyError> {
        let party = self.party.as_ref().ok_or_else(|| refused("There are no passkeys at this address."))?;
        let answer = AssertionAnswer::parse(answer)?;
        let row = self.of(person).await?.into_iter().find(|row| row.id == answer.passkey());
        let row = row.ok_or_else(|| refused("This passkey is not one of yours."))?;
        let passkey = Passkey { id: row.id.clone(), public_key: row.public_key, counter: row.counter };
        let asserted = party.assert(challenge.as_bytes(), &passkey, person.as_str().as_bytes(), &answer)?;
        let noted = self.parts.store.passkey_signed(&row.id, asserted.counter, self.parts.clock.now()).await?;
        if noted { Ok(()) } else { Err(WebauthnError::Copied.into()) }
    }

    /// What a page needs so that `person` can make one in this session.
    pub async fn offer(&self, person: &Person, session: &Digest) -> Result<Option<Offer>, StoreError> {
        let Some(party) = &self.party else { return Ok(None) };
        let Parts { keys, clock, rng, .. } = &self.parts;
        let rows = self.of(&person.id).await?;
        let mut challenge = [0; 32];
        rng.fill(&mut challenge);
        let user =
            User { handle: person.id.as_str().as_bytes(), name: &person.name, display_name: &person.display_name };
        let options = party.creation_options("Portcullis", &user, &challenge, &known(&rows)).to_string();
        let ticket = Ticket { challenge, expires_at: clock.now().plus(PATIENCE) };
        let ticket = serde_json::to_vec(&ticket).expect("a ticket is numbers");
        let ticket = URL_SAFE_NO_PAD.encode(keys.seal(Purpose::Passkey, session.as_bytes(), &ticket, &**rng));
        Ok(Some(Offer { options, ticket }))
    }

    /// Keeps the one that was made.
    pub async fn add(
        &self,
        (person, session): (&PersonId, &Digest),
        name: &str,
        (ticket, answer): (&str, &str),
        actor: Actor,
    ) -> Result<(), PasskeyError> {
        let party = self.party.as_ref().ok_or_else(|| refused("There are no passkeys at this address."))?;
        let Parts { keys, clock, store, journal, .. } = &self.parts;
        let now = clock.now();
        let open = || {
            let plain = keys.open(Purpose::Passkey, session.as_bytes(), &URL_SAFE_NO_PAD.decode(ticket).ok()?)?;
            serde_json::from_slice::<Ticket>(&plain).ok().filter(|ticket| now < ticket.expires_at)
        };
        let ticket = open().ok_or_else(|| refused("This took too long. Try again."))?;
        let answer = RegistrationAnswer::parse(answer)?;
        let made = party.register(&ticket.challenge, &answer)?;
        let name = printable(name.trim(), LONGEST_NAME);
        let name = if name.is_empty() { "Passkey".to_owned() } else { name };
        let row = PasskeyRow {
            id: made.id,
            person: person.clone(),
            name: name.clone(),
            public_key: made.public_key,
            counter: made.counter,
            transports: answer.transports,
            made_at: now,
            used_at: None,
        };
        match store.put_passkey(&row, MOST).await {
            Ok(true) => {}
            Ok(false) => return Err(PasskeyError::Refused(format!("You have {MOST} passkeys. Remove one first."))),
            Err(StoreError::Taken) => return Err(refused("This passkey is registered already.")),
            Err(error) => return Err(error.into()),
        }
        journal.append(event(Kind::PasskeyAdded, now, actor, name)).await?;
        Ok(())
    }

    /// Takes one away; whether they had it.
    pub async fn remove(&self, person: &PersonId, id: &str, actor: Actor) -> Result<bool, PasskeyError> {
        let Ok(id) = URL_SAFE_NO_PAD.decode(id) else { return Ok(false) };
        let Parts { clock, store, journal, .. } = &self.parts;
        let named = self.of(person).await?.into_iter().find(|row| row.id == id).map(|row| row.name);
        let removed = store.remove_passkey(person, &id).await?;
        if removed {
            journal.append(event(Kind::PasskeyRemoved, clock.now(), actor, named.unwrap_or_default())).await?;
        }
        Ok(removed)
    }
}

fn event(kind: Kind, now: Timestamp, actor: Actor, name: String) -> Event {
    Event::new(kind, now)
        .by(actor)
        .on(Target { name: Some(name.into()), ..Target::default() })
        .outcome(Outcome::Success)
}

fn known(rows: &[PasskeyRow]) -> Vec<Known<'_>> {
    rows.iter().map(|row| Known { id: &row.id, transports: &row.transports }).collect()
}
