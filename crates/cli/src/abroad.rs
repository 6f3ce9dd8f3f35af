//! What commands share with the gateway about servers: which there are, and its client side toward their authorization
//! servers.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use portcullis_base::{Clock, Rng, ServerName};
use portcullis_gateway::{
    authority::{self, Authority},
    config::{self, Entry},
    connections::{self, Connections},
    outbound::Dialer,
    signing::{self, Loaded},
    snapshot, start,
    system::{self, SystemRng},
};

use crate::{
    failure::{Failure, Result},
    house::{House, Record},
    identity::providers,
    settings::Settings,
};

/// A server and where it was set up.
pub struct Known {
    pub server: config::Server,
    pub from: From,
}

/// Where a server was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Settings,
    Database,
}

/// An entry of the database that cannot be used as it is.
pub struct Unusable {
    pub name: ServerName,
    pub why: String,
}

/// Every server: of the settings, then of the database; and the entries that cannot be used.
pub async fn servers(house: &House) -> Result<(Vec<Known>, Vec<Unusable>)> {
    let mut known: Vec<_> =
        house.config.servers.iter().map(|server| Known { server: server.clone(), from: From::Settings }).collect();
    let mut unusable = Vec::new();
    for row in house.store.servers().await.map_err(|error| house.failed(error))? {
        if known.iter().any(|other| other.server.name == row.name) {
            continue;
        }
        let entry = Entry::from_json(&row.entry_json).map_err(|error| error.to_string());
        match entry.and_then(|entry| entry.server(&house.config.environment).map_err(|error| error.to_string())) {
            Ok(server) => known.push(Known { server, from: From::Database }),
            Err(why) => unusable.push(Unusable { name: row.name, why }),
        }
    }
    Ok((known, unusable))
}

/// The server of this name.
pub async fn server(name: &str, house: &House) -> Result<Known> {
    let (mut known, unusable) = servers(house).await?;
    if let Some(entry) = unusable.iter().find(|entry| entry.name.as_str() == name) {
        return Err(Failure::new(format!("the entry of \"{name}\" cannot be used")).help(entry.why.clone()));
    }
    match known.iter().position(|known| known.server.name.as_str() == name) {
        Some(index) => Ok(known.swap_remove(index)),
        None => Err(unknown(name, &known)),
    }
}

fn unknown(name: &str, known: &[Known]) -> Failure {
    let names: Vec<_> = known.iter().map(|known| known.server.name.as_str()).collect();
    let failure = Failure::new(format!("there is no server \"{}\"", portcullis_base::printable(name, 60)));
    match portcullis_policy::nearest(name, names.iter().copied()) {
        Some(near) => failure.help(format!("did you mean \"{near}\"?")),
        None if names.is_empty() => failure.help("no server is registered: portcullis protect URL"),
        None => failure.help(format!("servers: {}", names.join(", "))),
    }
}

/// The client side of the gateway, for one command.
pub struct Abroad {
    pub authority: Arc<Authority>,
    pub connections: Arc<Connections>,
    snapshot: Arc<ArcSwap<snapshot::Snapshot>>,
}

impl Abroad {
    /// As the gateway would be toward `servers`. What it does is written into `record`.
    pub async fn open(
        servers: &[&config::Server],
        house: &House,
        record: &Record,
        settings: &Settings,
    ) -> Result<Self> {
        let wrong = |error: start::StartError| Failure::usage(error.to_string());
        let config = settings.served();
        let dialer = Dialer::new(config.outbound.ca_file.as_deref()).map_err(|error| wrong(error.into()))?;
        let outbound = start::outbound(&config, dialer).map_err(wrong)?;
        let mut seen = HashMap::new();
        for server in servers {
            let server =
                snapshot::Server::of(server).map_err(|error| Failure::usage(format!("{}: {error}", server.name)))?;
            seen.insert(server.name.clone(), Arc::new(server));
        }
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot::Snapshot {
            servers: seen,
            toolboxes: HashMap::new(),
            people: HashMap::new(),
            service_accounts: 0,
            bundle: Arc::default(),
            revision: 0,
        }));
        let keys = house.keys().await?;
        let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
        let clock: Arc<dyn Clock> = house.clock.clone();
        let set = signing::load(&house.store, &keys, &*rng, &system::random(), clock.now()).await;
        let Loaded { set, made } = set.map_err(|error| Failure::new(error.to_string()))?;
        if let Some(event) = made {
            record.note(event).await?;
        }
        let authority = Arc::new(Authority::new(authority::Parts {
            config: &config,
            outbound,
            store: house.store.clone(),
            journal: record.journal(),
            keys: keys.clone(),
            signing: Arc::new(ArcSwap::from_pointee(set)),
            snapshot: snapshot.clone(),
            providers: Arc::new(providers(settings)?),
            ended: Arc::default(),
            clock: clock.clone(),
            rng: rng.clone(),
        }));
        let connections = Arc::new(Connections::new(connections::Parts {
            store: house.store.clone(),
            journal: record.journal(),
            keys,
            authorities: authority.clone(),
            snapshot: snapshot.clone(),
            clock,
            rng,
        }));
        Ok(Self { authority, connections, snapshot })
    }

    /// The same, whatever is wrong with a server's settings: what cannot be had of it must keep nobody from ending what
    /// hangs on it.
    pub async fn as_far_as_possible(
        servers: &[&config::Server],
        house: &House,
        record: &Record,
        settings: &Settings,
    ) -> Option<Self> {
        match Self::open(servers, house, record, settings).await {
            Ok(abroad) => Some(abroad),
            Err(_) => Self::open(&[], house, record, settings).await.ok(),
        }
    }

    /// A server as calls see it.
    pub fn server(&self, name: &ServerName) -> Option<Arc<snapshot::Server>> {
        self.snapshot.load().servers.get(name).cloned()
    }
}
