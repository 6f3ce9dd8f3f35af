//! `portcullis migrate`: the database brought to this release.

use portcullis_base::Clock;
use portcullis_gateway::{
    system::{SystemClock, SystemRng},
    unlock::unlock,
};
use portcullis_store::{DatabaseSettings, KNOWN_VERSION, Store};
use serde_json::json;

use crate::{
    failure::{Failure, Result},
    house::{database, locked},
    output::{GOOD, json as print_json, line, styled},
    settings::Settings,
};

/// Runs the command.
pub async fn run(check: bool, json: bool, settings: &Settings) -> Result<()> {
    let config = &settings.config;
    if let (true, DatabaseSettings::Sqlite(path)) = (check, &config.database)
        && !path.exists()
    {
        return Err(Failure::new(format!("{} does not exist yet", path.display()))
            .help("`portcullis migrate` or `portcullis up` makes it"));
    }
    if check {
        let failed = |error| database(config, error);
        let store = Store::open_without_migrating(&config.database).await.map_err(failed)?;
        let status = store.status().await.map_err(failed)?;
        if json {
            print_json(
                &json!({ "found": status.found, "known": status.known, "current": status.found == status.known }),
            );
        }
        status.check().map_err(failed)?;
        if !json {
            line(format_args!(
                "{} the database has schema version {}, as this release needs",
                styled(GOOD, "✓"),
                status.found
            ));
        }
        return Ok(());
    }
    // A key that does not belong to this database stops the migration before it begins.
    let unlocked = unlock(config, &SystemRng::new(), SystemClock.now()).await;
    let before = unlocked.map_err(|error| locked(config, error))?.before;
    let now = KNOWN_VERSION;
    if json {
        print_json(&json!({ "found": before, "known": now, "current": true }));
    } else if before == now {
        line(format_args!("{} the database has schema version {now} already", styled(GOOD, "✓")));
    } else {
        line(format_args!("{} the database went from schema version {before} to {now}", styled(GOOD, "✓")));
    }
    Ok(())
}
