//! What commands share with the gateway: the database, the keys and, for those that change something, the journal.
//!
//! Commands work whether or not a gateway runs. What they write reaches it by its feed of changes; what they did stands
//! in a journal of their own, node `cli`, which one command at a time may write.

use std::{fs, path::Path, sync::Arc, time::Duration};

use portcullis_audit::{Actor, Event};
use portcullis_base::{Clock, ServerName, printable};
use portcullis_gateway::{
    config::Config,
    desk::{Desk, DeskError},
    journal::{Indexer, Journal, JournalError, Retention, Settings as JournalSettings},
    keys::Keys,
    system::{SystemClock, SystemRng},
    unlock::{self, UnlockError, unlock},
};
use portcullis_store::{DatabaseSettings, Person, Store, StoreError};
use tokio::sync::OnceCell;

use crate::{
    failure::{Failure, Result},
    settings::Settings,
};

/// The node under which commands write.
const NODE: &str = "cli";
/// How long a command waits for another one to let go of the journal.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database with its clock and randomness.
pub struct House {
    pub config: Config,
    pub store: Store,
    pub clock: Arc<SystemClock>,
    pub rng: SystemRng,
    keys: OnceCell<Arc<Keys>>,
}

/// The journal of commands, held by this one.
pub struct Record {
    journal: Journal,
    store: Store,
    config: Config,
}

