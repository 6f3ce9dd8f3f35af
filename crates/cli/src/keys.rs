//! `portcullis keys`: the keys that seal what is kept, listed, changed and retired while the gateway runs.

use std::{collections::BTreeMap, path::Path, time::Duration};

use portcullis_audit::{Event, Kind};
use portcullis_base::{Clock, Secret, Timestamp, printable};
use portcullis_gateway::{
    key_ring::{self, ChangeError},
    keys::Keys,
    reseal,
    root_key::RootKey,
};
use portcullis_store::KeyRingRow;
use serde_json::json;

use crate::{
    args::Keys as Command,
    failure::{Failure, Result},
    house::House,
    output::{DIM, GOOD, json as print_json, line, note, styled, table},
    settings::Settings,
};

/// What people and clients carry away sealed is good for a week at most: session ids.
const OVERLAP: Duration = Duration::from_hours(7 * 24);

/// Runs the command.
pub async fn run(command: &Command, settings: &Settings) -> Result<()> {
    match command {
        Command::List { json } => list(*json, settings).await,
        Command::Rotate { root_key: None, json } => rotate(*json, settings).await,
        Command::Rotate { root_key: Some(reference), json } => add_root_key(reference, *json, settings).await,
        Command::Retire { root_key: Some(name), json, .. } => retire_root_key(name, *json, settings).await,
        Command::Retire { root_key: None, now, json } => retire(*now, *json, settings).await,
    }
}

/// What `keys list` says of a data key.
struct Line {
    row: KeyRingRow,
    state: &'static str,
    values: u64,
}

async fn list(json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let (keys, now) = (house.keys().await?, house.clock.now());
    let rows = house.store.key_ring().await.map_err(|error| house.failed(error))?;
    let mine = mine(&keys)?;
    let values = values(&house).await?;
    let lines: Vec<_> = rows
        .iter()
        .filter(|row| row.root_key == mine.name())
        .map(|row| Line {
            state: state(row, &keys, now),
            values: u32::try_from(row.id).ok().and_then(|id| values.get(&id).copied()).unwrap_or(0),
            row: row.clone(),
        })
        .collect();
    let roots = key_ring::root_keys(&rows);
    if json {
        for Line { row, state, values } in &lines {
            print_json(&json!({
                "data_key": row.id, "state": state, "values": values, "created_at": row.created_at.to_string(),
                "seals_from": row.active_from.to_string(), "retired_at": row.retired_at.map(|at| at.to_string()),
            }));
        }
        for name in &roots {
            print_json(&json!({ "root_key": name, "in_use_here": name == mine.name() }));
        }
        return Ok(());
    }
    let shown = |line: &Line| {
        vec![
            line.row.id.to_string(),
            line.state.to_owned(),
            line.row.created_at.to_string(),
            line.row.active_from.to_string(),
            line.values.to_string(),
        ]
    };
    table(&["DATA KEY", "STATE", "MADE", "SEALS FROM", "VALUES"], &lines.iter().map(shown).collect::<Vec<_>>());
    line("");
    let shown = |name: &String| {
        let here = if name == mine.name() { "in use here" } else { "opens the data keys too" };
        vec![name.clone(), here.to_owned()]
    };
    table(&["ROOT KEY", "STATE"], &roots.iter().map(shown).collect::<Vec<_>>());
    Ok(())
}

fn state(row: &KeyRingRow, keys: &Keys, now: Timestamp) -> &'static str {
    if row.retired_at.is_some() {
        "retired"
    } else if row.id == i64::from(keys.sealing()) {
        "seals"
    } else if row.active_from > now {
        "seals soon"
    } else {
        "opens"
    }
}

/// How many values each data key has sealed.
async fn values(house: &House) -> Result<BTreeMap<u32, u64>> {
    let found = house.store.sealed_by_prefix(Keys::PREFIX).await.map_err(|error| house.failed(error))?;
    let mut values = BTreeMap::new();
    for (prefix, count) in found {
        *values.entry(Keys::number(&prefix)).or_default() += count;
    }
    Ok(values)
}

async fn rotate(json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let keys = house.keys().await?;
    let root = mine(&keys)?;
    let record = house.record().await?;
    let now = house.clock.now();
    let made = match key_ring::add_data_key(&house.store, root, &house.rng, now).await {
        Ok(made) => made,
        Err(error) => {
            record.close().await;
            return Err(unchanged(&house, error));
        }
    };
    record.write(Event::new(Kind::KeyRingAdded, now).number("data_key", i64::from(made))).await?;
    let from = now.plus(key_ring::AHEAD);
    if json {
        print_json(&json!({ "data_key": made, "seals_from": from.to_string() }));
        return Ok(());
    }
    line(format_args!("{} data key {made} seals from {from} on", styled(GOOD, "✓")));
    line(styled(DIM, "  Running gateways know it by then, and seal again with it what is in the database."));
    line(styled(DIM, "  The older keys go on opening. In a week: portcullis keys retire"));
    Ok(())
}

async fn add_root_key(reference: &str, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let keys = house.keys().await?;
    let new = referenced(reference, settings)?;
    let record = house.record().await?;
    let now = house.clock.now();
    if let Err(error) = key_ring::add_root_key(&house.store, mine(&keys)?, &new, &house.rng, now).await {
        record.close().await;
        return Err(unchanged(&house, error));
    }
    record.write(Event::new(Kind::KeyRingAdded, now).text("root_key", new.name().to_owned())).await?;
    let old = mine(&keys)?.name();
    if json {
        print_json(&json!({ "root_key": new.name(), "before": old }));
        return Ok(());
    }
    line(format_args!("{} root key {} opens the data keys too", styled(GOOD, "✓"), new.name()));
    line(styled(DIM, "  Give it to every node in place of the old one and restart them, one after the other."));
    line(styled(DIM, format_args!("  Then: portcullis keys retire --root-key {old}")));
    Ok(())
}

