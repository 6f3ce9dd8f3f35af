//! `portcullis audit`: what happened, and the proof that nothing of it is missing.

mod query;
mod verify;

pub use self::query::moment;
use crate::{args::Audit, failure::Result, settings::Settings};

/// Runs the command.
pub async fn run(command: &Audit, settings: &Settings) -> Result<()> {
    match command {
        Audit::Query(query) => query::find(query, settings).await,
        Audit::Verify { paths, json } => verify::prove(paths, *json, settings),
    }
}