impl House {
    /// Opens the database, which is made if there is none. Keys are asked for when they are needed; but nothing is made or
    /// migrated without the right root key.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let config = settings.config.clone();
        let (clock, rng, keys) = (Arc::new(SystemClock), SystemRng::new(), OnceCell::new());
        // On the heap: opening a database is a large future, and every command has one.
        let at_hand = Box::pin(unlock::without_keys(&config)).await.map_err(|error| database(&config, error))?;
        let store = if let Some(store) = at_hand {
            store
        } else {
            let unlocked =
                Box::pin(unlock(&config, &rng, clock.now())).await.map_err(|error| locked(&config, error))?;
            drop(keys.set(Arc::new(unlocked.keys)));
            unlocked.store
        };
        Ok(Self { config, store, clock, rng, keys })
    }

    /// Opens the database for a command that only makes sense when there is one.
    pub async fn existing(settings: &Settings) -> Result<Self> {
        if let DatabaseSettings::Sqlite(path) = &settings.config.database
            && !path.exists()
        {
            return Err(Failure::new(format!("{} does not exist", path.display()))
                .help("name the data directory with --data DIR; `portcullis up` makes a new one"));
        }
        Self::open(settings).await
    }

    /// The keys of this deployment.
    pub async fn keys(&self) -> Result<Arc<Keys>> {
        let unlocked = self.keys.get_or_try_init(async || {
            let unlocked = Box::pin(unlock(&self.config, &self.rng, self.clock.now())).await;
            unlocked.map(|unlocked| Arc::new(unlocked.keys)).map_err(|error| locked(&self.config, error))
        });
        unlocked.await.cloned()
    }

    /// The journal, for a command that is about to change something. If it cannot be written, nothing is changed.
    pub async fn record(&self) -> Result<Record> {
        let keys = self.keys().await?;
        let dir = self.config.data.join("journal");
        make_directory(&dir)?;
        let seed = keys.journal_seed(NODE);
        let settings = JournalSettings {
            dir: &dir,
            node: NODE,
            seed: &seed,
            durability: self.config.audit.durability,
            limits: self.config.audit.limits(),
        };
        let start = self.clock.now();
        loop {
            match Journal::open(&settings, self.clock.clone()) {
                Ok(journal) => return Ok(Record { journal, store: self.store.clone(), config: self.config.clone() }),
                Err(JournalError::InUse(_)) if self.clock.now().since(start) < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => return Err(unrecorded(&error)),
            }
        }
    }

    /// Names of everything that clients can be connected to: servers and toolboxes.
    pub async fn endpoint_names(settings: &Settings) -> Result<Vec<ServerName>> {
        let mut names = Self::server_names(settings).await?;
        names.extend(settings.config.toolboxes.iter().map(|toolbox| toolbox.name.clone()));
        Ok(names)
    }

    /// Names of the servers behind the gateway: those of the settings and of the database, else the sample.
    pub async fn server_names(settings: &Settings) -> Result<Vec<ServerName>> {
        let mut names: Vec<ServerName> = settings.config.servers.iter().map(|server| server.name.clone()).collect();
        let there = match &settings.config.database {
            DatabaseSettings::Sqlite(path) => path.exists(),
            DatabaseSettings::Postgres { .. } => true,
        };
        if there {
            let house = Self::existing(settings).await?;
            let rows = house.store.servers().await.map_err(|error| database(&house.config, error))?;
            names.extend(rows.into_iter().map(|row| row.name));
        }
        if names.is_empty() {
            names.extend(ServerName::parse(portcullis_gateway::feed::SAMPLE));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The person with this account name.
    pub async fn person(&self, name: &str) -> Result<Person> {
        let known = self.store.person_by_name(name).await.map_err(|error| self.failed(error))?;
        if let Some((person, _)) = known {
            return Ok(person);
        }
        let people = self.store.people().await.map_err(|error| self.failed(error))?;
        let near = portcullis_policy::nearest(name, people.iter().map(|person| person.name.as_str()));
        let help = near
            .map_or_else(|| "portcullis user list shows all".to_owned(), |near| format!("did you mean \"{near}\"?"));
        Err(Failure::new(format!("there is no account \"{}\"", printable(name, 64))).help(help))
    }

    /// A failure of a change that writes itself down.
    pub fn undone(&self, error: DeskError) -> Failure {
        match error {
            DeskError::Refused(why) => Failure::new(why),
            DeskError::Store(error) => self.failed(error),
            DeskError::Journal(error) => unrecorded(&error),
        }
    }

    /// A failure of the database in this house's words.
    pub fn failed(&self, error: StoreError) -> Failure {
        database(&self.config, error)
    }
}

impl Record {
    /// Closes the journal when nothing was done after all.
    pub async fn close(self) {
        // Nothing was changed, so nothing is missing; the next writer repairs whatever is left open.
        let _ = self.journal.stop().await;
    }

    /// The journal, for parts of the gateway that write down themselves what they do.
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Where changes are made that write down themselves what they did, by whoever runs this command.
    pub fn desk<'a>(&'a self, house: &'a House) -> Desk<'a> {
        Desk { store: &house.store, journal: &self.journal, clock: &*house.clock, rng: &house.rng, by: actor() }
    }

    /// Writes down what was done, by whoever runs this command.
    pub async fn note(&self, event: Event) -> Result<()> {
        self.journal.append(event.by(actor())).await.map_err(|error| unrecorded(&error)).map(drop)
    }

    /// Writes down what was done and closes the journal.
    pub async fn write(self, event: Event) -> Result<()> {
        self.note(event).await?;
        self.finish().await
    }

    /// Closes the journal and lets the index know what is in it.
    pub async fn finish(self) -> Result<()> {
        self.journal.stop().await.map_err(|error| unrecorded(&error))?;
        let head = self.journal.head().seq;
        let mut indexer = Indexer::new(self.store, &self.config.data.join("journal"), NODE);
        // The index can be made again from the journal at any time; that it lags is no failure of this command.
        if let Err(error) = Box::pin(indexer.run_once(Some(head))).await {
            crate::output::note(format_args!("note: the event is in the journal, but not in the index yet: {error}"));
        }
        // What is full is sealed and archived here too. It stays: the few lines of commands are read by the gateway's sinks,
        // and nothing tells this process how far they are.
        let retention = Retention { keep_for: None, size: None, ..self.config.audit.retention.clone() };
        if let Err(error) = self.journal.keep(&retention) {
            crate::output::note(format_args!("note: {error}"));
        }
        Ok(())
    }
}

/// Whoever runs a command.
pub fn actor() -> Actor {
    Actor { name: Some(NODE.into()), ..Actor::default() }
}

/// A deployment that does not open.
pub fn locked(config: &Config, error: UnlockError) -> Failure {
    match error {
        UnlockError::Store(error) => database(config, error),
        UnlockError::Data { path, error } => unmade(&path, &error),
        other => Failure::new(other.to_string()).help("docs/guides/keys.md says where root keys come from"),
    }
}

/// Makes a directory that only its owner may enter.
pub fn make_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| unmade(path, &error))
}

fn unmade(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("the directory {} cannot be made: {error}", path.display()))
        .help("choose another one with --data DIR, or `data:` in the settings")
}

/// A failure of the database: what, where, what to do.
pub fn database(config: &Config, error: StoreError) -> Failure {
    let place = match &config.database {
        DatabaseSettings::Sqlite(path) => path.display().to_string(),
        DatabaseSettings::Postgres { .. } => "PostgreSQL".to_owned(),
    };
    let help = match &error {
        StoreError::Unavailable(_) => "check `database` and `data` in the settings: portcullis config show --origin",
        _ => "",
    };
    Failure { help: (!help.is_empty()).then(|| help.to_owned()), ..Failure::new(format!("{place}: {error}")) }
}

fn unrecorded(error: &JournalError) -> Failure {
    Failure::new(format!("this could not be written to the audit trail: {error}"))
        .help("what cannot be recorded is not done; free the journal and run the command again")
}