async fn retire(at_once: bool, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let (keys, now) = (house.keys().await?, house.clock.now());
    let rows = house.store.key_ring().await.map_err(|error| house.failed(error))?;
    let sealing = i64::from(keys.sealing());
    let living = |row: &&KeyRingRow| row.root_key == mine(&keys).map_or("", RootKey::name) && row.retired_at.is_none();
    let older: Vec<_> = rows.iter().filter(living).filter(|row| row.id < sealing).map(|row| row.id).collect();
    let Some(current) = rows.iter().find(|row| row.id == sealing) else {
        return Err(Failure::new(format!("data key {sealing} is not in the database")));
    };
    let next = rows.iter().filter(living).find(|row| row.id > sealing);
    if let (true, Some(next)) = (older.is_empty(), next) {
        return Err(Failure::new(format!("data key {} seals only from {} on", next.id, next.active_from))
            .help("until then an older one seals and cannot be retired"));
    }
    if older.is_empty() {
        return Err(Failure::new(format!("no data key is older than {sealing}, which seals"))
            .help("portcullis keys rotate makes a new one"));
    }
    let until = current.active_from.plus(OVERLAP);
    if until > now && !at_once {
        return Err(Failure::new(format!("clients may have sessions that an older key sealed until {until}"))
            .help("wait until then, or use --now: they open new ones, and links and sign-ins under way begin again"));
    }
    let record = house.record().await?;
    let resealed = reseal::round(&house.store, &keys, &house.rng).await.map_err(|error| house.failed(error))?;
    let left: u64 =
        values(&house).await?.into_iter().filter(|(id, _)| older.contains(&i64::from(*id))).map(|(_, n)| n).sum();
    if left > resealed.lost {
        record.close().await;
        return Err(Failure::new(format!("{left} values are still sealed with an older key"))
            .help("a gateway was writing at the same moment: run the command again"));
    }
    for id in &older {
        house.store.retire_data_key(*id, now).await.map_err(|error| house.failed(error))?;
        record.note(Event::new(Kind::KeyRingRetired, now).number("data_key", *id)).await?;
    }
    record.finish().await?;
    if json {
        print_json(
            &json!({ "retired": older, "sealed_again": resealed.done, "lost": resealed.lost, "seals": sealing }),
        );
        return Ok(());
    }
    let names = older.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    line(format_args!("{} data key {names} opens nothing any more; {sealing} seals", styled(GOOD, "✓")));
    if resealed.lost > 0 {
        note(format_args!("{} values opened with no key before either, and stay lost", resealed.lost));
    }
    Ok(())
}

async fn retire_root_key(name: &str, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let keys = house.keys().await?;
    let record = house.record().await?;
    let now = house.clock.now();
    if let Err(error) = key_ring::retire_root_key(&house.store, mine(&keys)?, name, now).await {
        record.close().await;
        return Err(unchanged(&house, error));
    }
    record.write(Event::new(Kind::KeyRingRetired, now).text("root_key", name.to_owned())).await?;
    if json {
        print_json(&json!({ "retired": name, "root_key": mine(&keys)?.name() }));
        return Ok(());
    }
    line(format_args!("{} root key {} opens nothing any more", styled(GOOD, "✓"), printable(name, 64)));
    line(styled(DIM, "  Backups from before still open with it: destroy it when they are gone."));
    Ok(())
}

/// The root key of these settings.
fn mine(keys: &Keys) -> Result<&RootKey> {
    keys.root().ok_or_else(|| Failure::new("these keys are not in a ring"))
}

/// The root key that `env:NAME` or `file:PATH` stands for.
fn referenced(reference: &str, settings: &Settings) -> Result<RootKey> {
    let shown = printable(reference, 200);
    if let Some(name) = reference.strip_prefix("env:") {
        let text = settings.environment.get(name).ok_or_else(|| {
            Failure::usage(format!("\"{shown}\": the environment variable is not set"))
                .help("set it for this command: a key is 32 bytes as base64")
        })?;
        return RootKey::from_text(&Secret::new(text.clone())).map_err(|_| {
            Failure::usage(format!("\"{shown}\" is not 32 bytes as base64")).help("make one: openssl rand -base64 32")
        });
    }
    let Some(path) = reference.strip_prefix("file:") else {
        return Err(Failure::usage(format!("\"{shown}\" is not a reference to a key"))
            .help("write file:PATH or env:NAME; a key on the command line would be seen by everybody here"));
    };
    let key = RootKey::read(Path::new(path)).map_err(|error| Failure::new(error.to_string()))?;
    key.ok_or_else(|| {
        Failure::new(format!("{} does not exist", printable(path, 200)))
            .help("make one: (umask 077; openssl rand -base64 32 > PATH)")
    })
}

fn unchanged(house: &House, error: ChangeError) -> Failure {
    match error {
        ChangeError::Store(error) => house.failed(error),
        error @ (ChangeError::Unknown(_) | ChangeError::TwoRootKeys(_)) => {
            Failure::new(error.to_string()).help("portcullis keys list shows all")
        }
        error => Failure::new(error.to_string()),
    }
}
